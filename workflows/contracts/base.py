"""What every contract shares: immutable, lenient when decoding what another version wrote, small on the wire."""

from collections.abc import Callable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError, model_serializer

NAME = r"^[^\x00-\x1f\x7f]*$"  # names are one line: no table takes a NUL, no terminal a control character
PROBLEMS_SHOWN = 10  # of an input that is wrong all over: the explanation travels in failures, which have a size limit
PLACE_SHOWN = 120  # characters of where a problem is: the input's own keys are in it


_put = object.__setattr__  # past what makes an instance frozen


class Frozen(BaseModel):
    """A value that crosses a process boundary.

    Unknown fields are ignored, so that histories written by other versions decode. Fields that hold their default are
    left out of the JSON: a history keeps every payload of a run, and most fields of most payloads say nothing.
    `kind` is always written, because it tells the members of a union apart.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    def having(self, **changes: Any) -> Self:
        """A copy with these fields changed and nothing validated: `model_copy(update=changes)` at a third of its price.

        No contract has private attributes or keeps unknown fields, which is what the rest of the price is for.
        """
        copy = object.__new__(type(self))
        _put(copy, "__dict__", self.__dict__ | changes)
        _put(copy, "__pydantic_fields_set__", self.__pydantic_fields_set__ | changes.keys())
        _put(copy, "__pydantic_extra__", None)
        _put(copy, "__pydantic_private__", None)
        return copy

    @model_serializer(mode="wrap")
    def _without_defaults(self, encode: Callable[["Frozen"], dict[str, Any]]) -> dict[str, Any]:
        own, found = self.__dict__, encode(self)
        for name, usual in _defaults(type(self)).items():
            if (value := own[name]) is usual or value == usual:
                found.pop(name, None)
        return found


class WrittenInFull(Frozen):
    """A value whose defaults are policy and may change from version to version: it is always written whole."""

    @model_serializer(mode="wrap")
    def _without_defaults(self, encode: Callable[["Frozen"], dict[str, Any]]) -> dict[str, Any]:
        return encode(self)


@cache  # one entry for each contract
def _defaults(model: type[Frozen]) -> Mapping[str, Any]:
    """What each field holds that may be left out."""
    usual = {
        name: field.default
        for name, field in model.model_fields.items()
        if name != "kind" and not field.is_required() and not isinstance(field.default, WrittenInFull)
    }
    return MappingProxyType(usual)


def explain(error: ValidationError) -> str:
    """What is wrong, field by field, without echoing the input (it may hold secrets)."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    problems = []
    for item in found[:PROBLEMS_SHOWN]:
        where = ".".join(str(part) for part in item["loc"]) or "input"
        problems.append(f"{where[:PLACE_SHOWN]}: {item['msg']}")
    more = [f"and {len(found) - PROBLEMS_SHOWN} more"] if len(found) > PROBLEMS_SHOWN else []
    return "; ".join(problems + more)
