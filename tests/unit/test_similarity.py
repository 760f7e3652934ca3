"""Sketches of arguments: what is worded differently is near, what is about something else is far, with a margin."""

from typing import Any

from workflows.similarity import distance, sketch_of

Pair = tuple[Any, Any]


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


if __name__ == "__main__":
    for name, pairs in (("alike", REWORDED), ("other", OTHERS)):
        for pair in pairs:
            print(name, apart(pair), *pair)
