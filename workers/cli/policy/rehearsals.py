"""The bodies of `policy test`, `whatif` and `report`, which evaluate policies without changing anything."""

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from activities.policy.cedar.store import Effective, Policies
from activities.rehearsal.cases import Rehearsal, Rehearsed, failures, offline
from activities.rehearsal.observe_report import Report, is_agent, observe_report
from activities.rehearsal.recorded_calls import EVERYTHING, CallSelection
from activities.rehearsal.whatif import ProposedPolicy, WhatIfReport
from activities.rehearsal.whatif import whatif as evaluate_again
from activities.storage.canonical import canonical_json
from activities.storage.database import Database
from workers.cli.database_session import SQL, RunNotFound, open_database
from workers.cli.output import Exit, echo, fail, run, say, show, table
from workers.cli.policy.policies import allow_tool_imports, read_text

UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
ARGUMENT_CHARACTERS = 60  # characters of a call's arguments in a table
MAX_LINES = 100  # calls in a table; JSON output has more


def test(file: str, policy: str | None, money_floor: int, in_force: bool, as_json: bool) -> None:
    """`stanchion policy test`. Exit code 1 if a case does not get the expected verdict."""
    if in_force and (policy is not None or money_floor):
        fail("--in-force uses the policies in force, so --policy and --money-floor cannot be given", Exit.USAGE)
    allow_tool_imports()

    async def work() -> list[Rehearsed]:
        rehearsal = Rehearsal.read(Path(file))
        tenants = rehearsal.tenants()
        if in_force:
            return await rehearsal.evaluate(await _policies_in_force(tenants))
        text = None if policy is None else read_text(policy)
        return await rehearsal.evaluate({tenant: offline(text, money_floor, tenant) for tenant in tenants})

    cases = run(work())
    if as_json:
        show([_case_row(case) for case in cases], as_json=True)
    for case in () if as_json else cases:
        echo(_case_line(case))
    say(f"{len(cases) - failures(cases)} passed, {failures(cases)} failed")
    raise SystemExit(int(Exit.RUN_FAILED if failures(cases) else Exit.OK))


async def _policies_in_force(tenants: list[str]) -> dict[str, Effective]:
    async with open_database() as database:
        return {tenant: await Policies(database).effective(tenant) for tenant in tenants}


def _case_row(result: Rehearsed) -> dict[str, Any]:
    verdict, evaluation = result.evaluated.verdict, result.evaluated.evaluation
    return {
        "case": result.case.name,
        "passed": result.passed,
        "expected": result.case.expect,
        "expected_rule": result.case.rule,
        "verdict": result.word,
        "rule": verdict.rule,
        "reason": verdict.reason,
        "tier": evaluation.tier,
        "tainted": evaluation.tainted,
        "origins": evaluation.origins,
    }


def _case_line(result: Rehearsed) -> str:
    verdict = result.evaluated.verdict
    actual = f"{result.word} ({verdict.rule}): {verdict.reason}"
    if result.passed:
        return f"ok    {result.case.name}: {actual}"
    expected_rule = f" ({result.case.rule})" if result.case.rule else ""
    return f"FAIL  {result.case.name}: {result.case.expect}{expected_rule} was expected, but it is {actual}"


# ── whatif ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def whatif(
    policy: str,
    tenant: str | None,
    agent: str | None,
    since: str | None,
    limit: int | None,
    money_floor: int | None,
    platform: bool,
    as_json: bool,
) -> None:
    """`stanchion policy whatif`: evaluates recorded calls with a proposed policy."""
    proposed = ProposedPolicy(read_text(policy), money_floor, platform)
    selection = CallSelection(tenant, agent, _parse_since(since), limit or EVERYTHING)
    allow_tool_imports()

    async def work() -> WhatIfReport:
        async with open_database() as database:
            return await evaluate_again(database, proposed, selection, lambda done: say(f"{done} calls evaluated"))

    report = run(work())
    if as_json:
        return show(_report_json(report), as_json=True)
    _print_report(report)


def _parse_since(since: str | None) -> datetime | None:
    if since is None:
        return None
    match = re.fullmatch(r"(\d{1,6})([mhdw])", since)
    if not match:
        fail(f"--since takes a number and one of m, h, d, w, such as 12h or 30d, not {since!r}", Exit.USAGE)
    return datetime.now(UTC) - int(match[1]) * UNITS[match[2]]


def _report_json(report: WhatIfReport) -> dict[str, Any]:
    return {
        "judged": report.judged,
        "changed": report.changed.total(),
        "changes": _change_rows(report),
        "calls": [asdict(change) for change in report.changes],
        "not_judged": report.unjudged.total(),
        "reasons": _unjudged_rows(report),
        "not_judged_calls": [asdict(call) for call in report.unjudged_calls],
        "recorded_otherwise": report.recorded_otherwise,
    }


def _change_rows(report: WhatIfReport) -> list[dict[str, Any]]:
    return [
        {"tool": tool, "was": was, "would_be": would_be, "calls": count}
        for (tool, was, would_be), count in sorted(report.changed.items())
    ]


def _unjudged_rows(report: WhatIfReport) -> list[dict[str, Any]]:
    return [
        {"tool": tool, "cannot_be_judged": why, "calls": count}
        for (tool, why), count in sorted(report.unjudged.items())
    ]


def _print_report(report: WhatIfReport) -> None:
    table(_change_rows(report), ("tool", "was", "would_be", "calls"), as_json=False, empty="nothing would change")
    if report.changes:
        echo()
        columns = ("run_id", "call_id", "tool", "arguments", "was", "would_be", "old_rule", "new_rule", "recorded")
        rows = [asdict(change) | {"arguments": _shorten(change.arguments)} for change in report.changes[:MAX_LINES]]
        table(rows, columns, as_json=False, empty="")
    if more := report.changed.total() - min(len(report.changes), MAX_LINES):
        say(f"and {more} calls more; --json lists the first {len(report.changes)}")
    if report.unjudged:
        echo()
        table(_unjudged_rows(report), ("tool", "cannot_be_judged", "calls"), as_json=False, empty="")
    say(
        f"{report.judged} calls evaluated, {report.changed.total()} would change;"
        f" {report.unjudged.total()} could not be evaluated. Even with the present policies,"
        f" {report.recorded_otherwise} now get another verdict than the trace log records."
    )


def _shorten(arguments: Any) -> str:
    text = canonical_json(arguments)
    return text if len(text) <= ARGUMENT_CHARACTERS else text[: ARGUMENT_CHARACTERS - 1] + "…"


# ── report ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def report(name: str, as_json: bool) -> None:
    """`stanchion policy report`: about the agent of that name, else about the run."""

    async def work() -> Report:
        async with open_database() as database:
            if await is_agent(database, name):
                return await observe_report(database, agent=name)
            return await observe_report(database, run_id=await _find_run_id(database, name))

    report = run(work())
    counts = [
        {"tool": tool, "would_have": word, "rule": rule, "calls": count}
        for (tool, word, rule), count in sorted(report.counts.items())
    ]
    if as_json:
        calls = [asdict(call) for call in report.listed]
        totals = {"runs": report.runs, "calls_in_all": report.calls, "not_performed": report.effects}
        return show(totals | {"counts": counts, "calls": calls}, as_json=True)
    table(counts, ("tool", "would_have", "rule", "calls"), as_json=False, empty="nothing would have happened")
    if report.listed:
        echo()
        rows = [asdict(call) | {"arguments": _shorten(call.arguments)} for call in report.listed[:MAX_LINES]]
        table(rows, ("run_id", "call_id", "tool", "arguments", "would_have", "rule"), as_json=False, empty="")
    say(f"{report.runs} runs in mode observe made {report.calls} calls; {report.effects} were not performed")


async def _find_run_id(database: Database, name: str) -> str:
    """As `find_run_id`, with an error that also mentions agents. Raises RunNotFound."""
    run_ids = [str(row["run_id"]) for row in await SQL["find_runs"].rows(database, name=name)]
    if name in run_ids or len(run_ids) == 1:
        return name if name in run_ids else run_ids[0]
    if run_ids:
        raise RunNotFound(f"{name!r} names several runs; say which: {', '.join(run_ids)}")
    raise RunNotFound(
        f"neither an agent nor a run is called {name!r}; `stanchion agents ls` and `stanchion ls` list them"
    )
