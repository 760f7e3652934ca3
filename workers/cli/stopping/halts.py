"""The bodies of `halt`, `halts --lift`, and `resume --agent|--tool|--tenant|--fleet`.

A row in Postgres makes a halt effective, so it is written first, without Temporal. Then the runs get a signal, so that
waiting runs also show that they are halted. If Temporal is down, a run learns of the halt at its next step or call.
"""

import asyncio
import getpass
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from pydantic import ValidationError
from temporalio.client import Client, WorkflowFailureError
from temporalio.service import RPCError

from activities.halts.halts import SQL, Halt, HaltOrder, Halts, LiftOrder, LiftRefused, LiftResult
from activities.halts.notify_runs import notify_halted, notify_lifted
from activities.storage.database import Database, StoreUnavailable
from workers.cli.database_session import RunNotFound, find_run_id, open_database
from workers.cli.output import Exit, fail, run, say, show, table
from workers.cli.signed_orders import authority, sign_if_possible
from workers.cli.stopping.targets import find_outcome, typo_warning
from workers.cli.temporal_session import connect_temporal
from workers.services import PostgresUnreachable, TemporalUnreachable
from workflows.contracts.base import explain
from workflows.contracts.halts import HaltNotice, HaltScope

TEMPORAL_SECONDS = 5.0  # a halt does not need Temporal, so it waits only briefly for it
ENDED_SECONDS = 60.0  # how long to wait for a halted run to end
SETTLED_SECONDS = 3.0  # how long to wait for effects in flight; workers cancel them within a second


@dataclass(frozen=True)
class HaltTarget:
    """What a halt stops, or what a lift lets go on."""

    scope: HaltScope
    target: str

    def __str__(self) -> str:
        return "everything" if self.scope == "fleet" else f"{self.scope} {self.target}"


def halt_target(
    name: str | None, by_run: str | None, agent: str | None, tool: str | None, tenant: str | None, fleet: bool
) -> HaltTarget:
    """Return the target that the options name. Exits with a usage error unless they name exactly one."""
    options = {"run": name or by_run, "agent": agent, "tool": tool, "tenant": tenant, "fleet": "" if fleet else None}
    targets = [HaltTarget(scope, target) for scope, target in options.items() if target is not None]  # type: ignore[arg-type]
    if len(targets) != 1 or (name and by_run and name != by_run):
        fail("say what: a run, or one of --agent, --tool, --tenant, --fleet", Exit.USAGE)
    return targets[0]


def halt(what: HaltTarget, reason: str | None, by: str | None, as_json: bool, undo: bool = False) -> None:
    """`stanchion halt`. If Postgres or Temporal is down, does what is possible, and the exit code is 5."""
    if undo and what.scope != "run":
        fail(
            f"--undo rolls back one run only; halt {what} without it, and after the lift use `stanchion rollback RUN`",
            Exit.USAGE,
        )

    order = HaltOrder(**validated_fields(what, reason, by))

    async def work() -> tuple[dict[str, Any], Exit]:
        try:
            return await _halt(order)
        except (StoreUnavailable, PostgresUnreachable) as error:
            say(f"stanchion: {error}; no claim succeeds while it is away. Signalling the runs in Temporal …")
            notified, _ = await _notify(HaltNotice(halt_id="", scope=order.scope, target=order.target, by=order.by))
            if order.scope == "run" and not notified:
                say(f"stanchion: Temporal has no open run {order.target!r}; without Postgres, type the whole run id")
            return _result_json(None, order, notified), Exit.UNREACHABLE

    data, code = run(work())
    text = result_text(data)
    if undo:
        # Imported lazily, so that a plain `halt` starts faster.
        from workers.cli.stopping.rollback import roll_back_halted_run

        data, text, code = roll_back_halted_run(data, reason, by)
    show(data, as_json=as_json, text=text)
    raise SystemExit(int(code))


async def _halt(order: HaltOrder) -> tuple[dict[str, Any], Exit]:
    async with open_database() as database:
        halts, outcome = Halts(database), None
        if order.scope == "run":
            order = order.model_copy(update={"target": await _find_run_id(database, order.target)})
            outcome = await find_outcome(database, order.target)
        # A run that is over is halted as well, because its sub-agents may still be open.
        halted = await halts.order(sign_if_possible(order))
        target = HaltTarget(order.scope, order.target)
        say(f"{halted.notice.halt_id}: {target} is halted from now on ({halted.proof})")
        warning = await typo_warning(database, order.scope, order.target)
        if warning:
            hint = f"`stanchion halts --lift {halted.notice.halt_id}` takes it back"
            say(f"stanchion: {warning}\n  The halt is in force all the same; {hint}")
        notified, client = await _notify(halted.notice)
        if outcome:
            say(f"{order.target} was over already")
            await halts.retire()
        elif client and order.scope == "run" and not warning:
            outcome = await _wait_for_outcome(client, order.target)
        in_flight = await _wait_for_settlement(halts, halted)
        data = _result_json(halted.notice.halt_id, order, notified, in_flight, warning)
        return {**(outcome or {}), **data}, Exit.OK if client else Exit.UNREACHABLE


def _result_json(
    halt_id: str | None,
    order: HaltOrder,
    notified: int,
    in_flight: Sequence[dict[str, Any]] = (),
    warning: str | None = None,
) -> dict[str, Any]:
    what = {"halt": halt_id, "scope": order.scope, "target": order.target}
    return what | {"told": notified, "in_flight": list(in_flight), "warning": warning}


async def _notify(notice: HaltNotice) -> tuple[int, Client | None]:
    """Send the halt to the open runs that it covers. Returns their number and the client; (0, None) without Temporal.

    Without Temporal, workers still cancel effects in flight, and a run learns of the halt at its next step or call.
    """
    try:
        client = await connect_temporal(TEMPORAL_SECONDS)
        return await notify_halted(client, notice), client
    except (TemporalUnreachable, RPCError) as error:
        say(f"stanchion: Temporal was not told ({error}); workers stop effects in flight by themselves")
        return 0, None


async def _wait_for_outcome(client: Client, run_id: str) -> dict[str, Any]:
    """Wait until the halted run has ended and return its outcome; {} and a message if there is none."""
    try:
        async with asyncio.timeout(ENDED_SECONDS):
            outcome: dict[str, Any] = await client.get_workflow_handle(run_id).result()
            return outcome
    except TimeoutError:
        say(f"{run_id} is halted, but no worker has closed it yet; is a worker running?")
    except WorkflowFailureError as error:  # terminated or never admitted: it cannot act any more
        say(f"{run_id} is over: {error.cause}")
    except RPCError as error:
        say(f"{run_id} is halted; Temporal does not return its outcome ({error.message})")
    return {}


async def _wait_for_settlement(halts: Halts, halted: Halt) -> list[dict[str, Any]]:
    """Wait up to SETTLED_SECONDS until the effects in flight are settled; return their outcomes."""
    deadline = asyncio.get_running_loop().time() + SETTLED_SECONDS
    while True:
        effects = await halts.in_flight(halted.notice.halt_id)
        if all(effect.outcome != "unknown" for effect in effects) or asyncio.get_running_loop().time() > deadline:
            return [asdict(effect) for effect in effects]
        await asyncio.sleep(0.1)


def lift(what: HaltTarget, by: str | None, as_json: bool) -> None:
    """`stanchion resume --…`: one person's order to lift each halt in force on this target."""
    if what.scope == "run":
        fail("say one thing: a run, or one of --agent, --tool, --tenant, --fleet", Exit.USAGE)

    async def find_active(halts: Halts) -> list[Halt]:
        return await halts.active(what.scope, what.target)

    _lift(find_active, by, as_json, f"no halt of {what} is in force; `stanchion halts` lists those that are")


def lift_one(halt_id: str, by: str | None, as_json: bool) -> None:
    """`stanchion halts --lift`: one person's order to lift this halt."""

    async def find_unlifted(halts: Halts) -> list[Halt]:
        halt = await halts.find(halt_id)
        return [] if halt.lifted_at else [halt]

    _lift(find_unlifted, by, as_json, f"{halt_id} is already lifted", is_none_ok=True)


def _lift(
    find: Callable[[Halts], Awaitable[list[Halt]]], by: str | None, as_json: bool, empty: str, is_none_ok: bool = False
) -> None:
    """Order to lift the halts that `find` returns; print `empty` if there are none.

    Exit code 3 if a halt stays in force, or if there are no halts and `is_none_ok` is false.
    """

    async def work() -> list[LiftResult]:
        async with open_database() as database:
            halts, person = Halts(database, authority(database)), by or getpass.getuser()
            orders = [LiftOrder(halt_id=halt.notice.halt_id, by=person) for halt in await find(halts)]
            try:
                results = [await halts.lift(sign_if_possible(order)) for order in orders]
            except LiftRefused as error:
                fail(str(error), Exit.REFUSED)
            await _notify_lifted(database, [result.halt.notice for result in results if result.lifted], person)
            return results

    results = run(work())
    rows = [
        {
            "halt": result.halt.notice.halt_id,
            "lifted": result.lifted,
            "by": list(result.by),
            "people": result.halt.people,
        }
        for result in results
    ]
    table(rows, ("halt", "lifted", "by", "people"), as_json=as_json, empty=empty)
    for result in results:
        if not result.lifted:
            so_far = f"{len(result.by)} of {result.halt.people} people so far, {', '.join(result.by)}"
            say(f"{result.halt.notice.halt_id} is still in force: {so_far}; somebody else has to type the same")
    if (not results and not is_none_ok) or not all(result.lifted for result in results):
        raise SystemExit(int(Exit.REFUSED))


async def _notify_lifted(database: Database, notices: list[HaltNotice], by: str) -> None:
    """Tell the runs of these lifted halts. If Temporal is down, the reaper does it later."""
    if not notices:
        return
    try:
        client = await connect_temporal(TEMPORAL_SECONDS)
        for notice in notices:
            await notify_lifted(client, notice, by)
            await SQL["told"].rows(database, halt_id=notice.halt_id)
    except (TemporalUnreachable, RPCError) as error:
        say(f"stanchion: the runs were not told ({error}); the reaper tells them once Temporal is back")


async def _find_run_id(database: Database, name: str) -> str:
    """As `find_run_id`, but also accepts the whole id of a run that does not exist. Raises RunNotFound."""
    try:
        return await find_run_id(database, name)
    except RunNotFound:
        if name.count("/") < 2:
            raise
        return name  # the run may be opened later; its admission then finds the halt


def validated_fields(what: HaltTarget, reason: str | None, by: str | None) -> dict[str, Any]:
    """Return the fields of a HaltOrder. Exits with a usage error if they are not valid."""
    fields = {"scope": what.scope, "target": what.target, "by": by or getpass.getuser(), "reason": reason or ""}
    try:
        HaltOrder.model_validate(fields)
    except ValidationError as error:
        fail(explain(error), Exit.USAGE)
    return fields


def result_text(data: dict[str, Any]) -> str:
    """Return the result of `halt` or `kill` (its JSON data) as text for people."""
    lines = [f"{data['status']}: {data['reason']}"] if "status" in data else []
    lines += [f"in flight: {e['run_id']} {e['call_id']} {e['tool']}: {e['outcome']}" for e in data.get("in_flight", ())]
    notified = f"{data['told']} runs told" if "told" in data else f"terminated: {'yes' if data['terminated'] else 'no'}"
    return "\n".join(lines) or f"{data['halt'] or 'no row written'}: {notified}"
