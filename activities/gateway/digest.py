"""The digest that binds an approval to one exact call, and the id of an approval."""

from datetime import datetime

from activities.storage.canonical import sha256_hex


def binding_digest(
    *,
    tenant: str,
    run_id: str,
    call_id: str,
    tool: str,
    pinned_hash: str,
    arguments: str,
    policy_version: str,
    taint: str,
    expires_at: datetime | None,
) -> str:
    """SHA-256 over the exact call; if any part changes, the approval no longer fits.

    `arguments` is canonical JSON, so equal arguments give equal bytes.
    """
    expiry = expires_at.isoformat() if expires_at else None
    return sha256_hex([tenant, run_id, call_id, tool, pinned_hash, arguments, policy_version, taint, expiry])


def approval_id_for(run_id: str, call_id: str, about: str, fence: int | None) -> str:
    """The id of an approval. It is deterministic, so a retry opens no second approval."""
    return "ap-" + sha256_hex([run_id, call_id, about, fence])[:12]
