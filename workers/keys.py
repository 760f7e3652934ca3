"""Private keys on this machine, in the state folder's `keys/`, and signing with them.

The public halves are in Postgres. A private key is written once, readable by its owner only, and never shown, sent or
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

FILE_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,199}")  # one file of one folder, whatever someone calls a key
Ordered = TypeVar("Ordered", bound=Order)
OTHERS = stat.S_IRWXG | stat.S_IRWXO


class KeyNameInvalid(Permanent):
    """A key's name becomes a file's: letters, digits and . _ @ + - only, such as lee@acme.example or slack."""


class KeyMissing(Permanent):
    """There is no such private key on this machine; `stanchion keys new NAME` makes one."""


class KeyExists(Permanent):
    """There is a private key of that name on this machine; it is never overwritten."""


class KeyExposed(Permanent):
    """Others can read this private key, so it proves nothing; revoke it and make a new one."""


class KeyUnreadable(Permanent):
    """This file is no Ed25519 private key in PEM."""


@dataclass(frozen=True)
class Signer:
    """Signs in the name of one key: a person's own, or that of a surface for the person whom it authenticated."""

    key_id: str
    private: PrivateKey = field(repr=False)

    @classmethod
    def of(cls, private: PrivateKey) -> "Signer":
        """The signer with this private key."""
        return cls(fingerprint(public_bytes(private)), private)

    @property
    def public(self) -> bytes:
        """The public half: what is registered."""
        return public_bytes(self.private)

    def decision(self, decision: Decision) -> Decision:
        """The decision, signed as of now. Raises NotSignable."""
        dated = decision.model_copy(update={"key": self.key_id, "at": datetime.now(UTC)})
        return dated.model_copy(update={"signature": sign(self.private, decision_statement(dated))})

    def message(self, run_id: str, message: MessageReceived) -> MessageReceived:
        """The message to that run, signed as of now. Raises NotSignable."""
        dated = message.model_copy(update={"key": self.key_id, "at": datetime.now(UTC)})
        return dated.model_copy(update={"signature": sign(self.private, message_statement(run_id, dated))})

    def order(self, order: Ordered) -> Ordered:
        """The order to halt, to lift or to take back, or the grant, signed as of now. Raises NotSignable."""
        dated = order.model_copy(update={"key": self.key_id, "at": datetime.now(UTC)})
        return dated.model_copy(update={"signature": sign(self.private, dated.statement())})

    def statement(self, statement: Mapping[str, Any]) -> tuple[str, str]:
        """Key and signature of a statement. Raises NotSignable."""
        return self.key_id, sign(self.private, statement)


def path_of(home: Home, name: str) -> Path:
    """Where the private key of that name is, or would be. Raises KeyNameInvalid."""
    file = canonical_name(name)
    if not FILE_NAME.fullmatch(file):
        raise KeyNameInvalid
    return home.root / "keys" / f"{file}.pem"


def create(home: Home, name: str) -> Signer:
    """Make a private key and its file. Raises KeyExists, KeyNameInvalid, ServiceUnavailable."""
    path, private = path_of(home, name), new_key()
    home.prepare()
    path.parent.mkdir(mode=0o700, exist_ok=True)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeyExists(
            f"{path} is there already and is not overwritten; `stanchion keys revoke` it and move it away first"
        ) from None
    with os.fdopen(handle, "wb") as file:
        file.write(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.flush()
        os.fsync(file.fileno())
    return Signer.of(private)


def load(home: Home, name: str) -> Signer:
    """The signer with that private key. Raises KeyMissing, KeyExposed, KeyUnreadable, KeyNameInvalid."""
    path = path_of(home, name)
    try:
        with path.open("rb") as file:
            if mode := os.fstat(file.fileno()).st_mode & OTHERS:
                raise KeyExposed(
                    f"{path} can be used by others (mode {mode:03o} of group and others): `stanchion keys revoke` it"
                    " and make a new one, or, if nobody read it, `chmod 600` it"
                )
            pem = file.read()
    except FileNotFoundError:
        raise KeyMissing(f"{path} is not there; `stanchion keys new {name}` makes a key") from None
    except OSError as error:
        raise KeyUnreadable(f"{path} cannot be read: {error.strerror}") from None
    return Signer.of(_private(pem, path))


def find(home: Home, name: str) -> Signer | None:
    """As `load`; None if there is no such key on this machine. Raises KeyExposed, KeyUnreadable."""
    try:
        return load(home, name)
    except (KeyMissing, KeyNameInvalid):
        return None


def _private(pem: bytes, path: Path) -> PrivateKey:
    try:
        private = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        private = None
    if not isinstance(private, PrivateKey):
        raise KeyUnreadable(f"{path} holds no Ed25519 private key in PEM without a passphrase")
    return private
