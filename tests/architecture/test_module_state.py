"""No module of `workflows` keeps state: runs share them, because the sandbox lets the whole package through."""

import ast
import importlib
import pkgutil
import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import workflows
from tests.architecture.module_state import mutables_of, writes_of
from tests.architecture.source import modules
from workers.plugin import PASSED_THROUGH
from workflows.contracts.base import _defaults
from workflows.contracts.budgets import Spent
from workflows.loops import _read

# Memos of pure functions: an answer is the same, remembered or not, and none can change what it was given.
MEMOS: Mapping[str, tuple[Any, ...]] = {
    "workflows.contracts.base._defaults": (_defaults, Spent),
    "workflows.loops._read": (_read, "search:0123456789abcdef"),
}


def walked() -> list[types.ModuleType]:
    """Every module of the package, the package itself included."""
    names = [found.name for found in pkgutil.walk_packages(workflows.__path__, "workflows.")]
    return [workflows, *(importlib.import_module(name) for name in names)]


def test_the_walk_meets_every_file() -> None:
    files = {str(file.with_suffix("")).replace("/", ".").removesuffix(".__init__") for file, _ in modules("workflows")}
    assert {module.__name__ for module in walked()} == files
    assert PASSED_THROUGH == ("workflows",)  # what else passes through has to be walked too


@pytest.mark.parametrize("module", walked(), ids=lambda module: str(module.__name__))
def test_a_module_of_workflows_keeps_nothing_that_can_change(module: types.ModuleType) -> None:
    assert mutables_of(module, MEMOS, "workflows") == []


@pytest.mark.parametrize(
    ("file", "tree"), modules("workflows"), ids=lambda part: str(part) if isinstance(part, Path) else ""
)
def test_no_function_of_workflows_writes_what_outlives_its_run(file: Path, tree: ast.Module) -> None:
    assert writes_of(tree) == []


@pytest.mark.parametrize("name", MEMOS)
def test_a_memo_changes_no_answer_and_gives_out_nothing_that_can_change(name: str) -> None:
    memo, argument = MEMOS[name]
    assert memo(argument) == memo.__wrapped__(argument)
    holder = types.ModuleType("answer")
    holder.answer = memo(argument)  # type: ignore[attr-defined]
    assert mutables_of(holder, (), "workflows") == []


def planted(code: str) -> list[str]:
    """What is found in a module of this source."""
    module = types.ModuleType("planted")
    sys.modules["planted"] = module  # dataclasses look their module up
    try:
        exec(code, vars(module))  # noqa: S102  the source is the test's own
        return mutables_of(module, (), "planted")
    finally:
        del sys.modules["planted"]


@pytest.mark.parametrize(
    "code",
    [
        "SEEN = {}",
        "SEEN = []",
        "SEEN: set[str] = set()",
        "SEEN = bytearray()",
        "SEEN = ({}, 1)",
        "from types import MappingProxyType\nSEEN = MappingProxyType({'a': []})",
        "from collections import defaultdict\nSEEN = defaultdict(int)",
        "from collections import deque\nSEEN = deque()",
        "import itertools\nNUMBERS = itertools.count()",
        "NUMBERS = (n for n in range(3))",
        "import asyncio\nLOCK = asyncio.Event()",
        "import contextvars\nNOW = contextvars.ContextVar('now')",
        "import threading\nNOW = threading.local()",
        "from functools import lru_cache\n@lru_cache\ndef slow(x): ...",
        "class Run: ...\nCURRENT = Run()",
        "class Run:\n  seen = []",
        "class Run:\n  class Inner:\n    seen = {}",
        "from dataclasses import dataclass\n@dataclass\nclass Run:\n  n: int = 0\nCURRENT = Run()",
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Run:\n  n: list\nCURRENT = Run([])",
        "from pydantic import BaseModel\nclass Run(BaseModel):\n  n: int = 0\nCURRENT = Run()",
        "from pydantic import BaseModel\nclass Run(BaseModel):\n  n: list = []\n  model_config = {'frozen': True}",
        "def note(x, seen=[]): ...",
        "def note(x, *, seen={}): ...",
        "def note(): ...\nnote.seen = []",
        "def counter():\n  seen = []\n  def note(x): seen.append(x)\n  return note\nnote = counter()",
        "note = [].append",
        "class Run:\n  @property\n  def a(self, seen=[]): ...",
        "class Run:\n  @staticmethod\n  def a(seen=[]): ...",
        "from functools import partial\nnote = partial(print, [])",
        "from temporalio.common import RetryPolicy\nRETRY = RetryPolicy()",
    ],
)
def test_the_walk_finds_what_is_planted(code: str) -> None:
    assert planted(code)


@pytest.mark.parametrize(
    "code",
    [
        "A = (1, 'two', 3.0, None, b'', frozenset(('x',)))",
        "import re, datetime\nA = re.compile('x')\nB = datetime.timedelta(1)",
        "from types import MappingProxyType\nA = MappingProxyType({'a': ('b',)})",
        "from typing import Annotated, Literal, TypeVar\nA = Literal['x'] | Annotated[int, 'y']\nT = TypeVar('T')",
        "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass Go:\n  n: int = 0\nA = Go()",
        "from enum import Enum\nclass E(Enum):\n  A = 1\nB = E.A",
        "from pydantic import TypeAdapter\ndef f(x=1, *, y=()): ...",
        "import asyncio\nfrom collections.abc import Callable\nfrom hashlib import sha256",
    ],
)
def test_the_walk_leaves_the_rest_alone(code: str) -> None:
    assert planted(code) == []


@pytest.mark.parametrize(
    "code",
    [
        "def f():\n  global n\n  n = 1",
        "def f():\n  other.n = 1",
        "class A:\n  def f(self): A.n = 1",
        "class A:\n  @classmethod\n  def f(cls): cls.n = 1",
        "class A:\n  def f(self): type(self).n = 1",
        "def f(): module.TABLE['x'] = 1",
        "def f():\n  del TABLE['x']",
        "async def f(): TABLE['x'] += 1",
    ],
)
def test_the_look_for_writes_sees(code: str) -> None:
    assert writes_of(ast.parse(code))


@pytest.mark.parametrize(
    "code", ["class A:\n  def f(self): self.n = 1", "def f(given):\n  made = {}\n  made['x'] = given"]
)
def test_the_look_for_writes_leaves_the_rest_alone(code: str) -> None:
    assert writes_of(ast.parse(code)) == []
