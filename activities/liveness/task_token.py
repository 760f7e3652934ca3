"""Builds the token of a workflow task that a dead worker had started, as the Temporal server does.

The server fails a workflow task only by its token, which was lost with the worker. Without the token, the run waits for
the task's time-out, ten seconds by default. The token is an unsigned protobuf message whose layout is internal to the
server (1.29: `token.Task`). A server with another layout refuses it, and the run waits for the time-out.
"""

_TEXT, _NUMBER = 2, 0  # wire types of protobuf


def workflow_task_token(
    namespace_id: str, workflow_id: str, run_id: str, scheduled_event: int, started_event: int, attempt: int
) -> bytes:
    """The token of one started workflow task."""
    return b"".join(
        (
            _text(1, namespace_id),
            _text(2, workflow_id),
            _text(3, run_id),
            _number(4, scheduled_event),
            _number(5, attempt),
            _number(10, started_event),
        )
    )


def _text(field: int, value: str) -> bytes:
    data = value.encode()
    return _varint(field << 3 | _TEXT) + _varint(len(data)) + data


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _NUMBER) + _varint(value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
