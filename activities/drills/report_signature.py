"""Verifies the signature of a stored drill report. Pure."""

import json
from collections.abc import Sequence
from typing import Any, Literal

from activities.identity.principals import Key
from activities.identity.signatures import verify

Proof = Literal["signed", "unsigned", "unknown key", "forged"]


def verify_report(row: Any, keys: Sequence[Key]) -> Proof:
    """Verify a row of `drills`. `unknown key`: the key was not valid when the row was stored. `forged`: no match."""
    if row["proof"] != "signature":
        return "unsigned"
    valid_keys = [
        key for key in keys if key.key == row["key"] and (key.revoked_at is None or key.revoked_at > row["at"])
    ]
    statement = json.loads(row["statement"])
    is_of_report = statement == {"kind": "drill", "by": row["by"], "report": json.loads(row["report"])}
    if is_of_report and any(verify(key.public, statement, row["signature"]) for key in valid_keys):
        return "signed"
    return "forged" if valid_keys or not is_of_report else "unknown key"
