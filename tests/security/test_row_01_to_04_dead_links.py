"""Links that do not open: which, and that they all look alike."""

import itertools
from types import SimpleNamespace

import pytest

from app.database import transaction
from app.models import Bundle
from app.services import connection_requests, link_tokens, sending
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
        scenery.app.extensions["gatehouse"] = SimpleNamespace(secret_key=b"another key of thirty-two bytes.")
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


def test_row_04_what_is_learnt_is_written_after_the_answer(scenery, clock):
    token = cancelled(scenery, clock)
    answer = scenery.app.test_client().get(f"/l/{token}", buffered=False)
    before = len(scenery.rows(scenery.ours)["audit_event"])
    answer.close()

    events = scenery.rows(scenery.ours)["audit_event"]
    assert len(events) - before == 1
    assert "link.refused" in repr(events[-1])
