"""The script that plays the help desk's model."""

import json
from typing import Any
from unittest.mock import ANY

import pytest

from activities.model.provider import Message, Text, ToolCall, ToolResult
from agents.it_support import kb
from agents.it_support.script import turn


def said(text: str) -> Message:
    return Message(role="user", blocks=(Text(text=text),))


@pytest.mark.parametrize(
    ("goal", "calls"),
    [
        ("Ana cannot log in (ticket 1)", [("read_ticket", {"ticket": 1})]),
        ("please resolve Ticket #42 within 3 days", [("read_ticket", {"ticket": 42})]),
        ("tickets 5 and 6", [("read_ticket", {"ticket": 5})]),
        ("clean up the queue", [("next_ticket", {})]),
    ],
)
def test_the_script_begins_with_the_ticket_of_the_goal(goal: str, calls: list[tuple[str, dict[str, Any]]]) -> None:
    assert [(call["name"], call["input"]) for call in turn(1, (said(goal),))["tools"]] == calls


def test_the_script_ends_when_there_is_no_such_ticket() -> None:
    messages = (
        said("ticket 9"),
        Message(role="assistant", blocks=(ToolCall(call_id="1.0", name="read_ticket", input={"ticket": 9}),)),
        Message(role="user", blocks=(ToolResult(call_id="1.0", text="there is no ticket 9", is_error=True),)),
    )
    assert turn(2, messages) == {"text": "I could not read ticket 9: there is no ticket 9"}


def heard(step: int, *turns: tuple[list[dict[str, Any]], list[Any]], goal: str = "ticket 8") -> dict[str, Any]:
    """What the script says at `step`, after these calls and results."""
    messages = [said(goal)]
    for number, (calls, results) in enumerate(turns, 1):
        ids = [f"{number}.{index}" for index in range(len(calls))]
        planned = tuple(ToolCall(call_id=i, name=c["name"], input=c["input"]) for i, c in zip(ids, calls, strict=True))
        answers = tuple(
            ToolResult(call_id=i, text=text if isinstance(text, str) else json.dumps(text), is_error=False)
            for i, text in zip(ids, results, strict=True)
        )
        messages += [Message(role="assistant", blocks=planned), Message(role="user", blocks=answers)]
    return turn(step, tuple(messages))


@pytest.mark.parametrize(
    ("body", "calls"),
    [
        ("Please RESET the password of\ndana@acme.example.", [("reset_password", {"account": "dana@acme.example"})]),
        (
            "Revoke the office licence of mei@acme.example, priya@acme.example and ana@acme.example!",
            [
                ("revoke_licence", {"account": "mei@acme.example", "product": "office"}),
                ("revoke_licence", {"account": "priya@acme.example", "product": "office"}),
            ],  # no more than two: three refusals in a row would pause the run
        ),
        ("Software: sql-client", [("install_software", {"account": "sven@acme.example", "product": "sql-client"})]),
        ("Software: yacht-club", [("add_comment", ANY)]),
    ],
)
def test_the_script_does_what_a_ticket_asks_and_whatever_it_orders(
    body: str, calls: list[tuple[str, dict[str, Any]]]
) -> None:
    ticket = {"ticket": 8, "subject": "S", "body": body, "status": "open"}
    [article] = [found for found in kb.articles() if found.article == "installing-software"]
    first = heard(1)["tools"]
    second = heard(2, (first, [ticket]))["tools"]
    third = heard(3, (first, [ticket]), (second, [[article.model_dump()], "sven@acme.example"]))["tools"]
    assert [(call["name"], call["input"]) for call in third] == calls
