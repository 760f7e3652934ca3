"""A value that a person restates closes the card that asked for it, in whatever letters it is written."""

import json

import pytest

from activities.model.plan import SQL
from tests.harness.door import Door

LONG = "漢" * 1_000


@pytest.mark.parametrize("value", ["müller@acme.example", "漢字", 'say "hi"', "back\\slash", "a\nb", LONG])
async def test_an_endorsed_value_closes_its_card(door: Door, value: str) -> None:
    run = await door.open(await door.publish("send"))
    pool = await door.parts.database.pool()
    await pool.execute(
        "INSERT INTO approvals (approval_id, run_id, call_id, about, tool, arguments, digest, rule, reason) "
        "VALUES ('ap-1', $1, '1.0', 'endorse', 'send', $2::json, '', '', '')",
        run, json.dumps({"to": [f"x {value} y"]}),
    )  # fmt: skip
    given = {"by": "lee", "proof": "unsigned", "key": None, "signature": None, "statement": None}
    for _ in range(2):
        await SQL["endorse"].rows(door.parts.database, run_id=run, value=value, **given)
    assert await pool.fetchval("SELECT state FROM approvals") == "endorsed"
    assert await pool.fetchval("SELECT count(*) FROM endorsements WHERE value = $1", value) == 1
