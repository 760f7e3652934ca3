"""One run of each kind, small and always the same: recorded as histories, and run anew for the fingerprint."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from temporalio.api.enums.v1 import EventType
from temporalio.client import WorkflowHandle, WorkflowHistory
from temporalio.service import RPCError

from activities.budgets.grants import Grant, Grants
from activities.halts.halts import HaltOrder, Halts, LiftOrder
from activities.undo.orders import RollbackOrder, Rollbacks
from activities.undo.start_rollback import start_rollback
from tests.harness.checks import events
from tests.harness.stanchion import Stanchion, eventually
from tests.harness.toolbox import RELEASE

Handle = WorkflowHandle[Any, Any]
Scenario = Callable[[Stanchion], Awaitable[Handle]]


def ask(*tools: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """A turn that asks for these tools."""
    return {"tools": [{"name": name, "input": arguments} for name, arguments in tools]}


DONE = {"text": "done"}


async def plain(system: Stanchion) -> Handle:
    """Reads side by side, then an effect, then the answer."""
    turns = [ask(("look", {"what": "a"}), ("look", {"what": "b"})), ask(("note", {"text": "n"})), DONE]
    return await system.start(await system.publish(turns, "look", "note", name="plain"))


async def approval(system: Stanchion) -> Handle:
    """A person approves."""
    turns = [ask(("send", {"to": "bo@acme.example"})), DONE]
    handle = await system.start(await system.publish(turns, "send", name="approval"))
    await system.decide(handle, "approve")
    return handle


async def review(system: Stanchion) -> Handle:
    """An agent is asked beside a person."""
    yes = [{"text": '{"verdict": "approve", "reason": "the goal names bo"}'}]
    await system.publish(yes, name="second-pair")
    rules = {"tools": {"send": {"people": 2, "reviewer": "second-pair"}}}
    turns = [ask(("send", {"to": "bo@acme.example"})), DONE]
    handle = await system.start(await system.publish(turns, "send", name="review", approvals=rules))

    async def reviewed() -> bool:
        return any("reviewer" not in approval for approval in await handle.query("approvals"))

    await eventually(reviewed, "the reviewer gave its opinion")
    await system.decide(handle, "approve")
    return handle


async def halt(system: Stanchion) -> Handle:
    """A person halts a run that waits for an approval."""
    turns = [ask(("send", {"to": "bo@acme.example"})), DONE]
    handle = await system.start(await system.publish(turns, "send", name="halt"))
    await system.approval(handle)
    await handle.signal("halt", {"by": "lee", "reason": "enough"})
    return handle


async def cancel(system: Stanchion) -> Handle:
    """A cancel while a tool is at work."""
    RELEASE.pop("cancelled", None)
    turns = [ask(("waits_for_release", {"name": "cancelled"})), DONE]
    handle = await system.start(await system.publish(turns, "waits_for_release", name="cancel"))

    async def at_work() -> bool:
        return "cancelled" in RELEASE

    await eventually(at_work, "the tool is at work")
    await handle.cancel()
    return handle


async def wait(system: Stanchion) -> Handle:
    """The agent looks again a little later."""
    turns = [ask(("wait", {"minutes": 0.005, "reason": "to see"})), ask(("look", {})), DONE]
    return await system.start(await system.publish(turns, "look", name="wait"))


async def unknown(system: Stanchion) -> Handle:
    """An effect whose outcome nobody knows; a person says that it happened."""
    turns = [ask(("fails_somehow", {})), DONE]
    handle = await system.start(await system.publish(turns, "fails_somehow", name="unknown"))
    await system.decide(handle, "happened")
    return handle


async def mistakes(system: Stanchion) -> Handle:
    """A tool that is not offered, wrong arguments, and one call too often."""
    look = ask(("look", {"what": "same"}))
    turns = [ask(("nothing", {})), ask(("look", {"wat": 1})), look, look, look, DONE]
    return await system.start(await system.publish(turns, "look", name="mistakes"))


async def looping(system: Stanchion) -> Handle:
    """The same call until the run pauses; a person lets it go on, and it does it again."""
    turns = [ask(("look", {"what": "same"}))] * 12 + [DONE]
    handle = await system.start(await system.publish(turns, "look", name="looping"))
    for step in (6, 12):
        await _until(handle, "paused", step)
        await handle.signal("resume", {"by": "lee"})
    return handle


async def paused(system: Stanchion) -> Handle:
    """Paused while it sleeps, spoken to, resumed."""
    turns = [ask(("wait", {"minutes": 60})), DONE]
    handle = await system.start(await system.publish(turns, name="paused"))
    await _until(handle, "sleeping")
    await handle.signal("pause", {"by": "lee"})
    await _until(handle, "paused")
    await handle.signal("message", {"text": "come back", "by": "lee"})
    await handle.signal("resume", {"by": "lee"})
    return handle


async def halted(system: Stanchion) -> Handle:
    """A halt of everything cuts a tool short; once it is lifted, the run goes on where it was."""
    RELEASE.pop("halted", None)
    turns = [ask(("blocks_once", {"name": "halted"})), DONE]
    handle = await system.start(await system.publish(turns, "blocks_once", "take_back", name="halted"))

    async def at_work() -> bool:
        return "halted" in RELEASE

    await eventually(at_work, "the tool is at work")
    halts = Halts(system.parts.database, system.parts.authority)
    halt = await halts.order(HaltOrder(scope="fleet", by="lee", reason="enough"))
    await _until(handle, "paused")
    for by in ("lee", "kim"):
        await halts.lift(LiftOrder(halt_id=halt.notice.halt_id, by=by))
    await handle.signal("resume", {"halt": halt.notice.halt_id, "by": "kim"})
    return handle


async def budget_paused(system: Stanchion) -> Handle:
    """A budget is used up; let go on without more it pauses again; somebody adds to it, and it comes to its end."""
    turns = [ask(("note", {"text": f"{n}"})) for n in range(3)] + [DONE]
    agent = await system.publish(turns, "note", "take_back", name="budget-paused")
    handle = await system.start(agent, budget={"tool_calls": 1})
    await _until(handle, "paused")
    await handle.signal("resume", {"by": "lee"})

    async def weighed_again() -> bool:
        completed = await events(handle, EventType.EVENT_TYPE_ACTIVITY_TASK_COMPLETED)
        return sum("budget.weighed" in str(event) for event in completed) == 2

    await eventually(weighed_again, "its budget was looked at again")
    await _until(handle, "paused")
    await Grants(system.parts.database, system.parts.authority).give(Grant(run_id=handle.id, by="lee", tool_calls=9))
    await handle.signal("resume", {"by": "lee"})
    return handle


async def delegation(system: Stanchion) -> Handle:
    """Two tasks side by side, of which one is terminated; then one to an agent that ends without an answer."""
    await system.publish([{"text": "found it"}], name="finder")
    await system.publish([ask(("look", {"what": "a"})), DONE], "look", name="loser", budget={"steps": 1})
    await system.publish([ask(("wait", {"minutes": 60})), DONE], name="sleeper")
    tasks = [("delegate", {"agent": name, "task": "Find it."}) for name in ("finder", "sleeper", "loser")]
    turns = [ask(*tasks[:2]), ask(tasks[2]), DONE]
    agent = await system.publish(turns, name="delegation", delegates=["finder", "sleeper", "loser"])
    handle = await system.start(agent)
    sleeper = await _asleep(system, handle, "1.1")

    async def found() -> bool:
        return "1.0" in await system.results(handle.id)

    await eventually(found, "the first has answered")
    await sleeper.terminate("by hand")
    return handle


async def delegation_cancelled(system: Stanchion) -> Handle:
    """A cancel while a sub-agent sleeps."""
    await system.publish([ask(("wait", {"minutes": 60})), DONE], name="sleeper")
    turns = [ask(("delegate", {"agent": "sleeper", "task": "Find it."})), DONE]
    handle = await system.start(await system.publish(turns, name="delegation-cancelled", delegates=["sleeper"]))
    await _asleep(system, handle, "1.0")
    await handle.cancel()
    return handle


async def rollover(system: Stanchion) -> Handle:
    """Long enough to go on in a second history (the systems of these scenarios roll over at the least length)."""
    turns = [ask(("look", {"what": str(n)})) for n in range(4)] + [DONE]
    return await system.start(await system.publish(turns, "look", name="rollover"))


async def rollback(system: Stanchion) -> Handle:
    """Two effects are taken back, the last one first."""
    turns = [ask(("note", {"text": "one"})), ask(("note", {"text": "two"})), DONE]
    undone = await system.start(await system.publish(turns, "note", "take_back", name="rollback"))
    await system.outcome(undone)
    order = await Rollbacks(system.parts.database).order(RollbackOrder(run_id=undone.id, by="lee"), again=False)
    return await start_rollback(system.client, order, system.settings.task_queue)


async def failure(system: Stanchion) -> Handle:
    """A run whose definition says that it is taken back when a limit stops it."""
    turns = [ask(("note", {"text": "one"})), ask(("note", {"text": "two"})), DONE]
    terms = {"on_failure": "undo", "on_budget": "stop", "budget": {"tool_calls": 1}}
    agent = await system.publish(turns, "note", "take_back", name="failure", **terms)
    return await system.start(agent)


SCENARIOS: dict[str, Scenario] = {
    scenario.__name__: scenario
    for scenario in (
        *(plain, approval, review, halt, cancel, wait, unknown, mistakes, looping, paused, halted, budget_paused),
        *(delegation, delegation_cancelled, rollover, rollback, failure),
    )
}


async def histories(system: Stanchion, name: str) -> dict[str, WorkflowHistory]:
    """Run a scenario to its end; its histories by name, two or more if it rolled over."""
    handle = await SCENARIOS[name](system)
    await system.outcome(handle)
    found, run_id = [], handle.first_execution_run_id
    while run_id:
        history = await system.client.get_workflow_handle(handle.id, run_id=run_id).fetch_history()
        found.append(history)
        last = history.events[-1]
        rolled = last.HasField("workflow_execution_continued_as_new_event_attributes")
        run_id = last.workflow_execution_continued_as_new_event_attributes.new_execution_run_id if rolled else None
    return {name: found[0]} if len(found) == 1 else {f"{name}-{n}": one for n, one in enumerate(found, 1)}


async def _asleep(system: Stanchion, handle: Handle, call_id: str) -> Handle:
    """The sub-agent of a call, once it sleeps."""

    async def there() -> Any:
        return await system.value("SELECT child_run_id FROM delegations WHERE call_id = $1", call_id)

    sleeper = system.client.get_workflow_handle(str(await eventually(there, f"{call_id} is delegated")))

    async def asleep() -> bool:
        try:
            return bool((await sleeper.query("status"))["status"] == "sleeping")
        except RPCError:  # it is not started yet
            return False

    await eventually(asleep, f"{sleeper.id} sleeps")
    return sleeper


async def _until(handle: Handle, word: str, step: int = 0) -> None:
    async def there() -> bool:
        status = await handle.query("status")
        return bool(status["status"] == word and status["step"] >= step)

    await eventually(there, f"{handle.id} is {word}")
    await asyncio.sleep(0)
