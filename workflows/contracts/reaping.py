"""What a pass of the reaper did."""

from workflows.contracts.base import Frozen


class ReapReport(Frozen):
    """Runs looked at, those found dead and closed, and how many were told late that a halt was lifted."""

    checked: int = 0
    closed: tuple[str, ...] = ()
    resumed: int = 0
