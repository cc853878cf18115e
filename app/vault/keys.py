"""Key-encryption keys: where they come from, and how several processes come to the same ones."""

import base64
import binascii
import hashlib
import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

KEY_BYTES = 32


class KeysUnusable(RuntimeError):
    """The keys are missing, malformed or not those that the data was sealed with."""


@dataclass(frozen=True)
class Keyring:
    """The key-encryption keys by id; new blobs are wrapped with the active one."""

    active: str
    keys: Mapping[str, bytes] = field(repr=False)

    def get(self, key_id: str) -> bytes:
        """The key of that id; raises KeysUnusable when it is not here."""
        try:
            return self.keys[key_id]
        except KeyError:
            raise KeysUnusable(f"The vault key {key_id} is not here.") from None


def key_id(key: bytes) -> str:
    """A key's name: the first 8 hex digits of its SHA-256, so that a file can't be mistaken for another."""
    return hashlib.sha256(b"gatehouse vault key" + key).hexdigest()[:8]


def load_keyring(folder: Path, setting: str | None = None, *, may_create: bool = True) -> Keyring:
    """The keys of the setting (base64, newest first, apart by commas), else of the folder's `vault-*.key` files.

    An empty folder gets its first key, unless `may_create` is false because data exists that another key sealed.
    """
    if setting:
        keys = [_decoded(part, "GATEHOUSE_VAULT_KEYS") for part in setting.replace(",", " ").split() or [""]]
        return Keyring(key_id(keys[0]), {key_id(key): key for key in keys})
    files = sorted(folder.glob("vault-*.key"), reverse=True)
    if not files:
        if not may_create:
            raise KeysUnusable(
                f"There is no vault key in {folder}, and data exists that one sealed: restore the key files."
            )
        files = [_create(folder, "vault-0001.key")]
    keys = [_read(path) for path in files]
    return Keyring(key_id(keys[0]), {key_id(key): key for key in keys})


def load_secret_key(folder: Path, setting: str | None = None, *, may_create: bool = True) -> bytes:
    """The key that signs links, cookies and tokens, made once; not again over data that another has signed."""
    if setting:
        return hashlib.sha256(setting.encode()).digest()
    path = folder / "secret.key"
    if not path.exists():
        if not may_create:
            raise KeysUnusable(
                f"There is no {path.name} in {folder}, and data exists that it signed: restore the key files."
            )
        _create(folder, path.name)
    return _read(path)


def _create(folder: Path, name: str) -> Path:
    """Make a key file, once: of several processes starting together one wins, and all use its key."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    path, draft = folder / name, folder / f".{secrets.token_hex(8)}"
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n")
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink()
    return path


def _read(path: Path) -> bytes:
    try:
        return _decoded(path.read_text(encoding="ascii", errors="replace"), path.name)
    except OSError as error:
        raise KeysUnusable(f"The key file {path} can't be read: {error.strerror}.") from None


def _decoded(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise KeysUnusable(f"{where} must hold keys of 32 bytes in base64.")
    return key
