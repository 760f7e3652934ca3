"""Whether a drill's report in our tables is what was signed when it was measured. Pure."""

import json
from collections.abc import Sequence
from typing import Any, Literal

from activities.identity.principals import Key
from activities.identity.signatures import verify

Proof = Literal["signed", "unsigned", "unknown key", "forged"]


def verify_report(row: Any, keys: Sequence[Key]) -> Proof:
    """`unknown key`: by none that counted when it was stored. `forged`: the signature is not of this report."""
    if row["proof"] != "signature":
        return "unsigned"
    held = [key for key in keys if key.key == row["key"] and (key.revoked_at is None or key.revoked_at > row["at"])]
    statement = json.loads(row["statement"])
    fits = statement == {"kind": "drill", "by": row["by"], "report": json.loads(row["report"])}
    if fits and any(verify(key.public, statement, row["signature"]) for key in held):
        return "signed"
    return "forged" if held or not fits else "unknown key"
