"""What can be taken back: (a call and its undo so far, its tool as pinned) -> what is to be said of it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from activities.agents.versions import PinnedTool


@dataclass(frozen=True)
class Attempt:
    """A call that was to take an effect back. `run_over`: nothing more will come of it."""

    run_id: str
    call_id: str
    tool: str
    run_over: bool
    state: str | None
    is_error: bool
    happened: bool
    rule: str | None  # the last verdict about it


@dataclass(frozen=True)
class CallMade:
    """A call that a run made, what became of its effect, and the latest attempt at taking that back."""

    call_id: str
    step: int
    tool: str
    state: str | None
    is_error: bool
    happened: bool
    attempt: Attempt | None = None
    sub_agent: str | None = None  # the run that it was delegated to


@dataclass(frozen=True)
class Undoable:
    """It can be taken back by this tool. `before`: why an earlier attempt did not."""

    tool: str
    before: str = ""


@dataclass(frozen=True)
class Undone:
    """It is taken back."""

    by: Attempt


@dataclass(frozen=True)
class NothingToUndo:
    """There is nothing to take back."""

    reason: str


@dataclass(frozen=True)
class LeftAsIs:
    """It stays as it is. `again`: another rollback may do better; `under_way`: one is at it."""

    reason: str
    again: bool = False
    under_way: bool = False


@dataclass(frozen=True)
class HandedOver:
    """It was handed to a sub-agent: what that did is taken back by a rollback of its own run."""

    run_id: str


Outlook = Undoable | Undone | NothingToUndo | LeftAsIs | HandedOver


def outlook_of(made: CallMade, tools: Mapping[str, PinnedTool], rollback: str | None = None) -> Outlook | None:
    """What is to be said of a call, to this rollback or to whoever asks; None for one that could change nothing."""
    if made.sub_agent is not None:
        return HandedOver(made.sub_agent)
    pinned = tools.get(made.tool)
    if pinned is None or pinned.effect == "read":
        return None
    if why := _not_done(made):
        return why
    if pinned.undo is None:
        return LeftAsIs(f"{made.tool} declares no undo")
    if pinned.undo not in tools:
        return LeftAsIs(
            f"the agent does not have {pinned.undo!r}, which takes {made.tool} back: name it among its tools"
        )
    if made.attempt is None:
        return Undoable(pinned.undo)
    return _tried(made.attempt, pinned.undo, rollback)


def _not_done(made: CallMade) -> NothingToUndo | LeftAsIs | None:
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


def _tried(attempt: Attempt, undo: str, rollback: str | None) -> Outlook:
    failure = _failure(attempt)
    if failure is None:
        return Undone(attempt)
    if failure.again and attempt.run_id != rollback:
        return Undoable(undo, failure.reason)
    return failure


def _failure(attempt: Attempt) -> LeftAsIs | None:
    """Why an attempt took nothing back, or may not have. It may be made again only if it certainly did nothing."""
    by = f"{attempt.tool} ({attempt.run_id} {attempt.call_id})"
    match attempt.state:
        case "settled" if not attempt.is_error:
            return None
        case "settled" if not attempt.happened:
            return LeftAsIs(f"{by} failed without doing anything", again=attempt.run_over)
        case "settled":
            return LeftAsIs(f"{by} ended with an error, and whether it took anything back is not known")
        case "refused":
            return LeftAsIs(f"{by} was refused: {attempt.rule or 'no reason is known'}", again=attempt.run_over)
        case None if attempt.run_over:
            return LeftAsIs(f"{by} was never begun: its run ended first", again=True)
        case "unknown" if attempt.run_over:
            return LeftAsIs(f"the outcome of {by} is unknown")
        case _:
            return LeftAsIs(f"{by} is under way", under_way=True)
