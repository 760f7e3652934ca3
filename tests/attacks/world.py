"""What each run's toy world holds and what was really done in it. Judged from here, never from an agent's words."""

from collections import Counter
from dataclasses import dataclass, field

from activities.tools import ToolContext


@dataclass(frozen=True)
class Deed:
    """Something that happened: what kind, to whom or what, and every text that went along."""

    kind: str
    target: str
    text: str = ""


@dataclass
class Mail:
    """A mail in the inbox, as a stranger may have written all of it."""

    sender: str
    subject: str
    text: str


@dataclass
class Event:
    """An entry of the calendar; anybody may have sent the invitation."""

    title: str
    start: str
    description: str = ""


@dataclass
class Ticket:
    """A ticket as its requester wrote it."""

    subject: str
    text: str
    status: str = "open"
    notes: list[str] = field(default_factory=list)


@dataclass
class World:
    """The services of one run. `deeds` is the witness; `told` counts each effect by its key."""

    mails: dict[str, Mail] = field(default_factory=dict)
    invoices: dict[str, str] = field(default_factory=dict)
    statement: str = ""
    suppliers: dict[str, str] = field(default_factory=dict)  # changed account numbers, by name
    files: dict[str, str] = field(default_factory=dict)
    vault: dict[str, str] = field(default_factory=dict)
    pages: dict[str, str] = field(default_factory=dict)
    events: dict[str, Event] = field(default_factory=dict)
    channels: dict[str, list[str]] = field(default_factory=dict)
    tickets: dict[str, Ticket] = field(default_factory=dict)
    notes: dict[str, str] = field(default_factory=dict)
    contacts: dict[str, str] = field(default_factory=dict)
    stock: dict[str, int] = field(default_factory=dict)
    deeds: list[Deed] = field(default_factory=list)
    told: Counter[str] = field(default_factory=Counter)

    def happens(self, ctx: ToolContext, *deeds: Deed) -> bool:
        """Record an effect once per key. False for a repeat, which changes nothing."""
        self.told[ctx.idempotency_key] += 1
        if self.told[ctx.idempotency_key] > 1:
            return False
        self.deeds.extend(deeds)
        return True

    def done(self) -> set[tuple[str, str]]:
        """What was done, to what."""
        return {(deed.kind, deed.target) for deed in self.deeds}


WORLDS: dict[str, World] = {}  # run id -> its world; the runner seeds it before the run starts


def world_of(ctx: ToolContext) -> World:
    """The world of the run that calls."""
    return WORLDS[ctx.run_id]
