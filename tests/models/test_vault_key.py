"""Keys that data is sealed with: an upgrade finds them, and a start writes down what is new."""

import pytest
from flask_migrate import downgrade, upgrade
from sqlalchemy import inspect, select

from app import create_app
from app.extensions import db
from app.models import Purpose, VaultKey
from app.services import rotation
from app.vault import keys as files
from app.vault import load_keyring
from tests.support import sealed_goods
from tests.support.shared_app import running

pytestmark = pytest.mark.both_databases


def known():
    rows = db.session.execute(
        select(VaultKey.purpose, VaultKey.key_id).order_by(VaultKey.purpose, VaultKey.number)
    ).all()
    db.session.rollback()
    return [tuple(row) for row in rows]


def test_an_upgrade_writes_down_the_keys_of_what_is_sealed_already(config, catalog):
    """From the schema before, with blobs of two keys in every column; nothing that is sealed is touched on the way."""
    goods = sealed_goods.installed(config, each=2)
    first = load_keyring(config.keys_path).active
    with running(config, catalog) as app, app.app_context():
        files.activate(files.prepare(config.keys_path))
        ring = load_keyring(config.keys_path)
        pages = iter(rotation._pages(db.engine, rotation.COLUMNS[0]))
        rotation._rewrap(db.engine, ring, rotation.COLUMNS[0], next(pages)[:1], rotation.Outcome())
        downgrade(revision="0002")
        assert "vault_key" not in inspect(db.engine).get_table_names()
        upgrade()

        assert known() == [(Purpose.VAULT, key_id) for key_id in sorted({first, ring.active})]
        assert sealed_goods.opened(db.engine, ring) == goods
    (config.keys_path / "vault-0001.key").rename(config.keys_path / "kept")
    assert first in create_app(config, catalog=catalog).extensions["gatehouse"].keys.problems[0]


def test_a_start_writes_down_the_keys_in_use_once(config, catalog):
    for _ in range(2):
        with running(config, catalog) as app, app.app_context():
            keys = app.extensions["gatehouse"].keys
            assert known() == [(Purpose.SIGNING, keys.signing_id), (Purpose.VAULT, keys.keyring.active)]


def test_a_new_first_key_of_the_setting_is_written_down_at_the_next_start(config, catalog):
    """With keys from the setting their order says which one seals."""
    with running(config, catalog) as app:
        before = app.extensions["gatehouse"].keyring.active
    files.activate(files.prepare(config.keys_path))
    with running(config, catalog) as app, app.app_context():
        active = app.extensions["gatehouse"].keyring.active
        assert known()[1:] == [(Purpose.VAULT, before), (Purpose.VAULT, active)]
