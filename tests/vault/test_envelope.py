"""Envelopes: what goes in comes out, at its own place and under its own key, and nowhere else."""

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from app.vault import Keyring, KeysUnusable, Place, VaultError, open_, rewrap, seal
from app.vault.envelope import HEAD
from app.vault.keys import key_id

FIXED = settings(derandomize=True, deadline=None, database=None, max_examples=80)
PLACE = Place("connection", 3, 12, "a7b2", "s9", 4)
KEYS = [bytes([number]) * 32 for number in range(3)]


def ring(*keys: bytes) -> Keyring:
    return Keyring(key_id(keys[0]), {key_id(key): key for key in keys})


RING = ring(KEYS[0])
places = st.builds(
    Place,
    purpose=st.text(max_size=20),
    agency=st.integers(0, 2**31),
    workspace=st.none() | st.integers(1, 2**31),
    owner=st.text(max_size=20),
    secret=st.text(max_size=20),
    version=st.integers(1, 2**31),
)


@FIXED
@given(plaintext=st.binary(max_size=5000), place=places)
def test_what_is_sealed_opens_at_its_place(plaintext, place):
    blob = seal(RING, plaintext, place)

    assert open_(RING, blob, place) == plaintext
    assert len(blob) == HEAD + len(plaintext) + 16


@FIXED
@given(one=places, other=places)
def test_it_opens_nowhere_else(one, other):
    blob = seal(RING, b"hush", one)
    if one == other:
        return
    with pytest.raises(VaultError):
        open_(RING, blob, other)


@pytest.mark.parametrize(
    "other",
    [
        Place("mail", 3, 12, "a7b2", "s9", 4),
        Place("connection", 4, 12, "a7b2", "s9", 4),
        Place("connection", 3, 13, "a7b2", "s9", 4),
        Place("connection", 3, None, "a7b2", "s9", 4),
        Place("connection", 3, 12, "a7b3", "s9", 4),
        Place("connection", 3, 12, "a7b2", "s8", 4),
        Place("connection", 3, 12, "a7b2", "s9", 5),
        Place("connection", 31, 2, "a7b2", "s9", 4),
        Place("connection", 3, 12, "a7b2s", "9", 4),
        Place("connection", 3, 12, "", "a7b2s9", 4),
        Place("connection3", 1, 2, "a7b2", "s9", 4),
    ],
    ids=str,
)
def test_every_part_of_a_place_counts_and_none_runs_into_the_next(other):
    assert other.associated_data() != PLACE.associated_data()
    with pytest.raises(VaultError):
        open_(RING, seal(RING, b"hush", PLACE), other)


@FIXED
@given(data=st.data())
def test_an_altered_blob_does_not_open(data):
    blob = seal(RING, b"a secret of some length", PLACE)
    place = data.draw(st.integers(0, len(blob) - 1))
    bit = 1 << data.draw(st.integers(0, 7))
    altered = blob[:place] + bytes([blob[place] ^ bit]) + blob[place + 1 :]

    with pytest.raises((VaultError, KeysUnusable)):
        open_(RING, altered, PLACE)


@FIXED
@given(size=st.integers(0, HEAD + 20))
def test_a_part_of_a_blob_does_not_open(size):
    blob = seal(RING, b"hush", PLACE)
    if size == len(blob):
        return
    with pytest.raises((VaultError, KeysUnusable)):
        open_(RING, blob[:size], PLACE)


@pytest.mark.parametrize("blob", [b"", b"\x01", b"x" * 200, b"\x01" + b"\xff" * 200, b"\x02" + b"0" * 200])
def test_what_is_no_blob_does_not_open(blob):
    with pytest.raises((VaultError, KeysUnusable)):
        open_(RING, blob, PLACE)


def test_parts_of_two_blobs_make_no_third():
    one, two = seal(RING, b"first", PLACE), seal(RING, b"other", PLACE)

    for mixed in (one[: HEAD - 12] + two[HEAD - 12 :], one[:HEAD] + two[HEAD:], two[:21] + one[21:]):
        with pytest.raises(VaultError):
            open_(RING, mixed, PLACE)


def test_the_same_secret_twice_looks_different_throughout():
    one, two = seal(RING, b"hush" * 20, PLACE), seal(RING, b"hush" * 20, PLACE)

    assert one[9:] != two[9:]
    assert not {one[n : n + 12] for n in range(9, len(one) - 12)} & {two[n : n + 12] for n in range(9, len(two) - 12)}
    assert b"hush" not in one


def test_another_key_does_not_open_it_and_says_so():
    blob = seal(RING, b"hush", PLACE)

    with pytest.raises(KeysUnusable, match=RING.active):
        open_(ring(KEYS[1]), blob, PLACE)
    impostor = Keyring(RING.active, {RING.active: KEYS[1]})
    with pytest.raises(VaultError):
        open_(impostor, blob, PLACE)


def test_rewrap_moves_a_blob_to_the_new_key_without_touching_the_data():
    old, both, new = ring(KEYS[0]), ring(KEYS[1], KEYS[0]), ring(KEYS[1])
    blob = seal(old, b"hush", PLACE)

    moved = rewrap(both, blob, PLACE)

    assert open_(new, moved, PLACE) == open_(both, blob, PLACE) == b"hush"
    assert moved[HEAD - 12 :] == blob[HEAD - 12 :]
    with pytest.raises(KeysUnusable):
        open_(new, blob, PLACE)
    with pytest.raises(KeysUnusable):
        open_(old, moved, PLACE)
    with pytest.raises(VaultError):
        rewrap(both, blob, Place("mail", 3, 12, "a7b2", "s9", 4))


def test_new_blobs_are_under_the_active_key():
    blob = seal(ring(KEYS[2], KEYS[0]), b"hush", PLACE)

    assert blob[:9] == b"\x01" + key_id(KEYS[2]).encode()
    assert open_(ring(KEYS[0], KEYS[2]), blob, PLACE) == b"hush"
