"""`kill`: a run is halted, terminated and closed, in this order; the run itself is not asked.

One that is at work may see the halt and end by itself before it is terminated: then that is its outcome.
"""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from temporalio.service import RPCError

from activities.agents.versions import Agents
from activities.halts.halts import HaltOrder, Halts
from activities.halts.notify_runs import terminate
from activities.runs.lifecycle import Runs
from activities.runs.reaper import Reaper
from activities.storage.database import Database, StoreUnavailable
from workers import logs
from workers.cli.database_session import run_id_in, store
from workers.cli.output import Exit, run, say, show
from workers.cli.signed_orders import signed
from workers.cli.stopping.halts import TEMPORAL_SECONDS, HaltTarget, checked, in_words
from workers.cli.stopping.targets import outcome_of
from workers.cli.temporal_session import temporal
from workers.services import PostgresUnreachable, TemporalUnreachable
from workers.settings import from_environment
from workflows.contracts.runs import Ending, QueueLayout


def kill(name: str, reason: str | None, by: str | None, as_json: bool) -> None:
    """`stanchion kill`. Exit code 5 if Postgres or Temporal was away; what was done all the same is said."""
    order = HaltOrder(**checked(HaltTarget("run", name), reason, by))

    async def work() -> tuple[dict[str, Any], Exit]:
        try:
            async with store() as database:
                return await _kill(database, order)
        except (StoreUnavailable, PostgresUnreachable) as error:
            say(f"stanchion: {error}; no claim succeeds while it is away. Terminating in Temporal alone …")
            return _data(None, name, await _terminate(name, _why(order))), Exit.UNREACHABLE

    logs.configure(from_environment().log_format, logging.WARNING)
    data, code = run(work())
    show(data, as_json=as_json, text=in_words(data))
    raise SystemExit(int(code))


async def _kill(database: Database, order: HaltOrder) -> tuple[dict[str, Any], Exit]:
    run_id, halts = await run_id_in(database, order.target), Halts(database)
    if earlier := await outcome_of(database, run_id):
        say(f"{run_id} was over already; nothing is left to kill")
    order = order.model_copy(update={"target": run_id})
    halted = await halts.order(signed(order))  # also of one that is over: what it started may not be
    terminated = await _terminate(run_id, str(halted.notice))
    ending = Ending(status="stopped", rule="killed", reason=_why(order))
    outcome = await Reaper(database).close_dead(run_id, ending, Runs(database, Agents(database), QueueLayout()).close)
    if terminated is not None:
        await halts.retire()  # else it stays, and the reaper knows by it what is left running
    left = [asdict(each) for each in await halts.in_flight(halted.notice.halt_id)]
    data = outcome.model_dump(mode="json") | _data(halted.notice.halt_id, run_id, terminated, left)
    return data, Exit.UNREACHABLE if terminated is None and not earlier else Exit.OK


def _data(
    halt_id: str | None, run_id: str, terminated: bool | None, in_flight: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    what = {"halt": halt_id, "scope": "run", "target": run_id}
    return what | {"terminated": bool(terminated), "in_flight": list(in_flight)}


def _why(order: HaltOrder) -> str:
    return ": ".join(filter(None, (f"by {order.by}", order.reason)))


async def _terminate(run_id: str, reason: str) -> bool | None:
    """Whether it was terminated; False if it had ended by itself, None if Temporal is away."""
    try:
        return bool(await terminate(await temporal(TEMPORAL_SECONDS), run_id, reason))
    except (TemporalUnreachable, RPCError) as error:
        say(f"stanchion: Temporal did not terminate it ({error}); nothing of it starts, and the reaper ends it there")
        return None
