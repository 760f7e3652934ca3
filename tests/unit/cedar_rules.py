"""Policies and questions about them, for the tests of Cedar."""

from typing import Any

import pytest

from activities.policy.cedar.policy import Policy, PolicyInvalid, PolicyRequest, load
from activities.policy.cedar.schema import ToolShape, schema_for

PERMIT = "permit (principal, action, resource);"
MAIL = {
    "type": "object",
    "properties": {
        "to": {"type": "string"},
        "cc": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None},
        "amount": {"type": "integer"},
        "rate": {"type": "number"},
        "lines": {"type": "array", "items": {"type": "string"}},
        "anything": {},
    },
    "required": ["to", "amount", "rate"],
}
TOOLS = [
    ToolShape("send", "T3", "send", MAIL),
    ToolShape("wait", "T0", "read", {"type": "object", "properties": {"minutes": {"type": "number"}}}),
]
SCHEMA = schema_for(TOOLS)


def ask(**changes: Any) -> PolicyRequest:
    """A question, as benign as can be."""
    usual: dict[str, Any] = {
        "agent": "helper", "tenant": "acme", "tool": "send", "arguments": {"to": "ana@acme.example", "amount": 5},
        "tier": "T3", "effect": "send", "mode": "tiered", "tainted": False, "suspect": False,
    }  # fmt: skip
    return PolicyRequest(**(usual | changes))


def policy(text: str, scope: str = "*") -> Policy:
    """A policy that was not checked against tools."""
    return load(text, version="v", scope=scope)


def problems(text: str, schema: Any = SCHEMA) -> str:
    """What `load` says is wrong."""
    with pytest.raises(PolicyInvalid) as caught:
        load(text, version="v", scope="*", schema=schema)
    return str(caught.value)
