"""Checks of `stanchion doctor` on policies, people, approval habits and drills. Reads tables only."""

import json
from datetime import timedelta

from activities.agents.versions import Agents, AgentVersion, shapes_of_all
from activities.approvals.approver_statistics import with_warning
from activities.approvals.record import SQL
from activities.drills.drill import SQL as DRILLS
from activities.drills.report_signature import verify_report
from activities.identity.principals import Principals
from activities.model.vendor_outages import SQL as VENDORS
from activities.policy.cedar.store import PLATFORM, Policies
from activities.runs.lifecycle import SQL as RUNS
from activities.storage.database import Database
from workers.doctor_findings import Check

HABIT_DAYS = 30
PROOFS = {"unsigned": "unsigned", "unknown key": "signed with a key that is not registered here"}
DRILL_DAYS = 8  # a week plus one day of grace


async def check_controls(url: str, *, unsigned: bool) -> list[Check]:
    """Return the findings. `unsigned`: the workers of this machine accept unsigned decisions."""
    database = Database(url)
    try:
        agents = await Agents(database).all()
        return [
            await _check_policies(database, agents),
            await _check_people(database, unsigned=unsigned),
            _check_reviewers(agents),
            await _check_habits(database),
            await _check_drills(database),
            await _check_vendors(database),
            await _check_engines(database),
        ]
    except Exception as error:  # a diagnosis reports every error, by its type only
        return [Check("controls", False, f"cannot be read ({type(error).__name__})", "Run `stanchion db upgrade`.")]
    finally:
        await database.close()


async def _check_policies(database: Database, agents: list[AgentVersion]) -> Check:
    policies = Policies(database)
    heads = await policies.effective(PLATFORM)
    if heads.missing or heads.broken:
        return Check("policies", False, heads.missing or heads.broken or "", "Run `stanchion bootstrap`.")
    misfits = await policies.misfits(shapes_of_all(agents)) if agents else {}  # without agents there are no tools
    detail = "; ".join(f"{version[:12]}: {problem}" for version, problem in misfits.items())
    fix = "Correct it: `stanchion policy set`."
    return Check("policies", not misfits, detail or "in force, and they fit the tools", fix)


async def _check_engines(database: Database) -> Check:
    rows = await RUNS["engines"].rows(database)
    if len(rows) < 2:
        return Check("open runs", True, f"{rows[0]['runs'] if rows else 0} open, all in one Temporal")
    detail = "; ".join(f"{row['runs']} in {row['engine']}" for row in rows)
    fix = "Each Temporal continues and closes its own. If one is gone for good, `stanchion kill RUN` closes its runs."
    return Check("open runs", None, f"they live in {len(rows)} Temporals: {detail}", fix)


async def _check_vendors(database: Database) -> Check:
    rows = await VENDORS["outages"].rows(database)
    said = "; ".join(
        f"{row['vendor']}{':' + row['model'] if row['model'] else ''} gives no answer since {row['since']:%H:%M:%S}: "
        f"{row['error']}, {row['runs']} runs wait, asked again at {row['retry_at']:%Y-%m-%d %H:%M:%S} UTC"
        for row in rows
    )
    fix = "Correct what the vendor says (key, balance, address), then `stanchion resume --vendor NAME`; else wait."
    return Check("model vendors", not rows, said or "no outage is known", fix)


async def _check_people(database: Database, *, unsigned: bool) -> Check:
    principals = Principals(database)
    people = [person for person in await principals.all() if person.revoked_at is None]
    keys = [key for key in await principals.keys() if key.revoked_at is None]
    if unsigned:
        fix = (
            "This is intended for one person's machine. Elsewhere run `stanchion worker` without"
            " STANCHION_DANGEROUSLY_ACCEPT_UNSIGNED_DECISIONS; `stanchion keys new NAME` makes a key."
        )
        detail = f"unsigned: everybody who reaches Temporal can approve ({len(people)} people, {len(keys)} keys)"
        return Check("decisions", None, detail, fix)
    if people and keys:
        return Check("decisions", True, f"signed; {len(people)} people, {len(keys)} keys")
    fix = "Run `stanchion principals add NAME` and `stanchion keys new NAME`."
    return Check("decisions", None, "must be signed, but nobody has a key: every approval will expire", fix)


def _check_reviewers(agents: list[AgentVersion]) -> Check:
    by_name = {agent.definition.name: agent for agent in agents}
    rules = [
        (agent.definition.name, rule.reviewer)
        for agent in agents
        for rule in agent.definition.approvals.tools.values()
        if rule.reviewer
    ]
    missing = [f"{asker} asks {name}, which is not registered" for asker, name in rules if name not in by_name]
    with_tools = [
        f"{asker} asks {name}, which has tools" for asker, name in rules if name in by_name and by_name[name].own_tools
    ]
    fix = "Register it without tools: `stanchion agents add FILE`. Until then people decide alone."
    detail = "; ".join(missing + with_tools) or f"{len(rules)} configured"
    return Check("reviewers", not (missing or with_tools), detail, fix)


async def _check_habits(database: Database) -> Check:
    rows = [with_warning(dict(row)) for row in await SQL["approvers"].rows(database, days=HABIT_DAYS)]
    warnings = [f"{row['approver']}: {row['warning']}" for row in rows if row["warning"]]
    detail = "; ".join(warnings) or f"{len(rows)} in {HABIT_DAYS} days"
    fix = "Talk to them, and let fewer calls ask, so that each approval is worth reading (`stanchion approvers`)."
    return Check("approvers", None if warnings else True, detail, fix)


async def _check_drills(database: Database) -> Check:
    last = await DRILLS["latest"].row(database)
    weekly = "Run `stanchion drill`; `stanchion drill --schedule weekly` repeats it every week."
    if last is None:
        return Check("drill", None, "the off switch was never drilled here", weekly)
    report = json.loads(last["report"])
    proof = verify_report(last, await Principals(database).keys())
    detail = f"{last['drill_id']}, {last['age'].days} days ago: p99 {report['p99_seconds']} s"
    if proof == "forged":
        return Check("drill", False, f"{detail}; its report is not what was signed", "Find out why, then drill again.")
    if not last["passed"]:
        return Check("drill", False, f"{detail}; FAILED: {report['why']}", "Find out why, then drill again.")
    if last["age"] > timedelta(days=DRILL_DAYS):
        return Check("drill", None, f"{detail}, which is too long ago", weekly)
    return Check("drill", True, detail if proof == "signed" else f"{detail}, {PROOFS[proof]}")
