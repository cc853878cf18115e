"""What one process holds of the keys: it follows the folder without a restart, and is sealed while a key is missing."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from app.vault.keys import Keyring, KeysUnusable, load_keyring, load_secret_key, signing_id

LOOKS = 0.5  # seconds: how long a change of the folder may go unseen; an unknown key is looked for at once
UNKNOWN = "Which keys the data needs is not known yet: the database can't be reached, or waits for flask db upgrade."
log = logging.getLogger(__name__)
log.addHandler(logging.NullHandler())  # commands say it themselves

Seen = tuple[tuple[str, int, int, int], ...]


class Sealed(KeysUnusable):
    """A key is missing or wrong: nothing secret is opened or stored until it is back."""


class Found(NamedTuple):
    """What the last look found, and what was wrong with it."""

    ring: Keyring | None = None
    signing: bytes | None = None
    signing_id: str | None = None
    ring_fault: str = ""
    signing_fault: str = ""


class Keys:
    """The keyring and the signing key, as far as they are here and are those that the data needs.

    The files are the truth: what is lost there is not sealed with any more, so that no data depends on a memory alone.
    `ask` is how it learns what the data needs, by calling `load` and `need`; it says whether that is settled.
    """

    ask: Callable[[], bool] | None = None

    def __init__(self, folder: Path, vault_setting: str | None = None, signing_setting: str | None = None) -> None:
        self.folder = folder
        self._settings = (vault_setting, signing_setting)
        self._lock = threading.RLock()
        self._found = Found()
        self._needed: frozenset[str] | None = None
        self._put_away: Collection[str] = ()
        self._signed_with: str | None = None
        self._seen: Seen = ()
        self._looked = 0.0
        self._settled = self._asking = False
        self._said = ""

    @property
    def keyring(self) -> Keyring:
        """The keys to seal and open with; raises Sealed."""
        found = self._look()
        if found.ring is None or self._vault_fault(found):
            raise Sealed(self._vault_fault(found))
        return found.ring

    @property
    def secret_key(self) -> bytes:
        """The key that signs; raises Sealed."""
        found = self._look()
        if found.signing is None or self._signing_fault(found):
            raise Sealed(self._signing_fault(found))
        return found.signing

    @property
    def unsigned(self) -> str:
        """Why no link or cookie can be verified, in a sentence; empty if they can."""
        return self._signing_fault(self._look())

    @property
    def problems(self) -> list[str]:
        """Why it is sealed, each in a sentence; nothing if it is not."""
        return self._problems(self._look())

    @property
    def sealed(self) -> bool:
        """Whether a key is missing, of whichever kind."""
        return bool(self.problems)

    @property
    def behind(self) -> bool:
        """Whether nothing is missing, and a key would seal here that was put away elsewhere."""
        found = self._look()
        return self.sealed and found.ring is not None and found.ring.active in self._put_away

    def require(self) -> None:
        """Raise Sealed unless all keys are here: for what would otherwise stop half-way."""
        if problems := self.problems:
            raise Sealed(problems[0])

    @property
    def ring(self) -> Keyring | None:
        """The keys that are here, whether or not others are missing."""
        return self._look().ring

    @property
    def signing_id(self) -> str | None:
        """The name of the signing key that is here."""
        return self._look().signing_id

    def load(self, *, may_create: bool = False) -> None:
        """Read the keys, and make what is missing on an installation that holds nothing."""
        with self._lock:
            seen, self._looked = self._fingerprint(), time.monotonic()
            ring, signing, faults = None, None, ["", ""]
            try:
                loaded = load_keyring(self.folder, self._settings[0], may_create=may_create)
                ring = Keyring(loaded.active, loaded.keys, self._newer)
            except KeysUnusable as error:
                faults[0] = str(error)
            try:
                signing = load_secret_key(self.folder, self._settings[1], may_create=may_create)
            except KeysUnusable as error:
                faults[1] = str(error)
            self._found = Found(ring, signing, signing_id(signing) if signing else None, *faults)
            self._seen = self._fingerprint() if may_create else seen

    def need(self, vault: Collection[str], signing: str | None, put_away: Collection[str] = ()) -> None:
        """Know with which keys data is sealed and links are signed, and which keys others lack by now, as they were put away."""
        with self._lock:
            self._needed, self._signed_with, self._put_away = frozenset(vault), signing, put_away
            self._say()

    def forget(self) -> None:
        """Know nothing of what the data needs: it could not be read, or not be written down."""
        with self._lock:
            self._needed = None
            self._say()

    def learn(self) -> None:
        """Ask what the data needs, now."""
        with self._lock:
            self._looked, self._asking = time.monotonic(), True
            try:
                self._settled = self.ask is None or self.ask()
            finally:
                self._asking = False

    def _problems(self, found: Found) -> list[str]:
        return [fault for fault in (self._vault_fault(found), self._signing_fault(found)) if fault]

    def _vault_fault(self, found: Found) -> str:
        if found.ring is None:
            return found.ring_fault
        if self._needed is None:
            return UNKNOWN
        missing = self._needed - found.ring.keys.keys()
        if not missing and found.ring.active not in self._put_away:
            return ""
        if not missing:
            return f"The vault key {found.ring.active} was put away, and would seal here: have the newest come first here too."
        return f"The vault key {' and '.join(sorted(missing))} is not here, and data is sealed with it: restore the key files."

    def _signing_fault(self, found: Found) -> str:
        if found.signing is None:
            return found.signing_fault
        if self._signed_with in (None, found.signing_id):
            return ""
        return f"The key {self._signed_with}, which signed the links and sessions, is not here: restore the key files."

    def _newer(self) -> Mapping[str, bytes]:
        """The keys as they are now: a blob names one that was not here a moment ago."""
        with self._lock:
            if self._fingerprint() != self._seen:
                self.load()
                self._say()
            return self._found.ring.keys if self._found.ring else {}

    def _look(self) -> Found:
        """Follow the folder: read it again when it changed; and ask again while something is missing or not settled."""
        recent = self._settled and time.monotonic() - self._looked < LOOKS
        if recent or self._asking or not self._lock.acquire(blocking=False):
            return self._found
        try:
            self._looked = time.monotonic()
            if not self._settled or self._said:
                self.learn()
            elif self._fingerprint() != self._seen:
                self.load()
                self._say()
        finally:
            self._lock.release()
        return self._found

    def _fingerprint(self) -> Seen:
        """How the files look from outside."""
        if all(self._settings):
            return ()
        try:
            found = [(path.name, path.stat()) for path in self.folder.iterdir() if path.suffix in (".key", ".next")]
        except OSError:
            return ()
        return tuple(sorted((name, stat.st_mtime_ns, stat.st_size, stat.st_ino) for name, stat in found))

    def _say(self) -> None:
        """Tell the log when it becomes sealed, and when it is over."""
        faults = " ".join(self._problems(self._found))
        if faults and faults != self._said:
            log.error("Sealed: %s", faults)
        elif self._said and not faults:
            log.warning("No longer sealed: all keys are here.")
        self._said = faults
