"""What docs/operations.md tells operators to do about backups and keys, done: the very lines that stand there."""

import contextlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest
from flask import Flask
from sqlalchemy import create_engine

from app import create_app
from app.config import ROOT, Config
from app.extensions import db
from app.models import Agency, Staff
from app.services import link_tokens
from app.tenancy import across_tenants, acting_for
from app.vault import load_keyring
from tests import factories
from tests.support import postgres, sealed_goods
from tests.support.processes import environment

OPERATIONS = (ROOT / "docs" / "operations.md").read_text("utf-8")
PAGE, ADDRESS = "/srv/gatehouse", "postgresql://gatehouse@localhost/gatehouse"
SQLITE3 = """#!{python}
import re, sqlite3, sys
with sqlite3.connect(sys.argv[1]) as source, sqlite3.connect(re.fullmatch(r"\\.backup (.+)", sys.argv[2])[1]) as copy:
    source.backup(copy)
"""

pytestmark = pytest.mark.both_databases


def lines(heading: str) -> list[str]:
    """The commands of a section, as they stand there."""
    section = re.split(r"^## ", OPERATIONS.partition(f"\n## {heading}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    found = re.findall(r"^    (\S.*)$", section, re.MULTILINE)
    assert found, heading
    return found


@dataclass
class Machine:
    """A machine like the documents', in a folder."""

    home: Path
    url: str

    @property
    def config(self) -> Config:
        return factories.config(self.home / "instance", self.url)

    def do(self, command: str) -> str:
        """Do a line of the documents, ours in this process and others in a shell; what it says. AssertionError if it fails."""
        if command.startswith("gatehouse "):
            return self._flask(*command.partition("#")[0].split()[1:])
        text = command.replace(PAGE, str(self.home)).replace(ADDRESS, self.url.replace("+psycopg", ""))
        text = re.sub(r"(?<![\w/])(/backup|/elsewhere)/", rf"{self.home}\1/", text)
        env = environment(PATH=f"{self.home / 'bin'}:{os.environ['PATH']}")
        done = subprocess.run(["bash", "-c", text], cwd=ROOT, env=env, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"{text}: {done.stdout}{done.stderr}")
        return done.stdout

    def _flask(self, group: str, *args: str) -> str:
        with self.app() as app:
            done = app.test_cli_runner().invoke(args=[group, *args], env=sealed_goods.settings(self.config))
        if done.exit_code:
            raise AssertionError(f"{group} {args}: {done.output}")
        return done.stdout

    def fits(self, command: str) -> bool:
        """Whether a line is for the database at hand."""
        of_sqlite, of_postgres = "gatehouse.sqlite3" in command, command.startswith("pg_")
        return not (of_postgres if self.url.startswith("sqlite") else of_sqlite)

    def follow(self, heading: str) -> None:
        for command in lines(heading):
            if self.fits(command):
                self.do(command)

    def lose(self) -> None:
        """The disk is gone."""
        for path in (self.home / "instance").iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        if not self.url.startswith("sqlite"):
            with psycopg.connect(self.url.replace("+psycopg", ""), autocommit=True) as connection:
                connection.execute("DROP SCHEMA public CASCADE")
                connection.execute("CREATE SCHEMA public")

    @contextlib.contextmanager
    def app(self) -> Iterator[Flask]:
        app = create_app(self.config)
        with app.app_context(), across_tenants("a test's setting"):
            yield app
            db.session.remove()
            db.engine.dispose()

    def opened(self) -> sealed_goods.Goods:
        engine = create_engine(self.url)
        try:
            return sealed_goods.opened(engine, load_keyring(self.config.keys_path))
        finally:
            engine.dispose()


@pytest.fixture
def machine(database_kind: str, database_url: str, tmp_path: Path, request: pytest.FixtureRequest) -> Machine:
    for name in ("instance", "backup", "elsewhere", "bin"):
        (tmp_path / name).mkdir()
    if database_kind == "sqlite":
        (tmp_path / "test.sqlite3").rename(tmp_path / "instance" / "gatehouse.sqlite3")
        if shutil.which("sqlite3") is None:
            (tmp_path / "bin" / "sqlite3").write_text(SQLITE3.format(python=sys.executable))
            (tmp_path / "bin" / "sqlite3").chmod(0o755)
        return Machine(tmp_path, f"sqlite:///{tmp_path / 'instance' / 'gatehouse.sqlite3'}")
    programs = postgres._programs(tmp_path)
    for name in ("pg_dump", "pg_restore"):
        (tmp_path / "bin" / name).symlink_to(programs / name)
    return Machine(tmp_path, database_url)


@pytest.fixture
def goods(machine: Machine) -> sealed_goods.Goods:
    return sealed_goods.installed(machine.config, each=2)


def link(machine: Machine, recipient: str) -> str:
    """The link of a mail that is sent now."""
    with machine.app():
        agency, owner = db.session.query(Agency).one(), db.session.query(Staff).first()
        with acting_for(agency.id):
            workflow = factories.make_workflow(
                factories.make_workspace(agency, recipient), owner, ("slack", "find_user")
            )
            (asked,) = factories.make_sent(workflow, owner, recipient=recipient)
            return f"/l/{link_tokens.of(asked.bundle)}"


def answer(machine: Machine, address: str) -> tuple[int, bytes]:
    with machine.app() as app:
        found = app.test_client().get(address, base_url=factories.BASE_URL)
        return found.status_code, found.data


def test_a_backup_is_restored_on_an_empty_disk(machine, goods):
    """R22: secrets open, older links too, and newer ones answer like any that never were."""
    older = link(machine, "older@client.example")
    machine.follow("Backup")
    newer = link(machine, "newer@client.example")
    machine.lose()
    machine.follow("Restore")

    assert {place: machine.opened()[place] for place in goods} == goods
    assert answer(machine, older)[0] == 303
    assert answer(machine, newer) == answer(machine, "/l/nothing.at.all")
    assert answer(machine, newer)[0] == 404


def test_restored_without_the_keys_it_is_sealed_until_they_are_back(machine, goods):
    machine.follow("Backup")
    machine.lose()
    (keys,) = [command for command in lines("Restore") if command.startswith("tar")]
    for command in lines("Restore"):
        if machine.fits(command) and not command.startswith(("tar", "gatehouse vault")):
            machine.do(command)

    assert answer(machine, "/panel/sign-in")[0] == 503
    assert not machine.config.keys_path.exists()
    machine.do(keys)
    machine.do("gatehouse vault status")
    assert answer(machine, "/panel/sign-in")[0] == 200
    assert machine.opened() == goods


def test_an_older_backup_wants_the_key_of_its_time(machine, goods):
    """Backed up, rotated and the old key put away, then restored: doctor says where the old key lies."""
    machine.follow("Backup")
    machine.do("gatehouse vault rotate --one-machine")
    shelf = machine.config.keys_path / "retired"
    shelf.mkdir()
    (machine.config.keys_path / "vault-0001.key").rename(shelf / "vault-0001.key")
    for command in lines("Restore"):
        if machine.fits(command) and not command.startswith(("tar", "gatehouse vault")):
            machine.do(command)

    with pytest.raises(AssertionError, match=r"lies in retired/vault-0001\.key: move it back"):
        machine.do("gatehouse vault doctor")
    (shelf / "vault-0001.key").rename(machine.config.keys_path / "vault-0001.key")
    machine.do("gatehouse vault doctor")
    machine.do("gatehouse vault rotate --one-machine")
    assert machine.opened() == goods


def test_the_commands_about_keys_do_what_is_said_of_them(machine, goods, database_kind):
    status, doctor, rotate, retire, give_up = lines("Keys")
    assert "in use" in machine.do(status)
    assert "all of them open" in machine.do(doctor)
    said = machine.do(rotate)
    if database_kind == "postgres":
        assert "vault-0002.next. Copy it into the same folder" in said
        said = machine.do(rotate)
    assert "Everything is wrapped by the key" in said
    assert machine.opened() == goods
    with pytest.raises(AssertionError, match="try again after"):
        machine.do(retire)
    shutil.rmtree(machine.config.keys_path)
    assert "Destroyed: 2 of secret.blob" in machine.do(give_up)
    assert machine.opened() == {}
    assert answer(machine, "/panel/sign-in")[0] == 200


def test_an_address_of_the_documents_is_one(database_kind):
    assert urlunsplit(urlsplit(ADDRESS)) == ADDRESS
    assert any(ADDRESS in command for command in lines("Backup"))
