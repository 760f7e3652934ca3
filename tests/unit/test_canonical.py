"""One way to write JSON; text that every store accepts; the digest an approval is bound to; results in pages."""

import json
import random
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.gateway.digest import approval_id_for, binding_digest
from activities.gateway.execution.results import (
    ERROR_LIMIT,
    KEPT_LIMIT,
    SHOWN_LIMIT,
    from_error,
    from_value,
    page_of,
    pages_of,
)
from activities.storage.canonical import canonical_json, clean, clean_text, sha256_hex, text_digest
from tests.harness.values import EPOCH, instants, json_values

any_text = st.text(st.characters(), max_size=30)  # NUL and lone surrogates included
dirty_json = st.recursive(
    any_text | st.integers() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=8,
)


def shuffled(value: Any, seed: int) -> Any:
    """The same value with its keys in another order."""
    if isinstance(value, dict):
        items = [(key, shuffled(item, seed)) for key, item in value.items()]
        random.Random(seed).shuffle(items)
        return dict(items)
    return [shuffled(item, seed) for item in value] if isinstance(value, list) else value


@given(value=json_values, seed=st.integers(0, 99))
def test_equal_values_have_equal_bytes(value: Any, seed: int) -> None:
    assert canonical_json(shuffled(value, seed)) == canonical_json(value)
    assert sha256_hex(shuffled(value, seed)) == sha256_hex(value)


@given(json_values)
def test_canonical_json_reads_back_as_it_was_and_is_a_fixed_point(value: Any) -> None:
    text = canonical_json(value)
    assert json.loads(text) == value
    assert canonical_json(json.loads(text)) == text


@given(a=json_values, b=json_values)
def test_different_values_have_different_bytes(a: Any, b: Any) -> None:
    assert (canonical_json(a) == canonical_json(b)) is (json.dumps(a, sort_keys=True) == json.dumps(b, sort_keys=True))


@given(dirty_json)
def test_canonical_json_is_printable_ascii_whatever_is_in_it(value: Any) -> None:
    text = canonical_json(value)
    assert text.isascii() and text.isprintable()


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")])
def test_what_is_no_number_is_refused(number: float) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json({"amount": [number]})


@given(any_text)
def test_clean_text_can_be_stored_and_keeps_what_could_be_stored_before(text: str) -> None:
    cleaned = clean_text(text)
    cleaned.encode()
    assert "\x00" not in cleaned and len(cleaned) == len(text)
    assert clean_text(cleaned) == cleaned
    assert all(a == b or b == "\ufffd" for a, b in zip(text, cleaned, strict=True))
    assert len(text_digest(cleaned)) == 32


@pytest.mark.parametrize(
    ("dirty", "cleaned"), [("a\x00b", "a�b"), ("\ud800", "�"), ("x\udfffy\x00", "x�y�"), ("😀", "😀"), ("", "")]
)
def test_each_unsafe_character_becomes_one_replacement(dirty: str, cleaned: str) -> None:
    assert clean_text(dirty) == cleaned


@given(dirty_json)
def test_clean_reaches_every_text_in_a_value(value: Any) -> None:
    written = json.dumps(clean(value), ensure_ascii=False)
    written.encode()
    assert "\\u0000" not in written


# ── the binding of an approval ──────────────────────────────────────────────────────────────────────────────────────

PARTS = ("tenant", "run_id", "call_id", "tool", "pinned_hash", "arguments", "policy_version", "taint")
words = st.text(max_size=6)
bindings = st.fixed_dictionaries(
    {
        name: words
        for name in ("tenant", "run_id", "call_id", "tool", "pinned_hash", "arguments", "policy_version", "taint")
    }
    | {"expires_at": st.none() | instants}
)


@given(one=bindings, data=st.data())
def test_any_change_of_the_call_changes_its_digest(one: dict[str, Any], data: st.DataObject) -> None:
    part = data.draw(st.sampled_from(sorted(one)))
    other = data.draw(bindings.map(lambda b: b[part]).filter(lambda v: v != one[part]))
    assert binding_digest(**one) == binding_digest(**dict(one))
    assert binding_digest(**one) != binding_digest(**{**one, part: other})


@given(one=bindings, data=st.data())
def test_text_that_moves_between_parts_changes_the_digest(one: dict[str, Any], data: st.DataObject) -> None:
    first, second = data.draw(st.sampled_from([("tenant", "run_id"), ("tool", "pinned_hash"), ("call_id", "tool")]))
    moved = {**one, first: one[first] + one[second], second: ""}
    assert (binding_digest(**moved) == binding_digest(**one)) is (one[second] == "")


def test_an_expiry_a_microsecond_later_is_another_approval() -> None:
    def at(expires_at: datetime) -> str:
        parts = dict.fromkeys(PARTS, "x")
        return binding_digest(**parts, expires_at=expires_at)

    assert at(EPOCH) != at(EPOCH + timedelta(microseconds=1))


def test_the_name_of_an_approval_is_the_same_on_every_attempt() -> None:
    name = approval_id_for("r", "1.0", "call", None)
    assert name == approval_id_for("r", "1.0", "call", None) and name.startswith("ap-") and len(name) == 15
    others = [("q", "1.0", "call", None), ("r", "1.1", "call", None), ("r", "1.0", "unknown", None)]
    assert name not in {approval_id_for(*other) for other in [*others, ("r", "1.0", "call", 1)]}


# ── results ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def body(page: str) -> str:
    """A page without the line that says which it is."""
    return page[: page.rindex("\n… (page ")]


@given(
    length=st.integers(0, 4 * SHOWN_LIMIT) | st.sampled_from([k * SHOWN_LIMIT + d for k in (1, 2) for d in (-1, 0, 1)])
)
def test_the_pages_put_together_are_the_whole(length: int) -> None:
    text = "".join(chr(97 + i % 23) for i in range(length))
    assert "".join(body(page_of(text, n)) for n in range(1, pages_of(text) + 1)) == text
    with pytest.raises(ValueError, match="pages"):
        page_of(text, pages_of(text) + 1)


@pytest.mark.parametrize("length", [0, 1, SHOWN_LIMIT])
def test_a_result_that_fits_is_shown_whole(length: int) -> None:
    result = from_value("x" * length, "trusted", "1.0")
    assert (result.text, result.spilled, result.spill_digest) == ("x" * length, None, None)


def test_a_long_result_shows_its_first_page_and_says_how_to_read_on() -> None:
    text = "x" * SHOWN_LIMIT + "y"
    result = from_value(text, "untrusted", "3.1")
    assert result.text.startswith("x" * SHOWN_LIMIT) and "y" not in result.text.partition("\n")[0]
    assert "page 1 of 2" in result.text and "read_output(call_id='3.1', page=2)" in result.text
    assert (result.spilled, result.size, result.origin) == (text, len(text), "untrusted")
    assert result.spill_digest == text_digest(text)


def test_a_result_beyond_all_measure_is_not_kept_and_says_that_the_tool_ran() -> None:
    result = from_value("x" * (KEPT_LIMIT + 1), "trusted", "1.0")
    assert result.is_error and "ran" in result.text and result.spilled is None


def test_data_is_shown_as_json_and_text_as_it_is() -> None:
    assert from_value({"a": "é"}, "trusted", "1.0").text == '{"a": "é"}'
    assert from_value('{"a"', "trusted", "1.0").text == '{"a"'
    assert from_value({"a": "\ud800\x00"}, "trusted", "1.0").text.encode()
    with pytest.raises(ValueError, match="JSON compliant"):
        from_value(float("nan"), "trusted", "1.0")


def test_an_error_is_bounded_and_says_so() -> None:
    result = from_error("e" * (ERROR_LIMIT + 1))
    assert result.is_error and "cut" in result.text and len(result.text) < ERROR_LIMIT + 50
