"""Sketches of arguments: what is worded differently is near, what is about something else is far, with a margin."""

import json
import time
from typing import Any

import pytest
from hypothesis import given

from tests.harness.values import json_values
from workflows.similarity import ALIKE, distance, significant_arguments, sketch_of

Pair = tuple[Any, Any]
MARGIN = 2  # bits between what is alike, the limit, and what is not


def q(one: str, other: str) -> Pair:
    """Two queries."""
    return {"query": one}, {"query": other}


REWORDED: list[Pair] = [
    q("reset password", "password reset"),
    q("reset password", "Reset the password"),
    q("reset password", "resetting passwords"),
    q("how do I reset my password", "reset password"),
    q("VPN error on laptop", "vpn errors on laptops"),
    q("vpn error laptop windows", "windows laptop vpn error"),
    q("is the export done yet", "is the export done?"),
    q("order status of the customer", "the customer's order status"),
    q("find the invoice of march for acme", "find invoices of March for Acme"),
    q("printer does not print in the office", "the office printer does not print"),
    q("refund policy for damaged goods", "refund policies for damaged goods please"),
    q("cannot log in to the mail account", "cannot log into mail account again"),
    q("latest deployment logs of payment service", "payment service latest deployment log"),
    q("user complains about slow network connection", "users complain about slow network connections"),
    q("status of ticket 4711", "ticket 4711: status?"),
    q("open incidents for host db-7", "incidents open for host db-7"),
    q("accomodation in berlin city center", "accommodation in Berlin city center"),
    (
        {"to": "bo@acme.example", "text": "Hello, your ticket moved."},
        {"to": "bo@acme.example", "text": "hello! your ticket has moved"},
    ),
    ({"path": "a/b.txt", "page": 1}, {"path": "a/b.txt", "page": 2}),
    ({"job": "export-17", "attempt": 3}, {"job": "export-17", "attempt": 4}),
    ({"query": "VPN"}, {"query": "vpn"}),
    ({"query": "printers"}, {"query": "printer"}),
    ({"query": "printing"}, {"query": "printed"}),
    (
        {"to": "bo", "cents": 500, "idempotency_key": "1b9d6bcd"},
        {"to": "bo", "cents": 500, "idempotency_key": "9b2c33"},
    ),
    ({"to": "bo", "clientToken": "a"}, {"to": "bo", "clientToken": "b"}),
    ({"query": "open tickets of the team", "limit": 10}, {"query": "open tickets of the team", "limit": 50}),
]

OTHERS: list[Pair] = [
    q("reset password", "printer jam"),
    q("reset password", "order new laptop"),
    q("vpn error on laptop", "holiday calendar of berlin"),
    q("invoice of march for acme", "contract of june with globex"),
    q("status of ticket 4711", "status of ticket 4712"),
    q("reset password", "reset router firmware settings"),
    q("refund policy for damaged goods", "travel policy for new employees"),
    q("cannot log in to mail", "mail server certificate expires"),
    q("open incidents for host db-7", "open incidents for host db-8"),
    q("latest logs of payment service", "latest price of shipping containers"),
    q("who owns the billing queue", "how large is the search index"),
    ({"to": "bo@acme.example", "text": "Your ticket moved."}, {"to": "ana@acme.example", "text": "Your ticket moved."}),
    ({"sku": "SKU-0001"}, {"sku": "SKU-0002"}),
    ({"order": 100_001}, {"order": 100_002}),
    ({"path": "src/a.py"}, {"path": "src/b.py"}),
    ({"cursor": "eyJhIjoxfQ"}, {"cursor": "eyJhIjoyfQ"}),
    ({"name": "apple"}, {"name": "pear"}),
    ({"nonce": "1b9d6bcd"}, {"nonce": "9b2c33"}),
    ({"request_id": "1b9d6bcd", "verdict": "yes"}, {"request_id": "9b2c33", "verdict": "yes"}),
    ({"job": "x", "trace_id": "1b9d6bcd"}, {"job": "x", "trace_id": "9b2c33"}),
    ({"status": "open"}, {"status": "closed"}),
    ({"deep": {"list": ["a", "b"]}}, {"deep": {"list": ["a", "c"]}}),
    ({"active": True}, {"active": False}),
    ({"url": "https://a.example/1"}, {"url": "https://a.example/2"}),
    ({"from": "a b", "to": "c d"}, {"from": "c d", "to": "a b"}),
]


def apart(pair: Pair, *, reads: bool = True) -> int:
    """The distance of two calls' arguments."""
    one, other = (int(sketch_of(arguments, reads=reads).bits, 16) for arguments in pair)
    return distance(one, other)


def test_there_are_pairs_enough() -> None:
    assert len(REWORDED) >= 20 and len(OTHERS) >= 20


@pytest.mark.parametrize("pair", REWORDED, ids=str)
def test_the_same_in_other_words_is_alike(pair: Pair) -> None:
    assert apart(pair) <= ALIKE - MARGIN


@pytest.mark.parametrize("pair", OTHERS, ids=str)
def test_what_is_about_something_else_is_not(pair: Pair) -> None:
    assert apart(pair) >= ALIKE + MARGIN


@given(arguments=json_values)
def test_only_what_tells_one_attempt_from_another_is_left_out_and_never_everything(arguments: Any) -> None:
    assert significant_arguments(arguments) == arguments
    if isinstance(arguments, dict) and arguments:
        assert significant_arguments(arguments | {"Idempotency-Key": "x"}) == arguments
    assert significant_arguments({"nonce": 1}) == {"nonce": 1}


def test_a_number_is_what_a_write_is_about_and_where_a_read_looks() -> None:
    pair = {"ticket": 1}, {"ticket": 2}
    assert apart(pair, reads=True) == 0
    assert apart(pair, reads=False) > ALIKE


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ({"sku": "SKU-1"}, {"sku": "SKU-2"}, True),
        ({"customer": "Bo Miller"}, {"customer": "Ana Stone"}, True),
        ({"q": "price of SKU-1"}, {"q": "price of SKU-2"}, True),
        ({"q": "reset password"}, {"q": "printer jam"}, False),
        ({"sku": "SKU-1"}, {"name": "SKU-1"}, False),
    ],
)
def test_a_shape_is_the_same_for_all_items_of_a_batch(one: Any, other: Any, equal: bool) -> None:
    assert (sketch_of(one, reads=True).shape == sketch_of(other, reads=True).shape) is equal


@given(arguments=json_values)
def test_everything_has_a_sketch_and_always_the_same(arguments: Any) -> None:
    sketch = sketch_of(arguments, reads=True)
    assert sketch == sketch_of(json.loads(json.dumps(arguments)), reads=True)
    assert len(sketch.bits) == 16 and len(sketch.shape) == 4
    assert distance(int(sketch.bits, 16), int(sketch.bits, 16)) == 0


def test_a_sketch_is_the_same_on_every_machine() -> None:
    """What was stored by one worker is compared with what another stores, perhaps months later."""
    assert sketch_of({"query": "reset password", "page": 2}, reads=True) == ("6a6ee45b302f68a1", "5642")


def test_a_long_text_that_differs_only_far_behind_is_another_text() -> None:
    head = "the plan is good and complete " * 200
    assert apart(({"text": head + "with an end"}, {"text": head + "without one"})) > ALIKE


@pytest.mark.parametrize("text", ["x " * 2_000_000, "ab" * 2_000_000, " ".join(map(str, range(300_000)))])
def test_huge_arguments_are_sketched_in_no_time(text: str) -> None:
    started = time.monotonic()
    sketch_of({"text": text, "list": ["a b"] * 100_000}, reads=False)
    assert time.monotonic() - started < 5  # milliseconds on an idle machine
