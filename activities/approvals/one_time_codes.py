"""One-time codes: only their hash is stored, salted with the approval they are for. Pure."""

import hashlib

CODE_TRIES = 5  # wrong codes before the approval is closed


def code_hash(approval_id: str, code: str) -> str:
    """What is stored of a code."""
    digits = "".join(code.split())
    return hashlib.sha256(f"{approval_id}/{digits}".encode()).hexdigest()
