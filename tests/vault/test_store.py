"""What a process holds of the keys: it follows the folder, and is sealed for as long as one is missing."""

import base64

import pytest

from app.vault import Keys, KeysUnusable, Place, Sealed, load_keyring, open_, seal, store
from app.vault import keys as files

PLACE = Place("connection", 1, None, "it")


@pytest.fixture
def keys(tmp_path, monkeypatch):
    """Those of a new installation, by a process that looks every time."""
    monkeypatch.setattr(store, "LOOKS", 0)
    made = Keys(tmp_path)
    made.load(may_create=True)
    needed = [load_keyring(tmp_path).active], made.signing_id
    made.need(*needed)

    def ask():
        made.load()
        made.need(*needed)
        return True

    made.ask = ask
    return made


def test_a_new_key_is_seen_without_a_restart(keys, tmp_path):
    before = keys.keyring.active
    waiting = files.prepare(tmp_path)
    assert (keys.keyring.active, len(keys.keyring.keys)) == (before, 2), "everybody can open with it, nobody seals"
    files.activate(waiting)

    assert keys.keyring.active == files.key_id(files.read(tmp_path / "vault-0002.key")) != before


def test_a_key_ring_in_hand_finds_a_key_that_came_since(keys, tmp_path, monkeypatch):
    monkeypatch.setattr(store, "LOOKS", 10**6)
    held = keys.keyring
    files.activate(files.prepare(tmp_path))
    blob = seal(load_keyring(tmp_path), b"hush", PLACE)

    assert open_(held, blob, PLACE) == b"hush"
    with pytest.raises(KeysUnusable):
        held.get("00000000")


def test_a_lost_key_seals_at_once_and_its_return_unseals(keys, tmp_path, caplog):
    path = tmp_path / "vault-0001.key"
    kept, ring = path.read_text(), keys.keyring
    path.unlink()

    with pytest.raises(Sealed, match="restore the key files"):
        _ = keys.keyring
    with pytest.raises(Sealed):
        keys.require()
    assert keys.secret_key, "links can be verified all the same"
    assert not path.exists(), "none was made"
    path.write_text(kept)
    assert keys.keyring == ring
    said = [record.getMessage() for record in caplog.records]
    assert [text.partition(":")[0] for text in said] == ["Sealed", "No longer sealed"]


@pytest.mark.parametrize("name", ["vault-0001.key", "secret.key"])
def test_another_key_is_not_taken_for_the_one_that_is_needed(keys, tmp_path, name):
    (tmp_path / name).write_text(base64.b64encode(b"x" * 32).decode())

    (problem,) = keys.problems
    assert "is not here" in problem
    assert bool(keys.unsigned) is (name == "secret.key")


def test_until_the_database_has_said_what_it_needs_nothing_is_sealed(tmp_path):
    keys = Keys(tmp_path)
    keys.load(may_create=True)
    keys.ask = lambda: False

    with pytest.raises(Sealed, match="not known yet"):
        _ = keys.keyring


def test_a_number_is_used_once_and_no_file_is_written_over(tmp_path):
    load_keyring(tmp_path)
    first = files.prepare(tmp_path)
    assert files.prepare(tmp_path) == first, "what waits is not made again"
    second = files.activate(first)
    files.retire(second)
    third = files.prepare(tmp_path)
    assert (second.name, third.name) == ("vault-0002.key", "vault-0003.next")
    (tmp_path / "vault-0003.key").write_bytes((tmp_path / "vault-0001.key").read_bytes())

    with pytest.raises(KeysUnusable, match="can't take the place of another key"):
        files.activate(third)
    assert third.exists()


def test_a_move_that_was_cut_off_is_finished(tmp_path):
    load_keyring(tmp_path)
    waiting = files.prepare(tmp_path)
    (tmp_path / "vault-0002.key").hardlink_to(waiting)

    assert files.activate(waiting).exists()
    assert not waiting.exists()
