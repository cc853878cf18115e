"""What a provider said goes to the log without the secrets that it echoes, in whatever form it does."""

import base64
import html
import json
from urllib.parse import quote, quote_plus, urlencode

import pytest

from app.oauth.faults import LONGEST_TEXT, printable
from app.vault import Masked

SECRET = 'northdesk/s3cret:+&=%<"'


@pytest.mark.parametrize(
    "echoed",
    [
        SECRET,
        urlencode({"client_secret": SECRET}),
        quote(SECRET, safe="").lower(),
        quote_plus(SECRET),
        quote(SECRET),
        html.escape(SECRET),
        json.dumps({"secret": SECRET}),
        SECRET.encode().hex(),
        *(base64.b64encode(f"{before}:{SECRET}".encode()).decode() for before in ("a", "an", "any")),
        base64.urlsafe_b64encode(f"client:{SECRET}".encode()).decode(),
    ],
)
def test_an_echoed_secret_is_hidden_in_every_form(echoed):
    said = printable(f"you sent {echoed} and more", (None, Masked(SECRET)))

    assert said.startswith("you sent ")
    assert "and more" in said
    assert "••••••" in said
    for part in ("s3cret", "S3CRET", "czNjcmV0", "733363726574"):
        assert part not in said


def test_what_is_said_is_cut_and_printable():
    said = printable("a\nb\x00" + "c" * 1000, (Masked(SECRET),))

    assert said.isprintable()
    assert len(said) == LONGEST_TEXT
