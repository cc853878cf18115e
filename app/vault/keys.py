"""Key-encryption keys: where they come from, and how several processes come to the same ones.

In the folder, `vault-0001.key` and its like hold one key each; the newest seals. `vault-0002.next` is a key that everybody
can open with already and nobody seals with yet; below `retired/` lies what nothing is sealed with any more.
"""

import base64
import binascii
import fcntl
import hashlib
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

KEY_BYTES = 32
SIGNING = "secret.key"
NUMBERED = re.compile(r"vault-(\d+)\.(?:key|next)")
RETIRED = "retired"


class KeysUnusable(RuntimeError):
    """The keys are missing, malformed or not those that the data was sealed with."""


@dataclass(frozen=True)
class Keyring:
    """The key-encryption keys by id; new blobs are wrapped with the active one. `newer` looks for keys that came since."""

    active: str
    keys: Mapping[str, bytes] = field(repr=False)
    newer: Callable[[], Mapping[str, bytes]] | None = field(default=None, repr=False, compare=False)

    def get(self, key_id: str) -> bytes:
        """The key of that id; raises KeysUnusable when it is not here."""
        found = self.keys.get(key_id) or (self.newer().get(key_id) if self.newer else None)
        if found is None:
            raise KeysUnusable(f"The vault key {key_id} is not here.")
        return found


def key_id(key: bytes) -> str:
    """A key's name: the first 8 hex digits of its SHA-256, so that a file can't be mistaken for another."""
    return hashlib.sha256(b"gatehouse vault key" + key).hexdigest()[:8]


def signing_id(key: bytes) -> str:
    """The same for the key that signs; from it nothing can be told of the key."""
    return hashlib.sha256(b"gatehouse signing key" + key).hexdigest()[:8]


def load_keyring(folder: Path, setting: str | None = None, *, may_create: bool = True) -> Keyring:
    """The keys of the setting (base64, newest first, apart by commas), else of the folder's files.

    An empty folder gets its first key, unless `may_create` is false because data exists that another key sealed.
    """
    if setting:
        keys = [_decoded(part, "GATEHOUSE_VAULT_KEYS") for part in setting.replace(",", " ").split() or [""]]
        return Keyring(key_id(keys[0]), {key_id(key): key for key in keys})
    files = active_files(folder)
    if not files:
        if not may_create:
            raise KeysUnusable("There is no vault key, and data exists that one sealed: restore the key files.")
        files = [_create(folder, "vault-0001.key")]
    keys = [read(path) for path in (*files, *waiting_files(folder))]
    return Keyring(key_id(keys[0]), {key_id(key): key for key in keys})


def load_secret_key(folder: Path, setting: str | None = None, *, may_create: bool = True) -> bytes:
    """The key that signs links, cookies and tokens, made once; not again over data that another has signed."""
    if setting:
        return hashlib.sha256(setting.encode()).digest()
    path = folder / SIGNING
    if not path.exists():
        if not may_create:
            raise KeysUnusable(f"There is no {SIGNING}, and data exists that it signed: restore the key files.")
        _create(folder, SIGNING)
    return read(path)


# ── Files ────────────────────────────────────────────────────────────────────


def active_files(folder: Path) -> list[Path]:
    """The files of keys that seal or have sealed, the newest first."""
    return sorted(folder.glob("vault-*.key"), reverse=True)


def waiting_files(folder: Path) -> list[Path]:
    """The files of keys that nobody seals with yet."""
    return sorted(folder.glob("vault-*.next"), reverse=True)


def prepare(folder: Path) -> Path:
    """The file of the key that is to come next: the one that waits, else a fresh one under a number never used before."""
    if waiting := waiting_files(folder):
        return waiting[0]
    names = [path.name for path in (*folder.glob("vault-*"), *(folder / RETIRED).glob("vault-*"))]
    used = [int(found[1]) for name in names if (found := NUMBERED.fullmatch(name))]
    return _create(folder, f"vault-{max(used, default=0) + 1:04}.next")


def activate(waiting: Path) -> Path:
    """Let a key that waits be the one that seals: its file gets its final name, never that of another."""
    path = waiting.with_suffix(".key")
    _move(waiting, path)
    return path


def retire(path: Path) -> Path:
    """Put a key's file away; it is not destroyed, as older backups may need it."""
    shelf = path.parent / RETIRED
    shelf.mkdir(mode=0o700, exist_ok=True)
    _move(path, shelf / path.name)
    return shelf / path.name


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Keep others from changing the files of this folder meanwhile; the lock ends with the process, however it ends."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _move(old: Path, new: Path) -> None:
    """Rename, but never over what is there; a move that was cut off half-way is finished."""
    if not new.exists():
        os.link(old, new)
    elif read(old) != read(new):
        raise KeysUnusable(f"{old.name} can't take the place of another key, {new.name}: move one of them away.")
    old.unlink()
    _flush(new.parent)
    _flush(old.parent)


def _flush(folder: Path) -> None:
    """Have a folder's names on the disk before anything depends on them."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create(folder: Path, name: str) -> Path:
    """Make a key file, once: of several processes starting together one wins, and all use its key."""
    path, draft = folder / name, folder / f".{secrets.token_hex(8)}"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode() + "\n")
            file.flush()
            os.fsync(file.fileno())
            _give(file.fileno(), folder)
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
        _flush(folder)
    except OSError as error:
        raise KeysUnusable(f"The key file {name} can't be made: {error.strerror}.") from None
    return path


def _give(descriptor: int, folder: Path) -> None:
    """Let a file that root makes belong to whom the folder does: the service has to read it."""
    if os.geteuid() == 0:
        owner = folder.stat()
        os.fchown(descriptor, owner.st_uid, owner.st_gid)


def read(path: Path) -> bytes:
    """The key that a file holds; raises KeysUnusable."""
    try:
        return _decoded(path.read_text(encoding="ascii", errors="replace"), path.name)
    except OSError as error:
        raise KeysUnusable(f"The key file {path.name} can't be read: {error.strerror}.") from None


def _decoded(text: str, where: str) -> bytes:
    try:
        key = base64.b64decode(text.strip(), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) != KEY_BYTES:
        raise KeysUnusable(f"{where} must hold keys of 32 bytes in base64.")
    return key
