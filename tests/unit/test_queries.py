"""Named queries: parameters by name, casts left alone, and nothing guessed."""

from pathlib import Path
from typing import Any

import pytest

from activities.storage.database import Database, place
from activities.storage.queries import Queries, Query

FILE = """
-- A file begins with what it is.
-- name: one
-- A comment with a :parameter that is none, and a price of 5:30.
SELECT :run_id::text, x::int, ':' || y FROM t WHERE a = :run_id AND b = :other::int[]; -- :not_this
-- name: two
DELETE FROM t WHERE at < '12:30';
"""


@pytest.fixture
def queries(tmp_path: Path) -> Queries:
    (tmp_path / "some.sql").write_text(FILE, encoding="utf-8")
    return Queries(str(tmp_path / "beside.py"), "some.sql")


def test_parameters_become_places_and_casts_stay(queries: Queries) -> None:
    query = queries["one"]
    assert query.parameters == ["run_id", "other"]
    assert query.sql == "SELECT $1::text, x::int, ':' || y FROM t WHERE a = $1 AND b = $2::int[]"


def test_a_query_without_parameters_is_left_as_it_is(queries: Queries) -> None:
    assert queries["two"].sql == "DELETE FROM t WHERE at < '12:30'"
    assert queries["two"].parameters == []


@pytest.mark.parametrize("given", [{}, {"run_id": 1}, {"run_id": 1, "other": 2, "more": 3}, {"run_id": 1, "othre": 2}])
async def test_a_query_takes_exactly_its_parameters(queries: Queries, given: dict[str, Any]) -> None:
    class Connection:
        async def fetch(self, *_: Any) -> list[Any]:
            raise AssertionError("it was sent")

    with pytest.raises(TypeError, match=r"query one takes \['other', 'run_id'\]"):
        await queries["one"].on(Connection(), **given)


def test_a_query_that_is_not_there_is_an_error(queries: Queries) -> None:
    with pytest.raises(KeyError):
        queries["three"]


@pytest.mark.parametrize("text", ["SELECT a::text", "SELECT '{}'::json::text", "SELECT x[1:2]"])
def test_a_colon_that_names_nothing_is_left_alone(text: str) -> None:
    assert Query("q", text).sql == text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://me:hunter2@db.example:5433/stanchion", "db.example:5433/stanchion"),
        ("postgresql://me:hunter2@db.example/stanchion", "db.example:5432/stanchion"),
        ("postgresql://me:hunter2@/stanchion?host=/var/run", "/var/run/stanchion"),
    ],
)
def test_where_a_database_is_is_told_without_its_password(url: str, shown: str) -> None:
    assert place(url) == shown
    assert "hunter2" not in place(url) and "hunter2" not in repr(Database(url))
