"""Builds and reads the forms `edit`, `deny`, `restate` and `code`. Pure.

The form `restate` never contains the refused value: the person has to type the value themselves.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from workers.slack.approval import Approval
from workers.slack.arguments import EDIT_LIMIT, EditInvalid, editable_json, parse_edit
from workers.slack.cards import ACTION
from workers.slack.text import Block, lines, plain

FIELD = "typed"  # block id and action id of a form's only input
REASON_LIMIT = 2_000
VALUE_LIMIT = 2_000
CODE_LIMIT = 64


@dataclass(frozen=True)
class Place:
    """Where somebody clicked: the approval, the call's digest on the card, and the card's channel and timestamp."""

    approval: str
    digest: str
    channel: str
    ts: str


@dataclass(frozen=True)
class FormInput:
    """What a person typed into a form. `problem` says why it cannot be used."""

    text: str = ""
    arguments: dict[str, Any] | None = None
    problem: str | None = None


def form(verb: str, approval: Approval, place: Place) -> Block:
    """Return the view of the form for this button. Raises ValueError for an unknown `verb`."""
    title, submit, field = _form_parts(verb, approval)
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


def read_place(view: dict[str, Any]) -> Place:
    """Return where the button of a submitted form was clicked."""
    return Place(**json.loads(view["private_metadata"]))


def read_form(verb: str, view: dict[str, Any]) -> FormInput:
    """Return the input of a submitted form. Only Slack's own clients limit its length; `Decision` checks it again."""
    text = view["state"]["values"][FIELD][FIELD].get("value") or ""
    if verb == "edit":
        try:
            return FormInput(text, parse_edit(text))
        except EditInvalid as problem:
            return FormInput(text, problem=str(problem))
    if not text.strip():
        return FormInput(problem="type something")
    return FormInput(text if verb == "restate" else text.strip())


def _form_parts(verb: str, approval: Approval) -> tuple[str, str, Block]:
    """Return the title, the label of the submit button, and the input block."""
    match verb:
        case "edit":
            field = _field("Arguments to use instead, as JSON", EDIT_LIMIT, is_multiline=True)
            field["element"]["initial_value"] = editable_json(approval.arguments) or "{}"
            return "Edit the call", "Approve this", field
        case "deny":
            return "Deny the call", "Deny", _field("Why? The agent reads it.", REASON_LIMIT, is_multiline=True)
        case "restate":
            label = "Type the value that you vouch for"
            return "Restate a value", "Restate", _field(label, VALUE_LIMIT)
        case "code":
            return "Confirm it is you", "Confirm", _field("The code that was sent to you", CODE_LIMIT)
        case _:
            raise ValueError(f"there is no form {verb!r}")


def _field(label: str, limit: int, *, is_multiline: bool = False) -> Block:
    element = {"type": "plain_text_input", "action_id": FIELD, "multiline": is_multiline, "max_length": limit}
    return {"type": "input", "block_id": FIELD, "label": plain(label), "element": element}
