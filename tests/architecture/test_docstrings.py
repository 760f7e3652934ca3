"""Every module says in the first line of its docstring what it contains: one sentence that fits a line."""

import ast
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGES, modules

LONGEST = 110  # characters: what one line of a listing shows


def flaw_in(tree: ast.Module) -> str | None:
    """What is wrong with the first line of a module's docstring, if anything."""
    text = ast.get_docstring(tree)
    if not text:
        return "no docstring"
    first = text.splitlines()[0]
    if len(first) > LONGEST:
        return f"{len(first)} characters, at most {LONGEST}"
    if not first.endswith("."):
        return "does not end with a period"
    return None


def _file_only(part: object) -> str:
    return str(part) if isinstance(part, Path) else ""


@pytest.mark.parametrize(("file", "tree"), modules(*PACKAGES, "agents", "bench"), ids=_file_only)
def test_the_first_line_of_a_module_says_what_it_contains(file: Path, tree: ast.Module) -> None:
    assert flaw_in(tree) is None


@pytest.mark.parametrize(
    "code", ["x = 1", '"""' + "a" * LONGEST + '."""', '"""What it contains"""', '"""What it\n\ncontains."""']
)
def test_the_look_for_first_lines_sees(code: str) -> None:
    assert flaw_in(ast.parse(code))


@pytest.mark.parametrize("code", ['"""What it contains."""', '"""' + "a" * (LONGEST - 1) + '.\n\nMore, without end"""'])
def test_the_look_for_first_lines_leaves_the_rest_alone(code: str) -> None:
    assert flaw_in(ast.parse(code)) is None
