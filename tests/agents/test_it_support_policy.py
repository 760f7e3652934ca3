"""The help desk's definition and its own policy, asked rule by rule; each rule is also taken away, to see it matter."""

import re
from pathlib import Path
from typing import Any

import pytest

from activities.agents.definition import DefinitionInvalid
from activities.agents.versions import AgentVersion, from_file, resolve
from activities.policy.cedar.policy import Policy, PolicyRequest, load
from activities.policy.engine.verdicts import Allow, Deny
from tests.agents.desk import AGENT

TICKETS_A_DAY = 2_400
EFFECTS = {
    "open_ticket", "close_ticket", "reopen_ticket", "add_comment", "withdraw_comment", "assign_licence",
    "revoke_licence", "reset_password", "install_software",
}  # fmt: skip


@pytest.fixture(scope="module")
def agent() -> AgentVersion:
    return from_file(AGENT)


def without(agent: AgentVersion, rule: str) -> Policy:
    """The desk's policy with one of its rules taken away."""
    assert agent.definition.policy
    blocks = agent.definition.policy.split("@id(")
    kept = [block for block in blocks if not block.startswith(f'"{rule}")')]
    assert len(kept) == len(blocks) - 1
    return load("@id(".join(kept), version="", scope="agent")


def question(tool: str = "reset_password", account: str | None = "ana@acme.example", **changes: Any) -> PolicyRequest:
    """A call as benign as can be: a tainted run, an account that the registry gave."""
    arguments = {"account": account} if account else {"ticket": 1, "text": "Hello"}
    usual: dict[str, Any] = {
        "agent": "it-support", "tenant": "acme", "tool": tool, "arguments": arguments,
        "tier": "T3", "effect": "write", "mode": "tiered", "tainted": True, "suspect": False,
        "origins": {"account": "trusted"} if account else {"ticket": "user"},
    }  # fmt: skip
    return PolicyRequest(**(usual | changes))


def comment(**origins: str) -> PolicyRequest:
    return question("add_comment", None, tier="T2", origins={"ticket": "user", **origins})


# ── the definition ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_definition_and_its_policy_load_and_fit_the_tools(agent: AgentVersion) -> None:
    assert agent.policy
    assert not agent.acts_outside  # no tool of the desk can carry anything out of the house
    approvals = agent.definition.approvals
    reset, install = approvals.of("reset_password"), approvals.of("install_software")
    assert (reset.people, reset.confirm, reset.repeat_most) == (0, "account", 0)
    assert (install.always, install.people, install.roles, install.repeat_most) == (True, 1, ("it",), 0)
    assert install.escalate and install.escalate.roles == ("it-lead",)


def test_every_effect_has_a_grant_and_a_cap_that_a_day_of_2400_tickets_fits_under(agent: AgentVersion) -> None:
    grants = agent.definition.grants
    assert grants and set(grants) == EFFECTS | {"ticket_requester"}  # a read that names whom it is about needs one too
    caps = {tool: grant.per_day or 0 for tool in EFFECTS for grant in grants[tool]}
    assert all(caps.values())
    assert min(caps["open_ticket"], caps["close_ticket"], caps["add_comment"] // 2) >= TICKETS_A_DAY
    assert max(caps["reset_password"], caps["install_software"], caps["revoke_licence"]) < TICKETS_A_DAY // 2


def test_a_policy_that_speaks_of_a_tool_the_desk_lacks_is_refused(agent: AgentVersion) -> None:
    policy = f'{agent.definition.policy}\nforbid (principal, action == Action::"reset_pasword", resource);'
    with pytest.raises(DefinitionInvalid, match="reset_pasword"):
        resolve(agent.definition.model_copy(update={"policy": policy}), ".")


def test_a_missing_policy_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "agent.yaml").write_text(AGENT.read_text(encoding="utf-8"), encoding="utf-8")
    with pytest.raises(DefinitionInvalid, match=re.escape("policy.cedar")):
        from_file(tmp_path / "agent.yaml")


# ── its rules ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "asked",
    [
        question("search_kb", None, tier="T0"),
        question("read_ticket", None, tier="T1"),
        question("open_ticket", None, tier="T2", origins={}),
        comment(),
        comment(text="trusted"),
        question("assign_licence", tier="T2"),
        question("revoke_licence", tier="T2", origins={"account": "user"}),
        question(),
        question("install_software"),
    ],
)
def test_what_the_desk_is_for_is_permitted(agent: AgentVersion, asked: PolicyRequest) -> None:
    assert agent.policy
    assert isinstance(agent.policy.decide(asked), Allow)


@pytest.mark.parametrize(
    ("rule", "asked"),
    [
        ("protected-account", question(account="dana@acme.example")),
        ("protected-account", question(account="svc-backup@acme.example")),
        ("protected-account", question("install_software", account="admin.ana@acme.example")),
        ("known-account", question(origins={"account": "untrusted"})),
        ("known-account", question(origins={"account": "model"})),
        ("known-account", question(origins={})),
        ("known-account", question("revoke_licence", tier="T2", origins={"account": "untrusted"})),
        ("no-strange-links", comment(text="untrusted")),
        ("no-strange-links", comment(text="model")),
        ("no-doubtful-data", question(suspect=True)),
        ("never-autonomous", question("install_software", mode="autonomous")),
    ],
)
def test_each_rule_denies_and_without_it_the_call_is_permitted(
    agent: AgentVersion, rule: str, asked: PolicyRequest
) -> None:
    assert agent.policy
    verdict = agent.policy.decide(asked)
    assert isinstance(verdict, Deny)
    assert verdict.rule == f"policy.{rule}"
    assert isinstance(without(agent, rule).decide(asked), Allow)


@pytest.mark.parametrize("tier", ["T3", "T4"])
def test_a_tool_that_cannot_be_taken_back_is_denied_until_the_policy_names_it(agent: AgentVersion, tier: str) -> None:
    assert agent.policy
    verdict = agent.policy.decide(question("delete_account", tier=tier))
    assert isinstance(verdict, Deny)
    assert verdict.rule == "policy.default-deny"
