"""The glossary names every table and every public class of the contracts, and nothing that does not exist."""

import ast
import re

import pytest

from tests.architecture.markdown import table_rows
from tests.architecture.source import PACKAGES, ROOT, modules

ROWS = table_rows((ROOT / "docs/glossary.md").read_text(encoding="utf-8"))
STATEMENT = re.compile(r"^(CREATE|DROP) (TABLE|VIEW) (?:IF (?:NOT )?EXISTS )?(\w+)", re.MULTILINE)


def tables(*migrations: str) -> set[str]:
    """The tables and views that are there after these migrations, in this order."""
    found: set[str] = set()
    for text in migrations:
        for verb, _, name in STATEMENT.findall(text):
            found = found | {name} if verb == "CREATE" else found - {name}
    return found


def _existing_tables() -> set[str]:
    files = sorted((ROOT / "activities/storage/migrations").glob("*.sql"))
    return tables(*(file.read_text(encoding="utf-8") for file in files))


def _top_level_names(*packages: str, classes_only: bool = False) -> set[str]:
    """Public classes of these packages; also the names that modules assign, such as type aliases."""
    found: set[str] = set()
    for _, tree in modules(*packages):
        for node in tree.body:
            if isinstance(node, ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.Assign) and not classes_only:
                found |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return {name for name in found if not name.startswith("_")}


def _named() -> set[str]:
    return {name for row in ROWS for name in re.findall(r"`([^`]+)`", row[-1])}


def test_every_table_is_in_the_glossary() -> None:
    assert sorted(_existing_tables() - _named()) == []


def test_every_contract_is_in_the_glossary() -> None:
    assert sorted(_top_level_names("workflows/contracts", classes_only=True) - _named()) == []


def test_the_glossary_names_nothing_that_does_not_exist() -> None:
    known = _existing_tables() | _top_level_names(*PACKAGES)
    assert sorted(name for name in _named() - known if not (ROOT / name).is_file()) == []


def test_each_term_is_defined_once_and_in_one_sentence() -> None:
    terms = [row[0] for row in ROWS]
    assert sorted(term for term in set(terms) if terms.count(term) > 1) == []
    assert [row[0] for row in ROWS if len(row) != 3 or not re.fullmatch(r"[A-Z\"`].*\.", row[1])] == []


@pytest.mark.parametrize(
    ("migrations", "left"),
    [
        (["CREATE TABLE a (x int);\nCREATE VIEW b AS SELECT 1;"], {"a", "b"}),
        (["CREATE TABLE a (x int);", "DROP TABLE a;"], set()),
        (["CREATE TABLE IF NOT EXISTS a (x int);"], {"a"}),
    ],
)
def test_the_look_for_tables_sees_what_is_there_in_the_end(migrations: list[str], left: set[str]) -> None:
    assert tables(*migrations) == left
