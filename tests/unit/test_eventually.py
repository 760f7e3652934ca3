"""Waiting in tests: a query that no worker answered in time is asked again, and every other error is raised."""

import pytest
from temporalio.service import RPCError, RPCStatusCode

from tests.harness.stanchion import eventually


@pytest.mark.parametrize("status", [RPCStatusCode.DEADLINE_EXCEEDED, RPCStatusCode.CANCELLED])
async def test_a_query_without_an_answer_is_asked_again(status: RPCStatusCode) -> None:
    left = [status, status]

    async def asked() -> bool:
        if left:
            raise RPCError("no answer", left.pop(), b"")
        return True

    assert await eventually(asked) and not left


async def test_any_other_error_is_raised() -> None:
    async def asked() -> bool:
        raise RPCError("no such run", RPCStatusCode.NOT_FOUND, b"")

    with pytest.raises(RPCError, match="no such run"):
        await eventually(asked)


async def test_what_never_comes_true_fails_with_what_was_seen() -> None:
    async def nothing() -> str:
        return ""

    with pytest.raises(AssertionError, match=r"a sign did not come true within 0\.1 s; last seen: ''"):
        await eventually(nothing, "a sign", 0.1)
