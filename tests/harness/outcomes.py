"""What a call came to, where a test cares for nothing else of its result."""

from workflows.contracts.calls import CallResult, Observed


def done(result: CallResult) -> bool:
    """It was performed, and did what it was asked."""
    return isinstance(result, Observed) and not result.is_error


def failed(result: CallResult) -> bool:
    """It was performed, and its result is an error."""
    return isinstance(result, Observed) and result.is_error
