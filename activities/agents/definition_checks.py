"""Checks a definition against the tools it names, before any run starts."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from activities.agents.definition import AgentDefinition, ApprovalRule, DefinitionInvalid
from activities.policy.cedar.policy import PolicyInvalid, load
from activities.policy.cedar.schema import ToolShape, schema_for
from workflows.contracts.calls import Tier

# The strictest of the vendors: OpenAI's 64 characters for a tool, Anthropic's pattern for the fields of a schema.
TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
TOOL_NAME_WORDS = "1 to 64 ASCII letters, digits, _ and -"
ARGUMENT_NAME = re.compile(r"[a-zA-Z0-9_.-]{1,64}")
ARGUMENT_NAME_WORDS = "1 to 64 ASCII letters, digits, _, . and -"


class CheckedTool(Protocol):
    """A tool, as far as this room looks at it."""

    @property
    def tier(self) -> Tier:
        """How dangerous it is."""
        ...

    @property
    def undo(self) -> str | None:
        """The tool that takes its effect back."""
        ...

    @property
    def input_schema(self) -> dict[str, Any]:
        """JSON Schema of its arguments."""
        ...


def check_definition(
    definition: AgentDefinition, tools: Mapping[str, CheckedTool], shapes: Sequence[ToolShape]
) -> None:
    """Raises DefinitionInvalid with everything that does not fit."""
    checks = (_refused_by_vendors, _strange_arguments, _strange_approvals, _missing_undos)
    if problems := [problem for check in checks for problem in check(definition, tools)]:
        raise DefinitionInvalid(f"{definition.name}: {'; '.join(problems)}")
    if definition.policy is None:
        return
    try:
        load(definition.policy, version="", scope="agent", schema=schema_for(shapes))
    except PolicyInvalid as error:
        raise DefinitionInvalid(f"{definition.name}: its policy cannot be used: {error}") from None


def _refused_by_vendors(definition: AgentDefinition, tools: Mapping[str, CheckedTool]) -> Iterator[str]:
    """Names and schemas that vendors answer with 400: found here, not at the first step of the first run."""
    for name, tool in tools.items():
        if not TOOL_NAME.fullmatch(name):
            yield f"{name!r} is no name for a tool: model vendors take {TOOL_NAME_WORDS}; rename it"
        schema = tool.input_schema
        if schema.get("type") != "object":
            yield f"{name}: the schema of its arguments needs `type: object` at its top"
        for word in ("oneOf", "anyOf", "allOf"):
            if word in schema:
                yield f"{name}: model vendors refuse {word} at the top of a schema; put it below a named argument"
        for argument in sorted(set(_argument_names(schema))):
            if not ARGUMENT_NAME.fullmatch(argument):
                yield f"{name}: {argument!r} is no name for an argument: vendors take {ARGUMENT_NAME_WORDS}; rename it"


def _argument_names(schema: Any) -> Iterator[str]:
    """The names of arguments, and of the fields within them."""
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


def _strange_arguments(definition: AgentDefinition, tools: Mapping[str, CheckedTool]) -> Iterator[str]:
    """A constraint on an argument that does not exist would limit nothing, or refuse everything."""
    for tool, alternatives in (definition.grants or {}).items():
        known = list(tools[tool].input_schema.get("properties", {}))
        for strange in sorted({name for grant in alternatives for name in grant.arguments} - {*known}):
            yield f"grants.{tool}: it has no argument {strange!r}, only {', '.join(known) or 'none at all'}"


def _strange_approvals(definition: AgentDefinition, tools: Mapping[str, CheckedTool]) -> Iterator[str]:
    for name, rule in definition.approvals.tools.items():
        if rule.confirm is not None and (problem := _strange_subject(name, rule.confirm, tools[name].input_schema)):
            yield f"approvals.tools.{name}.confirm: {problem}"
        if problem := _strange_reviewer(definition.name, rule, tools[name].tier):
            yield f"approvals.tools.{name}.reviewer: {problem}"


def _missing_undos(definition: AgentDefinition, tools: Mapping[str, CheckedTool]) -> Iterator[str]:
    """An agent that takes its effects back needs the tools that do."""
    if definition.on_failure != "undo":
        return
    undos = {name: tool.undo for name, tool in tools.items() if tool.undo}
    if not undos:
        yield "on_failure: none of its tools declares an undo, so nothing would ever be taken back"
    for name, undo in undos.items():
        if undo not in tools:
            yield f"on_failure: {name} is taken back by {undo!r}; name it among its tools too"


def _strange_subject(tool: str, argument: str, schema: Mapping[str, Any]) -> str | None:
    """Whom a call is about has to be named in every call, as text: or nobody would confirm it."""
    if argument not in schema.get("properties", {}):
        return f"{tool} has no argument {argument!r}"
    if argument not in schema.get("required", ()):
        return f"{argument!r} may be left out of a call of {tool}, and then nobody would confirm it; make it required"
    if schema["properties"][argument].get("type") != "string":
        return f"{argument!r} of {tool} is not a string, so it names nobody"
    return None


def _strange_reviewer(agent: str, rule: ApprovalRule, tier: Tier) -> str | None:
    if rule.reviewer is None:
        return None
    if rule.reviewer == agent:
        return "an agent does not review itself"
    if rule.people < 2 and tier != "T4":
        return "an agent is never the only one asked; say people: 2 or more"
    return None
