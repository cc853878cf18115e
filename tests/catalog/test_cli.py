"""The commands work without an application, and say in one line what is wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from app.catalog import load
from app.cli.catalog import command
from tests.catalog.conftest import SOUND


def run(*arguments: str, **environ: str | Path) -> Result:
    settings = {f"GATEHOUSE_{name}": str(value) for name, value in environ.items()}
    return CliRunner().invoke(command, arguments, env=settings)


def test_check_says_that_all_is_in_order(tmp_path: Path):
    result = run("check", APPS_DIR=tmp_path)

    assert result.exit_code == 0
    assert result.output == f"{len(load())} apps, all in order.\n"


def test_check_names_what_is_broken_and_fails(tmp_path: Path):
    (tmp_path / "deskly.toml").write_text(SOUND.replace("token_url", "tokenurl"))

    line = SOUND[: SOUND.index("token_url")].count("\n") + 1

    result = run("check", APPS_DIR=tmp_path)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr == f"deskly.toml:{line}: unknown key oauth2.tokenurl; did you mean token_url?\n"


def test_check_answers_in_json(tmp_path: Path):
    assert json.loads(run("check", "--json", APPS_DIR=tmp_path).stdout) == {"ok": True, "apps": len(load())}
    (tmp_path / "deskly.toml").write_text("key =")

    result = run("check", "--json", APPS_DIR=tmp_path)

    assert result.exit_code == 1
    assert json.loads(result.stdout) == {"ok": False, "faults": ["deskly.toml:1: invalid value"]}


def test_check_looks_into_the_folder_of_the_instance(tmp_path: Path):
    (tmp_path / "apps").mkdir()
    (tmp_path / "apps" / "deskly.toml").write_text("key =")

    assert run("check", INSTANCE_PATH=tmp_path).exit_code == 1


def test_check_minds_no_setting_but_its_own(tmp_path: Path):
    result = run("check", APPS_DIR=tmp_path, SMTP_URL="nonsense", DATABASE_URL="nonsense", BASE_URL="nonsense")

    assert result.exit_code == 0


def test_check_allows_plain_http_to_this_machine_where_calls_may_go_there(tmp_path: Path):
    (tmp_path / "deskly.toml").write_text(SOUND.replace("https://{subdomain}.deskly.example", "http://127.0.0.1:8001"))

    assert run("check", APPS_DIR=tmp_path).exit_code == 1
    assert run("check", APPS_DIR=tmp_path, EGRESS_ALLOW="127.0.0.0/8").exit_code == 0


def test_list_shows_methods_redirect_address_and_shared_client(tmp_path: Path):
    result = run(
        "list",
        APPS_DIR=tmp_path,
        BASE_URL="https://access.example",
        OAUTH_GOOGLE_SHEETS_CLIENT_ID="an-id",
        OAUTH_GOOGLE_SHEETS_CLIENT_SECRET="a-secret",
    )

    assert result.exit_code == 0
    lines = {line.split()[0]: line.split() for line in result.stdout.splitlines()}
    assert lines["google-sheets"][3:] == [
        "oauth2",
        "shared",
        "client",
        "https://access.example/oauth/callback/shared-google-sheets",
    ]
    assert lines["slack"][2:] == [
        "oauth2",
        "no",
        "shared",
        "client",
        "https://access.example/oauth/callback/shared-slack",
    ]
    assert lines["zendesk"][2:4] == ["oauth2,", "api_key"]
    assert lines["twilio"] == ["twilio", "Twilio", "api_key"]
    assert "a-secret" not in result.output
    assert "an-id" not in result.output


def test_list_answers_in_json(tmp_path: Path):
    result = run("list", "--json", APPS_DIR=tmp_path, OAUTH_ZOHO_CRM_CLIENT_ID="an-id")

    rows = {row["key"]: row for row in json.loads(result.stdout)}
    assert rows["zoho-crm"] == {
        "key": "zoho-crm",
        "name": "Zoho CRM",
        "methods": ["oauth2"],
        "redirect_uri": "http://localhost:8000/oauth/callback/shared-zoho-crm",
        "setting": "GATEHOUSE_OAUTH_ZOHO_CRM_CLIENT_ID",
        "shared_client": True,
    }
    assert rows["slack"]["shared_client"] is False
    assert rows["twilio"] == {"key": "twilio", "name": "Twilio", "methods": ["api_key"]}


@pytest.mark.parametrize("arguments", [["list"], ["list", "--json"]])
def test_list_fails_on_a_malformed_base_url(tmp_path: Path, arguments):
    result = run(*arguments, APPS_DIR=tmp_path, BASE_URL="ftp://access.example")

    assert result.exit_code == 1
    assert "GATEHOUSE_BASE_URL must be like https://access.example.com" in result.output


def test_check_works_when_the_application_cannot_start(tmp_path: Path):
    script = "from app.cli.catalog import command; command(['check'])"
    environ = {**os.environ, "GATEHOUSE_APPS_DIR": str(tmp_path), "GATEHOUSE_SMTP_URL": "nonsense"}

    result = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=False)

    assert (result.returncode, result.stdout) == (0, f"{len(load())} apps, all in order.\n"), result.stderr
