"""Decodes the body of an answer: bytes -> the data of its server-sent events, or its one JSON document.

Written here and not taken from the SDK, because gateways send what the SDK's reader loses: a byte-order mark in front,
or a last line without an end. Lines end with LF, CR or CRLF, as the HTML standard says; other separators are text.
"""

from collections.abc import AsyncIterator

LONGEST_EVENT = 16 * 1024 * 1024  # bytes; a whole answer is smaller, so more is no event
BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Deviation(Exception):
    """An answer that is not in the API's format and has no other clear meaning. Its text says what is odd."""


class Body:
    """The body of an answer, whatever its headers say of it."""

    def __init__(self, pieces: AsyncIterator[bytes]) -> None:
        self._pieces = pieces
        self._start = b""

    async def is_document(self) -> bool:
        """Whether it is one JSON document instead of a stream. Raises Deviation for a web page."""
        async for piece in self._pieces:
            self._start += piece
            text = self._start.removeprefix(BYTE_ORDER_MARK).lstrip()
            if text.startswith(b"<"):
                raise Deviation("the answer is a web page")
            if len(text) > len(BYTE_ORDER_MARK):
                return text.startswith(b"{")
        return False

    async def document(self) -> str:
        """The whole body. Raises Deviation."""
        whole = self._start
        async for piece in self._pieces:
            whole += piece
            if len(whole) > LONGEST_EVENT:
                raise Deviation(f"a document of more than {LONGEST_EVENT} bytes")
        return _decoded(whole.removeprefix(BYTE_ORDER_MARK))

    async def events(self) -> AsyncIterator[str]:
        """The data of each event as it arrives; empty for a comment or an event without data, as a sign of life.

        An event that the end of the body cuts off is not given. Raises Deviation.
        """
        lines: list[str] = []
        async for line in self._lines():
            if not line:
                yield "\n".join(lines)
                lines.clear()
            elif line.startswith("data:"):
                lines.append(line.removeprefix("data:").removeprefix(" "))
            elif line.startswith(":"):
                yield ""

    async def _lines(self) -> AsyncIterator[str]:
        """The lines, without their ends. A line that the end of the body cuts off is not given."""
        rest = self._start.removeprefix(BYTE_ORDER_MARK)
        while True:
            # A CR at the very end may be half of a CRLF: it waits for the next piece.
            whole, held = (rest[:-1], b"\r") if rest.endswith(b"\r") else (rest, b"")
            *lines, rest = whole.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            rest += held
            for line in lines:
                yield _decoded(line)
            if len(rest) > LONGEST_EVENT:
                raise Deviation(f"a line of more than {LONGEST_EVENT} bytes")
            piece = await anext(self._pieces, None)
            if piece is None:
                break
            rest += piece
        if rest.endswith(b"\r"):
            yield _decoded(rest[:-1])


def _decoded(line: bytes) -> str:
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise Deviation("the answer is not UTF-8") from None
