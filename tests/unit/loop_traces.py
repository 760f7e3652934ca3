"""Traces of runs: what a model called and what it was answered, and how far the loop governor goes against it.

`passes`: nothing is said. Else three numbers, counted in calls from 1: the model is told after call `noted`, the first
call refused is `refused`, and the run pauses after call `paused`; None where that does not happen within the trace.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from activities.gateway.execution.novelty import digest_of, says_nothing
from activities.storage.canonical import sha256_hex
from tests.harness.values import EPOCH
from workflows.contracts.budgets import Budget
from workflows.contracts.events import CallFinished
from workflows.contracts.messages import MessageReceived, ResumeOrdered
from workflows.contracts.model import Plan, PlannedCall
from workflows.contracts.runs import RunOpened
from workflows.governance import Intervene, govern, notes_for, refusal_of
from workflows.similarity import significant_arguments, sketch_of
from workflows.state import RunState
from workflows.transitions import apply

ENOUGH = Budget(usd_micros=10**9, tokens=10**9, tool_calls=10**6, minutes=10**6, steps=10**6)


@dataclass(frozen=True)
class Call:
    """One call and its answer. `error`: the tool fails; `mistake`: it is not even a call."""

    tool: str
    arguments: dict[str, Any]
    answer: str = "ok"
    writes: bool = False
    error: bool = False
    mistake: bool = False


class Message(NamedTuple):
    """A person speaks to the run."""

    text: str


class Resume(NamedTuple):
    """A person lets the run go on."""

    by: str


Happening = Call | list[Call] | Message | Resume  # a list: calls of one step, side by side


class Expected(NamedTuple):
    """How far it goes."""

    noted: int | None = None
    refused: int | None = None
    paused: int | None = None


PASSES = Expected()


@dataclass
class Player:
    """Plays a trace through the state of a run, as the loop of the workflow does."""

    state: RunState = field(
        default_factory=lambda: RunState(
            run_id="r",
            opened=RunOpened(agent_version="v", policy_version="p", mode="tiered", budget=ENOUGH, next_seq=1),
        )
    )
    calls: int = 0
    rules: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    largest: int = 0  # bytes of the memory, as JSON
    answers: set[str] = field(default_factory=set)
    noted: int | None = None
    refused: int | None = None
    paused: int | None = None

    def play(self, trace: Iterable[Happening]) -> Expected:
        """What becomes of it. A paused run goes on only by a person."""
        for happening in trace:
            match happening:
                case Message(text=text):
                    self.state = apply(self.state, MessageReceived(text=text))
                case Resume(by=by):
                    self.state = apply(self.state, ResumeOrdered(by=by))
                case Call() | list() if self.state.pause is None:
                    self._step([happening] if isinstance(happening, Call) else happening)
        return Expected(self.noted, self.refused, self.paused)

    def _step(self, calls: list[Call]) -> None:
        if notes := notes_for(self.state):
            self.notes += notes
        planned = tuple(planned_call(call, f"{self.state.step + 1}.{n}", n) for n, call in enumerate(calls))
        self.state = apply(self.state, Plan(calls=planned, next_seq=1))
        together = [refusal_of(self.state, plan) for plan in planned]
        for index, (call, plan) in enumerate(zip(calls, planned, strict=True)):
            self.calls += 1
            refusal = refusal_of(self.state, plan) if call.writes else together[index]
            if refusal:
                self.rules.append(refusal.rule)
                self.refused = self.refused or self.calls
            self.state = apply(self.state, self._finished(call, plan, refused=refusal is not None))
            self.largest = max(self.largest, len(self.state.loops.model_dump_json()))
            if notes_for(self.state):
                self.noted = self.noted or self.calls
        verdict = govern(self.state, EPOCH)
        if isinstance(verdict, Intervene):
            self.rules.append(str(verdict.order.reason))
            self.paused = self.paused or self.calls
            self.state = apply(self.state, verdict.order)

    def _finished(self, call: Call, plan: PlannedCall, *, refused: bool) -> CallFinished:
        if refused or call.mistake:
            return CallFinished(call_id=plan.call_id, performed=False, correctable=not refused)
        new = not call.error and not says_nothing(call.answer) and call.answer not in self.answers
        self.answers.add(call.answer)
        return CallFinished(call_id=plan.call_id, is_error=call.error, result=digest_of(call.answer), new=new)


def planned_call(call: Call, call_id: str, seq: int) -> PlannedCall:
    """The call as `model.plan` describes it."""
    sketch = sketch_of(call.arguments, reads=not call.writes)
    return PlannedCall(
        call_id=call_id,
        seq=seq,
        tool=call.tool,
        digest=sha256_hex([call.tool, significant_arguments(call.arguments), None])[:16],
        parallel=not call.writes,
        sketch=sketch.bits,
        shape=sketch.shape,
    )


def read(tool: str, answer: str = "ok", /, **arguments: Any) -> Call:
    """A call that only reads."""
    return Call(tool, arguments, answer)


def write(tool: str, answer: str = "ok", /, **arguments: Any) -> Call:
    """A call that changes something."""
    return Call(tool, arguments, answer, writes=True)


def fails(tool: str, answer: str = "timed out", /, **arguments: Any) -> Call:
    """A read that the tool answers with an error."""
    return Call(tool, arguments, answer, error=True)


def wrong(tool: str, /, **arguments: Any) -> Call:
    """A call that does not fit its tool."""
    return Call(tool, arguments, mistake=True)


def search(*queries: str, answer: str = "[]") -> list[Call]:
    """Searches, one a step, all with one answer."""
    return [read("search", answer, query=query) for query in queries]


WAIT = Call("wait", {"minutes": 5}, "The wait is over; it is 2026-01-01 12:00 UTC.", writes=True)
POLL = read("job_status", "running", job="export-17")
STATUS = read("status", "running", job="export-17")
TESTS = write("run_tests", "1 failed: test_login")


def numbered(count: int, call: str, *, answer: str = "ok {n}", writes: bool = False, **arguments: str) -> list[Call]:
    """A row of calls whose arguments and answers may have the number in them."""
    return [
        Call(call, {key: value.format(n=n) for key, value in arguments.items()}, answer.format(n=n), writes=writes)
        for n in range(1, count + 1)
    ]


def token(n: int) -> str:
    """Something as random as a model makes it up for an attempt."""
    return sha256_hex([n])[:32]


def pages(count: int, *, key: str = "page", answer: str = "items of page {n}") -> list[Call]:
    """Pages of one list."""
    return [read("list_orders", answer.format(n=n), **{key: n}) for n in range(1, count + 1)]


def rewordings() -> Iterator[Call]:
    """The same question nine times, never in the same words twice."""
    words = ["reset password", "password reset", "resetting passwords", "reset the password", "how to reset passwords"]
    words += ["please reset my password", "Password reset again", "passwords: how do I reset", "resets of the password"]
    return iter(search(*words))


TRACES: dict[str, tuple[list[Happening], Expected]] = {
    # ── legitimate: nothing is said ─────────────────────────────────────────────────────────────────────────────────
    "one call": ([POLL], PASSES),
    "pages, each with its own items": ([*pages(30)], PASSES),
    "pages by offset": ([read("list_orders", f"from {n}", offset=n * 50) for n in range(40)], PASSES),
    "pages by cursor": ([*numbered(30, "list_orders", cursor="eyJwIjo{n}fQ", answer="items {n}")], PASSES),
    "pages, the last two of them empty": (
        [*pages(6), read("list_orders", "[]", page=7), read("list_orders", "[]", page=8)],
        PASSES,
    ),
    "pages read side by side": ([pages(12)], PASSES),
    "a poll with wait between": ([step for _ in range(20) for step in (POLL, WAIT)], PASSES),
    "a poll in twos with wait between": ([step for _ in range(10) for step in (POLL, STATUS, WAIT)], PASSES),
    "a batch of writes that all say ok": (
        [*numbered(40, "close_ticket", ticket="T-{n:0>4}", answer="ok", writes=True)],
        PASSES,
    ),
    "a batch of writes by small number": ([write("close_ticket", ticket=n) for n in range(1, 41)], PASSES),
    "a batch of mails with one text": (
        [write("send", "sent", to=f"{who}@acme.example", text="Your ticket moved.") for who in "abcdefghijkl"],
        PASSES,
    ),
    "a batch of mails with names in them": (
        [
            write("send", "sent", to=f"{w}@acme.example", text=f"Hello {w}, your ticket moved.")
            for w in ("bo", "ana", "lee", "kim", "max")
        ],
        PASSES,
    ),
    "a batch of reads with different answers": ([*numbered(40, "stock", sku="SKU-{n}", answer="{n} pieces")], PASSES),
    "ten items that all answer alike": ([*numbered(10, "stock", sku="SKU-{n}", answer="in stock")], PASSES),
    "ten people without orders": (
        [
            read("orders_of", "[]", customer=f"{first} {last}")
            for first in ("Bo", "Ana", "Lee", "Kim", "Max")
            for last in ("Miller", "Stone")
        ],
        PASSES,
    ),
    "read and write through a list": (
        [step for n in range(20) for step in (read("ticket", f"text {n}", id=f"T-{n}"), write("close", id=f"T-{n}"))],
        PASSES,
    ),
    "look after each action": (
        [step for n in range(15) for step in (read("screen", f"screen {n % 2}"), write("click", target=f"button-{n}"))],
        PASSES,
    ),
    "the tests after each edit": (
        [step for n in range(8) for step in (write("edit", file="a.py", line=n, text=f"x = {n}"), TESTS)],
        PASSES,
    ),
    "two retries after an error that passes": (
        [
            fails("fetch", url="https://a.example"),
            fails("fetch", url="https://a.example"),
            read("fetch", "page", url="https://a.example"),
        ],
        PASSES,
    ),
    "one retry at each of many items": (
        [step for n in range(10) for step in (fails("fetch", url=f"u/{n}"), read("fetch", f"page {n}", url=f"u/{n}"))],
        PASSES,
    ),
    "two wordings of one search": (search("reset password", "password reset"), PASSES),
    "reworded searches with other answers": (
        [read("search", f"KB-{n}", query=call.arguments["query"]) for n, call in enumerate(rewordings())],
        PASSES,
    ),
    "two searches in vain, then one that finds": (
        [*search("reset password", "printer jam"), read("search", "KB-1", query="vpn error")],
        PASSES,
    ),
    "other questions, other answers": (
        [*numbered(30, "ask", question="what is thing-{n} made of", answer="of stuff {n}")],
        PASSES,
    ),
    "unlike searches side by side": ([search("how is mail set up", "who owns the printer")], PASSES),
    "a query that is mended from error to error": (
        [fails("sql", f"no column c{n}", query=f"select c{n} from orders where paid") for n in range(2)]
        + [read("sql", "3 rows", query="select id from orders where paid")],
        PASSES,
    ),
    "a draft that is written again after each review": (
        [
            step
            for n in range(6)
            for step in (
                write("save", "saved", path="a.md", text=f"The plan is good and complete, part {n}."),
                read("review", f"remark {n}", path="a.md", round=n),
            )
        ],
        PASSES,
    ),
    "a call again after a person spoke": ([POLL, Message("it is done now"), POLL], PASSES),
    "three reads side by side": ([[read("a", "1"), read("b", "2"), read("c", "3")]], PASSES),
    "a queue that is drained and worked on": (
        [step for n in range(12) for step in (read("next_job", f"job-{n}"), write("do_job", id=f"job-{n}"))],
        PASSES,
    ),
    "one edit to each of many files": (
        [*numbered(40, "edit", path="src/m{n}.py", old="from old import it", new="from new import it", writes=True)],
        PASSES,
    ),
    "read and edit many files": (
        [
            step
            for n in range(30)
            for step in (
                read("read_file", f"from old import it  # {n}", path=f"src/m{n}.py"),
                write("edit", "saved", path=f"src/m{n}.py", old="from old import it", new="from new import it"),
            )
        ],
        PASSES,
    ),
    "the same edit at many lines of one file": (
        [*numbered(20, "edit", path="a.py", line="{n}", text="    assert it is not None", writes=True)],
        PASSES,
    ),
    "check and mark forty items": (
        [step for n in range(40) for step in (read("check", "fine", id=f"I-{n}"), write("mark", id=f"I-{n}"))],
        PASSES,
    ),
    "pages by cursor, most of them filtered empty": (
        [read("list_orders", "[]" if n % 4 else f"items {n}", cursor=token(n)) for n in range(40)],
        PASSES,
    ),
    "one comment on many tickets": (
        [write("add_comment", "added", ticket=n, text="Closed as part of the clean-up.") for n in range(40)],
        PASSES,
    ),
    "a day of sales after the other": (
        [read("sales", f"{n * 7} pieces", day=f"2026-01-{n:02d}") for n in range(1, 29)],
        PASSES,
    ),
    "a few patterns that are found nowhere": (
        [read("grep", "[]", pattern=word) for word in ("TODO", "FIXME", "XXX", "HACK", "BUG")],
        PASSES,
    ),
    "words that look alike, each with its own answer": (
        [read("define", f"that is {w}", word=w) for w in ("print", "prints", "printed", "printing", "printer")],
        PASSES,
    ),
    "calls that have nothing but a token": ([read("next_token", f"t-{n}", nonce=token(n)) for n in range(20)], PASSES),
    # ── legitimate, and told of at most ─────────────────────────────────────────────────────────────────────────────
    "next, until the last of five pages": (
        [step for n in range(5) for step in (write("click", button="next"), read("screen", f"page {n}"))],
        Expected(3, None, None),
    ),
    "forty items of which one now and then differs": (
        [read("stock", "0 pieces" if n % 15 else f"{n} pieces", sku=f"SKU-{n}") for n in range(40)],
        Expected(13, None, None),
    ),
    # ── loops ───────────────────────────────────────────────────────────────────────────────────────────────────────
    "next without end": (
        [step for n in range(12) for step in (write("click", button="next"), read("screen", f"page {n}"))],
        Expected(3, 11, 13),
    ),
    "a restart that never helps, by a clock": (
        [
            step
            for n in range(10)
            for step in (write("restart", service="db"), read("status", f"failed at 12:00:{n:02d}", service="db"))
        ],
        Expected(3, 5, 8),
    ),
    "a restart that helps for a moment": (
        [
            step
            for n in range(10)
            for step in (write("restart", service="db"), read("status", ("starting", "failed")[n % 2], service="db"))
        ],
        Expected(3, 7, 8),
    ),
    "a payment again under another key": (
        [write("pay", "paid", to="bo@acme.example", cents=500, idempotency_key=token(n)) for n in range(9)],
        Expected(2, 3, 6),
    ),
    "a payment again under another key, each with its receipt": (
        [write("pay", f"receipt {n}", to="bo@acme.example", cents=500, nonce=token(n)) for n in range(12)],
        Expected(3, 6, 9),
    ),
    "two polls in turn, each with a token of its own": (
        [
            step
            for n in range(8)
            for step in (
                read("job", "running", id="x", nonce=token(n)),
                read("log", "nothing", id="x", nonce=token(-n)),
            )
        ],
        Expected(3, 5, 8),
    ),
    "one word in all its endings": (
        search("print", "prints", "printed", "printing", "prints", "Print", "printings", "PRINTED", "printed"),
        Expected(4, 8, None),
    ),
    "single words, never an answer": (
        search(*"vpn mail printer laptop door lunch parking phone badge screen keyboard mouse dock".split()),
        Expected(12, None, None),
    ),
    "a threshold that creeps": (
        [read("search_logs", "[]", query="errors", above=f"0.{500 + n}") for n in range(30)],
        Expected(12, None, 24),
    ),
    "a time span that creeps": (
        [read("search_logs", "[]", query="errors", since=f"2026-01-01T12:{n:02d}:00Z") for n in range(30)],
        Expected(12, None, 24),
    ),
    "a text that grows": (
        [write("save", "saved", path="a.md", text="The plan is good. " * (n + 1)) for n in range(12)],
        Expected(3, 5, 8),
    ),
    "errors that differ by their time": (
        [fails("fetch", f"timed out at 2026-01-01T12:00:{n:02d}Z", url="https://a.example") for n in range(8)],
        Expected(3, 4, 6),
    ),
    "a write that fails, with talk between": (
        [
            step
            for n in range(8)
            for step in (
                Call("deploy", {"to": "prod"}, f"error {n}", True, True),
                read("think", f"thought {n}", n=f"t-{n}"),
            )
        ],
        Expected(5, 7, 11),
    ),
    "two jobs polled in turn, in percent": (
        [read("job_status", f"{n} %", job=f"j-{n % 2}") for n in range(24)],
        Expected(5, 11, 12),
    ),
    "one page in other sizes": (
        [read("search", "KB-1", query="reset password", limit=10 * n) for n in range(1, 15)],
        Expected(4, 8, 12),
    ),
    "is it done yet": ([POLL] * 9, Expected(2, 3, 6)),
    "is it done yet, by a clock": (
        [read("job_status", f"running, 12:00:{n:02d}", job="export-17") for n in range(9)],
        Expected(2, 3, 6),
    ),
    "is it done yet, in percent": (
        [read("job_status", f"{n} % done", job="export-17") for n in range(12)],
        Expected(3, 6, 9),
    ),
    "is it done yet, with an attempt": (
        [read("job_status", "running", job="export-17", attempt=n) for n in range(1, 15)],
        Expected(4, 8, 12),
    ),
    "the same write again": ([write("note", "noted", text="a")] * 9, Expected(2, 3, 6)),
    "the same write three times in one step": ([[write("note", "noted", text="a")] * 3], Expected(2, 3, None)),
    "the same read four times in one step": ([[POLL] * 4], Expected(2, 3, None)),
    "the same call with talk between": (
        [step for n in range(5) for step in (POLL, read("think", f"thought {n}", n=f"t-{n}"))],
        Expected(3, 5, None),
    ),
    "a third retry": ([fails("fetch", url="https://a.example")] * 8, Expected(3, 4, 6)),
    "a search in other words": ([*rewordings()], Expected(3, 5, 8)),
    "a search in other words, always the same hit": (
        [read("search", "KB-1: reset", query=call.arguments["query"]) for call in rewordings()],
        Expected(3, 5, 8),
    ),
    "the same mail in other words": (
        [
            write("send", "sent", to="bo@acme.example", text=text)
            for text in (
                "Hello, your ticket moved.",
                "hello! your ticket has moved",
                "Your ticket moved, hello",
                "hello: the ticket moved",
                "Hello again, your ticket moved",
                "hello, tickets moved",
                "Hello! The ticket was moved.",
                "hello, it is your ticket that moved",
            )
        ],
        Expected(3, 5, 8),
    ),
    "five wordings side by side, in vain": ([list(rewordings())[:5]], Expected(3, None, None)),
    "other questions, never an answer": (
        search(
            "reset password",
            "printer jam",
            "vpn error",
            "new laptop order",
            "holiday calendar",
            "mail is slow",
            "door code",
            "lunch menu",
            "parking permit",
        ),
        Expected(3, 6, 9),
    ),
    "empty pages without end": ([*pages(2), *pages(30, answer="[]")[2:]], Expected(6, 10, 14)),
    "a round of two": ([POLL, read("log", "nothing")] * 6, Expected(3, 5, 8)),
    "a round of two writes": ([write("on", id="x"), write("off", id="x")] * 5, Expected(4, 5, 8)),
    "a round of three": ([write("on", id="x"), write("off", id="x"), write("test", id="x")] * 5, Expected(6, 7, 12)),
    "a round of four: edit, test, undo, test": (
        [write("edit", text="a"), TESTS, write("edit", text="b"), TESTS] * 5,
        Expected(6, 8, 14),
    ),
    "a round of five": ([write(f"tool_{n}", id="x") for n in range(5)] * 5, Expected(10, 11, 20)),
    "all tools are down": ([fails("fetch", url=f"https://a.example/{n}") for n in range(12)], Expected(3, None, 8)),
    "calls that are none": ([wrong(f"invented_{n}") for n in range(8)], Expected(3, None, 5)),
    "calls that do not fit": ([wrong("note", wat=f"value-{n}") for n in range(8)], Expected(3, None, 5)),
    "a long batch that all answers alike": (
        [*numbered(40, "stock", sku="SKU-{n}", answer="0 pieces")],
        Expected(13, None, 25),
    ),
    "a queue that is only drained": ([read("next_job", f"job-{n}") for n in range(12)], Expected(3, 6, 9)),
    "the same again after a person let it go on": ([*[POLL] * 6, Resume("lee"), *[POLL] * 6], Expected(2, 3, 6)),
    "ten fetches side by side that all fail": (
        [[fails("fetch", url=f"u/{n}") for n in range(10)]],
        Expected(3, None, None),
    ),
    "twice ten fetches side by side that all fail": (
        [[fails("fetch", url=f"u/{n}") for n in range(10)]] * 2,
        Expected(3, None, 20),
    ),
}
