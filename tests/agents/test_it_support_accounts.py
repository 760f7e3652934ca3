"""The accounts service: a witness that survives what is done to it, and the phones on which codes arrive."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from activities.tools import ToolError
from agents.it_support import tools
from agents.it_support.accounts import Receipt, send_code
from tests.agents.desk import AccountsProcess, accounts_process, context

RESET = {"account": "ana@acme.example"}


async def test_the_service_acts_once_per_key_and_remembers_it_when_killed(accounts: AccountsProcess) -> None:
    first = await accounts.post("reset_password", "a", RESET)
    assert first == await accounts.post("reset_password", "a", RESET)
    await accounts.post("assign_licence", "b", {**RESET, "product": "vpn"})
    told = await accounts.witness()
    assert told == {
        "effects": 2,
        "repeats": 1,
        "by_tool": {"reset_password": 1, "assign_licence": 1},
        "by_account": {"ana@acme.example": 2},
        "keys": ["a", "b"],
    }
    await accounts.kill()
    await accounts.start()
    assert await accounts.witness() == told
    assert await accounts.post("reset_password", "a", RESET) == first


async def test_a_line_that_a_crash_cut_never_happened(accounts: AccountsProcess) -> None:
    await accounts.post("reset_password", "a", RESET)
    await accounts.kill()
    with accounts.journal.open("ab") as file:
        file.write(b'{"key": "b", "or')
    await accounts.start()
    assert (await accounts.witness())["keys"] == ["a"]
    await accounts.post("reset_password", "b", RESET)
    await accounts.kill()
    await accounts.start()
    assert (await accounts.witness())["keys"] == ["a", "b"]


async def test_a_caller_that_dies_before_the_slow_answer_gets_it_on_its_next_try(tmp_path: Path) -> None:
    async with accounts_process(tmp_path, delay=600) as slow:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3):
                await slow.post("reset_password", "a", RESET)
        assert (await slow.witness())["effects"] == 1
        status, _ = await slow.post("reset_password", "a", RESET)
        assert status == 200
        told = await slow.witness()
        assert (told["effects"], told["repeats"], told["keys"]) == (1, 1, ["a"])


@pytest.mark.parametrize(
    ("change", "key", "body", "says"),
    [
        ("reset_password", "a", {"account": "nobody@acme.example"}, "there is no account 'nobody@acme.example'"),
        ("assign_licence", "a", {**RESET, "product": "yacht"}, "there is no product 'yacht'"),
        (
            "install_software",
            "a",
            {**RESET, "product": "office"},
            "there is no product 'office'; there are: sql-client",
        ),
        ("reset_password", "a", {**RESET, "product": "office"}, "there is no product 'office'"),
        ("reset_password", None, RESET, "needs an Idempotency-Key"),
        ("reset_password", "a", [], "not a request"),
        ("delete_everything", "a", RESET, "not a request"),
    ],
)
async def test_the_service_refuses_clearly(
    accounts: AccountsProcess, change: str, key: str | None, body: Any, says: str
) -> None:
    status, text = await accounts.post(change, key, body)
    assert status == 422
    assert says in text
    assert (await accounts.witness())["effects"] == 0


async def test_a_key_that_was_used_for_something_else_is_refused(accounts: AccountsProcess) -> None:
    await accounts.post("reset_password", "a", RESET)
    status, text = await accounts.post("reset_password", "a", {"account": "mei@acme.example"})
    assert (status, text) == (422, "this Idempotency-Key was used for something else")
    assert (await accounts.witness())["effects"] == 1


async def test_the_tool_passes_on_a_receipt_and_a_refusal(accounts: AccountsProcess) -> None:
    ctx = context(accounts_url=accounts.url)
    receipt = await tools.reset_password(ctx, account="ana@acme.example")
    assert isinstance(receipt, Receipt)
    assert receipt.reference == "ACC-0001"
    with pytest.raises(ToolError, match="there is no account 'nobody'"):
        await tools.reset_password(context("1.1", accounts_url=accounts.url), account="nobody")
    assert (await accounts.witness())["keys"] == ["run/1.0"]


# ── phones ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_code_arrives_on_the_phone_it_is_for_and_is_written_down_nowhere(accounts: AccountsProcess) -> None:
    ctx = context(accounts_url=accounts.url)
    await send_code(ctx, "ana@acme.example", "48213377", "reset_password (ap-1)")
    assert await accounts.phone("ana@acme.example") == [{"code": "48213377", "about": "reset_password (ap-1)"}]
    assert await accounts.phone("mei@acme.example") == []
    assert "48213377" not in accounts.journal.read_text()
    assert (await accounts.witness())["effects"] == 0
    await accounts.kill()
    await accounts.start()
    assert await accounts.phone("ana@acme.example") == []


@pytest.mark.parametrize("person", ["former.intern@acme.example", "../witness", "a/b", ""])
async def test_a_code_for_nobodys_phone_is_refused(accounts: AccountsProcess, person: str) -> None:
    with pytest.raises(ToolError):
        await send_code(context(accounts_url=accounts.url), person, "48213377", "reset_password (ap-1)")


async def test_a_phone_keeps_the_latest_messages_and_what_is_no_message_is_not_repeated(
    accounts: AccountsProcess,
) -> None:
    ctx = context(accounts_url=accounts.url)
    for number in range(25):
        await send_code(ctx, "ana@acme.example", f"{number:08}", "about")
    kept = [message["code"] for message in await accounts.phone("ana@acme.example")]
    assert kept == [f"{number:08}" for number in range(5, 25)]
    status, text = await accounts.post("phone/ana@acme.example", None, {"secret": "48213377"})
    assert (status, text) == (422, "not a message")
