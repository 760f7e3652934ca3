"""What a pass of the reaper did."""

from workflows.contracts.base import Frozen


class ReapReport(Frozen):
    """Runs looked at, and those found dead and closed."""

    checked: int = 0
    closed: tuple[str, ...] = ()
