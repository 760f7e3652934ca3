"""The index: the few texts it picks are all that name a value, and a view of it stays what it was."""

from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from activities.policy.values.argument_values import values_of
from activities.policy.values.provenance import Evidence, ModelArguments, Passage, trace
from activities.policy.values.text_index import TextIndex
from activities.storage.canonical import canonical_json

NAMES = [
    *("ana@acme.example", "Ana <ANA@Acme.example>", "o'brien@acme.example", "\uff41na\uff20acme.example", "x\u200by"),
    *("ana@bücher.example", "ana@xn--bcher-kva.example", "bücher.example", "http://bücher.example:8443/ä"),
    *("db.acme.example", "10.0.0.5", "[2001:db8::1]", "https://docs.acme.example/a/b?q=1#f", "https://[2001:db8::1]/a"),
    *("/srv/data/./a.csv", "/srv/my files/a.txt", "ACC-2041", "acc_2041", "DE89 3704 0044 0532 0130 00"),
    *("DE89370400440532013000", "1,200.00", "1 200", "120000", "0001200", "٣٤٥٦", "€50", "50", "7", "ticket 7", "#ops"),
    *(
        "+41 79 123 45 67",
        "Ana  Lopez",
        "ﬁnance team",
        "Straße",
        "STRASSE",
        "q\u0303x",
        "a'b",
        "#",
        "delete from carts;",
    ),
]
AROUND = st.sampled_from(["", " ", "\n", "'s", *"'.,()<>\"-_/:xé\u201c\u200b"])
texts = st.lists(st.tuples(AROUND, st.sampled_from(NAMES), AROUND).map("".join), max_size=4).map(" ".join)
passages = st.lists(
    st.builds(
        Passage,
        seq=st.integers(0, 9),
        origin=st.sampled_from(["user", "trusted", "untrusted"]),
        text=st.one_of(texts, texts.map(canonical_json)),
        arguments=st.one_of(st.just(""), texts.map(canonical_json)),
    ),
    max_size=5,
).map(lambda found: tuple(sorted(found, key=lambda passage: passage.seq)))
said = st.lists(st.builds(ModelArguments, st.integers(0, 9), texts.map(canonical_json)), max_size=2).map(tuple)
SECRET = "the password is: correct4horse"
KINDS = ["recipient", "url", "host", "path", "account", "principal", "amount", "sql", "secret"]
values = st.one_of(st.sampled_from([*NAMES, 7, 50, 5000, 1200, 120000, 3456]), texts)


@settings(max_examples=300)
@given(kind=st.sampled_from(KINDS), value=values, body=texts, read=passages, written=said)
def test_looking_at_few_texts_finds_what_looking_at_all_of_them_does(
    kind: str, value: str | int, body: str, read: tuple[Passage, ...], written: tuple[ModelArguments, ...]
) -> None:
    given, kinds = {"ticket": value, "body": body}, {"ticket": kind}
    found = trace(given, kinds, Evidence(read, written))
    with patch.object(TextIndex, "matching", lambda *_: -1):
        assert trace(given, kinds, Evidence(read, written)) == found


def test_a_text_without_the_words_of_a_value_is_not_looked_at() -> None:
    index = TextIndex(Passage(seq, "trusted", f"a page about topic{seq} of acme.example") for seq in range(500))
    index.add(Passage(500, "trusted", "owner: ana@acme.example"))
    [ana] = values_of("recipient", "ana@acme.example", ("to",))
    [nobody] = values_of("recipient", "nobody@acme.example", ("to",))
    view = index.all
    assert [passage.seq for passage in view.candidates(view.matching(ana))] == [500]
    assert not view.matching(nobody)
    assert list(view.candidates(view.matching(ana), "untrusted")) == []


def test_a_view_stays_what_it_was_when_the_index_grows() -> None:
    index = TextIndex([Passage(seq, "trusted", f"owner: user{seq}@acme.example") for seq in range(3)])
    view, early = index.all, index.before(2)
    index.add(Passage(3, "user", "write to eve@acme.example"))
    index.add(Passage(4, "untrusted", "eve@acme.example", suspect="drift"))
    assert (len(early), len(view), len(index.all)) == (2, 3, 5)
    assert [passage.seq for passage in view] == [0, 1, 2] and view[-1].seq == 2 and view[1:][0].seq == 1
    with pytest.raises(IndexError):
        view[3]
    before, after = Evidence(view), Evidence(index.all)
    assert (before.tainted, before.suspect) == (False, None) and (after.tainted, after.suspect) == (True, "drift")
    for evidence, origin in ((before, "model"), (after, "user")):
        assert trace({"to": "eve@acme.example"}, {"to": "recipient"}, evidence)[0].origin == origin
    assert trace({"to": "user2@acme.example"}, {"to": "recipient"}, Evidence(early))[0].origin == "model"


def test_a_secret_is_found_by_whoever_asks_first_and_searched_for_once() -> None:
    index = TextIndex([Passage(0, "user", SECRET), Passage(1, "trusted", "nothing")])
    early = index.all
    assert not Evidence(early).sensitive  # a person gave it
    index.add(Passage(2, "trusted", SECRET))
    assert Evidence(index.all).sensitive and not Evidence(early).sensitive
    with patch("activities.policy.values.provenance.secret_labels_in", side_effect=AssertionError):
        assert Evidence(index.all).sensitive and not Evidence(early).sensitive
