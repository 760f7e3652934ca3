"""People for tests: registered, with keys of their own, and a letter box for the one-time codes they are sent."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from activities.identity.principals import Principals
from activities.identity.signatures import new_key, sign
from activities.identity.statements import decision_statement, message_statement
from activities.storage.database import Database
from activities.tools.context import ToolContext
from tests.harness.door import Call, Door
from workers.keys import Signer
from workflows.contracts.approvals import Decision, DecisionReceipt, RecordRequest
from workflows.contracts.calls import NeedsApproval, Observed
from workflows.contracts.messages import MessageReceived

DELIVER = f"{__name__}:deliver"
LETTERS: dict[str, list[tuple[str, str]]] = {}  # run -> (person, code), as they were delivered
UNREACHABLE: set[str] = set()  # runs whose codes cannot be delivered


async def deliver(ctx: ToolContext, person: str, code: str, what: str) -> None:
    """Bring a one-time code to a person."""
    if ctx.run_id in UNREACHABLE:
        raise ConnectionError("the mail server is away")
    LETTERS.setdefault(ctx.run_id, []).append((person, code))


def code_for(run_id: str) -> str:
    """The code that was delivered last in a run."""
    return LETTERS[run_id][-1][1]


def another_code(code: str) -> str:
    """A code that looks like this one and is not it."""
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}}"


@dataclass(frozen=True)
class Person:
    """Someone with a key; what they decide and say is signed with it."""

    name: str
    signer: Signer = field(default_factory=lambda: Signer.of(new_key()))

    def decision(self, approval_id: str, digest: str | None, verdict: Any = "approve", **more: Any) -> dict[str, Any]:
        """A signed decision, as it is sent. `at`: when it is signed, if not now."""
        at = more.pop("at", None) or datetime.now(UTC)
        fields = {"approval_id": approval_id, "digest": digest, "verdict": verdict, "by": self.name, **more}
        dated = Decision.model_validate({**fields, "key": self.signer.key_id, "at": at})
        signature = sign(self.signer.private, decision_statement(dated))
        return dated.model_copy(update={"signature": signature}).model_dump(mode="json")

    def message(self, run_id: str, text: str = "I mean it.", **more: Any) -> dict[str, Any]:
        """A signed message to a run, as it is sent."""
        said = MessageReceived(
            text=text, **{"by": self.name, "key": self.signer.key_id, "at": datetime.now(UTC)} | more
        )
        signature = sign(self.signer.private, message_statement(run_id, said))
        return said.model_copy(update={"signature": signature}).model_dump(mode="json")


@dataclass(frozen=True)
class People:
    """Who is registered in a test's database."""

    principals: Principals

    @classmethod
    def of(cls, database: Database) -> "People":
        """Those of a database."""
        return cls(Principals(database))

    async def add(self, name: str, *roles: str, tenant: str = "acme") -> Person:
        """Someone who is registered, with a key that is."""
        person = Person(name)
        await self.principals.add(tenant, name, roles, None, "test")
        await self.principals.add_key(person.signer.public, "person", tenant, name, "test")
        return person

    async def surface(self, tenant: str = "acme") -> Signer:
        """A registered surface's key."""
        signer = Signer.of(new_key())
        await self.principals.add_key(signer.public, "surface", tenant, None, "test")
        return signer


@dataclass
class Desk:
    """One call that asks, and people who answer it through the product's own activity."""

    door: Door
    people: People
    call: Call
    asked: NeedsApproval

    @classmethod
    async def open(
        cls, door: Door, tool: str, arguments: dict[str, Any], requester: str = "ana@acme.example", **rule: Any
    ) -> "Desk":
        """The only call of a new run, about which that rule has people asked."""
        agent = await door.publish("send", "pay", approvals={"deliver": DELIVER, "tools": {tool: rule}})
        call = await door.one(agent, tool, request={"requester": requester}, **arguments)
        return cls(door, People.of(door.parts.database), call, await door.asked(call))

    async def anew(self, call: Call | None = None) -> "Desk":
        """What is asked now about this call, or about another of the same run."""
        return Desk(self.door, self.people, call or self.call, await self.door.asked(call or self.call))

    async def send(self, decision: dict[str, Any], run_id: str = "") -> DecisionReceipt:
        """Record a decision."""
        request = RecordRequest(run_id=run_id or self.call.run_id, decision=Decision.model_validate(decision))
        return await self.door.parts.approvals.record(request)

    async def says(self, person: Person, verdict: str = "approve", **more: Any) -> DecisionReceipt:
        """A person's signed answer to the call as it is shown."""
        return await self.send(person.decision(self.asked.approval_id, await self.shown("digest"), verdict, **more))

    async def shown(self, column: str) -> Any:
        """A column of the approval."""
        return await self.door.value(f"SELECT {column} FROM approvals WHERE approval_id = $1", self.asked.approval_id)

    async def set(self, change: str) -> None:
        """Change the approval's row."""
        await self.door.execute(f"UPDATE approvals SET {change} WHERE approval_id = '{self.asked.approval_id}'")

    async def decisions(self) -> int:
        """How many decisions are stored."""
        return int(await self.door.value("SELECT count(*) FROM decisions"))

    async def performed(self) -> bool:
        """Whether the next attempt performs the call. Nothing is performed twice."""
        answer = await self.door.call(self.call)
        assert self.call.happened == (1 if isinstance(answer, Observed) else 0), answer
        return isinstance(answer, Observed)

    async def refuses(self, receipt: DecisionReceipt) -> str:
        """The reason of a refusal that left the question as it was."""
        reason = refusal(receipt)
        assert (await self.shown("state"), await self.decisions(), await self.performed()) == ("open", 0, False)
        return reason


def refusal(receipt: DecisionReceipt | dict[str, Any]) -> str:
    """Why a decision did not count."""
    read = DecisionReceipt.model_validate(receipt)
    assert read.answer != "accepted", read
    assert read.reason, read
    return read.reason
