"""Addresses, names and notes as people type them."""

import unicodedata

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from app.errors import Refused
from app.services import addresses
from tests.support import shared_app

agency, app, config, stranger = shared_app.fixtures
pytestmark = pytest.mark.usefixtures("app_context")
FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=150)


@pytest.mark.parametrize(
    ("typed", "stored"),
    [
        ("priya@harbordental.example", "priya@harbordental.example"),
        ("  Priya.Nair@HarborDental.Example \n", "priya.nair@harbordental.example"),
        ("priya+apps@harbordental.test", "priya+apps@harbordental.test"),
        ("priya@HÄFEN.example", "priya@xn--hfen-loa.example"),
    ],
)
def test_normalise_gives_one_form_of_an_address(typed, stored):
    assert addresses.normalise(typed) == stored
    assert addresses.normalise(stored) == stored


@pytest.mark.parametrize(
    "typed",
    [
        *("", " ", "priya", "@", "priya@", "@harbordental.example", "priya@harbordental", "a b@harbordental.example"),
        *("a@x.example,b@x.example", "a@x.example;b@x.example", "Priya <a@x.example>", "a@x.example b@x.example"),
        *("a@x.example\nBcc: b@x.example", "a\x00@x.example", "a@x.example\x0bz", '"a b"@x.example'),
        *(
            "a@[127.0.0.1]",
            "a@x..example",
            ".a@x.example",
            "a@-x.example",
            "a" * 65 + "@x.example",
            "mailto:a@x.example?cc=b",
        ),
    ],
)
def test_normalise_refuses_what_is_not_one_bare_address(typed):
    with pytest.raises(Refused) as refused:
        addresses.normalise(typed, field="recipient")
    assert refused.value.field == "recipient"


def test_normalise_refuses_an_address_longer_than_mail_allows():
    with pytest.raises(Refused):
        addresses.normalise("a" * 60 + "@" + ".".join(["x" * 50] * 5) + ".example")


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("priya.nair@harbordental.example", "p••••••••r@harbordental.example"),
        ("bo@x.example", "b•••@x.example"),
        ("a@x.example", "a•••@x.example"),
        ("ann@x.example", "a•••n@x.example"),
    ],
)
def test_masked_hides_the_middle_of_the_first_part(address, shown):
    assert addresses.masked(address) == shown


@pytest.mark.parametrize(
    ("typed", "stored"),
    [("  Harbor   Dental ", "Harbor Dental"), ("Zoe\u0308", "Zoë"), ("O'Brien & Søn, “Ltd”", "O'Brien & Søn, “Ltd”")],
)
def test_clean_name_normalises(typed, stored):
    assert addresses.clean_name(typed) == stored


@pytest.mark.parametrize(
    "typed",
    [
        *("", "   ", "x" * 81, "a\nb", "a\rb", "a\tb", "a\x00b", "a\x0bb", "a\x0cb", "a\x1bb", "a\x7fb", "a\x85b"),
        *(
            "a\u200bb",
            "a\u202eb",
            "a\u2028b",
            "a\u2029b",
            "a\ufeffb",
            "a\u00adb",
            "a\ue000b",
            "a\U000e0041b",
            "a\ud800b",
        ),
    ],
    ids=ascii,
)
def test_clean_name_refuses_what_could_harm_a_page_or_a_header(typed):
    with pytest.raises(Refused):
        addresses.clean_name(typed, field="name")


@FIXED
@given(text=st.text(max_size=100))
def test_clean_name_gives_one_safe_line_or_refuses(text):
    try:
        name = addresses.clean_name(text)
    except Refused:
        return
    assert 1 <= len(name) <= 80
    assert name == unicodedata.normalize("NFC", name).strip(" ")
    assert not {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"} & {unicodedata.category(letter) for letter in name}
    assert addresses.clean_name(name) == name


@FIXED
@given(text=st.text(max_size=300))
def test_clean_text_keeps_lines_and_refuses_other_control_characters(text):
    try:
        note = addresses.clean_text(text, field="note", most=256)
    except Refused:
        return
    assert len(note) <= 256
    assert not {"Cc", "Cf", "Cs"} & {unicodedata.category(letter) for letter in note.replace("\n", "")}


@pytest.mark.parametrize(("typed", "stored"), [("", ""), (" a\r\nb\rc ", "a\nb\nc"), ("<b>x</b>", "<b>x</b>")])
def test_clean_text_leaves_words_as_they_are(typed, stored):
    assert addresses.clean_text(typed, field="note", most=256) == stored


def test_clean_text_counts_a_line_break_as_one():
    assert len(addresses.clean_text("a\r\n" * 127 + "bb", field="note", most=256)) == 256


def test_domain_is_what_stands_behind_the_at():
    assert addresses.domain("priya@harbordental.example") == "harbordental.example"


@pytest.mark.parametrize("text", ["👩‍👩‍👧‍👦 🏳️‍🌈", "می‌خواهم", "soft\u00adhyphen", "\u200eleft to right", "a\tb"])
def test_clean_text_keeps_what_people_write(text):
    assert addresses.clean_text(text, field="note", most=256) == text.replace("\t", " ")


@pytest.mark.parametrize("text", ["\u202eturned round", "\x00", "a\x0bb", "\u2066isolated", "\ud800"])
def test_clean_text_refuses_what_hides_or_turns_text_round(text):
    with pytest.raises(Refused):
        addresses.clean_text(text, field="note", most=256)
