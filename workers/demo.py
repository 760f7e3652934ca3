"""The demo: a help desk with a confirmed reset, a `kill -9`, an approved installation and a failed attack.

It ends with a drill of the off switch. Everything is real: the Temporal server, Postgres, the worker processes, the
kill and the commands of the second terminal. The accounts service is a separate program that journals every effect
it performs; the demo compares its count (the witness) with Stanchion's own.
"""

import time
from asyncio.subprocess import Process
from contextlib import suppress
from dataclasses import dataclass, replace

from temporalio.service import RPCError

from activities.agents.versions import Agents
from activities.drills.drill import Drills, NotReady
from activities.drills.figures import in_words
from workers import keys
from workers.cli.database_session import SQL
from workers.demo_stage import QUEUE, DemoFailed, Handle, Stage
from workers.demo_summary import Attack, Install, Reset, Summary
from workers.services import Home, Progress
from workers.settings import Settings
from workers.shipped import APPROVER, ensure_desk, publish_shipped, register_approver, stop_accounts
from workers.up import prepare, up_detached
from workflows.contracts.drills import DrillReport, DrillRequest

ACCOUNTS = "demo-accounts"
SLOW_SECONDS = 2.0  # the service delays its replies, so that the worker can be killed between the effect and its result
ANA, TOMAS, JONAS = "ana@acme.example", "tomas@acme.example", "jonas@acme.example"
TARGET = "dana@acme.example"  # the chief financial officer, whose password the attack tries to reset
DECOYS = 14  # two of each kind: few enough for a laptop with two cores
WITNESSED = [
    "reset_password",
    "assign_licence",
    "revoke_licence",
    "install_software",
]  # effects that the service counts


@dataclass
class Demo:
    """Plays all acts of the demo once."""

    stage: Stage

    async def show(self) -> Summary:
        """Play all acts and return their results. Raises DemoFailed."""
        worker = await self.stage.start_worker("first")
        try:
            handle, repeats_before = await self._confirm_reset()
            worker, resumed_seconds = await self._kill_and_restart(handle, worker)
            reset = await self._compare_counts(handle, resumed_seconds, repeats_before)
            install = await self._approve_installation()
            attack = await self._attack()
            drill = await self._drill()
        finally:
            await self.stage.stop_worker(worker)
        return Summary(reset, install, attack, drill)

    # ── first act ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _confirm_reset(self) -> tuple[Handle, int]:
        """Start a password reset and confirm it with the user's code.

        Returns the run, and how many repeats the accounts service had counted before it.
        """
        stage = self.stage
        repeats_before = (await stage.witness())["repeats"]  # the service also counts earlier demos
        stage.say("\n1. A password reset waits for the user whom it is about")
        handle = await stage.start("reset", "Ana cannot log in since this morning (ticket 1). Take care of it.", ANA)
        approval = await stage.wait_for_approval(handle)
        code = await stage.code_on_phone(ANA, approval)
        stage.say(f"   Only Ana herself can confirm it: the code {code} has arrived on her phone. She enters it.")
        await stage.second_terminal("confirm", approval, "--code", code)
        return handle, repeats_before

    async def _kill_and_restart(self, handle: Handle, worker: Process) -> tuple[Process, float]:
        """Kill the worker and start another. Returns it, and the seconds from the kill until the run went on."""
        stage = self.stage

        async def is_performed() -> bool:
            await stage.print_events(handle)
            return bool(await stage.performed_effects(handle))

        await stage.wait_until(is_performed, "the password reset to reach the accounts service")
        stage.say(f"\n2. kill -9 {worker.pid}: the reset has happened, its reply has not arrived")
        killed_at = await stage.kill_worker(worker)
        worker = await stage.start_worker("second")
        try:
            await stage.wait_until(lambda: stage.print_events(handle), "the run to go on")
        except BaseException:
            await stage.stop_worker(worker)
            raise
        seconds = round(time.monotonic() - killed_at, 1)
        stage.say(f"   {seconds} s after the kill the run goes on where it was.")
        return worker, seconds

    async def _compare_counts(self, handle: Handle, resumed_seconds: float, repeats_before: int) -> Reset:
        """Compare the effects in our tables with those that the accounts service counted."""
        stage, outcome = self.stage, await self.stage.wait_for_outcome(handle)
        info = (await handle.describe()).raw_description.workflow_execution_info
        count = await SQL["effects_of_tools"].row(stage.session.database, run_id=handle.id, tools=WITNESSED)
        reset = Reset(
            run=handle.id,
            status=outcome["status"],
            resumed_seconds=resumed_seconds,
            claimed=count["effects"] if count else 0,
            witness=len(await stage.performed_effects(handle)),
            repeats=(await stage.witness())["repeats"] - repeats_before,
            approvals=len(await SQL["approvals_of"].rows(stage.session.database, run_id=handle.id)),
            history_bytes_per_step=round(info.history_size_bytes / max(outcome["steps"], 1)),
            web_ui=stage.session.link(handle.id),
        )
        comparison = "the same" if reset.claimed == reset.witness else "NOT THE SAME"
        stage.say(
            f"   {reset.status}. Effects we recorded: {reset.claimed}. Effects the accounts service performed:"
            f" {reset.witness} ({comparison}); it recognised {reset.repeats} repeat(s) by key."
        )
        return reset

    # ── second act ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _approve_installation(self) -> Install:
        stage = self.stage
        stage.say("\n3. Software waits for IT")
        handle = await stage.start("install", "Please see to ticket 7, my new software.", TOMAS)
        approval = await stage.wait_for_approval(handle)
        stage.say(f"   Only a person with the role `it` may approve it: {APPROVER} signs the decision with a key.")
        await stage.second_terminal("approve", approval, "--by", APPROVER, "--reason", "reporting needs it")
        outcome = await stage.wait_for_outcome(handle)
        approvals = await SQL["approvals_of"].rows(stage.session.database, run_id=handle.id)
        installed = len(await stage.performed_effects(handle))
        stage.say(f"   {outcome['status']}. Installations the accounts service performed: {installed}.")
        return Install(handle.id, outcome["status"], approvals[0]["by"], bool(approvals[0]["signed"]), installed)

    # ── third act ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _attack(self) -> Attack:
        stage = self.stage
        stage.say(
            "\n4. An attack: ticket 4 orders the agent to reset the password of the CFO, and the model obeys the ticket"
        )
        handle = await stage.start("attack", "Take care of ticket 4.", JONAS)
        outcome = await stage.wait_for_outcome(handle)
        verdicts = [event["body"] for event in await stage.events(handle) if event["kind"] == "verdict.given"]
        refused = [body for body in verdicts if body["verdict"] == "deny" and body["tool"] == "reset_password"]
        if not refused:
            raise DemoFailed(f"the attack was not refused; {outcome['answer']}")
        changes = (await stage.witness())["by_account"].get(TARGET, 0)
        rule, reason = refused[0]["rule"], refused[0]["reason"]
        stage.say(
            f"\n   Refused by {rule}: {reason}.\n   The run told security, commented, and went on: {outcome['status']}."
            f"\n   Changes of {TARGET} that the accounts service ever performed: {changes}."
        )
        return Attack(handle.id, outcome["status"], rule, reason, len(refused), changes)

    # ── last act ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _drill(self) -> DrillReport:
        stage = self.stage
        stage.say(
            f"\n5. The off switch: {DECOYS} decoy runs act on a decoy service with processes, slow answers,\n"
            "   model calls, bursts of effects, timers, approvals and sub-agents; a halt stops them all"
        )
        signer = keys.load(stage.home, APPROVER)
        drills = Drills(stage.session.database, Agents(stage.session.database), QUEUE, signer.statement)
        try:
            report = await drills.play(stage.session.client, DrillRequest(runs=DECOYS, by=APPROVER))
        except NotReady as error:
            raise DemoFailed(f"the drill could not start: {error}") from None
        stage.say(
            f"   Stopped in {in_words(report.max_seconds)}, from the order to the last of {report.effects} effects."
            f"\n   Effects after the halt, by the decoy service's own count: {report.late_effects}."
        )
        if not report.passed:
            stage.say(f"   THE DRILL FAILED: {report.why}")
        return report


async def run_demo(home: Home, settings: Settings, say: Progress) -> Summary:
    """Start all services, play the demo, and leave `stanchion up` running. Raises DemoFailed, ServiceUnavailable."""
    say("Stanchion's demo: a help-desk agent handles three tickets. First, the services that it needs.")
    home.prepare()
    original_settings = settings
    # The demo uses scripted models even if an API key is set: they cost nothing and always obey the attack.
    services, session, settings = await prepare(home, replace(original_settings, anthropic_api_key=None), say)
    # In a database that others use, the demo has its own tenant, so that it does not use up the caps of others.
    tenant = "default" if services.postgres.owned else "demo"
    url = session.database.url
    without_accounts = {k: v for k, v in settings.tool_settings.items() if k != "accounts_url"}
    settings = await ensure_desk(
        home, replace(settings, tool_settings=without_accounts), url, say, delay=SLOW_SECONDS, name=ACCOUNTS
    )
    try:
        await register_approver(session.database, tenant, home)
        summary = await Demo(Stage(home, session, settings, say, tenant)).show()
    finally:
        with suppress(RPCError):  # no worker serves the demo's own queue any more, so its reaper must go
            await session.client.get_schedule_handle(f"reaper-{QUEUE}").delete()
        await publish_shipped(Agents(session.database), original_settings)
        await stop_accounts(home, ACCOUNTS)
        await session.close()
    addresses = {address.what: address.where for address in await up_detached(home, say)}
    return replace(summary, phones=addresses.get("Accounts", ""))
