"""Who can sign in at the sandbox: anybody. What an app would know of them follows from the address alone."""

from __future__ import annotations

import hashlib
import re
import uuid
from dataclasses import dataclass

_ADDRESS = re.compile(r"[^@\s\x00-\x1f]{1,64}@[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+")


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with an account at every app."""

    email: str
    name: str
    company: str

    @property
    def handle(self) -> str:
        """Return the name that they go by where names have no spaces."""
        return self.email.partition("@")[0]

    @property
    def domain(self) -> str:
        """Return the domain of their address."""
        return self.email.rpartition("@")[2]


EXAMPLES = (
    Person("priya.nair@harbordental.example", "Priya Nair", "Harbor Dental"),
    Person("dana.reyes@harbordental.example", "Dana Reyes", "Harbor Dental"),
    Person("ops@bluefin-logistics.example", "Operations", "Bluefin Logistics"),
    Person("priya@private.example", "Priya Nair", "Priya Nair"),  # the account that nobody wanted
)
_known = {person.email: person for person in EXAMPLES}


def address(text: str) -> str | None:
    """Return an e-mail address in its plain form; None for what is none."""
    email = text.strip().lower()
    return email if len(email) <= 254 and _ADDRESS.fullmatch(email) else None


def person(email: str) -> Person:
    """Return whose address this is; names of strangers are guessed from it."""
    if email in _known:
        return _known[email]
    handle, _, domain = email.partition("@")
    return Person(email, _as_name(handle) or handle, _as_name(domain.split(".")[0]))


def _as_name(text: str) -> str:
    return " ".join(word.capitalize() for word in re.split(r"[^a-z0-9]+", text) if word)


def digest(*parts: str) -> bytes:
    """Return bytes that are always the same for the same parts."""
    return hashlib.sha256("\n".join(parts).encode()).digest()


def number(*parts: str) -> int:
    """Return a number of 9 or 10 digits that is always the same for the same parts."""
    return 100_000_000 + int.from_bytes(digest(*parts)[:4])


def uuid_of(*parts: str) -> str:
    """Return a UUID that is always the same for the same parts."""
    return str(uuid.UUID(bytes=digest(*parts)[:16], version=4))
