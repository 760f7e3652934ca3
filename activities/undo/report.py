"""`RollbackReport`: for each call of a run, whether its effect is undone, and if not, why. Pure."""

from dataclasses import dataclass
from typing import Literal, assert_never

from activities.undo.call_outlook import CallMade, HandedOver, LeftAsIs, NothingToUndo, Outlook, Undoable, Undone

Standing = Literal["undone", "undoable", "under way", "left", "never"]


@dataclass(frozen=True)
class ReportItem:
    """The report about one call. `by`, `by_run`, `by_call`: the tool, run and call that undo it, as far as known.

    `again`: another rollback may undo it.
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
    """All calls of a run after a step that can change something, the last one first."""

    of_run: str
    to_step: int
    rollback_id: str | None
    items: tuple[ReportItem, ...]

    def those(self, *standings: Standing) -> list[ReportItem]:
        """The calls with one of these standings."""
        return [item for item in self.items if item.standing in standings]

    @property
    def complete(self) -> bool:
        """Whether nothing is left to undo."""
        return not self.those("left", "undoable", "under way")

    @property
    def may_go_on(self) -> bool:
        """Whether another rollback could undo something that is left."""
        return any(item.standing == "undoable" or item.again for item in self.items)


def item_of(made: CallMade, outlook: Outlook) -> ReportItem:
    """The report about a call with this outlook."""
    match outlook:
        case Undone(by=by):
            return _report_item(made, "undone", by=by.tool, by_run=by.run_id, by_call=by.call_id)
        case Undoable(tool=tool, before=before):
            return _report_item(made, "undoable", by=tool, reason=before, again=True)
        case NothingToUndo(reason=reason):
            return _report_item(made, "never", reason=reason)
        case LeftAsIs(reason=reason, again=again, under_way=under_way):
            return _report_item(made, "under way" if under_way else "left", reason=reason, again=again)
        case HandedOver(run_id=run_id):
            return _report_item(made, "left", reason=f"{run_id} did it")
        case _:
            assert_never(outlook)


def outlook_from_report(below: RollbackReport) -> NothingToUndo | LeftAsIs:
    """The outlook of a call that started a sub-agent, from the report `below` on the sub-agent's run."""
    child = below.of_run
    if not below.those("left", "undoable", "under way", "undone"):
        return NothingToUndo(f"{child} did nothing that could be taken back")
    if below.complete:
        return NothingToUndo(f"what {child} did is taken back already")
    extent = "what of it can be" if below.those("left", "under way") else "that"
    return LeftAsIs(f"{child} did the work; `stanchion rollback {child}` takes back {extent}")


def _report_item(made: CallMade, standing: Standing, **more: object) -> ReportItem:
    return ReportItem(made.call_id, made.step, made.tool, standing, **more)  # type: ignore[arg-type]


def _earlier_failure(item: ReportItem) -> str:
    return f", though {item.reason}" if item.reason else ""


def in_words(report: RollbackReport) -> str:
    """The report as text, for the CLI and as the answer of the rollback's run."""
    after_step = f" after step {report.to_step}" if report.to_step else ""
    done, open_ones, left = report.those("undone"), report.those("undoable"), report.those("left", "under way")
    lines = [f"Taken back of {report.of_run}{after_step}: {len(done)}. Left: {len(left) + len(open_ones)}."]
    lines += [f"  taken back  {i.call_id} {i.tool}: by {i.by} ({i.by_run} {i.by_call})" for i in done]
    lines += [f"  can be      {i.call_id} {i.tool}: by {i.by}{_earlier_failure(i)}" for i in open_ones]
    lines += [f"  left        {i.call_id} {i.tool}: {i.reason}" for i in left]
    lines += [f"  nothing     {i.call_id} {i.tool}: {i.reason}" for i in report.those("never")]
    return "\n".join(lines)
