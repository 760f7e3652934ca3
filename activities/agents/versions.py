"""Agent versions: definitions with pinned tools, identified by the hash of their content, and their store."""

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from activities.agents.definition import AgentDefinition, DefinitionInvalid, read_definition
from activities.agents.definition_checks import check_definition
from activities.errors import Permanent
from activities.policy.cedar.policy import Policy, load
from activities.policy.cedar.schema import ToolShape
from activities.policy.engine.evaluation import acts_outside
from activities.storage.canonical import canonical_json, sha256_hex
from activities.storage.database import Database
from activities.storage.queries import Queries
from activities.tools.errors import ToolDeclarationError
from activities.tools.registry import BUILTIN, BUILTIN_MODULE, find_tool
from activities.tools.spec import ToolSpec
from activities.tools.undo import sources_of
from workflows.contracts.calls import Tier
from workflows.delegation import DELEGATE_TOOL

SQL = Queries(__file__, "agents.sql")


class AgentUnknown(Permanent):
    """No agent of that name is registered."""


class AgentVersionMissing(Permanent):
    """The agent version of this run is not in the database any more; restore it from a backup."""


@dataclass(frozen=True)
class PinnedTool:
    """A tool as an agent version offers it: what the model and the workflow need, without the tool's code."""

    module: str
    name: str
    description: str
    input_schema: dict[str, Any]
    pinned_hash: str
    parallel: bool
    timeout: int
    tier: Tier = "T4"  # these defaults apply to versions stored before the fields existed, and are the strictest
    effect: str = "admin"
    acts_outside: bool = True
    private: bool = False
    undo: str | None = None  # the tool that undoes its effect
    undo_from: dict[str, str] = field(default_factory=dict)  # argument of the undo tool -> its source


@dataclass(frozen=True)
class AgentVersion:
    """One version of an agent."""

    version: str
    definition: AgentDefinition
    tools: tuple[PinnedTool, ...]
    source: str

    @cached_property
    def by_name(self) -> dict[str, PinnedTool]:
        """The version's tools, by name."""
        return {tool.name: tool for tool in self.tools}

    @cached_property
    def own_tools(self) -> tuple[str, ...]:
        """The names of its tools, without the built-in ones."""
        return tuple(tool.name for tool in self.tools if tool.name not in BUILTIN)

    @cached_property
    def acts_outside(self) -> bool:
        """Whether one of its tools can send data outside of the organisation."""
        return any(tool.acts_outside for tool in self.tools)

    @cached_property
    def policy(self) -> Policy | None:
        """Its own policy, parsed. Raises PolicyInvalid."""
        if self.definition.policy is None:
            return None
        return load(self.definition.policy, version=self.version, scope="agent")


def resolve(definition: AgentDefinition, source: str) -> AgentVersion:
    """The version of `definition` with the tools as they are now. Raises DefinitionInvalid."""
    sources = [(s.module, name) for s in definition.tools for name in s.use] + [
        (BUILTIN_MODULE, name) for name in BUILTIN if name != DELEGATE_TOOL or definition.delegates
    ]
    specs: dict[str, tuple[str, ToolSpec]] = {}
    for module, name in sources:
        try:
            spec = find_tool(module, name)
        except ToolDeclarationError as error:
            raise DefinitionInvalid(f"{definition.name}: {error}") from None
        if name in specs:
            raise DefinitionInvalid(
                f"{definition.name}: two tools are called {name!r}; the model could not tell them apart"
            )
        specs[name] = module, spec
    tools = {name: _pin(definition.name, module, spec, specs) for name, (module, spec) in specs.items()}
    if DELEGATE_TOOL in tools:
        tools[DELEGATE_TOOL] = _describe_delegates(tools[DELEGATE_TOOL], definition)
    check_definition(definition, tools, shapes(tools.values()))
    content = [definition.model_dump(mode="json"), [_hashed_parts(tool) for tool in tools.values()]]
    return AgentVersion(sha256_hex(content), definition, tuple(tools.values()), source)


class Agents:
    """Stores and reads agents in Postgres. It caches versions, because they never change."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: dict[str, AgentVersion] = {}

    async def publish_file(self, path: Path) -> AgentVersion:
        """Read, resolve and publish an `agent.yaml`. Raises DefinitionInvalid, StoreUnavailable."""
        return await self.publish(from_file(path))

    async def publish(self, agent: AgentVersion) -> AgentVersion:
        """Store a version and make it the version that new runs get. Safe to repeat."""
        await SQL["publish"].row(
            self._database,
            version=agent.version,
            name=agent.definition.name,
            definition=canonical_json(agent.definition.model_dump(mode="json")),
            tools=canonical_json([vars(tool) for tool in agent.tools]),
            source=agent.source,
        )
        return agent

    async def current(self, name: str) -> AgentVersion:
        """The version that new runs of `name` get. Raises AgentUnknown, with the closest name."""
        head = await SQL["head"].row(self._database, name=name)
        if head is None:
            names = [row["name"] for row in await SQL["all"].rows(self._database)]
            close = difflib.get_close_matches(name, names, n=1)
            hint = f"did you mean {close[0]!r}?" if close else f"registered: {', '.join(names) or 'none'}"
            raise AgentUnknown(f"no agent is called {name!r}; {hint} (`stanchion agents add FILE` registers one)")
        return await self.version(head["version"])

    async def version(self, version: str) -> AgentVersion:
        """One version. Raises AgentVersionMissing."""
        if version not in self._known:
            row = await SQL["version"].row(self._database, version=version)
            if row is None:
                raise AgentVersionMissing(f"agent version {version[:12]} is not in the database")
            self._known[version] = decode(row)
        return self._known[version]

    async def all(self) -> list[AgentVersion]:
        """The current version of every agent, sorted by name."""
        return [await self.version(row["version"]) for row in await SQL["all"].rows(self._database)]


def from_file(path: Path) -> AgentVersion:
    """Read and resolve an `agent.yaml`. Raises DefinitionInvalid."""
    definition, folder = read_definition(path), path.resolve().parent
    for script in (definition.model, definition.rehearsal or ""):
        file = script.removeprefix("scripted:")
        if script.startswith("scripted:") and file.endswith((".yaml", ".yml")) and not (folder / file).is_file():
            raise DefinitionInvalid(f"{path.name}: there is no script {file!r} in its folder")
    return resolve(definition, str(folder))


def decode(row: Any) -> AgentVersion:
    """An agent version from its row."""
    return AgentVersion(
        version=row["version"],
        definition=AgentDefinition.model_validate_json(row["definition"]),
        tools=tuple(PinnedTool(**tool) for tool in json.loads(row["tools"])),
        source=row["source"],
    )


def _hashed_parts(tool: PinnedTool) -> list[Any]:
    """The parts of a pinned tool that count for the version's hash."""
    return [tool.pinned_hash, tool.timeout, *([tool.undo_from] if tool.undo else [])]


def _pin(agent: str, module: str, spec: ToolSpec, specs: Mapping[str, tuple[str, ToolSpec]]) -> PinnedTool:
    return PinnedTool(
        module=module,
        name=spec.name,
        description=spec.description,
        input_schema=spec.schema,
        pinned_hash=spec.pinned_hash,
        parallel=spec.facts.effect == "read" and spec.name != "wait",
        timeout=spec.timeout,
        tier=spec.tier,
        effect=spec.facts.effect,
        acts_outside=acts_outside(spec.facts),
        private=spec.facts.private,
        undo=spec.facts.undo,
        undo_from=_undo_from(agent, module, spec, specs),
    )


def _undo_from(agent: str, module: str, spec: ToolSpec, specs: Mapping[str, tuple[str, ToolSpec]]) -> dict[str, str]:
    """The sources of the undo's arguments. The undo is the agent's tool of that name, or one of the same module."""
    if spec.facts.undo is None:
        return {}
    try:
        undo_tool = specs[spec.facts.undo][1] if spec.facts.undo in specs else find_tool(module, spec.facts.undo)
        if undo_tool.facts.effect == "read":
            raise ToolDeclarationError(f"{undo_tool.name} is a read, and cannot undo anything")
        return sources_of(spec, undo_tool, spec.undo_from)
    except ToolDeclarationError as error:
        raise DefinitionInvalid(f"{agent}: {spec.name} declares undo {spec.facts.undo!r}: {error}") from None


def _describe_delegates(tool: PinnedTool, definition: AgentDefinition) -> PinnedTool:
    """The tool `delegate`, with the names of the agents in its description."""
    return replace(tool, description=f"{tool.description}\nThe agents: {', '.join(definition.delegates)}.")


def shapes(tools: Iterable[PinnedTool]) -> list[ToolShape]:
    """The shapes of tools, as the schema of a policy needs them."""
    return [ToolShape(tool.name, tool.tier, tool.effect, tool.input_schema) for tool in tools]


def shapes_of_all(agents: Iterable[AgentVersion]) -> list[ToolShape]:
    """The shapes of all tools of these agents, for a policy that applies to all of them."""
    return shapes(tool for agent in agents for tool in agent.tools)
