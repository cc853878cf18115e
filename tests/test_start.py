"""Starting: keys are made once, on an installation that holds nothing yet."""

import shutil

import pytest
from flask_migrate import upgrade

from app import create_app
from app.services import health
from tests import factories


@pytest.fixture
def installation(tmp_path, catalog):
    """A folder with a migrated database that holds an agency, and its keys."""
    config = factories.config(tmp_path, f"sqlite:///{tmp_path / 'gatehouse.sqlite3'}")
    with create_app(config, catalog=catalog).app_context():
        upgrade()
    with create_app(config, catalog=catalog).app_context():
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


def key_files(config):
    return {path.name: path.read_text() for path in config.keys_path.iterdir()}


@pytest.mark.parametrize("lost", ["vault-0001.key", "secret.key"])
def test_lost_keys_are_not_replaced_once_there_is_data(installation, catalog, lost):
    (installation.keys_path / lost).unlink()

    keys = create_app(installation, catalog=catalog).extensions["gatehouse"].keys

    assert any("restore the key files" in problem for problem in keys.problems)
    assert lost not in key_files(installation)


def test_a_database_that_is_away_may_hold_data(tmp_path, catalog):
    config = factories.config(tmp_path, "postgresql+psycopg://nobody@127.0.0.1:1/none")
    keys = create_app(config, catalog=catalog).extensions["gatehouse"].keys

    assert len(keys.problems) == 2
    assert not config.keys_path.exists()


def test_no_key_is_made_beside_a_database_that_knows_of_one(installation, catalog, tmp_path):
    """Another machine of the same installation: its keys have to be brought there."""
    other = factories.config(tmp_path / "other", installation.database_url)

    assert create_app(other, catalog=catalog).extensions["gatehouse"].keys.sealed
    assert not other.keys_path.exists()


def test_of_two_machines_that_start_first_one_makes_the_keys(tmp_path, catalog):
    """Each finds the database empty and makes keys; what the first has written down is what the other lacks."""
    url = f"sqlite:///{tmp_path / 'shared.sqlite3'}"
    one, two = (factories.config(tmp_path / name, url) for name in ("one", "two"))
    started = [create_app(config, catalog=catalog) for config in (one, two)]
    with started[0].app_context():
        upgrade()

    first, second = (app.extensions["gatehouse"].keys for app in started)

    assert first.problems == []
    assert first.ring.active in second.problems[0]
    assert first.signing_id in second.problems[1]


def test_wrong_keys_are_a_problem_that_readyz_names(installation, catalog, tmp_path):
    app = create_app(installation, catalog=catalog)
    with app.app_context():
        assert health.problems() == []
    other = factories.config(tmp_path / "other", installation.database_url)
    shutil.copytree(installation.keys_path, other.keys_path)
    (other.keys_path / "vault-0001.key").write_text("A" * 43 + "=\n")

    answer = create_app(other, catalog=catalog).test_client().get("/readyz")

    assert answer.status_code == 503
    assert f"The vault key {app.extensions['gatehouse'].keyring.active} is not here" in answer.text
