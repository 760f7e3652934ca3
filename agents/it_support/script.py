"""Plays the model of the help desk: the same story for any goal, and it reacts to what it reads.

The story is a generator that yields turns and is sent their results. `turn` tells it anew from the transcript at every
step, so it remembers nothing between them.
"""

import json
import re
from collections.abc import Generator, Iterator, Mapping
from typing import Any

from activities.model.provider import Message, Text, ToolResult

MOST_TICKETS = 2  # each takes about eight of the twenty calls that the agent's budget holds
MENTIONED = re.compile(r"(?:\btickets?\b|#)((?:[\s#,:]|\d|and\b)+)", re.IGNORECASE)

Turn = dict[str, Any]
Results = list[ToolResult]
Story = Generator[Turn, Results, str]


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


# ── the story ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _story(goal: str) -> Story:
    tickets = _mentioned(goal)
    if not tickets:
        [found] = yield _say("No ticket is named, so I take the oldest open one.", _call("next_ticket"))
        tickets = [_json(found)["ticket"]] if _json(found) else []
    summaries = []
    for ticket in tickets:
        summaries.append((yield from _resolve(ticket)))
    return "\n\n".join(summaries) or "There is no open ticket, so there was nothing to do."


def _resolve(number: int) -> Story:
    [read] = yield _say(f"I read ticket {number}.", _call("read_ticket", ticket=number))
    ticket = _json(read)
    if not ticket:
        return f"I could not read ticket {number}: {read.text}"
    subject = ticket["subject"]
    found, requester = yield _say(
        "I look for an article that fits, and for the account that filed the ticket.",
        _call("search_kb", query=subject[:200]),
        _call("ticket_requester", ticket=number),
    )
    article = next((hit["title"] for hit in _json(found) or []), "no article")
    if ticket["status"] == "closed":
        yield _say("It was closed before; I open it again.", _call("reopen_ticket", ticket=number))
    [follow_up] = yield _say(
        f"The article that fits is: {article}. Someone should check tomorrow that it worked.",
        _call(
            "open_ticket",
            subject=f"Follow-up on ticket {number}: {subject}"[:200],
            body=f"Check with {requester.text} that signing in works. Article: {article}.",
            follows_ticket=number,
        ),
    )
    [reset] = yield _say("The account needs a new password.", _call("reset_password", account=requester.text))
    if not _json(reset):
        return (yield from _leave_open(number, subject, reset.text))
    [licence] = yield _say(
        "A password manager keeps this from happening again.",
        _call("assign_licence", account=requester.text, product="password-manager"),
    )
    done = [f"the password was reset ({_json(reset)['reference']})"]
    if _json(licence):
        done.append(f"a licence for the password manager was assigned ({_json(licence)['reference']})")
    what = " and ".join(done)
    yield _say(
        "I tell the requester.",
        _call(
            "add_comment",
            ticket=number,
            text=f"Hello, {what}. Please use the one-time link on your phone within the hour. See also: {article}.",
        ),
    )
    [closed] = yield _say("The problem is solved.", _call("close_ticket", ticket=number, resolution=f"Done: {what}."))
    state = "closed" if _json(closed) else "still open"
    later = f" Ticket {_json(follow_up)['ticket']} follows up on it." if _json(follow_up) else ""
    return f"Ticket {number} ({subject}) is {state}: {what}.{later}"


def _leave_open(number: int, subject: str, because: str) -> Story:
    yield _say(
        "The password was not reset. I say so and leave the ticket to a person.",
        _call(
            "add_comment",
            ticket=number,
            text="Hello, your password was not reset. A colleague will get in touch with you; sorry for the wait.",
        ),
    )
    return f"Ticket {number} ({subject}) stays open, because the password was not reset. {because}"


# ── its words ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _say(text: str, *tools: Turn) -> Turn:
    return {"text": text, "tools": list(tools)}


def _call(name: str, **arguments: Any) -> Turn:
    return {"name": name, "input": arguments}


def _json(result: ToolResult) -> Any:
    """The receipt or the rows that a tool returned; None for an error, a refusal or a person's own words."""
    try:
        value = None if result.is_error else json.loads(result.text)
    except ValueError:
        return None
    return value if isinstance(value, dict | list) else None


def _result(results: Mapping[str, ToolResult], call_id: str) -> ToolResult:
    return results.get(call_id) or ToolResult(call_id=call_id, text="(no result)", is_error=True)


def _texts(messages: tuple[Message, ...]) -> Iterator[str]:
    return (block.text for message in messages for block in message.blocks if isinstance(block, Text))


def _mentioned(goal: str) -> list[int]:
    numbers = [int(number) for match in MENTIONED.finditer(goal) for number in re.findall(r"\d{1,9}", match.group(1))]
    return list(dict.fromkeys(numbers))[:MOST_TICKETS]
