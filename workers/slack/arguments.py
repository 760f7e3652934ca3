"""Shows the arguments of a call to people exactly, hidden characters included; and reads an edit back. Pure."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from activities.policy.values.canonical_names import show_hidden_characters

SHOWN_LIMIT = 2_800  # characters in one block; Slack refuses blocks over 3,000
STRING_LIMIT = 300  # characters of one text, when all does not fit: a long one must not push the next ones out
EDIT_LIMIT = 3_000  # characters; Slack's limit for what a form takes


class EditInvalid(ValueError):
    """What was typed is no set of arguments; the text says why."""


@dataclass(frozen=True)
class Shown:
    """What a card shows of a call's arguments; `note` says what it does not."""

    text: str
    note: str = ""


def shown(canonical: str) -> Shown:
    """The arguments for a card."""
    value = json.loads(canonical)
    whole = show_hidden_characters(_pretty(value))
    if len(whole) <= SHOWN_LIMIT:
        return Shown(whole)
    text = show_hidden_characters(_pretty(_shortened(value)))[:SHOWN_LIMIT]
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    return Shown(text, f"cut: the arguments have {len(canonical)} characters of JSON, SHA-256 {digest}")


def editable(canonical: str) -> str | None:
    """The arguments as JSON to change, hidden characters written as \\u escapes; None if they do not fit a form."""
    pretty = _pretty(json.loads(canonical))
    text = "".join(char if show_hidden_characters(char) == char else json.dumps(char)[1:-1] for char in pretty)
    return text if len(text) <= EDIT_LIMIT else None


def edited(text: str) -> dict[str, Any]:
    """The arguments that a person typed. Raises EditInvalid."""
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_constant=_refuse)
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise EditInvalid("it contains half a character (a lone \\ud8… escape)") from None
    except RecursionError:
        raise EditInvalid("it is nested too deeply") from None
    except ValueError as error:
        raise EditInvalid(f"it is not valid JSON: {error}") from None
    if not isinstance(value, dict):
        raise EditInvalid("arguments are a JSON object: { … }")
    return value


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)


def _shortened(value: Any) -> Any:
    if isinstance(value, str) and len(value) > STRING_LIMIT:
        return f"{value[:STRING_LIMIT]}… ({len(value) - STRING_LIMIT} more characters)"
    if isinstance(value, dict):
        return {key: _shortened(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_shortened(item) for item in value]
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a name is there twice")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON number")
