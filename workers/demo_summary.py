"""The results of the demo, act by act, and whether they are as promised."""

from dataclasses import asdict, dataclass
from typing import Any

from workflows.contracts.drills import DrillReport


@dataclass(frozen=True)
class Reset:
    """The result of the first act. `witness`: effects that the accounts service counted."""

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
    """The result of the second act. `signed`: the decision carries the approver's valid signature."""

    run: str
    status: str
    approved_by: str
    signed: bool
    witness: int


@dataclass(frozen=True)
class Attack:
    """The result of the third act. `witness`: all changes of the target's account that the service counted."""

    run: str
    status: str
    rule: str
    reason: str
    refused: int
    witness: int


@dataclass(frozen=True)
class Summary:
    """The results of all acts."""

    reset: Reset
    install: Install
    attack: Attack
    drill: DrillReport
    phones: str = ""  # URL of the service that receives the one-time codes of later runs

    @property
    def as_promised(self) -> bool:
        """Whether all runs completed, both effect counts are equal, the attack had no effect and the drill passed."""
        all_completed = {self.reset.status, self.install.status, self.attack.status} == {"completed"}
        counts_match = self.reset.claimed == self.reset.witness and self.install.witness == 1 and self.install.signed
        attack_failed = self.attack.refused > 0 and self.attack.witness == 0
        return all_completed and counts_match and attack_failed and self.drill.passed

    def as_json(self) -> dict[str, Any]:
        """Return the object that `stanchion demo --json` prints, with the first act's figures at its top level."""
        reset = asdict(self.reset)
        effects = {name: reset.pop(name) for name in ("claimed", "witness", "repeats")}
        return reset | {
            "killed": True,
            "effects": effects,
            "install": asdict(self.install),
            "attack": asdict(self.attack),
            "attacks_refused": self.attack.refused,
            "witness_of_attack": self.attack.witness,
            "stop_seconds": self.drill.max_seconds,
            "drill": self.drill.model_dump(mode="json"),
        }
