"""Links that do not open: which, that they all look alike, and that they all take as long."""

import gc
import itertools
import random
import secrets
import statistics
import time
from dataclasses import replace
from io import BytesIO

import pytest

from app.database import transaction
from app.models import Bundle
from app.services import bundles, connection_requests, link_tokens, sending
from app.services.bundles import RESEND_WAIT
from tests.support.browsing import Browser

VAGUE = "It may have expired, already been used, or is otherwise invalid. Ask the requester to send you a fresh link."
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND")


def the_request(scenery, agency):
    return connection_requests.get(agency, scenery.ours.names["request_id"])


def altered(token: str) -> str:
    """The same but for one letter in the middle."""
    place = len(token) // 2
    return token[:place] + ("A" if token[place] != "A" else "B") + token[place + 1 :]


def resent(scenery, clock) -> str:
    """A link that was good until a fresh one was sent."""
    clock.forward(seconds=RESEND_WAIT.total_seconds() + 1)
    with scenery.acting(scenery.ours) as (agency, owner):
        sending.resend(agency, scenery.ours.names["request_id"], by=owner)
    return scenery.ours.names["token"]


def cancelled(scenery, clock) -> str:
    with scenery.acting(scenery.ours) as (agency, owner):
        connection_requests.cancel(agency, scenery.ours.names["request_id"], by=owner)
    return scenery.ours.names["token"]


def expired(scenery, clock) -> str:
    with scenery.acting(scenery.ours) as (agency, _), transaction():
        bundle = the_request(scenery, agency).bundle
        bundle.expires_at = clock.now
    return scenery.ours.names["token"]


def of_another_key(scenery, clock) -> str:
    """A link that another installation made of the very same parts."""
    with scenery.acting(scenery.ours) as (agency, _):
        bundle = the_request(scenery, agency).bundle
        runtime = scenery.app.extensions["gatehouse"]
        scenery.app.extensions["gatehouse"] = replace(runtime, secret_key=b"another key of thirty-two bytes.")
        try:
            return link_tokens.of(bundle)
        finally:
            scenery.app.extensions["gatehouse"] = runtime


CAUSES = {
    "unknown": lambda scenery, clock: "bm90aGluZw.AAAA",
    "altered": lambda scenery, clock: altered(scenery.ours.names["token"]),
    "cut off": lambda scenery, clock: scenery.ours.names["token"][:-1],
    "with a tail": lambda scenery, clock: scenery.ours.names["token"] + "=",
    "of another key": of_another_key,
    "resent": resent,
    "cancelled": cancelled,
    "expired": expired,
    "too long": lambda scenery, clock: "A" * 6000,
    "of other letters": lambda scenery, clock: "%E2%98%83%00%20;drop",
    "with a path behind it": lambda scenery, clock: f"{scenery.ours.names['token']}/more",
    "with a slash": lambda scenery, clock: f"{scenery.ours.names['token']}/",
    "nothing": lambda scenery, clock: "",
    "slashes": lambda scenery, clock: "//",
    "dots": lambda scenery, clock: "../panel/",
}


def shown(answer):
    """All that a visitor can see of an answer."""
    headers = sorted((name, value) for name, value in answer.headers if name not in ("Date", "Content-Length"))
    return answer.status_code, headers


# ── Row 1 ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("place", range(0, 100, 7))
def test_row_01_a_forged_or_altered_link_does_not_open(scenery, place):
    """Base64 leaves bits unused, so that an altered tail may read the same: the exact string counts."""
    token = scenery.ours.names["token"]
    place = min(place, len(token) - 1)
    for letter in "AQgw_-.=":
        forged = token[:place] + letter + token[place + 1 :]
        with scenery.app.app_context():
            assert (Browser().open(forged).bundle is not None) is (forged == token)
            assert (Browser().open(forged + letter).bundle) is None


def test_row_01_the_hash_alone_opens_nothing(scenery):
    """Whoever could write a hash of their own into the database would still lack the key."""
    with scenery.acting(scenery.ours) as (agency, _):
        bundle, invented = the_request(scenery, agency).bundle, "invented-token"
        with transaction():
            bundle.token_hash = link_tokens.digest(invented)
        assert Browser().open(invented).bundle is None
        assert Browser().open(scenery.ours.names["token"]).bundle is None


# ── Row 2 ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("killed", [resent, cancelled, expired], ids=lambda cause: cause.__name__)
def test_row_02_an_old_link_is_dead(scenery, clock, killed):
    token = scenery.ours.names["token"]
    assert scenery.app.test_client().get(f"/l/{token}").status_code == 303

    assert killed(scenery, clock) == token

    assert scenery.app.test_client().get(f"/l/{token}").status_code == 404


def test_row_02_the_link_is_stored_nowhere_but_can_be_made_anew(scenery):
    with scenery.acting(scenery.ours) as (agency, _):
        bundle = the_request(scenery, agency).bundle
        stored = {column.key: getattr(bundle, column.key) for column in Bundle.__mapper__.column_attrs}
        assert link_tokens.of(bundle) == scenery.ours.names["token"]
    token = scenery.ours.names["token"]
    everything = repr(scenery.rows(scenery.ours))
    assert token not in repr(stored)
    assert token not in everything
    assert len(stored["nonce"]) == 16


# ── Row 3 ───────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("cause", CAUSES)
def test_row_03_failures_cannot_be_told_apart(scenery, clock, cause):
    """One status, the same headers, the same bytes, no cookie, no branding: whatever the cause, the method, the visitor."""
    expected = scenery.app.test_client().get("/l/expected")
    assert (expected.status_code, VAGUE in expected.text) == (404, True)
    assert "Set-Cookie" not in expected.headers
    assert "Northwind" not in expected.text
    assert "Gatehouse" not in expected.text
    path = f"/l/{CAUSES[cause](scenery, clock)}"
    visitors = {
        "nobody": scenery.app.test_client(),
        "with cookies": scenery.nobody(),
        "the client": scenery.client(scenery.ours),
        "staff": scenery.staff(scenery.ours),
    }
    numbers = itertools.cycle(range(250))
    for method, (who, browser) in itertools.product(METHODS, visitors.items()):
        for headers in ({}, {"HX-Request": "true"}, {"Accept": "application/json"}, {"Sec-Fetch-Site": "cross-site"}):
            place = {"REMOTE_ADDR": f"198.51.100.{next(numbers)}"}  # the limit on openings is row 9
            answer = browser.open(path, method=method, headers=headers, environ_base=place)
            assert shown(answer) == shown(expected), (method, who, headers)
            assert answer.data == (b"" if method == "HEAD" else expected.data), (method, who, headers)


def test_row_03_a_dead_bundles_page_is_the_vague_one_too(scenery, clock):
    expected = scenery.app.test_client().get("/l/expected").data
    browser = scenery.client(scenery.ours)
    assert browser.get(f"/connect/{scenery.ours.names['bundle_id']}").status_code == 200
    expired(scenery, clock)

    for bundle_id in (scenery.ours.names["bundle_id"], scenery.theirs.names["bundle_id"], "a" * 20):
        answer = browser.get(f"/connect/{bundle_id}")
        assert (answer.status_code, answer.data) == (404, expected)


# ── Row 4 ───────────────────────────────────────────────────────────────────

ROUNDS, SERIES, BOUND = 60, 4, 0.2e-3  # seconds


def test_row_04_all_failures_take_the_same_time(scenery, clock):
    """Medians of what each costs this thread, interleaved; what is written afterwards comes after the answer."""
    resent(scenery, clock)
    with scenery.acting(scenery.ours) as (agency, owner):
        bundle = the_request(scenery, agency).bundle
        old = link_tokens.make(
            nonce=bundle.nonce,
            epoch=bundle.epoch + 1,
            agency_id=bundle.agency_id,
            workspace_id=bundle.workspace_id,
            recipient=bundle.recipient,
        )
        closed = _dead_bundle(scenery, agency, owner, clock, close=True)
        lapsed = _dead_bundle(scenery, agency, owner, clock, close=False)
    kinds = {
        "unknown": lambda: secrets.token_urlsafe(90),
        "altered": lambda: altered(scenery.ours.names["token"]),
        "resent": lambda: scenery.ours.names["token"],
        "a wrong epoch": lambda: old,
        "closed": lambda: closed,
        "expired": lambda: lapsed,
        "too short": lambda: "A",
    }
    order = random.Random(4)
    # Other work on the machine adds noise, never sameness: a real difference would show in every series.
    series = (_medians(scenery.app, kinds, order) for _ in range(SERIES))
    spreads = []
    for medians in series:
        spreads.append(max(medians.values()) - min(medians.values()))
        if spreads[-1] < BOUND:
            return
    pytest.fail(f"The medians lie apart by {spreads} s, at last {medians}")


def _medians(app, kinds, order):
    took = {kind: [] for kind in kinds}
    gc.collect()
    gc.disable()
    try:
        for _ in range(ROUNDS):
            for kind in order.sample(
                sorted(kinds), len(kinds)
            ):  # what one leaves behind must not burden always the same
                took[kind].append(_seconds(app, kinds[kind]()))
    finally:
        gc.enable()
    return {kind: statistics.median(values[5:]) for kind, values in took.items()}


def _dead_bundle(scenery, agency, owner, clock, *, close: bool) -> str:
    """The token of a bundle that is known, but closed or past its time."""
    whom = "closed@harbordental.example" if close else "lapsed@harbordental.example"
    workspace = the_request(scenery, agency).workflow.workspace
    bundle = bundles.mint(workspace, whom, by=owner, at=clock.now)
    token = link_tokens.of(bundle)
    with transaction():
        if close:
            bundle.closed_at = clock.now
        else:
            bundle.expires_at = clock.now
    return token


def _seconds(app, token: str) -> float:
    """How long this thread works until the answer is on its way."""
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": f"/l/{token}",
        "QUERY_STRING": "",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "HTTP_HOST": "localhost",
        "REMOTE_ADDR": f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
        "wsgi.errors": BytesIO(),
        "SERVER_PROTOCOL": "HTTP/1.1",
    }
    start = time.thread_time()
    answer = app.wsgi_app(environ, lambda *_: None)
    b"".join(answer)
    took = time.thread_time() - start
    answer.close()
    return took


def test_row_04_what_is_learnt_is_written_after_the_answer(scenery, clock):
    token = cancelled(scenery, clock)
    answer = scenery.app.test_client().get(f"/l/{token}", buffered=False)
    before = len(scenery.rows(scenery.ours)["audit_event"])
    answer.close()

    events = scenery.rows(scenery.ours)["audit_event"]
    assert len(events) - before == 1
    assert "link.refused" in repr(events[-1])
