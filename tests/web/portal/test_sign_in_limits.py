"""How often codes are mailed, whoever asks for them, and that who signed in here before is not shut out."""

import pytest
from sqlalchemy import func, select

from app.extensions import db
from app.models import OutboxItem
from app.services import letters
from app.tenancy import across_tenants
from tests import factories
from tests.support.forms import cookies_of
from tests.web.portal.conftest import DANA, Client

pytestmark = pytest.mark.both_databases


def test_one_visitor_asks_for_an_address_five_times_in_a_while(anybody, clock):
    answers = [anybody.ask("someone@client.example") for _ in range(6)]

    assert [each.status_code for each in answers] == [303] * 5 + [429]
    assert int(answers[-1].headers["Retry-After"]) > 0
    assert anybody.ask("another@client.example").status_code == 303


def mailed():
    """How many codes are to be mailed."""
    with across_tenants("a test's eye"):
        return db.session.scalar(select(func.count(OutboxItem.id)).where(OutboxItem.kind == letters.CODE))


def besiege(app, email=DANA, times=20):
    """Have strangers ask for an address, each from another network."""
    for number in range(times):
        stranger = Client(app, app.test_client())
        stranger.web.environ_base["REMOTE_ADDR"] = f"198.51.100.{number}"
        assert stranger.ask(email).status_code == 303


def test_strangers_together_have_an_address_mailed_ten_times_a_day(app, anybody, clock):
    besiege(app, "someone@client.example", 24)

    assert mailed() == 10
    anybody.ask("someone@client.example")
    assert "a code is on its way" in anybody.get("/portal/code").text
    assert mailed() == 10


def test_the_end_of_a_day_lets_strangers_ask_no_more_than_any_other_moment(app, anybody, clock):
    clock.to(clock.now.replace(hour=23, minute=55))
    besiege(app)
    clock.forward(minutes=10)
    besiege(app)
    assert mailed() == 10

    clock.forward(hours=24)
    besiege(app, times=3)
    assert mailed() == 13


def test_a_code_that_was_mailed_stays_good_in_its_browser_when_the_address_has_had_enough(dana, app, clock):
    dana.ask()
    code = dana.code()
    besiege(app)

    assert dana.ask().headers["Location"] == "/portal/code"
    assert dana.post("/portal/code", code=code).headers["Location"] == "/portal/connections"


def test_a_browser_that_asks_for_an_address_that_has_had_enough_forgets_the_one_before(dana, app, clock):
    besiege(app, "someone@client.example")
    dana.ask()
    code = dana.code()
    dana.ask("someone@client.example")

    assert "someone@client.example" in dana.get("/portal/code").text
    assert dana.post("/portal/code", code=code).status_code == 422


def test_who_signed_in_in_this_browser_before_is_not_shut_out_by_strangers(dana, app, clock):
    dana.sign_in()
    dana.post("/portal/sign-out")
    clock.forward(days=170)
    besiege(app)
    dana.web.environ_base["REMOTE_ADDR"] = "203.0.113.9"
    before = mailed()

    assert dana.sign_in().status_code == 303
    assert mailed() == before + 1


def test_a_mark_is_for_its_own_address_and_no_other(dana, app, workspace, clock):
    factories.make_member(workspace, "tom@harbordental.example")
    dana.sign_in()
    dana.post("/portal/sign-out")
    besiege(app, "tom@harbordental.example")
    before = mailed()

    assert dana.ask("tom@harbordental.example").status_code == 303
    assert mailed() == before


@pytest.mark.parametrize(
    "change", [lambda mark: "x" + mark, lambda mark: mark[:-1], lambda _: ".", lambda _: "☃", lambda _: ""]
)
def test_a_mark_that_was_altered_is_none(dana, app, clock, change):
    dana.sign_in()
    mark = cookies_of(dana.web)["gh_known"]
    dana.post("/portal/sign-out")
    besiege(app)
    dana.web.set_cookie("gh_known", change(mark))
    before = mailed()

    assert dana.ask().status_code == 303
    assert mailed() == before


def test_a_mark_lets_nobody_in_and_is_worth_ten_mails_a_day(dana, anybody, app, clock):
    dana.sign_in()
    besiege(app)
    before = mailed()
    for number in range(20):
        thief = Client(app, app.test_client())
        thief.web.set_cookie("gh_known", cookies_of(dana.web)["gh_known"])
        thief.web.environ_base["REMOTE_ADDR"] = f"203.0.113.{number}"
        assert thief.get("/portal/connections").status_code == 303
        assert thief.ask().status_code == 303

    assert mailed() == before + 10


def test_nobody_learns_by_the_limit_who_signed_in_behind_the_same_network(dana, app, clock):
    """One office, one address of it at the network's edge: one of two that ask there has been let in from there."""
    dana.sign_in()
    seen = []
    for email in (DANA, "nobody@harbordental.example"):
        besiege(app, email)
        before, colleague = mailed(), Client(app, app.test_client())
        seen.append((colleague.ask(email).status_code, mailed() - before))

    assert seen == [(303, 0), (303, 0)]
