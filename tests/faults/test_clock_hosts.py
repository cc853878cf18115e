"""Hosts whose clocks are 90 seconds apart, with no clock that they share: what one began the other goes on with (R13)."""

import contextlib
import json
import re
import signal

import httpx2
import pytest

from app.models import Health
from tests import factories
from tests.faults.killing import office
from tests.faults.test_killed_refreshing import CALLED, due
from tests.support import points
from tests.support.forms import csrf_token
from tests.support.servers import wait_until

pytestmark = [
    pytest.mark.both_databases,
    pytest.mark.parametrize(("one", "other"), [(90, 0), (0, 90)], ids=["from the one ahead", "to the one ahead"]),
]


@contextlib.contextmanager
def portal(house):
    """A client's browser, which sends the forms of the portal as its pages do."""
    with httpx2.Client(base_url=house.url, trust_env=False, timeout=30) as web:

        def send(path, **fields):
            token = csrf_token(house.app, path, dict(web.cookies), url=house.url)
            return web.post(path, data={"csrf_token": token, **fields})

        yield web, send


def test_a_code_that_was_asked_for_at_one_host_lets_in_at_the_other(house, one, other):
    here = office(house)
    email = here.address("dana")
    with here.inside() as (owner, workspace):
        factories.make_member(workspace, email)
        door = f"/portal/login/{owner.agency.slug}"
    with portal(house) as (web, send):
        with house.served(wrong=one):
            web.get(door)
            assert send(door, email=email).headers["Location"].startswith("/portal/code")
        house.work()
        (mail,) = house.smtp.inbox.to(email)
        (code,) = re.findall(r"^\s*(\d{6}|\d{3} \d{3})\s*$", mail.text, re.MULTILINE)
        with house.served(wrong=other):
            assert web.get("/portal/code").status_code == 200
            entered = send("/portal/code", code=code)
            assert entered.status_code == 303, entered.text
            home = web.get(entered.headers["Location"], follow_redirects=True)
            assert (home.status_code, "login" in home.url.path) == (200, False)
        with house.served(wrong=one):
            assert web.get(home.url.path).status_code == 200, "the session holds at the first host, too"


def test_a_lease_that_one_host_holds_is_seen_as_held_at_the_other(house, one, other):
    """It is not taken away before its time, who asks at the other waits for it, and what was stored is good there."""
    with due(house) as scene:
        gate, asking, told = house.trace(), house.trace(), house.trace()
        winner = house.nursery.child("use", points.pause(CALLED, gate), wrong=one, **scene.given)
        wait_until(gate.exists)
        files = {"asking": str(asking), "told": str(told)}
        others = house.nursery.child("use_at_once", threads=4, wrong=other, **files, **scene.given)
        wait_until(asking.exists)
        house.nursery.child("watch", seconds=[0, 89], wrong=other).succeeds()
        assert scene.look() == (Health.ACTIVE, None, 1, True)
        gate.unlink()
        winner.succeeds()
        others.succeeds()

        (token,) = set(json.loads(told.read_text()))
        assert house.provider.call_api(token)[0] == 200
        house.nursery.child("use", wrong=other, **scene.given).succeeds()
        assert (scene.look(), scene.refreshes, scene.works) == ((Health.ACTIVE, None, 2, False), 1, True)


def test_a_lease_of_a_host_that_died_lapses_at_the_other_in_its_time(house, one, other):
    with due(house) as scene:
        dead = house.nursery.child("use", points.kill(CALLED), wrong=one, **scene.given)
        assert dead.ended() == -signal.SIGKILL
        house.nursery.child("watch", seconds=[0, 89], wrong=other).succeeds()
        assert scene.look() == (Health.ACTIVE, None, 1, True)

        house.nursery.child("watch", seconds=[0, 90], wrong=other).succeeds()

        assert (scene.look(), scene.letters) == ((Health.ERROR, "interrupted", 1, False), 1)
