"""The body of `kill`, which halts, terminates and closes a run, in this order.

A run that sees the halt may end by itself before it is terminated. Then it keeps its own outcome.
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
from workers.cli.database_session import find_run_id, open_database
from workers.cli.output import Exit, run, say, show
from workers.cli.signed_orders import sign_if_possible
from workers.cli.stopping.halts import TEMPORAL_SECONDS, HaltTarget, result_text, validated_fields
from workers.cli.stopping.targets import find_outcome
from workers.cli.temporal_session import connect_temporal
from workers.services import PostgresUnreachable, TemporalUnreachable
from workers.settings import from_environment
from workflows.contracts.runs import Ending, QueueLayout


def kill(name: str, reason: str | None, by: str | None, as_json: bool) -> None:
    """`stanchion kill`. If Postgres or Temporal is down, does what is possible, and the exit code is 5."""
    order = HaltOrder(**validated_fields(HaltTarget("run", name), reason, by))

    async def work() -> tuple[dict[str, Any], Exit]:
        try:
            async with open_database() as database:
                return await _kill(database, order)
        except (StoreUnavailable, PostgresUnreachable) as error:
            say(f"stanchion: {error}; no claim succeeds while it is away. Terminating the run in Temporal only …")
            return _result_json(None, name, await _terminate(name, _reason_text(order))), Exit.UNREACHABLE

    logs.configure(from_environment().log_format, logging.WARNING)
    data, code = run(work())
    show(data, as_json=as_json, text=result_text(data))
    raise SystemExit(int(code))


async def _kill(database: Database, order: HaltOrder) -> tuple[dict[str, Any], Exit]:
    run_id, halts = await find_run_id(database, order.target), Halts(database)
    if earlier_outcome := await find_outcome(database, run_id):
        say(f"{run_id} was over already; nothing is left to kill")
    order = order.model_copy(update={"target": run_id})
    # A run that is over is halted as well, because its sub-agents may still be open.
    halted = await halts.order(sign_if_possible(order))
    terminated = await _terminate(run_id, str(halted.notice))
    ending = Ending(status="stopped", rule="killed", reason=_reason_text(order))
    outcome = await Reaper(database).close_dead(run_id, ending, Runs(database, Agents(database), QueueLayout()).close)
    if terminated is not None:
        await halts.retire()  # without Temporal the halt stays, so that the reaper terminates the run later
    in_flight = [asdict(effect) for effect in await halts.in_flight(halted.notice.halt_id)]
    data = outcome.model_dump(mode="json") | _result_json(halted.notice.halt_id, run_id, terminated, in_flight)
    return data, Exit.UNREACHABLE if terminated is None and not earlier_outcome else Exit.OK


def _result_json(
    halt_id: str | None, run_id: str, terminated: bool | None, in_flight: Sequence[dict[str, Any]] = ()
) -> dict[str, Any]:
    what = {"halt": halt_id, "scope": "run", "target": run_id}
    return what | {"terminated": bool(terminated), "in_flight": list(in_flight)}


def _reason_text(order: HaltOrder) -> str:
    return ": ".join(filter(None, (f"by {order.by}", order.reason)))


async def _terminate(run_id: str, reason: str) -> bool | None:
    """Terminate the run. Returns False if it had ended by itself, None if Temporal is down."""
    try:
        return bool(await terminate(await connect_temporal(TEMPORAL_SECONDS), run_id, reason))
    except (TemporalUnreachable, RPCError) as error:
        say(f"stanchion: Temporal did not terminate it ({error}); it starts nothing, and the reaper ends it later")
        return None
