"""Ed25519 signatures of statements. Pure but for `new_key`, which draws from the system's randomness."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from activities.errors import Permanent
from activities.storage.canonical import canonical_json

DOMAIN = b"stanchion/1\0"  # before every statement: a key that signs other things elsewhere signs none of ours
PUBLIC_BYTES = 32
FINGERPRINT_DIGITS = 16  # 64 bits: enough to tell keys apart; what is verified with is always the whole stored key

PrivateKey = Ed25519PrivateKey


class NotSignable(Permanent):
    """The statement has no canonical JSON: a number that is not finite, or something that is not JSON."""


class PublicKeyInvalid(Permanent):
    """This is no Ed25519 public key; `stanchion keys new NAME --offline` prints one in base64."""


def new_key() -> PrivateKey:
    """A fresh private key."""
    return Ed25519PrivateKey.generate()


def public_bytes(private: PrivateKey) -> bytes:
    """The 32 bytes of its public half."""
    return private.public_key().public_bytes_raw()


def fingerprint(public: bytes) -> str:
    """A public key's id: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:FINGERPRINT_DIGITS]


def encode_public(public: bytes) -> str:
    """A public key as people pass it on: base64."""
    return base64.b64encode(public).decode()


def decode_public(text: str) -> bytes:
    """The public key that `encode_public` wrote. Raises PublicKeyInvalid."""
    public = _from_base64(text.strip())
    if public is None or len(public) != PUBLIC_BYTES:
        raise PublicKeyInvalid
    return public


def sign(private: PrivateKey, statement: Mapping[str, Any]) -> str:
    """The signature of a statement, in base64. Raises NotSignable."""
    try:
        signed = _signed_bytes(statement)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotSignable(f"this cannot be signed: {error}") from None
    return base64.b64encode(private.sign(signed)).decode()


def verify(public: bytes, statement: Mapping[str, Any], signature: str) -> bool:
    """Whether `signature` is of exactly this statement by this key. Never raises: whatever is odd is a no."""
    raw = _from_base64(signature)
    if raw is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(raw, _signed_bytes(statement))
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError, RecursionError):
        return False
    return True


def _signed_bytes(statement: Mapping[str, Any]) -> bytes:
    return DOMAIN + canonical_json(dict(statement)).encode()


def _from_base64(text: str) -> bytes | None:
    """The bytes, or None; only the one standard spelling of them is taken."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        return None
    return raw if base64.b64encode(raw).decode() == text else None
