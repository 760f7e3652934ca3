"""Canonical JSON, so that equal values have equal bytes and digests; and text that every store accepts."""

import hashlib
import json
from typing import Any


def canonical_json(value: Any) -> str:
    """Sorted keys, no spaces, ASCII only. Raises ValueError for NaN and infinity."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def sha256_hex(value: Any) -> str:
    """The SHA-256 of `value`'s canonical JSON, in hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def text_digest(text: str) -> bytes:
    """The SHA-256 of `text` as UTF-8: the key of a blob."""
    return hashlib.sha256(text.encode()).digest()


def clean_text(text: str) -> str:
    """`text` with NUL and lone surrogates replaced by U+FFFD: Postgres, JSON and terminals accept what is left."""
    if "\x00" in text:
        text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    try:
        text.encode()
    except UnicodeEncodeError:
        # A lone surrogate becomes a single replacement character; "replace" alone would write "?".
        text = "".join("\N{REPLACEMENT CHARACTER}" if 0xD800 <= ord(c) <= 0xDFFF else c for c in text)
    return text


def clean(value: Any) -> Any:
    """`clean_text` for every string in a JSON value, keys included."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, dict):
        return {clean_text(str(key)): clean(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value
