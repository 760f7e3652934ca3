"""A person's answer to an open approval, and what became of it. Public: `decision` signal and `decide` update."""

from datetime import datetime
from typing import Literal

from pydantic import Field, JsonValue, field_validator
from pydantic_core import to_json

from workflows.contracts.base import NAME, Frozen
from workflows.contracts.calls import Tier

CallVerdict = Literal["approve", "edit", "reject", "respond"]
UnknownVerdict = Literal["happened", "did-not", "stop"]
Answer = Literal["accepted", "expired", "already decided", "not allowed"]
ARGUMENTS_LIMIT = 256_000  # bytes of JSON: they are in history twice, and Temporal refuses payloads over 2 MB


class Decision(Frozen):
    """An answer to one approval. `key` and `signature` prove who decided; who cannot sign leaves them out.

    What is signed is `activities.identity.statements.decision_statement`: `digest` binds it to the exact call as it was
    shown, `at` to the moment. `code` is the one-time code of the person the call is about.
    """

    approval_id: str = Field(min_length=1, max_length=200)
    verdict: CallVerdict | UnknownVerdict
    by: str = Field(min_length=1, max_length=320, pattern=NAME)
    reason: str | None = Field(default=None, max_length=4_000)
    arguments: dict[str, JsonValue] | None = None  # with `edit`: the arguments to use instead
    key: str | None = Field(default=None, max_length=200)
    signature: str | None = Field(default=None, max_length=1_000)
    digest: str | None = Field(default=None, max_length=64)  # of the call, as the approval shows it
    at: datetime | None = None  # when it was decided, by the surface's clock
    code: str | None = Field(default=None, max_length=64)
    repeat: int = Field(default=0, ge=0, le=100)  # with `approve`: and the next n calls like this one

    @field_validator("arguments")
    @classmethod
    def _within_limit(cls, value: dict[str, JsonValue] | None) -> dict[str, JsonValue] | None:
        if value is not None and (size := len(to_json(value))) > ARGUMENTS_LIMIT:
            raise ValueError(f"{size} bytes of JSON, at most {ARGUMENTS_LIMIT} are taken")
        return value


class RecordRequest(Frozen):
    """Verify and store one decision."""

    run_id: str
    decision: Decision


class DecisionReceipt(Frozen):
    """What became of a decision. `closes` says whether the approval is settled by it."""

    approval_id: str
    answer: Answer
    reason: str = ""
    closes: bool = False


class OpenApproval(Frozen):
    """An approval the run is waiting on. An `unknown` never expires: what happened does not change by waiting."""

    approval_id: str
    call_id: str
    tool: str
    about: Literal["call", "unknown"]
    tier: Tier | None = None
    expires_at: datetime | None = None
    reviewer: str | None = None  # agent that gives its opinion first, as one of the people asked
