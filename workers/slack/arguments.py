"""Formats the arguments of a call for people, with hidden characters made visible, and parses their edits. Pure."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any

from workflows.visible import show_hidden_characters

SHOWN_LIMIT = 2_800  # characters in one block; Slack refuses blocks over 3,000
STRING_LIMIT = 300  # characters of one string if all does not fit, so that a long string does not hide the others
EDIT_LIMIT = 3_000  # characters; Slack's limit for the input of a form


class EditInvalid(ValueError):
    """The typed text is not a valid set of arguments; the message says why."""


@dataclass(frozen=True)
class FormattedArguments:
    """The arguments as a card shows them. `note` is empty, or says that they were cut."""

    text: str
    note: str = ""


def format_arguments(canonical: str) -> FormattedArguments:
    """Format canonical JSON for a card, cut to SHOWN_LIMIT characters."""
    value = json.loads(canonical)
    full_text = show_hidden_characters(_pretty(value))
    if len(full_text) <= SHOWN_LIMIT:
        return FormattedArguments(full_text)
    text = show_hidden_characters(_pretty(_shortened(value)))[:SHOWN_LIMIT]
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    note = f"cut: the arguments have {len(canonical)} characters of JSON, SHA-256 {digest}"
    return FormattedArguments(text, note)


def editable_json(canonical: str) -> str | None:
    """Return the arguments as JSON to edit, with hidden characters as \\u escapes; None if too long for a form."""
    pretty = _pretty(json.loads(canonical))
    text = "".join(char if show_hidden_characters(char) == char else json.dumps(char)[1:-1] for char in pretty)
    return text if len(text) <= EDIT_LIMIT else None


def parse_edit(text: str) -> dict[str, Any]:
    """Parse the arguments that a person typed. Raises EditInvalid."""
    try:
        value = json.loads(text, object_pairs_hook=_unique_names, parse_constant=_refuse_constant)
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


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a name occurs twice")
    return values


def _refuse_constant(constant: str) -> Any:
    raise ValueError(f"{constant} is not a JSON number")
