"""What README.md and docs/operations.md tell an operator is so."""

import re
import shlex

import click
import pytest
from gunicorn.config import Config as GunicornConfig

from app.config import ROOT
from tests.support.shared_app import *  # noqa: F403

OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")
README = (ROOT / "README.md").read_text("utf-8")
SETTING = re.compile(r'self\.(?:get|choice|number)\("([A-Z_]+)"')
COMMAND = re.compile(r"(?:`|bin/|^ +)(?:flask|gatehouse) ([a-z]+(?: [a-z-]+)?)", re.MULTILINE)


def rows(text):
    """The settings that a table names."""
    return {name for line in text.splitlines() if line.startswith("| `") for name in re.findall(r"`([A-Z_]+)`", line)}


def test_every_setting_is_documented_and_no_other():
    read = set(SETTING.findall((ROOT / "app" / "config.py").read_text("utf-8")))

    assert rows(OPERATIONS) - {"_CLIENT_SECRET"} == read
    assert rows(README) - {"_CLIENT_SECRET"} <= read


def test_every_link_between_the_pages_leads_somewhere():
    for path, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", README):
        page = ROOT / (path or "README.md")
        assert page.exists(), path
        titles = re.findall(r"^#+ (.+)$", page.read_text("utf-8"), re.MULTILINE) if anchor else []
        assert anchor in {"", *(title.lower().replace(" ", "-") for title in titles)}, anchor


@pytest.mark.parametrize("text", [OPERATIONS, README], ids=["operations", "readme"])
def test_every_command_that_is_named_exists(app, text):
    named = COMMAND.findall(text)

    assert named
    for words in named:
        name, *rest = words.split()
        command = app.cli.commands[name]
        assert not isinstance(command, click.Group) or rest[0] in command.commands, words


def test_the_proxy_takes_as_large_a_file_as_the_application(app):
    (megabytes,) = re.findall(r"client_max_body_size (\d+)m;", OPERATIONS)

    assert int(megabytes) * 1024 * 1024 == app.config["MAX_CONTENT_LENGTH"]


def test_an_upgrade_fetches_the_new_version_before_it_installs_it():
    steps = OPERATIONS.partition("## Upgrade")[2].partition("on the production machine")[2]
    order = ["git pull", "--require-hashes", "db upgrade", "systemctl restart"]

    assert sorted(order, key=steps.index) == order


def test_gunicorn_knows_the_options_of_the_unit_and_of_our_file():
    (line,) = re.findall(r"ExecStart=\S+/gunicorn (.*)", OPERATIONS)
    config = GunicornConfig()
    assert config.parser().parse_args(shlex.split(line)).args == ["wsgi:app"]

    ours = re.findall(r"^([a-z_]+) = ", (ROOT / "gunicorn.conf.py").read_text("utf-8"), re.MULTILINE)
    assert ours
    assert set(ours) <= set(config.settings)
    assert "32 threads" in OPERATIONS


def test_every_file_and_target_that_is_named_is_there():
    for text in (OPERATIONS, README):
        for path in re.findall(r"`((?:app|docs|constraints|templates|tests)/[\w./]+|[\w.]+\.(?:py|toml))`", text):
            assert (ROOT / path).exists(), path
        for target in re.findall(r"`?make ([a-z-]+)", text):
            assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE), target
