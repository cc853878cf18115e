"""`flask check`: what is in force, secrets masked, and what is wrong, each in one line."""

import base64
import json
import secrets
import tomllib
from importlib.metadata import EntryPoint

import pytest
from click.testing import CliRunner
from flask_migrate import upgrade
from sqlalchemy import text

from app import create_app
from app.cli.check import HIDDEN, command
from app.config import ROOT, Config
from app.database import transaction
from app.services import health, own_clients
from app.tenancy import acting_for
from tests import factories

SECRETS = ("s3cret-of-mail", "s3cret-of-postgres", "s3cret-of-query", "s3cret-of-slack", "s3cret-of-metrics" * 2)
KEY = base64.b64encode(secrets.token_bytes(32)).decode()


@pytest.fixture
def run(tmp_path):
    """Run it as an installation in a folder of its own would."""

    def run(*args, **settings):
        env = {"GATEHOUSE_INSTANCE_PATH": str(tmp_path)} | {f"GATEHOUSE_{key}": val for key, val in settings.items()}
        return CliRunner().invoke(command, args, env=env)

    return run


@pytest.fixture
def installed(tmp_path, catalog):
    """A migrated database with its keys, which holds nothing yet."""
    config = Config.from_environ({"GATEHOUSE_INSTANCE_PATH": str(tmp_path)})
    app = create_app(config, catalog=catalog)
    with app.app_context():
        upgrade()
    return app


@pytest.fixture
def filled(installed):
    """The same with an agency, and a secret that was sealed."""
    with installed.app_context():
        agency = factories.make_agency()
        owner = factories.make_staff(agency)
        with acting_for(agency.id):
            own_clients.draft(agency, "slack", by=owner)
            own_clients.configure(agency, "slack", client_id="x", client_secret="not to be known", by=owner)
    return installed.config["GATEHOUSE"]


def test_check_prints_what_is_in_force_and_that_all_is_well(run, filled):
    result = run()

    assert (result.exit_code, result.stderr) == (0, "")
    lines = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    assert lines["BASE_URL"] == "http://localhost:8000"
    assert lines["WORKER"] == "embedded"
    assert lines["SMTP"] == "not set"
    assert result.stdout.endswith("All is well.\n")


@pytest.mark.parametrize("args", [[], ["--json"]])
def test_check_masks_every_secret(run, args):
    mail, postgres, query, slack, metrics = SECRETS
    result = run(
        *args,
        SMTP_URL=f"smtp://mailer:{mail}@mail.example:587",
        MAIL_FROM="requests@gate.example",
        DATABASE_URL=f"postgresql://gate:{postgres}@127.0.0.1:1/gate?password={query}&sslmode=disable",
        OAUTH_SLACK_CLIENT_ID="an-id",
        OAUTH_SLACK_CLIENT_SECRET=slack,
        SECRET_KEY=f"{KEY} as secret",
        VAULT_KEYS=KEY,
        METRICS_TOKEN=metrics,
    )

    for secret in (*SECRETS, KEY):
        assert secret not in result.output
    for shown in (HIDDEN, "mail.example:587", "as mailer", "gate:***@127.0.0.1:1/gate", "slack (an-id)"):
        assert shown in result.output


def test_check_answers_in_json(run, filled):
    good = run("--json")
    (filled.keys_path / "secret.key").unlink()
    bad = run("--json")

    assert (good.exit_code, bad.exit_code) == (0, 1)
    assert json.loads(good.stdout)["problems"] == []
    assert json.loads(good.stdout)["settings"]["base_url"] == "http://localhost:8000"
    (problem,) = json.loads(bad.stdout)["problems"]
    assert "There is no secret.key" in problem


def fail(result):
    """The one thing that is wrong, as it is said on standard error."""
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert "All is well" not in result.output
    return line


@pytest.mark.parametrize("args", [[], ["--json"]])
def test_check_says_which_setting_is_malformed(run, args):
    result = run(*args, WORKER="sometimes")

    assert result.exit_code == 1
    assert "GATEHOUSE_WORKER must be embedded or external." in result.output


def test_check_says_that_there_is_no_database_yet_and_makes_nothing(run, tmp_path):
    assert fail(run()) == f"There is no database yet at {tmp_path}/gatehouse.sqlite3: run flask db upgrade."
    assert list(tmp_path.iterdir()) == []


def test_check_says_that_the_database_is_away(run):
    said = fail(run(DATABASE_URL="postgresql://gate:s3cret@127.0.0.1:1/gate"))

    assert said.startswith("The database can't be reached: ")
    assert "s3cret" not in said


def test_check_says_that_the_schema_is_another(run, installed):
    with installed.app_context(), transaction() as session:
        session.execute(text("UPDATE alembic_version SET version_num = 'older'"))

    assert fail(run()) == health.stale_schema("older")


def test_check_says_what_is_wrong_with_an_app_of_ones_own(run, installed, tmp_path):
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "deskly.toml").write_text("key =")

    assert fail(run()) == "deskly.toml:1: invalid value"


def test_check_wants_no_keys_before_there_is_data(run, installed, tmp_path):
    for path in (tmp_path / "keys").iterdir():
        path.unlink()

    assert run().exit_code == 0
    assert list((tmp_path / "keys").iterdir()) == [], "it made none"


@pytest.mark.parametrize("lost", ["vault-0001.key", "secret.key"])
def test_check_misses_a_key_once_there_is_data(run, filled, lost):
    (filled.keys_path / lost).unlink()

    assert "and data exists that" in fail(run())
    assert not (filled.keys_path / lost).exists(), "it made none"


def test_check_misses_the_folder_of_keys_once_there_is_data(run, filled, tmp_path):
    filled.keys_path.rename(tmp_path / "elsewhere")

    assert len(run().stderr.splitlines()) == 2


@pytest.mark.parametrize("name", ["vault-0001.key", "secret.key"])
@pytest.mark.parametrize("content", ["", "not base64!", "c2hvcnQ="])
def test_check_reads_the_keys(run, filled, name, content):
    (filled.keys_path / name).write_text(content)

    assert fail(run()) == f"{name} must hold keys of 32 bytes in base64."


def test_check_says_that_the_keys_are_of_another_installation(run, filled):
    (filled.keys_path / "vault-0001.key").write_text(KEY)

    assert "is not here, and data is sealed with it: restore the key files." in fail(run())
    assert run(VAULT_KEYS=KEY).exit_code == 1
    (filled.keys_path / "secret.key").write_text(KEY)
    assert "which signed the links and sessions, is not here" in run().stderr


@pytest.mark.parametrize(("name", "mode"), [("secret.key", 0o640), ("vault-0001.key", 0o604), ("", 0o750)])
def test_check_says_that_others_can_read_the_keys(run, filled, name, mode):
    (filled.keys_path / name).chmod(mode)

    assert fail(run()).startswith(f"Others can read {name or 'keys'} in {filled.keys_path}: chmod 0700")


def test_check_is_found_without_an_application():
    with (ROOT / "pyproject.toml").open("rb") as file:
        named = tomllib.load(file)["project"]["entry-points"]["flask.commands"]["check"]

    assert EntryPoint("check", named, "flask.commands").load() is command
