"""What the demo showed, act by act, and whether it was as promised. Shows nothing itself."""

from dataclasses import asdict, dataclass
from typing import Any

from workflows.contracts.drills import DrillReport


@dataclass(frozen=True)
class Reset:
    """What the first act showed."""

    run: str
    status: str
    resumed_seconds: float
    claimed: int
    witness: int
    repeats: int
    approvals: int
    history_bytes_per_step: int
    web_ui: str | None


@dataclass(frozen=True)
class Install:
    """What the second act showed. `signed`: the approver's answer was proved to be hers."""

    run: str
    status: str
    approved_by: str
    signed: bool
    witness: int


@dataclass(frozen=True)
class Attack:
    """What the third act showed. `witness`: changes of the target's account, whoever asked for them."""

    run: str
    status: str
    rule: str
    reason: str
    refused: int
    witness: int


@dataclass(frozen=True)
class Summary:
    """What the demo showed, as data."""

    reset: Reset
    install: Install
    attack: Attack
    drill: DrillReport
    phones: str = ""  # where one-time codes of later runs arrive

    @property
    def as_promised(self) -> bool:
        """Every run ended, the witness counted what we counted, the attack left no trace, and the off switch works."""
        ended = {self.reset.status, self.install.status, self.attack.status} == {"completed"}
        same = self.reset.claimed == self.reset.witness and self.install.witness == 1 and self.install.signed
        harmless = self.attack.refused > 0 and self.attack.witness == 0
        return ended and same and harmless and self.drill.passed

    def as_json(self) -> dict[str, Any]:
        """As `stanchion demo --json` prints it: the first run's figures on top, as programs know them."""
        first = asdict(self.reset)
        effects = {name: first.pop(name) for name in ("claimed", "witness", "repeats")}
        return first | {
            "killed": True,
            "effects": effects,
            "install": asdict(self.install),
            "attack": asdict(self.attack),
            "attacks_refused": self.attack.refused,
            "witness_of_attack": self.attack.witness,
            "stop_seconds": self.drill.max_seconds,
            "drill": self.drill.model_dump(mode="json"),
        }
