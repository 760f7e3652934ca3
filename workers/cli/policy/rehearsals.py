"""`policy test|whatif|report`: show what a policy decides, would decide, or would have decided. Change nothing."""

import re
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from activities.policy.cedar.store import Effective, Policies
from activities.rehearsal.cases import Rehearsal, Rehearsed, failures, offline
from activities.rehearsal.observe_report import Report, is_agent
from activities.rehearsal.observe_report import observe_report as observed
from activities.rehearsal.recorded_calls import EVERYTHING, CallSelection
from activities.rehearsal.whatif import ProposedPolicy, WhatIfReport
from activities.rehearsal.whatif import whatif as asked
from activities.storage.canonical import canonical_json
from activities.storage.database import Database
from workers.cli.database_session import SQL, RunNotFound, store
from workers.cli.output import Exit, fail, run, say, show, table
from workers.cli.policy.policies import import_from_here, text_of

UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
SHOWN = 60  # characters of a call's arguments
LINES = 100  # calls that a person is shown; JSON has more


def test(file: str, policy: str | None, money_floor: int, in_force: bool, as_json: bool) -> None:
    """`stanchion policy test`: exit code 1 if a case turns out otherwise than expected."""
    if in_force and (policy is not None or money_floor):
        fail("--in-force takes the policies that are set; --policy and --money-floor try others", Exit.USAGE)
    import_from_here()

    async def work() -> list[Rehearsed]:
        rehearsal = Rehearsal.read(Path(file))
        tenants = rehearsal.tenants()
        if in_force:
            return await rehearsal.evaluate(await _in_force(tenants))
        text = None if policy is None else text_of(policy)
        return await rehearsal.evaluate({tenant: offline(text, money_floor, tenant) for tenant in tenants})

    cases = run(work())
    if as_json:
        show([_case(each) for each in cases], as_json=True)
    for each in () if as_json else cases:
        print(_line(each))
    say(f"{len(cases) - failures(cases)} passed, {failures(cases)} failed")
    raise SystemExit(int(Exit.RUN_FAILED if failures(cases) else Exit.OK))


async def _in_force(tenants: list[str]) -> dict[str, Effective]:
    async with store() as opened:
        return {tenant: await Policies(opened).effective(tenant) for tenant in tenants}


def _case(each: Rehearsed) -> dict[str, Any]:
    verdict, evaluation = each.evaluated.verdict, each.evaluated.evaluation
    return {
        "case": each.case.name,
        "passed": each.passed,
        "expected": each.case.expect,
        "expected_rule": each.case.rule,
        "verdict": each.word,
        "rule": verdict.rule,
        "reason": verdict.reason,
        "tier": evaluation.tier,
        "tainted": evaluation.tainted,
        "origins": evaluation.origins,
    }


def _line(each: Rehearsed) -> str:
    verdict = each.evaluated.verdict
    said = f"{each.word} ({verdict.rule}): {verdict.reason}"
    if each.passed:
        return f"ok    {each.case.name}: {said}"
    by = f" ({each.case.rule})" if each.case.rule else ""
    return f"FAIL  {each.case.name}: {each.case.expect}{by} was expected, but it is {said}"


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
    """`stanchion policy whatif`."""
    proposed = ProposedPolicy(text_of(policy), money_floor, platform)
    chosen = CallSelection(tenant, agent, _moment(since), limit or EVERYTHING)
    import_from_here()

    async def work() -> WhatIfReport:
        async with store() as opened:
            return await asked(opened, proposed, chosen, lambda done: say(f"{done} calls judged"))

    answer = run(work())
    if as_json:
        return show(_answer(answer), as_json=True)
    _print(answer)


def _moment(since: str | None) -> datetime | None:
    if since is None:
        return None
    found = re.fullmatch(r"(\d{1,6})([mhdw])", since)
    if not found:
        fail(f"--since takes a number and one of m, h, d, w, such as 12h or 30d, not {since!r}", Exit.USAGE)
    return datetime.now(UTC) - int(found[1]) * UNITS[found[2]]


def _answer(answer: WhatIfReport) -> dict[str, Any]:
    return {
        "judged": answer.judged,
        "changed": answer.changed.total(),
        "changes": _changes(answer),
        "calls": [asdict(change) for change in answer.changes],
        "not_judged": answer.unjudged.total(),
        "reasons": _reasons(answer),
        "not_judged_calls": [asdict(call) for call in answer.unjudged_calls],
        "recorded_otherwise": answer.recorded_otherwise,
    }


def _changes(answer: WhatIfReport) -> list[dict[str, Any]]:
    return [
        {"tool": tool, "was": was, "would_be": would_be, "calls": count}
        for (tool, was, would_be), count in sorted(answer.changed.items())
    ]


def _reasons(answer: WhatIfReport) -> list[dict[str, Any]]:
    return [
        {"tool": tool, "cannot_be_judged": why, "calls": count}
        for (tool, why), count in sorted(answer.unjudged.items())
    ]


def _print(answer: WhatIfReport) -> None:
    table(_changes(answer), ("tool", "was", "would_be", "calls"), as_json=False, empty="nothing would change")
    if answer.changes:
        print()
        columns = ("run_id", "call_id", "tool", "arguments", "was", "would_be", "old_rule", "new_rule", "recorded")
        rows = [asdict(change) | {"arguments": _short(change.arguments)} for change in answer.changes[:LINES]]
        table(rows, columns, as_json=False, empty="")
    if more := answer.changed.total() - min(len(answer.changes), LINES):
        say(f"and {more} calls more; --json lists the first {len(answer.changes)}")
    if answer.unjudged:
        print()
        table(_reasons(answer), ("tool", "cannot_be_judged", "calls"), as_json=False, empty="")
    say(
        f"{answer.judged} calls judged, {answer.changed.total()} would change;"
        f" {answer.unjudged.total()} cannot be judged; {answer.recorded_otherwise} are judged today,"
        " without any change, otherwise than the trace has it"
    )


def _short(arguments: Any) -> str:
    text = canonical_json(arguments)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


# ── report ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def report(name: str, as_json: bool) -> None:
    """`stanchion policy report`: of an agent, or else of a run."""

    async def work() -> Report:
        async with store() as opened:
            if await is_agent(opened, name):
                return await observed(opened, agent=name)
            return await observed(opened, run_id=await _run_of(opened, name))

    found = run(work())
    counts = [
        {"tool": tool, "would_have": word, "rule": rule, "calls": count}
        for (tool, word, rule), count in sorted(found.counts.items())
    ]
    if as_json:
        calls = [asdict(call) for call in found.listed]
        totals = {"runs": found.runs, "calls_in_all": found.calls, "not_performed": found.effects}
        return show(totals | {"counts": counts, "calls": calls}, as_json=True)
    table(counts, ("tool", "would_have", "rule", "calls"), as_json=False, empty="nothing would have happened")
    if found.listed:
        print()
        rows = [asdict(call) | {"arguments": _short(call.arguments)} for call in found.listed[:LINES]]
        table(rows, ("run_id", "call_id", "tool", "arguments", "would_have", "rule"), as_json=False, empty="")
    say(f"{found.runs} runs in mode observe made {found.calls} calls; {found.effects} were not performed")


async def _run_of(opened: Database, name: str) -> str:
    rows = [str(row["run_id"]) for row in await SQL["find_runs"].rows(opened, name=name)]
    if name in rows or len(rows) == 1:
        return name if name in rows else rows[0]
    if rows:
        raise RunNotFound(f"{name!r} names several runs; say which: {', '.join(rows)}")
    raise RunNotFound(
        f"neither an agent nor a run is called {name!r}; `stanchion agents ls` and `stanchion ls` list them"
    )
