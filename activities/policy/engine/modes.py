"""Modes of a run, strictest first. Pure."""

from workflows.contracts.runs import Mode

STRICTNESS: tuple[Mode, ...] = ("observe", "propose", "tiered", "autonomous")


def strictest_mode(*modes: Mode) -> Mode:
    """The strictest of these modes."""
    return min(modes, key=STRICTNESS.index)
