"""One arrow, workers -> activities -> workflows; and what workflow code may not touch."""

import ast
from pathlib import Path

import pytest
from importlinter.cli import lint_imports

from tests.architecture.source import ROOT, imported, modules, uses

# The sandbox lets the package through and restricts no import at its top any more, so what is not here is refused here.
ALLOWED_IN_WORKFLOWS = {
    *("pydantic", "pydantic_core", "temporalio", "workflows"),
    *("asyncio", "collections", "dataclasses", "datetime", "decimal", "functools", "hashlib", "re", "types", "typing"),
    "unicodedata",
}
# What would give another answer on a replay, or reach out of the workflow. `timedelta` and a `datetime` type are fine.
BANNED_IN_WORKFLOWS = [
    "datetime.datetime.now",
    "datetime.datetime.today",
    "datetime.datetime.utcnow",
    "datetime.date.today",
    "time",
    "uuid",
    "random",
    "secrets",
    "os",
    "pathlib",
    "io",
    "socket",
    "subprocess",
    "threading",
    "tempfile",
    "shutil",
    "urllib",
    "http",
    "open",
    "input",
    "print",
    "eval",
    "exec",
    "__import__",
    "globals",
    "setattr",
    "asyncio.open_connection",
    "asyncio.create_subprocess_exec",
    "asyncio.create_subprocess_shell",
    "asyncio.sleep",
    "asyncio.wait_for",
    "asyncio.timeout",
    "asyncio.to_thread",
    "asyncio.get_event_loop",
    "workflow.unsafe",
    "temporalio.workflow.unsafe",
]


def _file_only(part: object) -> str:
    return str(part) if isinstance(part, Path) else ""


ENVIRONMENT = ["os.environ", "os.environb", "os.getenv", "os.putenv"]


def test_every_import_follows_the_arrow(capsys: pytest.CaptureFixture[str]) -> None:
    kept = lint_imports(str(ROOT / "pyproject.toml"), no_cache=True, no_logo=True) == 0
    report = capsys.readouterr().out
    assert kept, report
    assert "One arrow: workers -> activities -> workflows" in report


def violations(tree: ast.AST) -> list[str]:
    """What of a tree may not be in workflow code."""
    roots = {name.lstrip(".").split(".")[0] for name in imported(tree) if not name.startswith(".")}
    strangers = roots - ALLOWED_IN_WORKFLOWS
    return sorted(strangers) + [banned for banned in BANNED_IN_WORKFLOWS if uses(tree, banned)]


@pytest.mark.parametrize(("file", "tree"), modules("workflows"), ids=_file_only)
def test_workflow_code_reaches_nothing_but_the_workflow(file: Path, tree: ast.Module) -> None:
    assert violations(tree) == []


@pytest.mark.parametrize(
    "code",
    [
        "import asyncpg",
        "from activities.storage import database",
        "from datetime import datetime\nx = datetime.now()",
        "import datetime as d\nx = d.datetime.utcnow()",
        "import time\ntime.time()",
        "from time import monotonic as m\nm()",
        "import uuid\nuuid.uuid4()",
        "from random import choice\nchoice([1])",
        "import os\nos.environ['A']",
        "from os import environ\nenviron['A']",
        "open('x')",
        "import sqlite3",
        "import importlib\nimportlib.import_module('asyncpg')",
        "__import__('asyncpg')",
        "def f():\n  import asyncpg",
        "import asyncio\nasyncio.sleep(1)",
    ],
)
def test_the_ban_sees(code: str) -> None:
    assert violations(ast.parse(code))


@pytest.mark.parametrize(
    "code", ["from datetime import datetime, timedelta\nx: datetime", "import asyncio\nasyncio.gather()", "import re"]
)
def test_the_ban_leaves_the_rest_alone(code: str) -> None:
    assert violations(ast.parse(code)) == []


@pytest.mark.parametrize(("file", "tree"), modules("activities", "workflows"), ids=_file_only)
def test_only_workers_read_the_environment(file: Path, tree: ast.Module) -> None:
    assert [name for name in ENVIRONMENT if uses(tree, name)] == []


@pytest.mark.parametrize(
    "code", ["import os\nos.environ", "import os as o\no.getenv('A')", "from os import getenv as g\ng"]
)
def test_the_look_for_the_environment_sees(code: str) -> None:
    assert any(uses(ast.parse(code), name) for name in ENVIRONMENT)


def test_payloads_are_converted_by_the_pydantic_converter_alone_because_the_sandbox_gives_no_context() -> None:
    """Another converter, or a codec, may ask for the serialization context that workers/sandbox.py does not give."""
    from temporalio.contrib.pydantic import pydantic_data_converter

    from workers.plugin import stanchion_plugin

    assert stanchion_plugin().data_converter is pydantic_data_converter
    assert pydantic_data_converter.payload_codec is None
