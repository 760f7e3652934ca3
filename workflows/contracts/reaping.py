"""What a pass of the reaper did."""

from workflows.contracts.base import Frozen


class ReapReport(Frozen):
    """Runs looked at, those found dead and closed, how many were told late that a halt was lifted, and how many were
    ended late, because Temporal was away when they were halted or killed."""

    checked: int = 0
    closed: tuple[str, ...] = ()
    resumed: int = 0
    ended: int = 0
