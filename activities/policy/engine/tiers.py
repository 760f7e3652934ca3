"""The tier table: (tier of the call, state of the run, mode) -> verdict. Pure: no clock, no I/O.

| tier | clean run | tainted run | tainted, has private data, can act outside |
| --- | --- | --- | --- |
| T0, T1 | allow | allow | allow |
| T2 | allow | allow if anchored, else ask | ask |
| T3 | allow if granted and anchored, else ask | the same; deny untrusted or invented values | ask; same deny |
| T4 | ask two people | ask two people; same deny | deny |

*Anchored*: each value of a sensitive argument is named in the goal, in a person's message, in a trusted result or in an
endorsement.
"""

from dataclasses import dataclass

from activities.policy.engine.verdicts import Allow, Ask, Deny, Verdict
from workflows.contracts.calls import Tier
from workflows.contracts.runs import Mode

WHY: dict[Tier, str] = {
    "T0": "a read of trusted data",
    "T1": "a read of data from outside",
    "T2": "a write that can be taken back",
    "T3": "it cannot be taken back, or it sends data outside",
    "T4": "money, identity or permissions",
}


@dataclass(frozen=True)
class TierFacts:
    """The facts of a call that the tier table depends on. The defaults are the strictest case."""

    tier: Tier = "T4"
    tainted: bool = True
    exposed: bool = True  # the run is tainted and has read private data, and its agent's tools can act outside
    granted: bool = False  # the agent's definition has a grant that the call fits
    unanchored: str | None = "its values"  # describes a value of untrusted or invented origin; None if there is none
    floating: bool = True  # the run is tainted, and neither people nor trusted data named any value of the call
    loose_text: str | None = "its text"  # names a free text that no grant constrains; None if there is none


def tier_verdict(call: TierFacts, mode: Mode) -> Verdict:
    """The verdict of the tier table in a mode."""
    if call.tier in ("T0", "T1"):
        return Allow(f"tier.{call.tier}", WHY[call.tier])
    return apply_mode(_by_tier(call, mode), call, mode)


def apply_mode(verdict: Verdict, call: TierFacts, mode: Mode) -> Verdict:
    """The verdict on an effect, made stricter by the mode if necessary."""
    if mode == "propose" and isinstance(verdict, Allow):
        return Ask("mode.propose", f"this run proposes every effect; {WHY[call.tier]}")
    return verdict


def deny_in_observe_mode(verdict: Verdict) -> Deny:
    """Deny an effect in the mode `observe`; the reason says what the verdict would have been."""
    words = {Allow: "allowed", Ask: "asked about", Deny: "denied"}
    reason = f"this run only observes; it would have been {words[type(verdict)]} ({verdict.rule}: {verdict.reason})"
    return Deny("mode.observe", reason)


def _by_tier(call: TierFacts, mode: Mode) -> Verdict:
    match call.tier:
        case "T2":
            return _t2(call)
        case "T3":
            return _t3(call, mode)
        case _:
            return _t4(call)


def _t2(call: TierFacts) -> Verdict:
    if call.exposed:
        return Ask("tier.T2.exposed", f"the run read untrusted and private data and can act outside; {WHY['T2']}")
    if call.tainted and call.unanchored:
        return Ask("tier.T2.unanchored", f"the run read untrusted data, and {call.unanchored}")
    if call.tainted and call.floating:
        return Ask("tier.T2.floating", FLOATING)
    return Allow("tier.T2", WHY["T2"])


def _t3(call: TierFacts, mode: Mode) -> Verdict:
    if call.tainted and call.unanchored:
        return Deny("provenance.unanchored", f"{call.unanchored}; {RESTATE}")
    if call.exposed:
        return Ask("tier.T3.exposed", f"the run read untrusted and private data and can act outside; {WHY['T3']}")
    if not call.granted:
        return Ask("tier.T3", f"{WHY['T3']}, and no grant of the agent covers it")
    if mode == "autonomous":  # within a grant the agent decides by itself; the Deny above still applies
        return Allow("tier.T3.autonomous", "a grant of the agent covers it, and this run decides by itself within it")
    if call.unanchored:
        return Ask("tier.T3.unanchored", f"{WHY['T3']}, and {call.unanchored}")
    if call.tainted and call.loose_text:
        return Ask("tier.T3.text", f"the run read untrusted data, and no grant constrains {call.loose_text}")
    if call.tainted and call.floating:
        return Ask("tier.T3.floating", FLOATING)
    return Allow("tier.T3.granted", "a grant of the agent covers it, and each value comes from people or trusted data")


def _t4(call: TierFacts) -> Verdict:
    if call.tainted and call.unanchored:
        return Deny("provenance.unanchored", f"{call.unanchored}; {RESTATE}")
    if call.exposed:
        return Deny("tier.T4.exposed", f"the run read untrusted and private data and can act outside; {WHY['T4']}")
    return Ask("tier.T4", WHY["T4"])


RESTATE = "only a person can lift this, by restating the value in their own words (`stanchion endorse`)"
FLOATING = "the run read untrusted data, and neither people nor trusted data named a value of this call"
