"""The policy engine: (call, facts, grants, evidence, policies, mode) -> Judgement. Pure: no clock, no I/O.

Every voice is heard and the strictest wins: the agent's grants, the tier table with what is known of each value's
origin, labelled secrets, suspect data, the agent's own rule to ask, the policies of platform, tenant and agent.
Whatever raises here is a Deny where the engine is called.
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
WHOLE = frozenset(("account", "principal", "amount"))  # kinds of which no part goes untraced; a secret always asks
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
    acts_outside: bool = True  # one of the agent's tools can carry something out of the house
    always_ask: bool = False
    money_floor: int = 0  # minor units
    pinned_hash: str = ""


@dataclass(frozen=True)
class Evaluation:
    """The verdict, and what it was based on: an approver sees it, and the approval is bound to it."""

    verdict: Verdict
    tier: Tier
    traced: tuple[Traced, ...] = ()
    tainted: bool = False
    suspect: str | None = None
    grant: Grant | None = None
    like: str = ""  # digest of the class of calls that this one is of: tool, grant, what counts in it
    asks: tuple[str, ...] = ()  # rules of all voices that would have a person asked, not of the strictest alone

    @property
    def origins(self) -> dict[str, str]:
        """Argument -> the worst origin of what it holds."""
        return dict(worst_origin_by_argument(self.traced))


Policies = Callable[["Evaluation"], Verdict]


def evaluate(call: Call, policies: Policies) -> Evaluation:
    """Evaluate a call. `policies` is asked last, with everything else known."""
    facts = _CallAnalysis(call)
    view = Evaluation(
        verdict=Deny("policy.silent", "not decided yet"),
        tier=facts.tier,
        traced=facts.traced,
        tainted=call.evidence.tainted,
        suspect=call.evidence.suspect,
        grant=facts.grant,
        like=facts.like,
    )
    heard = (*facts.verdicts(), policies(view))
    verdict, asks = strictest(heard), tuple(sorted({each.rule for each in heard if isinstance(each, Ask)}))
    if call.mode == "observe" and facts.is_effect:
        verdict = deny_in_observe_mode(verdict)
    return Evaluation(**{**vars(view), "verdict": verdict, "asks": asks})


def acts_outside(facts: Facts) -> bool:
    """Whether a tool can carry something out of the house. A read of some URL can."""
    leaves = EXTERNAL_KINDS.intersection(facts.sensitive.values())
    return bool(leaves) or facts.effect in ("send", "money", "exec", "admin")


@dataclass
class _CallAnalysis:
    """What follows from a call alone; computed in the order in which it is needed."""

    call: Call
    traced: tuple[Traced, ...] = field(init=False)
    origins: Mapping[str, str] = field(init=False)  # argument -> the worst origin of what it holds
    grant: Grant | None = field(init=False, default=None)
    like: str = field(init=False, default="")
    misfit: Violation | None = field(init=False, default=None)
    fitting: tuple[Grant, ...] = field(init=False, default=())  # every alternative that covers it by itself
    bounded: frozenset[str] = field(init=False, default=frozenset())  # arguments whose values its grant limits
    tier: Tier = field(init=False)

    def __post_init__(self) -> None:
        call = self.call
        self.traced = trace(call.arguments, call.facts.sensitive, call.evidence)
        self.origins = worst_origin_by_argument(self.traced)
        index = self._fit()
        self.tier = self._tier()
        self.like = similar_calls_digest(
            call.tool, call.pinned_hash, index, call.arguments, call.facts.sensitive, self.bounded
        )

    def verdicts(self) -> Iterator[Verdict]:
        """One verdict of each voice that has something to say."""
        yield tier_verdict(self._circumstances(), self.call.mode)
        if self.misfit and not self._reaches_out:  # a read of a place nobody listed is judged as a send instead
            yield Deny(self.misfit.rule, self.misfit.reason, correctable=False)
        if labels := self._labels():  # of a read too: a GET to a listed host tells its owner what is in the URL
            yield Ask("label." + labels[0], f"it carries what looks like a {' and a '.join(labels)} out of the house")
        if not self.is_effect:
            return
        if self.call.always_ask:
            yield Ask("approval.always", "the agent's definition has each call of this tool asked about or confirmed")
        if suspect := self.call.evidence.suspect:
            yield Ask("result.suspect", f"the run has read data that may be wrong: {suspect}")

    @property
    def is_effect(self) -> bool:
        """It changes something, or it is a read that reaches a place nobody listed."""
        return self.tier not in ("T0", "T1")

    # ── grants ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def _fit(self) -> int:
        call = self.call
        if call.grants is None:
            return -1
        if call.tool not in call.grants:
            if call.facts.effect != "read" or call.facts.sensitive:
                self.misfit = Violation("grant.none", f"the agent has grants, and none of them is for {call.tool}")
            return -1
        found = match_grants(call.grants[call.tool], call.arguments, call.facts.sensitive, self.origins)
        if isinstance(found, GrantMatch):
            self.grant, self.fitting, self.bounded = found.grant, found.fitting, found.bounded
            return found.index
        self.misfit = found
        return -1

    @property
    def _reaches_out(self) -> bool:
        """A read that goes to a place its arguments name."""
        return self.call.facts.effect == "read" and acts_outside(self.call.facts)

    def _tier(self) -> Tier:
        facts = self.call.facts
        if self._reaches_out and not self._listed():
            return "T3"  # a GET to a host that is on no list is an external send
        if facts.effect == "money" and self._below_floor():
            return "T3"
        return tier(facts)

    def _listed(self) -> bool:
        """Each place this read goes to is on the agent's list of hosts."""
        places = {name for name, kind in self.call.facts.sensitive.items() if kind in EXTERNAL_KINDS}
        named = {name for name in places if self.call.arguments.get(name) is not None}
        return any(all(_lists_places(grant, name) for name in named) for grant in self.fitting)

    def _below_floor(self) -> bool:
        amounts = [
            self.call.arguments.get(name) for name, kind in self.call.facts.sensitive.items() if kind == "amount"
        ]
        known = [amount for amount in amounts if isinstance(amount, int) and not isinstance(amount, bool)]
        return bool(amounts) and len(known) == len(amounts) and min(known) >= 0 and sum(known) <= self.call.money_floor

    # ── provenance ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _circumstances(self) -> TierFacts:
        call, evidence = self.call, self.call.evidence
        return TierFacts(
            tier=self.tier,
            tainted=evidence.tainted,
            exposed=evidence.tainted and call.acts_outside and evidence.sensitive,
            granted=self.grant is not None,
            unanchored=self._unanchored(),
            floating=evidence.tainted
            and not (self._named(call.facts.sensitive) or has_anchor(call.arguments, evidence)),
            loose_text=self._loose_text(),
        )

    def _named(self, arguments: Iterable[str]) -> set[str]:
        """Those of them that hold nothing but what the user or trusted data named."""
        return {name for name in arguments if self.origins.get(name) in ANCHORED}

    def _unanchored(self) -> str | None:
        found = [item for item in self.traced if item.origin not in ANCHORED]
        if not found:
            return None
        worst = next((item for item in found if item.origin == "untrusted"), found[0])
        source = {"untrusted": "was only seen in untrusted data", "model": "was seen nowhere but in the model's words"}
        return f"{worst.argument} {worst.value[:SHOWN]!r} {source[worst.origin]}"

    def _loose_text(self) -> str | None:
        """Free text that no constraint of the grant speaks about; None if there is none for one that fits."""
        texts = [
            name
            for name, value in self.call.arguments.items()
            if isinstance(value, str | list | dict) and value and name not in self.call.facts.sensitive
        ]
        loose = [[name for name in texts if name not in grant.arguments] for grant in self.fitting] or [texts]
        return None if [] in loose else loose[0][0]

    def _labels(self) -> list[str]:
        """What looks like a secret and would leave; not what was named for the very argument that it is all of."""
        call = self.call
        found = (
            secret_labels_in(_text_of(call.arguments))
            if self.tier in ("T3", "T4") or acts_outside(call.facts)
            else set()
        )
        named = self._named(name for name, kind in call.facts.sensitive.items() if kind in WHOLE)
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
    """Everything the arguments say, as text: strings as they are, so that no escape hides a digit."""
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
