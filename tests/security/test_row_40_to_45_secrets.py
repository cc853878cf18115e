"""Secrets: in the open nowhere, bound to their place, under one key however many start, and masked where they are held."""

import base64
import json
import logging
import multiprocessing
import re
from urllib.parse import parse_qs, quote, quote_plus, urlsplit

import pytest
from sqlalchemy import select

from app import create_app
from app.config import Config
from app.database import transaction
from app.egress.transport import GuardedTransport
from app.extensions import db
from app.models import Connection, Flow, OAuthClient, Secret, Status
from app.services import grants, oauth_clients, own_clients, secrets
from app.vault import Masked, VaultError, load_keyring, load_secret_key
from tests import factories
from tests.security.test_row_13_to_18_flows import leave, status
from tests.support.rows import rows_of

OWN = "the-agencys-own-client-secret-4711"


# ── Row 40 ──────────────────────────────────────────────────────────────────


class Canaries:
    """Every secret that passes by: what goes out to a provider and what comes back, what browsers hold, what is typed."""

    def __init__(self, monkeypatch):
        self.found = {}
        real = GuardedTransport.exchange

        def exchange(transport, asked, deadline):
            sent = asked.content.decode(errors="replace")
            for name in ("code", "code_verifier", "client_secret", "refresh_token", "token"):
                for value in parse_qs(sent).get(name, []):
                    self.add(f"sent {name}", value)
            if (header := asked.headers.get("Authorization", "")).startswith("Basic "):
                self.add("sent Basic", base64.b64decode(header[6:]).decode().partition(":")[2])
            answer = real(transport, asked, deadline)
            if "token" in asked.url.path and answer.status_code == 200:
                for name, value in answer.json().items():
                    if name in ("access_token", "refresh_token", "id_token"):
                        self.add(f"got {name}", value)
            return answer

        monkeypatch.setattr(GuardedTransport, "exchange", exchange)

    def add(self, name, value):
        assert len(value) >= 12, (name, value)
        self.found.setdefault(value, name)

    def in_text(self, text):
        return self.in_bytes(text.encode())

    def in_bytes(self, content):
        forms = {
            value: {value.encode(), base64.b64encode(value.encode()), value.encode().hex().encode()}
            for value in self.found
        }
        return sorted({self.found[value] for value, every in forms.items() if any(form in content for form in every)})


@pytest.mark.both_databases
def test_row_40_no_secret_is_in_the_open_anywhere(
    app, config, agency, workspace, owner, visitor, asked, person, provider, monkeypatch, caplog, capfd
):
    """Canaries go the whole way: connected, granted in part, refused by a provider that echoes, typed as a client's secret."""
    canaries = Canaries(monkeypatch)
    own_clients.configure(agency, "farport", client_id="farport-client", client_secret=OWN, by=owner)
    canaries.add("own client secret", OWN)
    pages = []
    with caplog.at_level(logging.DEBUG):
        full, part = leave(visitor, asked[0], person), leave(visitor, asked[1], person, grant=["contacts.read"])
        echoing = leave(visitor, asked[0], person)
        for away in (full, part, echoing):
            canaries.add("state", away.sent["state"])
            canaries.add("code", away.back["code"])
        for cookie in visitor.web._cookies.values():
            canaries.add(f"cookie {cookie.key[:8]}", cookie.value)
        for away in (full, part):
            visitor.ask("GET", away.path, query_string=away.back)
        secret = app.config["GATEHOUSE"].oauth_clients["northdesk"][1]
        said = " ".join([echoing.back["code"], secret, quote_plus(secret), quote(secret, safe="")])
        echo = json.dumps({"error": "invalid_grant", "error_description": said})
        provider.misbehave("token", status=400, body=echo, content_type="application/json", times=1)
        visitor.ask("GET", echoing.path, query_string=echoing.back)
        assert status(asked[0]) is Status.FULFILLED
        pages.append(visitor.get(f"/connect/{asked[0].bundle.public_id}"))
        panel = factories.signed_in(app, owner)
        workflow = f"/panel/workspaces/{workspace.public_id}/workflows/{asked[0].workflow.public_id}"
        addresses = ("/panel/", workflow, "/panel/apps/farport", "/panel/apps", "/metrics", "/panel/account")
        for address in addresses:
            answer = panel.get(address)
            assert answer.status_code == 200, address
            pages.append(answer.text)

    assert {"sent code_verifier", "got access_token", "got refresh_token", "state", "code"} <= set(
        canaries.found.values()
    )
    logged = "\n".join(record.getMessage() for record in caplog.records)
    assert "oauth.token_error app=northdesk" in logged
    assert canaries.in_text(logged) == []
    assert canaries.in_text("".join(capfd.readouterr())) == []
    assert canaries.in_text("\n".join(pages)) == []
    assert canaries.in_bytes(repr(rows_of(agency)).encode()) == []
    assert canaries.in_bytes(_stored(config)) == []
    token = secrets.reveal(db.session.scalars(select(Connection)).one())["access_token"].reveal()
    assert provider.call_api(token)[0] == 200, "and yet it is there, for who has the key"


def _stored(config: Config) -> bytes:
    """The database as a thief of disks would read it: files and write-ahead log, or all rows of all tables."""
    db.session.rollback()
    if config.database_url.startswith("sqlite"):
        database = config.database_url.removeprefix("sqlite:///")
        folder, name = database.rpartition("/")[::2]
        files = [path for path in config.instance_path.parent.rglob(f"{name}*") if str(path.parent) == folder]
        assert len(files) >= 1
        return b"".join(path.read_bytes() for path in files)
    connection = db.session.connection()
    names = connection.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").scalars().all()
    copied = [repr(connection.exec_driver_sql(f'SELECT * FROM "{name}"').all()) for name in names]
    db.session.rollback()
    return "".join(copied).encode()


def test_row_40_a_secret_that_was_replaced_is_gone_from_the_files(agency, workspace, clock, config):
    """Freed pages are overwritten and the log is folded in: what was shredded can't be dug up."""
    connection = factories.make_connection(workspace)
    with transaction():
        old = secrets.keep(connection, {"access_token": "first"}, at=clock.now).blob
    with transaction():
        secrets.keep(connection, {"access_token": "second"}, at=clock.now)
    db.session.rollback()
    raw = db.engine.raw_connection()
    raw.driver_connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    raw.close()

    assert old not in _stored(config)


# ── Row 41 ──────────────────────────────────────────────────────────────────


@pytest.mark.both_databases
def test_row_41_a_blob_that_is_moved_does_not_open(agency, workspace, visitor, asked, person, owner, clock):
    """Whoever can write to the database alone can't have a secret opened where it does not belong."""
    away = leave(visitor, asked[1], person, grant=["contacts.read"])
    visitor.ask("GET", away.path, query_string=away.back)
    own_clients.configure(agency, "farport", client_id="one", client_secret=OWN, by=owner)
    own_clients.configure(agency, "northdesk", client_id="two", client_secret="another-secret", by=owner)
    mine, other = factories.make_connection(workspace), factories.make_connection(workspace, name="other")
    with transaction():
        secrets.keep(mine, {"access_token": "hush"}, at=clock.now)
        secrets.keep(other, {"access_token": "else"}, at=clock.now)
    flow = db.session.scalars(select(Flow)).one()
    with transaction():
        mine.secret.blob, other.secret.blob = other.secret.blob, mine.secret.blob
        first, second = db.session.scalars(select(OAuthClient).order_by(OAuthClient.id)).all()
        first.client_secret, second.client_secret = second.client_secret, first.client_secret
        flow.grant = db.session.scalars(select(Secret.blob)).first()

    for opened in (
        lambda: secrets.reveal(mine),
        lambda: secrets.reveal(other),
        lambda: oauth_clients.for_app(agency, "farport"),
        lambda: grants.discard(flow.id, agency_id=agency.id),
    ):
        with pytest.raises(VaultError):
            opened()


# ── Row 44 ──────────────────────────────────────────────────────────────────


FIRST_TIMES = 20


def start_up(config, start, results):
    """What each start does, several times over, and then a whole application."""
    keys = []
    for number in range(FIRST_TIMES):
        folder = config.instance_path / f"keys{number}"
        start.wait(60)
        keys.append((load_keyring(folder).active, load_secret_key(folder).hex()))
    runtime = create_app(config).extensions["gatehouse"]
    results.put((*keys, runtime.keyring.active, runtime.secret_key.hex()))


def test_row_44_eight_processes_that_start_at_once_make_one_key(tmp_path):
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["app", "tests.factories"])
    start, results = server.Barrier(8), server.Queue()
    config = factories.config(tmp_path / "instance", f"sqlite:///{tmp_path / 'x.sqlite3'}")
    workers = [server.Process(target=start_up, args=(config, start, results), daemon=True) for _ in range(8)]
    for worker in workers:
        worker.start()
    keys = {results.get(timeout=90) for _ in workers}
    for worker in workers:
        worker.join(30)

    assert len(keys) == 1
    assert len(set(next(iter(keys))[:FIRST_TIMES])) == FIRST_TIMES
    for folder in (config.keys_path, config.instance_path / "keys0"):
        assert sorted(path.name for path in folder.iterdir()) == ["secret.key", "vault-0001.key"]


# ── Row 45 ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "shown", [repr, str, "{}".format, "{!r}".format, lambda it: f"{it:>9}", lambda it: repr({"x": [it]})]
)
def test_row_45_secrets_mask_themselves(shown):
    assert "hush" not in shown(Masked("hush"))


def test_row_45_what_holds_secrets_shows_none(agency, workspace, owner, visitor, asked, person, app):
    """Settings, clients, tokens, runtimes, whatever is printed by mistake."""
    own_clients.configure(agency, "farport", client_id="farport-client", client_secret=OWN, by=owner)
    away = leave(visitor, asked[0], person)
    visitor.ask("GET", away.path, query_string=away.back)
    status(asked[0])
    runtime = app.extensions["gatehouse"]
    held = secrets.reveal(asked[0].connection)
    shown = repr(
        [
            runtime,
            runtime.config,
            runtime.keyring,
            oauth_clients.for_app(agency, "farport"),
            held,
            asked[0].connection,
            asked[0].connection.secret,
        ]
    )

    assert OWN not in shown
    assert not [value for value in held.values() if len(value.reveal()) > 8 and value.reveal() in shown]
    assert runtime.secret_key.hex() not in shown
    assert repr(runtime.secret_key)[2:-1] not in shown
    assert not re.search(r"northdesk/s3cret|postwave/s3cret", shown)
    assert urlsplit(away.path).path.startswith("/oauth/callback/")
