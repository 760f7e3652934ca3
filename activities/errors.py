"""Errors named by what to do next. The type decides, never the message text.

`Transient` and `Permanent` are the only two answers a caller needs; everything else is a subclass that says why.
They become Temporal failures in one place: `activities.boundary.to_application_error`. This module imports no
Temporal, so that commands that only read tables start quickly.
"""

from datetime import timedelta

# Longest error text that travels into a history: a 64 KB traceback in a failure would be copied into every retry.
MESSAGE_LIMIT = 2_000


class StanchionError(Exception):
    """Something went wrong that the caller can name."""

    def __init__(self, message: str = "") -> None:
        super().__init__(message or (self.__doc__ or type(self).__name__).strip().splitlines()[0])


class Transient(StanchionError):
    """It may work in a moment; try again."""

    def __init__(self, message: str = "", *, retry_after: timedelta | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Permanent(StanchionError):
    """Trying again cannot help; someone has to change something."""


def clip(text: str, limit: int = MESSAGE_LIMIT) -> str:
    """`text`, at most `limit` characters long, saying so where it was cut."""
    if len(text) <= limit:
        return text
    return f"{text[:limit]}… ({len(text)} characters, cut at {limit})"
