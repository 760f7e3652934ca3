"""Hypothesis strategies: any value of any contract, and any JSON. Names and ids come from small sets: they meet."""

import types
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import BaseModel, BeforeValidator
from pydantic.fields import FieldInfo

from workflows.contracts.budgets import micros_to_usd

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
LINE = st.characters(exclude_categories=("Cs", "Cc"))
TEXT = st.characters(exclude_categories=("Cs",))  # UTF-8 has no lone surrogates

instants = st.timedeltas(timedelta(0), timedelta(days=3650)).map(lambda after: EPOCH + after)
usd = st.integers(0, 10**9).map(micros_to_usd)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    scalars | st.text(TEXT, max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(TEXT, max_size=5), inner, max_size=3),
    max_leaves=6,
)

MEETING: dict[str, st.SearchStrategy[Any]] = {
    "call_id": st.sampled_from(["1.0", "1.1", "2.0", "2.1"]),
    "approval_id": st.sampled_from(["ap-1", "ap-2", "ap-3"]),
    "tool": st.sampled_from(["look", "send", "wait"]),
    "digest": st.sampled_from(["d1", "d2"]),
}


@cache
def contract(model: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Any value of a pydantic model."""
    fields = {
        name: MEETING[name] if name in MEETING else value(field.annotation, field.metadata)
        for name, field in model.model_fields.items()
    }
    return st.builds(model, **fields)


def value(annotation: Any, metadata: Any = ()) -> st.SearchStrategy[Any]:
    """Any value of a type, within the limits that its metadata gives."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return value(inner[0], [m for item in inner[1:] for m in (item.metadata if _is_field(item) else [item])])
    if origin in (Union, types.UnionType):
        return st.one_of([value(one, metadata) for one in inner])
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is tuple:
        return st.lists(value(inner[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(st.text(TEXT, max_size=5), value(inner[1]), max_size=3)
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return contract(annotation)
    return _scalar(annotation, metadata)


def _is_field(item: Any) -> bool:
    return isinstance(item, FieldInfo)


def _scalar(annotation: Any, metadata: Any) -> st.SearchStrategy[Any]:
    def limit(name: str, default: int) -> int:
        return next((getattr(m, name) for m in metadata if hasattr(m, name)), default)

    if any(isinstance(m, BeforeValidator) for m in metadata):
        return usd
    if annotation is str:
        one_line = any(getattr(m, "pattern", None) for m in metadata)  # the only pattern of a contract: NAME
        return st.text(
            LINE if one_line else TEXT, min_size=limit("min_length", 0), max_size=min(limit("max_length", 6), 6)
        )
    if annotation is int:
        return st.integers(limit("ge", 0), limit("le", 10**9))
    if annotation is float:
        return st.floats(0, 1e9)
    if annotation is datetime:
        return instants
    if annotation in (bool, type(None)):
        return st.from_type(annotation)
    return json_values
