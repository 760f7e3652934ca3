"""Hashes one-time codes, salted with the approval's id; only the hash is stored. Pure."""

import hashlib

CODE_TRIES = 5  # wrong codes before the approval is closed


def code_hash(approval_id: str, code: str) -> str:
    """The SHA-256 of a code and its approval, in hex. Blanks in the code do not count."""
    digits = "".join(code.split())
    return hashlib.sha256(f"{approval_id}/{digits}".encode()).hexdigest()
