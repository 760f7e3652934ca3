"""How it stands with what a run did: taken back, left with a reason, or nothing to take back. Pure."""

from dataclasses import dataclass
from typing import Literal, assert_never

from activities.undo.call_outlook import CallMade, HandedOver, LeftAsIs, NothingToUndo, Outlook, Undoable, Undone

Standing = Literal["undone", "undoable", "under way", "left", "never"]


@dataclass(frozen=True)
class ReportItem:
    """One call. `by`: the tool, and where it is known the run and call, that takes it back.

    `again`: another rollback may take it back.
    """

    call_id: str
    step: int
    tool: str
    standing: Standing
    by: str | None = None
    by_run: str | None = None
    by_call: str | None = None
    reason: str = ""
    again: bool = False


@dataclass(frozen=True)
class RollbackReport:
    """All calls of a run after a step that could change something, the last one first."""

    of_run: str
    to_step: int
    rollback_id: str | None
    items: tuple[ReportItem, ...]

    def those(self, *standings: Standing) -> list[ReportItem]:
        """The calls that stand so."""
        return [item for item in self.items if item.standing in standings]

    @property
    def complete(self) -> bool:
        """Nothing is left of what the run did."""
        return not self.those("left", "undoable", "under way")

    @property
    def may_go_on(self) -> bool:
        """Another rollback could take back something that is left."""
        return any(item.standing == "undoable" or item.again for item in self.items)


def item_of(made: CallMade, outlook: Outlook) -> ReportItem:
    """The line about a call."""
    match outlook:
        case Undone(by=by):
            return _item(made, "undone", by=by.tool, by_run=by.run_id, by_call=by.call_id)
        case Undoable(tool=tool, before=before):
            return _item(made, "undoable", by=tool, reason=before, again=True)
        case NothingToUndo(reason=reason):
            return _item(made, "never", reason=reason)
        case LeftAsIs(reason=reason, again=again, under_way=under_way):
            return _item(made, "under way" if under_way else "left", reason=reason, again=again)
        case HandedOver(run_id=run_id):
            return _item(made, "left", reason=f"{run_id} did it")
        case _:
            assert_never(outlook)


def outlook_on(below: RollbackReport) -> NothingToUndo | LeftAsIs:
    """What is to be said of a call by how it stands with the run that it was delegated to."""
    child = below.of_run
    if not below.those("left", "undoable", "under way", "undone"):
        return NothingToUndo(f"{child} did nothing that could be taken back")
    if below.complete:
        return NothingToUndo(f"what {child} did is taken back already")
    what = "what of it can be" if below.those("left", "under way") else "that"
    return LeftAsIs(f"{child} did the work; `stanchion rollback {child}` takes back {what}")


def _item(made: CallMade, standing: Standing, **more: object) -> ReportItem:
    return ReportItem(made.call_id, made.step, made.tool, standing, **more)  # type: ignore[arg-type]


def _before(item: ReportItem) -> str:
    return f", though {item.reason}" if item.reason else ""


def in_words(report: RollbackReport) -> str:
    """For people, and as the answer of the rollback's run."""
    since = f" after step {report.to_step}" if report.to_step else ""
    done, open_ones, left = report.those("undone"), report.those("undoable"), report.those("left", "under way")
    lines = [f"Taken back of {report.of_run}{since}: {len(done)}. Left: {len(left) + len(open_ones)}."]
    lines += [f"  taken back  {i.call_id} {i.tool}: by {i.by} ({i.by_run} {i.by_call})" for i in done]
    lines += [f"  can be      {i.call_id} {i.tool}: by {i.by}{_before(i)}" for i in open_ones]
    lines += [f"  left        {i.call_id} {i.tool}: {i.reason}" for i in left]
    lines += [f"  nothing     {i.call_id} {i.tool}: {i.reason}" for i in report.those("never")]
    return "\n".join(lines)
