"""`flask vault give-up`: going on without keys that are lost for good."""

import itertools
import json

import pytest
from sqlalchemy import select

from app import create_app
from app.models import Connection, Flow, FlowStatus, Health, OutboxItem
from app.services.sealed import COLUMNS
from app.vault import load_keyring
from tests.cli.vault_commands import EACH, OWN, blobs_of, fail, names, put, text
from tests.support import sealed_goods

pytestmark = pytest.mark.both_databases


def test_what_a_lost_key_sealed_is_destroyed_only_when_the_operator_says_so(config, run, goods, engine):
    for path in config.keys_path.iterdir():
        path.unlink()
    count = EACH * len(COLUMNS)
    assert fail(run("give-up")).endswith(f"--yes destroys what can't be read any more: {count} blobs.")
    assert names(config) == []
    done = json.loads(run("give-up", "--yes", "--json").stdout)

    assert done == {"state": "open", "destroyed": {column.name: EACH for column in COLUMNS}}
    assert names(config) == ["secret.key", "vault-0001.key"]
    assert sealed_goods.opened(engine, load_keyring(config.keys_path)) == {}
    with engine.connect() as connection:
        assert set(connection.execute(select(Connection.health, Connection.secret_id))) == {(Health.ERROR, None)}
        assert set(connection.execute(select(OWN.c.client_id, OWN.c.configured_at))) == {(None, None)}
        assert set(connection.scalars(select(Flow.status))) == {FlowStatus.FAILED}
        assert set(connection.scalars(select(OutboxItem.state).where(OutboxItem.message_id.is_(None)))) >= {"dead"}
    assert (run("status").exit_code, run("doctor").exit_code, run("give-up").exit_code) == (0, 0, 0)
    assert create_app(config).extensions["gatehouse"].keys.problems == []


def test_what_another_key_sealed_is_kept_when_one_is_lost(config, run, goods, engine):
    """Half-way through a rotation the older key is lost: what the new one wraps already stays."""
    (kept,) = itertools.islice(blobs_of(engine), 1)
    run("rotate", "--one-machine")
    put(engine, kept.public_id, kept.blob)
    (config.keys_path / "vault-0001.key").unlink()
    done = json.loads(run("give-up", "--yes", "--json").stdout)

    assert done["destroyed"] == {"oauth_client.client_secret": 1}
    assert len(sealed_goods.opened(engine, load_keyring(config.keys_path))) == len(goods) - 1


def test_a_key_that_is_spoilt_is_to_be_moved_away_first(config, run, goods):
    (config.keys_path / "vault-0001.key").write_text("spoilt")

    assert (
        fail(run("give-up", "--yes"))
        == "vault-0001.key must hold keys of 32 bytes in base64. Move that file away first."
    )


def test_a_setting_that_is_written_wrongly_is_no_lost_key(config, run, goods, engine):
    (ring,) = load_keyring(config.keys_path).keys.values()
    result = run("give-up", "--yes", VAULT_KEYS=text(ring)[:-2])

    assert fail(result) == "GATEHOUSE_VAULT_KEYS must hold keys of 32 bytes in base64. Set it right first."
    assert sealed_goods.opened(engine, load_keyring(config.keys_path)) == goods


def test_a_key_that_was_put_away_is_not_lost(config, run, goods, engine):
    shelf = config.keys_path / "retired"
    shelf.mkdir()
    (config.keys_path / "vault-0001.key").rename(shelf / "vault-0001.key")

    assert f"lies in retired/vault-0001.key: move it back into {config.keys_path}" in fail(run("give-up", "--yes"))
    assert sealed_goods.opened(engine, load_keyring(shelf)) == goods


def test_the_key_that_signs_is_replaced_on_purpose(config, run, goods):
    (config.keys_path / "secret.key").unlink()

    assert json.loads(run("give-up", "--yes", "--json").stdout)["destroyed"] == {}
    assert (names(config), run("status").exit_code) == (["secret.key", "vault-0001.key"], 0)
