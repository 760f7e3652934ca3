"""The examples of policies that people copy: they mean what their reason says, also for a field with two recipients."""

import re
from pathlib import Path

import pytest

from activities.policy.cedar.policy import Policy, PolicyRequest, load
from activities.policy.engine.verdicts import Allow, Deny

ROOT = Path(__file__).parents[2]
PERMIT = "\npermit (principal, action, resource);\n"


def from_docs() -> str:
    """The first policy of the page about policies."""
    found = re.search(r"```cedar\n(.*?)```", (ROOT / "docs/policy.md").read_text(encoding="utf-8"), re.DOTALL)
    assert found
    return found[1] + PERMIT


def from_default() -> str:
    """The rule in the comments of the policy that is there at first."""
    text = (ROOT / "activities/policy/cedar/platform.cedar").read_text(encoding="utf-8")
    found = re.search(r'^//   @id\("mail-stays-inside"\).*?^//   };', text, re.DOTALL | re.MULTILINE)
    assert found
    return re.sub(r"^//", "", found[0], flags=re.MULTILINE) + PERMIT


@pytest.fixture(params=[from_docs, from_default])
def policy(request: pytest.FixtureRequest) -> Policy:
    """A policy with the example in it."""
    return load(request.param(), version="v", scope="acme")


def mail(to: str) -> PolicyRequest:
    """A mail to these."""
    return PolicyRequest("mailer", "acme", "send_mail", {"to": to}, "T3", "send", "tiered")


def test_mail_to_one_of_the_house_passes(policy: Policy) -> None:
    assert isinstance(policy.decide(mail("bo@acme.example")), Allow)


@pytest.mark.parametrize(
    "to", ["eve@evil.example", "eve@evil.example, bo@acme.example", "eve@evil.example;bo@acme.example", ""]
)
def test_mail_that_anyone_else_gets_does_not(policy: Policy, to: str) -> None:
    verdict = policy.decide(mail(to))
    assert isinstance(verdict, Deny) and verdict.rule == "policy.mail-stays-inside"
