"""Models that are functions: `scripted:tests.harness.models:<name>`. A test holds and releases them by name."""

import asyncio
from collections import Counter
from typing import Any

from activities.model.provider import Message, Text

ASKED: Counter[str] = Counter()  # goal -> how often a model was asked under it
HOLD: dict[str, asyncio.Event] = {}  # goal -> the model answers its first question once this is set


def said_by_people(messages: tuple[Message, ...]) -> list[str]:
    """The texts of the user's side, the goal first."""
    return [b.text for m in messages if m.role == "user" for b in m.blocks if isinstance(b, Text)]


async def repeats_what_was_said(step: int, messages: tuple[Message, ...]) -> dict[str, Any]:
    """Answer with everything people said. The goal names the event that holds back the first answer."""
    said = said_by_people(messages)
    ASKED[said[0]] += 1
    if step == 1 and said[0] in HOLD:
        await HOLD[said[0]].wait()
    return {"text": " | ".join(said)}


def looks_for_ever(step: int, messages: tuple[Message, ...]) -> dict[str, Any]:
    """Call `look` at every step, each time for something else."""
    return {"tools": [{"name": "look", "input": {"what": f"thing {step}"}}]}
