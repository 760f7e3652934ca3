"""The agent that ships: its tiers, its desk, its accounts service, and a whole run with each answer to its question."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from activities.agents.definition import read_definition
from activities.agents.versions import from_file, resolve
from activities.model.provider import Message, Text, ToolCall, ToolResult
from activities.tools import ToolContext, ToolError
from activities.tools.registry import find_tool
from agents.it_support import desk, kb, tools
from agents.it_support.accounts import Receipt
from agents.it_support.desk import prepare_desk
from agents.it_support.script import turn
from tests.harness.stanchion import DEADLINE, Stanchion
from workers.shipped import playable

ROOT = Path(__file__).parents[2]
AGENT = ROOT / "agents" / "it_support" / "agent.yaml"
ON_THE_SERVICE = ("reset_password", "assign_licence", "revoke_licence")
RESET = {"account": "ana@acme.example"}


class AccountsProcess:
    """The accounts service in a process of its own."""

    def __init__(self, folder: Path, delay: float = 0.0) -> None:
        self.journal = folder / "journal.jsonl"
        self.url = ""
        self._ready = folder / "ready.json"
        self._delay = delay
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._ready.unlink(missing_ok=True)
        where = ["--port", "0", "--state", str(self.journal), "--ready-file", str(self._ready)]
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "agents.it_support.accounts_service", *where, "--delay", str(self._delay), cwd=ROOT
        )
        async with asyncio.timeout(DEADLINE):
            while not self._ready.exists():
                assert self._process.returncode is None, "the accounts service ended while it started"
                await asyncio.sleep(0.05)
        self.url = json.loads(self._ready.read_text(encoding="utf-8"))["url"]

    async def kill(self) -> None:
        assert self._process
        self._process.kill()
        await self._process.wait()

    async def post(self, change: str, key: str | None, body: Any) -> tuple[int, str]:
        headers = {"Idempotency-Key": key} if key else {}
        async with aiohttp.ClientSession(self.url, headers=headers) as session:
            async with session.post(f"/{change}", json=body) as response:
                return response.status, await response.text()

    async def witness(self) -> dict[str, Any]:
        async with aiohttp.ClientSession(self.url) as session, session.get("/witness") as response:
            told: dict[str, Any] = await response.json()
            return told


@asynccontextmanager
async def accounts_process(folder: Path, delay: float = 0.0) -> AsyncIterator[AccountsProcess]:
    process = AccountsProcess(folder, delay)
    await process.start()
    try:
        yield process
    finally:
        await process.kill()


@pytest.fixture
async def accounts(tmp_path: Path) -> AsyncIterator[AccountsProcess]:
    async with accounts_process(tmp_path) as process:
        yield process


@pytest.fixture
async def it_support(
    systems: Callable[..., Stanchion], database_url: str, accounts: AccountsProcess
) -> AsyncIterator[Stanchion]:
    await prepare_desk(database_url)
    settings = {"desk_dsn": database_url, "accounts_url": accounts.url}
    stanchion = await systems(tool_settings=settings).up()
    rehearsed = playable(read_definition(AGENT), stanchion.settings)
    await stanchion.parts.agents.publish(resolve(rehearsed, str(AGENT.parent)))
    yield stanchion


def context(call_id: str = "1.0", **settings: str) -> ToolContext:
    return ToolContext(run_id="run", call_id=call_id, agent="it-support", tenant="acme", settings=settings)


async def settled_on_the_service(stanchion: Stanchion) -> list[str]:
    """The keys of the effects that our own tables call settled, of tools that act on the service."""
    rows = await stanchion.rows(
        "SELECT run_id || '/' || call_id FROM effects JOIN calls USING (run_id, call_id) "
        "WHERE effects.state = 'settled' AND calls.tool = ANY($1) ORDER BY 1",
        list(ON_THE_SERVICE),
    )
    return [row[0] for row in rows]


# ── tools ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_each_tool_has_the_tier_that_the_readme_promises() -> None:
    specs = {t.name: find_tool(t.module, t.name) for t in from_file(AGENT).tools if t.module == tools.__name__}
    by_tier: dict[str, set[str]] = {}
    for name, spec in specs.items():
        by_tier.setdefault(spec.tier, set()).add(name)
    assert by_tier == {
        "T0": {"search_kb", "ticket_requester", "next_ticket"},
        "T1": {"list_tickets", "read_ticket"},
        "T2": {
            "open_ticket", "close_ticket", "reopen_ticket", "add_comment", "withdraw_comment",
            "assign_licence", "revoke_licence",
        },
        "T3": {"reset_password"},
    }  # fmt: skip
    assert {spec.contract.name for spec in specs.values() if spec.facts.effect != "read"} == {"idempotent"}


def test_the_receipt_of_a_change_holds_the_arguments_of_its_undo() -> None:
    for pinned in from_file(AGENT).tools:
        spec = find_tool(pinned.module, pinned.name)
        if spec.facts.undo:
            undo = find_tool(pinned.module, spec.facts.undo)
            assert set(undo.schema["required"]) <= set(spec.result.json_schema()["properties"]), spec.name


@pytest.mark.parametrize(
    ("query", "article"),
    [
        ("Cannot log in since this morning: incorrect password after holiday", "forgotten-password"),
        ("VPN rejects my password", "vpn-rejects-password"),
        ("Account locked after too many attempts", "locked-account"),
        ("URGENT password of the CFO", "someone-elses-account"),
        ("New phone, no codes any more", "new-phone-authenticator"),
        ("printer offline", "printer-offline"),
    ],
)
def test_the_knowledge_base_finds_the_article_that_fits(query: str, article: str) -> None:
    assert kb.search(query)[0].article == article


def test_the_knowledge_base_finds_nothing_where_nothing_fits() -> None:
    assert kb.search("xylophone") == []


# ── the desk ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_preparing_the_desk_again_changes_nothing(database_url: str) -> None:
    await asyncio.gather(prepare_desk(database_url), prepare_desk(database_url))
    await tools.close_ticket(context(desk_dsn=database_url), ticket=1)
    await prepare_desk(database_url)
    assert [row.ticket for row in await tools.list_tickets(context(desk_dsn=database_url))] == [2, 3, 4, 5, 6]


async def test_a_ticket_is_opened_once_per_key_even_by_two_attempts_at_once(database_url: str) -> None:
    await prepare_desk(database_url)
    ctx = context(desk_dsn=database_url)
    first, second = await asyncio.gather(*(tools.open_ticket(ctx, subject="New", body="Text") for _ in range(2)))
    other = await tools.open_ticket(context("1.1", desk_dsn=database_url), subject="New", body="Text")
    assert first == second != other
    assert len(await tools.list_tickets(ctx)) == 6 + 2


async def test_a_late_repeat_does_not_close_a_ticket_that_was_opened_again(database_url: str) -> None:
    await prepare_desk(database_url)
    ctx = context(desk_dsn=database_url)
    closed = await tools.close_ticket(ctx, ticket=1, resolution="Done.")
    await tools.reopen_ticket(context("1.1", desk_dsn=database_url), ticket=1)
    assert await tools.close_ticket(ctx, ticket=1, resolution="Done.") == closed
    assert (await tools.read_ticket(ctx, ticket=1)).status == "open"


async def test_a_comment_is_made_once_and_can_be_withdrawn(database_url: str) -> None:
    await prepare_desk(database_url)
    ctx = context(desk_dsn=database_url)
    added = [await tools.add_comment(ctx, ticket=2, text="Hello") for _ in range(2)]
    assert [comment.text for comment in (await tools.read_ticket(ctx, ticket=2)).comments] == ["Hello"]
    await tools.withdraw_comment(context("1.1", desk_dsn=database_url), comment=added[1].comment)
    assert (await tools.read_ticket(ctx, ticket=2)).comments == []


async def test_a_refused_change_leaves_its_key_unused(database_url: str) -> None:
    await prepare_desk(database_url)
    ctx = context(desk_dsn=database_url)
    with pytest.raises(ToolError, match="there is no ticket 99"):
        await tools.close_ticket(ctx, ticket=99)
    assert (await tools.close_ticket(ctx, ticket=1)).status == "closed"


async def test_a_database_without_a_desk_says_what_to_do(database_url: str) -> None:
    with pytest.raises(ToolError, match="prepare_desk"):
        await desk.read(database_url, "open_tickets")


# ── the accounts service ────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_service_acts_once_per_key_and_remembers_it_when_killed(accounts: AccountsProcess) -> None:
    first = await accounts.post("reset_password", "a", RESET)
    assert first == await accounts.post("reset_password", "a", RESET)
    await accounts.post("assign_licence", "b", {**RESET, "product": "vpn"})
    told = await accounts.witness()
    assert told == {
        "effects": 2,
        "repeats": 1,
        "by_tool": {"reset_password": 1, "assign_licence": 1},
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
        assert await slow.witness() | {"by_tool": {}} == {"effects": 1, "repeats": 1, "by_tool": {}, "keys": ["a"]}


@pytest.mark.parametrize(
    ("change", "key", "body", "says"),
    [
        ("reset_password", "a", {"account": "nobody@acme.example"}, "there is no account 'nobody@acme.example'"),
        ("assign_licence", "a", {**RESET, "product": "yacht"}, "there is no product 'yacht'"),
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


# ── the script ──────────────────────────────────────────────────────────────────────────────────────────────────────


def said(text: str) -> Message:
    return Message(role="user", blocks=(Text(text=text),))


@pytest.mark.parametrize(
    ("goal", "calls"),
    [
        ("Ana cannot log in (ticket 1)", [("read_ticket", {"ticket": 1})]),
        ("please resolve Ticket #42 within 3 days", [("read_ticket", {"ticket": 42})]),
        ("tickets 5 and 6", [("read_ticket", {"ticket": 5})]),
        ("clean up the queue", [("next_ticket", {})]),
    ],
)
def test_the_script_begins_with_the_ticket_of_the_goal(goal: str, calls: list[tuple[str, dict[str, Any]]]) -> None:
    assert [(call["name"], call["input"]) for call in turn(1, (said(goal),))["tools"]] == calls


def test_the_script_ends_when_there_is_no_such_ticket() -> None:
    messages = (
        said("ticket 9"),
        Message(role="assistant", blocks=(ToolCall(call_id="1.0", name="read_ticket", input={"ticket": 9}),)),
        Message(role="user", blocks=(ToolResult(call_id="1.0", text="there is no ticket 9", is_error=True),)),
    )
    assert turn(2, messages) == {"text": "I could not read ticket 9: there is no ticket 9"}


# ── whole runs ──────────────────────────────────────────────────────────────────────────────────────────────────────

TOLD = [
    "read_ticket", "search_kb", "ticket_requester", "open_ticket", "reset_password", "assign_licence", "add_comment",
    "close_ticket",
]  # fmt: skip


async def tools_called(stanchion: Stanchion, run_id: str) -> list[str]:
    return [
        row["tool"] for row in await stanchion.rows("SELECT tool FROM calls WHERE run_id = $1 ORDER BY seq", run_id)
    ]


async def test_an_approved_reset_resolves_the_ticket_and_the_service_agrees(
    it_support: Stanchion, accounts: AccountsProcess
) -> None:
    handle = await it_support.start("it-support", "Ana cannot log in (ticket 1)", requester="ana@acme.example")
    asked = await it_support.approval(handle)
    assert asked["tool"] == "reset_password"
    assert (await accounts.witness())["effects"] == 0
    await it_support.decide(handle, "approve")
    outcome = await it_support.outcome(handle)
    assert outcome["status"] == "completed", outcome
    assert await tools_called(it_support, handle.id) == TOLD
    told = await accounts.witness()
    assert told["by_tool"] == {"reset_password": 1, "assign_licence": 1}
    assert told["repeats"] == 0
    assert sorted(told["keys"]) == await settled_on_the_service(it_support)
    ticket = await tools.read_ticket(context(desk_dsn=it_support.database_url), ticket=1)
    assert ticket.status == "closed"
    assert "ACC-0001" in ticket.comments[0].text
    assert "follows up" in outcome["answer"]


async def test_a_rejected_reset_is_said_in_the_ticket_which_stays_open(
    it_support: Stanchion, accounts: AccountsProcess
) -> None:
    handle = await it_support.start("it-support", "Work on ticket 4, please")
    await it_support.decide(handle, "reject", reason="call her back first")
    outcome = await it_support.outcome(handle)
    assert outcome["status"] == "completed", outcome
    assert "call her back first" in outcome["answer"]
    assert (await accounts.witness())["effects"] == 0 == len(await settled_on_the_service(it_support))
    ticket = await tools.read_ticket(context(desk_dsn=it_support.database_url), ticket=4)
    assert ticket.status == "open"
    assert "was not reset" in ticket.comments[0].text


async def test_the_account_comes_from_the_desk_and_not_from_what_the_ticket_says(it_support: Stanchion) -> None:
    handle = await it_support.start("it-support", "Work on ticket 4, please")
    await it_support.approval(handle)
    arguments = await it_support.value(
        "SELECT arguments FROM calls WHERE run_id = $1 AND tool = 'reset_password'", handle.id
    )
    assert json.loads(arguments) == {"account": "jonas@acme.example"}  # its text demands dana@acme.example
    await it_support.decide(handle, "reject")
    await it_support.outcome(handle)


async def test_a_requester_without_an_account_is_told_so(it_support: Stanchion, accounts: AccountsProcess) -> None:
    handle = await it_support.start("it-support", "ticket 6")
    await it_support.decide(handle, "approve")
    assert "there is no account 'former.intern@acme.example'" in (await it_support.outcome(handle))["answer"]
    assert (await accounts.witness())["effects"] == 0


async def test_a_goal_without_a_ticket_takes_the_oldest_and_a_closed_one_is_opened_again(
    it_support: Stanchion, accounts: AccountsProcess
) -> None:
    first = await it_support.start("it-support", "Clean up the queue")
    await it_support.decide(first, "approve")
    assert "Ticket 1 " in (await it_support.outcome(first))["answer"]
    again = await it_support.start("it-support", "Ticket 1 once more")
    await it_support.decide(again, "approve")
    assert "Ticket 1 " in (await it_support.outcome(again))["answer"]
    assert "reopen_ticket" in await tools_called(it_support, again.id)
    assert (await accounts.witness())["effects"] == 4


async def test_a_run_that_only_observes_changes_nothing(it_support: Stanchion, accounts: AccountsProcess) -> None:
    outcome = await it_support.run("it-support", "ticket 2", mode="observe")
    assert outcome["status"] == "completed", outcome
    assert (await accounts.witness())["effects"] == 0
    assert await it_support.value("SELECT count(*) FROM it_support.changes") == 0
