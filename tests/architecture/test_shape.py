"""Sizes, names and docstrings; and nothing in a committed file that belongs to one machine or one registry."""

import ast
import re
from pathlib import Path

import pytest

from tests.architecture.source import PACKAGES, ROOT, committed, modules

CLASS_LIMIT = 250  # lines of the workflow class: what one person can hold in mind
RUN_LIMIT = 40  # lines of its `run`
VAGUE = re.compile(r"(^|_)(utils?|helpers?|common|managers?|misc|stuff)(_|$)")

# Written in pieces, so that this file is not what it looks for.
MACHINE = re.compile(
    "|".join(
        [
            r"(?<![\w.~-])/" + "work" + r"/(main|shared|repo)\b",
            r"(?<![\w.~-])/" + "tmp" + r"/(?!\.\.\.)[\w.-]+",
            r"(?<![\w.~-])/" + "home" + r"/(?!nonroot|agent|sandbox)[a-z][\w.-]*/",
            r"(?<![\w.~-])/" + "Users" + r"/[\w.-]+/",
            r"(?<![\w.~-])/" + "root" + r"/[\w.-]+",
            r"\b[A-Z]:\\" + r"Users\\",
        ]
    )
)
HOSTS = re.compile(
    "|".join(
        [
            "py" + r"pi\.org",
            "python" + r"hosted\.org",
            r"npm" + r"js\.(org|com)",
            r"proxy\.go" + r"lang\.org",
            r"sum\.go" + r"lang\.org",
            r"(registry|index|hub)[\w.-]*\.dock" + r"er\.(io|com)",
            "gh" + r"cr\.io",
            "qu" + r"ay\.io",
            r"repo1?\.ma" + r"ven\.",
            "crates" + r"\.io",
            r"[\w.-]*(arti" + r"factory|ne" + r"xus)[\w-]*\.[a-z]{2,}",
            r"--(extra-)?index" + r"-url\s*[= ]\s*\S*://",
        ]
    )
)


# The paths in these are those inside an image, the same on every machine.
IMAGES = re.compile(r"Dockerfile$|docker-compose\.ya?ml$")


def found_in(text: str, file: str = "") -> list[str]:
    """What in a text belongs to one machine or one registry."""
    patterns = (HOSTS,) if IMAGES.search(file) else (MACHINE, HOSTS)
    return [match.group() for pattern in patterns for match in pattern.finditer(text)]


def test_no_committed_file_names_a_machine_or_a_registry() -> None:
    guilty = {}
    for file in committed():
        try:
            text = (ROOT / file).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if found := found_in(text, str(file)):
            guilty[str(file)] = found[:3]
    assert guilty == {}


@pytest.mark.parametrize(
    "line",
    [
        "cd /" + "work/main",
        "open('/" + "tmp/x.txt')",
        "/" + "home/ana/project",
        "https://files.python" + "hosted.org/x",
        "pip install --index" + "-url https://mirror.example/simple",
        "image: gh" + "cr.io/acme/x",
        "https://nex" + "us.corp.example/repository",
    ],
)
def test_the_look_for_machines_and_registries_sees(line: str) -> None:
    assert found_in(line)


@pytest.mark.parametrize("line", ["networks/main", "a/tmp/b", "apt-get install dock" + "er.io", "the common case"])
def test_the_look_for_machines_and_registries_leaves_the_rest_alone(line: str) -> None:
    assert found_in(line) == []


def test_no_committed_file_has_a_name_that_says_nothing() -> None:
    assert [str(f) for f in committed() if any(VAGUE.search(Path(part).stem.lower()) for part in f.parts)] == []


@pytest.mark.parametrize("name", ["utils", "agent_helpers", "common", "run_manager", "util"])
def test_the_look_for_names_that_say_nothing_sees(name: str) -> None:
    assert VAGUE.search(name)


def _lines(node: ast.AST) -> int:
    assert isinstance(node, ast.stmt) and node.end_lineno
    return node.end_lineno - node.lineno + 1


def test_the_workflow_class_stays_readable() -> None:
    tree = ast.parse((ROOT / "workflows/agent.py").read_text(encoding="utf-8"))
    workflow = next(n for n in tree.body if isinstance(n, ast.ClassDef) and n.name == "AgentWorkflow")
    run = next(n for n in workflow.body if isinstance(n, ast.AsyncFunctionDef) and n.name == "run")
    assert _lines(workflow) < CLASS_LIMIT
    assert _lines(run) < RUN_LIMIT


def undocumented(tree: ast.AST, where: str, *, public: bool = True) -> list[str]:
    """Public classes and functions without a docstring, by dotted name. Methods of private classes are private."""
    found = []
    for node in ast.iter_child_nodes(tree):
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        name = f"{where}.{node.name}"
        seen = public and not node.name.startswith("_")
        if seen and not ast.get_docstring(node):
            found.append(name)
        if isinstance(node, ast.ClassDef):
            found += undocumented(node, name, public=seen)
    return found


def test_everything_public_says_what_it_promises() -> None:
    missing = []
    for file, tree in modules(*PACKAGES):
        if not ast.get_docstring(tree):
            missing.append(str(file))
        missing += undocumented(tree, str(file.with_suffix("")).replace("/", "."))
    assert missing == []


def test_the_look_for_docstrings_sees() -> None:
    tree = ast.parse(
        "class A:\n  'd'\n  def b(self): ...\n  def _c(self): ...\nasync def d(): ...\nclass _E:\n  def f(self): ..."
    )
    assert undocumented(tree, "m") == ["m.A.b", "m.d"]
