"""`AgentDefinition`: the content of `agent.yaml`. Unknown keys are refused, with a suggestion."""

import difflib
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from activities.agents.strict_yaml import YamlInvalid, read_yaml
from activities.errors import Permanent
from activities.ledger.caps import AgentCap
from activities.policy.grants.grants import GrantsField
from workflows.contracts.budgets import BudgetRequest
from workflows.contracts.runs import Mode, OnBudget
from workflows.delegation import DelegationCaps

MOST_TIMES = 1_000_000  # the largest alarm factor; a larger one would never have an effect


class DefinitionInvalid(Permanent):
    """The agent definition cannot be used; the message names each line to change."""


class Strict(BaseModel):
    """Base class of the parts of a definition: frozen, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ToolSource(Strict):
    """A Python module, and the tools of it that the agent may use."""

    module: str = Field(
        pattern=r"^[A-Za-z_][\w.]*$", description="Importable Python module with functions marked @tool"
    )
    use: tuple[str, ...] = Field(min_length=1, description="Names of the tools the agent is offered")


Roles = tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")], ...]


class Escalation(Strict):
    """Additional roles that may decide after some time without a decision."""

    after_minutes: float = Field(ge=0.01, le=60 * 24 * 90)
    roles: Roles = Field(min_length=1)


class ApprovalRule(Strict):
    """Who decides about the calls of one tool, and how. The defaults are the strict choice."""

    always: bool = Field(default=False, description="Ask also where the tier alone would not require it")
    people: int = Field(default=1, ge=0, le=5, description="Distinct people who have to approve; at least two for T4")
    roles: Roles = Field(
        default=(), description="Only people with one of these roles count; empty: all registered people"
    )
    confirm: str | None = Field(
        default=None, description="Argument that names the person who confirms with a one-time code"
    )
    reviewer: str | None = Field(default=None, description="Agent without tools that may count as one of the people")
    escalate: Escalation | None = None
    repeat_most: int = Field(
        default=0, ge=0, le=100, description="Largest n of 'approve the next n like this'; never for T4"
    )

    @model_validator(mode="after")
    def _check_approvers(self) -> Self:
        if not self.people and not self.confirm:
            raise ValueError("people: 0 needs `confirm`, or nobody would decide")
        return self


class ApprovalRules(Strict):
    """Rules for approvals: expiry, delivery of one-time codes, and rules by tool."""

    expire_minutes: float = Field(
        default=24 * 60, ge=0.01, le=60 * 24 * 90, description="After this time without a decision the call is refused"
    )
    deliver: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="module:function that delivers a one-time code: async (ctx, person, code, what) -> None",
    )
    tools: dict[str, ApprovalRule] = Field(default={}, description="Rules by tool")

    @model_validator(mode="after")
    def _check_delivery(self) -> Self:
        if not self.deliver and (without_delivery := [name for name, rule in self.tools.items() if rule.confirm]):
            raise ValueError(f"{', '.join(without_delivery)}: `confirm` needs `deliver`, or no code would ever arrive")
        return self

    def of(self, tool: str) -> ApprovalRule:
        """The rule for a tool; the default rule if it has none."""
        return self.tools.get(tool, ApprovalRule())


class AlarmRules(Strict):
    """Limits of a run's cost, as multiples of the typical cost of the agent's runs; None: the platform's limit."""

    warn: int | None = Field(default=None, ge=1, le=MOST_TIMES, description="At this multiple people are notified")
    stop: int | None = Field(
        default=None, ge=1, le=MOST_TIMES, description="At this multiple the run begins nothing new"
    )

    @model_validator(mode="after")
    def _check_order(self) -> Self:
        if self.warn and self.stop and self.warn > self.stop:
            raise ValueError("warn must not be greater than stop")
        return self


class DelegationRules(Strict):
    """Limits of delegation for the agent's runs and the runs below them; None: the platform's limit."""

    depth: int | None = Field(
        default=None, ge=0, le=10, description="Runs above a run that may still delegate, 0: none"
    )
    width: int | None = Field(default=None, ge=0, le=50, description="Sub-agents of one run at the same time")
    total: int | None = Field(default=None, ge=0, le=1_000, description="Sub-agents of one run in total")

    def within(self, caps: DelegationCaps) -> DelegationCaps:
        """These caps, tightened by this definition."""
        return caps.tightened(caps.model_copy(update=self.model_dump(exclude_none=True)))


def _names_to_mapping(raw: Any) -> Any:
    """`[researcher]` is short for `{researcher: {}}`."""
    return {name: {} for name in raw} if isinstance(raw, list | tuple) else raw


AgentName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")]


class AgentDefinition(Strict):
    """A versioned agent: instructions, model, tools, mode, budget."""

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,62}$", description="Lower case, digits and hyphens")
    description: str = Field(default="", max_length=2_000)
    instructions: str = Field(min_length=1, max_length=100_000, description="The system prompt")
    model: str = Field(
        pattern=r"^[a-z]+:.+$", description="anthropic:<id>, scripted:<file.yaml> or scripted:<module>:<function>"
    )
    rehearsal: str | None = Field(
        default=None,
        pattern=r"^scripted:.+$",
        description="Script to use instead where no API key for `model` is configured",
    )
    max_output_tokens: int = Field(default=8_192, ge=1, le=128_000)
    tools: tuple[ToolSource, ...] = ()
    mode: Mode = "tiered"
    budget: BudgetRequest = BudgetRequest()
    on_budget: OnBudget = Field(
        default="pause",
        description="When a budget of the run is used up: pause until someone adds to it, or stop",
    )
    alarms: AlarmRules = Field(
        default=AlarmRules(), description="Limits for runs that cost far more than the agent's typical run"
    )
    caps: tuple[AgentCap, ...] = Field(
        default=(),
        description="What the agent may use, in each run or in all runs together; platform and tenant may allow less",
    )
    approvals: ApprovalRules = ApprovalRules()
    grants: GrantsField | None = Field(
        default=None,
        description="What each tool may be used for; once set, every tool but plain reads needs a grant",
    )
    on_failure: Literal["undo"] | None = Field(
        default=None, description="undo: roll a run back when it fails or is stopped, unless a person stopped it"
    )
    delegates: Annotated[dict[AgentName, BudgetRequest], BeforeValidator(_names_to_mapping)] = Field(
        default={}, description="Agents that it may delegate to, and the budget of each task; or a list of names"
    )
    delegation: DelegationRules = DelegationRules()
    policy: str | None = Field(
        default=None, max_length=200_000, description="Cedar file in the same folder: the agent's own policy"
    )

    @model_validator(mode="after")
    def _check_tool_names(self) -> Self:
        tool_names = {name for source in self.tools for name in source.use}
        if unknown := sorted({*(self.grants or {}), *self.approvals.tools} - tool_names):
            raise ValueError(f"grants or approvals name tools the agent does not use: {', '.join(unknown)}")
        capped = {cap.calls.removeprefix("tool:") for cap in self.caps if cap.calls.startswith("tool:")}
        if unknown := sorted(capped - tool_names):
            raise ValueError(f"caps name tools the agent does not use: {', '.join(unknown)}")
        return self


def parse_definition(text: str, origin: str = "definition") -> AgentDefinition:
    """The definition in `text` (YAML). Raises DefinitionInvalid with one line per problem."""
    try:
        raw = read_yaml(text)
    except YamlInvalid as error:
        raise DefinitionInvalid(f"{origin} is not valid YAML: {error}") from None
    if not isinstance(raw, dict):
        raise DefinitionInvalid(f"{origin} must be a mapping with at least name, instructions and model")
    try:
        return AgentDefinition.model_validate(raw)
    except ValidationError as error:
        raise DefinitionInvalid(f"{origin}: " + "; ".join(_describe_error(item) for item in error.errors())) from None


def read_definition(path: Path) -> AgentDefinition:
    """The definition in a file, with the text of its policy file. Raises DefinitionInvalid."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionInvalid(f"cannot read {path}: {error}") from None
    return _with_policy(parse_definition(text, path.name), path)


def _with_policy(definition: AgentDefinition, path: Path) -> AgentDefinition:
    """The definition with its policy's file name replaced by the file's text."""
    if definition.policy is None:
        return definition
    file = path.parent / definition.policy
    try:
        return definition.model_copy(update={"policy": file.read_text(encoding="utf-8")})
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise DefinitionInvalid(f"{path.name}: cannot read its policy {definition.policy!r}: {error}") from None


def json_schema() -> dict[str, Any]:
    """The JSON Schema of `agent.yaml`, which `stanchion agents schema` prints for editors."""
    return AgentDefinition.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"}


def _describe_error(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] != "extra_forbidden":
        return f"{where}: {item['msg'].removeprefix('Value error, ')}"
    known_keys = _fields_at(item["loc"][:-1])
    close = difflib.get_close_matches(str(item["loc"][-1]), known_keys, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known_keys)}"
    return f"{where}: unknown key; {hint}"


def _fields_at(path: tuple[Any, ...]) -> list[str]:
    models: dict[str, type[BaseModel]] = {
        "tools": ToolSource,
        "budget": BudgetRequest,
        "approvals": ApprovalRules,
        "caps": AgentCap,
        "alarms": AlarmRules,
        "delegates": BudgetRequest,
        "delegation": DelegationRules,
    }
    model = models.get(str(path[0]), AgentDefinition) if path else AgentDefinition
    return list(model.model_fields)
