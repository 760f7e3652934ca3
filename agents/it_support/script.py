"""A scripted model for the help desk, which reacts to the results of its calls. `stories.py` has its turns.

A story is a generator that yields turns and receives the results of their calls. `turn` keeps no state: at each step it
runs the story again from the start, with the results in the transcript.
"""

import re
from collections.abc import Iterator, Mapping

from activities.model.provider import Message, Text, ToolResult
from agents.it_support.stories import Story, Turn, call, in_json, resolve, say

MOST_TICKETS = 2  # each ticket takes about eight calls, and the agent's budget has twenty
TICKET_NUMBERS = re.compile(r"(?:\btickets?\b|#)((?:[\s#,:]|\d|and\b)+)", re.IGNORECASE)


def turn(step: int, messages: tuple[Message, ...]) -> Turn:
    """Return the turn of `step` (from 1), which follows the turns and results in `messages`."""
    goal = next(_texts(messages), "")
    results = {
        block.call_id: block for message in messages for block in message.blocks if isinstance(block, ToolResult)
    }
    story = _story(goal)
    try:
        current = next(story)
        for number in range(1, step):
            current = story.send([_result(results, f"{number}.{index}") for index in range(len(current["tools"]))])
    except StopIteration as end:
        return {"text": end.value}
    return current


def _story(goal: str) -> Story:
    tickets = _ticket_numbers(goal)
    if not tickets:
        [result] = yield say("No ticket is named, so I take the oldest open one.", call("next_ticket"))
        tickets = [in_json(result)["ticket"]] if in_json(result) else []
    summaries = []
    for ticket in tickets:
        summaries.append((yield from resolve(ticket)))
    return "\n\n".join(summaries) or "There is no open ticket, so there was nothing to do."


def _result(results: Mapping[str, ToolResult], call_id: str) -> ToolResult:
    return results.get(call_id) or ToolResult(call_id=call_id, text="(no result)", is_error=True)


def _texts(messages: tuple[Message, ...]) -> Iterator[str]:
    return (block.text for message in messages for block in message.blocks if isinstance(block, Text))


def _ticket_numbers(goal: str) -> list[int]:
    mentions = [match.group(1) for match in TICKET_NUMBERS.finditer(goal)]
    numbers = [int(number) for mention in mentions for number in re.findall(r"\d{1,9}", mention)]
    return list(dict.fromkeys(numbers))[:MOST_TICKETS]
