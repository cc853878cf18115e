"""Flask-Mail's message, hardened: one recipient, no header but those written here, nothing in them that could begin another."""

import base64
import binascii
import re
import secrets
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from email import message_from_bytes, policy
from email.header import Header
from email.message import EmailMessage
from email.utils import format_datetime, formataddr
from functools import lru_cache
from itertools import groupby
from operator import itemgetter

import flask_mail
from markupsafe import escape

MOST = 400  # characters in a header of ours
ATOM, LABEL = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+", r"[A-Za-z0-9-]+"
ADDRESS = re.compile(rf"{ATOM}(\.{ATOM})*@{LABEL}(\.{LABEL})*")  # RFC 5322's dot-atom at a host name
FORBIDDEN = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


class BadHeader(flask_mail.BadHeaderError):
    """A header would hold what it may not: a control or format character, a line separator, more than one address."""


@dataclass(frozen=True)
class Letter:
    """What a message is made of. `images` are shown inside the HTML, as `cid:<name>`, and are PNG.

    `own` stands in the text and in the HTML wherever its marks do: the rest is encoded once for all letters alike.
    """

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
    own: Mapping[str, str] = field(default_factory=dict)

    def filled(self, text: str, written: Callable[[str], str] = str) -> str:
        """The text with what is this letter's own."""
        for mark, value in self.own.items():
            text = text.replace(mark, written(value))
        return text


class Message(flask_mail.Message):
    """A letter as Flask-Mail's message; raises BadHeader at once if it can't be one safely."""

    def __init__(self, letter: Letter) -> None:
        # Not by Flask-Mail's own way, which has DNS asked what this host is called, for an id that nobody needs.
        self.letter = letter
        self.subject, self.body = _line(letter.subject), letter.filled(letter.text)
        self.alts = {"html": letter.filled(letter.html, escape)}
        self.recipients, self.cc, self.bcc = [bare_address(letter.recipient)], [], []
        self.sender, self.reply_to = bare_address(letter.sender), bare_address(letter.reply_to)
        self.date, self.msgId = letter.at.timestamp(), _line(letter.message_id)
        self.attachments, self.extra_headers, self.charset = [], None, None
        self.mail_options, self.rcpt_options = [], []
        _line(letter.sender_name)

    def as_bytes(self) -> bytes:
        """The whole message, written straight out: the standard library's objects take ten times as long."""
        headers = {
            "From": _mailbox(self.letter.sender_name, self.letter.sender),
            "To": self.letter.recipient,
            "Reply-To": self.letter.reply_to,
            "Subject": _encoded(self.letter.subject, "Subject"),
            "Date": format_datetime(self.letter.at),
            "Message-ID": str(self.msgId),
            "Auto-Submitted": "auto-generated",  # RFC 3834, section 5
            "MIME-Version": "1.0",
        }
        page = self._text("html", self.letter.html, escape)
        if self.letter.images:
            page = _multipart("related", page, *(_image(*each) for each in self.letter.images.items()))
        body = _multipart("alternative", self._text("plain", self.letter.text, str), page)
        lines = "".join(f"{name}: {value}\n" for name, value in headers.items())
        return lines.replace("\n", "\r\n").encode("ascii") + body

    def _text(self, kind: str, text: str, written: Callable[[str], str]) -> bytes:
        """A part of text: its lines end in CRLF and are short whatever they hold."""
        head = f'Content-Type: text/{kind}; charset="utf-8"\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n'
        pieces = _pieces(text, tuple(self.letter.own))
        lines = (
            piece if isinstance(piece, bytes) else _quoted(self.letter.filled(piece, written).encode())
            for piece in pieces
        )
        return head.encode("ascii") + b"".join(lines)

    def _message(self) -> EmailMessage:  # type: ignore[override]
        return message_from_bytes(self.as_bytes(), policy=policy.SMTP)

    def has_bad_headers(self) -> bool:
        """Never: what it was made of was checked."""
        return False


@lru_cache(maxsize=128)
def _pieces(text: str, marks: tuple[str, ...]) -> Sequence[bytes | str]:
    """The text's lines: encoded already where no mark stands in them."""
    lines = text.encode().splitlines() or [b""]
    marked = [any(mark.encode() in line for mark in marks) for line in lines]
    grouped = groupby(zip(lines, marked, strict=True), key=itemgetter(1))
    pieces = [(has, b"".join(line + b"\r\n" for line, _ in group)) for has, group in grouped]
    return tuple(piece.decode() if has else _quoted(piece) for has, piece in pieces)


def _quoted(text: bytes) -> bytes:
    """Lines as quoted-printable (RFC 2045, section 6.7)."""
    return binascii.b2a_qp(b"".join(line + b"\r\n" for line in text.splitlines()))


def _image(name: str, content: bytes) -> bytes:
    head = (
        "Content-Type: image/png\r\nContent-Transfer-Encoding: base64\r\n"
        f"Content-Disposition: inline\r\nContent-ID: <{_line(name)}>\r\n\r\n"
    )
    return head.encode("ascii") + base64.encodebytes(content).replace(b"\n", b"\r\n")


def _multipart(kind: str, *parts: bytes) -> bytes:
    """Parts behind one another (RFC 2046, section 5.1); quoted-printable and Base64 never hold such a boundary."""
    boundary = f"=_{secrets.token_hex(16)}"
    between = f"\r\n--{boundary}\r\n".encode("ascii")
    head = f'Content-Type: multipart/{kind};\r\n boundary="{boundary}"\r\n'
    return head.encode("ascii") + b"".join(between + part for part in parts) + f"\r\n--{boundary}--\r\n".encode("ascii")


def bare_address(text: str) -> str:
    """One ASCII address and nothing else; raises BadHeader."""
    if not ADDRESS.fullmatch(_line(text)):
        raise BadHeader("This is not one e-mail address.")
    return text


@lru_cache(maxsize=256)
def _mailbox(name: str, address: str) -> str:
    return f"{_encoded(name, 'From')} <{address}>" if _needs_encoding(name) else formataddr((name, address))


@lru_cache(maxsize=256)
def _encoded(text: str, header: str) -> str:
    """The text folded, and encoded (RFC 2047) if it must be."""
    return Header(text, "utf-8" if _needs_encoding(text) else "us-ascii", header_name=header).encode()


def _needs_encoding(text: str) -> bool:
    # What looks encoded already would be decoded at the other end, with whatever line break is hidden in it.
    return not text.isascii() or "=?" in text


def _line(text: str) -> str:
    harmless = text.isascii() and text.isprintable()
    if len(text) > MOST or not (harmless or all(unicodedata.category(each) not in FORBIDDEN for each in text)):
        raise BadHeader("A header holds a character that it may not.")
    return text
