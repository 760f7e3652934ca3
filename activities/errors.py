"""The error classes `Transient` (retry) and `Permanent` (do not retry); the type decides, never the text.

All other errors are subclasses that name the cause. `activities.boundary.to_application_error` alone translates them
into Temporal failures. This module does not import Temporal, so that commands that only read tables start quickly.
"""

from datetime import timedelta

# Characters of an error text in a workflow history. Without a limit, every retry would copy a 64 KB traceback.
MESSAGE_LIMIT = 2_000


class StanchionError(Exception):
    """Base class of all expected errors. Without a message, the text is the first line of the class's docstring."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or type(self).__name__).strip().splitlines()[0])


class Transient(StanchionError):
    """A retry may succeed."""

    def __init__(self, message: str = "", *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Permanent(StanchionError):
    """A retry cannot succeed; somebody has to change something first."""


def clip(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """The first `limit` characters of `text`, with a note if something was cut."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text)} characters, cut at {limit})"
