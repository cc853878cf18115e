"""Sealed mode: a key is missing or wrong, and a real server says so, changes nothing, and goes on once the key is back."""

import contextlib
import secrets as chance
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from flask import Flask
from sqlalchemy import create_engine, inspect, select

from app import create_app
from app.config import Config
from app.extensions import Base, db
from app.models import AuditEvent, ConnectionRequest, OutboxItem, Status
from app.services import link_tokens, own_clients
from app.tenancy import across_tenants, acting_for
from app.vault import load_keyring
from tests import factories
from tests.support import sealed_goods
from tests.support.installed import Installation
from tests.support.processes import Running
from tests.support.servers import wait_until
from tests.support.smtp import Server, smtp_server
from tests.support.staff_browser import HTMX, TOKEN
from tests.support.token_endpoint import KEY, TokenEndpoint, token_endpoint
from tests.support.variant import Change

SENTENCE = "A key is missing on this server, so nothing secret can be opened or stored. Nothing was changed."
BANNER = "This server is sealed: a key is missing"
NAMES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}
OTHER = "QUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUFBQUE=\n"


# ── What can be wrong with a key ────────────────────────────────────────────


def missing(_path: Path) -> None:
    """It is gone already."""


def wrong(path: Path) -> None:
    path.write_text(OTHER)


def malformed(path: Path) -> None:
    path.write_text("nothing that is a key\n")


def unreadable(path: Path) -> None:
    """Whoever is root may read everything, but no folder can be read as a file."""
    path.mkdir()


FAULTS = [
    (name, fault) for name in ("vault-0001.key", "secret.key") for fault in (missing, wrong, malformed, unreadable)
]


def clear(path: Path) -> None:
    if path.is_dir():
        path.rmdir()
    path.unlink(missing_ok=True)


@contextlib.contextmanager
def broken(keys: Path, *faults: tuple[str, Callable[[Path], None]]) -> Iterator[Iterator[str]]:
    """The keys with one fault after the other, never without; in the end they are as they were."""
    kept = {path: path.read_bytes() for path in keys.iterdir()}

    def each() -> Iterator[str]:
        for name, fault in faults:
            clear(keys / name)
            fault(keys / name)
            for path in kept.keys() - {keys / name}:
                mend(path)
            yield name

    def mend(path: Path) -> None:
        if not path.is_file() or path.read_bytes() != kept[path]:
            clear(path)
            path.write_bytes(kept[path])
            path.chmod(0o600)

    try:
        yield each()
    finally:
        for path in kept:
            mend(path)


# ── The installation ────────────────────────────────────────────────────────


@dataclass
class Scene:
    """An installation with something sealed everywhere, a mail that waits, and a client who is on the way back."""

    place: Installation
    config: Config
    smtp: Server
    goods: sealed_goods.Goods
    web: httpx2.Client
    page: str
    start: str
    callback: str

    @property
    def keys(self) -> Path:
        return self.config.keys_path

    def rows(self) -> dict[str, list[Any]]:
        """Every row of every table, but for the chain that the worker links."""
        engine = create_engine(self.config.database_url)
        with engine.connect() as connection:
            found = {
                name: connection.execute(
                    select(*[column for column in table.c if column.name not in ("sequence", "digest")]).order_by(
                        *inspect(table).primary_key.columns
                    )
                ).all()
                for name, table in Base.metadata.tables.items()
            }
        engine.dispose()
        return {name: [tuple(row) for row in rows] for name, rows in found.items()}

    def has_turned(self) -> bool:
        """Whether the worker has been at work: it links every act into the chain."""
        return all(value is not None for value in self._column(AuditEvent.sequence))

    def mails(self) -> list[Any]:
        return self._column(OutboxItem.state)

    def asked(self) -> Status:
        """How the request stands whose client is on the way back."""
        (found,) = self._column(ConnectionRequest.status, ConnectionRequest.app_key == KEY)
        return found

    def _column(self, column: Any, *where: Any) -> list[Any]:
        engine = create_engine(self.config.database_url)
        with engine.connect() as connection:
            found = list(connection.scalars(select(column).where(*where)))
        engine.dispose()
        return found

    def token(self, path: str) -> str:
        return TOKEN.search(self.web.get(path).text)[1]

    def refused(self) -> list[httpx2.Response]:
        """What needs a secret, asked for as browsers do."""
        answers = [self.web.get(self.callback)]
        with contextlib.suppress(TypeError):  # where nothing can be signed there is no form to send
            token = self.token(self.page)
            answers.append(self.web.post(self.start, data={"csrf_token": token}, headers={"Accept": "text/html"}))
            token = self.token("/panel/apps/slack")
            given = {"csrf_token": token, "client_id": "it", "client_secret": "hush-hush"}
            answers.append(self.web.post("/panel/apps/slack", data=given))
        return answers


@contextlib.contextmanager
def scene(folder: Path, url: str, smtp: Server, provider: TokenEndpoint) -> Iterator[Scene]:
    settings = {"APPS_DIR": str(provider.write_app(folder / "apps")), "EGRESS_ALLOW": "127.0.0.0/8"}
    place = Installation(folder, url, smtp.url, settings)
    config = Config.from_environ({k: v for k, v in place.env.items() if k.startswith("GATEHOUSE_")})
    app = create_app(config)
    with app.app_context(), across_tenants("a test's setting"):
        agency = factories.make_agency()
        owner = factories.make_staff(agency)
        sealed_goods.fill(agency, owner, each=2)
        with acting_for(agency.id):
            own_clients.configure(agency, KEY, client_id="own-client", client_secret="own-secret", by=owner)
            workflow = factories.make_workflow(factories.make_workspace(agency, "Other"), owner, (KEY, "find_boat"))
            (asked,) = factories.make_sent(workflow, owner, recipient="zoe@client.example")
            link, cookie = f"/l/{link_tokens.of(asked.bundle)}", factories.signed_in(app, owner)
            start = f"/connect/{asked.bundle.public_id}/requests/{asked.public_id}/start"
        goods = sealed_goods.opened(db.engine, load_keyring(config.keys_path))
        db.session.remove()
        cookies = {each.key: each.value for each in cookie._cookies.values()}
    jar, page, callback = _on_the_way_back(app, place.url, link, start)
    with app.app_context():
        goods |= {(name, row): text for (name, row), text in sealed_goods.opened(db.engine, load_keyring(config.keys_path)).items()}  # fmt: skip
        db.engine.dispose()
    with httpx2.Client(base_url=place.url, trust_env=False, timeout=30, cookies={**jar, **cookies}) as web:
        yield Scene(place, config, smtp, goods, web, page, start, callback)


def _on_the_way_back(app: Flask, base: str, link: str, start: str) -> tuple[dict[str, str], str, str]:
    """A client who opened the link, pressed “Connect” and approved; cookies, page, and where the provider sends them."""
    browser = app.test_client()
    opened = browser.get(link, base_url=base)
    page = urlsplit(opened.headers["Location"]).path
    token = TOKEN.search(browser.get(page, base_url=base).text)[1]
    left = browser.post(start, base_url=base, data={"csrf_token": token}, headers=HTMX)
    asked = {name: value for name, (value,) in parse_qs(urlsplit(left.headers["HX-Redirect"]).query).items()}
    address = urlsplit(asked["redirect_uri"]).path
    cookies = {each.key: each.value for each in browser._cookies.values()}
    return cookies, page, f"{address}?state={asked['state']}&code=zoe.{chance.token_hex(8)}"


@pytest.fixture
def there(tmp_path: Path, database_url: str) -> Iterator[Scene]:
    with smtp_server() as smtp, token_endpoint() as provider, scene(tmp_path, database_url, smtp, provider) as made:
        yield made


# ── The measuring ───────────────────────────────────────────────────────────


def ready(scene: Scene) -> int:
    return scene.web.get("/readyz").status_code


def check_sealed(there: Scene, server: Running, name: str, before: dict[str, list[Any]]) -> int:
    """It says so wherever one would look, refuses in one sentence, and changes no row; says how many acts it refused."""
    probe = there.web.get("/readyz")
    assert there.web.get("/healthz").status_code == 200
    assert probe.status_code == 503
    assert "key" in probe.text
    assert "Sealed: " in server.output()
    home = there.web.get("/panel/")
    signs = name == "secret.key"
    assert (home.status_code, (SENTENCE if signs else BANNER) in home.text) == (503 if signs else 200, True)
    answers = there.refused()
    assert len(answers) == (1 if signs else 3)
    for answer in answers:
        assert (answer.status_code, SENTENCE in answer.text) == (503, True), (answer.url, answer.text[:2000])
        assert "Retry-After" in answer.headers
    wait_until(there.has_turned, timeout=30)
    after = there.rows()
    assert {table for table in before if before[table] != after[table]} == set()
    assert not there.smtp.inbox.all()
    return len(answers)


def check_back(there: Scene) -> None:
    """All is readable, the mail goes out, and the client who came back too early comes back again and is connected."""
    engine = create_engine(there.config.database_url)
    found = sealed_goods.opened(engine, load_keyring(there.keys))
    engine.dispose()
    assert {place: found.get(place) for place in there.goods} == there.goods
    wait_until(lambda: len(there.smtp.inbox.all()) == 2, timeout=30)
    answer = there.web.get(there.callback)
    assert (answer.status_code, there.asked()) == (303, Status.FULFILLED)
    assert BANNER not in there.web.get("/panel/").text


@pytest.mark.both_databases
def test_keys_that_go_missing_under_a_running_server(there, proof, database_kind):
    """The vault's key and the one that signs are each taken away, exchanged, spoilt and made unreadable under a running
    server: it says so on the panel, in its log and to probes, refuses what needs a secret in one sentence, and changes no
    row. When the key is back it goes on without a restart: the mail that waited is sent, and the same callback connects.
    """
    proof.title = f"Secrets: sealed while it runs, {NAMES[database_kind]}"
    both = [proof.random.choice(FAULTS[:4]), proof.random.choice(FAULTS[4:])]
    faults = proof.random.sample(FAULTS, len(FAULTS)) if proof.full else both
    before, refused = there.rows(), 0
    with contextlib.ExitStack() as life:
        with broken(there.keys, *faults) as each:
            name = next(each)
            server = life.enter_context(there.place.serve())
            refused += check_sealed(there, server, name, before)
            for name in each:
                wait_until(partial(says, there, name), timeout=20)
                refused += check_sealed(there, server, name, before)
        wait_until(lambda: ready(there) == 200, timeout=20)
        check_back(there)
        assert "No longer sealed" in server.output()
    proof.figure("faults", len(faults))
    proof.figure("acts refused in one sentence", refused)


def says(there: Scene, name: str) -> bool:
    """Whether it is this key that probes are told of."""
    return (SENTENCE in there.web.get("/panel/").text) == (name == "secret.key") and ready(there) == 503


@pytest.mark.both_databases
def test_a_server_that_starts_without_its_keys(there, proof, database_kind):
    """A server is started with each of these faults: it starts, makes no new key, and serves what needs none; with the key
    back, and started again, all is readable.
    """
    proof.title = f"Secrets: sealed from the start, {NAMES[database_kind]}"
    faults = FAULTS if proof.full else [proof.random.choice(FAULTS[:4])]
    before = there.rows()
    for fault in faults:
        with broken(there.keys, fault) as each:
            name = next(each)
            names = sorted(path.name for path in there.keys.iterdir())
            with there.place.serve() as server:
                check_sealed(there, server, name, before)
            assert sorted(path.name for path in there.keys.iterdir()) == names
    with there.place.serve():
        check_back(there)
    proof.figure("starts without a key", len(faults))


def test_the_measuring_notices_rows_that_change(there):
    """Without the look at the keys beforehand a mail is taken in hand: the same measuring finds it."""
    change = Change("app.worker.mail", " and not runtime.current().keys.sealed", "")
    before = there.rows()
    with broken(there.keys, ("vault-0001.key", missing)) as each, contextlib.ExitStack() as life:
        name = next(each)
        server = life.enter_context(there.place.serve(changes=[change]))
        assert any(notices(there, server, name, before) for _ in range(10))


def notices(there: Scene, server: Running, name: str, before: dict[str, list[Any]]) -> bool:
    """Whether the measuring has found a row that changed."""
    try:
        check_sealed(there, server, name, before)
    except AssertionError as error:
        return "outbox" in str(error)
    return False


def test_the_measuring_notices_a_key_that_is_made_over_data(there):
    """A server that makes what it misses leaves a file behind."""
    change = Change("app.services.vault_keys", "may_create=not holds_data", "may_create=True")
    with broken(there.keys, ("vault-0001.key", missing)) as each:
        next(each)
        with there.place.serve(changes=[change]):
            assert (there.keys / "vault-0001.key").exists()
