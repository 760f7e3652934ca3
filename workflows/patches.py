"""Patches: changes of the workflow's commands that do not apply to runs already under way. One function each.

Each says when it was born and when it may go. Asked only where the old and the new commands differ, so that a run
that never gets there has no marker in its history. Asked by the loop only.
"""

from temporalio import workflow


def loops_pause() -> bool:
    """A run that goes in circles pauses for a person; before, six equal calls or five mistakes stopped it.

    Born 2026-11-21. May go, with `governance.stopped_before_pauses` and the histories `stopped_*`, once no run is alive
    that was started before: that is after the longest retention of the namespaces it ran in.
    """
    return workflow.patched("loops-pause")


def cancels_living_child() -> bool:
    """A sub-agent that has rolled over is cancelled too; before, only the first execution of each was.

    Born 2026-11-28. May go once no run is alive that was started before.
    """
    return workflow.patched("cancel-living-child")
