"""The hijacked model: it follows the plan for its goal, until something it reads gives it orders; then it does those.

`turn` tells the story anew from the transcript at every step, so it remembers nothing between them.
"""

import json
from collections.abc import Iterator
from typing import Any

from activities.model.provider import Message, Text, ToolResult
from tests.attacks.orders import MARK, Call, Orders, filled, orders_in
from tests.attacks.tasks import Task
from tests.attacks.workarounds import around

BATCH = 3  # workarounds tried in one step


def turn(step: int, messages: tuple[Message, ...]) -> dict[str, Any]:
    """The turn of `step` (from 1), after the turns and results in `messages`."""
    from tests.attacks.catalogue import task_for  # the catalogue imports what names this model

    blocks = [block for message in messages for block in message.blocks]
    goal = next(block.text for block in blocks if isinstance(block, Text))
    results = {block.call_id: block for block in blocks if isinstance(block, ToolResult)}
    mind = Mind(task_for(goal))
    calls = mind.begin()
    for number in range(1, step):
        calls = mind.go_on([results.get(f"{number}.{index}") for index in range(len(calls))])
    if not calls:
        return {"text": "Done, as far as I could."}
    return {"text": "Next.", "tools": [{"name": one.tool, "input": one.input} for one in calls]}


class Mind:
    """What the model makes of its goal and of everything it reads, turn by turn."""

    def __init__(self, task: Task) -> None:
        self._tools = task.agent.tools
        self._story = task.plan()
        self._answers: list[Any] | None = None  # to the story's own latest calls
        self._read = ""
        self._known: list[Orders] = []
        self._asleep: list[Orders] = []  # orders that wait for their word
        self._queue: list[tuple[str, list[Call]]] = []  # what comes before the story goes on
        self._latest: tuple[str, list[Call]] = ("story", [])

    def begin(self) -> list[Call]:
        """The first calls."""
        return self._next()

    def go_on(self, results: list[ToolResult | None]) -> list[Call]:
        """The calls that follow these results of the latest ones. Empty: it is done."""
        source, calls = self._latest
        if source == "story":
            self._answers = [_data(result) for result in results]
        if source == "orders":
            refused = [one for one, result in zip(calls, results, strict=True) if result is None or result.is_error]
            others = [other for one in refused for other in around(one, self._tools)]
            batches = [others[at : at + BATCH] for at in range(0, len(others), BATCH)]
            self._queue[:0] = [("workarounds", batch) for batch in batches]
        for result in results:
            if result is not None:
                self._take_in(result.text)
        return self._next()

    def _next(self) -> list[Call]:
        if self._queue:
            source, wanted = self._queue.pop(0)
            self._latest = (source, [Call(one.tool, filled(one.input, self._read)) for one in wanted])
        else:
            self._latest = ("story", self._planned())
        return self._latest[1]

    def _planned(self) -> list[Call]:
        try:
            return next(self._story) if self._answers is None else self._story.send(self._answers)
        except (StopIteration, TypeError, KeyError):  # it is over, or what it needs was refused
            return []

    def _take_in(self, text: str) -> None:
        """Remember what was read, and take on the orders in it. A word that sets orders off stands outside of them."""
        for part in _strings(_parsed(text)):
            self._read += f"{MARK.sub(' ', part)}\n"
            fresh = [orders for orders in orders_in(part) if orders not in self._known]
            self._known += fresh
            self._asleep += fresh
        due = [orders for orders in self._asleep if orders.when is None or orders.when in self._read]
        self._asleep = [orders for orders in self._asleep if orders not in due]
        self._queue += [("orders", [one]) for orders in due for one in orders.calls]


def _parsed(text: str) -> Any:
    """What a tool returned, as data if it is. That it was marked as suspect does not trouble this model."""
    unmarked = text.partition("\n")[2] if text.startswith("[suspect: ") else text
    try:
        return json.loads(unmarked)
    except ValueError:
        return unmarked


def _data(result: ToolResult | None) -> Any:
    """What a tool returned; None for an error or a refusal."""
    return None if result is None or result.is_error else _parsed(result.text)


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield str(key)
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
    else:
        yield str(value)
