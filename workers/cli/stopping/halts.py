"""`halt`, `resume --agent|--tool|--tenant|--fleet`, `halts`: the off switch.

The row in Postgres is what stops things, so it is written first and needs nothing else. Temporal is told after that, so
that runs that stand still are seen to be halted; if it is away, they hear of it when they next move.
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
from workers.cli.database_session import RunNotFound, run_id_in, store
from workers.cli.output import Exit, fail, run, say, show, table
from workers.cli.signed_orders import authority, signed
from workers.cli.stopping.targets import doubt, outcome_of
from workers.cli.temporal_session import temporal
from workers.services import PostgresUnreachable, TemporalUnreachable
from workflows.contracts.base import explain
from workflows.contracts.halts import HaltNotice, HaltScope

TEMPORAL_SECONDS = 5.0  # whoever stops something does not wait longer for a server that is not needed for it
ENDED_SECONDS = 60.0  # for a halted run to write its end down
SETTLED_SECONDS = 3.0  # for what was in flight to be settled: it is cut short within one


@dataclass(frozen=True)
class HaltTarget:
    """What is to be stopped, or let go on."""

    scope: HaltScope
    target: str

    def __str__(self) -> str:
        return "everything" if self.scope == "fleet" else f"{self.scope} {self.target}"


def halt_target(
    name: str | None, by_run: str | None, agent: str | None, tool: str | None, tenant: str | None, fleet: bool
) -> HaltTarget:
    """The one thing that is meant; anything but one is a mistake."""
    named = {"run": name or by_run, "agent": agent, "tool": tool, "tenant": tenant, "fleet": "" if fleet else None}
    given = [HaltTarget(scope, target) for scope, target in named.items() if target is not None]  # type: ignore[arg-type]
    if len(given) != 1 or (name and by_run and name != by_run):
        fail("say what: a run, or one of --agent, --tool, --tenant, --fleet", Exit.USAGE)
    return given[0]


def halt(what: HaltTarget, reason: str | None, by: str | None, as_json: bool, undo: bool = False) -> None:
    """`stanchion halt`. Exit code 5 if Postgres or Temporal was away; what was done all the same is said."""
    if undo and what.scope != "run":
        fail(
            f"--undo takes back one run: halt {what} first; once that is lifted, `stanchion rollback RUN` does",
            Exit.USAGE,
        )

    order = HaltOrder(**checked(what, reason, by))

    async def work() -> tuple[dict[str, Any], Exit]:
        try:
            return await _halt(order)
        except (StoreUnavailable, PostgresUnreachable) as error:
            say(f"stanchion: {error}; no claim succeeds while it is away. Telling Temporal alone …")
            told, _ = await _told(HaltNotice(halt_id="", scope=order.scope, target=order.target, by=order.by))
            if order.scope == "run" and not told:
                say(f"stanchion: Temporal knows no open run {order.target!r}; the end of a name is not enough now")
            return _data(None, order, told), Exit.UNREACHABLE

    data, code = run(work())
    text = in_words(data)
    if undo:
        from workers.cli.stopping.rollback import after_halt  # whoever only stops something does not wait for it

        data, text, code = after_halt(data, reason, by)
    show(data, as_json=as_json, text=text)
    raise SystemExit(int(code))


async def _halt(order: HaltOrder) -> tuple[dict[str, Any], Exit]:
    async with store() as database:
        halts, ended = Halts(database), None
        if order.scope == "run":
            order = order.model_copy(update={"target": await _run_id(database, order.target)})
            ended = await outcome_of(database, order.target)
        halted = await halts.order(signed(order))  # also of a run that is over: what it started may not be
        say(
            f"{halted.notice.halt_id}: nothing of {HaltTarget(order.scope, order.target)} "
            f"starts from here on ({halted.proof})"
        )
        warning = await doubt(database, order.scope, order.target)
        if warning:
            back = f"`stanchion halts --lift {halted.notice.halt_id}` takes it back"
            say(f"stanchion: {warning}\n  The halt is in force all the same; {back}")
        told, client = await _told(halted.notice)
        if ended:
            say(f"{order.target} was over already")
            await halts.retire()
        elif client and order.scope == "run" and not warning:
            ended = await _end_of(client, order.target)
        data = _data(halted.notice.halt_id, order, told, await _settled(halts, halted), warning)
        return {**(ended or {}), **data}, Exit.OK if client else Exit.UNREACHABLE


def _data(
    halt_id: str | None,
    order: HaltOrder,
    told: int,
    in_flight: Sequence[dict[str, Any]] = (),
    warning: str | None = None,
) -> dict[str, Any]:
    what = {"halt": halt_id, "scope": order.scope, "target": order.target}
    return what | {"told": told, "in_flight": list(in_flight), "warning": warning}


async def _told(notice: HaltNotice) -> tuple[int, Client | None]:
    """Tell Temporal. Without it, workers have cut short what was in flight, and runs hear of it when they move."""
    try:
        client = await temporal(TEMPORAL_SECONDS)
        return await notify_halted(client, notice), client
    except (TemporalUnreachable, RPCError) as error:
        say(f"stanchion: Temporal was not told ({error}); workers stop what is in flight by themselves all the same")
        return 0, None


async def _end_of(client: Client, run_id: str) -> dict[str, Any]:
    try:
        async with asyncio.timeout(ENDED_SECONDS):
            outcome: dict[str, Any] = await client.get_workflow_handle(run_id).result()
            return outcome
    except TimeoutError:
        say(f"{run_id} is halted, but no worker has ended it yet; is one running?")
    except WorkflowFailureError as error:  # terminated, or never admitted: it does nothing more either way
        say(f"{run_id} is over: {error.cause}")
    except RPCError as error:
        say(f"{run_id} is halted; Temporal does not say how it ended ({error.message})")
    return {}


async def _settled(halts: Halts, halted: Halt) -> list[dict[str, Any]]:
    """What became of the effects in flight, as far as it is known after a moment."""
    give_up = asyncio.get_running_loop().time() + SETTLED_SECONDS
    while True:
        left = await halts.in_flight(halted.notice.halt_id)
        if all(each.outcome != "unknown" for each in left) or asyncio.get_running_loop().time() > give_up:
            return [asdict(each) for each in left]
        await asyncio.sleep(0.1)


def lift(what: HaltTarget, by: str | None, as_json: bool) -> None:
    """`stanchion resume --…`: one person's order for each halt of that scope that is in force now."""
    if what.scope == "run":
        fail("say one thing: a run, or one of --agent, --tool, --tenant, --fleet", Exit.USAGE)

    async def found(halts: Halts) -> list[Halt]:
        return await halts.active(what.scope, what.target)

    _lift(found, by, as_json, f"no halt of {what} is in force; `stanchion halts` lists those that are")


def lift_one(halt_id: str, by: str | None, as_json: bool) -> None:
    """`stanchion halts --lift`: one person's order for this halt."""

    async def found(halts: Halts) -> list[Halt]:
        halt = await halts.find(halt_id)
        return [] if halt.lifted_at else [halt]

    _lift(found, by, as_json, f"{halt_id} is in force no more", as_asked=True)


def _lift(
    find: Callable[[Halts], Awaitable[list[Halt]]], by: str | None, as_json: bool, none: str, as_asked: bool = False
) -> None:
    """`as_asked`: that there is nothing to lift is what was wanted. Exit code 3 if something else is."""

    async def work() -> list[LiftResult]:
        async with store() as database:
            halts, who = Halts(database, authority(database)), by or getpass.getuser()
            found = await find(halts)
            try:
                liftings = [await halts.lift(signed(LiftOrder(halt_id=h.notice.halt_id, by=who))) for h in found]
            except LiftRefused as error:
                fail(str(error), Exit.REFUSED)
            await _tell_lifted(database, [one.halt.notice for one in liftings if one.lifted], who)
            return liftings

    liftings = run(work())
    rows = [
        {"halt": one.halt.notice.halt_id, "lifted": one.lifted, "by": list(one.by), "people": one.halt.people}
        for one in liftings
    ]
    table(rows, ("halt", "lifted", "by", "people"), as_json=as_json, empty=none)
    for one in liftings:
        if not one.lifted:
            so_far = f"{len(one.by)} of {one.halt.people} people so far, {', '.join(one.by)}"
            say(f"{one.halt.notice.halt_id} is still in force: {so_far}; somebody else has to type the same")
    if (not liftings and not as_asked) or not all(one.lifted for one in liftings):
        raise SystemExit(int(Exit.REFUSED))


async def _tell_lifted(database: Database, lifted: list[HaltNotice], by: str) -> None:
    if not lifted:
        return
    try:
        client = await temporal(TEMPORAL_SECONDS)
        for notice in lifted:
            await notify_lifted(client, notice, by)
            await SQL["told"].rows(database, halt_id=notice.halt_id)
    except (TemporalUnreachable, RPCError) as error:
        say(f"stanchion: the runs were not told ({error}); the reaper tells them once Temporal is back")


async def _run_id(database: Database, name: str) -> str:
    try:
        return await run_id_in(database, name)
    except RunNotFound:
        if name.count("/") < 2:
            raise
        return name  # a whole id, of a run that is not open yet: it will find the halt


def checked(what: HaltTarget, reason: str | None, by: str | None) -> dict[str, Any]:
    """The fields of a HaltOrder; what is no order fails as a mistake."""
    given = {"scope": what.scope, "target": what.target, "by": by or getpass.getuser(), "reason": reason or ""}
    try:
        HaltOrder.model_validate(given)
    except ValidationError as error:
        fail(explain(error), Exit.USAGE)
    return given


def in_words(data: dict[str, Any]) -> str:
    """What `halt` and `kill` came to, for people."""
    lines = [f"{data['status']}: {data['reason']}"] if "status" in data else []
    lines += [f"in flight: {e['run_id']} {e['call_id']} {e['tool']}: {e['outcome']}" for e in data.get("in_flight", ())]
    reached = f"{data['told']} runs told" if "told" in data else f"terminated: {'yes' if data['terminated'] else 'no'}"
    return "\n".join(lines) or f"{data['halt'] or 'no row written'}: {reached}"
