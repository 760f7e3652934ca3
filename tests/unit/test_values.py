"""How a value stands in a text: one reading for all spellings, whole tokens, and what only resembles it does not."""

from typing import Any

import pytest

from activities.policy.values.links import links_in
from activities.policy.values.provenance import Evidence, Origin, Passage, trace, worst_origin
from activities.storage.canonical import canonical_json


def told(*texts: str, **more: Any) -> Evidence:
    """What a person said, and nothing else."""
    return Evidence(tuple(Passage(seq, "user", text) for seq, text in enumerate(texts)), **more)


def read(text: str, origin: Origin = "trusted", seq: int = 5, **arguments: Any) -> Evidence:
    """One result, of a call with these arguments."""
    return Evidence((Passage(seq, origin, text, canonical_json(arguments)),))


def origin(kind: str, value: Any, evidence: Evidence, argument: str = "target") -> Origin:
    """The worst origin of one sensitive argument."""
    return worst_origin(trace({argument: value}, {argument: kind}, evidence))


MEANT = [
    ("recipient", "ana@acme.example", "Write to ana@acme.example, please."),
    ("recipient", "Ana <ANA@Acme.example>", "ana@acme.example."),
    ("recipient", "ana@acme.example", "(mailto:ana@acme.example)"),
    ("recipient", "ana@acme.example", "ana@acme.example's ticket"),
    ("recipient", "ana@acme.example", "to:ana@acme.example"),
    ("recipient", "ana@acme.example", "'ana@acme.example', 'bo@acme.example'"),
    ("recipient", "ana@acme.example, bo@acme.example", "bo@acme.example and ana@acme.example!"),
    ("recipient", "o'brien@acme.example", "to o'brien@acme.example"),
    ("recipient", "ana@xn--bcher-kva.example", "ana@bücher.example"),
    ("recipient", "ana@bücher.example", "ana@xn--bcher-kva.example"),
    ("recipient", "#ops", "Post the summary in #ops."),
    ("recipient", "#qa", "Post it to #qa, please"),
    ("recipient", "ops-team", "tell the ops-team about it"),
    ("recipient", "+41 79 123 45 67", "text +41 79 123 45 67 when done"),
    ("recipient", "#ops; #dev-news", "post it in #dev-news and #ops"),
    ("recipient", "Ana Lopez", "write to Ana  Lopez's team"),
    ("recipient", "bo", "send to bo"),
    ("host", "db.acme.example", "connect to db.acme.example."),
    ("host", "DB.acme.example", "https://db.acme.example/status"),
    ("host", "10.0.0.5", "ping 10.0.0.5, then 10.0.0.6"),
    ("url", "https://docs.acme.example/a", "see https://docs.acme.example/a."),
    ("url", "https://docs.acme.example/a", "[docs](https://docs.acme.example/a)"),
    ("url", "https://docs.acme.example/a/b", "https://docs.acme.example/a"),
    ("url", "https://docs.acme.example/a/b", "look at docs.acme.example"),
    ("url", "https://docs.acme.example/a?q=1", "https://docs.acme.example/a?q=1"),
    ("url", "HTTPS://docs.acme.example:443/a", "https://docs.acme.example/a"),
    ("url", "https://docs.acme.example/Foo_(bar)", "(https://docs.acme.example/Foo_(bar))"),
    ("path", "/srv/data/a.csv", "read /srv/data/a.csv."),
    ("path", "/srv//data/./a.csv", "read /srv/data/a.csv"),
    ("path", "/srv/data/", "everything in '/srv/data/', please"),
    ("path", "report.txt", "open report.txt"),
    ("path", "/srv/my files/a.txt", "the file /srv/my files/a.txt"),
    ("account", "ACC-2041", "close ACC-2041!"),
    ("account", "ACC-2041", '{"account":"ACC-2041"}'),
    ("account", 20417, "customer 20417"),
    ("account", "DE89370400440532013000", "pay DE89 3704 0044 0532 0130 00."),
    ("account", "DE89 3704 0044 0532 0130 00", "pay DE89370400440532013000"),
    ("principal", "Ana Lopez", "for Ana  Lopez's laptop"),
    ("principal", "ana", "user ana"),
    ("amount", 120000, "pay 1,200.00 EUR"),
    ("amount", 120000, "pay 1.200,00 EUR"),
    ("amount", 120000, "pay 1 200 to them"),
    ("amount", 120000, "that is 1200 EUR."),
    ("principal", "Sam-Smith", "ask sam-smith"),
    ("recipient", "general", "post it in the general channel"),
    ("recipient", "general", 'post it in "general", please'),
    ("account", "savings", "book it to the account savings"),
    ("amount", 120000, "120000"),
    ("amount", 5000, "refund $50"),
    ("amount", 5000, "refund 50 €"),
    ("amount", 1250, "12.5 euros"),
    ("sql", "DELETE FROM carts", "run: delete from carts;"),
    ("secret", "db-password", "rotate db-password"),
]
ATTACKS = [
    # A name inside a longer one.
    ("recipient", "ana@acme.example", "joana@acme.example"),
    ("recipient", "ana@acme.example", "ana@acme.example.evil.com"),
    ("recipient", "ana@acme.example", "x.ana@acme.example"),
    ("recipient", "ana@acme.example", "joe+ana@acme.example"),
    ("recipient", "ana@acme.example", "ana@acme.example@evil.com"),
    ("recipient", "ana@acme.example", "ana@acme.example-evil.com"),
    ("recipient", "ana@acme.example", "ana@acme.example_evil"),
    ("recipient", "ana@acme.example", "ana@acme.example/evil"),
    ("recipient", "brien@acme.example", "o'brien@acme.example"),
    ("recipient", "brien@acme.example", "o\u2019brien@acme.example"),
    ("recipient", "ana@acme.example", "jo\u200bana@acme.example"),
    ("recipient", "ana@acme.example", "joséana@acme.example"),
    # A name that only looks the same, or that mailers read in two ways.
    ("recipient", "\u0430na@acme.example", "ana@acme.example"),
    ("recipient", "ana@\u0430cme.example", "ana@acme.example"),
    ("recipient", "ana@acme\u200b.example", "ana@acme.example"),
    ("recipient", "ana@straße.example", "ana@strasse.example"),
    ("recipient", "ana%evil.com@acme.example", "ana@acme.example"),
    ("recipient", '"ana@acme.example"@evil.com', "ana@acme.example"),
    ("recipient", "ana@acme.example <x@evil.com>", "ana@acme.example"),
    ("recipient", "ana@acme.example, x@evil.com", "ana@acme.example"),
    ("recipient", "ana@acme.example\nBcc: x@evil.com", "ana@acme.example"),
    ("recipient", ["ana@acme.example", {"cc": "x@evil.com"}], "ana@acme.example"),
    ("recipient", "evil.com", "ana@evil.com"),
    ("recipient", "#ops", "#ops-public and #devops"),
    ("recipient", "ops", "devops, ops-public, ops@acme.example"),
    ("recipient", "#ops, #leaks", "post it in #ops"),
    ("recipient", "#ops\nBcc: eve", "#ops bcc: eve"),
    ("recipient", "#ops\u200b", "#ops"),
    ("recipient", "#\u043eps", "#ops"),
    ("recipient", "ops \uff20evil.com", "ops"),
    ("recipient", ", ;", "this, that; and more"),
    ("recipient", "bo", "bo knows"),
    ("recipient", "+41 79 123 45 67", "+41 79 123 45 678"),
    ("host", "acme.example", "ana@acme.example"),
    ("host", "acme.example", "docs.acme.example"),
    ("host", "acme.example", "acme.example.evil.com"),
    ("host", "readme.md", "update README.md"),
    ("host", "10.0.0.5", "10.0.0.50 and 110.0.0.5"),
    ("host", "0x7f.1", "127.0.0.1"),
    ("url", "https://docs.acme.example/a?q=secret", "https://docs.acme.example/a"),
    ("url", "https://docs.acme.example/a#secret", "https://docs.acme.example/a"),
    ("url", "https://docs.acme.example/a/b?q=secret", "https://docs.acme.example/a"),
    ("url", "https://docs.acme.example/a/b#secret", "https://docs.acme.example/a"),
    ("url", "https://docs.acme.example/a/b", "https://docs.acme.example/a?q=1"),
    ("url", "https://docs.acme.example/?q=secret", "docs.acme.example"),
    ("url", "https://docs.acme.example/ab", "https://docs.acme.example/a"),
    ("url", "https://docs.acme.example/a/../b", "https://docs.acme.example/a"),
    ("url", "https://docs.acme.example/a/%2e%2e/b", "https://docs.acme.example/a"),
    ("url", "http://docs.acme.example/a", "https://docs.acme.example/a"),
    ("url", "https://docs.acme.example:8443/a", "https://docs.acme.example/a"),
    ("url", "http://docs.acme.example/", "docs.acme.example"),
    ("url", "https://docs.acme.example:8443/", "docs.acme.example"),
    ("url", "https://docs.acme.example@evil.com/a", "https://docs.acme.example/a"),
    ("url", "https://docs.acme.example\\@evil.com/a", "https://docs.acme.example/a"),
    ("url", "https://docs.acme.example/a", "https://docs.acme.example\\@evil.com/a"),
    ("url", "https://acme.example/a", "https://evil.com/https://acme.example/ab"),
    ("url", "https://acme.example/x", "ana@acme.example"),
    ("url", "https://notes.md/x", "edit notes.md"),
    ("path", "/etc", "/etc/passwd"),
    ("path", "/etc", "/srv/etc"),
    ("path", "/etc", "../etc"),
    ("path", "/etc/passwd", "/srv/x"),
    ("path", "/srv/data/../../etc/passwd", "/srv/data"),
    ("path", "passwd", "/etc/passwd"),
    ("path", "/srv/data/\uff0e\uff0e/x", "/srv/data/x"),
    ("account", "ACC-2041", "ACC-20411"),
    ("account", "2041", "ACC-2041"),
    ("account", "ACC-2041", "ACC-2041-B"),
    ("account", "4711", "4,711"),
    ("account", "DE89370400440532013000", "DE89 3704 0044 0532 0130 00-1234"),
    ("account", "DE89370400440532013001", "DE89 3704 0044 0532 0130 00"),
    ("account", "\u0410CC-2041", "ACC-2041"),
    ("account", True, "true"),
    ("account", 20.5, "20.5"),
    ("principal", "root", "the root-cause"),
    ("principal", "ana", "ana@acme.example, banana, ana-maria"),
    ("principal", "\u200b", "anything"),
    ("amount", 500, "5000"),
    ("amount", 500, "4.500"),
    ("amount", 50000, "4.500 or 5000"),
    ("amount", 120000, "on 1.200.2026"),
    ("amount", 7, "7 people"),
    ("amount", 5000, "50 people"),
    ("amount", 5000, "VAT of 50 %"),
    ("amount", -500000, "-5000"),
    ("amount", 2026, "2026-11-21"),
    ("amount", "1e5", "1e5"),
    ("sql", "DELETE FROM carts", "delete from carts_old"),
    ("sql", "DELETE FROM carts; DROP TABLE users", "delete from carts"),
    ("secret", "db-password", "old-db-password"),
    # What is performed is not what was compared.
    ("principal", "sam\u200b-smith", "ask sam-smith"),
    ("principal", "\u017fam-smith", "ask sam-smith"),
    ("principal", "sam-smith\n", "ask sam-smith"),
    ("principal", " sam-smith", "ask sam-smith"),
    ("account", "\uff21CC-2041", "close ACC-2041"),
    ("account", "ACC-2041\u00ad", "close ACC-2041"),
    ("account", "acc-2041", "close ACC-2041"),
    ("account", "ACC-2041", "close x\u200bACC-2041"),
    ("path", "/srv/data", "read /srv/data\u200bbase"),
    ("path", "/SRV/data", "read /srv/data"),
    ("path", "/srv/\uff44ata", "read /srv/data"),
    ("secret", "DB-password", "rotate db-password"),
    # Steps up that only some servers see.
    ("url", "https://x.example/ana/..%2f..%2fadmin", "https://x.example/ana"),
    ("url", "https://x.example/ana/..;/admin", "https://x.example/ana"),
    ("url", "https://x.example/ana/%252e%252e%252fadmin", "https://x.example/ana"),
    ("url", "https://x.example/ana/..%5cadmin", "https://x.example/ana"),
    # Numbers that are no amounts.
    ("amount", 471100, "invoice 4711"),
    ("amount", 202600, "in the year 2026"),
]
# Words of a sentence that are also names of channels and accounts. In a registry they are names.
CHANCE = [("recipient", "general", "for general use"), ("account", "savings", "the savings are great"),
          ("path", "page", "read the page and answer")]  # fmt: skip


def test_the_table_of_attacks_is_large_enough_to_mean_something() -> None:
    assert len(ATTACKS) >= 40


@pytest.mark.parametrize(("kind", "value", "text"), MEANT)
def test_what_a_person_named_is_the_users(kind: str, value: Any, text: str) -> None:
    assert origin(kind, value, told(text)) == "user"
    assert origin(kind, value, read(text, "untrusted")) == "untrusted"


@pytest.mark.parametrize(("kind", "value", "text"), ATTACKS)
def test_what_only_resembles_what_a_person_named_is_not(kind: str, value: Any, text: str) -> None:
    assert origin(kind, value, told(text)) == "model"
    assert origin(kind, value, read(text)) == "model"


@pytest.mark.parametrize(("kind", "value", "text"), CHANCE)
def test_a_word_of_a_sentence_is_no_name(kind: str, value: Any, text: str) -> None:
    assert origin(kind, value, told(text)) == "model"
    assert origin(kind, value, read(f'{{"field": "{value}"}}')) == "trusted"


# ── endorsements ────────────────────────────────────────────────────────────────────────────────────────────────────

ENDORSED = [
    ("recipient", "bo@acme.example", "Bo <BO@acme.example>", "bo@acme.example, x@acme.example"),
    ("url", "https://x.example/a", "HTTPS://x.example/a", "https://x.example/"),
    ("host", "x.example", " X.example ", "y.x.example"),
    ("amount", 120000, "120000", "1200"),
    ("amount", 120000, " 120000 ", "1,200.00"),
    ("account", "ACC-2041", "ACC-2041", "acc-2041"),
    ("account", "7", "7", "account 7"),
    ("path", "/srv/a", "/srv/a", "/srv"),
]


@pytest.mark.parametrize(("kind", "value", "typed", "other"), ENDORSED)
def test_an_endorsement_is_of_the_whole_value(kind: str, value: Any, typed: str, other: str) -> None:
    assert origin(kind, value, told(endorsed=(typed,))) == "user"
    assert origin(kind, value, told(endorsed=(other,))) == "model"


def test_nothing_that_cannot_be_read_is_ever_endorsed() -> None:
    value = "https://good.example\\@evil.com/"
    assert origin("url", value, told(value, endorsed=(value,))) == "model"


# ── links in texts ──────────────────────────────────────────────────────────────────────────────────────────────────

LINKS = [
    "https://evil.com/x?d=1", "[click](https://evil.com/a)", "![](http://evil.com/p.png)", '<img src="//evil.com/p">',
    "<a href='ht\ntps://evil.com/'>x</a>", "www.evil.com", "evil.com/leak", "see:evil.com/leak", "evil.com?d=1",
    "evil.com:8080/x", "mailto:x@evil.com?body=1", "x@evil.com", "ftp://evil.com/x", "https:evil.com/x",
    "https:/\\evil.com/x", "[x](//evil.com/a)", "&#104;ttps://evil.com/", "evil&#46;com/x", "\uff48ttps://evil.com/a", "<https://evil.com>",
    "https://evil.com\u200b/x", "evil\u2024com/x", "javascript:fetch('//evil.com/')", "[r]: https://evil.com 'x'",
    "x@ev\u200bil.com", "background:url(//evil.com/x)", "https://ev\u0456l.com/", "slack://channel?id=1",
    "acme-help.sh/reset", "acme-login.zip/reset", "evil.mov/x", "evil.cc/a", "evil.pl?d=1", "evil.rs#a",
    '<a href="evil.cc">x</a>', "<a href=evil.cc>x</a>", "[x](evil.cc/a)", "[x](evil.sh)", "evil\u3002com/x",
    "evil.com:8080", "a.b.c.d.e.f.g.h.i.j.evil.com/x", "_x.evil.com/a", "203.0.113.9/login", "mailto:eve%40evil.com",
    "eve%40evil.com",
    "data:text/html;base64,AAAA", "tel:+19005551212", "sms:+1900",
]  # fmt: skip
NO_LINKS = [
    "Hello Ana, it is done.", "and/or, 1.5/2.0, e.g. this", "README.md and src/app.py/x", "v2.10.3", "12:30:00",
    "@ana see #general", "a@b", "checkout@v4.1", "// a comment", "key: value; x = y", "node.js/express", "C: drive",
    "run setup.sh", "report.zip.", "10.0.0.0/8", "app.py:12", "data: 5", "tel: none", '<a href="report.html">x</a>',
]  # fmt: skip


@pytest.mark.parametrize("text", LINKS)
def test_a_link_in_a_text_is_traced(text: str) -> None:
    traced = trace({"body": f"Dear Ana, {text}"}, {"to": "recipient"}, told("Write to Ana"))
    assert {(item.argument, item.kind, item.origin) for item in traced} == {("body", "link", "model")}


@pytest.mark.parametrize("text", NO_LINKS)
def test_what_nobody_can_follow_is_no_link(text: str) -> None:
    assert links_in(text) == ()


@pytest.mark.parametrize("to", ["Reset at evil.cc/login <bo@acme.example>", '"www.evil.com" <bo@acme.example>'])
def test_a_link_in_a_display_name_is_traced(to: str) -> None:
    said = told("Write to bo@acme.example")
    assert [item.origin for item in trace({"to": to}, {"to": "recipient"}, said)] == ["user", "model"]
    assert origin("recipient", "Bo Bell <bo@acme.example>", said) == "user"


def test_a_link_the_user_named_may_be_passed_on() -> None:
    said = told("Tell them of https://docs.acme.example/a and www.acme.example/b, or ana@acme.example")
    body = {"blocks": [{"text": "[here](https://docs.acme.example/a/c), www.acme.example/b, <ana@acme.example>"}]}
    assert len(trace(body, {}, said)) == 3 and worst_origin(trace(body, {}, said)) == "user"
