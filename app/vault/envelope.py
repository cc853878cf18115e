"""Envelopes: AES-256-GCM with a fresh data key per write, itself wrapped by a key-encryption key.

A blob is `1 | key id (8) | nonce (12) | wrapped data key (48) | nonce (12) | ciphertext and tag`. Both layers carry the
blob's place as associated data (NIST SP 800-38D), so that a blob moved elsewhere does not open.
"""

import secrets
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from app.vault.keys import KEY_BYTES, Keyring

VERSION = b"\x01"
KEY_ID, NONCE, WRAPPED = 8, 12, 48
HEAD = 1 + KEY_ID + NONCE + WRAPPED + NONCE


class VaultError(RuntimeError):
    """A blob does not open: it was altered, moved, or sealed with another key."""


@dataclass(frozen=True)
class Place:
    """Where a blob belongs: what for, whose, on which row, and which writing of it."""

    purpose: str
    agency: int
    workspace: int | None
    owner: str
    secret: str = ""
    version: int = 1

    def associated_data(self) -> bytes:
        """The place as bytes, each part with its length, so that no two places read the same."""
        parts = (self.purpose, self.agency, self.workspace or 0, self.owner, self.secret, self.version)
        texts = [str(part).encode() for part in parts]
        return b"".join([len(text).to_bytes(4, "big") + text for text in texts])


def key_id_of(blob: bytes) -> str:
    """The id of the key that a blob's data key is wrapped with."""
    return blob[1 : 1 + KEY_ID].decode("ascii", "replace")


def seal(keyring: Keyring, plaintext: bytes, place: Place) -> bytes:
    """The blob for this plaintext at this place, under the active key."""
    bound = place.associated_data()
    drawn = secrets.token_bytes(KEY_BYTES + 2 * NONCE)  # at once: asking three times takes longer
    data_key, nonce = drawn[:KEY_BYTES], drawn[-NONCE:]
    wrapped = _wrap(keyring, data_key, drawn[KEY_BYTES:-NONCE], bound)
    return wrapped + nonce + AESGCM(data_key).encrypt(nonce, plaintext, b"data" + bound)


def open_(keyring: Keyring, blob: bytes, place: Place) -> bytes:
    """The plaintext of a blob; raises VaultError if it was altered or moved, KeysUnusable if its key is not here."""
    bound = place.associated_data()
    data_key = _unwrap(keyring, blob, bound)
    try:
        return AESGCM(data_key).decrypt(blob[HEAD - NONCE : HEAD], blob[HEAD:], b"data" + bound)
    except InvalidTag:
        raise VaultError("This secret does not open: it was altered or moved.") from None


def rewrap(keyring: Keyring, blob: bytes, place: Place) -> bytes:
    """The same secret under the active key; the data itself is not touched."""
    bound = place.associated_data()
    data_key = _unwrap(keyring, blob, bound)
    return _wrap(keyring, data_key, secrets.token_bytes(NONCE), bound) + blob[HEAD - NONCE :]


def _wrap(keyring: Keyring, data_key: bytes, nonce: bytes, bound: bytes) -> bytes:
    head = VERSION + keyring.active.encode("ascii")
    return head + nonce + AESGCM(keyring.get(keyring.active)).encrypt(nonce, data_key, b"key" + head + bound)


def _unwrap(keyring: Keyring, blob: bytes, bound: bytes) -> bytes:
    if len(blob) < HEAD or blob[:1] != VERSION or not blob[1 : 1 + KEY_ID].isalnum():
        raise VaultError("This is no sealed secret.")
    head = blob[: 1 + KEY_ID]
    nonce = blob[1 + KEY_ID : 1 + KEY_ID + NONCE]
    wrapped = blob[1 + KEY_ID + NONCE : HEAD - NONCE]
    try:
        return AESGCM(keyring.get(head[1:].decode("ascii"))).decrypt(nonce, wrapped, b"key" + head + bound)
    except InvalidTag:
        raise VaultError("This secret does not open: it was altered, moved or sealed with another key.") from None
