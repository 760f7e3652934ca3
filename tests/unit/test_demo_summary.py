"""The demo's own judgement of what it showed: each part that goes wrong makes the whole of it wrong."""

from dataclasses import replace

from workers.demo_summary import Attack, Install, Reset, Summary
from workflows.contracts.drills import DrillReport

RESET = Reset(
    "r", "completed", 6.0, claimed=2, witness=2, repeats=1, approvals=1, history_bytes_per_step=1, web_ui=None
)
INSTALL = Install("i", "completed", "lee@acme.example", signed=True, witness=1)
ATTACK = Attack("a", "completed", "provenance.unanchored", "only seen in untrusted data", refused=1, witness=0)
DRILL = DrillReport(
    drill_id="drill-1", halt_id="halt-1", scope="tenant", live=False, runs=12, acting=8, kinds={}, p50_seconds=0.01,
    p99_seconds=0.2, max_seconds=0.2, order_seconds=0.01, effects=300, late_effects=0, in_flight={}, lifted=True,
    passed=True,
)  # fmt: skip
SHOWN = Summary(RESET, INSTALL, ATTACK, DRILL)


def test_a_demo_is_as_promised_only_if_every_part_of_it_is() -> None:
    assert SHOWN.as_promised
    wrong = [
        replace(SHOWN, reset=replace(RESET, witness=3)),
        replace(SHOWN, install=replace(INSTALL, signed=False)),
        replace(SHOWN, attack=replace(ATTACK, witness=1)),
        replace(SHOWN, drill=DRILL.model_copy(update={"passed": False, "late_effects": 3})),
    ]
    assert not any(summary.as_promised for summary in wrong)


def test_a_demo_says_as_data_how_long_the_stop_took() -> None:
    data = SHOWN.as_json()
    assert (data["stop_seconds"], data["drill"]["late_effects"]) == (0.2, 0)
