"""The model of decoy runs: the goal, as JSON, says which kind of work it is. A new kind is a line in the table."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from activities.drills import AGENT
from activities.drills.decoy_client import act_on_decoy_until_cancelled, decoy_address
from activities.model.provider import Message, Text

SUB_AGENT = f"{AGENT}-sub-agent"  # whom decoys hand work to
TIMER_MINUTES = 1.5 / 60  # so that it fires while the drill still looks
DONE: dict[str, Any] = {"text": "done"}

Turn = Callable[[int, str], dict[str, Any]]  # step, the decoy's URL -> what the model says


@dataclass(frozen=True)
class Kind:
    """A kind of decoy work. `acts`: all the time, so that its last effect is measured; others wait or sleep.

    An effect counts for a run if the run, or one that it delegated to, had it.
    """

    name: str
    turn: Turn
    acts: bool = True
    asks: bool = False  # the model itself acts on the decoy, for as long as it is asked; from this machine only


def _call(name: str, **arguments: Any) -> dict[str, Any]:
    return {"tools": [{"name": name, "input": arguments}]}


def _once(name: str) -> Turn:
    return lambda step, url: _call(name, url=url) if step == 1 else DONE


def _touch(step: int, url: str) -> dict[str, Any]:
    return _call("touch", url=url, number=step)


def _touch_and_wait(step: int, url: str) -> dict[str, Any]:
    return _call("wait", minutes=TIMER_MINUTES) if step % 2 else _touch(step, url)


def _delegate(step: int, url: str) -> dict[str, Any]:
    """Somebody else acts, all the time, for as long as this one is at work."""
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
