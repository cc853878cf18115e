"""A provider that is down, slow, rude or malicious: pending, a plain sentence, “try again”, and nothing of it reflected."""

import sys
from dataclasses import replace

import httpx2
import pytest

from app.egress import Egress, transport
from app.egress.transport import Exchanges, GuardedTransport
from app.oauth import scopes as protocol
from app.services import audit, pauses
from tests import factories
from tests.faults.providers import PATHS, ROWS, Desk
from tests.faults.rogue import CANARY, oidc_app, plain_app, rogue_provider, say, slow
from tests.support.visitor import Visitor

DEADLINE = 0.4  # seconds, in place of 10 and 20
QUICK = 2.0  # seconds that the rest may take on a busy machine


@pytest.fixture
def rogue(authority):
    with rogue_provider(authority.server_context()) as running:
        yield running


@pytest.fixture
def clients():
    keys = ("plain", "oidc", *(f"{what}-{where}" for what in BAD for where in ("token", "identity", "metadata")))
    return {key: (f"{key}-client", f"{key}-secret") for key in keys}


BAD = ("closed", "nameless", "untrusted", "plaintext")


@pytest.fixture
def config(tmp_path, database_url, rogue, clients):
    folder = tmp_path / "apps"
    folder.mkdir()
    origins = {
        "closed": f"http://127.0.0.1:{rogue.closed_port}",
        "nameless": "https://provider.invalid",
        "untrusted": f"https://127.0.0.1:{rogue.tls_port}",
        "plaintext": f"https://127.0.0.1:{rogue.port}",
    }
    written = {"plain": plain_app(rogue, "plain"), "oidc": oidc_app(rogue, "oidc")}
    for what, origin in origins.items():
        written[f"{what}-token"] = plain_app(rogue, f"{what}-token", token=f"{origin}/token")
        written[f"{what}-identity"] = plain_app(rogue, f"{what}-identity", me=f"{origin}/me")
        written[f"{what}-metadata"] = oidc_app(rogue, f"{what}-metadata", discovery=origin + PATHS["metadata"])
    for key, text in written.items():
        (folder / f"{key}.toml").write_text(text)
    return factories.config(tmp_path, database_url, apps_dir=folder, oauth_clients=clients)


@pytest.fixture
def catalog():
    """The installation reads its own apps."""


@pytest.fixture
def impatient(monkeypatch):
    original = Egress.transport
    monkeypatch.setattr(Egress, "transport", lambda self, deadline=DEADLINE: original(self, min(deadline, DEADLINE)))


@pytest.fixture
def desk(app, owner, workspace, clock, rogue, client, tmp_path, clients):
    return Desk(app, owner, workspace, clock, rogue, Visitor(client), tmp_path / "test.sqlite3", clients)


def sample(proof, many):
    """Some rows, of every endpoint one before of any endpoint two."""
    shuffled = proof.random.sample(ROWS, len(ROWS))
    turns = {row: sum(other.where == row.where for other in shuffled[:place]) for place, row in enumerate(shuffled)}
    return sorted(shuffled, key=lambda row: turns[row])[:many]


@pytest.mark.usefixtures("impatient")
def test_whatever_a_provider_does_is_a_plain_sentence_and_can_be_tried_again(desk, proof):
    """A provider does what it should not at its token, account, metadata or key address. The request stays pending, the card
    says so in a sentence of ours and “Connect” works again; nothing that it said is on a page, in a mail, in a header or in
    the database, no redirect is followed, and a pause that it asked for is kept.

    In a sample here; with the times that a provider is given scaled down.
    """
    played = [desk.play(row) for row in sample(proof, proof.size(check=12, prove=len(ROWS)))]

    short = [fault for each in played for fault in each.faults(limit=2 * DEADLINE + QUICK)]
    assert not short, "\n".join(short)
    failing = [each for each in played if each.row.says]
    proof.title = "Providers: each fault"
    proof.figure("faults tried", len(played))
    for where in PATHS:
        proof.figure(f"of which at its {where} address", sum(each.row.where == where for each in played))
    proof.figure("left pending with a sentence of ours", len(failing))
    proof.figure("connected when tried again", sum(each.second.value == "fulfilled" for each in played))
    proof.figure(
        "words of the provider found on pages, in mails, headers or the database",
        sum(each.stored or CANARY in each.seen for each in played),
    )
    proof.figure("pauses asked for, and kept", sum(each.row.pauses for each in played))
    proof.figure(
        "longest until the client could go on, deadlines of 0.4 s", f"{max(each.took for each in played):.1f} s"
    )


@pytest.mark.usefixtures("impatient")
def test_whatever_a_provider_does_about_a_revocation_the_grant_is_given_back_in_the_end(desk, proof):
    """A grant that makes no connection is given back to a provider that does what it should not when asked. It is asked again
    later, not before a time that it names, and the grant is shredded once it says yes.
    """
    rows = [row for row in ROWS if row.where == "token" and row.does and row.says]
    tried = proof.random.sample(rows, proof.size(check=4, prove=len(rows)))

    assert [fault for row in tried for fault in desk.give_back(row)] == []
    proof.title = "Providers: revocations"
    proof.figure("faults tried", len(tried))
    proof.figure("of which a pause asked for, and kept", sum(row.pauses for row in tried))


# What the same eyes see without the defence.


def row_of(name, where="token"):
    return next(row for row in ROWS if (row.name, row.where) == (name, where))


def without_deadlines(patch):
    patch.setattr(Egress, "transport", lambda self, deadline=10: Exchanges(self._shared, 30))
    return replace(row_of("hangs"), does=lambda _rogue, _clock: slow(1.5, say(500)))


def without_bounds(patch):
    patch.setattr(transport, "MAX_BODY", 10**9)
    return row_of("ten megabytes")


def with_redirects(patch):
    original = GuardedTransport.exchange

    def follow(self, asked, deadline):
        answer = original(self, asked, deadline)
        if answer.status != 307:
            return answer
        return original(self, replace(asked, url=httpx2.URL(answer.headers["Location"])), deadline)

    patch.setattr(GuardedTransport, "exchange", follow)
    return row_of("307")


def with_every_scope(patch):
    patch.setattr(protocol, "granted", lambda _app, said, _asked: tuple(str(said).split()))
    return row_of("odd words beside a good token")


def without_pauses(patch):
    patch.setattr(pauses, "minutes_left", lambda *_, **__: 0)
    return row_of("429, later")


def test_the_same_eyes_notice_a_pause_before_a_revocation_that_is_not_kept(desk, monkeypatch):
    monkeypatch.setattr(sys.modules["app.oauth.revoke"], "wait", lambda *_: None)

    assert "tried again after" in "".join(desk.give_back(row_of("429, later")))


def with_its_words(patch):
    original = audit.record
    patch.setattr(audit, "record", lambda *what, **data: original(*what, **data, said=CANARY))
    return row_of("an error in every field")


ON_THE_WAY = {
    without_deadlines: "hangs: took ",
    without_bounds: " bytes",
    with_redirects: "a redirect was followed",
    without_pauses: "the pause was not kept",
}


@pytest.mark.parametrize("switches", [ON_THE_WAY, {with_every_scope: "stored"}, {with_its_words: "stored"}])
def test_the_same_eyes_notice_what_is_switched_off(desk, monkeypatch, switches):
    for switch_off, noticed in switches.items():
        with monkeypatch.context() as patch:
            played = desk.play(switch_off(patch))

        assert noticed in "\n".join(played.faults(limit=2 * DEADLINE)), switch_off.__name__
