"""The help desk's tools: the tier of each, their undos, and the knowledge base."""

import pytest

from activities.agents.versions import from_file
from activities.tools.registry import find_tool
from agents.it_support import kb, tools
from tests.agents.desk import AGENT


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
        "T3": {"reset_password", "install_software"},
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
        ("Software: sql-client on my laptop", "installing-software"),
    ],
)
def test_the_knowledge_base_finds_the_article_that_fits(query: str, article: str) -> None:
    assert kb.search(query)[0].article == article


def test_the_knowledge_base_finds_nothing_where_nothing_fits() -> None:
    assert kb.search("xylophone") == []
