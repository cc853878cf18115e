"""Row 40: no secret lies in the open anywhere. Canaries go every way that a secret goes, and are then looked for."""

import base64
import contextlib
import json
import logging
import secrets as chance
from urllib.parse import parse_qs, quote, quote_plus

import pytest
from sqlalchemy import select

from app import clock
from app.egress import EgressFailed
from app.egress.transport import GuardedTransport
from app.extensions import db
from app.models import Connection, OutboxItem, Status
from app.services import bundle_mail, claims, link_tokens, own_clients, secrets
from app.tenancy import across_tenants, acting_for
from app.vault import envelope
from app.worker import mail
from tests import factories
from tests.security.connecting import leave, status
from tests.support.provided import STEPS
from tests.support.thief import Eye, stored
from tests.support.visitor import Visitor

NAMES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}


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
            if "token" in asked.url.path and answer.status == 200:
                with contextlib.suppress(EgressFailed):
                    self._answered(answer.json())
            return answer

        monkeypatch.setattr(GuardedTransport, "exchange", exchange)

    def _answered(self, document):
        for name, value in document.items():
            if name in ("access_token", "refresh_token", "id_token"):
                self.add(f"got {name}", value)

    def add(self, name, value):
        assert len(value) >= 12, (name, value)
        self.found.setdefault(value, name)

    def in_bytes(self, content, *, besides=()):
        seen = Eye(value for value, name in self.found.items() if name not in besides).sees(content)
        return sorted({self.found[value] for value in seen})

    def in_text(self, text, **how):
        return self.in_bytes(text.encode(), **how)


class Journey:
    """A client who is asked for two apps: one is connected, one granted in part, and one refused by a provider that echoes."""

    def __init__(self, app, config, agency, workspace, owner, provider, canaries):
        self.app, self.config, self.agency, self.workspace, self.owner = app, config, agency, workspace, owner
        self.provider, self.canaries = provider, canaries
        self.pages, self.mails, self.asked = [], [], []

    def go(self, person):
        secret = f"own-client-{chance.token_urlsafe(24)}"
        own_clients.configure(self.agency, "farport", client_id="farport-client", client_secret=secret, by=self.owner)
        self.canaries.add("typed client secret", secret)
        self.asked = self._ask()
        self._post()
        self._connect(person)
        self._look()

    def _ask(self):
        workflow = factories.make_workflow(self.workspace, self.owner, *STEPS, name=chance.token_hex(6))
        sent = factories.make_sent(workflow, self.owner, recipient=f"{chance.token_hex(6)}@client.example")
        self.canaries.add("link", link_tokens.of(sent[0].bundle))
        return sent

    def _post(self):
        """Its mail is on the way: written, sealed in the outbox, and not answered for yet."""
        own = None
        while own is None:  # what other tests of the installation left waiting is taken before
            with across_tenants("the worker's side"):
                items = claims.claim([bundle_mail.KIND], at=clock.now())
            assert items
            own = next((item for item in items if item.payload["bundle"] == self.asked[0].bundle_id), None)
        with acting_for(own.agency_id):
            self.mails.append(mail.begin(own))
        db.session.rollback()

    def _connect(self, person):
        browser = self.app.test_client()
        browser.environ_base["REMOTE_ADDR"] = f"2001:db8:{chance.token_hex(2)}:{chance.token_hex(2)}::1"
        visitor, (first, second) = Visitor(browser), self.asked
        full, part = leave(visitor, first, person), leave(visitor, second, person, grant=["contacts.read"])
        echoing, garbled = leave(visitor, first, person), leave(visitor, first, person)
        for away in (full, part, echoing, garbled):
            self.canaries.add("state", away.sent["state"])
            self.canaries.add("code", away.back["code"])
        for cookie in browser._cookies.values():
            self.canaries.add(f"cookie {cookie.key[:8]}", cookie.value)
        for away in (full, part):
            visitor.ask("GET", away.path, query_string=away.back)
        secret = self.config.oauth_clients["northdesk"][1]
        said = " ".join([echoing.back["code"], secret, quote_plus(secret), quote(secret, safe="")])
        echo = json.dumps({"error": "invalid_grant", "error_description": said})
        self.provider.misbehave("token", status=400, body=echo, content_type="application/json", times=1)
        answer = visitor.ask("GET", echoing.path, query_string=echoing.back)
        self.pages.append(answer.text)
        self._garble(visitor, garbled)
        assert status(first) is Status.FULFILLED
        self.pages.append(visitor.get(f"/connect/{first.bundle.public_id}"))

    def _garble(self, visitor, away):
        """New tokens come, in an answer that can't be read: a member is there twice, as it must not be in JSON."""
        access, fresh = f"AT-{chance.token_urlsafe(24)}", f"RT-{chance.token_urlsafe(24)}"
        self.canaries.add("got access_token in garbage", access)
        self.canaries.add("got refresh_token in garbage", fresh)
        body = json.dumps({"access_token": access, "refresh_token": fresh, "expires_in": 3600})
        body = body.replace("}", ', "expires_in": 3600}')
        self.provider.misbehave("token", status=200, body=body, content_type="application/json", times=1)
        self.pages.append(visitor.ask("GET", away.path, query_string=away.back).text)

    def _look(self):
        """Staff look round; what they type to sign in, and what their browser holds, is secret too."""
        panel = factories.signed_in(self.app, self.owner)
        self.canaries.add("cookie gh_staff", panel.get_cookie("gh_staff").value)
        self.canaries.add("password", factories.PASSWORD)
        workflow = f"/panel/workspaces/{self.workspace.public_id}/workflows/{self.asked[0].workflow.public_id}"
        for address in ("/panel/", workflow, "/panel/apps/farport", "/panel/apps", "/metrics", "/panel/account"):
            answer = panel.get(address)
            assert answer.status_code == 200, address
            self.pages.append(answer.text)
        wrong = panel.post("/panel/sign-in", data={"email": self.owner.email, "password": factories.PASSWORD})
        self.pages.append(wrong.text)


@pytest.fixture
def canaries(monkeypatch):
    return Canaries(monkeypatch)


@pytest.fixture
def journey(app, config, agency, workspace, owner, provider, canaries):
    return Journey(app, config, agency, workspace, owner, provider, canaries)


@pytest.mark.both_databases
def test_row_40_no_secret_is_in_the_open_anywhere(
    journey, canaries, config, person, provider, caplog, capfd, proof, database_kind
):
    """Clients connect, grant in part, and are refused by a provider that echoes what it was told; staff type clients'
    secrets. All codes, verifiers, tokens, states, cookies, passwords and links are then looked for, plain, in hexadecimal,
    percent-encoded and in base64, in the database's files and its write-ahead log, all rows, the log, pages and mail.
    """
    proof.title = f"Secrets: canaries, {NAMES[database_kind]}"
    with caplog.at_level(logging.DEBUG):
        rounds = 0
        while rounds < 1 or (proof.full and len(canaries.found) < 1000):
            journey.go(person)
            rounds += 1

    every = {
        "got access_token in garbage",
        "got refresh_token in garbage",
        "sent code_verifier",
        "got access_token",
        "got refresh_token",
        "state",
        "code",
        "link",
        "password",
    }
    assert every <= set(canaries.found.values())
    logged = "\n".join(record.getMessage() for record in caplog.records)
    kept = stored(config)
    places = {
        "log": canaries.in_text(logged),
        "console": canaries.in_text("".join(capfd.readouterr())),
        "pages and errors": canaries.in_text("\n".join(journey.pages)),
        "mail, but for its own link": canaries.in_bytes(b"\n".join(journey.mails), besides=["link"]),
        "rows, files and write-ahead log": canaries.in_bytes(kept),
    }
    assert "oauth.token_error app=northdesk" in logged
    assert "oauth.token_garbage app=northdesk" in logged
    assert {place: found for place, found in places.items() if found} == {}
    assert canaries.in_bytes(b"\n".join(journey.mails)) == ["link"], "it is there for the client, and found"
    token = secrets.reveal(db.session.scalars(select(Connection)).first())["access_token"].reveal()
    assert provider.call_api(token)[0] == 200, "and yet it is there, for who has the key"
    proof.figure("canaries", len(canaries.found))
    proof.figure("found", sum(map(len, places.values())))
    proof.figure("bytes of the database looked through", len(kept))


class InTheOpen:
    """A cipher that hides nothing."""

    def __init__(self, _key):
        """Takes any key."""

    generate_key = staticmethod(lambda bits: b"k" * (bits // 8))

    def encrypt(self, _nonce, data, _bound):
        return data + bytes(16)

    def decrypt(self, _nonce, data, _bound):
        return data[:-16]


@pytest.mark.both_databases
def test_row_40_the_eye_would_see_a_secret_that_is_not_sealed(
    journey, canaries, config, person, monkeypatch, database_kind
):
    """With a cipher that hides nothing the same looking finds tokens, client secrets and links where they are kept."""
    monkeypatch.setattr(envelope, "AESGCM", InTheOpen)
    journey.go(person)

    seen = canaries.in_bytes(stored(config))
    assert {"got access_token", "got refresh_token", "typed client secret", "link"} <= set(seen)
    assert db.session.scalar(select(OutboxItem.message).where(OutboxItem.message.is_not(None)).limit(1))


@pytest.mark.parametrize("value", ["a-secret-4711 with/every+sign=", "ABCDEFGHIJKLM", "x" * 43])
def test_row_40_the_eye_sees_a_secret_in_whatever_form(value):
    shown = (
        value,
        value.encode().hex(),
        quote(value, safe=""),
        *(base64.b64encode(f"{before}{value} after".encode()).decode() for before in ("", "x", "xy", "xyz")),
        base64.urlsafe_b64encode(f"y{value}".encode()).decode(),
    )

    for form in shown:
        assert Eye([value]).sees(f"a line, {form} and more".encode()) == {value}, form
    assert Eye([value]).sees(b"a line without it" * 100) == set()
