"""Declared facts: what is left out is the strictest, what cannot be meant is refused, and all of it is pinned."""

from typing import Any

import pytest

from activities.errors import Permanent
from activities.tools import Checkable, Idempotent, Irreversible, Pure, ToolContext, tool
from activities.tools.errors import ToolDeclarationError
from activities.tools.facts import Facts, tier
from activities.tools.registry import BUILTIN
from activities.tools.spec import ToolSpec
from tests.harness.declared import Basket, spec_of


def _good(ctx: ToolContext, to: str) -> str:
    """Do it."""
    return to


def _silent(ctx: ToolContext, to: str) -> str:
    return to


def _untyped(ctx: ToolContext, to) -> str:  # type: ignore[no-untyped-def]
    """Do it."""
    return str(to)


def _variadic(ctx: ToolContext, *to: str) -> str:
    """Do it."""
    return ""


def _keywords(ctx: ToolContext, **to: str) -> str:
    """Do it."""
    return ""


def _positional(ctx: ToolContext, to: str, /) -> str:
    """Do it."""
    return to


def _no_context(to: str) -> str:
    """Do it."""
    return to


def _nothing() -> str:
    """Do it."""
    return ""


def _structured(ctx: ToolContext, to: str) -> "Basket":
    """Do it."""
    return Basket()


async def _probe(ctx: ToolContext, to: str) -> str | None:
    return None


async def _never_awaited(value: Any) -> None:
    raise ValueError("nobody hears this")


@pytest.mark.parametrize(
    ("function", "facts", "says"),
    [
        (_silent, {}, "docstring"),
        (_untyped, {}, "needs a type"),
        (_variadic, {}, "name every argument"),
        (_keywords, {}, "name every argument"),
        (_positional, {}, "must accept its name"),
        (_no_context, {}, "first parameter is the ToolContext"),
        (_nothing, {}, "first parameter is the ToolContext"),
        (_good, {"sensitive": {"tu": "recipient"}}, "'tu'"),
        (_good, {"sensitive": {"ctx": "recipient"}}, "'ctx'"),
        (_good, {"sensitive": {"to": "recipent"}}, "'recipent'"),
        (_good, {"effect": "reed"}, "'reed'"),
        (_good, {"effect": "read", "output": "Trusted"}, "'Trusted'"),
        (_good, {"check": _never_awaited}, "not awaited"),
        (_structured, {"watch": "total"}, "sequence of paths"),
        (_structured, {"watch": ("total", "total")}, "twice"),
        *((_structured, {"watch": (p,)}, "such as") for p in ("", ".", "total.", "a..b", "a b", "1", "total!apart")),
        *((_structured, {"watch": ("total", p)}, "no number") for p in ("totl", "items", "items.name", "items.exact")),
        *((_structured, {"watch": (p,)}, "no number") for p in ("total.x", "items.parts.prise", "by_name.a.b")),
        (_good, {"watch": ("stock",)}, "no number"),
        (_structured, {"varies": "total"}, "sequence of paths"),
        (_structured, {"varies": ("total", "total")}, "twice"),
        (_structured, {"varies": ("items..price",)}, "such as"),
        *((_structured, {"varies": (p,)}, "nothing") for p in ("totl", "items", "items.parts.prise")),
        (_good, {"timeout": 0}, "timeout"),
        (_good, {"timeout": -1}, "timeout"),
        (_good, {"timeout": 86_401}, "timeout"),
        *((_good, {"effect": e, "contract": Pure()}, "Pure") for e in ("write", "send", "money", "exec", "admin")),
    ],
)
def test_a_declaration_that_cannot_be_meant_is_refused(function: Any, facts: dict[str, Any], says: str) -> None:
    with pytest.raises(ToolDeclarationError, match=says) as refusal:
        tool(**{"effect": "write", **facts})(function)
    assert isinstance(refusal.value, Permanent)
    assert function.__name__ in str(refusal.value)


@pytest.mark.parametrize(
    "path", ["total", "items.price", "items.parts.price", "items.parts.parts.price", "by_name.apples", "free", "free.x"]
)
def test_a_number_in_the_result_can_be_watched_wherever_it_is(path: str) -> None:
    assert spec_of(tool(effect="read", watch=[path])(_structured)).watch == (path,)


@pytest.mark.parametrize("path", ["total", "items.price", "items.name", "by_name.apples", "free.x"])
def test_whatever_is_no_structure_itself_can_be_declared_to_vary(path: str) -> None:
    spec = spec_of(tool(effect="read", varies=[path])(_structured))
    assert spec.varies == (path,) and spec.pinned_hash != spec_of(tool(effect="read")(_structured)).pinned_hash


def test_what_is_not_declared_counts_as_the_strictest() -> None:
    spec = spec_of(tool()(_good))
    assert (spec.facts.effect, spec.facts.output, spec.contract) == ("admin", "untrusted", Irreversible())
    assert spec.tier == "T4"
    assert spec_of(tool(effect="read")(_good)).contract == Pure()


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (Facts(), "T4"),
        (Facts(effect="read"), "T1"),
        (Facts(effect="read", output="trusted"), "T0"),
        (Facts(effect="read", output="trusted", contract="pure"), "T0"),
        (Facts(effect="write"), "T3"),
        (Facts(effect="write", output="trusted"), "T3"),
        (Facts(effect="write", undo="back"), "T2"),
        (Facts(effect="write", undo="back", sensitive={"p": "path"}), "T2"),
        (Facts(effect="write", undo="back", sensitive={"p": "recipient"}), "T3"),
        (Facts(effect="write", undo="back", sensitive={"p": "url"}), "T3"),
        (Facts(effect="write", undo="back", sensitive={"a": "path", "b": "host"}), "T3"),
        (Facts(effect="send"), "T3"),
        (Facts(effect="send", undo="back", output="trusted", contract="idempotent"), "T3"),
        (Facts(effect="exec", undo="back"), "T3"),
        (Facts(effect="money", undo="back"), "T4"),
        (Facts(effect="admin", undo="back"), "T4"),
    ],
)
def test_the_tier_follows_from_the_facts(facts: Facts, expected: str) -> None:
    assert tier(facts) == expected


def declared(function: Any = _good, **changes: Any) -> ToolSpec:
    """A tool with some facts changed."""
    facts: dict[str, Any] = {"effect": "write", "contract": Idempotent(), "undo": "back", **changes}
    return spec_of(tool(**facts)(function))


# Of declared(), from before there was anything to watch.
HASH = "db67164eaa6528097834806fc94e2a623fb42e921877a9fa104b671545bd2714"


def _other_text(ctx: ToolContext, to: str) -> str:
    """Do it, quietly."""
    return to


def _other_schema(ctx: ToolContext, to: str, cc: str = "") -> str:
    """Do it."""
    return to


@pytest.mark.parametrize(
    "other",
    [
        {"effect": "send"},
        {"contract": Irreversible()},
        {"contract": Checkable(_probe)},
        {"undo": None},
        {"output": "trusted"},
        {"sensitive": {"to": "recipient"}},
        {"private": True},
    ],
)
def test_another_fact_is_another_tool(other: dict[str, Any]) -> None:
    assert declared(**other).pinned_hash != declared().pinned_hash


def test_another_watched_field_is_another_tool() -> None:
    watched = [declared(_structured, watch=paths) for paths in ((), ("total",), ("free",), ("total", "free"))]
    specs = [*watched, declared(_structured, private=True)]
    assert len({spec.pinned_hash for spec in specs}) == len(specs)


def test_a_tool_that_declares_nothing_new_keeps_the_hash_that_agents_were_published_with() -> None:
    assert declared().pinned_hash == HASH
    assert declared(watch=(), private=False).pinned_hash == HASH
    assert BUILTIN["wait"].pinned_hash == "c521f9ac1f4e335bf7556fce7f8186e43e12ac561867f10fc219a6f8e1272f93"


def test_private_and_watched_data_leave_the_tier_as_it_is() -> None:
    assert tier(Facts(effect="read", output="trusted", private=True)) == "T0"
    assert declared(_structured, private=True, watch=("total",)).tier == declared(_structured).tier


def test_another_name_text_or_schema_is_another_tool() -> None:
    hashes = {declared(f).pinned_hash for f in (_good, _other_text, _other_schema)}
    assert len(hashes) == 3


def test_the_same_declaration_has_the_same_hash() -> None:
    assert declared().pinned_hash == declared().pinned_hash
