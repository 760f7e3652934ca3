"""Private keys on this machine, in the state folder's `keys/`, and signing with them.

The public keys are in Postgres. A private key is written once, readable only by its owner; it is never shown, sent or
stored anywhere else.
"""

import os
import re
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from activities.approvals.signed_orders import Order
from activities.errors import Permanent
from activities.identity.proof import canonical_name
from activities.identity.signatures import PrivateKey, fingerprint, new_key, public_bytes, sign
from activities.identity.statements import decision_statement, message_statement
from workers.services.home import Home
from workflows.contracts.approvals import Decision
from workflows.contracts.messages import MessageReceived

FILE_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,199}")  # allows no path separators
Ordered = TypeVar("Ordered", bound=Order)
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class KeyNameInvalid(Permanent):
    """The name of a key may contain only letters, digits and . _ @ + -, such as lee@acme.example or slack."""


class KeyMissing(Permanent):
    """There is no such private key on this machine; `stanchion keys new NAME` makes one."""


class KeyExists(Permanent):
    """A private key of that name exists on this machine already; it is never overwritten."""


class KeyExposed(Permanent):
    """Other accounts can read this private key, so its signatures prove nothing; revoke it and make a new one."""


class KeyUnreadable(Permanent):
    """This file is not an Ed25519 private key in PEM format."""


@dataclass(frozen=True)
class Signer:
    """Signs with one key: a person's own key, or the key of a surface (such as Slack) that authenticates people."""

    key_id: str
    private: PrivateKey = field(repr=False)

    @classmethod
    def of(cls, private: PrivateKey) -> "Signer":
        """Return the signer with this private key."""
        return cls(fingerprint(public_bytes(private)), private)

    @property
    def public(self) -> bytes:
        """The public key, which is registered in Postgres."""
        return public_bytes(self.private)

    def decision(self, decision: Decision) -> Decision:
        """Return the decision, signed and dated now. Raises NotSignable."""
        dated = decision.model_copy(update={"key": self.key_id, "at": datetime.now(UTC)})
        return dated.model_copy(update={"signature": sign(self.private, decision_statement(dated))})

    def message(self, run_id: str, message: MessageReceived) -> MessageReceived:
        """Return the message to that run, signed and dated now. Raises NotSignable."""
        dated = message.model_copy(update={"key": self.key_id, "at": datetime.now(UTC)})
        return dated.model_copy(update={"signature": sign(self.private, message_statement(run_id, dated))})

    def order(self, order: Ordered) -> Ordered:
        """Return the order (halt, lift, rollback or budget grant), signed and dated now. Raises NotSignable."""
        dated = order.model_copy(update={"key": self.key_id, "at": datetime.now(UTC)})
        return dated.model_copy(update={"signature": sign(self.private, dated.statement())})

    def statement(self, statement: Mapping[str, Any]) -> tuple[str, str]:
        """Return the key id and the signature of a statement. Raises NotSignable."""
        return self.key_id, sign(self.private, statement)


def path_of(home: Home, name: str) -> Path:
    """Return the path of the private key of that name, which may not exist. Raises KeyNameInvalid."""
    file = canonical_name(name)
    if not FILE_NAME.fullmatch(file):
        raise KeyNameInvalid
    return home.root / "keys" / f"{file}.pem"


def create(home: Home, name: str) -> Signer:
    """Create a private key and its file. Raises KeyExists, KeyNameInvalid, ServiceUnavailable."""
    path, private = path_of(home, name), new_key()
    home.prepare()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyExists(
            f"{path} exists already and is not overwritten; `stanchion keys revoke` it and move it away first"
        ) from None
    with os.fdopen(handle, "wb") as file:
        file.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.flush()
        os.fsync(file.fileno())
    return Signer.of(private)


def load(home: Home, name: str) -> Signer:
    """Return the signer with that private key. Raises KeyMissing, KeyExposed, KeyUnreadable, KeyNameInvalid."""
    path = path_of(home, name)
    try:
        with path.open("rb") as file:
            if mode := os.fstat(file.fileno()).st_mode & OTHERS:
                raise KeyExposed(
                    f"{path} can be used by others (mode {mode:03o} of group and others). `stanchion keys revoke` it"
                    " and make a new one; if nobody has read it, `chmod 600` is enough"
                )
            pem = file.read()
    except FileNotFoundError:
        raise KeyMissing(f"{path} does not exist; `stanchion keys new {name}` makes a key") from None
    except OSError as error:
        raise KeyUnreadable(f"{path} cannot be read: {error.strerror}") from None
    return Signer.of(_parse_private_key(pem, path))


def find(home: Home, name: str) -> Signer | None:
    """As `load`, but returns None if there is no such key on this machine. Raises KeyExposed, KeyUnreadable."""
    try:
        return load(home, name)
    except (KeyMissing, KeyNameInvalid):
        return None


def _parse_private_key(pem: bytes, path: Path) -> PrivateKey:
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, PrivateKey):
        raise KeyUnreadable(f"{path} is not an Ed25519 private key in PEM format without a passphrase")
    return private
