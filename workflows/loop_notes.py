"""Describes a loop in words, for the model and for people. Pure.

A note names the tool, the count and what to do instead. It contains no argument or result, because the model trusts it.
"""

from types import MappingProxyType

from workflows.loops import Evidence

_ORDINALS = MappingProxyType(
    {2: "second", 3: "third", 4: "fourth", 5: "fifth", 6: "sixth", 7: "seventh", 8: "eighth", 9: "ninth"}
)
_INSTEAD = (
    "Use what you have, try something else, or use `wait` if you need to look again later: a wait costs nothing, "
    "and afterwards the same call counts as new."
)


def note_on(evidence: Evidence) -> str:
    """What the model reads before its next step."""
    return f"[note from the run itself] {_found(evidence)} {_INSTEAD}"


def refusal_on(evidence: Evidence) -> str:
    """What the model reads in place of a result."""
    return f"{_found(evidence)} {_INSTEAD}"


def pause_on(evidence: Evidence) -> str:
    """The reason of the pause, for the person who decides whether the run goes on."""
    return f"loop.{evidence.rule}: {_found(evidence)} It was told so and goes on: look at it, then resume or halt it"


def _found(evidence: Evidence) -> str:
    tool, count = evidence.tool, evidence.count
    match evidence.rule:
        case "alike-calls":
            return f"This is the {_nth(count)} {tool} call that asks for the same thing in vain, worded anew each time."
        case "same-result":
            return f"{count} different questions to {tool} had the same answer."
        case "cycle":
            return f"The last {count} calls are the same round of {evidence.period} calls over again, ending at {tool}."
        case "errors":
            return f"{count} calls in a row failed, the last of them {tool}."
        case "no-news":
            return f"{count} calls in a row brought nothing new, the last of them {tool}."
        case _:
            return f"This is the same {tool} call for the {_nth(count)} time; asking again does not change the answer."


def _nth(count: int) -> str:
    return _ORDINALS.get(count, f"{count}th")
