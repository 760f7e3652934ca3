"""Looking at declared tools: their spec, and why it refuses some arguments."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from activities.tools import ToolContext
from activities.tools.decorator import SPEC
from activities.tools.errors import InvalidArguments
from activities.tools.spec import ToolSpec

CTX = ToolContext(run_id="agent/a/1", call_id="2.0", agent="a", tenant="t", settings={"smtp": "mail"})


def spec_of(function: Callable[..., Any]) -> ToolSpec:
    """The spec of a declared function."""
    spec: ToolSpec = getattr(function, SPEC)
    return spec


def refused(spec: ToolSpec, arguments: str) -> str:
    """Why these arguments are refused."""
    with pytest.raises(InvalidArguments) as refusal:
        spec.arguments.validate(arguments)
    return str(refusal.value)


class Address(BaseModel):
    """Where to send it."""

    street: str


class Item(BaseModel):
    """A thing with a price."""

    name: str = "n"
    price: float | None = None
    exact: Decimal = Decimal(1)
    parts: list["Item"] = []


class Basket(BaseModel):
    """A result with numbers in several places."""

    total: int = 0
    items: list[Item] = []
    by_name: dict[str, int] = {}
    free: Any = None
