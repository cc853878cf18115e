"""“Refresh”, pressed as often and by as many as like to: the provider is asked a few times, and nobody else is kept out."""

import threading
import time

import pytest

from app.services import freshness
from tests import factories
from tests.support import refresh_endpoint
from tests.support.forms import cookies_of, csrf_token
from tests.web.portal.conftest import DANA, Client

apps_dir, catalog, config, endpoint, grown = refresh_endpoint.fixtures
PAGE = "/portal/connections"
BROWSERS = 32


@pytest.fixture
def mine(workspace, grown):
    factories.make_member(workspace, DANA)
    return grown("dana", owner_email=DANA, name="Front desk").public_id


@pytest.fixture
def dana(app, workspace, mine):
    return Client(app, factories.signed_in_client(app, DANA, workspace))


def test_eighty_presses_ask_the_provider_five_times_and_say_when_again(dana, mine, endpoint, clock):
    answers = {dana.post(f"{PAGE}/{mine}/refresh").status_code for _ in range(80)}

    assert answers == {303}
    assert endpoint.asked["dana"] == 5
    told = dana.get(PAGE).text
    assert "Front desk was not refreshed" in told
    assert "This was tried five times in a quarter of an hour. Try again in" in told


def test_one_that_is_being_refreshed_says_so_and_shows_how_it_stands(dana, mine, monkeypatch):
    monkeypatch.setattr(freshness.refreshing, "attempt", lambda *_given, **_how: None)

    answer = dana.post(f"{PAGE}/{mine}/refresh")

    assert answer.status_code == 303
    assert answer.headers["Location"].startswith(PAGE)
    told = dana.get(PAGE).text
    assert "It is being refreshed just now." in told
    assert "was not refreshed" not in told


def test_many_who_press_at_a_slow_provider_leave_the_threads_to_others(app, workspace, mine, endpoint):
    """Thirty-two browsers at once, which is all that a process serves: one stays with the provider, the others are answered."""
    ids = [f"{number:043}" for number in range(BROWSERS)]
    browsers = [factories.signed_in_client(app, DANA, workspace, session_id=each) for each in ids]
    is_let_go, statuses = threading.Event(), []
    endpoint.before = lambda: is_let_go.wait(60) and None

    def press(web):
        path = f"{PAGE}/{mine}/refresh"
        with app.app_context():
            token = csrf_token(app, path, cookies_of(web))
            statuses.append(web.post(path, data={"csrf_token": token}).status_code)

    threads = [threading.Thread(target=press, args=(each,)) for each in browsers]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 40
    while len(statuses) < BROWSERS - 1 and time.monotonic() < deadline:
        time.sleep(0.05)
    answered = len(statuses)
    is_let_go.set()
    for thread in threads:
        thread.join()

    assert (answered, set(statuses), endpoint.asked["dana"]) == (BROWSERS - 1, {303}, 1)
