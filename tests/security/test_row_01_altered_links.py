"""Links altered in every way: none opens, and nobody learns a thing from the answers."""

import base64
import hashlib
import itertools
import socket
import threading
from collections import Counter as Tally
from collections.abc import Iterable

import pytest
import waitress
from sqlalchemy import func, select

from app.extensions import db
from app.models import Counter
from app.services import link_tokens
from app.web.client import links
from tests.support import altered_links
from tests.support.altered_links import Altered, Answer, follow

IN_FULL = {"sqlite": 20_000, "postgres": 80_000}
METHODS = ("GET", "GET", "GET", "HEAD", "GET", "GET", "POST", "GET", "PUT", "GET", "OPTIONS", "GET", "DELETE")
QUERIES = ("", "", "", "utm_source=mail", "token={}", "", "%00", "next=//evil.example")


def openings(scenery):
    """How many openings the limiter has counted in all."""
    with scenery.app.app_context():
        total = db.session.scalar(select(func.sum(Counter.count)).where(Counter.key.like("link:%")))
        db.session.remove()
    return int(total or 0)


def unlike(scenery, altered: Iterable[Altered], **how) -> Tally:
    """Follow them all; how many of each kind were answered otherwise than a link that nobody ever made."""
    app, token = scenery.app.wsgi_app, scenery.ours.names["token"]
    expected = {method: follow(app, "bm90aGluZw.AAAA", method=method) for method in {"GET", *METHODS}}
    assert {answer.status for answer in expected.values()} == {"404 NOT FOUND"}
    assert {answer.body for method, answer in expected.items() if method != "HEAD"} == {expected["GET"].body}
    found: Tally = Tally()
    for (kind, link), method, query in zip(altered, itertools.cycle(METHODS), itertools.cycle(QUERIES), strict=False):
        answer: Answer = follow(app, link, method=method, query=query.format(token), **how)
        if answer != expected[method]:
            found[kind] += 1
    return found


def some(scenery, proof, count: int) -> list[Altered]:
    """So many altered links: first a part of the systematic ones, or all, then others by chance."""
    token = scenery.ours.names["token"]
    every = list(dict.fromkeys(altered_links.systematic(token, scenery.theirs.names["token"])))
    chosen = every if count > len(every) else proof.random.sample(every, count)
    return chosen + [altered_links.by_chance(token, proof.random) for _ in range(count - len(chosen))]


def stored(scenery):
    return scenery.rows(scenery.ours), scenery.rows(scenery.theirs)


@pytest.mark.both_databases
def test_row_01_no_altered_link_opens_and_all_are_answered_alike(standing, proof, database_kind):
    """A link altered at every position, lengthened, shortened, encoded otherwise or put together of two never opens: status, headers and bytes are those of a link that nobody ever made, and nothing but the count of openings is written.

    Most go to PostgreSQL, which need not wait for a disk at each.
    """
    before, counted = stored(standing), openings(standing)
    tried = some(standing, proof, proof.size(check=700, prove=IN_FULL[database_kind]))

    found = unlike(standing, tried)

    assert found == {}
    assert stored(standing) == before
    assert counted < openings(standing) <= counted + len(tried) + len(METHODS)
    assert follow(standing.app.wsgi_app, standing.ours.names["token"]).status == "303 SEE OTHER"
    kinds = Tally(kind for kind, _ in tried)
    proof.title = f"Links: altered ones, on {database_kind}"
    proof.figure("altered links tried", len(tried))
    proof.figure("kinds of alteration", len(kinds))
    proof.figure("opened, or answered otherwise", found.total())


# ── It would be noticed ─────────────────────────────────────────────────────


def ends(scenery) -> list[Altered]:
    """The alterations of the last letter."""
    token = scenery.ours.names["token"]
    return [("another letter", token[:-1] + letter) for letter in altered_links.ALPHABET if letter != token[-1]]


def test_row_01_a_signature_that_is_decoded_before_it_is_compared_would_be_noticed(scenery, monkeypatch):
    """Base64 leaves bits of the last letter unused, so that several strings read the same."""

    def canonical(token: str) -> str:
        said, _, signed = token.rpartition(".")
        try:
            return said + "." + base64.urlsafe_b64encode(base64.urlsafe_b64decode(signed + "==")).decode().rstrip("=")
        except ValueError:
            return token

    exact = link_tokens.matches
    monkeypatch.setattr(link_tokens, "digest", lambda token: hashlib.sha256(canonical(token).encode()).digest())
    monkeypatch.setattr(link_tokens, "matches", lambda token, bundle: exact(canonical(token), bundle))

    assert unlike(scenery, ends(scenery)).total() > 0


def test_row_01_a_link_that_is_decoded_before_it_is_compared_would_be_noticed(scenery, proof):
    """Without the address as it came, only its decoded form is known: then `%41` is an A."""
    encoded = [each for each in some(scenery, proof, 50_000) if each[0] == "percent-encoded"]

    assert unlike(scenery, encoded[:40]) == {}
    assert unlike(scenery, encoded[:40], is_raw_known=False)["percent-encoded"] > 0


def test_row_03_an_answer_that_differs_by_one_header_would_be_noticed(scenery, monkeypatch):
    vague = links.link_cannot_be_opened

    def telling():
        answer = vague()
        answer.headers["X-Tried"] = str(next(numbers))
        return answer

    numbers = itertools.count()
    monkeypatch.setattr(links, "link_cannot_be_opened", telling)

    assert unlike(scenery, ends(scenery)[:5]).total() > 0


# ── As servers hand it on ───────────────────────────────────────────────────


@pytest.fixture
def waitress_at(scenery):
    """The server of `flask serve`, around the installation."""
    server = waitress.create_server(scenery.app, host="127.0.0.1", port=0, threads=1, map={})
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield server.effective_port
    server.close()
    thread.join(10)


def status_line(port: int, target: str) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as wire:
        wire.sendall(f"GET {target} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode("latin-1"))
        return wire.makefile("rb").readline().decode().strip()


def test_row_01_a_link_counts_as_it_came_over_the_wire(scenery, waitress_at):
    token = scenery.ours.names["token"]
    encoded = f"%{ord(token[0]):02X}{token[1:]}"

    for opens in (f"/l/{token}", f"/l/{token}?utm_source=mail", f"http://localhost/l/{token}"):
        assert status_line(waitress_at, opens) == "HTTP/1.1 303 SEE OTHER", opens
    for dead in (f"/l/{encoded}", f"/%6C/{token}", f"/l/{token}%00", f"/l//{token}", f"http://localhost/l/{encoded}"):
        assert status_line(waitress_at, dead) == "HTTP/1.1 404 NOT FOUND", dead
