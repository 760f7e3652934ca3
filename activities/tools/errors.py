"""What a tool may raise, and what goes wrong when tools are declared."""

from activities.errors import Permanent, StanchionError


class ToolError(StanchionError):
    """The tool refuses, and nothing happened: the model reads the message and may try something else.

    Any other exception leaves the outcome in doubt, and the tool's effect contract decides what happens next.
    """


class ToolDeclarationError(Permanent):
    """A tool is declared in a way that cannot work; the message says what to change."""


class InvalidArguments(StanchionError):
    """The model's arguments do not fit the tool's schema; it may correct them."""
