"""Tokens of links: made anew from what a bundle keeps, bound to all of it, and told from every other string."""

import hashlib
import re
import secrets

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from app.models import Bundle
from app.services import link_tokens
from tests.support import shared_app

agency, app, config, stranger = shared_app.fixtures
pytestmark = pytest.mark.usefixtures("app_context")

PARTS = {"epoch": 7, "agency_id": 3, "workspace_id": 12, "recipient": "priya@harbordental.example"}
NONCE = bytes(range(16))
FIXED = settings(
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def bundle_of(token: str, nonce: bytes = NONCE) -> Bundle:
    return Bundle(nonce=nonce, token_hash=link_tokens.digest(token), **PARTS)


def test_make_gives_the_same_token_for_the_same_parts():
    assert link_tokens.make(nonce=NONCE, **PARTS) == link_tokens.make(nonce=NONCE, **PARTS)


@pytest.mark.parametrize(
    "change",
    [
        {"nonce": secrets.token_bytes(16)},
        {"epoch": 8},
        {"agency_id": 4},
        {"workspace_id": 13},
        {"recipient": "priya@harbordental.test"},
        {"agency_id": 31, "workspace_id": 2},
    ],
    ids=["nonce", "epoch", "agency", "workspace", "recipient", "agency and workspace run together"],
)
def test_make_depends_on_every_part(change):
    assert link_tokens.make(**({"nonce": NONCE} | PARTS)) != link_tokens.make(**({"nonce": NONCE} | PARTS | change))


def test_a_token_shows_neither_address_nor_name():
    import base64

    token = link_tokens.make(nonce=NONCE, **PARTS)
    opened = b"".join(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in token.split("."))

    assert b"priya" not in opened
    assert b"harbor" not in opened


@FIXED
@given(recipient=st.emails(), epoch=st.integers(1, 2**31 - 1))
def test_draw_ends_in_a_letter_or_digit_and_keeps_to_the_form(recipient, epoch):
    nonce, token = link_tokens.draw(epoch=epoch, agency_id=1, workspace_id=2, recipient=recipient)

    assert len(nonce) == 16
    assert re.fullmatch(r"[A-Za-z0-9_.-]{1,255}[A-Za-z0-9]", token)
    assert link_tokens.make(nonce=nonce, epoch=epoch, agency_id=1, workspace_id=2, recipient=recipient) == token


def test_draw_never_gives_the_same_twice():
    assert len({link_tokens.draw(**PARTS)[1] for _ in range(200)}) == 200


def test_digest_is_the_sha256_of_the_exact_string():
    assert link_tokens.digest("abc") == hashlib.sha256(b"abc").digest()
    assert link_tokens.digest("abc ") != link_tokens.digest("abc")


@pytest.mark.parametrize("text", ["é", "\udce9", "abc ", "a" * 257])
def test_digest_of_what_no_token_looks_like_is_that_of_nothing(text):
    """A path with broken bytes, or one that is too long, costs no more and is found nowhere."""
    assert link_tokens.digest(text) == hashlib.sha256(b"").digest()


def test_matches_takes_the_token_of_the_bundle_alone():
    token = link_tokens.make(nonce=NONCE, **PARTS)
    other = link_tokens.make(nonce=secrets.token_bytes(16), **PARTS)

    assert link_tokens.matches(token, bundle_of(token))
    assert not link_tokens.matches(other, bundle_of(token))
    assert not link_tokens.matches(token, None)
    assert not link_tokens.matches(token + "\udce9", bundle_of(token))


@FIXED
@given(data=st.data())
def test_matches_refuses_every_altered_token(data):
    token = link_tokens.make(nonce=NONCE, **PARTS)
    place = data.draw(st.integers(0, len(token) - 1))
    letter = data.draw(st.sampled_from("ABCXYZabcxyz019_-.="))
    altered = data.draw(
        st.sampled_from([token[:place] + letter + token[place + 1 :], token[:place], token + letter, letter + token])
    )

    assert link_tokens.matches(altered, bundle_of(token)) is (altered == token)
    assert (link_tokens.digest(altered) == bundle_of(token).token_hash) is (altered == token)
