"""What the benchmark `policy` decides about: an agent with grants, three policies, and runs of some length."""

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from activities.agents.definition import AgentDefinition
from activities.agents.versions import AgentVersion, resolve
from activities.gateway.evaluation.checks import Candidate, PolicyContext
from activities.gateway.evaluation.evidence import EvidenceReader
from activities.model.provider import Text, ToolCall, ToolResult
from activities.policy.cedar.policy import load
from activities.policy.cedar.store import DEFAULT, Effective
from activities.rehearsal.cases import as_planned
from activities.storage.canonical import canonical_json
from activities.storage.transcript import Row, Transcripts
from activities.tools import Idempotent, ToolContext, tool
from activities.tools.registry import find_tool

PAGE = 4_096  # characters
TEAM = tuple(f"member{number}@acme.example" for number in range(12))
SQL = (
    "SELECT o.id, o.total, c.name FROM shop.orders AS o LEFT JOIN shop.customers AS c ON c.id = o.customer"
    " WHERE o.state IN ('open', 'late') AND o.total > 1000 AND c.id = (SELECT max(id) FROM shop.customers)"
    " GROUP BY o.id, o.total, c.name ORDER BY o.total DESC LIMIT 100"
)
GOAL = (
    f"Look through the tickets, mail the minutes to ana@acme.example and write them into ticket 4711. Then run: {SQL}"
    f" and report it to {', '.join(TEAM)}; the minutes are at https://wiki.acme.example/minutes."
)
GRANTS = {
    "look": {},
    "send_mail": {
        "to": {"domains": ["acme.example"]},
        "subject": {"max_length": 200},
        "text": {"max_length": 5_000},
        "per_day": 100,
    },
    "report": [
        {"to": {"domains": ["other.example"]}},
        {
            "sql": {"tables": ["shop.orders", "shop.customers"], "origin": ["user"]},
            "to": {"domains": ["*.acme.example", "acme.example"], "max_items": 20},
            "text": {"max_length": 5_000},
        },
    ],
}
TENANT = """
@id("working-mode") @ask
forbid (principal, action, resource) when { context.effect == "money" && context.suspect };
@id("inside")
forbid (principal, action == Action::"send_mail", resource) when { !(context.arguments.to like "*@acme.example") };
permit (principal, action, resource);
"""
AGENT = """
@id("people-name-recipients")
forbid (principal, action, resource) when { context.origins has to && context.origins.to == "untrusted" };
permit (principal, action, resource);
"""


@tool(effect="read", output="untrusted")
async def look(ctx: ToolContext, ticket: int) -> str:
    """A ticket, as its author wrote it."""
    return ""


@tool(effect="send", contract=Idempotent(), sensitive={"to": "recipient"})
async def send_mail(ctx: ToolContext, to: str, subject: str, text: str) -> str:
    """Send a mail."""
    return "sent"


@tool(effect="send", contract=Idempotent(), sensitive={"to": "recipient", "sql": "sql"})
async def report(ctx: ToolContext, sql: str, to: list[str], text: str) -> str:
    """Run a query and mail what it returns."""
    return "sent"


MAIL = {"to": "ana@acme.example", "subject": "Minutes", "text": "Here they are: https://wiki.acme.example/minutes."}
REPORT = {"sql": SQL, "to": list(TEAM), "text": "Dear all,\n" + "the orders of this week are attached. " * 60}


@dataclass(frozen=True)
class Decision:
    """A call to be decided about, and all it is judged by."""

    call: Candidate
    around: PolicyContext


class Read(Transcripts):
    """A transcript that was never stored."""

    def __init__(self, rows: list[Row]) -> None:
        self._rows = rows

    async def read(self, run_id: str, upto_seq: int) -> list[Row]:
        """The first rows."""
        return self._rows[:upto_seq]


def agent() -> AgentVersion:
    """The agent."""
    definition = {
        "name": "desk",
        "instructions": "Help.",
        "model": "scripted:none:none",
        "tools": [{"module": __name__, "use": ["look", "send_mail", "report"]}],
        "grants": GRANTS,
        "policy": AGENT,
    }
    return resolve(AgentDefinition.model_validate(definition), ".")


def policies() -> Effective:
    """The platform's and the tenant's."""
    platform = load(DEFAULT.read_text(encoding="utf-8"), version="platform", scope="*")
    return Effective("both", (platform, load(TENANT, version="tenant", scope="acme")))


def transcript(pages: int) -> list[Row]:
    """A goal, and then reads of that many pages: every other one by somebody else."""
    chosen = random.Random(pages)  # noqa: S311 - filler, the same at every measurement
    words = ["".join(chosen.choices("abcdefghijklmnopqrstuvwxyz", k=chosen.randint(2, 9))) for _ in range(5_000)]
    rows = [Row(0, "goal", "user", None, (Text(text=GOAL),))]
    for number in range(pages):
        seq, call_id = len(rows), f"{number}.0"
        call = ToolCall(call_id=call_id, name="look", input={"ticket": number})
        rows.append(Row(seq, "response", "model", None, (call,)))
        result = ToolResult(call_id=call_id, text=_page(chosen, words))
        rows.append(Row(seq + 1, "result", "trusted" if number % 2 else "untrusted", call_id, (result,)))
    return rows


def _page(chosen: random.Random, words: list[str]) -> str:
    """Text as tickets have it: one word in thirty is a number, an address of the same company, or a link."""
    found, size = [], 0
    while size < PAGE:
        word = chosen.choice(words)
        match chosen.randrange(90):
            case 0:
                word = str(chosen.randrange(100_000))
            case 1:
                word += "@acme.example"
            case 2:
                word = f"https://{word}.acme.example/{chosen.choice(words)}"
        found.append(word)
        size += len(word) + 1
    return " ".join(found)[:PAGE]


async def decision(pages: list[Row], reader: EvidenceReader, name: str, given: Mapping[str, Any]) -> Decision:
    """A call of a tool at the end of such a run."""
    version = agent()
    facts = as_planned(
        run_id=f"run/{len(pages)}",
        call_id="last",
        agent="desk",
        agent_version=version.version,
        tenant="acme",
        requester="ana",
        mode="tiered",
        response_seq=len(pages),
        tool=name,
        arguments=canonical_json(dict(given)),
    )
    evidence = await reader.read(facts, version)
    candidate = Candidate(facts, version, version.by_name[name], find_tool(__name__, name))
    return Decision(candidate, PolicyContext(evidence, policies()))
