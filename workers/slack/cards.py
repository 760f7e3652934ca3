"""Cards: an approval as a Slack message, open or answered. Pure: (approval, link) -> blocks.

A card shows what will happen, why it asks and who may answer. Nothing a model wrote renders (see `text`).
"""

import json
from datetime import UTC, datetime

from activities.policy.values.canonical_names import show_hidden_characters
from workers.slack.approval import Approval, Given, Origin
from workers.slack.arguments import editable, shown
from workers.slack.text import Block, escaped, header, lines, one_line, plain, verbatim

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
BECAME = {
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
WORST = ("untrusted", "model", "trusted", "user")  # what is in none of these counts as worse than all
ACTION = "stanchion."  # every button's action id begins with it
ORIGINS_SHOWN = 10
VALUE_LIMIT = 200  # characters of a value beside where it came from
ELSEWHERE = (
    "a value that counts is not on this card, or not its origin; `stanchion approvals --json` prints all of them"
)


def card(approval: Approval, run_link: str | None) -> list[Block]:
    """The blocks of a message about this approval, as it stands."""
    arguments = shown(approval.arguments)
    blocks = [header(f"{_title(approval)}: {approval.tool}"), lines(*_answers(approval)), verbatim(arguments.text)]
    if changed := _changed(approval):
        blocks += [lines(("Performed with", "these arguments instead")), verbatim(changed)]
    cut = f"{arguments.note}. `stanchion approvals --json` prints all of them" if arguments.note else ""
    unseen = _cuts_what_counts(approval, whole=not arguments.note)
    elsewhere = (
        f"{ELSEWHERE}, `stanchion approve {approval.approval_id}` answers" if unseen and approval.is_open else ""
    )
    blocks.append(lines(("Not all is shown", cut), ("Not to be approved here", elsewhere), *_facts(approval)))
    buttons = (_buttons(approval, bool(arguments.note), unseen) if approval.is_open else []) + _link(run_link)
    if buttons:
        blocks.append({"type": "actions", "elements": buttons})
    return [block for block in blocks if _says_something(block)]


def unshowable(approval: Approval, run_link: str | None) -> list[Block]:
    """The card for when Slack refuses the card: nobody approves here what they cannot see."""
    why = "Slack refuses to show this call; `stanchion approvals --json` prints it, `stanchion approve` answers"
    title = header(f"{_title(approval)}: {approval.tool}")
    blocks = [title, lines(*_answers(approval), ("Approval", approval.approval_id), ("Not shown", why))]
    refuse = [_deny(approval)] if approval.is_open and approval.about == "call" else []
    buttons = [*refuse, *_link(run_link)]
    return [*blocks, {"type": "actions", "elements": buttons}] if buttons else blocks


def notice(approval: Approval) -> str:
    """The line of a notification: no argument is in it."""
    return escaped(one_line(f"{_title(approval)}: {approval.tool}", 150))


def utc(at: datetime) -> str:
    """A moment, for people."""
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _title(approval: Approval) -> str:
    return ASKS[approval.about] if approval.is_open else BECAME.get(approval.state, approval.state)


def _answers(approval: Approval) -> list[tuple[str, str]]:
    entries = [(_word(given), _given(given)) for given in approval.decisions]
    if not approval.decisions and approval.endorsed_by and not approval.is_open:
        entries.append((BECAME["endorsed"], f"by {approval.endorsed_by}"))
    if approval.superseded_by:
        entries.append(("Asked anew as", approval.superseded_by))
    if not approval.is_open and approval.closed_at:
        entries.append(("Closed", utc(approval.closed_at)))
    return entries


def _word(given: Given) -> str:
    return "Confirmed" if given.proof == "code" else BECAME.get(given.verdict, given.verdict)


def _given(given: Given) -> str:
    because = f", because: {given.reason}" if given.reason else ""
    agent = ", an agent," if given.proof == "agent" else ""
    unsigned = ", not signed" if given.proof == "unsigned" else ""
    return f"by {given.by}{agent} at {utc(given.at)}{unsigned}{because}"


def _changed(approval: Approval) -> str:
    edits = [given.arguments for given in approval.decisions if given.arguments is not None]
    return shown(edits[-1]).text if edits else ""


def _facts(approval: Approval) -> list[tuple[str, str]]:
    return [
        ("Risk", RISK.get(approval.tier or "", "not known")),
        ("Careful", "the run has read untrusted data" if approval.tainted else ""),
        *[(f"{o.argument} ({o.kind})", _origin(o.value, o.origin)) for o in _worst_first(approval)[:ORIGINS_SHOWN]],
        ("Further values", str(len(approval.origins) - ORIGINS_SHOWN) if len(approval.origins) > ORIGINS_SHOWN else ""),
        ("Why it asks", f"{approval.reason} ({approval.rule})"),
        ("Asked for by", approval.requester or "nobody named"),
        ("Agent", f"{approval.agent} of tenant {approval.tenant}, run {approval.run_id}, call {approval.call_id}"),
        ("Cost so far", f"${approval.usd_micros / 1_000_000:.4f}"),
        *(_people(approval) if approval.is_open else []),
        ("Approval", approval.approval_id),
    ]


def _origin(value: str, origin: str) -> str:
    return f"{one_line(value, VALUE_LIMIT)} — from {ORIGINS.get(origin, origin)}"


def _worst_first(approval: Approval) -> list[Origin]:
    return sorted(approval.origins, key=lambda each: WORST.index(each.origin) if each.origin in WORST else -1)


def _cuts_what_counts(approval: Approval, *, whole: bool) -> bool:
    """Whether a sensitive value is not on the card in full, or a doubtful one without where it came from."""
    rest = _worst_first(approval)[ORIGINS_SHOWN:]
    if any(each.origin not in ("trusted", "user") for each in rest):
        return True
    return not whole and (
        bool(rest) or any(len(show_hidden_characters(each.value)) > VALUE_LIMIT for each in approval.origins)
    )


def _people(approval: Approval) -> list[tuple[str, str]]:
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


def _buttons(approval: Approval, cut: bool, unseen: bool) -> list[Block]:
    if approval.about == "unknown":
        again = _confirm("The call may then be made again.", "It did not happen")
        return [
            _button(approval, "happened", "It happened"),
            _button(approval, "did-not", "It did not", confirm=again),
            _button(approval, "stop", "Stop the run", style="danger"),
        ]
    if approval.about == "endorse":
        return [_button(approval, "restate", "Restate value")]
    return [_deny(approval)] if unseen else [*_yes(approval, cut), _deny(approval)]


def _yes(approval: Approval, cut: bool) -> list[Block]:
    buttons: list[Block] = []
    warning = _confirm(_stakes(approval, cut), "Approve") if cut or approval.tier == "T4" else None
    if approval.wants_people or not approval.subject:
        buttons.append(_button(approval, "approve", "Approve", style="primary", confirm=warning))
        if approval.repeat_most and approval.tier != "T4":
            more = f"The next {approval.repeat_most} calls like this one in this run are then approved, too."
            label = f"Approve, and next {approval.repeat_most}"
            buttons.append(_button(approval, "approve-next", label, confirm=_confirm(more, "Approve them")))
        if editable(approval.arguments) is not None:
            buttons.append(_button(approval, "edit", "Edit"))
    if approval.wants_code:
        buttons.append(_button(approval, "code", "Enter code"))
    return buttons


def _stakes(approval: Approval, cut: bool) -> str:
    risk = RISK.get(approval.tier or "", "the risk is not known")
    return f"{risk}. Not all of the arguments are shown here." if cut else f"{risk}."


def _deny(approval: Approval) -> Block:
    return _button(approval, "deny", "Deny", style="danger")


def _button(
    approval: Approval, verb: str, label: str, *, style: str | None = None, confirm: Block | None = None
) -> Block:
    value = json.dumps({"approval": approval.approval_id, "digest": approval.digest})
    block = {"type": "button", "action_id": f"{ACTION}{verb}", "text": plain(label, 75), "value": value}
    return block | ({"style": style} if style else {}) | ({"confirm": confirm} if confirm else {})


def _confirm(text: str, yes: str) -> Block:
    return {"title": plain("Sure?"), "text": plain(text, 290), "confirm": plain(yes, 30), "deny": plain("Back", 30)}


def _link(run_link: str | None) -> list[Block]:
    if not run_link:
        return []
    return [{"type": "button", "action_id": f"{ACTION}run", "text": plain("Open the run", 75), "url": run_link}]


def _says_something(block: Block) -> bool:
    return block["type"] != "rich_text" or any(element["elements"] for element in block["elements"])
