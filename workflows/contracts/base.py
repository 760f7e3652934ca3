"""What every contract shares: immutable, lenient when decoding what another version wrote, small on the wire."""

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError, model_serializer


class Frozen(BaseModel):
    """A value that crosses a process boundary.

    Unknown fields are ignored, so that histories written by other versions decode. Fields that hold their default are
    left out of the JSON: a history keeps every payload of a run, and most fields of most payloads say nothing.
    `kind` is always written, because it tells the members of a union apart.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    @model_serializer(mode="wrap")
    def _without_defaults(self, encode: Callable[["Frozen"], dict[str, Any]]) -> dict[str, Any]:
        fields = type(self).model_fields
        return {
            name: value
            for name, value in encode(self).items()
            if name == "kind" or (field := fields[name]).is_required() or getattr(self, name) != field.default
        }


def explain(error: ValidationError) -> str:
    """What is wrong, field by field, without echoing the input (it may hold secrets)."""
    problems = []
    for item in error.errors(include_url=False, include_input=False, include_context=False):
        where = ".".join(str(part) for part in item["loc"]) or "input"
        problems.append(f"{where}: {item['msg']}")
    return "; ".join(problems)
