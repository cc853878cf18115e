"""Flask-Mail's message, hardened: one recipient, no header but those written here, nothing in them that could begin another."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email import policy
from email.header import Header
from email.message import EmailMessage
from email.utils import format_datetime, formataddr
from typing import Any

import flask_mail

MOST = 400  # characters in a header of ours
# No server needs to know 8BITMIME. Headers are written as they stand, since refolding would decode what is in them.
POLICY = policy.SMTP.clone(cte_type="7bit", refold_source="none")
ATOM, LABEL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+", r"[A-Za-z0-9-]+"
ADDRESS = re.compile(rf"{ATOM}(\.{ATOM})*@{LABEL}(\.{LABEL})*")  # RFC 5322's dot-atom at a host name
FORBIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class BadHeader(flask_mail.BadHeaderError):
    """A header would hold what it may not: a control or format character, a line separator, more than one address."""


@dataclass(frozen=True)
class Letter:
    """What a message is made of. `images` are shown inside the HTML, as `cid:<name>`, and are PNG."""

    message_id: str
    at: datetime
    sender_name: str
    sender: str
    recipient: str
    reply_to: str
    subject: str
    text: str
    html: str
    images: Mapping[str, bytes] = field(default_factory=dict)


class Message(flask_mail.Message):
    """A letter as Flask-Mail's message; raises BadHeader at once if it can't be one safely."""

    def __init__(self, letter: Letter) -> None:
        super().__init__(
            subject=_line(letter.subject),
            recipients=[bare_address(letter.recipient)],
            body=letter.text,
            html=letter.html,
            sender=bare_address(letter.sender),
            reply_to=bare_address(letter.reply_to),
            date=letter.at.timestamp(),
        )
        self.letter = letter
        self.msgId = _line(letter.message_id)
        _line(letter.sender_name)

    def _message(self) -> EmailMessage:  # type: ignore[override]
        message = EmailMessage(policy=POLICY)
        headers = {
            "From": _mailbox(self.letter.sender_name, self.letter.sender),
            "To": self.letter.recipient,
            "Reply-To": self.letter.reply_to,
            "Subject": _encoded(self.letter.subject, "Subject"),
            "Date": format_datetime(self.letter.at),
            "Message-ID": self.msgId,
            "Auto-Submitted": "auto-generated",  # RFC 3834, section 5
        }
        for name, value in headers.items():
            message.set_raw(name, value)
        message.set_content(self.letter.text)
        message.add_alternative(self.letter.html, subtype="html")
        page: Any = message.get_body(("html",))
        for name, image in self.letter.images.items():
            page.add_related(image, "image", "png", cid=f"<{_line(name)}>")
        return message

    def has_bad_headers(self) -> bool:
        """Never: what it was made of was checked."""
        return False


def bare_address(text: str) -> str:
    """One ASCII address and nothing else; raises BadHeader."""
    if not ADDRESS.fullmatch(_line(text)):
        raise BadHeader("This is not one e-mail address.")
    return text


def _mailbox(name: str, address: str) -> str:
    return f"{_encoded(name, 'From')} <{address}>" if _needs_encoding(name) else formataddr((name, address))


def _encoded(text: str, header: str) -> str:
    """The text folded, and encoded (RFC 2047) if it must be."""
    return Header(text, "utf-8" if _needs_encoding(text) else "us-ascii", header_name=header).encode()


def _needs_encoding(text: str) -> bool:
    # What looks encoded already would be decoded at the other end, with whatever line break is hidden in it.
    return not text.isascii() or "=?" in text


def _line(text: str) -> str:
    if len(text) > MOST or any(unicodedata.category(character) in FORBIDDEN for character in text):
        raise BadHeader("A header holds a character that it may not.")
    return text
