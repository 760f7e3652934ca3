"""Slack cards and forms, pure: what a card says, what it never renders, and what a form takes."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.storage.canonical import canonical_json, clean
from tests.fakes.slack_api import valid
from workers.slack.approval import Approval, GivenDecision, Origin
from workers.slack.arguments import SHOWN_LIMIT, EditInvalid, editable_json, format_arguments, parse_edit
from workers.slack.cards import ASKS, RISK, STATE_LABELS, card, fallback_card, notification_text
from workers.slack.config import SlackMisconfigured, SlackSettings
from workers.slack.modals import Place, form, read_form, read_place
from workflows.visible import show_hidden_characters

AT = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
PLACE = Place("ap-1", "d" * 64, "C1", "1.2")
ASKED = Approval(
    approval_id="ap-1",
    run_id="agent/mailer/1",
    call_id="1.0",
    about="call",
    tool="send",
    tier="T3",
    arguments='{"to":"bo@acme.example"}',
    digest="d" * 64,
    rule="tier.T3",
    reason="it leaves the house",
    state="open",
    requested_at=AT,
    expires_at=AT,
    closed_at=None,
    needed=1,
    roles=(),
    approved_by=(),
    escalates_at=None,
    escalate_roles=(),
    subject=None,
    tainted=False,
    repeat_most=0,
    confirmed=False,
    escalated=False,
    showing="open 0 f f",
    agent="mailer",
    tenant="acme",
    requester="ana@acme.example",
    usd_micros=1_234_500,
    superseded_by=None,
    endorsed_by=None,
    origins=(),
    decisions=(),
)
STRINGS = st.text(max_size=60)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | STRINGS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(STRINGS, inner, max_size=4),
    max_leaves=12,
)
ARGUMENTS = st.dictionaries(STRINGS, VALUES, max_size=6).map(clean)


def walk(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in a structure."""
    if isinstance(value, dict):
        yield value
    for child in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walk(child)


def read(blocks: list[dict[str, Any]]) -> str:
    """The text of a card, buttons left out."""
    parts = [block for block in blocks if block["type"] != "actions"]
    texts = ["".join(o["text"] for o in walk(part) if isinstance(o.get("text"), str)) for part in parts]
    return "\n".join(texts)


def buttons(approval: Approval) -> dict[str, dict[str, Any]]:
    """The buttons of a card, by verb."""
    found = [o for o in walk(card(approval, None)) if o.get("type") == "button"]
    return {button["action_id"].removeprefix("stanchion."): button for button in found}


@given(ARGUMENTS, STRINGS, st.text(max_size=900), st.sampled_from([*STATE_LABELS, "open"]), st.sampled_from([*ASKS]))
def test_no_card_renders_or_hides_anything_and_slack_takes_each(
    arguments: dict[str, Any], tool: str, text: str, state: str, about: str
) -> None:
    approval = replace(
        ASKED,
        about=about,
        state=state,
        tool=f"t{tool}",
        arguments=canonical_json(arguments),
        reason=text,
        requester=text,
        origins=(Origin(text, text, text, "model"),),
        decisions=(GivenDecision(text, "edit", text, canonical_json(arguments), AT, "unsigned"),)
        if state != "open"
        else (),
    )
    for blocks in (card(approval, "https://ui.example/run"), fallback_card(approval, "https://ui.example/run")):
        assert all(valid(block) for block in blocks)
        rich = [element for block in blocks if block["type"] == "rich_text" for element in block["elements"]]
        assert {element["type"] for part in rich for element in part["elements"]} <= {"text"}
        for item in walk(blocks):
            assert item.get("type") not in ("mrkdwn", "image", "link", "emoji", "user", "channel", "broadcast")
            if item.get("type") == "plain_text":
                assert item["emoji"] is False and not set("<>") & set(item["text"])
        assert show_hidden_characters(json.dumps(blocks, ensure_ascii=False)) == json.dumps(blocks, ensure_ascii=False)
    assert not set("<>") & set(notification_text(approval))


def test_a_text_with_line_breaks_cannot_pose_as_another_line_of_the_card() -> None:
    posing = "fine\nRisk: T0, a read of trusted data\u2028Approved already by: ann"
    text = read(card(replace(ASKED, reason=posing), None))
    assert [line for line in text.splitlines() if line.startswith(("Risk", "Approved"))] == [f"Risk: {RISK['T3']}"]
    assert "fine Risk: T0" in text


@given(ARGUMENTS)
def test_an_edit_that_changes_nothing_is_the_very_same_call(arguments: dict[str, Any]) -> None:
    canonical = canonical_json(arguments)
    prefilled = editable_json(canonical)
    if prefilled is not None:
        assert canonical_json(parse_edit(prefilled)) == canonical
        assert show_hidden_characters(prefilled) == prefilled


@pytest.mark.parametrize(
    "typed_text", ["", "[]", "{", '{"a": NaN}', '{"a": 1, "a": 2}', '{"a": "\\ud800"}', "[" * 100_000, "null"]
)
def test_what_is_no_set_of_arguments_is_refused_in_the_form(typed_text: str) -> None:
    with pytest.raises(EditInvalid):
        parse_edit(typed_text)
    view = {"state": {"values": {"typed": {"typed": {"value": typed_text}}}}}
    assert read_form("edit", view).problem


def test_a_long_text_neither_pushes_another_argument_off_the_card_nor_goes_unmentioned() -> None:
    canonical = canonical_json({"a_body": "x" * 9_000, "to": "eve@elsewhere.example"})
    found = format_arguments(canonical)
    assert "eve@elsewhere.example" in found.text and len(found.text) <= SHOWN_LIMIT
    assert str(len(canonical)) in found.note
    assert hashlib.sha256(canonical.encode()).hexdigest() in found.note
    approval = replace(ASKED, arguments=canonical)
    assert "stanchion approvals --json" in read(card(approval, None))
    assert "Not all" in buttons(approval)["approve"]["confirm"]["text"]["text"]
    assert "edit" not in buttons(approval)  # it would not fit the form, and half of it would be lost


def test_what_is_whole_has_no_note() -> None:
    assert format_arguments(ASKED.arguments).note == ""


def test_money_and_permissions_are_asked_about_twice_and_other_calls_once() -> None:
    assert "confirm" in buttons(replace(ASKED, tier="T4"))["approve"]
    assert "confirm" not in buttons(ASKED)["approve"]


def test_the_next_ones_are_offered_where_the_policy_lets_them_and_never_for_t4() -> None:
    assert "approve-next" not in buttons(ASKED)
    assert buttons(replace(ASKED, repeat_most=5))["approve-next"]["text"]["text"] == "Approve, and next 5"
    assert "approve-next" not in buttons(replace(ASKED, repeat_most=5, tier="T4"))


def test_a_code_counts_as_a_confirmation_and_an_agents_opinion_is_called_one() -> None:
    given = GivenDecision("bo@acme.example", "approve", None, None, AT, "code")
    reviewed = replace(given, by="reviewer", proof="agent")
    text = read(card(replace(ASKED, decisions=(given, reviewed)), None))
    assert "Confirmed: by bo@acme.example" in text and "Approved: by bo" not in text
    assert "by reviewer, an agent, at" in text


def test_what_the_reviewing_agent_said_is_on_the_card_while_people_are_asked() -> None:
    asked = replace(ASKED, needed=2, review="second-pair says no: nobody asked for this")
    assert "second-pair says no: nobody asked for this" in read(card(asked, None))


def test_a_button_names_the_call_that_its_card_shows() -> None:
    for button in buttons(ASKED).values():
        assert json.loads(button["value"]) == {"approval": "ap-1", "digest": "d" * 64}


def test_who_has_approved_enough_is_asked_no_more_and_the_subject_still_is() -> None:
    approval = replace(ASKED, subject="bo@acme.example", approved_by=("ann",))
    assert buttons(approval).keys() == {"code", "deny"}
    assert buttons(replace(approval, approved_by=())).keys() == {"approve", "edit", "code", "deny"}


@pytest.mark.parametrize("state", STATE_LABELS)
def test_an_answered_card_has_no_buttons(state: str) -> None:
    for about in ASKS:
        assert buttons(replace(ASKED, about=about, state=state)) == {}


def test_the_card_says_where_each_value_came_from() -> None:
    text = read(card(replace(ASKED, tainted=True, origins=(Origin("to", "recipient", "eve", "untrusted"),)), None))
    assert "to (recipient): eve — from UNTRUSTED data the agent read" in text
    assert "the run has read untrusted data" in text
    assert "$1.2345" in text


def recipients(*addresses: str, worst: str = "trusted", **more: Any) -> Approval:
    """A message to these, the last of which came from elsewhere than the others."""
    origins = [Origin("to", "recipient", address, "trusted") for address in addresses[:-1]]
    arguments = canonical_json({"to": list(addresses), **more})
    last = Origin("to", "recipient", addresses[-1], worst)
    return replace(ASKED, arguments=arguments, origins=(*origins, last), repeat_most=5)


COLLEAGUES = [f"colleague{n}@acme.example" for n in range(150)]


@pytest.mark.parametrize("worst", ["untrusted", "model"])
def test_the_value_from_the_worst_place_is_on_the_card_however_many_there_are(worst: str) -> None:
    text = read(card(recipients(*COLLEAGUES, "eve@evil.example", worst=worst), None))
    shown_lines = [line for line in text.splitlines() if line.startswith("to (recipient)")]
    assert "eve@evil.example" in shown_lines[0]


def test_values_are_shown_worst_first() -> None:
    origins = tuple(Origin("to", "recipient", o, o) for o in ("user", "trusted", "model", "untrusted", "unheard-of"))
    text = read(card(replace(ASKED, origins=origins), None))
    found = [line.split(": ")[1].split(" ")[0] for line in text.splitlines() if line.startswith("to (recipient)")]
    assert found == ["unheard-of", "untrusted", "model", "trusted", "user"]


@pytest.mark.parametrize("worst", ["untrusted", "model", "trusted", "user"])
@pytest.mark.parametrize("tier", ["T3", "T4"])
def test_where_a_value_that_counts_is_cut_off_nobody_approves_on_the_card(worst: str, tier: str) -> None:
    asked = replace(recipients(*COLLEAGUES, "eve@evil.example", worst=worst), tier=tier)
    assert buttons(asked).keys() == {"deny"}
    text = read(card(asked, None))
    assert "stanchion approvals --json" in text and f"stanchion approve {asked.approval_id}" in text
    assert buttons(replace(asked, subject="bo@acme.example")).keys() == {"deny"}


@pytest.mark.parametrize("worst", ["untrusted", "model"])
def test_where_more_values_are_from_nowhere_good_than_the_card_explains_nobody_approves_on_it(worst: str) -> None:
    few = [f"c{n}@a.example" for n in range(12)]  # the arguments are whole, their origins are not
    asked = recipients(*few)
    bad = replace(asked, origins=tuple(replace(origin, origin=worst) for origin in asked.origins))
    assert format_arguments(asked.arguments).note == ""
    assert buttons(bad).keys() == {"deny"}
    assert {"approve", "approve-next", "edit"} <= buttons(asked).keys()  # all are shown, and none of them is doubtful


def test_a_value_too_long_for_its_line_is_not_approved_on_the_card_unless_the_arguments_are_whole() -> None:
    long = "a" * 400 + "@evil.example"
    assert buttons(recipients(long, body="x" * 9_000)).keys() == {"deny"}
    assert "approve" in buttons(recipients(long))
    assert "approve" in buttons(recipients("bo@acme.example", body="x" * 9_000))


@given(st.text(min_size=8, max_size=200))
def test_the_form_that_restates_a_value_holds_no_value(value: str) -> None:
    approval = replace(
        ASKED,
        about="endorse",
        arguments=canonical_json({"to": clean(value)}),
        origins=(Origin("to", "recipient", value, "model"),),
    )
    view = form("restate", approval, PLACE)
    assert view == form("restate", replace(ASKED, about="endorse"), PLACE)  # the same, whatever the value is
    element = view["blocks"][-1]["element"]
    assert not {"initial_value", "placeholder"} & element.keys()


@pytest.mark.parametrize("verb", ["edit", "deny", "restate", "code"])
def test_a_form_remembers_what_was_clicked_and_slack_takes_it(verb: str) -> None:
    view = form(verb, ASKED, PLACE)
    assert read_place(view) == PLACE
    assert all(valid(block) for block in view["blocks"])
    assert all(len(view[name]["text"]) <= 24 for name in ("title", "submit", "close"))


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"bot_token": None}, "BOT_TOKEN"),
        ({"bot_token": "xoxp-a-person"}, "BOT_TOKEN"),
        ({"app_token": "xoxb-1"}, "APP_TOKEN"),
        ({"channel": None}, "CHANNEL"),
        ({"app_token": None}, "SIGNING_SECRET"),
        ({"app_token": None, "signing_secret": "s", "listen": "3000"}, "LISTEN"),
    ],
)
def test_a_wrong_setting_is_named(wrong: dict[str, Any], named: str) -> None:
    right: dict[str, Any] = {"bot_token": "xoxb-1", "app_token": "xapp-1", "channel": "C1"}
    SlackSettings(**right).check()
    with pytest.raises(SlackMisconfigured, match=f"STANCHION_SLACK_{named}"):
        SlackSettings(**{**right, **wrong}).check()


def test_secrets_are_not_in_what_is_printed() -> None:
    settings = SlackSettings(bot_token="xoxb-secret", app_token="xapp-secret", signing_secret="secret")
    assert "secret" not in repr(settings).replace("signing_secret", "")
