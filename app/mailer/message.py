"""Flask-Mail's message, hardened: one recipient, no header but those written here, nothing in them that could begin another."""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from email import policy
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any

import flask_mail

MOST = 400  # characters in a header of ours
POLICY = policy.SMTP.clone(cte_type="7bit")  # no server needs to know 8BITMIME
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
        self.mailbox = Address(_line(letter.sender_name), addr_spec=letter.sender)

    def _message(self) -> EmailMessage:  # type: ignore[override]
        message = EmailMessage(policy=POLICY)
        message["From"] = self.mailbox
        message["To"] = Address(addr_spec=self.letter.recipient)
        message["Reply-To"] = Address(addr_spec=self.letter.reply_to)
        message["Subject"] = self.letter.subject
        message["Date"] = format_datetime(self.letter.at)
        message["Message-ID"] = self.msgId
        message["Auto-Submitted"] = "auto-generated"  # RFC 3834, section 5
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
    try:
        address = Address(addr_spec=_line(text))
    except (ValueError, IndexError) as error:
        raise BadHeader("This is not one e-mail address.") from error
    if not text.isascii() or " " in text or not address.domain or address.addr_spec != text:
        raise BadHeader("This is not one e-mail address.")
    return text


def _line(text: str) -> str:
    if len(text) > MOST or any(unicodedata.category(character) in FORBIDDEN for character in text):
        raise BadHeader("A header holds a character that it may not.")
    return text
