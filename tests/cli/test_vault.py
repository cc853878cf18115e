"""`flask vault`: which keys there are, a new one taking over, old ones put away, and what does not open."""

import base64
import itertools
import json
import shutil
import tomllib
from dataclasses import replace
from datetime import timedelta
from importlib.metadata import EntryPoint

import pytest
from sqlalchemy import select
from sqlalchemy.schema import Column
from sqlalchemy.types import LargeBinary

from app import clock, create_app
from app.cli.vault import command
from app.config import ROOT
from app.extensions import Base, db
from app.models import AuditEvent, Purpose
from app.services import rotation, vault_keys
from app.services.sealed import COLUMNS
from app.vault import Sealed, key_id_of, load_keyring, seal
from app.vault.keys import key_id
from tests.cli.vault_commands import EACH, blobs_of, fail, keys_of, names, put, text
from tests.support import sealed_goods

pytestmark = pytest.mark.both_databases
FIRST_HERE = "have the newest come first here too."
ONE, TWO = (bytes([number]) * 32 for number in (1, 2))


@pytest.fixture
def serve():
    """Start a server; what is known of it is its keys."""
    apps = []

    def serve(config):
        apps.append(create_app(config))
        return apps[-1].extensions["gatehouse"].keys

    yield serve
    for app in apps:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def later(monkeypatch):
    """Let time pass for what is asked next."""

    def later(**by):
        at = clock.now() + timedelta(**by)
        monkeypatch.setattr("app.clock.now", lambda: at)

    return later


# ── Every sealed column is looked after ─────────────────────────────────────


def test_every_column_that_may_hold_a_blob_is_one_that_is_rewrapped_or_known_to_be_no_secret(database_kind):
    """A binary column without a length is either in the list, or named here because everybody may see it."""
    pictures = {"agency.logo"}
    may_hold = {f"{table.name}.{column.name}" for table in Base.metadata.tables.values() for column in blobs(table.c)}

    assert may_hold - pictures == {column.name for column in COLUMNS}


def blobs(columns):
    return [
        each
        for each in columns
        if isinstance(each, Column) and isinstance(each.type, LargeBinary) and not each.type.length
    ]


# ── Rotation ────────────────────────────────────────────────────────────────


def test_a_new_key_takes_over_and_all_that_is_sealed_still_opens(config, run, goods, engine):
    before = load_keyring(config.keys_path).active
    done = json.loads(run("rotate", "--one-machine", "--json").stdout)

    ring = load_keyring(config.keys_path)
    assert names(config) == ["secret.key", "vault-0001.key", "vault-0002.key"]
    assert done == {"state": "done", "key": ring.active, "rewrapped": len(goods), "left": 0, "broken": 0}
    assert ring.active != before
    assert len(goods) == len(COLUMNS) * EACH
    assert sealed_goods.opened(engine, ring) == goods
    assert keys_of(run) == {"vault-0002.key": ("in use", len(goods)), "vault-0001.key": ("older", 0)}


def test_rotating_twice_in_a_row_is_rotating_once(config, run, goods):
    first, second = (run("rotate", "--one-machine") for _ in range(2))

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "vault-0003.key" not in names(config)
    assert run("rotate", "--one-machine", "--again").exit_code == 0
    assert "vault-0003.key" in names(config)


def test_several_machines_get_the_key_before_anybody_seals_with_it(config, run, goods, database_kind):
    """With PostgreSQL there may be others: the first call makes the key, the second has it take over."""
    first = run("rotate")

    if database_kind == "sqlite":
        assert "vault-0002.key" in names(config)
        return
    assert "Copy it into the same folder on every other machine" in first.stdout
    assert names(config) == ["secret.key", "vault-0001.key", "vault-0002.next"]
    assert keys_of(run) == {"vault-0001.key": ("in use", len(goods)), "vault-0002.next": ("waits", 0)}
    assert run("rotate").exit_code == 0
    assert keys_of(run) == {"vault-0002.key": ("in use", len(goods)), "vault-0001.key": ("older", 0)}


def test_what_a_writer_changed_meanwhile_is_not_put_back(config, run, goods, engine, monkeypatch):
    """Between reading a page and writing it somebody stores something else: theirs stays."""
    ring, real = load_keyring(config.keys_path), rotation.rewrap
    once = iter([True])

    def meanwhile(keyring, blob, place):
        if place.purpose == "oauth_client_secret" and next(once, None):
            put(engine, place.owner, seal(ring, b"newer", place))
        return real(keyring, blob, place)

    monkeypatch.setattr(rotation, "rewrap", meanwhile)

    assert run("rotate", "--one-machine").exit_code == 0
    opened = sealed_goods.opened(engine, load_keyring(config.keys_path))
    assert [text for place, text in opened.items() if goods[place] != text] == [b"newer"]


def test_a_blob_that_does_not_open_is_left_named_and_does_not_stop_the_rest(config, run, goods, engine):
    (row,) = [row for row in blobs_of(engine) if row.public_id == "client0"]
    altered = row.blob[:40] + bytes([row.blob[40] ^ 1]) + row.blob[41:]
    put(engine, "client0", altered)

    assert fail(run("rotate", "--one-machine")).startswith("1 blobs are not wrapped by the key")
    assert keys_of(run)["vault-0001.key"] == ("older", 1)
    assert "oauth_client.client_secret of row" in fail(run("doctor"))
    assert altered in [row.blob for row in blobs_of(engine)]


def test_old_keys_are_put_away_once_nothing_needs_them_and_never_destroyed(config, run, goods, engine, later):
    old = load_keyring(config.keys_path)
    assert "There was no key to put away." in run("rotate", "--retire").stdout
    run("rotate", "--one-machine")
    assert fail(run("rotate", "--retire")).startswith("Somebody may still be storing with the key before")
    later(minutes=11)
    done = json.loads(run("rotate", "--retire", "--json").stdout)

    assert done == {"state": "retired", "keys": [old.active]}
    assert names(config) == ["retired", "secret.key", "vault-0002.key"]
    kept = config.keys_path / "retired" / "vault-0001.key"
    assert key_id(base64.b64decode(kept.read_text())) == old.active
    assert (kept.stat().st_mode & 0o777, kept.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert (run("status").exit_code, run("doctor").exit_code) == (0, 0)
    assert run("rotate", "--retire").exit_code == 0
    assert run("rotate", "--one-machine", "--again").exit_code == 0
    assert "vault-0003.key" in names(config), "a number is used once"
    with engine.connect() as connection:
        acts = connection.execute(select(AuditEvent.type, AuditEvent.data).order_by(AuditEvent.id)).all()
    about_keys = [(act, data["key"]) for act, data in acts if act.startswith("vault_key.")]
    assert about_keys[:2] == [("vault_key.activated", done_key(config, 2)), ("vault_key.retired", old.active)]


def done_key(config, number):
    return key_id(base64.b64decode((config.keys_path / f"vault-{number:04}.key").read_text()))


def test_a_key_that_still_wraps_something_is_not_put_away(config, run, goods, engine, later):
    old, (kept,) = load_keyring(config.keys_path), itertools.islice(blobs_of(engine), 1)
    run("rotate", "--one-machine")
    put(engine, kept.public_id, kept.blob)
    later(minutes=11)

    assert fail(run("rotate", "--retire")) == f"{old.active} wraps 1 blobs: flask vault rotate first."
    assert "vault-0001.key" in names(config)
    assert "1 blobs are wrapped by other keys" in run("status").stdout
    assert run("rotate", "--one-machine").exit_code == 0
    assert run("rotate", "--retire").exit_code == 0


def test_keys_from_the_setting_rotate_by_their_order(config, run, goods, engine, later):
    """First the new key stands behind the old one everywhere, so that all can open with it; then it comes first."""
    (old,) = load_keyring(config.keys_path).keys.values()
    first, both, turned = (",".join(map(text, keys)) for keys in ((old,), (old, ONE), (ONE, old)))

    assert "put a new key (openssl rand -base64 32) behind the others" in run("rotate", VAULT_KEYS=first).stdout
    assert "put a new key" in run("rotate", VAULT_KEYS=both).stdout
    assert json.loads(run("rotate", "--json", VAULT_KEYS=turned).stdout)["rewrapped"] == len(goods)
    ring = load_keyring(config.keys_path, turned)
    assert (ring.active, sealed_goods.opened(engine, ring)) == (key_id(ONE), goods)
    later(minutes=11)
    assert "take them out of GATEHOUSE_VAULT_KEYS" in run("rotate", "--retire", VAULT_KEYS=turned).stdout
    assert run("doctor", VAULT_KEYS=text(ONE)).exit_code == 0


@pytest.mark.parametrize("args", [(), ("--retire",)])
def test_a_machine_that_still_has_the_older_key_first_does_not_go_back_to_it(config, run, goods, engine, later, args):
    (old,) = load_keyring(config.keys_path).keys.values()
    turned, both = (",".join(map(text, keys)) for keys in ((ONE, old), (old, ONE)))
    run("rotate", VAULT_KEYS=turned)
    later(minutes=11)

    refused = f"The vault key {key_id(ONE)} is in use elsewhere: have it come first here too."
    assert fail(run("rotate", *args, VAULT_KEYS=both)) == refused
    assert {key_id_of(row.blob) for row in blobs_of(engine)} == {key_id(ONE)}


def test_a_machine_that_would_seal_with_a_key_that_was_put_away_is_sealed(config, run, goods, engine, later, serve):
    """Else what it stores could be read nowhere else, and at its next start the old key would be the newest."""
    (old,) = load_keyring(config.keys_path).keys.values()
    turned, both = (",".join(map(text, keys)) for keys in ((ONE, old), (old, ONE)))
    running = serve(replace(config, vault_keys=both))
    run("rotate", VAULT_KEYS=turned)
    later(minutes=11)
    assert running.keyring.active == key_id(old), "until it is put away everybody can open what it wraps"
    assert run("rotate", "--retire", VAULT_KEYS=turned).exit_code == 0

    vault_keys.relearn(engine, running)
    started = serve(replace(config, vault_keys=both))
    for keys in (running, started):
        assert keys.problems == [f"The vault key {key_id(old)} was put away, and would seal here: {FIRST_HERE}"]
        with pytest.raises(Sealed):
            _ = keys.keyring
    with engine.connect() as connection:
        assert vault_keys.needed(vault_keys.known_to(connection), Purpose.VAULT) == [key_id(ONE)]
    assert fail(run("rotate", VAULT_KEYS=both)) == started.problems[0]


def test_a_machine_that_is_behind_catches_up(config, run, goods, engine, later, tmp_path, serve):
    """It has got the new key's file, and nobody has called the command there before the old key was put away."""
    run("rotate", "--one-machine")
    behind = tmp_path / "behind" / "keys"
    shutil.copytree(config.keys_path, behind)
    (behind / "vault-0002.key").rename(behind / "vault-0002.next")
    later(hours=2)
    run("rotate", "--retire")
    there = replace(config, instance_path=behind.parent)

    assert serve(there).behind
    assert run("rotate", INSTANCE_PATH=str(behind.parent)).exit_code == 0
    assert sorted(path.name for path in behind.glob("vault-*")) == ["vault-0001.key", "vault-0002.key"]
    assert not serve(there).problems


# ── What is wrong ───────────────────────────────────────────────────────────


def test_status_names_the_keys_and_what_each_wraps(run, goods):
    result = run("status")

    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("Open.\n")
    assert f"vault-0001.key    in use           {len(goods)} blobs" in result.stdout


@pytest.mark.parametrize("args", [("status",), ("rotate",), ("doctor",)])
def test_a_key_that_is_not_there_is_named_by_all_three(config, run, goods, args):
    path = config.keys_path / "vault-0001.key"
    needed = load_keyring(config.keys_path).active
    path.write_text(text(TWO))

    assert needed in run(*args).stderr
    assert run(*args).exit_code == run(*args, "--json").exit_code == 1
    assert path.read_text() == text(TWO)
    path.unlink()
    assert "There is no vault key" in run(*args).stderr
    assert names(config) == ["secret.key"], "none was made"


def test_doctor_finds_a_key_that_was_put_away_too_early(config, run, goods):
    shelf = config.keys_path / "retired"
    shelf.mkdir()
    (config.keys_path / "vault-0001.key").rename(shelf / "vault-0001.key")

    assert "lies in retired/vault-0001.key: move it back" in run("doctor").stderr


def test_doctor_opens_every_blob(run, goods):
    assert json.loads(run("doctor", "--json").stdout) == {"ok": True, "checked": len(goods), "problems": []}


@pytest.mark.parametrize("args", [("status",), ("rotate",), ("doctor",)])
def test_whatever_else_is_wrong_is_one_line(run, args, tmp_path, database_kind):
    assert fail(run(*args, DATABASE_URL="postgresql://gate:s3cret@127.0.0.1:1/x")).startswith("The database can't be")
    assert "s3cret" not in run(*args, DATABASE_URL="postgresql://gate:s3cret@127.0.0.1:1/x").output
    assert fail(run(*args, DATABASE_URL=f"sqlite:///{tmp_path}/none.db")).endswith("run flask db upgrade.")
    assert fail(run(*args, WORKER="sometimes")) == "GATEHOUSE_WORKER must be embedded or external."


def test_it_is_found_without_an_application(database_kind):
    with (ROOT / "pyproject.toml").open("rb") as file:
        named = tomllib.load(file)["project"]["entry-points"]["flask.commands"]["vault"]

    assert EntryPoint("vault", named, "flask.commands").load() is command


def test_every_blob_names_the_key_that_wraps_it(config, goods, engine):
    ring = load_keyring(config.keys_path)
    with engine.connect() as connection:
        assert {key_id_of(row.blob) for column in COLUMNS for row in connection.execute(column.rows())} == {ring.active}
