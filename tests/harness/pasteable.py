"""The failing examples of a property test, as decorators that can be pasted above it."""

import re
from collections.abc import Iterator

EXAMPLE = re.compile(r"^Failing [^:\n]*: \w+(\(\n.*?^\))", re.MULTILINE | re.DOTALL)
BLOB = re.compile(r"@reproduce_failure\(.*?\)", re.DOTALL)


def pasteable(error: BaseException) -> str | None:
    """The decorators, or None if the error does not come from a property test.

    `@example` stays valid when the strategy changes; `@reproduce_failure` is exact where a value has no usable repr.
    """
    found = list(_decorators(error))
    return "\n".join(["from hypothesis import example, reproduce_failure", "", *found]) if found else None


def _decorators(error: BaseException) -> Iterator[str]:
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _decorators(inner)
    for note in getattr(error, "__notes__", ()):
        yield from (f"@example{arguments}" for arguments in EXAMPLE.findall(note))
        yield from BLOB.findall(note)
