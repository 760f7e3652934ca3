"""What an attacker wrote never comes back as our own words: not through failures, pages, cuts or trusted registries.

Each run has read an attacker's page, and then tries to write to whom only the attacker, or the model itself, named.
"""

from typing import Any

import pytest

from activities.errors import clip
from activities.gateway.execution import results
from activities.gateway.execution.results import ERROR_LIMIT, SHOWN_LIMIT, as_evidence, from_error, from_value, page_of
from activities.policy.values.provenance import Evidence, Passage, trace
from tests.activities.launderers import EVE
from tests.harness.door import Call, Door
from tests.harness.outcomes import failed
from workflows.contracts.calls import CallResult, NeedsApproval, Observed, Refused

MODULE = "tests.activities.launderers"
GRANTS: dict[str, Any] = {"mail": {"to": {"domains": ["acme.example", "evil.example"]}, "text": {"max_length": 500}}}
GOAL = "Read the page and tell bo@acme.example about it. Bo Berg knows more."


class Run:
    """A run of an agent with some of these tools."""

    def __init__(self, door: Door, run_id: str) -> None:
        self.door = door
        self.run_id = run_id

    @classmethod
    async def open(cls, door: Door, *tools: str, **more: Any) -> "Run":
        grants = GRANTS | {tool: {} for tool in tools if tool in ("address_of", "remote_trusted", "remote_untrusted")}
        agent = await door.publish("page", "mail", *tools, module=MODULE, **({"grants": grants} | more))
        return cls(door, await door.open(agent, GOAL))

    async def does(self, tool: str, **arguments: Any) -> CallResult:
        self.call: Call = (await self.door.plan(self.run_id, (tool, arguments)))[0]
        return await self.door.call(self.call)

    async def mails(self, to: str) -> bool:
        answer = await self.does("mail", to=to)
        assert isinstance(answer, Observed | Refused | NeedsApproval)
        assert self.call.happened == isinstance(answer, Observed)
        return isinstance(answer, Observed)

    async def result(self) -> Any:
        rows = await self.door.rows(
            "SELECT t.origin, t.suspect, coalesce(t.content::text, b.text) AS text FROM transcript t"
            " LEFT JOIN blobs b ON b.digest = t.blob WHERE t.run_id = $1 AND t.call_id = $2 AND t.kind = 'result'",
            self.run_id,
            self.call.call_id,
        )
        return rows[0]


# ── failures ────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("tool", ["stock", "remote_untrusted"])
async def test_what_an_untrusted_tool_failed_with_is_untrusted(door: Door, tool: str) -> None:
    run = await Run.open(door, tool)
    assert failed(await run.does(tool))
    read = await run.result()
    assert (read["origin"], EVE in read["text"]) == ("untrusted", True)
    answer = await run.does("mail", to=EVE)
    assert isinstance(answer, Refused) and run.call.happened == 0
    assert await tainted(door, run) is True


async def tainted(door: Door, run: Run) -> bool:
    """Whether the approval that is asked for now says so."""
    return bool(
        await door.value(
            "SELECT tainted FROM approvals WHERE run_id = $1 AND call_id = $2", run.run_id, run.call.call_id
        )
    )


async def test_an_error_of_a_trusted_tool_is_no_evidence(door: Door) -> None:
    run = await Run.open(door, "remote_trusted")
    await run.does("remote_trusted")
    assert (await run.result())["origin"] == "trusted"
    assert not await run.mails(EVE)


async def test_a_result_of_the_wrong_type_makes_what_follows_a_question_though_it_is_our_own_tools(door: Door) -> None:
    run = await Run.open(door, "count")
    assert await run.mails("bo@acme.example")
    await run.does("count")
    assert (await run.result())["suspect"] == "count did not return what it declares"
    assert isinstance(await run.does("mail", to="bo@acme.example"), NeedsApproval)


# ── echoes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_the_model_asked_for_is_an_echo_on_the_second_page_too(door: Door) -> None:
    run = await Run.open(door, "find_order")
    await run.does("page")
    await run.does("find_order", number="x" * SHOWN_LIMIT + f" {EVE} y")
    await run.does("read_output", call_id=run.call.call_id, page=2)
    read = await run.result()
    assert (read["origin"], EVE in read["text"]) == ("trusted", True)
    assert not await run.mails(EVE)


async def test_what_a_trusted_tool_says_by_itself_counts_on_the_second_page(door: Door) -> None:
    run = await Run.open(door, "long_list")
    await run.does("page")
    await run.does("long_list")
    await run.does("read_output", call_id=run.call.call_id, page=2)
    assert await run.mails("zoe@acme.example")


async def test_a_suspect_result_is_suspect_on_its_second_page(door: Door) -> None:
    run = await Run.open(door, "doubtful_list")
    await run.does("doubtful_list")
    await run.does("read_output", call_id=run.call.call_id, page=2)
    assert (await run.result())["suspect"] == "it is too long"


# ── cuts ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("tool", ["find_order", "refuse_order"])
async def test_a_cut_makes_no_address_of_a_longer_one(door: Door, tool: str) -> None:
    limit = SHOWN_LIMIT if tool == "find_order" else ERROR_LIMIT
    run = await Run.open(door, tool)
    await run.does("page")
    filler = "x" * (limit - len("order ") - len(EVE) - 1 - (len("no ") if tool == "refuse_order" else 0))
    await run.does(tool, number=f"{filler} {EVE}ZZ")
    text = (await run.result())["text"]
    assert EVE in text and f"{EVE}Z" not in text
    assert not await run.mails(EVE)


VALUES: list[tuple[str, str | int, str]] = [
    ("recipient", EVE, EVE),
    ("host", "evil.example", "evil.example"),
    ("host", "evil.example", "https://evil.example/a"),
    ("url", "https://evil.example/a", "https://evil.example/a"),
    ("account", "EVIL-9999", "EVIL-9999"),
    ("account", "EVIL-9999", "account:EVIL-9999"),
    ("principal", "sam smith", "sam smith"),
    ("path", "/srv/evil", "/srv/evil"),
    ("amount", 471100, "4711.00"),
    ("amount", 471100, "4,711.00"),
]
AROUND = r" Z 9 .9 ,9 -Z .Z @Z /Z _Z 'Z \u0041 \u00 \ \n % a@".split(" ")


def origin(kind: str, value: str | int, text: str) -> str:
    """Where a value has its origin, if this trusted text is all there is."""
    [traced] = trace({"x": value}, {"x": kind}, Evidence((Passage(0, "trusted", as_evidence(text)),)))
    return traced.origin


SHORT = 60  # characters on a page of the tests below


@pytest.fixture
def short_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages and errors are short, so that many can be read."""
    monkeypatch.setattr(results, "SHOWN_LIMIT", SHORT)
    monkeypatch.setattr(results, "ERROR_LIMIT", SHORT)


def torn(text: str, at: int) -> dict[str, str]:
    """What is shown of a text where a cut of ours falls at a place in it."""
    before = "x " * ((SHORT - at) // 2) + " " * ((SHORT - at) % 2)
    whole = before + text + " z" * SHORT
    return {
        "the first page": from_value(whole, "trusted", "1.0").text,
        "a page between, at its end": page_of("y " * (SHORT // 2) + whole, 2),
        "a page between, at its beginning": page_of(whole, 2),
        "the last page": page_of(f"{before}{text} z", 2),
        "an error": from_error(whole).text,
        "a reason": clip(whole, SHORT),
    }


@pytest.mark.usefixtures("short_pages")
@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize(("kind", "value", "written"), VALUES)
def test_a_text_that_was_cut_names_nothing_that_it_did_not_name_before(
    kind: str, value: str | int, written: str, around: str
) -> None:
    for before in (around, around[::-1], "Z"):
        text = before + written + around
        if origin(kind, value, f"x {text} z") == "trusted":
            continue
        for at in range(len(text) + 1):
            wrong = [where for where, shown in torn(text, at).items() if origin(kind, value, shown) != "model"]
            assert not wrong, (text[:at], text[at:])


@pytest.mark.usefixtures("short_pages")
def test_the_test_above_finds_what_it_looks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "as_evidence", lambda text: text)
    for kind, value, written in VALUES:
        assert origin(kind, value, torn(f"Z {written}Z", len(written) + 2)["the first page"]) == "trusted"
        assert origin(kind, value, torn(f"Z{written} Z", 1)["the last page"]) == "trusted"


@pytest.mark.parametrize(("kind", "value", "written"), VALUES)
def test_what_stands_whole_on_a_page_is_named_there(kind: str, value: str | int, written: str) -> None:
    text = f"{'x' * SHOWN_LIMIT}x it is {written} so {'z' * 2 * SHOWN_LIMIT}"
    assert origin(kind, value, page_of(text, 2)) == "trusted"
    assert origin(kind, value, from_value(text[SHOWN_LIMIT:], "trusted", "1.0").text) == "trusted"


def test_what_ends_the_last_page_is_whole() -> None:
    assert origin("recipient", EVE, page_of("x" * SHOWN_LIMIT + f" {EVE}", 2)) == "trusted"


# ── keys ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_registry_that_was_asked_for_whom_an_attacker_named_does_not_vouch_for_the_answer(door: Door) -> None:
    run = await Run.open(door, "address_of")
    await run.does("page")
    await run.does("address_of", name="Mallory")
    read = await run.result()
    assert (read["origin"], "mallory@acme.example" in read["text"]) == ("untrusted", True)
    assert not await run.mails("mallory@acme.example")


async def test_a_registry_that_was_asked_for_whom_a_person_named_does_vouch_for_the_answer(door: Door) -> None:
    run = await Run.open(door, "address_of")
    await run.does("page")
    await run.does("address_of", name="Bo Berg")
    assert (await run.result())["origin"] == "trusted"


async def test_a_registry_that_was_asked_for_whom_the_model_invented_does_not_vouch_for_the_answer(door: Door) -> None:
    run = await Run.open(door, "address_of")
    await run.does("address_of", name="Carl Gustav")
    assert (await run.result())["origin"] == "untrusted"


async def test_a_registry_vouches_for_nothing_when_a_later_attempt_brings_its_answer(door: Door) -> None:
    async def dies(where: str) -> None:
        if where == "after-effect":
            raise RuntimeError("killed")

    run = await Run.open(door, "address_of")
    await run.does("page")
    [call] = await door.plan(run.run_id, ("address_of", {"name": "Mallory"}))
    with pytest.raises(RuntimeError, match="killed"):
        await door.another(dies).call(call)
    run.call = call
    assert isinstance(await door.another().call(call), Observed)
    assert (await run.result())["origin"] == "untrusted"


# ── what a run starts with ──────────────────────────────────────────────────────────────────────────────────────────


async def test_a_name_in_the_inputs_is_named_in_whatever_script(door: Door) -> None:
    grants = {"mail": {"to": {"origin": ["user"]}, "text": {"max_length": 500}}}
    agent = await door.publish("page", "mail", module=MODULE, grants=grants)
    run = Run(door, await door.open(agent, "Tell who is named.", inputs={"to": "bo@m\u00fcller.example"}))
    await run.does("page")
    assert await run.mails("bo@m\u00fcller.example")
    assert not await run.mails("bo@muller.example")
