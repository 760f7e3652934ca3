"""The drill: it proves the off switch, and goes red as soon as one of its parts is broken."""

from pathlib import Path
from typing import Any

import pytest

from activities.drills import drill
from activities.drills.decoy import Hit
from activities.drills.decoy_client import NoDecoy, decoy_address
from activities.drills.decoy_model import SUB_AGENT
from activities.drills.figures import figures_of, in_words, is_run_of, quantile
from activities.gateway.delegation.delegations import child_run_id
from activities.gateway.facts import CallFacts
from activities.halts.halts import Halts
from activities.halts.in_flight import HaltWatch
from activities.identity.principals import Principals
from tests.halts.test_order import BLIND
from tests.harness.stanchion import Stanchion, unique
from workers import keys
from workers.doctor_controls import check_controls
from workers.services import Home
from workflows.contracts.drills import HARD_SECONDS, DrillReport, DrillRequest

pytestmark = pytest.mark.slow


async def drilled(stanchion: Stanchion, **request: Any) -> DrillReport:
    return await stanchion.parts.drills.play(stanchion.client, DrillRequest(**request))


async def test_a_drill_halts_every_kind_of_work_and_sees_nothing_after_it(stanchion: Stanchion) -> None:
    report = await drilled(stanchion, runs=14)
    print(report)
    assert report.passed, report.why
    assert report.late_effects == 0 and report.max_seconds <= HARD_SECONDS
    kinds = ("process", "http", "model", "burst", "timer", "approval", "sub-agent")
    assert report.kinds == dict.fromkeys(kinds, 2)
    assert report.acting >= 10 and report.lifted  # a timer may have fired before the halt came
    assert await stanchion.value("SELECT count(*) FROM runs WHERE agent = $1", SUB_AGENT) == 2
    assert await Halts(stanchion.parts.database).active() == []
    stored = await stanchion.value("SELECT report->>'p99_seconds' FROM drills WHERE drill_id = $1", report.drill_id)
    assert float(stored) == report.p99_seconds
    assert await stanchion.value("SELECT count(*) FROM runs WHERE status = 'open'") == 0
    assert await stanchion.value("SELECT count(*) FROM holds WHERE state IN ('reserved', 'lost')") == 0


async def test_a_drill_goes_red_where_only_the_claim_does_not_look_at_halts(stanchion: Stanchion) -> None:
    await stanchion.rows(BLIND)
    report = await drilled(stanchion, runs=7)
    assert not report.passed and report.why.endswith("the claim did not see the halt for 8 runs")  # one is a sub-agent


async def test_a_drill_counts_the_effects_of_a_halt_that_nobody_sees(
    stanchion: Stanchion, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def untold(*_: Any) -> int:
        return 0

    monkeypatch.setattr(HaltWatch, "_apply", lambda *_: None)
    monkeypatch.setattr(drill, "notify_halted", untold)
    await stanchion.rows(NOBODY_SEES)
    report = await drilled(stanchion, runs=7)
    assert not report.passed and report.late_effects > 10 and report.max_seconds > HARD_SECONDS


async def test_a_drill_goes_red_where_nobody_cuts_short_what_is_in_flight(
    stanchion: Stanchion, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HaltWatch, "_stop", lambda *_: None)
    report = await drilled(stanchion, runs=6)
    assert not report.passed and report.late_effects > 0


async def test_a_drill_without_a_worker_says_so_and_leaves_no_run_behind(systems: Any) -> None:
    system = systems()
    asked = DrillRequest(runs=2, ready_seconds=0.5)
    monkey = pytest.MonkeyPatch()
    monkey.setattr(drill, "END_SECONDS", 0.1)
    with monkey.context(), pytest.raises(drill.NotReady, match="is a worker running"):
        await system.parts.drills.play(system.client, asked)
    assert await system.value("SELECT count(*) FROM halts") == 0
    monkey.undo()


REPORT = DrillReport(
    drill_id="drill-1", halt_id="halt-1", scope="tenant", live=False, runs=6, acting=4, kinds={"burst": 1},
    p50_seconds=0.0, p99_seconds=0.25, max_seconds=0.25, order_seconds=0.01, effects=10, late_effects=0, in_flight={},
    lifted=True, passed=True,
)  # fmt: skip
NOBODY_SEES = """CREATE OR REPLACE FUNCTION halts_on(of_run text, of_agent text, of_tool text, of_tenant text)
RETURNS SETOF halts LANGUAGE sql STABLE AS 'SELECT * FROM halts WHERE false'"""


def test_figures_are_of_those_who_acted_before_the_order_and_count_what_came_late() -> None:
    begun = [("a", "1.0")]
    hits = [Hit("a", "1.0", 9.0), Hit("a", "1.0", 10.3), Hit("b", "1.0", 9.5), Hit("m", "model", 9.0)]
    clean = figures_of(hits, 10.0, 10.1, begun)
    assert (clean.acting, clean.late, round(clean.longest, 3), clean.p50) == (3, 0, 0.3, 0.0)
    fresh = Hit("b", "2.0", 10.2)  # claimed after the halt had committed
    between = Hit("b", "2.0", 10.05)  # before it had
    asked = Hit("m", "model", 10.2)
    assert [figures_of([*hits, more], 10.0, 10.1, begun).late for more in (fresh, between, asked)] == [1, 0, 0]
    for hit in (Hit("a", "1.0", 15.1), Hit("m", "model", 15.1)):
        assert figures_of([*hits, hit], 10.0, 10.1, begun).late == 1


def test_what_a_sub_agent_does_counts_for_the_decoy_that_it_works_for() -> None:
    facts = CallFacts.__new__(CallFacts)
    object.__setattr__(facts, "run_id", "agent/boss/drill-1-1")
    object.__setattr__(facts, "call_id", "1.0")
    decoys, child = ("agent/boss/drill-1-1", "agent/boss/drill-1-10"), child_run_id(facts, "helper")
    assert [is_run_of(child, decoy) for decoy in decoys] == [True, False]
    hits = [Hit(decoys[0], "1.0", 9.0), Hit(child, "1.0", 9.5), Hit(child, "2.0", 10.4), Hit(decoys[1], "1.0", 9.0)]
    found = figures_of(hits, 10.0, 10.1, [], decoys)
    assert (found.acting, found.late, round(found.longest, 3)) == (2, 1, 0.4)


def test_a_quantile_is_a_value_that_was_seen() -> None:
    assert [quantile([1.0, 2.0, 3.0, 4.0], share) for share in (0.5, 0.75, 0.99)] == [2.0, 3.0, 4.0]
    assert quantile([], 0.99) == 0.0


def test_no_figure_is_said_to_be_finer_than_it_was_measured() -> None:
    assert [in_words(seconds) for seconds in (0.0, 0.049, 0.05, 1.234)] == [
        "less than 0.05 s",
        "less than 0.05 s",
        "0.05 s",
        "1.23 s",
    ]


@pytest.mark.parametrize("url", ["http://10.0.0.1:80", "http://acme.example:80", "http://127.0.0.1", "nonsense"])
def test_a_decoy_run_reaches_nothing_but_the_decoy(url: str) -> None:
    with pytest.raises(NoDecoy):
        decoy_address(url, {})
    assert decoy_address("http://10.0.0.1:80", {"decoy_host": "10.0.0.1"}) == ("10.0.0.1", 80)


@pytest.mark.parametrize(
    ("passed", "days", "ok", "said"),
    [(True, 0, True, "p99 0.1 s, unsigned"), (False, 0, False, "FAILED: 3 effects"), (True, 9, None, "long ago")],
)
async def test_doctor_warns_of_a_drill_that_failed_or_is_long_ago(
    systems: Any, passed: bool, days: int, ok: bool | None, said: str
) -> None:
    system = systems()
    await system.rows(
        "INSERT INTO drills (drill_id, passed, report, by, proof, at) VALUES ('drill-1', $1, $2, 'lee', 'unsigned', "
        "now() - make_interval(days => $3))",
        passed,
        '{"p99_seconds": 0.1, "why": "3 effects"}',
        days,
    )
    found = {check.name: check for check in await check_controls(system.database_url, unsigned=False)}["drill"]
    assert found.ok is ok and said in found.detail


async def test_doctor_says_that_the_off_switch_was_never_drilled(systems: Any) -> None:
    found = {check.name: check for check in await check_controls(systems().database_url, unsigned=False)}["drill"]
    assert found.ok is None and "never drilled" in found.detail and "--schedule weekly" in found.fix


async def test_a_report_is_signed_and_doctor_sees_whether_it_is_what_was_signed(systems: Any, tmp_path: Path) -> None:
    system, signer = systems(), keys.create(Home(tmp_path), "drill")

    async def said() -> tuple[bool | None, str]:
        found = {check.name: check for check in await check_controls(system.database_url, unsigned=False)}["drill"]
        return found.ok, found.detail

    system.parts.drills.sign_with(signer.statement)
    await system.parts.drills._store(REPORT, "lee")
    assert await said() == (True, "drill-1, 0 days ago: p99 0.25 s, signed with a key that is not registered here")
    await Principals(system.parts.database).add_key(signer.public, "surface", "*", None, "test")
    assert await said() == (True, "drill-1, 0 days ago: p99 0.25 s")
    await system.rows("DROP TRIGGER drills_append_only ON drills")
    await system.rows("""UPDATE drills SET report = replace(report::text, '0.25', '0.05')::json""")
    assert await said() == (False, "drill-1, 0 days ago: p99 0.05 s; its report is not what was signed")


async def test_a_drill_by_the_clock_is_the_same_drill(stanchion: Stanchion) -> None:
    report = await stanchion.client.execute_workflow(
        "DrillWorkflow",
        DrillRequest(runs=6),
        id=unique("drill"),
        task_queue=stanchion.settings.task_queue,
        result_type=DrillReport,
    )
    assert report.passed, report.why
