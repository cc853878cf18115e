"""What a token address may answer to a refresh, and the status and words that follow."""

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from werkzeug.wrappers import Response

from app.errors import DomainError
from app.models import Health
from app.services import credentials, secrets
from app.services.audit import Actor
from tests.support import refresh_endpoint
from tests.support.refresh_endpoint import expired, said

apps_dir, catalog, config, endpoint, grown = refresh_endpoint.fixtures
BY = Actor("system", "make")
NEW = {"access_token": "new", "refresh_token": "next", "token_type": "Bearer", "expires_in": 3600}
FORM = "application/x-www-form-urlencoded"
SILENT = "Quayside does not answer."
GARBAGE = "Quayside gives answers that can't be understood."
CLIENT = "Quayside no longer accepts the client that is set up for it."
LIMITED = "Quayside was asked too often."
REFUSED = "Quayside refuses it and gives no reason."
ENDED = "Access was removed or ran out in Quayside."


def text(body: str | bytes, status: int = 200, kind: str = "application/json", **headers: str) -> Response:
    return Response(body, status, headers, content_type=kind)


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in NEW.items() if key != name}


@dataclass
class Fresh:
    """It gives a new token; for how many seconds, and what is stored to ask again with (None: as before)."""

    seconds: float | None = 3600
    refresh_token: str | None = "next"


@dataclass
class Later:
    """Nothing changes but that it is tried again later; staff are told of what does not pass by itself."""

    words: str
    reason: str | None = None
    wait: int = 0


@dataclass
class Ended:
    """The grant is gone, and the client is asked."""

    words: str = field(default=ENDED)


GIVES = {
    "plainly": (said(NEW), Fresh()),
    "with another status of success": (said(NEW, 201), Fresh()),
    "as a form": (text("access_token=new&refresh_token=next&expires_in=3600", kind=FORM), Fresh()),
    "JSON that calls itself text": (text(said(NEW).data, kind="text/plain"), Fresh()),
    "no end": (said(without("expires_in")), Fresh(None)),
    "an end that is a text": (said(NEW | {"expires_in": "3600"}), Fresh()),
    "an end with a part": (said(NEW | {"expires_in": 3600.9}), Fresh()),
    "an end before now": (said(NEW | {"expires_in": -1}), Fresh(None)),
    "no time at all": (said(NEW | {"expires_in": 0}), Fresh(None)),
    "an end beyond all years": (said(NEW | {"expires_in": 1e99}), Fresh(None)),
    "an end that is no number": (said(NEW | {"expires_in": "soon"}), Fresh(None)),
    "an end that is null": (said(NEW | {"expires_in": None}), Fresh(None)),
    "an end that is true": (said(NEW | {"expires_in": True}), Fresh(None)),
    "an infinite end": (text('{"access_token": "new", "refresh_token": "next", "expires_in": Infinity}'), Fresh(None)),
    "no refresh token": (said(without("refresh_token")), Fresh(refresh_token=None)),
    "an empty refresh token": (said(NEW | {"refresh_token": ""}), Fresh(refresh_token=None)),
    "a refresh token that is null": (said(NEW | {"refresh_token": None}), Fresh(refresh_token=None)),
    "no type": (said(without("token_type")), Fresh()),
    "ok: true": (said(NEW | {"ok": True}), Fresh()),
    "more than is asked": (said(NEW | {"nonsense": ["x"] * 100}), Fresh()),
    "a hint of a later error": (said(NEW | {"error": ""}), Fresh()),
    # ── What is no token ─────────────────────────────────────────────────────
    "nothing": (text(""), Later(GARBAGE)),
    "a page": (text("<html>Sign in</html>", kind="text/html"), Later(GARBAGE)),
    "a list": (said(["new"]), Later(GARBAGE)),
    "a word": (said("new"), Later(GARBAGE)),
    "no access token": (said(without("access_token")), Later(GARBAGE)),
    "an access token that is null": (said(NEW | {"access_token": None}), Later(GARBAGE)),
    "an access token with a line break": (said(NEW | {"access_token": "a\r\nb"}), Later(GARBAGE)),
    "an access token that is a list": (said(NEW | {"access_token": ["new"]}), Later(GARBAGE)),
    "a token of a type that we can't use": (said(NEW | {"token_type": "DPoP"}), Later(GARBAGE)),
    "members twice": (text('{"access_token": "a", "access_token": "b"}'), Later(GARBAGE)),
    "a form with members twice": (text("access_token=a&access_token=b", kind=FORM), Later(GARBAGE)),
    "bytes that are no text": (text(b"\xff\xfe{}"), Later(GARBAGE)),
    "half a document": (text('{"access_token": "ne'), Later(GARBAGE)),
    "10 MB": (text(b" " * 10_000_000 + said(NEW).data), Later(GARBAGE)),
    "a redirect": (text("", 302, Location="https://elsewhere.example/token"), Later(GARBAGE)),
    "not found": (text("", 404), Later(GARBAGE)),
    # ── What passes ──────────────────────────────────────────────────────────
    "500": (text("", 500), Later(SILENT)),
    "502 with a page": (text("<html>", 502, "text/html"), Later(SILENT)),
    "503 with Retry-After": (text("", 503, **{"Retry-After": "600"}), Later(SILENT, wait=600)),
    "500 that speaks of the grant": (said({"error": "invalid_grant"}, 500), Later(SILENT)),
    "408": (text("", 408), Later(SILENT)),
    "429": (text("", 429), Later(LIMITED)),
    "429 with Retry-After": (said({"error": "x"}, 429, **{"Retry-After": "1200"}), Later(LIMITED, wait=1200)),
    "429 that speaks of the grant": (said({"error": "invalid_grant"}, 429), Later(LIMITED)),
    "temporarily_unavailable": (said({"error": "temporarily_unavailable"}, 400), Later(SILENT)),
    "server_error": (said({"error": "server_error"}, 400), Later(SILENT)),
    "slow_down": (said({"error": "slow_down"}, 400), Later(LIMITED)),
    # ── RFC 6749 5.2 ─────────────────────────────────────────────────────────
    "invalid_request": (said({"error": "invalid_request"}, 400), Later(REFUSED, "error")),
    "invalid_client": (said({"error": "invalid_client"}, 401), Later(CLIENT, "misconfigured")),
    "unauthorized_client": (said({"error": "unauthorized_client"}, 400), Later(CLIENT, "misconfigured")),
    "unsupported_grant_type": (said({"error": "unsupported_grant_type"}, 400), Later(CLIENT, "misconfigured")),
    "invalid_scope": (said({"error": "invalid_scope"}, 400), Later(REFUSED, "error")),
    "an error of the provider's own": (said({"error": "moon_phase"}, 400), Later(REFUSED, "error")),
    "ok: false": (said({"ok": False, "error": "fatal_error"}), Later(REFUSED, "error")),
    "invalid_grant": (said({"error": "invalid_grant"}, 400), Ended()),
    "invalid_grant with success": (said({"error": "invalid_grant"}), Ended()),
    "invalid_grant as a form": (text("error=invalid_grant", 400, FORM), Ended()),
    "invalid_grant in capitals": (said({"error": "INVALID_GRANT"}, 400), Ended()),
    "invalid_grant within an object": (said({"error": {"code": "invalid_grant"}}, 400), Ended()),
    "invalid_grant with a token beside": (said(NEW | {"error": "invalid_grant"}, 400), Ended()),
}  # fmt: skip


@pytest.mark.parametrize(("answer", "follows"), GIVES.values(), ids=GIVES)
def test_what_an_answer_leads_to(grown, endpoint, clock, answer, follows):
    connection = grown("ann", **expired())
    before, expires_at = secrets.reveal(connection), connection.expires_at
    endpoint.answers.append(answer)

    told = ""
    try:
        handed = credentials.use(connection, by=BY)
    except DomainError as error:
        told = str(error)

    after = secrets.reveal(connection)
    assert connection.refresh_lease is None
    if isinstance(follows, Fresh):
        assert handed.token.reveal() == after["access_token"].reveal() == "new"
        kept = follows.refresh_token or before["refresh_token"].reveal()
        assert after["refresh_token"].reveal() == kept
        ends = None if follows.seconds is None else clock.now + timedelta(seconds=follows.seconds)
        assert (connection.health, connection.expires_at) == (Health.ACTIVE, ends)
        return
    assert (after, connection.expires_at) == (before, expires_at), "nothing was touched"
    if isinstance(follows, Later):
        assert told == f"{follows.words} Try again in a few minutes."
        assert (connection.health, connection.health_reason) == (Health.ACTIVE, follows.reason)
        assert (connection.refresh_failures, connection.broken_at) == (1, None)
        wait = (connection.refresh_after - clock.now).total_seconds()
        assert wait == follows.wait if follows.wait else 22 <= wait <= 38
        return
    assert told == f"This connection needs to be reconnected. {follows.words}"
    assert (connection.health, connection.health_reason, connection.broken_at) == (
        Health.ERROR,
        "grant_ended",
        clock.now,
    )


def test_there_are_thirty_answers_and_more():
    assert len(GIVES) >= 30
