"""AGENTS.md: its map holds the imports between the packages, and the path of one call names functions that exist."""

import ast
import re
from collections.abc import Mapping

import pytest

from tests.architecture.markdown import table_rows
from tests.architecture.source import ROOT, modules

TEXT = (ROOT / "AGENTS.md").read_text(encoding="utf-8")
STEP = re.compile(r"`([\w/]+\.py): ([\w.]+)`")


def _packages() -> set[str]:
    return {folder.name for folder in (ROOT / "activities").iterdir() if (folder / "__init__.py").is_file()}


def _names(cell: str) -> set[str]:
    return _packages() if cell == "every package" else set(re.findall(r"`([^`]+)`", cell))


def imports_of(tree: ast.AST) -> set[str]:
    """The packages of activities/ that a module imports."""
    dotted = {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    dotted |= {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    parts = [name.split(".") for name in dotted]
    return {part[1] for part in parts if part[0] == "activities" and len(part) > 1}


def _imports() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {package: set() for package in _packages()}
    for file, tree in modules("activities"):
        if len(file.parts) > 2:
            found[file.parts[1]] |= (imports_of(tree) & _packages()) - {file.parts[1]}
    return found


def missing_from_map(rows: list[list[str]], imports: Mapping[str, set[str]]) -> list[str]:
    """Imports that the rows of the packages do not name, on either side."""
    may_import = {row[0].strip("`"): _names(row[2]) for row in rows}
    imported_by = {row[0].strip("`"): _names(row[3]) for row in rows}
    pairs = sorted((package, other) for package, others in imports.items() for other in others)
    missing = [f"{package}: may import {other}" for package, other in pairs if other not in may_import.get(package, ())]
    return missing + [
        f"{other}: imported by {package}" for package, other in pairs if package not in imported_by.get(other, ())
    ]


def _rows() -> list[list[str]]:
    return table_rows(TEXT.partition("Inside `activities/`")[2].partition("\n## ")[0])


def test_the_map_has_every_package_of_activities() -> None:
    assert {row[0].strip("`") for row in _rows()} == _packages()


def test_the_map_has_every_import_between_packages_of_activities() -> None:
    assert missing_from_map(_rows(), _imports()) == []


def test_the_map_has_every_directory_of_code() -> None:
    mapped = {row[0].strip("`/") for row in table_rows(TEXT.partition("\n## Map")[2])}
    folders = {file.parent for file in ROOT.glob("*/__init__.py")} | {
        file.parent for file in ROOT.glob("workers/*/__init__.py")
    }
    assert {str(folder.relative_to(ROOT)) for folder in folders} - mapped - {"tests"} == set()


def test_the_look_at_the_map_sees_a_missing_import() -> None:
    rows = [["`a`", "A.", "`b`", ""], ["`b`", "B.", "", ""]]
    assert missing_from_map(rows, {"a": {"b", "c"}}) == [
        "a: may import c", "b: imported by a", "c: imported by a",
    ]  # fmt: skip


def defines(tree: ast.AST, dotted: str) -> bool:
    """The module defines this function, or this method of a class."""
    first, _, rest = dotted.partition(".")
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == first:
            return not rest or defines(node, rest)
    return False


@pytest.mark.parametrize(("file", "function"), STEP.findall(TEXT))
def test_each_function_on_the_path_of_a_call_exists(file: str, function: str) -> None:
    assert (ROOT / file).is_file()
    assert defines(ast.parse((ROOT / file).read_text(encoding="utf-8")), function)


def test_the_path_of_a_call_has_all_its_steps() -> None:
    assert len(STEP.findall(TEXT)) >= 18


def test_the_look_for_functions_sees() -> None:
    tree = ast.parse("class A:\n  async def b(self): ...\ndef c(): ...")
    assert defines(tree, "A.b") and defines(tree, "c")
    assert not defines(tree, "A.c") and not defines(tree, "b")
