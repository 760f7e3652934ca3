"""Checks a definition against the tools that it names, before any run starts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from activities.agents.definition import AgentDefinition, ApprovalRule, DefinitionInvalid
from activities.policy.cedar.policy import PolicyInvalid, load
from activities.policy.cedar.schema import ToolShape, schema_for
from workflows.contracts.calls import Tier

# The strictest vendor's limits: OpenAI's 64 characters for a tool, Anthropic's pattern for the fields of a schema.
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
TOOL_NAME_WORDS = "1 to 64 ASCII letters, digits, _ and -"
ARGUMENT_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
ARGUMENT_NAME_WORDS = "1 to 64 ASCII letters, digits, _, . and -"


class CheckedTool(Protocol):
    """The properties of a tool that these checks need."""

    @property
    def tier(self) -> Tier:
        """The tier of the tool's calls."""
        ...

    @property
    def undo(self) -> str | None:
        """The name of the tool that undoes its effect."""
        ...

    @property
    def input_schema(self) -> dict[str, Any]:
        """The JSON Schema of its arguments."""
        ...


def check_definition(
    definition: AgentDefinition, tools: Mapping[str, CheckedTool], shapes: Sequence[ToolShape]
) -> None:
    """Check a definition and its policy. Raises DefinitionInvalid with all problems."""
    checks = (_names_vendors_refuse, _unknown_grant_arguments, _approval_problems, _missing_undos)
    if problems := [problem for check in checks for problem in check(definition, tools)]:
        raise DefinitionInvalid(f"{definition.name}: {'; '.join(problems)}")
    if definition.policy is None:
        return
    try:
        load(definition.policy, version="", scope="agent", schema=schema_for(shapes))
    except PolicyInvalid as error:
        raise DefinitionInvalid(f"{definition.name}: its policy cannot be used: {error}") from None


def _names_vendors_refuse(definition: AgentDefinition, tools: Mapping[str, CheckedTool]) -> Iterator[str]:
    """Names and schemas that vendors would refuse with HTTP 400 at the first step of a run."""
    for name, tool in tools.items():
        if not TOOL_NAME.fullmatch(name):
            yield f"{name!r} is no valid name for a tool: model vendors accept {TOOL_NAME_WORDS}; rename it"
        schema = tool.input_schema
        if schema.get("type") != "object":
            yield f"{name}: the schema of its arguments needs `type: object` at its top"
        for keyword in ("oneOf", "anyOf", "allOf"):
            if keyword in schema:
                yield f"{name}: model vendors refuse {keyword} at the top of a schema; put it inside an argument"
        for argument in sorted(set(_argument_names(schema))):
            if not ARGUMENT_NAME.fullmatch(argument):
                yield f"{name}: {argument!r} is no valid name for an argument: use {ARGUMENT_NAME_WORDS}"


def _argument_names(schema: Any) -> Iterator[str]:
    """The names of all arguments and of all fields inside them."""
    if isinstance(schema, list):
        for part in schema:
            yield from _argument_names(part)
    elif isinstance(schema, dict):
        properties = schema.get("properties")
        yield from properties if isinstance(properties, dict) else ()
        for key, part in schema.items():
            if key == "properties" and isinstance(part, dict):
                yield from _argument_names(list(part.values()))
            elif key not in ("default", "const", "enum", "examples"):
                yield from _argument_names(part)


def _unknown_grant_arguments(definition: AgentDefinition, tools: Mapping[str, CheckedTool]) -> Iterator[str]:
    """Constraints on arguments that do not exist; these would limit nothing, or refuse every call."""
    for tool, alternatives in (definition.grants or {}).items():
        existing = list(tools[tool].input_schema.get("properties", {}))
        for unknown in sorted({name for grant in alternatives for name in grant.arguments} - {*existing}):
            yield f"grants.{tool}: it has no argument {unknown!r}, only {', '.join(existing) or 'none at all'}"


def _approval_problems(definition: AgentDefinition, tools: Mapping[str, CheckedTool]) -> Iterator[str]:
    for name, rule in definition.approvals.tools.items():
        if rule.confirm is not None and (problem := _subject_problem(name, rule.confirm, tools[name].input_schema)):
            yield f"approvals.tools.{name}.confirm: {problem}"
        if problem := _reviewer_problem(definition.name, rule, tools[name].tier):
            yield f"approvals.tools.{name}.reviewer: {problem}"


def _missing_undos(definition: AgentDefinition, tools: Mapping[str, CheckedTool]) -> Iterator[str]:
    """With `on_failure: undo`, the undo tools that the agent lacks."""
    if definition.on_failure != "undo":
        return
    undos = {name: tool.undo for name, tool in tools.items() if tool.undo}
    if not undos:
        yield "on_failure: none of its tools declares an undo, so nothing could be rolled back"
    for name, undo in undos.items():
        if undo not in tools:
            yield f"on_failure: {name} is undone by {undo!r}; name it among its tools too"


def _subject_problem(tool: str, argument: str, schema: Mapping[str, Any]) -> str | None:
    """Why the argument cannot name the subject. Every call must have it, as text, or nobody could confirm the call."""
    if argument not in schema.get("properties", {}):
        return f"{tool} has no argument {argument!r}"
    if argument not in schema.get("required", ()):
        return f"{argument!r} may be left out of a call of {tool}, and then nobody would confirm it; make it required"
    if schema["properties"][argument].get("type") != "string":
        return f"{argument!r} of {tool} is not a string, so it cannot name a person"
    return None


def _reviewer_problem(agent: str, rule: ApprovalRule, tier: Tier) -> str | None:
    if rule.reviewer is None:
        return None
    if rule.reviewer == agent:
        return "an agent cannot review itself"
    if rule.people < 2 and tier != "T4":
        return "a reviewing agent cannot decide alone; set people to 2 or more"
    return None
