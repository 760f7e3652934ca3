"""AgentDefinition: what a developer writes in `agent.yaml`. Unknown keys are refused, with a suggestion."""

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from activities.errors import Permanent
from workflows.contracts.budgets import BudgetRequest
from workflows.contracts.runs import Mode


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


class ApprovalRules(Strict):
    """How approvals behave."""

    expire_minutes: float = Field(
        default=24 * 60, ge=0.01, le=60 * 24 * 90, description="Silence becomes no after this long"
    )


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
    approvals: ApprovalRules = ApprovalRules()


class _OneOfEachKey(yaml.SafeLoader):
    """YAML in which no key is given twice: nobody should have to know which of two budgets wins."""

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if repeated := {key for key in keys if keys.count(key) > 1}:
            raise ValueError(f"{', '.join(sorted(repeated))} given twice, in line {node.start_mark.line + 1} and after")
        return super().construct_mapping(node, deep)


def parse_definition(text: str, origin: str = "definition") -> AgentDefinition:
    """The definition in `text` (YAML). Raises DefinitionInvalid with one line per problem."""
    try:
        raw = yaml.load(text, _OneOfEachKey)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # ValueError: also a date such as 2024-13-45
        raise DefinitionInvalid(f"{origin} is not valid YAML: {' '.join(str(error).split())}") from None
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
    return parse_definition(text, path.name)


def json_schema() -> dict[str, Any]:
    """JSON Schema of `agent.yaml`, for editors: `stanchion agents schema`."""
    return AgentDefinition.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"}


def _problem(item: Any) -> str:
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] != "extra_forbidden":
        return f"{where}: {item['msg']}"
    known = _fields_at(item["loc"][:-1])
    close = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
    hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"
    return f"{where}: unknown key; {hint}"


def _fields_at(path: tuple[Any, ...]) -> list[str]:
    models: dict[str, type[BaseModel]] = {"tools": ToolSource, "budget": BudgetRequest, "approvals": ApprovalRules}
    model = models.get(str(path[0]), AgentDefinition) if path else AgentDefinition
    return list(model.model_fields)
