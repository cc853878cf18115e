"""Starting: keys are made once, on an installation that holds nothing yet."""

import shutil

import pytest
from flask_migrate import upgrade
from sqlalchemy import select

from app import create_app
from app.database import acting_for
from app.extensions import db
from app.models import Agency
from app.services import health, own_clients
from app.vault import KeysUnusable
from tests import factories


@pytest.fixture
def installation(tmp_path, catalog):
    """A folder with a migrated database that holds an agency, and its keys."""
    config = factories.config(tmp_path, f"sqlite:///{tmp_path / 'gatehouse.sqlite3'}")
    app = create_app(config, catalog=catalog)
    with app.app_context():
        upgrade()
        factories.make_agency()
    return config


def test_the_first_start_makes_keys_that_only_the_owner_reads(tmp_path, catalog):
    config = factories.config(tmp_path / "new", f"sqlite:///{tmp_path / 'new.sqlite3'}")
    create_app(config, catalog=catalog)

    assert config.keys_path.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name for path in config.keys_path.iterdir()) == ["secret.key", "vault-0001.key"]
    assert {path.stat().st_mode & 0o777 for path in config.keys_path.iterdir()} == {0o600}


def test_a_later_start_finds_the_same_keys(installation, catalog):
    before = {path.name: path.read_text() for path in installation.keys_path.iterdir()}
    create_app(installation, catalog=catalog)

    assert {path.name: path.read_text() for path in installation.keys_path.iterdir()} == before


@pytest.mark.parametrize("lost", ["vault-0001.key", "secret.key"])
def test_lost_keys_are_not_replaced_once_there_is_data(installation, catalog, lost):
    (installation.keys_path / lost).unlink()

    with pytest.raises(KeysUnusable, match="restore the key files"):
        create_app(installation, catalog=catalog)
    assert not (installation.keys_path / lost).exists()


def test_a_database_that_is_away_may_hold_data(tmp_path, catalog):
    away = "postgresql+psycopg://nobody@127.0.0.1:1/none"
    with pytest.raises(KeysUnusable):
        create_app(factories.config(tmp_path, away), catalog=catalog)


def test_wrong_keys_are_a_problem_that_readyz_names(installation, catalog, tmp_path):
    app = create_app(installation, catalog=catalog)
    with app.app_context():
        agency = db.session.scalars(select(Agency)).one()
        owner = factories.make_staff(agency)
        with acting_for(agency.id):
            own_clients.draft(agency, "slack", by=owner)
            own_clients.configure(agency, "slack", client_id="x", client_secret="not to be known", by=owner)
        assert health.problems() == []
    other = factories.config(tmp_path / "other", installation.database_url)
    shutil.copytree(installation.keys_path, other.keys_path)
    (other.keys_path / "vault-0001.key").write_text("A" * 43 + "=\n")

    app = create_app(other, catalog=catalog)

    answer = app.test_client().get("/readyz")
    assert answer.status_code == 503
    assert "vault key that is not here" in answer.text
