"""The policy engine: (call, policies) -> evaluation. Pure: no clock, no I/O.

Each control gives a verdict, and the strictest wins. The controls are the tier table with the origin of each value,
the agent's grants, secrets in outgoing text, suspect data, the agent's own rule to ask, and the policies of platform,
tenant and agent. If a control raises, the caller of the engine denies the call.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from activities.policy.data_checks.secret_labels import secret_labels_in
from activities.policy.engine.tiers import TierFacts, deny_in_observe_mode, tier_verdict
from activities.policy.engine.verdicts import Ask, Deny, Verdict, strictest
from activities.policy.grants.constraints import Violation
from activities.policy.grants.grants import Grant, GrantMatch, Grants, match_grants, similar_calls_digest
from activities.policy.values.provenance import Evidence, Traced, has_anchor, trace, worst_origin_by_argument
from activities.storage.canonical import canonical_json
from activities.tools.facts import EXTERNAL_KINDS, Facts, tier
from workflows.contracts.calls import Tier
from workflows.contracts.runs import Mode

TIERS: tuple[Tier, ...] = ("T0", "T1", "T2", "T3", "T4")
ANCHORED = frozenset(("user", "trusted"))
WHOLE = frozenset(("account", "principal", "amount"))  # kinds traced as one value; without secrets, which always ask
SHOWN = 80  # characters of a value in a reason


@dataclass(frozen=True)
class Call:
    """A call as the engine sees it."""

    tool: str
    facts: Facts
    arguments: Mapping[str, Any]
    evidence: Evidence
    mode: Mode
    grants: Grants | None = None  # None: the agent has no grants at all, so every T3 asks
    acts_outside: bool = True  # one of the agent's tools can send data outside
    always_ask: bool = False
    money_floor: int = 0  # minor units
    pinned_hash: str = ""


@dataclass(frozen=True)
class Evaluation:
    """The verdict and what it is based on; an approver sees it, and the approval is bound to it."""

    verdict: Verdict
    tier: Tier
    traced: tuple[Traced, ...] = ()
    tainted: bool = False
    suspect: str | None = None
    grant: Grant | None = None
    similarity_digest: str = ""  # digest that calls share if they differ only in values that the grant bounds
    asks: tuple[str, ...] = ()  # rules of all verdicts that are Ask, also if a stricter one won

    @property
    def origins(self) -> dict[str, str]:
        """Argument -> the worst origin of its values."""
        return dict(worst_origin_by_argument(self.traced))


Policies = Callable[["Evaluation"], Verdict]


def evaluate(call: Call, policies: Policies) -> Evaluation:
    """Evaluate a call. `policies` is called last, with an Evaluation that is complete but for the verdict."""
    facts = _CallAnalysis(call)
    so_far = Evaluation(
        verdict=Deny("policy.silent", "not decided yet"),
        tier=facts.tier,
        traced=facts.traced,
        tainted=call.evidence.tainted,
        suspect=call.evidence.suspect,
        grant=facts.grant,
        similarity_digest=facts.similarity_digest,
    )
    verdicts = (*facts.verdicts(), policies(so_far))
    verdict, asks = strictest(verdicts), tuple(sorted({each.rule for each in verdicts if isinstance(each, Ask)}))
    if call.mode == "observe" and facts.is_effect:
        verdict = deny_in_observe_mode(verdict)
    return Evaluation(**{**vars(so_far), "verdict": verdict, "asks": asks})


def acts_outside(facts: Facts) -> bool:
    """Whether a tool can send data outside; a read can, if an argument names a destination such as a URL."""
    leaves = EXTERNAL_KINDS.intersection(facts.sensitive.values())
    return bool(leaves) or facts.effect in ("send", "money", "exec", "admin")


@dataclass
class _CallAnalysis:
    """Facts derived from a call: origins, matching grant and tier."""

    call: Call
    traced: tuple[Traced, ...] = field(init=False)
    origins: Mapping[str, str] = field(init=False)  # argument -> the worst origin of its values
    grant: Grant | None = field(init=False, default=None)
    similarity_digest: str = field(init=False, default="")
    violation: Violation | None = field(init=False, default=None)
    fitting: tuple[Grant, ...] = field(init=False, default=())  # every alternative of the grants that the call fits
    bounded: frozenset[str] = field(init=False, default=frozenset())  # arguments whose values the grant limits
    tier: Tier = field(init=False)

    def __post_init__(self) -> None:
        call = self.call
        self.traced = trace(call.arguments, call.facts.sensitive, call.evidence)
        self.origins = worst_origin_by_argument(self.traced)
        index = self._match_grant()
        self.tier = self._tier()
        self.similarity_digest = similar_calls_digest(
            call.tool, call.pinned_hash, index, call.arguments, call.facts.sensitive, self.bounded
        )

    def verdicts(self) -> Iterator[Verdict]:
        """The verdicts of all controls but the policies; a control without objection yields none."""
        yield tier_verdict(self._tier_facts(), self.call.mode)
        if self.violation and not self._reaches_out:  # a read of an unlisted place is evaluated as a send instead
            yield Deny(self.violation.rule, self.violation.reason, correctable=False)
        if secrets := self._outgoing_secrets():  # for reads, too: the owner of a listed host reads the URL of a GET
            reason = f"it sends outside what looks like a {' and a '.join(secrets)}"
            yield Ask("label." + secrets[0], reason)
        if not self.is_effect:
            return
        if self.call.always_ask:
            yield Ask(
                "approval.always", "the agent's definition requires approval or confirmation for each call of this tool"
            )
        if suspect := self.call.evidence.suspect:
            yield Ask("result.suspect", f"the run has read data that may be wrong: {suspect}")

    @property
    def is_effect(self) -> bool:
        """Whether the call changes something, or reads from an unlisted place."""
        return self.tier not in ("T0", "T1")

    # ── grants ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _match_grant(self) -> int:
        """Find the grant that the call fits, or the violation; returns the index of the grant, or -1."""
        call = self.call
        if call.grants is None:
            return -1
        if call.tool not in call.grants:
            if call.facts.effect != "read" or call.facts.sensitive:
                self.violation = Violation("grant.none", f"the agent has grants, and none of them is for {call.tool}")
            return -1
        found = match_grants(call.grants[call.tool], call.arguments, call.facts.sensitive, self.origins)
        if isinstance(found, GrantMatch):
            self.grant, self.fitting, self.bounded = found.grant, found.fitting, found.bounded
            return found.index
        self.violation = found
        return -1

    @property
    def _reaches_out(self) -> bool:
        """Whether the call is a read from a place that its arguments name."""
        return self.call.facts.effect == "read" and acts_outside(self.call.facts)

    def _tier(self) -> Tier:
        facts = self.call.facts
        if self._reaches_out and not self._is_listed():
            return "T3"  # a GET to an unlisted host counts as an external send
        if facts.effect == "money" and self._is_below_money_floor():
            return "T3"
        return tier(facts)

    def _is_listed(self) -> bool:
        """Whether a grant that fits lists each place that this read goes to."""
        places = {name for name, kind in self.call.facts.sensitive.items() if kind in EXTERNAL_KINDS}
        named = {name for name in places if self.call.arguments.get(name) is not None}
        return any(all(_lists_places(grant, name) for name in named) for grant in self.fitting)

    def _is_below_money_floor(self) -> bool:
        amounts = [
            self.call.arguments.get(name) for name, kind in self.call.facts.sensitive.items() if kind == "amount"
        ]
        known = [amount for amount in amounts if isinstance(amount, int) and not isinstance(amount, bool)]
        return bool(amounts) and len(known) == len(amounts) and min(known) >= 0 and sum(known) <= self.call.money_floor

    # ── provenance ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _tier_facts(self) -> TierFacts:
        call, evidence = self.call, self.call.evidence
        return TierFacts(
            tier=self.tier,
            tainted=evidence.tainted,
            exposed=evidence.tainted and call.acts_outside and evidence.sensitive,
            granted=self.grant is not None,
            unanchored=self._unanchored(),
            floating=evidence.tainted
            and not (self._anchored_arguments(call.facts.sensitive) or has_anchor(call.arguments, evidence)),
            loose_text=self._loose_text(),
        )

    def _anchored_arguments(self, arguments: Iterable[str]) -> set[str]:
        """Those of these arguments whose values were all named by people or trusted data."""
        return {name for name in arguments if self.origins.get(name) in ANCHORED}

    def _unanchored(self) -> str | None:
        found = [item for item in self.traced if item.origin not in ANCHORED]
        if not found:
            return None
        worst = next((item for item in found if item.origin == "untrusted"), found[0])
        source = {"untrusted": "was only seen in untrusted data", "model": "was only seen in the model's own words"}
        return f"{worst.argument} {worst.value[:SHOWN]!r} {source[worst.origin]}"

    def _loose_text(self) -> str | None:
        """The name of a free text that no constraint limits; None if some grant that fits limits all of them."""
        texts = [
            name
            for name, value in self.call.arguments.items()
            if isinstance(value, str | list | dict) and value and name not in self.call.facts.sensitive
        ]
        loose = [[name for name in texts if name not in grant.arguments] for grant in self.fitting] or [texts]
        return None if [] in loose else loose[0][0]

    def _outgoing_secrets(self) -> list[str]:
        """The kinds of secret that the call would send outside.

        Empty if all of them are in arguments whose whole value was named by people or trusted data, such as an account.
        """
        call = self.call
        found = (
            secret_labels_in(_text_of(call.arguments))
            if self.tier in ("T3", "T4") or acts_outside(call.facts)
            else set()
        )
        named = self._anchored_arguments(name for name, kind in call.facts.sensitive.items() if kind in WHOLE)
        if found and named:
            given = {name: value for name, value in call.arguments.items() if name in named}
            others = {name: value for name, value in call.arguments.items() if name not in named}
            if found <= secret_labels_in(_text_of(given)) and not secret_labels_in(_text_of(others)):
                return []
        return sorted(found)


def _lists_places(grant: Grant, argument: str) -> bool:
    constraint = grant.arguments.get(argument)
    return constraint is not None and bool(constraint.hosts or constraint.domains or constraint.one_of)


def _text_of(arguments: Mapping[str, Any]) -> str:
    """All strings and numbers in the arguments, without JSON escapes, which could hide a digit."""
    return "\n".join(_strings(arguments)) or canonical_json(dict(arguments))


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield str(key)
            yield from _strings(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _strings(item)
    elif isinstance(value, str):
        yield value
    elif isinstance(value, int | float):
        yield str(value)
