"""Canonical JSON and digests of values, and text without characters that Postgres or JSON refuse."""

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> str:
    """JSON with sorted keys, no spaces, ASCII only: equal values give equal text. Raises ValueError for NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def sha256_hex(value: Any) -> str:
    """The SHA-256 of `value`'s canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def text_digest(text: str) -> bytes:
    """The SHA-256 of `text` in UTF-8, which is the key of a blob."""
    return hashlib.sha256(text.encode()).digest()


def clean_text(text: str) -> str:
    """`text` with NUL and lone surrogates replaced by U+FFFD, so that Postgres, JSON and terminals accept it."""
    if "\x00" in text:
        text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    try:
        text.encode()
    except UnicodeEncodeError:
        # Not `encode(errors="replace")`: that writes "?" instead of U+FFFD.
        text = "".join("\N{REPLACEMENT CHARACTER}" if 0xD800 <= ord(c) <= 0xDFFF else c for c in text)
    return text


def clean(value: Any) -> Any:
    """Apply `clean_text` to every string in a JSON value, also to keys."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(str(key)): clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value
