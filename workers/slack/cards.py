"""Builds the cards: an open or closed approval as blocks of a Slack message. Pure.

A card shows what will happen, why approval is needed and who may give it. Text from a model is shown literally (see
`text`).
"""

import json
from datetime import UTC, datetime

from workers.slack.approval import Approval, GivenDecision, Origin
from workers.slack.arguments import editable_json, format_arguments
from workers.slack.text import Block, escaped, header, lines, one_line, plain, verbatim
from workflows.visible import show_hidden_characters

RISK = {
    "T0": "T0, a read of trusted data",
    "T1": "T1, a read of data from outside",
    "T2": "T2, a write that can be taken back",
    "T3": "T3, it cannot be taken back, or it goes outside",
    "T4": "T4, money, identity, permissions, bulk deletion or policy",
}
ORIGINS = {
    "user": "what people asked for",
    "trusted": "a trusted registry",
    "untrusted": "UNTRUSTED data the agent read",
    "model": "NOWHERE: the model made it up",
}
ASKS = {"call": "Approval needed", "unknown": "Did it happen?", "endorse": "Refused, unless someone restates a value"}
STATE_LABELS = {
    "approve": "Approved",
    "edit": "Approved with other arguments",
    "reject": "Denied",
    "respond": "Answered instead of performed",
    "happened": "It happened",
    "did-not": "It did not happen",
    "stop": "Run stopped",
    "endorsed": "Value restated",
    "expired": "Expired: nobody answered in time",
    "withdrawn": "Withdrawn: the call is not wanted any more",
    "superseded": "Superseded",
}
WORST_FIRST = ("untrusted", "model", "trusted", "user")  # unknown origins come before all of these
ACTION = "stanchion."  # prefix of every button's action id
ORIGINS_SHOWN = 10
VALUE_LIMIT = 200  # characters of a value in its line
INCOMPLETE = (
    "a sensitive value or its origin does not fit on this card; `stanchion approvals --json` prints all of them"
)


def card(approval: Approval, run_link: str | None) -> list[Block]:
    """Return the blocks of the message about this approval, in its present state."""
    arguments = format_arguments(approval.arguments)
    is_cut = bool(arguments.note)
    blocks = [
        header(f"{_title(approval)}: {approval.tool}"),
        lines(*_decision_lines(approval)),
        verbatim(arguments.text),
    ]
    if edited := _edited_arguments(approval):
        blocks += [lines(("Performed with", "these arguments instead")), verbatim(edited)]
    cut_note = f"{arguments.note}. `stanchion approvals --json` prints all of them" if is_cut else ""
    is_incomplete = _hides_sensitive_value(approval, is_cut=is_cut)
    incomplete_note = ""
    if is_incomplete and approval.is_open:
        incomplete_note = f"{INCOMPLETE}, `stanchion approve {approval.approval_id}` answers"
    notes = ("Not all is shown", cut_note), ("Not to be approved here", incomplete_note)
    blocks.append(lines(*notes, *_fact_lines(approval)))
    buttons = (_buttons(approval, is_cut, is_incomplete) if approval.is_open else []) + _link_button(run_link)
    if buttons:
        blocks.append({"type": "actions", "elements": buttons})
    return [block for block in blocks if _has_content(block)]


def fallback_card(approval: Approval, run_link: str | None) -> list[Block]:
    """Return a card without arguments, for when Slack refuses the full one. It has no button to approve."""
    why = "Slack refuses to show this call; `stanchion approvals --json` prints it, `stanchion approve` answers"
    title = header(f"{_title(approval)}: {approval.tool}")
    blocks = [title, lines(*_decision_lines(approval), ("Approval", approval.approval_id), ("Not shown", why))]
    deny = [_deny_button(approval)] if approval.is_open and approval.about == "call" else []
    buttons = [*deny, *_link_button(run_link)]
    return [*blocks, {"type": "actions", "elements": buttons}] if buttons else blocks


def notification_text(approval: Approval) -> str:
    """Return the text of the notification, which contains no arguments."""
    return escaped(one_line(f"{_title(approval)}: {approval.tool}", 150))


def utc(at: datetime) -> str:
    """Format a time in UTC for people."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _title(approval: Approval) -> str:
    return ASKS[approval.about] if approval.is_open else STATE_LABELS.get(approval.state, approval.state)


def _decision_lines(approval: Approval) -> list[tuple[str, str]]:
    """Return the lines about the decisions given so far, and about how the approval was closed."""
    entries = [(_decision_label(decision), _decision_text(decision)) for decision in approval.decisions]
    if not approval.decisions and approval.endorsed_by and not approval.is_open:
        entries.append((STATE_LABELS["endorsed"], f"by {approval.endorsed_by}"))
    if approval.superseded_by:
        entries.append(("Replaced by", approval.superseded_by))
    if not approval.is_open and approval.closed_at:
        entries.append(("Closed", utc(approval.closed_at)))
    return entries


def _decision_label(decision: GivenDecision) -> str:
    return "Confirmed" if decision.proof == "code" else STATE_LABELS.get(decision.verdict, decision.verdict)


def _decision_text(decision: GivenDecision) -> str:
    because = f", because: {decision.reason}" if decision.reason else ""
    agent = ", an agent," if decision.proof == "agent" else ""
    unsigned = ", not signed" if decision.proof == "unsigned" else ""
    return f"by {decision.by}{agent} at {utc(decision.at)}{unsigned}{because}"


def _edited_arguments(approval: Approval) -> str:
    edits = [decision.arguments for decision in approval.decisions if decision.arguments is not None]
    return format_arguments(edits[-1]).text if edits else ""


def _fact_lines(approval: Approval) -> list[tuple[str, str]]:
    return [
        ("Risk", RISK.get(approval.tier or "", "not known")),
        ("Careful", "the run has read untrusted data" if approval.tainted else ""),
        *[_origin_line(origin) for origin in _worst_first(approval)[:ORIGINS_SHOWN]],
        ("Further values", str(len(approval.origins) - ORIGINS_SHOWN) if len(approval.origins) > ORIGINS_SHOWN else ""),
        ("Why it asks", f"{approval.reason} ({approval.rule})"),
        ("Asked for by", approval.requester or "nobody named"),
        ("Agent", f"{approval.agent} of tenant {approval.tenant}, run {approval.run_id}, call {approval.call_id}"),
        ("Cost so far", f"${approval.usd_micros / 1_000_000:.4f}"),
        *(_people_lines(approval) if approval.is_open else []),
        ("Approval", approval.approval_id),
    ]


def _origin_line(origin: Origin) -> tuple[str, str]:
    text = f"{one_line(origin.value, VALUE_LIMIT)} — from {ORIGINS.get(origin.origin, origin.origin)}"
    return f"{origin.argument} ({origin.kind})", text


def _worst_first(approval: Approval) -> list[Origin]:
    def rank(origin: Origin) -> int:
        return WORST_FIRST.index(origin.origin) if origin.origin in WORST_FIRST else -1

    return sorted(approval.origins, key=rank)


def _hides_sensitive_value(approval: Approval, *, is_cut: bool) -> bool:
    """Whether the card lacks the origin of an untrusted value, or lacks a sensitive value in full.

    `is_cut`: the card does not show all arguments.
    """
    not_listed = _worst_first(approval)[ORIGINS_SHOWN:]
    if any(origin.origin not in ("trusted", "user") for origin in not_listed):
        return True
    has_long_value = any(len(show_hidden_characters(origin.value)) > VALUE_LIMIT for origin in approval.origins)
    return is_cut and (bool(not_listed) or has_long_value)


def _people_lines(approval: Approval) -> list[tuple[str, str]]:
    roles = f", one of: {', '.join(approval.roles)}" if approval.roles else ""
    others = f"also {', '.join(approval.escalate_roles)}" if approval.escalate_roles else "to more people"
    return [
        ("People needed", f"{approval.needed}{roles}" if approval.needed != 1 or roles else ""),
        ("Approved already by", ", ".join(approval.approved_by)),
        ("Reviewer", one_line(approval.review, 1_200) if approval.review else ""),
        ("Must confirm", f"{approval.subject}, with the code they were sent" if approval.wants_code else ""),
        ("Escalated", others if approval.escalated else ""),
        ("Expires", utc(approval.expires_at) if approval.expires_at else ""),
    ]


def _buttons(approval: Approval, is_cut: bool, is_incomplete: bool) -> list[Block]:
    if approval.about == "unknown":
        warning = _confirm("The call may then be made again.", "It did not happen")
        return [
            _button(approval, "happened", "It happened"),
            _button(approval, "did-not", "It did not", confirm=warning),
            _button(approval, "stop", "Stop the run", style="danger"),
        ]
    if approval.about == "endorse":
        return [_button(approval, "restate", "Restate value")]
    return [_deny_button(approval)] if is_incomplete else [*_approve_buttons(approval, is_cut), _deny_button(approval)]


def _approve_buttons(approval: Approval, is_cut: bool) -> list[Block]:
    buttons: list[Block] = []
    warning = _confirm(_risk_text(approval, is_cut), "Approve") if is_cut or approval.tier == "T4" else None
    if approval.wants_people or not approval.subject:
        buttons.append(_button(approval, "approve", "Approve", style="primary", confirm=warning))
        if approval.repeat_most and approval.tier != "T4":
            effect = f"The next {approval.repeat_most} calls like this one in this run are then approved, too."
            label = f"Approve, and next {approval.repeat_most}"
            buttons.append(_button(approval, "approve-next", label, confirm=_confirm(effect, "Approve them")))
        if editable_json(approval.arguments) is not None:
            buttons.append(_button(approval, "edit", "Edit"))
    if approval.wants_code:
        buttons.append(_button(approval, "code", "Enter code"))
    return buttons


def _risk_text(approval: Approval, is_cut: bool) -> str:
    risk = RISK.get(approval.tier or "", "the risk is not known")
    return f"{risk}. Not all of the arguments are shown here." if is_cut else f"{risk}."


def _deny_button(approval: Approval) -> Block:
    return _button(approval, "deny", "Deny", style="danger")


def _button(
    approval: Approval, verb: str, label: str, *, style: str | None = None, confirm: Block | None = None
) -> Block:
    value = json.dumps({"approval": approval.approval_id, "digest": approval.digest})
    block = {"type": "button", "action_id": f"{ACTION}{verb}", "text": plain(label, 75), "value": value}
    return block | ({"style": style} if style else {}) | ({"confirm": confirm} if confirm else {})


def _confirm(text: str, confirm: str) -> Block:
    return {"title": plain("Sure?"), "text": plain(text, 290), "confirm": plain(confirm, 30), "deny": plain("Back", 30)}


def _link_button(run_link: str | None) -> list[Block]:
    if not run_link:
        return []
    return [{"type": "button", "action_id": f"{ACTION}run", "text": plain("Open the run", 75), "url": run_link}]


def _has_content(block: Block) -> bool:
    return block["type"] != "rich_text" or any(element["elements"] for element in block["elements"])
