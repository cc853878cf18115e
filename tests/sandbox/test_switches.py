"""Apps that misbehave, as `app.oauth` sees them."""

from __future__ import annotations

import threading
import time

import pytest

from app import oauth
from app.oauth import Fault, IdentityError, OAuthError, RevokeOutcome, TokenError
from app.oauth.revoke import RevokeLater
from app.sandbox import Mode, Switches
from tests.sandbox.flow import Connector
from tests.sandbox.person import Page, Person

FAULTS = {
    Mode.SERVER_ERROR: (Fault.UNAVAILABLE, None),
    Mode.GARBAGE: (Fault.GARBAGE, None),
    Mode.RATE_LIMITED: (Fault.LIMITED, 7),
}


@pytest.mark.parametrize("mode", FAULTS)
def test_misbehaviour_reaches_exchange_identity_refresh_and_revocation(
    connect: Connector, switches: Switches, person: Person, mode: Mode
) -> None:
    flow, expected = connect("zoom"), FAULTS[mode]
    begun, token, _ = flow.connect(person)
    assert token.refresh_token
    unread = flow.begin()
    callback = person.approve(unread.url)
    switches.set("zoom", mode, 7)

    for step in (
        lambda: flow.exchange(unread, callback),
        lambda: flow.identify(begun, token),
        lambda: flow.refresh(begun, token.refresh_token),
    ):
        with pytest.raises(OAuthError) as caught:
            step()
        assert (caught.value.code, caught.value.retry_after) == expected
        assert caught.value.retryable
    if mode is Mode.RATE_LIMITED:
        with pytest.raises(RevokeLater) as put_off:
            flow.revoke(begun, token)
        assert put_off.value.retry_after == expected[1]
    else:
        assert flow.revoke(begun, token) is not RevokeOutcome.CONFIRMED or mode is Mode.GARBAGE

    switches.reset()
    assert flow.refresh(begun, token.refresh_token)


def test_other_apps_go_on(connect: Connector, switches: Switches, person: Person) -> None:
    switches.set("zoom", Mode.SERVER_ERROR)

    assert connect("slack").connect(person)


def test_denied_refresh_ends_the_grant(connect: Connector, switches: Switches, person: Person) -> None:
    flow = connect("github")
    begun, token, _ = flow.connect(person)
    assert token.refresh_token
    switches.set("github", Mode.DENY_REFRESH)

    with pytest.raises(TokenError) as caught:
        flow.refresh(begun, token.refresh_token)

    assert caught.value.ends_grant
    assert flow.call_api(token).status_code == 200


def test_error_page_leads_nowhere(connect: Connector, switches: Switches, person: Person) -> None:
    switches.set("slack", Mode.ERROR_PAGE)

    page = person.open(connect("slack").begin().url)

    assert isinstance(page, Page)
    assert (page.status, page.heading) == (503, "Slack can't show this page")
    assert page.soup.find("form") is None


def test_error_is_sent_back(connect: Connector, switches: Switches, person: Person) -> None:
    switches.set("slack", Mode.ERROR_BACK)
    flow = connect("slack")
    begun = flow.begin()
    callback = person.open(begun.url)
    assert isinstance(callback, list)

    with pytest.raises(oauth.ProviderError) as caught:
        oauth.read(flow.app, callback, begun.endpoints, client=flow.client, fields={})

    assert caught.value.code is Fault.UNAVAILABLE


def test_slow_app_answers_in_the_end_or_when_it_is_let(connect: Connector, switches: Switches, person: Person) -> None:
    flow = connect("zoom")
    begun = flow.begin()
    callback = person.approve(begun.url)
    switches.set("zoom", Mode.SLOW, 30)
    hurry = threading.Timer(0.3, switches.reset)
    hurry.start()
    started = time.monotonic()

    token = flow.exchange(begun, callback)

    hurry.join()
    assert 0.2 < time.monotonic() - started < 10
    assert flow.identify(begun, token)


def test_garbage_is_no_identity(connect: Connector, switches: Switches, person: Person) -> None:
    flow = connect("slack-user")
    begun = flow.begin()
    token = flow.exchange(begun, person.approve(begun.url))
    switches.set("slack-user", Mode.GARBAGE)

    with pytest.raises(IdentityError):
        flow.identify(begun, token)


@pytest.mark.parametrize(("asked", "kept"), [(-3, 1), (0, 1), (12, 12), (9999, 30)])
def test_set_bounds_the_seconds(asked: int, kept: int) -> None:
    switches = Switches()
    switches.set("slack", Mode.SLOW, asked)

    assert switches.get("slack").seconds == kept


def test_dawdle_lets_only_so_many_wait() -> None:
    switches = Switches()
    switches.set("slack", Mode.SLOW, 30)
    waiting = [threading.Thread(target=switches.dawdle, args=("slack",)) for _ in range(4)]
    for thread in waiting:
        thread.start()
    while switches._asleep < 4:
        time.sleep(0.005)
    started = time.monotonic()

    switches.dawdle("slack")

    assert time.monotonic() - started < 1
    switches.reset()
    for thread in waiting:
        thread.join(5)
        assert not thread.is_alive()
