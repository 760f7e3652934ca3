"""The ledger has one writer: the functions of its migration. Nothing else counts, and nothing counts past them."""

import re

import pytest

from tests.architecture.source import ROOT, committed

TABLES = r"(windows|holds|window_members|cap_breaches)"
WRITES = re.compile(rf"\b(INSERT\s+INTO|UPDATE|DELETE\s+FROM|TRUNCATE|ALTER\s+TABLE)\s+{TABLES}\b", re.IGNORECASE)


def writes_in(text: str) -> list[str]:
    """Statements in a text that would write the ledger's tables."""
    return [" ".join(found.group().split()) for found in WRITES.finditer(text)]


def test_nothing_but_the_ledgers_own_functions_writes_its_tables() -> None:
    guilty = {}
    for file in committed():
        if file.parts[0] in ("activities", "workers", "agents", "bench") and file.suffix in (".sql", ".py"):
            if file.parent.name != "migrations" and (found := writes_in((ROOT / file).read_text(encoding="utf-8"))):
                guilty[str(file)] = found
    assert guilty == {}


@pytest.mark.parametrize(
    "text", ["INSERT INTO windows (", "update holds SET", "DELETE  FROM window_members", "alter table windows DROP"]
)
def test_the_look_for_writers_sees(text: str) -> None:
    assert writes_in(text)


@pytest.mark.parametrize("text", ["SELECT * FROM windows", "UPDATE approvals", "ledger_settle(hold)"])
def test_the_look_for_writers_leaves_the_rest_alone(text: str) -> None:
    assert writes_in(text) == []
