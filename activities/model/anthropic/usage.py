"""What an answer used, from the two ends of its stream. Pure.

Gateways leave counts out, send null or zero, or send them at one end only. A count that is not there is not guessed
here: it is named as missing, and the caller charges what it has reserved.
"""

from collections.abc import Mapping
from typing import Any, Literal

from activities.model.provider import Usage


def usage_of(begun: Mapping[str, Any], ended: Mapping[str, Any], *, has_blocks: bool) -> Usage:
    """The usage. Counts of the prompt stand at either end, the later one holds; the output's only at the end.

    The count of output at the beginning is of the first token, not of the answer.
    """
    both = {**begun, **ended}
    fresh = _count(both.get("input_tokens"))
    read = _count(both.get("cache_read_input_tokens")) or 0
    written = _count(both.get("cache_creation_input_tokens")) or 0
    output = _count(ended.get("output_tokens"))
    missing: list[Literal["prompt", "output"]] = []
    if fresh is None or fresh + read + written == 0:
        missing.append("prompt")
    if output is None or (output == 0 and has_blocks):
        missing.append("output")
    return Usage(
        input_tokens=fresh or 0,
        output_tokens=output or 0,
        cache_read_tokens=read,
        cache_write_tokens=written,
        missing=tuple(missing),
    )


def _count(value: Any) -> int | None:
    """A count of tokens; None for what is no whole number of at least zero."""
    return value if type(value) is int and value >= 0 else None
