"""The trace log: writes each event as a row, in the statement that makes it true, and as a JSON log line."""

import logging
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import structlog
from opentelemetry import trace
from pydantic_core import to_json

from workflows.contracts.base import Frozen

log = structlog.get_logger("stanchion.trace")

# Fields that trace rows and log lines leave out: text of people and models belongs to the transcript only.
PRIVATE: frozenset[str] = frozenset(("text", "answer", "arguments", "journal", "goal"))


@dataclass(frozen=True)
class Trace:
    """The events of one run that one statement writes."""

    run_id: str
    events: tuple[Frozen, ...]
    step: int | None = None
    call_id: str | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """The parameters of the queries: `kinds` and `bodies` as parallel arrays, and the trace id."""
        return {
            "kinds": [kind_of(event) for event in self.events],
            "bodies": [to_json(body).decode() for body in self._bodies],
            "trace_id": self._trace_id,
        }

    def emit(self, level: int = logging.INFO) -> None:
        """Write one log line per event. Call it after the statement has committed."""
        ids = {"run_id": self.run_id, "step": self.step, "call_id": self.call_id, "trace_id": self._trace_id}
        for event, body in zip(self.events, self._bodies, strict=True):
            log.log(level, kind_of(event), **{k: v for k, v in (ids | body).items() if v is not None})

    @cached_property
    def _trace_id(self) -> str | None:
        return trace_id()

    @cached_property
    def _bodies(self) -> list[dict[str, Any]]:
        return [_public(event) for event in self.events]


def kind_of(event: Frozen) -> str:
    """The event's name in trace rows and log lines."""
    return str(getattr(event, "kind", type(event).__name__))


def trace_id() -> str | None:
    """The current OpenTelemetry trace id in hex, or None if tracing is off."""
    context = trace.get_current_span().get_span_context()
    return format(context.trace_id, "032x") if context.is_valid else None


def _public(event: Frozen) -> dict[str, Any]:
    return {key: value for key, value in event.model_dump(mode="json").items() if key not in PRIVATE and key != "kind"}
