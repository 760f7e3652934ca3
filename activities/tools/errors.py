"""The errors that tools raise, and errors in declarations and arguments of tools."""

from activities.errors import Permanent, StanchionError


class ToolError(StanchionError):
    """A tool raises it to say that nothing happened. The model reads the message, and may try something else.

    After any other exception the outcome is unknown, and the tool's effect contract decides what happens next.
    """


class ToolDeclarationError(Permanent):
    """A tool is declared in a way that cannot work; the message says what to change."""


class InvalidArguments(StanchionError):
    """The model's arguments do not fit the tool's schema; it may correct them."""
