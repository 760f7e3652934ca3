"""The body of `stanchion drill`, which halts decoy runs and prints how fast they stopped."""

import getpass
import logging
from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from activities.agents.versions import Agents
from activities.drills.drill import Drills
from activities.drills.figures import in_words
from workers import keys, logs
from workers.cli.output import Exit, fail, run, say, show
from workers.cli.temporal_session import open_session
from workers.schedules import drop_drill, ensure_drill
from workers.services import Home
from workers.settings import from_environment
from workflows.contracts.base import explain
from workflows.contracts.drills import DrillReport, DrillRequest

SCHEDULES = ("weekly", "off", "never")  # the last two are the same


def drill(given: Mapping[str, Any], schedule: str | None, as_json: bool) -> None:
    """`stanchion drill`. `given` holds the fields of a DrillRequest. Exit code 1 if the drill fails."""
    request = _validated({**given, "by": given["by"] or getpass.getuser()})
    if schedule is not None:
        return _schedule(request, schedule, as_json)
    if request.live and request.scope == "fleet":
        say("This halts all runs. To lift the halt, two people have to type `stanchion resume --fleet`.")
    logs.configure(from_environment().log_format, logging.WARNING)
    report = run(_play(request))
    show(report.model_dump(mode="json"), as_json=as_json, text=_report_text(report))
    raise SystemExit(int(Exit.OK if report.passed else Exit.RUN_FAILED))


async def _play(request: DrillRequest) -> DrillReport:
    signer = keys.find(Home.locate(), request.by)
    async with open_session() as session:
        say(f"Starting {request.runs} decoys; the halt follows once all are at work …")
        queue = from_environment().task_queue
        drills = Drills(session.database, Agents(session.database), queue, signer.statement if signer else None)
        return await drills.play(session.client, request)


def _schedule(request: DrillRequest, schedule: str, as_json: bool) -> None:
    if schedule not in SCHEDULES:
        fail("--schedule takes weekly or off", Exit.USAGE)
    if request.live:
        fail("a live drill cannot be scheduled: it stops real runs, and people have to lift the halt", Exit.USAGE)

    async def work() -> str:
        async with open_session() as session:
            queue = from_environment().task_queue
            if schedule != "weekly":
                return await drop_drill(session.client, queue)
            return await ensure_drill(session.client, queue, request)

    name = run(work())
    show({"schedule": name, "every": schedule}, as_json=as_json, text=f"{name}: {schedule}")


def _validated(fields: Mapping[str, Any]) -> DrillRequest:
    try:
        return DrillRequest.model_validate(fields)
    except ValidationError as error:
        fail(explain(error), Exit.USAGE)


def _report_text(report: DrillReport) -> str:
    verdict = "PASSED" if report.passed else f"FAILED: {report.why}"
    lifted = "" if report.lifted else f"\nThe halt {report.halt_id} is still in force: `stanchion halts`."
    return (
        f"{verdict}\n{report.runs} decoys, {report.acting} of them at work when the order came. From the order to the "
        f"last effect: p50 {in_words(report.p50_seconds)}, p99 {in_words(report.p99_seconds)}, "
        f"at most {in_words(report.max_seconds)}. Effects after the halt: {report.late_effects}.{lifted}"
    )
