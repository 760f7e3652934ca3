"""Where a value came from, whatever was read: no data makes a value better, and a look at few texts misses none."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.policy.values.provenance import Evidence, ModelArguments, Origin, Passage, trace, worst_origin
from activities.storage.canonical import canonical_json


def told(*texts: str, **more: Any) -> Evidence:
    """What a person said, and nothing else."""
    return Evidence(tuple(Passage(seq, "user", text) for seq, text in enumerate(texts)), **more)


def origin(kind: str, value: Any, evidence: Evidence, argument: str = "target") -> Origin:
    """The worst origin of one sensitive argument."""
    return worst_origin(trace({argument: value}, {argument: kind}, evidence))


RANK: dict[Origin, int] = {"user": 0, "trusted": 1, "untrusted": 2, "model": 2}  # the last two anchor nothing
words = st.text(st.sampled_from("abcxyz019-. @/_é\u200b\n"), min_size=1, max_size=12)
values = st.one_of(
    words,
    st.sampled_from(["ana@acme.example", "https://x.example/a", "x.example", "/srv/a", "ACC-2041", "7", "1,200.00"]),
)
kinds = st.sampled_from(["recipient", "url", "host", "path", "account", "principal", "amount", "sql", "secret"])
passages = st.lists(
    st.builds(
        Passage,
        st.integers(0, 9),
        st.sampled_from(["user", "trusted", "untrusted"]),
        st.lists(values, max_size=3).map(" ".join),
    ),
    max_size=4,
).map(tuple)


@given(kinds, values, passages, values)
def test_more_untrusted_data_never_makes_a_value_better(
    kind: str, value: str, known: tuple[Passage, ...], page: str
) -> None:
    before = origin(kind, value, Evidence(known))
    after = origin(kind, value, Evidence((*known, Passage(9, "untrusted", page))))
    assert (RANK[after] >= RANK[before] and after != "trusted") or after == before


@given(kinds, values, passages)
def test_fewer_words_of_a_person_never_make_a_value_better(kind: str, value: str, known: tuple[Passage, ...]) -> None:
    silent = tuple(passage for passage in known if passage.origin != "user")
    assert RANK[origin(kind, value, Evidence(silent))] >= RANK[origin(kind, value, Evidence(known))]


@given(kinds, values, passages, values)
def test_more_that_the_model_said_never_makes_a_value_better(
    kind: str, value: str, known: tuple[Passage, ...], said: str
) -> None:
    after = origin(kind, value, Evidence(known, (ModelArguments(0, canonical_json({"x": said})),)))
    assert RANK[after] >= RANK[origin(kind, value, Evidence(known))]


@given(st.text("abcdefgh", min_size=4, max_size=9), st.sampled_from([" ", ", ", "\n", '"', "(", ": ", " \u2014 "]))
def test_a_token_of_its_own_is_found_and_one_inside_a_longer_one_is_not(name: str, around: str) -> None:
    address = f"{name}@acme.example"
    assert origin("recipient", address, told(f"x{around}{address}{around}y")) == "user"
    assert origin("principal", f"{name}-7", told(f"x{around}{name}-7{around}y")) == "user"
    for inside in (f"z{address}", f"{address}z", f"z.{address}", f"{address}.z"):
        assert origin("recipient", address, told(f"x{around}{inside}{around}y")) == "model"
    for inside in (f"z{name}", f"{name}z", f"z-{name}", f"{name}.z", f"{name}@z", f"z/{name}", f"{name}_z"):
        assert origin("principal", name, told(f"x{around}{inside}{around}y")) == "model"


# ── cost ────────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "piece", ["a@", "https://", "www.", "1,", "1 234 ", "a.", "ticket 7 ", "'", "-", "7", "[(", "\\u", ")", "\\"]
)
def test_hostile_text_takes_time_in_proportion_to_its_length(piece: str) -> None:
    def seconds(size: int) -> float:
        text = "https://x/" + piece * (size // len(piece))
        evidence = Evidence((Passage(0, "user", text), Passage(1, "trusted", text)))
        started = time.process_time()
        sensitive = {"to": "recipient", "url": "url", "n": "amount", "who": "principal"}
        given = {"to": "x@evil.com", "url": "https://evil.com/x", "n": 777, "who": "ev7", "body": text}
        trace(given, sensitive, evidence)
        return time.process_time() - started

    assert seconds(200_000) < 8 * seconds(50_000) + 0.5
