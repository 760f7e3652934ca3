"""The build id that workers report to Temporal: a digest of our own source and of the SDK's version.

The SDK's default hashes the bytecode of every imported module. That takes one to two seconds at each worker start,
and runs wait for that after a crash.
"""

import hashlib
from functools import cache
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("workflows", "activities", "workers")


@cache
def build_id() -> str:
    """Return 16 hex digits that depend on the source of `PACKAGES` and the versions of temporalio and pydantic."""
    digest = hashlib.sha256(f"{version('temporalio')} {version('pydantic')}".encode())
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]
