"""AgentDefinition: what a developer writes in `agent.yaml`. Unknown keys are refused, with a suggestion."""

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

MOST_TIMES = 1_000_000  # a run that may cost a million times what others do has no such limit


class DefinitionInvalid(Permanent):
    """The agent definition cannot be used; the message names each line to change."""


class Strict(BaseModel):
    """Part of a definition."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ToolSource(Strict):
    """A Python module and the tools the agent may use of it."""

    module: str = Field(
        pattern=r"^[A-Za-z_][\w.]*$", description="Importable Python module with functions marked @tool"
    )
    use: tuple[str, ...] = Field(min_length=1, description="Names of the tools the agent is offered")


Roles = tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,62}$")], ...]


class Escalation(Strict):
    """Who else may decide, when nobody did for a while."""

    after_minutes: float = Field(ge=0.01, le=60 * 24 * 90)
    roles: Roles = Field(min_length=1)


class ApprovalRule(Strict):
    """Who decides about the calls of one tool, and how. What is not said is the strict case."""

    always: bool = Field(default=False, description="Ask even where the tier alone would not")
    people: int = Field(default=1, ge=0, le=5, description="Distinct people who have to say yes; T4 takes two at least")
    roles: Roles = Field(default=(), description="Only people with one of these roles count; empty: anyone registered")
    confirm: str | None = Field(default=None, description="Argument that names who confirms with a one-time code")
    reviewer: str | None = Field(
        default=None, description="Agent without tools that may be one of the people: two-person, agent or human"
    )
    escalate: Escalation | None = None
    repeat_most: int = Field(default=0, ge=0, le=100, description="Most n of 'approve the next n like this'; never T4")

    @model_validator(mode="after")
    def _someone_decides(self) -> Self:
        if not self.people and not self.confirm:
            raise ValueError("people: 0 needs `confirm`, or nobody would decide")
        return self


class ApprovalRules(Strict):
    """How approvals behave."""

    expire_minutes: float = Field(
        default=24 * 60, ge=0.01, le=60 * 24 * 90, description="Silence becomes no after this long"
    )
    deliver: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$",
        description="module:function that brings a one-time code to a person: async (ctx, person, code, what) -> None",
    )
    tools: dict[str, ApprovalRule] = Field(default={}, description="Rules by tool")

    @model_validator(mode="after")
    def _codes_arrive(self) -> Self:
        if not self.deliver and (needy := [name for name, rule in self.tools.items() if rule.confirm]):
            raise ValueError(f"{', '.join(needy)}: `confirm` needs `deliver`, or no code would ever arrive")
        return self

    def of(self, tool: str) -> ApprovalRule:
        """The rule for a tool."""
        return self.tools.get(tool, ApprovalRule())


class AlarmRules(Strict):
    """How many times the typical cost of its runs one may cost; what is not said, the platform says."""

    warn: int | None = Field(default=None, ge=1, le=MOST_TIMES, description="From here on people are told")
    stop: int | None = Field(default=None, ge=1, le=MOST_TIMES, description="From here on nothing more is begun")

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.warn and self.stop and self.warn > self.stop:
            raise ValueError("warn comes before stop")
        return self


class DelegationRules(Strict):
    """How far delegation may go from here on down; what is not said is the platform's."""

    depth: int | None = Field(default=None, ge=0, le=10, description="Runs above one that may still delegate, 0: none")
    width: int | None = Field(default=None, ge=0, le=50, description="Sub-agents of one run at work at once")
    total: int | None = Field(default=None, ge=0, le=1_000, description="Sub-agents of one run in its whole life")

    def within(self, caps: DelegationCaps) -> DelegationCaps:
        """These caps, as far as this definition tightens them."""
        return caps.tightened(caps.model_copy(update=self.model_dump(exclude_none=True)))


def _by_name(raw: Any) -> Any:
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
        description="Script that stands in where no key for `model` is configured",
    )
    max_output_tokens: int = Field(default=8_192, ge=1, le=128_000)
    tools: tuple[ToolSource, ...] = ()
    mode: Mode = "tiered"
    budget: BudgetRequest = BudgetRequest()
    on_budget: OnBudget = Field(
        default="pause",
        description="When a budget of the run is used up: pause until someone adds to it, or stop, where nobody can",
    )
    alarms: AlarmRules = Field(default=AlarmRules(), description="When a run costs far more than its agent's runs do")
    caps: tuple[AgentCap, ...] = Field(
        default=(), description="What it may use, in each run or in all together; platform and tenant may allow less"
    )
    approvals: ApprovalRules = ApprovalRules()
    grants: GrantsField | None = Field(
        default=None,
        description="What each tool may be used for; once set, all but plain reads need one",
    )
    on_failure: Literal["undo"] | None = Field(
        default=None, description="undo: what a run did is taken back when it fails or is stopped, but not by a person"
    )
    delegates: Annotated[dict[AgentName, BudgetRequest], BeforeValidator(_by_name)] = Field(
        default={}, description="Agents that it may hand work to, and the most that each task may use; a list will do"
    )
    delegation: DelegationRules = DelegationRules()
    policy: str | None = Field(
        default=None, max_length=200_000, description="Cedar file beside this one: the agent's own policy"
    )

    @model_validator(mode="after")
    def _about_its_tools(self) -> Self:
        used = {name for source in self.tools for name in source.use}
        if strange := sorted({*(self.grants or {}), *self.approvals.tools} - used):
            raise ValueError(f"grants or approvals name tools the agent does not use: {', '.join(strange)}")
        capped = {cap.calls.removeprefix("tool:") for cap in self.caps if cap.calls.startswith("tool:")}
        if strange := sorted(capped - used):
            raise ValueError(f"caps name tools the agent does not use: {', '.join(strange)}")
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
        raise DefinitionInvalid(f"{origin}: " + "; ".join(_problem(item) for item in error.errors())) from None


def read_definition(path: Path) -> AgentDefinition:
    """The definition in a file. Raises DefinitionInvalid."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DefinitionInvalid(f"cannot read {path}: {error}") from None
    return _with_policy(parse_definition(text, path.name), path)


def _with_policy(definition: AgentDefinition, path: Path) -> AgentDefinition:
    """The definition with its policy's text in place of the file's name."""
    if definition.policy is None:
        return definition
    file = path.parent / definition.policy
    try:
        return definition.model_copy(update={"policy": file.read_text(encoding="utf-8")})
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise DefinitionInvalid(f"{path.name}: cannot read its policy {definition.policy!r}: {error}") from None


def json_schema() -> dict[str, Any]:
    """JSON Schema of `agent.yaml`, for editors: `stanchion agents schema`."""
    return AgentDefinition.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"}


def _problem(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] != "extra_forbidden":
        return f"{where}: {item['msg'].removeprefix('Value error, ')}"
    known = _fields_at(item["loc"][:-1])
    close = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"
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
