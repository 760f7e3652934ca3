"""Ed25519 signatures of statements. Pure, except for `new_key`, which reads the system's random source."""

import base64
import binascii
import hashlib
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from activities.errors import Permanent
from activities.storage.canonical import canonical_json

DOMAIN = b"stanchion/1\0"  # prefix of all signed bytes: a signature made for another program never fits a statement
PUBLIC_BYTES = 32
FINGERPRINT_DIGITS = 16  # 64 bits only identify a key; a signature is verified with the whole stored key

PrivateKey = Ed25519PrivateKey


class NotSignable(Permanent):
    """The statement has no canonical JSON: it contains a number that is not finite, or a value that is not JSON."""


class PublicKeyInvalid(Permanent):
    """This is not an Ed25519 public key; `stanchion keys new NAME --offline` prints one in base64."""


def new_key() -> PrivateKey:
    """A new private key."""
    return Ed25519PrivateKey.generate()


def public_bytes(private: PrivateKey) -> bytes:
    """The 32 bytes of the public key that belongs to a private key."""
    return private.public_key().public_bytes_raw()


def fingerprint(public: bytes) -> str:
    """The id of a public key: the first 16 hex digits of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:FINGERPRINT_DIGITS]


def encode_public(public: bytes) -> str:
    """A public key in base64."""
    return base64.b64encode(public).decode()


def decode_public(text: str) -> bytes:
    """The public key that `encode_public` wrote. Raises PublicKeyInvalid."""
    public = _decode_base64(text.strip())
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
    """Whether `signature` signs exactly this statement with this key. Never raises: malformed input gives False."""
    raw = _decode_base64(signature)
    if raw is None:
        return False
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(raw, _signed_bytes(statement))
    except (InvalidSignature, UnsupportedAlgorithm, TypeError, ValueError, RecursionError):
        return False
    return True


def _signed_bytes(statement: Mapping[str, Any]) -> bytes:
    return DOMAIN + canonical_json(dict(statement)).encode()


def _decode_base64(text: str) -> bytes | None:
    """The decoded bytes; None unless `text` is their standard base64."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, TypeError, ValueError):
        return None
    return raw if base64.b64encode(raw).decode() == text else None
