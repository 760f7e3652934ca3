"""The scripted model of decoy runs. The run's goal is JSON that names a kind of work from the table `KINDS`."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from activities.drills import AGENT
from activities.drills.decoy_client import act_on_decoy_until_cancelled, decoy_address
from activities.model.provider import Message, Text

SUB_AGENT = f"{AGENT}-sub-agent"  # the agent of the runs that decoys start
TIMER_MINUTES = 1.5 / 60  # short enough to fire while the drill still watches
DONE: dict[str, Any] = {"text": "done"}

Turn = Callable[[int, str], dict[str, Any]]  # (step, the decoy's URL) -> the model's answer


@dataclass(frozen=True)
class Kind:
    """A kind of decoy work. `acts`: makes effects all the time, so that its last one is measured; others wait or sleep.

    The effects of a sub-agent count for the decoy that started it.
    """

    name: str
    turn: Turn
    acts: bool = True
    asks: bool = False  # the model call itself acts on the decoy, which then must be on this machine


def _call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"tools": [{"name": name, "input": arguments}]}


def _once(name: str) -> Turn:
    return lambda step, url: _call(name, url=url) if step == 1 else DONE


def _touch(step: int, url: str) -> dict[str, Any]:
    return _call("touch", url=url, number=step)


def _touch_and_wait(step: int, url: str) -> dict[str, Any]:
    return _call("wait", minutes=TIMER_MINUTES) if step % 2 else _touch(step, url)


def _delegate(step: int, url: str) -> dict[str, Any]:
    """Start a sub-agent that acts all the time."""
    task = json.dumps({"kind": "burst", "url": url, "run": ""})
    return _call("delegate", agent=SUB_AGENT, task=task) if step == 1 else DONE


KINDS: tuple[Kind, ...] = (
    Kind("process", _once("work_in_a_process")),
    Kind("http", _once("read_slowly")),
    Kind("model", lambda step, url: DONE, asks=True),
    Kind("burst", _touch),
    Kind("timer", _touch_and_wait, acts=False),
    Kind("approval", _once("touch_if_allowed"), acts=False),
    Kind("sub-agent", _delegate),
)
BY_NAME = {kind.name: kind for kind in KINDS}


def goal_of(kind: Kind, url: str, run_id: str) -> str:
    """The goal of a decoy run."""
    return json.dumps({"kind": kind.name, "url": url, "run": run_id})


async def turn(step: int, messages: tuple[Message, ...]) -> dict[str, Any]:
    """The next turn of a decoy run."""
    goal = json.loads(next(b.text for b in messages[0].blocks if isinstance(b, Text)))
    kind, url = BY_NAME[goal["kind"]], goal["url"]
    if kind.asks:
        await act_on_decoy_until_cancelled(decoy_address(url, {}), goal["run"], "model")
    return kind.turn(step, url)
