"""Reads test cases for a policy from YAML, and evaluates each as the gateway would. Performs and stores nothing.

Each case becomes a transcript in memory and a call, which the gateway's own functions evaluate.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

from activities.agents.definition import AgentDefinition, parse_definition, read_definition
from activities.agents.strict_yaml import YamlInvalid, read_yaml
from activities.agents.versions import AgentVersion, resolve
from activities.errors import Permanent
from activities.gateway.evaluation.checks import Candidate, EvaluatedCall, PolicyContext, evaluate
from activities.gateway.evaluation.evidence import EvidenceReader
from activities.gateway.execution.results import from_value
from activities.gateway.facts import CallFacts
from activities.model.provider import Text, ToolCall, ToolResult
from activities.policy.cedar.policy import load
from activities.policy.cedar.store import DEFAULT, PLATFORM, Effective, version_of
from activities.policy.engine.verdicts import Allow, Ask, Deny
from activities.storage.canonical import canonical_json, sha256_hex
from activities.storage.transcript import Origin, Row, Transcripts
from activities.tools.registry import find_tool
from activities.tools.spec import ToolSpec
from workflows.contracts.base import explain
from workflows.contracts.runs import Mode

Word = Literal["allow", "ask", "deny"]
WORDS: dict[type, Word] = {Allow: "allow", Ask: "ask", Deny: "deny"}
CALL_ID = "case"  # differs from all call ids of a case's transcript


class CasesInvalid(Permanent):
    """The cases cannot be read; the message names each line to change."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class PriorMessage(_Strict):
    """An earlier message of the run: a person's words, or the result of a tool."""

    user: str | None = Field(default=None, description="A person's words; the first are the goal")
    trusted: JsonValue = Field(default=None, description="A result of trusted origin: text or data")
    untrusted: JsonValue = Field(default=None, description="A result of untrusted origin: text or data")
    output: JsonValue = Field(default=None, description="A result of `tool`, of the origin that the tool declares")
    tool: str | None = Field(default=None, description="A tool of the agent whose result this is")
    arguments: dict[str, JsonValue] = Field(default={}, description="The arguments of that tool")
    suspect: str | None = Field(default=None, min_length=1, description="Why the data may be wrong")

    @model_validator(mode="after")
    def _check_kind(self) -> Self:
        if len(self.model_fields_set & {"user", "trusted", "untrusted", "output"}) != 1:
            raise ValueError("give one of user, trusted, untrusted, or output (of a tool)")
        if "output" in self.model_fields_set and self.tool is None:
            raise ValueError("output needs the tool that returned it; without a tool, give trusted or untrusted")
        if self.user is not None and self.model_fields_set != {"user"}:
            raise ValueError("user cannot be combined with other keys")
        return self


class Case(_Strict):
    """One call and its expected verdict."""

    name: str = Field(min_length=1)
    agent: str | dict[str, Any] | None = Field(
        default=None, description="The agent of this case, instead of the file's agent"
    )
    tool: str
    arguments: dict[str, JsonValue] = {}
    before: tuple[PriorMessage, ...] = Field(default=(), description="Earlier messages and results, in order")
    mode: Mode | None = Field(default=None, description="The run's mode; by default the agent's own")
    tenant: str | None = None
    requester: str | None = None
    tainted: bool = Field(default=False, description="The run was given untrusted data before its first step")
    endorsed: tuple[str, ...] = Field(default=(), description="Values that a person endorsed")
    expect: Word
    rule: str | None = Field(default=None, description="The expected rule of the verdict")


class Cases(_Strict):
    """A file of cases. Its agent, tenant, requester and mode are defaults for the cases."""

    agent: str | dict[str, Any] | None = Field(
        default=None, description="Path of an agent.yaml, relative to this file, or a definition"
    )
    tenant: str = "default"
    requester: str | None = None
    mode: Mode | None = None
    cases: tuple[Case, ...]

    @model_validator(mode="after")
    def _check_cases(self) -> Self:
        if not self.cases:
            raise ValueError("there are no cases")
        if self.agent is None and (without_agent := [case.name for case in self.cases if case.agent is None]):
            raise ValueError(f"no agent is given, neither for the file nor for: {', '.join(without_agent)}")
        names = [case.name for case in self.cases]
        if repeated := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"two cases are called {', '.join(map(repr, repeated))}")
        return self


@dataclass(frozen=True)
class Rehearsed:
    """A case and its evaluation."""

    case: Case
    evaluated: EvaluatedCall

    @property
    def word(self) -> Word:
        """The verdict in one word: allow, ask or deny."""
        return word_of(self.evaluated)

    @property
    def passed(self) -> bool:
        """Whether the verdict and its rule are as expected."""
        return self.word == self.case.expect and self.case.rule in (None, self.evaluated.verdict.rule)


def word_of(evaluated: EvaluatedCall) -> Word:
    """The verdict in one word: allow, ask or deny."""
    return WORDS[type(evaluated.verdict)]


def read_cases(path: Path) -> Cases:
    """The cases in a file. Raises CasesInvalid."""
    try:
        raw = read_yaml(path.read_text(encoding="utf-8"))
    except YamlInvalid as error:
        raise CasesInvalid(f"{path.name} is not valid YAML: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise CasesInvalid(f"cannot read {path}: {error}") from None
    if not isinstance(raw, dict):
        raise CasesInvalid(f"{path.name} must be a mapping with agent and cases")
    try:
        return Cases.model_validate(raw)
    except ValidationError as error:
        raise CasesInvalid(f"{path.name}: {explain(error)}") from None


def offline(tenant_policy: str | None, money_floor: int, tenant: str) -> Effective:
    """The shipped platform policy together with this tenant policy, without a database. Raises PolicyInvalid.

    The policy is not checked against tools; `stanchion policy set` does that with the tools of all registered agents.
    """
    scopes = [(PLATFORM, DEFAULT.read_text(encoding="utf-8"))]
    if tenant_policy is not None:
        scopes.append((tenant, tenant_policy))
    policies = tuple(load(text, version=version_of(scope, text, money_floor), scope=scope) for scope, text in scopes)
    return Effective(sha256_hex([policy.version for policy in policies]), policies, money_floor)


@dataclass(frozen=True)
class Rehearsal:
    """A file of cases with their agents, ready to be evaluated."""

    cases: Cases
    agents: tuple[AgentVersion, ...]  # one for each case

    @classmethod
    def read(cls, path: Path) -> "Rehearsal":
        """Read a file of cases and its agents. Raises CasesInvalid, DefinitionInvalid."""
        cases = read_cases(path)
        resolved: dict[str, AgentVersion] = {}

        def agent_of(file_or_definition: str | dict[str, Any] | None) -> AgentVersion:
            key = (
                canonical_json(file_or_definition) if isinstance(file_or_definition, dict) else str(file_or_definition)
            )
            if key not in resolved:
                resolved[key] = resolve(_definition(file_or_definition or "", path.parent), str(path.parent))
            return resolved[key]

        return cls(cases, tuple(agent_of(case.agent or cases.agent) for case in cases.cases))

    def tenants(self) -> list[str]:
        """The tenants of the cases, sorted."""
        return sorted({case.tenant or self.cases.tenant for case in self.cases.cases})

    async def evaluate(self, policies: dict[str, Effective]) -> list[Rehearsed]:
        """Evaluate every case with the policies of its tenant. Raises CasesInvalid if a case names an unknown tool."""
        return [
            Rehearsed(case, await self._evaluate_case(case, agent, policies[case.tenant or self.cases.tenant]))
            for case, agent in zip(self.cases.cases, self.agents, strict=True)
        ]

    async def _evaluate_case(self, case: Case, agent: AgentVersion, policies: Effective) -> EvaluatedCall:
        rows = _transcript(case, agent)
        facts = as_planned(
            run_id=f"case/{case.name}",
            call_id=CALL_ID,
            agent=agent.definition.name,
            agent_version=agent.version,
            tenant=case.tenant or self.cases.tenant,
            requester=case.requester or self.cases.requester,
            mode=case.mode or self.cases.mode or agent.definition.mode,
            tainted_by="the case says so" if case.tainted else None,
            endorsed=list(case.endorsed),
            response_seq=len(rows),
            tool=case.tool,
            arguments=canonical_json(case.arguments),
        )
        evidence = await EvidenceReader(_CaseTranscript(rows)).read(facts, agent)
        candidate = Candidate(facts, agent, agent.by_name.get(case.tool), _spec(agent, case.tool))
        return evaluate(candidate, PolicyContext(evidence, policies))


def as_planned(**fields: Any) -> CallFacts:
    """The facts of a call that was planned, but not yet decided or performed. Fields that are not given are empty."""
    empty: dict[str, Any] = dict.fromkeys(CallFacts.__dataclass_fields__)
    empty |= {"frozen_policy": "", "status": "open", "heads": [], "endorsed": [], "approved_by": []}
    return CallFacts(**empty | {"step": 0, "seq": 0, "digest": ""} | fields)


class _CaseTranscript(Transcripts):
    """A transcript in memory."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    async def read(self, run_id: str, upto_seq: int) -> list[Row]:
        return self._rows[:upto_seq]


def _transcript(case: Case, agent: AgentVersion) -> list[Row]:
    rows: list[Row] = []
    for number, prior in enumerate(case.before):
        if prior.user is not None:
            rows.append(Row(len(rows), "message" if rows else "goal", "user", None, (Text(text=prior.user),)))
            continue
        call_id = f"{number}.0"
        if prior.tool is not None:
            call = ToolCall(call_id=call_id, name=prior.tool, input=prior.arguments)
            rows.append(Row(len(rows), "response", "model", None, (call,)))
        origin, value = _origin_and_value(case, prior, agent)
        result = from_value(value, origin, call_id)
        result = result.suspected(prior.suspect) if prior.suspect else result
        block = ToolResult(call_id=call_id, text=result.text)
        rows.append(Row(len(rows), "result", origin, call_id, (block,), result.suspect))
    return rows


def _origin_and_value(case: Case, prior: PriorMessage, agent: AgentVersion) -> tuple[Origin, Any]:
    """The origin and the value of a result."""
    if "trusted" in prior.model_fields_set:
        return "trusted", prior.trusted
    if "untrusted" in prior.model_fields_set:
        return "untrusted", prior.untrusted
    spec = _spec(agent, prior.tool or "")
    if spec is None:
        raise CasesInvalid(f"{case.name}: {agent.definition.name} has no tool {prior.tool!r}; it has: {_names(agent)}")
    return spec.facts.output, prior.output


def _spec(agent: AgentVersion, tool: str) -> ToolSpec | None:
    pinned = agent.by_name.get(tool)
    return find_tool(pinned.module, pinned.name) if pinned else None


def _names(agent: AgentVersion) -> str:
    return ", ".join(sorted(agent.by_name))


def _definition(file_or_definition: str | dict[str, Any], folder: Path) -> AgentDefinition:
    if isinstance(file_or_definition, str):
        return read_definition(folder / file_or_definition)
    definition = parse_definition(json.dumps(file_or_definition), "agent")  # JSON is YAML
    if definition.policy is None:
        return definition
    try:
        text = (folder / definition.policy).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise CasesInvalid(f"agent: cannot read its policy {definition.policy!r}: {error}") from None
    return definition.model_copy(update={"policy": text})


def failures(rehearsed: Sequence[Rehearsed]) -> int:
    """The number of cases whose verdict or rule is not as expected."""
    return sum(not each.passed for each in rehearsed)
