"""No surface lets a character hide from who reads it: not on a terminal, not in JSON for people, not in the Web UI."""

import json
import unicodedata
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.harness.door import Door
from tests.harness.typed import Terminal
from workflows import display
from workflows.contracts.approvals import OpenApproval
from workflows.contracts.messages import PauseOrdered
from workflows.contracts.model import VendorAway
from workflows.state import OpenTimer, RunState
from workflows.visible import escape_in_json, show_hidden_characters

HIDDEN = "\x1b[31m\u202e\u200b\u00a0\u2028\x07\u3164\U000e0041"
EVIL = f"eve{HIDDEN}end"
NAME = "eve\u202e\u200bend"  # names are one line without control characters; our tables take no others


def hiding(text: str) -> set[str]:
    """Characters in `text` that do not show."""
    unseen = ("Cf", "Cc", "Cs", "Co", "Cn", "Zl", "Zp")
    return {c for c in text if c not in "\n\t" and (unicodedata.category(c) in unseen or c in "\u00a0\u3164")}


@pytest.fixture
async def typed(door: Door, database_url: str, tmp_path: Path) -> Terminal:
    """A terminal on a database whose every text hides something."""
    run = await door.open(await door.publish("send", "note", "take_back"), goal=EVIL)
    await door.call((await door.plan(run, (f"no{EVIL}", {"text": EVIL})))[0])
    await door.asked((await door.plan(run, ("send", {"to": "bo@acme.example", "text": EVIL})))[0])
    pool = await door.parts.database.pool()
    await pool.execute("UPDATE approvals SET reason = $1, arguments = json_build_object('text', $1::text)", EVIL)
    await pool.execute("INSERT INTO decisions (approval_id, verdict, by, reason, proof, signed) "
                       "SELECT approval_id, 'reject', $1, $1, 'unsigned', false FROM approvals", EVIL)  # fmt: skip
    await pool.execute("INSERT INTO halts (halt_id, scope, target, by, reason, proof) "
                       "VALUES ('halt-1', 'agent', $1, $1, $2, 'unsigned')", NAME, EVIL)  # fmt: skip
    return Terminal(tmp_path, {"DATABASE_URL": database_url})


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    "command",
    ["ls", "approvals", "approvers", "halts", "show RUN", "logs RUN", "cost RUN", "caps ls", "agents ls",
     "agents show AGENT", f"show {EVIL}", f"approve ap-{EVIL}"],
)  # fmt: skip
async def test_a_terminal_shows_what_hides(door: Door, typed: Terminal, command: str, as_json: bool) -> None:
    [row] = await door.rows("SELECT run_id, agent FROM runs")
    words = [word.replace("RUN", row["run_id"]).replace("AGENT", row["agent"]) for word in command.split(" ")]
    left = await typed(*words, *(["--json"] if as_json else []))
    assert hiding(left.out) == set() and hiding(left.err) == set()
    assert left.out or left.err


async def test_the_web_ui_shows_what_hides() -> None:
    asked = OpenApproval(approval_id="ap-1", call_id="1.0", about="call", tool=f"no{EVIL}")
    away = VendorAway(vendor="v", error="E", reason=EVIL, until=datetime.now(UTC))
    state = RunState(run_id="agent/a/1", agent="a", goal_line=EVIL, approvals=(asked,), vendor=away)
    for one in (
        state,
        state.having(approvals=(), vendor=None, pause=PauseOrdered(reason=EVIL)),
        state.having(timer=OpenTimer(call_id="1.0", until=datetime.now(UTC))),
    ):
        assert hiding(display.details(one)) == set()


def test_json_with_escapes_says_the_same() -> None:
    data: dict[str, Any] = {EVIL: [EVIL, "plain", "ü漢"]}
    written = escape_in_json(json.dumps(data, ensure_ascii=False))
    assert hiding(written) == set() and json.loads(written) == data and "漢" in written
    assert show_hidden_characters("plain\n") == "plain\n" and "U+202E" in show_hidden_characters(EVIL)
