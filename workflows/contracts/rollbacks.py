"""Taking back what a run did, as its own definition orders it."""

from workflows.contracts.base import Frozen


class UndoRequest(Frozen):
    """A run that is over wants back what it did."""

    run_id: str


class UndoStarted(Frozen):
    """The run that takes it back; None where there was nothing to take back."""

    rollback_id: str | None = None
