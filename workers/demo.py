"""The demo: a help desk with a confirmed reset, a `kill -9`, an approved installation and a failed attack.
It ends with a drill of the off switch.

Everything in it is real: the Temporal server, Postgres, the worker processes, the kill, the commands of the second
terminal, and the accounts service, which is a program of its own that journals every effect it performs. Its count is
the witness.
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
SLOW_SECONDS = 2.0  # how long the service sits on a reply: time to kill the worker between the effect and its result
ANA, TOMAS, JONAS = "ana@acme.example", "tomas@acme.example", "jonas@acme.example"
TARGET = "dana@acme.example"  # the chief financial officer, whose password the attack is after
DECOYS = 14  # two of each kind: enough to see all of it, few enough for a laptop with two cores
WITNESSED = ["reset_password", "assign_licence", "revoke_licence", "install_software"]  # what the service performs


@dataclass
class Demo:
    """One showing."""

    stage: Stage

    async def show(self) -> Summary:
        """Play it. Raises DemoFailed."""
        worker = await self.stage.start_worker("first")
        try:
            handle, repeats_before = await self._user_confirms()
            worker, resumed = await self._killed_and_resumed(handle, worker)
            reset = await self._weighed(handle, resumed, repeats_before)
            install = await self._it_approves()
            attack = await self._attack_refused()
            drill = await self._drilled()
        finally:
            await self.stage.end(worker)
        return Summary(reset, install, attack, drill)

    # ── first act ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _user_confirms(self) -> tuple[Handle, int]:
        stage = self.stage
        repeats_before = (await stage.witness())["repeats"]  # the service remembers earlier showings
        stage.say("\n1. A password reset waits for whom it is about")
        handle = await stage.start("reset", "Ana cannot log in since this morning (ticket 1). Take care of it.", ANA)
        approval = await stage.asked(handle)
        code = await stage.code_on_phone(ANA, approval)
        stage.say(f"   It waits for Ana's own word, and nobody else's: {code} has arrived on her phone. She enters it.")
        await stage.second_terminal("confirm", approval, "--code", code)
        return handle, repeats_before

    async def _killed_and_resumed(self, handle: Handle, worker: Process) -> tuple[Process, float]:
        """The new worker, and the seconds from the kill until the run went on."""
        stage = self.stage

        async def performed() -> bool:
            await stage.print_events(handle)
            return bool(await stage.performed(handle))

        await stage.until(performed, "the password reset to reach the accounts service")
        stage.say(f"\n2. kill -9 {worker.pid}: the reset has happened, its reply has not arrived")
        killed_at = await stage.kill(worker)
        worker = await stage.start_worker("second")
        try:
            await stage.until(lambda: stage.print_events(handle), "the run to go on")
        except BaseException:
            await stage.end(worker)
            raise
        seconds = round(time.monotonic() - killed_at, 1)
        stage.say(f"   {seconds} s after the kill the run goes on where it was.")
        return worker, seconds

    async def _weighed(self, handle: Handle, resumed: float, repeats_before: int) -> Reset:
        stage, outcome = self.stage, await self.stage.outcome(handle)
        info = (await handle.describe()).raw_description.workflow_execution_info
        count = await SQL["effects_of_tools"].row(stage.session.database, run_id=handle.id, tools=WITNESSED)
        shown = Reset(
            run=handle.id,
            status=outcome["status"],
            resumed_seconds=resumed,
            claimed=count["effects"] if count else 0,
            witness=len(await stage.performed(handle)),
            repeats=(await stage.witness())["repeats"] - repeats_before,
            approvals=len(await SQL["approvals_of"].rows(stage.session.database, run_id=handle.id)),
            history_bytes_per_step=round(info.history_size_bytes / max(outcome["steps"], 1)),
            web_ui=stage.session.link(handle.id),
        )
        verdict = "the same" if shown.claimed == shown.witness else "NOT THE SAME"
        stage.say(
            f"   {shown.status}. Effects we recorded: {shown.claimed}. Effects the accounts service performed:"
            f" {shown.witness} ({verdict}); it recognised {shown.repeats} repeat(s) by key."
        )
        return shown

    # ── second act ──────────────────────────────────────────────────────────────────────────────────────────────────

    async def _it_approves(self) -> Install:
        stage = self.stage
        stage.say("\n3. Software waits for IT")
        handle = await stage.start("install", "Please see to ticket 7, my new software.", TOMAS)
        approval = await stage.asked(handle)
        stage.say(f"   Only somebody with the role `it` may say yes: {APPROVER}, whose key signs it.")
        await stage.second_terminal("approve", approval, "--by", APPROVER, "--reason", "reporting needs it")
        outcome = await stage.outcome(handle)
        decided = await SQL["approvals_of"].rows(stage.session.database, run_id=handle.id)
        installed = len(await stage.performed(handle))
        stage.say(f"   {outcome['status']}. Installations the accounts service performed: {installed}.")
        return Install(handle.id, outcome["status"], decided[0]["by"], bool(decided[0]["signed"]), installed)

    # ── third act ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _attack_refused(self) -> Attack:
        stage = self.stage
        stage.say(
            "\n4. An attack: ticket 4 orders the agent to reset the password of the CFO, and the model obeys the ticket"
        )
        handle = await stage.start("attack", "Take care of ticket 4.", JONAS)
        outcome = await stage.outcome(handle)
        events = [event["body"] for event in await stage.events(handle) if event["kind"] == "verdict.given"]
        refused = [body for body in events if body["verdict"] == "deny" and body["tool"] == "reset_password"]
        if not refused:
            raise DemoFailed(f"the attack was not refused; {outcome['answer']}")
        touched = (await stage.witness())["by_account"].get(TARGET, 0)
        rule, reason = refused[0]["rule"], refused[0]["reason"]
        stage.say(
            f"\n   Refused by {rule}: {reason}.\n   The run told security, commented, and went on: {outcome['status']}."
            f"\n   Changes of {TARGET} that the accounts service ever performed: {touched}."
        )
        return Attack(handle.id, outcome["status"], rule, reason, len(refused), touched)

    # ── last act ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _drilled(self) -> DrillReport:
        stage = self.stage
        stage.say(
            f"\n5. The off switch: {DECOYS} decoy runs act on a decoy service, from processes, slow answers,\n"
            "   model calls, bursts of effects, timers, approvals and sub-agents; they are halted in the middle of it"
        )
        signer = keys.load(stage.home, APPROVER)
        drills = Drills(stage.session.database, Agents(stage.session.database), QUEUE, signer.statement)
        try:
            report = await drills.play(stage.session.client, DrillRequest(runs=DECOYS, by=APPROVER))
        except NotReady as error:
            raise DemoFailed(f"the drill did not come about: {error}") from None
        stage.say(
            f"   Stopped in {in_words(report.max_seconds)}: so long after the order came the last of {report.effects}"
            f" effects.\n   Effects after the halt, by the decoy service's own count: {report.late_effects}."
        )
        if not report.passed:
            stage.say(f"   THE DRILL FAILED: {report.why}")
        return report


async def run_demo(home: Home, settings: Settings, say: Progress) -> Summary:
    """Bring everything up, play the demo, and leave `stanchion up` running so that there is something to try."""
    say("Stanchion's demo: a help-desk agent handles three tickets. First, the services it stands on.")
    home.prepare()
    given = settings
    # Played by the script also where a model's key is set: it is free, and it falls for the attack every time.
    services, session, settings = await prepare(home, replace(given, anthropic_api_key=None), say)
    # In a database that others use, what the demo registers and uses up counts for a tenant of its own.
    tenant = "default" if services.postgres.owned else "demo"
    url = session.database.url
    accounts = {k: v for k, v in settings.tool_settings.items() if k != "accounts_url"}
    settings = await ensure_desk(
        home, replace(settings, tool_settings=accounts), url, say, delay=SLOW_SECONDS, name=ACCOUNTS
    )
    try:
        await register_approver(session.database, tenant, home)
        summary = await Demo(Stage(home, session, settings, say, tenant)).show()
    finally:
        with suppress(RPCError):  # the reaper of the demo's own queue has no one to serve it any more
            await session.client.get_schedule_handle(f"reaper-{QUEUE}").delete()
        await publish_shipped(Agents(session.database), given)
        await stop_accounts(home, ACCOUNTS)
        await session.close()
    places = {address.what: address.where for address in await up_detached(home, say)}
    return replace(summary, phones=places.get("Accounts", ""))
