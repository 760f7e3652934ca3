"""What people tell a running agent: the payloads of the signals `message`, `halt`, `pause` and `resume`. Public."""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from workflows.contracts.base import NAME, Frozen

REASON_LIMIT = 2_000  # characters of a reason
MESSAGE_LIMIT = 16_000  # characters of one message to a run; it is in history twice


class MessageReceived(Frozen):
    """A person said something to the run. Sent as signal `message` with `{"text": …, "by": …}`.

    `endorses` restates a value the gateway refused for its origin: it counts as the person's own word from here on.
    `key`, `at` and `signature` prove who said it (`activities.identity.statements.message_statement`).
    """

    kind: Literal["message.received"] = "message.received"
    text: str = Field(min_length=1, max_length=MESSAGE_LIMIT)
    by: str | None = Field(default=None, max_length=320, pattern=NAME)
    endorses: str | None = Field(default=None, min_length=1, max_length=2_000)
    key: str | None = Field(default=None, max_length=200)
    at: datetime | None = None
    signature: str | None = Field(default=None, max_length=1_000)


class HaltOrdered(Frozen):
    """Someone stopped the run: signal `halt`, or a cancel through Temporal (`cancelled`)."""

    kind: Literal["halt.ordered"] = "halt.ordered"
    by: str | None = Field(default=None, max_length=320, pattern=NAME)
    reason: str | None = Field(default=None, max_length=REASON_LIMIT)
    cancelled: bool = False


class PauseOrdered(Frozen):
    """Someone paused the run; what is in flight ends, nothing new begins.

    `halt`: a halt of its agent, its tenant or everything did; the run goes on once that one is lifted. `vendor`: the
    run itself did, because a person has to correct something about that model vendor.
    """

    kind: Literal["pause.ordered"] = "pause.ordered"
    by: str | None = Field(default=None, max_length=320, pattern=NAME)
    reason: str | None = Field(default=None, max_length=REASON_LIMIT)
    halt: str | None = Field(default=None, max_length=200)
    vendor: str | None = Field(default=None, max_length=200)


class ResumeOrdered(Frozen):
    """Someone let the run go on. `halt`: that halt was lifted; a run that is paused by anything else stays paused.
    `vendor`: that model vendor is to be asked again now; it lifts no other pause.

    `grant`: something was added to its budget. That is only noted: what the budget is now is read from the tables.
    """

    kind: Literal["resume.ordered"] = "resume.ordered"
    by: str | None = Field(default=None, max_length=320, pattern=NAME)
    reason: str | None = Field(default=None, max_length=REASON_LIMIT)
    halt: str | None = Field(default=None, max_length=200)
    grant: str | None = Field(default=None, max_length=200, pattern=NAME)
    vendor: str | None = Field(default=None, max_length=200)


Order = Annotated[HaltOrdered | PauseOrdered | ResumeOrdered, Field(discriminator="kind")]
Journal = tuple[Order, ...]
