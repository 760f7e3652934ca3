"""Checks of `stanchion doctor` on policies, people, approval habits and drills. Reads tables, changes nothing."""

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
from activities.storage.database import Database
from workers.doctor_findings import Check

HABIT_DAYS = 30
PROOFS = {"unsigned": "unsigned", "unknown key": "signed with a key that is not registered here"}
DRILL_DAYS = 8  # a weekly drill, and a day of grace


async def look_at_controls(url: str, *, unsigned: bool) -> list[Check]:
    """The findings. `unsigned`: the workers of this machine take unsigned decisions."""
    database = Database(url)
    try:
        agents = await Agents(database).all()
        return [
            await _policies(database, agents),
            await _people(database, unsigned=unsigned),
            _reviewers(agents),
            await _habits(database),
            await _drills(database),
            await _vendors(database),
        ]
    except Exception as error:  # a diagnosis reports whatever went wrong, by its kind
        return [Check("controls", False, f"cannot be read ({type(error).__name__})", "Run `stanchion db upgrade`.")]
    finally:
        await database.close()


async def _policies(database: Database, agents: list[AgentVersion]) -> Check:
    policies = Policies(database)
    heads = await policies.effective(PLATFORM)
    if heads.missing or heads.broken:
        return Check("policies", False, heads.missing or heads.broken or "", "Run `stanchion bootstrap`.")
    wrong = await policies.misfits(shapes_of_all(agents)) if agents else {}  # without tools nothing fits, or need to
    said = "; ".join(f"{version[:12]}: {problem}" for version, problem in wrong.items())
    return Check("policies", not wrong, said or "in force, and they fit the tools", "Mend it: `stanchion policy set`.")


async def _vendors(database: Database) -> Check:
    rows = await VENDORS["outages"].rows(database)
    said = "; ".join(
        f"{row['vendor']}{':' + row['model'] if row['model'] else ''} gives no answer since {row['since']:%H:%M:%S}: "
        f"{row['error']}, {row['runs']} runs wait, asked again at {row['retry_at']:%Y-%m-%d %H:%M:%S} UTC"
        for row in rows
    )
    fix = "Correct what the vendor says (key, balance, address), then `stanchion resume --vendor NAME`; else wait."
    return Check("model vendors", not rows, said or "no outage is known", fix)


async def _people(database: Database, *, unsigned: bool) -> Check:
    principals = Principals(database)
    known = [each for each in await principals.all() if each.revoked_at is None]
    keys = [key for key in await principals.keys() if key.revoked_at is None]
    if unsigned:
        fix = (
            "For one person's machine that is meant. Elsewhere run `stanchion worker` without"
            " STANCHION_DANGEROUSLY_ACCEPT_UNSIGNED_DECISIONS; `stanchion keys new NAME` makes a key."
        )
        said = f"unsigned ones count: who reaches Temporal can approve ({len(known)} people, {len(keys)} keys)"
        return Check("decisions", None, said, fix)
    if known and keys:
        return Check("decisions", True, f"signed; {len(known)} people, {len(keys)} keys")
    fix = "Run `stanchion principals add NAME` and `stanchion keys new NAME`."
    return Check("decisions", None, "signed ones only, and nobody has a key: whatever asks will expire", fix)


def _reviewers(agents: list[AgentVersion]) -> Check:
    by_name = {agent.definition.name: agent for agent in agents}
    rules = [
        (agent.definition.name, rule.reviewer)
        for agent in agents
        for rule in agent.definition.approvals.tools.values()
        if rule.reviewer
    ]
    missing = [f"{asker} asks {name}, which is not registered" for asker, name in rules if name not in by_name]
    armed = [
        f"{asker} asks {name}, which has tools" for asker, name in rules if name in by_name and by_name[name].own_tools
    ]
    fix = "Register it without tools: `stanchion agents add FILE`. Until then people decide alone."
    return Check("reviewers", not (missing or armed), "; ".join(missing + armed) or f"{len(rules)} asked for", fix)


async def _habits(database: Database) -> Check:
    rows = [with_warning(dict(row)) for row in await SQL["approvers"].rows(database, days=HABIT_DAYS)]
    stamps = [f"{row['approver']}: {row['warning']}" for row in rows if row["warning"]]
    fix = "Ask them; narrow what is asked, so that what is left is worth reading (`stanchion approvers`)."
    return Check("approvers", None if stamps else True, "; ".join(stamps) or f"{len(rows)} in {HABIT_DAYS} days", fix)


async def _drills(database: Database) -> Check:
    last = await DRILLS["latest"].row(database)
    weekly = "Run `stanchion drill`; `stanchion drill --schedule weekly` keeps it up."
    if last is None:
        return Check("drill", None, "the off switch was never drilled here", weekly)
    report = json.loads(last["report"])
    proof = verify_report(last, await Principals(database).keys())
    said = f"{last['drill_id']}, {last['age'].days} days ago: p99 {report['p99_seconds']} s"
    if proof == "forged":
        return Check("drill", False, f"{said}; its report is not what was signed", "Find out why, then drill again.")
    if not last["passed"]:
        return Check("drill", False, f"{said}; FAILED: {report['why']}", "Find out why, then drill again.")
    if last["age"] > timedelta(days=DRILL_DAYS):
        return Check("drill", None, f"{said}, which is long ago", weekly)
    return Check("drill", True, said if proof == "signed" else f"{said}, {PROOFS[proof]}")
