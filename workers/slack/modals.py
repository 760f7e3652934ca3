"""The forms: edit, deny, restate, code. Pure: what is asked, and reading what was typed.

`restate` is never prefilled, and no hint holds the value: who lifts a refusal types what they mean.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from workers.slack.approval import Approval
from workers.slack.arguments import EDIT_LIMIT, EditInvalid, editable, edited
from workers.slack.cards import ACTION
from workers.slack.text import Block, lines, plain

FIELD = "typed"  # block id and action id of the one input that each form has
REASON_LIMIT = 2_000
VALUE_LIMIT = 2_000
CODE_LIMIT = 64


@dataclass(frozen=True)
class Place:
    """What was clicked: the approval, the call's digest as the card showed it, and where the card is."""

    approval: str
    digest: str
    channel: str
    ts: str


@dataclass(frozen=True)
class Typed:
    """What a form brought, or what is wrong with it."""

    text: str = ""
    arguments: dict[str, Any] | None = None
    problem: str | None = None


def form(verb: str, approval: Approval, place: Place) -> Block:
    """The view to open."""
    title, submit, field = _form(verb, approval)
    summary = lines(("Tool", approval.tool), ("Run", approval.run_id), ("Approval", approval.approval_id))
    return {
        "type": "modal",
        "callback_id": f"{ACTION}{verb}",
        "private_metadata": json.dumps(asdict(place)),
        "title": plain(title, 24),
        "submit": plain(submit, 24),
        "close": plain("Cancel", 24),
        "blocks": [summary, field],
    }


def place_of(view: dict[str, Any]) -> Place:
    """Which approval a submitted form is about."""
    return Place(**json.loads(view["private_metadata"]))


def typed(verb: str, view: dict[str, Any]) -> Typed:
    """What was typed. Slack enforces lengths in its own clients only; `Decision` checks them again."""
    text = view["state"]["values"][FIELD][FIELD].get("value") or ""
    if verb == "edit":
        try:
            return Typed(text, edited(text))
        except EditInvalid as problem:
            return Typed(text, problem=str(problem))
    if not text.strip():
        return Typed(problem="say something")
    return Typed(text if verb == "restate" else text.strip())


def _form(verb: str, approval: Approval) -> tuple[str, str, Block]:
    match verb:
        case "edit":
            field = _field("Arguments to use instead, as JSON", EDIT_LIMIT, many=True)
            field["element"]["initial_value"] = editable(approval.arguments) or "{}"
            return "Edit the call", "Approve this", field
        case "deny":
            return "Deny the call", "Deny", _field("Why? The agent reads it.", REASON_LIMIT, many=True)
        case "restate":
            label = "Type the value that you mean; it counts as your own word"
            return "Restate a value", "I mean this", _field(label, VALUE_LIMIT)
        case "code":
            return "Confirm it is you", "Confirm", _field("The code that you were sent", CODE_LIMIT)
        case _:
            raise ValueError(f"there is no form {verb!r}")


def _field(label: str, limit: int, *, many: bool = False) -> Block:
    element = {"type": "plain_text_input", "action_id": FIELD, "multiline": many, "max_length": limit}
    return {"type": "input", "block_id": FIELD, "label": plain(label), "element": element}
