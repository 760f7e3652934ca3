"""Decides when a run continues in a fresh history. `RunState` is all that it carries over."""

from temporalio import workflow

from workflows.state import RunState

MINIMUM_EVENTS = 30  # so that a run with a large state does not roll over in every turn


def due_for_rollover(state: RunState) -> bool:
    """The server suggests it, or this history has reached the run's own caps. False until the run is opened.

    Also false while sub-agents are at work: only the execution that started them learns of their end. Meanwhile the run
    waits, so its history grows only by signals.
    """
    if state.opened is None or state.children or workflow.info().get_current_history_length() < MINIMUM_EVENTS:
        return False
    caps, info = state.opened.rollover, workflow.info()
    return (
        info.is_continue_as_new_suggested()
        or info.get_current_history_length() >= caps.events
        or info.get_current_history_size() >= caps.bytes
    )
