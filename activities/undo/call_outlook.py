"""Decides whether a call's effect can be undone: (call, earlier attempt, pinned tools) -> `Outlook`. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from activities.agents.versions import PinnedTool


@dataclass(frozen=True)
class Attempt:
    """A call of a rollback that undoes, or should have undone, an effect. `run_over`: its run has ended."""

    run_id: str
    call_id: str
    tool: str
    run_over: bool
    state: str | None
    is_error: bool
    happened: bool
    rule: str | None  # rule and reason of its last verdict


@dataclass(frozen=True)
class CallMade:
    """A call of a run, the state of its effect, and the latest attempt to undo that."""

    call_id: str
    step: int
    tool: str
    state: str | None
    is_error: bool
    happened: bool
    attempt: Attempt | None = None
    sub_agent: str | None = None  # the run of the sub-agent that it started


@dataclass(frozen=True)
class Undoable:
    """The effect can be undone with this tool. `before`: why an earlier attempt did not undo it."""

    tool: str
    before: str = ""


@dataclass(frozen=True)
class Undone:
    """The effect is undone."""

    by: Attempt


@dataclass(frozen=True)
class NothingToUndo:
    """The call had no effect, so there is nothing to undo."""

    reason: str


@dataclass(frozen=True)
class LeftAsIs:
    """The effect is not undone. `again`: another rollback may undo it; `under_way`: a rollback is undoing it now."""

    reason: str
    again: bool = False
    under_way: bool = False


@dataclass(frozen=True)
class HandedOver:
    """The call started a sub-agent; a rollback of the sub-agent's run undoes its effects."""

    run_id: str


Outlook = Undoable | Undone | NothingToUndo | LeftAsIs | HandedOver


def outlook_of(made: CallMade, tools: Mapping[str, PinnedTool], rollback: str | None = None) -> Outlook | None:
    """The outlook of a call, seen by `rollback` or (None) by a report; None for a call that cannot change anything."""
    if made.sub_agent is not None:
        return HandedOver(made.sub_agent)
    pinned = tools.get(made.tool)
    if pinned is None or pinned.effect == "read":
        return None
    if obstacle := _why_no_certain_effect(made):
        return obstacle
    if pinned.undo is None:
        return LeftAsIs(f"{made.tool} declares no undo")
    if pinned.undo not in tools:
        return LeftAsIs(f"the agent does not have {pinned.undo!r}, which undoes {made.tool}: name it among its tools")
    if made.attempt is None:
        return Undoable(pinned.undo)
    return _outlook_after_attempt(made.attempt, pinned.undo, rollback)


def _why_no_certain_effect(made: CallMade) -> NothingToUndo | LeftAsIs | None:
    match made.state:
        case None:
            return NothingToUndo("it was never begun")
        case "refused":
            return NothingToUndo("it was refused")
        case "settled" if not made.is_error:
            return None
        case "settled" if not made.happened:
            return NothingToUndo("it failed without doing anything")
        case "settled":
            return LeftAsIs("it ended with an error, and whether anything of it happened is not known")
        case _:
            return LeftAsIs("its outcome is unknown")


def _outlook_after_attempt(attempt: Attempt, undo: str, rollback: str | None) -> Outlook:
    failure = _why_not_undone(attempt)
    if failure is None:
        return Undone(attempt)
    if failure.again and attempt.run_id != rollback:
        return Undoable(undo, failure.reason)
    return failure


def _why_not_undone(attempt: Attempt) -> LeftAsIs | None:
    """Why an attempt did not undo the effect, or may not have. `again` only if it certainly did nothing."""
    by = f"{attempt.tool} ({attempt.run_id} {attempt.call_id})"
    match attempt.state:
        case "settled" if not attempt.is_error:
            return None
        case "settled" if not attempt.happened:
            return LeftAsIs(f"{by} failed without doing anything", again=attempt.run_over)
        case "settled":
            return LeftAsIs(f"{by} ended with an error, and whether it undid anything is not known")
        case "refused":
            return LeftAsIs(f"{by} was refused: {attempt.rule or 'no reason is known'}", again=attempt.run_over)
        case None if attempt.run_over:
            return LeftAsIs(f"{by} was never begun: its run ended first", again=True)
        case "unknown" if attempt.run_over:
            return LeftAsIs(f"the outcome of {by} is unknown")
        case _:
            return LeftAsIs(f"{by} is under way", under_way=True)
