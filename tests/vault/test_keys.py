"""Keys: made once however many start together, kept where nobody else can read them, and never made over what is there."""

import base64
import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.vault import KeysUnusable, load_keyring, load_secret_key
from app.vault.keys import key_id

ONE, TWO = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_an_empty_folder_gets_its_first_key_and_keeps_it(tmp_path):
    folder = tmp_path / "keys"

    first = load_keyring(folder)

    assert [path.name for path in folder.iterdir()] == ["vault-0001.key"]
    assert load_keyring(folder) == first
    assert len(first.get(first.active)) == 32


def test_the_secret_key_is_made_once_and_is_another(tmp_path):
    secret = load_secret_key(tmp_path)

    assert load_secret_key(tmp_path) == secret
    assert len(secret) == 32
    assert secret not in load_keyring(tmp_path).keys.values()


def test_nobody_else_can_read_them(tmp_path):
    folder = tmp_path / "keys"
    before = os.umask(0)
    try:
        load_keyring(folder)
        load_secret_key(folder)
    finally:
        os.umask(before)

    assert mode(folder) == 0o700
    assert {mode(path) for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("content", [ONE, f"{ONE}\n", f"  {ONE}\n\n"])
def test_a_key_that_is_there_is_never_made_anew(tmp_path, content):
    (tmp_path / "vault-0001.key").write_text(content)
    (tmp_path / "secret.key").write_text(content)

    assert load_keyring(tmp_path).keys == {key_id(b"\x01" * 32): b"\x01" * 32}
    assert load_secret_key(tmp_path) == b"\x01" * 32
    assert (tmp_path / "vault-0001.key").read_text() == content


def test_the_newest_file_is_the_active_key_and_the_others_still_open(tmp_path):
    (tmp_path / "vault-0001.key").write_text(ONE)
    (tmp_path / "vault-0002.key").write_text(TWO)

    ring = load_keyring(tmp_path)

    assert ring.active == key_id(b"\x02" * 32)
    assert set(ring.keys.values()) == {b"\x01" * 32, b"\x02" * 32}


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\xff\xfe", base64.b64encode(b"short"), base64.b64encode(b"x" * 33), b"!" * 44]
)
def test_a_broken_key_file_stops_everything_and_is_left_alone(tmp_path, content):
    for name, load in (("vault-0001.key", load_keyring), ("secret.key", load_secret_key)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(KeysUnusable, match=name):
            load(tmp_path)
        assert (tmp_path / name).read_bytes() == content


@pytest.mark.parametrize("load", [load_keyring, load_secret_key])
def test_no_key_is_made_where_data_exists_that_another_sealed(tmp_path, load):
    with pytest.raises(KeysUnusable, match="restore the key files"):
        load(tmp_path / "keys", may_create=False)

    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("setting", [f"{TWO},{ONE}", f"{TWO} {ONE}", f" {TWO}\n{ONE}\n"])
def test_keys_may_come_from_a_setting_the_newest_first(tmp_path, setting):
    ring = load_keyring(tmp_path / "keys", setting)

    assert (ring.active, len(ring.keys)) == (key_id(b"\x02" * 32), 2)
    assert not (tmp_path / "keys").exists()


@pytest.mark.parametrize("setting", ["hush", "hush,hush", f"{ONE},hush", ","])
def test_a_malformed_setting_is_named_and_not_shown(tmp_path, setting):
    with pytest.raises(KeysUnusable, match="GATEHOUSE_VAULT_KEYS") as error:
        load_keyring(tmp_path, setting)
    assert "hush" not in str(error.value)


def test_a_secret_key_from_a_setting_leaves_no_file(tmp_path):
    assert (
        load_secret_key(tmp_path, "k" * 32)
        == load_secret_key(tmp_path, "k" * 32)
        != load_secret_key(tmp_path, "l" * 32)
    )
    assert not list(tmp_path.iterdir())


def test_keys_do_not_show_themselves(tmp_path):
    ring = load_keyring(tmp_path, ONE)

    assert repr(b"\x01" * 32)[2:-1] not in repr(ring)
    assert "\\x01" not in repr(ring)


def test_twenty_threads_come_to_one_key(tmp_path):
    folder = tmp_path / "keys"
    with ThreadPoolExecutor(20) as pool:
        rings = list(pool.map(lambda _: load_keyring(folder), range(20)))
        secrets = list(pool.map(lambda _: load_secret_key(folder), range(20)))

    assert len({ring.active for ring in rings}) == len(set(secrets)) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["secret.key", "vault-0001.key"]
