"""The sandbox's own page."""

from __future__ import annotations

import pytest
from flask import Flask

from app.oauth import TokenError
from app.sandbox import Mode, Switches, provider_of
from tests.sandbox.flow import Connector
from tests.sandbox.person import Page, Person


@pytest.fixture
def home(sandbox: Flask) -> str:
    return f"{provider_of(sandbox).base_url}/"


def test_page_lists_apps_and_how_they_behave(sandbox: Flask, switches: Switches, person: Person, home: str) -> None:
    page = person.open(home)
    assert isinstance(page, Page)
    shown = [str(row["id"]).removeprefix("app-") for row in page.soup.select("li[id^=app-]")]
    assert shown == [app.key for app in provider_of(sandbox).catalog if app.oauth2]
    assert page.heading == f"{len(shown)} apps behave"

    switches.set("slack", Mode.SLOW, 3)

    page = person.open(home)
    assert isinstance(page, Page)
    assert page.heading == "1 app misbehaves"


@pytest.mark.parametrize("mode", Mode)
def test_switch_is_set_and_taken_back(switches: Switches, person: Person, home: str, mode: Mode) -> None:
    person.press(Page(f"{home}_/apps/slack/switch", 200, None), mode=mode.value, seconds="9")  # type: ignore[arg-type]
    assert (switches.get("slack").mode, switches.get("slack").seconds) == (mode, 9)
    assert set(switches.all_set()) == ({"slack"} if mode is not Mode.NORMAL else set())

    person.press(Page(f"{home}_/reset", 200, None))  # type: ignore[arg-type]

    assert switches.all_set() == {}


@pytest.mark.parametrize(("mode", "seconds"), [("", "5"), ("explode", "5"), ("slow", "soon")])
def test_switch_refuses_what_it_does_not_know(
    switches: Switches, person: Person, home: str, mode: str, seconds: str
) -> None:
    answer = person.http.post(f"{home}_/apps/slack/switch", data={"mode": mode, "seconds": seconds})

    assert answer.status_code == 400
    assert switches.all_set() == {}


def test_another_site_can_not_set_a_switch(switches: Switches, person: Person, home: str) -> None:
    for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        answer = person.http.post(f"{home}_/apps/slack/switch", data={"mode": "slow"}, headers=headers)
        assert answer.status_code == 403
    assert switches.all_set() == {}


def test_access_can_be_taken_back(connect: Connector, home: str) -> None:
    with Person("carla@three.example") as carla:
        flow = connect("zoom")
        begun, token, _ = flow.connect(carla)
        page = carla.open(home)
        assert isinstance(page, Page)
        assert token.access_token.reveal() not in page.text
        assert token.access_token.reveal()[-4:] in page.text
        form = next(one for one in page.soup.select("form[action*=withdraw]") if carla.email in str(one))

        page = carla.press(Page(home + str(form["action"]).removeprefix("/"), 200, page.soup))

    assert isinstance(page, Page)
    assert "Taken back here" in page.text
    assert flow.call_api(token).status_code == 401
    assert token.refresh_token
    with pytest.raises(TokenError) as caught:
        flow.refresh(begun, token.refresh_token)
    assert caught.value.ends_grant


def test_sign_out_forgets_the_accounts(connect: Connector, person: Person, home: str) -> None:
    person.approve(connect("slack").begin().url)
    person.press(Page(f"{home}_/sign-out", 200, None))  # type: ignore[arg-type]

    page = person.open(connect("slack").begin().url)

    assert isinstance(page, Page)
    assert page.url.endswith("/account")
    assert "Signed in on this browser" not in page.text
