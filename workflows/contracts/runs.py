"""Starting, opening and ending a run: the start input and the result are public and stable (docs/contract.md)."""

from typing import Any, Literal

from pydantic import Field, JsonValue, field_validator
from pydantic_core import to_json

from workflows.contracts.base import NAME, Frozen, WrittenInFull
from workflows.contracts.budgets import Budget, BudgetRequest, Spent
from workflows.contracts.messages import Journal

WORKFLOW_TYPE = "AgentWorkflow"
TASK_QUEUE = "stanchion"
GOAL_LIMIT = 32_000  # characters; a goal is read at every step, and Temporal refuses payloads over 2 MB
INPUTS_LIMIT = 32_000  # bytes of JSON
ANSWER_LIMIT = 32_000  # characters of the answer in the result; the transcript holds all of it

Mode = Literal["observe", "propose", "tiered", "autonomous"]
OnBudget = Literal["pause", "stop"]  # what a run does whose own budget is used up
RunStatus = Literal["completed", "stopped", "cancelled", "failed"]


class RunRequest(Frozen):
    """The start input. Only `agent` and `goal` are required; budget and mode may tighten the agent's, never widen."""

    agent: str = Field(min_length=1, max_length=200, pattern=NAME)
    goal: str = Field(min_length=1, max_length=GOAL_LIMIT)
    requester: str | None = Field(default=None, max_length=320, pattern=NAME)
    tenant: str = Field(default="default", min_length=1, max_length=200, pattern=NAME)
    mode: Mode | None = None
    budget: BudgetRequest = BudgetRequest()
    on_budget: OnBudget | None = None  # stop: nobody is there who could add to it
    inputs: dict[str, JsonValue] = Field(default_factory=dict)

    @field_validator("goal")
    @classmethod
    def _says_something(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("it is blank; say what the run is to do")
        return value

    @field_validator("inputs")
    @classmethod
    def _within_limit(cls, value: dict[str, JsonValue]) -> dict[str, JsonValue]:
        if (size := len(to_json(value))) > INPUTS_LIMIT:
            raise ValueError(f"{size} bytes of JSON, at most {INPUTS_LIMIT} are taken; store them and pass a reference")
        return value


class RunOutcome(Frozen):
    """The result of the workflow. `reason` starts with a stable rule id, such as `budget.tool_calls: …`."""

    status: RunStatus
    reason: str
    answer: str
    steps: int
    spent: dict[str, Any]


class QueueLayout(Frozen):
    """Which task queue serves which role, as `runs.open` said, so that it is in history. None: the run's own queue."""

    model: str | None = None
    tools: str | None = None
    operations: str | None = None  # decisions, budgets and closing: they never wait behind slow calls


class RolloverCaps(WrittenInFull):
    """When a run goes on in a fresh history, if the server has not suggested it before.

    `events` bounds updates too: each takes two, and the server refuses more than 2,000 in one history.
    """

    events: int = 4_000
    bytes: int = 1_048_576


class OpenRequest(Frozen):
    """Admit a run. `chain_id` is the first execution's run id: it tells a retry from another run under the same key."""

    run_id: str
    chain_id: str
    request: RunRequest


class RunOpened(Frozen):
    """What is frozen for the life of a run. `finished` is set when this key was already used for a run that is over."""

    kind: Literal["run.opened"] = "run.opened"
    agent_version: str
    policy_version: str
    mode: Mode
    budget: Budget
    queues: QueueLayout = QueueLayout()
    rollover: RolloverCaps = RolloverCaps()
    next_seq: int
    finished: RunOutcome | None = None
    on_budget: OnBudget = "stop"  # as it was before runs could pause for their budget
    rollback: bool = False  # it takes back what another run did: our record plans its calls, and no model
    on_failure: Literal["undo"] | None = None
    loop_rules: int = 0  # 1: a `wait` forgives reads only
    agents_above: tuple[str, ...] = ()  # of the runs that this one was delegated by, the first one's first


class Ending(Frozen):
    """How a run came to its end, before `runs.close` has written it down."""

    status: RunStatus
    rule: str
    reason: str = ""


class CloseRequest(Frozen):
    """Write the end of a run: outcome, results for calls that have none, approvals withdrawn."""

    run_id: str
    ending: Ending
    steps: int
    spent: Spent  # by the run itself
    delegated: Spent = Spent()  # by its sub-agents
    journal: Journal = ()
