"""What each tier does in each mode. Pure: (facts, mode) -> Verdict. Unknown combinations are denied by construction."""

from typing import assert_never

from activities.policy.verdicts import Allow, Ask, Deny, Verdict
from activities.tools.facts import Facts, tier
from workflows.contracts.runs import Mode

WHY = {
    "T0": "a read of trusted data",
    "T1": "a read of data from outside",
    "T2": "a write that can be taken back",
    "T3": "it cannot be taken back, or it leaves the house",
    "T4": "money, identity or permissions",
}


def decide(facts: Facts, mode: Mode) -> Verdict:
    """The verdict for a tool with these facts in this mode, before anything else is known of the call."""
    level = tier(facts)
    if level in ("T0", "T1"):
        return Allow(rule=f"tier.{level}", reason=WHY[level])
    match mode:
        case "observe":
            return Deny(rule="mode.observe", reason=f"this run only observes; {WHY[level]} is not performed")
        case "propose":
            return Ask(rule="mode.propose", reason=f"this run proposes every effect; {WHY[level]}")
        case "tiered" | "autonomous":
            if level == "T2":
                return Allow(rule="tier.T2", reason=WHY[level])
            return Ask(rule=f"tier.{level}", reason=WHY[level])
        case _:
            assert_never(mode)
