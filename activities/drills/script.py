"""The model of decoy runs: the goal, as JSON, says which kind of work it is."""

import json
from collections.abc import Callable
from typing import Any, Literal, get_args

from activities.drills.caller import hit_for_ever, place_of
from activities.model.provider import Message, Text

Kind = Literal["process", "http", "model", "burst", "timer", "approval"]
KINDS: tuple[Kind, ...] = get_args(Kind)
ACTING: frozenset[str] = frozenset(("process", "http", "model", "burst"))  # those that act all the time
TIMER_MINUTES = 1.5 / 60  # so that it fires while the drill still looks
DONE: dict[str, Any] = {"text": "done"}


def goal_of(kind: Kind, url: str, run_id: str) -> str:
    """The goal of a decoy run."""
    return json.dumps({"kind": kind, "url": url, "run": run_id})


async def turn(step: int, messages: tuple[Message, ...]) -> dict[str, Any]:
    """The next turn of a decoy run."""
    goal = json.loads(next(b.text for b in messages[0].blocks if isinstance(b, Text)))
    kind, url = goal["kind"], goal["url"]
    if kind == "model":
        await hit_for_ever(place_of(url, {}), goal["run"], "model")
    turns: dict[str, Callable[[], dict[str, Any]]] = {
        "process": lambda: _call("work_in_a_process", url=url) if step == 1 else DONE,
        "http": lambda: _call("read_slowly", url=url) if step == 1 else DONE,
        "burst": lambda: _call("touch", url=url, number=step),
        "timer": lambda: _call("wait", minutes=TIMER_MINUTES) if step % 2 else _call("touch", url=url, number=step),
        "approval": lambda: _call("touch_if_allowed", url=url) if step == 1 else DONE,
    }
    return turns[kind]()


def _call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"tools": [{"name": name, "input": arguments}]}
