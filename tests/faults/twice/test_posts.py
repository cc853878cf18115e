"""The same form sent twenty times at once, from two processes: what one does, and no more."""

import itertools
import secrets
from collections import Counter
from dataclasses import dataclass

import pytest
from flask import Flask
from sqlalchemy import delete, func, select

from app import models
from app.database import transaction
from app.extensions import db
from app.models import Agency, Staff
from app.services import setup
from app.tenancy import across_tenants, enter_tenant
from tests import factories
from tests.faults.twice import unguarded
from tests.faults.twice.posts import ASKING, CASES, FIRST_RUN, FRESH, SHOWING, Case, scene_of
from tests.support.crowd import Task, company
from tests.support.forms import cookies_of, csrf_token
from tests.support.rows import changes, rows_of
from tests.support.scenery import Side, build
from tests.worker.conftest import mail_settings

pytestmark = pytest.mark.both_databases

TIMES = 20
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Sent:
    """A form as a browser sends it."""

    path: str
    data: dict[str, str]
    cookies: dict[str, str]


def send(app: Flask, sent: Sent) -> int:
    browser = app.test_client()
    for name, value in sent.cookies.items():
        browser.set_cookie(name, value)
    return browser.post(sent.path, data=sent.data, headers={"HX-Request": "true"}).status_code


def test_every_form_has_a_case(place):
    posts = {rule.endpoint for rule in place.app.url_map.iter_rules() if "POST" in (rule.methods or ())}

    assert posts == set(CASES) | FIRST_RUN | ASKING | SHOWING


class Posts:
    """An agency for each try, made alike, so that what twenty do can be held against what one does."""

    def __init__(self, place) -> None:
        self.place = place

    def effect(self, endpoint: str, times: int) -> Counter:
        """What a form does, sent so many times at once: rows that came, went and changed, acts, and work for the outbox."""
        case = CASES[endpoint]
        side = build(f"Posts {next(_numbers)}")
        enter_tenant(side.agency_id)
        scene = scene_of(side)
        given = {**side.names, **(case.first(scene) or {})}
        sent = self._form(endpoint, case, side, given)
        before = rows_of(db.session.get_one(Agency, side.agency_id))
        answers = self.place.company.at_once([Task(send, sent, number % 2) for number in range(times)])
        assert all(isinstance(status, int) and status < 500 for status in answers), (endpoint, answers)
        return changes(before, rows_of(db.session.get_one(Agency, side.agency_id)))

    def _form(self, endpoint: str, case: Case, side: Side, given: dict[str, str]) -> Sent:
        rule = next(rule for rule in self.place.app.url_map.iter_rules(endpoint) if not rule.defaults)
        _, path = rule.build({place: given[place] for place in rule.arguments})
        more = {name: given[name] for name in ("connection", "seen_at", "code") if name in given}
        if endpoint == "panel.add_person":
            more["email"] = f"sam@{side.slug}.example"
        if endpoint == "panel.submit_sign_in":
            more["email"] = db.session.get_one(Staff, side.people["owner"]).email
        cookies = self._cookies(case, side)
        return Sent(
            path,
            {
                "csrf_token": csrf_token(self.place.app, path, cookies),
                "mark": secrets.token_urlsafe(16),
                **case.data,
                **more,
            },
            cookies,
        )

    def _cookies(self, case: Case, side: Side) -> dict[str, str]:
        if case.who in ("client", "visitor"):
            return {"gh_intake": side.session_id, "gh_portal": side.session_id}
        if case.who == "nobody":
            return {"gh_staff": FRESH, "gh_portal": FRESH}
        browser = factories.signed_in(self.place.app, db.session.get_one(Staff, side.people[case.who]))
        return cookies_of(browser)


def differs(posts: Posts, endpoint: str) -> str:
    """What twenty do that one does not; empty if that is nothing. The one must do something."""
    case = CASES[endpoint]
    once, often = posts.effect(endpoint, 1), posts.effect(endpoint, TIMES)
    assert once, endpoint
    for each in case.each:
        assert 1 <= often.pop(each, 0) <= TIMES
        once.pop(each)
    return "" if once == often else f"{endpoint}: {dict(often - once)} more, {dict(once - often)} less"


def test_row_17_the_same_form_twenty_times_at_once_does_what_one_does(place, proof, database_kind):
    """Each form that staff or a client can send, sent once and, in an agency made alike, twenty times at the same moment over two
    processes: the same rows come, go and change, the same acts are in the audit trail and the same work is in the outbox.
    """
    endpoints = list(CASES) if proof.full else proof.random.sample(sorted(CASES), 4)
    posts = Posts(place)
    different = [found for endpoint in endpoints if (found := differs(posts, endpoint))]

    assert not different
    proof.title = f"Twice: the same form twenty times at once ({database_kind})"
    proof.figure("forms", len(endpoints))
    proof.figure("sendings at once of each", TIMES)
    proof.figure("forms of which twenty did more or less than one", len(different))
    proof.figure(
        "of them forms whose every sending counts by its nature", sum(bool(CASES[each].each) for each in endpoints)
    )


@pytest.mark.parametrize(
    ("defence", "endpoint"),
    [("the wait between resends", "panel.resend_request"), ("the mark of a form", "panel.publish_workflow")],
)
def test_a_defence_that_is_switched_off_is_missed(place, defence, endpoint):
    with unguarded.without(place.company, defence):
        assert differs(Posts(place), endpoint)


# ── On an empty installation ────────────────────────────────────────────────


@pytest.fixture
def config(tmp_path, database_url, smtp):
    return factories.config(tmp_path, database_url, **mail_settings(smtp))


def first_form(app: Flask, path: str) -> Sent:
    with app.app_context():
        form = {"code": setup.code(), "name": "Northwind Studio", "owner_name": "Maya Okafor"}
    form |= {"owner_email": "maya@northwind.example", "password": factories.PASSWORD}
    cookies = {"gh_staff": "x" * 43}
    return Sent(path, {"csrf_token": csrf_token(app, path, cookies), **form}, cookies)


def test_row_17_the_forms_of_the_first_run(config, app, smtp):
    """Trial mails are asked for one by one, and show whether mail works: the limit on tries holds them back. An agency is made once."""
    with company(config) as there:

        def twenty_and_more(path: str) -> list:
            return there.at_once([Task(send, first_form(app, path), number % 2) for number in range(TIMES + 4)])

        tried = twenty_and_more("/setup/test-mail")
        with app.app_context(), across_tenants("a test's setting"), transaction() as session:
            session.execute(delete(models.Counter))
        made = twenty_and_more("/setup")

    assert sorted({*tried}) == [200, 422]
    assert tried.count(200) == len(smtp.inbox) == setup.TRIES_PER_VISITOR
    assert all(isinstance(status, int) and status < 500 for status in made), made
    with app.app_context(), across_tenants("a test looks at everything"):
        assert [db.session.scalar(select(func.count()).select_from(each)) for each in (Agency, Staff)] == [1, 1]
