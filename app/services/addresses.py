"""E-mail addresses and names as people type them, made safe to store, compare and put into a mail."""

import re
import unicodedata

from email_validator import EmailNotValidError, validate_email

from app.errors import Refused
from app.i18n import _

UNSHOWN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn"})
HARMLESS = frozenset(
    "\n\u00ad\u200c\u200d\u200e\u200f"
)  # soft hyphen; joiners and marks that emoji and some scripts need


def normalise(text: str, *, field: str = "email") -> str:
    """One bare address in lower case; raises Refused with what is wrong."""
    try:
        checked = validate_email(
            text.strip(), check_deliverability=False, allow_quoted_local=False, test_environment=True
        )
    except EmailNotValidError:
        raise Refused(_problem(text.strip()), field=field) from None
    address = checked.ascii_email or checked.normalized
    if len(address) > 254 or len(address.rpartition("@")[0]) > 64:  # RFC 5321, section 4.5.3.1
        raise Refused(_("This address is too long."), field=field)
    return address.lower()


def _problem(text: str) -> str:
    if not text:
        return _("Write an e-mail address, like name@company.com.")
    if "@" in text and "." not in text.rpartition("@")[2]:
        return _("This address has no domain ending. Write it like name@company.com.")
    return _("This is not an e-mail address. Write it like name@company.com.")


def domain(address: str) -> str:
    """What stands behind the @."""
    return address.rpartition("@")[2]


def masked(address: str) -> str:
    """The address with the middle of its first part hidden: enough for its owner to know it."""
    local, _at, host = address.rpartition("@")
    shown = local[0] + "•" * max(3, min(8, len(local) - 2)) + (local[-1] if len(local) > 2 else "")
    return f"{shown}@{host}"


def clean_name(text: str, *, field: str = "name", most: int = 80) -> str:
    """A name fit for a page and a mail header: one line, normalised, without control or format characters."""
    name = " ".join(part for part in unicodedata.normalize("NFC", text.strip()).split(" ") if part)
    if not name:
        raise Refused(_("This is required."), field=field)
    if len(name) > most:
        raise Refused(_("At most %(most)s characters; this has %(count)s.", most=most, count=len(name)), field=field)
    if any(unicodedata.category(character) in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp") for character in name):
        raise Refused(_("This holds a character that can't be shown, such as a line break."), field=field)
    return name


def clean_text(text: str, *, field: str, most: int) -> str:
    """A short note as plain text: line breaks and joiners stay, what hides or turns text round does not; may be empty."""
    lines = text.replace("\r\n", "\n").replace("\r", "\n").replace("\t", " ")
    note = unicodedata.normalize("NFC", lines).strip()
    if len(note) > most:
        raise Refused(_("At most %(most)s characters; this has %(count)s.", most=most, count=len(note)), field=field)
    if any(c not in HARMLESS and unicodedata.category(c) in UNSHOWN for c in note):
        raise Refused(_("This holds a character that can't be shown."), field=field)
    return note


def clean_expected(text: str) -> str:
    """An expected account as stored: an address or a domain in lower case, or nothing."""
    expected = text.strip().lower().removeprefix("@")
    if not expected:
        return ""
    if "@" in expected:
        return normalise(expected, field="expected_account")
    if len(expected) > 253 or not re.fullmatch(r"([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z0-9-]{2,63}", expected):
        raise Refused(
            _("Write an e-mail address or a domain, like name@company.com or company.com."), field="expected_account"
        )
    return expected
