"""Messages: nothing that anybody can write makes a header of its own."""

import re
from datetime import UTC, datetime
from email import message_from_bytes, policy

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.mailer.message import BadHeader, Letter, Message, bare_address

HEADERS = [
    "From", "To", "Reply-To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type",
]  # fmt: skip
PARTS = {"Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "Content-ID", "MIME-Version"}
BREAKS = "\r\n\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029\x00\x7f\u200b\u202e\ufeff"
names = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=80)


def letter(**changes):
    values = {
        "message_id": "<abc@gate.example>",
        "at": datetime(2026, 11, 20, 9, 12, tzinfo=UTC),
        "sender_name": "Northwind Studio",
        "sender": "requests@northwind.example",
        "recipient": "priya.nair@harbordental.example",
        "reply_to": "help@northwind.example",
        "subject": "Action required: Northwind Studio needs you to connect Slack",
        "text": "Go to\n\nhttps://gate.example/l/abc\n",
        "html": "<p>Go</p>",
    }
    return Letter(**(values | changes))


def sent(**changes):
    raw = Message(letter(**changes)).as_bytes()
    return raw, message_from_bytes(raw, policy=policy.default)


def test_message_has_the_headers_that_are_listed_and_no_other():
    raw, message = sent()

    assert message.keys() == HEADERS
    assert message["From"] == "Northwind Studio <requests@northwind.example>"
    assert message["Reply-To"] == "help@northwind.example"
    assert message["Date"] == "Fri, 20 Nov 2026 09:12:00 +0000"
    assert message["Message-ID"] == "<abc@gate.example>"
    assert message["Auto-Submitted"] == "auto-generated"
    assert [part.get_content_type() for part in message.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert raw.isascii()


def test_message_carries_pictures_inside_the_html():
    _raw, message = sent(images={"logo": b"\x89PNG\r\n\x1a\n"})

    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/alternative", "text/plain", "multipart/related", "text/html", "image/png",
    ]  # fmt: skip
    picture = list(message.walk())[-1]
    assert (picture["Content-ID"], picture["Content-Disposition"]) == ("<logo>", "inline")
    assert picture.get_content() == b"\x89PNG\r\n\x1a\n"


def harmless(text):
    try:
        Message(letter(subject=text))
    except BadHeader:
        return False
    return True


@given(name=names, subject=names)
@example(name='A "quoted", <odd> name; (x)', subject="=?utf-8?q?=0aBcc:_x@evil.example?=")
@example(name="Größe & Söhne, GmbH", subject="ä" * 80)
@example(name="a@b.example", subject="  two  spaces ")
@example(name="名" * 80, subject=" ")
@settings(max_examples=300, deadline=None)
def test_message_says_what_was_given_or_is_refused(name, subject):
    if not (harmless(name) and harmless(subject)):
        with pytest.raises(BadHeader):
            Message(letter(sender_name=name, subject=subject))
        return

    raw, message = sent(sender_name=name, subject=subject)

    assert message.keys() == HEADERS
    (mailbox,) = message["From"].addresses
    assert mailbox.addr_spec == "requests@northwind.example"
    assert squeezed(mailbox.display_name) == squeezed(name)
    assert squeezed(str(message["Subject"])) == squeezed(subject)
    assert all(set(part.keys()) <= PARTS for part in message.iter_parts())
    assert max(map(len, raw.split(b"\r\n"))) <= 998


def squeezed(text):
    """Folding may change how much space stands between words, never the words."""
    return re.sub(r"\s+", "", text)


@pytest.mark.parametrize("field", ["sender_name", "subject", "sender", "recipient", "reply_to", "message_id"])
@pytest.mark.parametrize("character", BREAKS)
def test_message_refuses_what_could_begin_another_header(field, character):
    good = getattr(letter(), field)
    for bad in (f"{good}{character}Bcc: eve@evil.example", f"{character}{good}", f"{good}{character}"):
        with pytest.raises(BadHeader):
            Message(letter(**{field: bad}))


@pytest.mark.parametrize(
    "address",
    [
        "", "ann", "@x.example", "ann@", "ann@x.example, eve@evil.example", "Ann <ann@x.example>", "ann@x.example eve",
        "ann@x.example>", "<ann@x.example", "ann@x.example (home)", "née@x.example", "ann@exämple.example", "a b@x.example",
    ],
)  # fmt: skip
def test_bare_address_takes_one_address_alone(address):
    with pytest.raises(BadHeader):
        bare_address(address)


@given(st.emails())
@settings(max_examples=100, deadline=None)
def test_bare_address_never_changes_an_address(address):
    try:
        assert bare_address(address) == address
    except BadHeader:
        return
    _raw, message = sent(recipient=address)
    assert [each.addr_spec for each in message["To"].addresses] == [address]


@given(
    text=st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"))
)
@settings(max_examples=100, deadline=None)
def test_message_carries_any_text(text):
    _raw, message = sent(text=text)

    assert message.get_body(("plain",)).get_content().replace("\r\n", "\n").rstrip("\n") == text.rstrip("\n")
