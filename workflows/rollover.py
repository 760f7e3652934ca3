"""When to go on in a fresh history. Asked by the loop only; `RunState` is all that goes along."""

from temporalio import workflow

from workflows.state import RunState

MINIMUM_EVENTS = 30  # a state that is itself large must not roll over at every turn


def due_for_rollover(state: RunState) -> bool:
    """The server suggests it, or this history has reached the run's own caps. False until the run is opened.

    Nor while sub-agents are at work: their ends are told to the execution that started them, and to no later one. The
    run stands still meanwhile, so its history grows by what people say to it and no more.
    """
    if state.opened is None or state.children or workflow.info().get_current_history_length() < MINIMUM_EVENTS:
        return False
    caps, info = state.opened.rollover, workflow.info()
    return (
        info.is_continue_as_new_suggested()
        or info.get_current_history_length() >= caps.events
        or info.get_current_history_size() >= caps.bytes
    )
