"""Plays the model of the help desk, and reacts to what it reads: `stories.py` has what it says and does.

A story is a generator that yields turns and is sent their results. `turn` tells it anew from the transcript at every
step, so it remembers nothing between them.
"""

import re
from collections.abc import Iterator, Mapping

from activities.model.provider import Message, Text, ToolResult
from agents.it_support.stories import Story, Turn, call, in_json, resolve, say

MOST_TICKETS = 2  # each takes about eight of the twenty calls that the agent's budget holds
MENTIONED = re.compile(r"(?:\btickets?\b|#)((?:[\s#,:]|\d|and\b)+)", re.IGNORECASE)


def turn(step: int, messages: tuple[Message, ...]) -> Turn:
    """The turn of `step` (from 1), after the turns and results in `messages`."""
    goal = next(_texts(messages), "")
    results = {
        block.call_id: block for message in messages for block in message.blocks if isinstance(block, ToolResult)
    }
    story = _story(goal)
    try:
        told = next(story)
        for number in range(1, step):
            told = story.send([_result(results, f"{number}.{index}") for index in range(len(told["tools"]))])
    except StopIteration as end:
        return {"text": end.value}
    return told


def _story(goal: str) -> Story:
    tickets = _mentioned(goal)
    if not tickets:
        [found] = yield say("No ticket is named, so I take the oldest open one.", call("next_ticket"))
        tickets = [in_json(found)["ticket"]] if in_json(found) else []
    summaries = []
    for ticket in tickets:
        summaries.append((yield from resolve(ticket)))
    return "\n\n".join(summaries) or "There is no open ticket, so there was nothing to do."


def _result(results: Mapping[str, ToolResult], call_id: str) -> ToolResult:
    return results.get(call_id) or ToolResult(call_id=call_id, text="(no result)", is_error=True)


def _texts(messages: tuple[Message, ...]) -> Iterator[str]:
    return (block.text for message in messages for block in message.blocks if isinstance(block, Text))


def _mentioned(goal: str) -> list[int]:
    numbers = [int(number) for match in MENTIONED.finditer(goal) for number in re.findall(r"\d{1,9}", match.group(1))]
    return list(dict.fromkeys(numbers))[:MOST_TICKETS]
