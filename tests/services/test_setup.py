import re
import threading
from dataclasses import replace

import pytest
from sqlalchemy import func, select

from app import create_app
from app.errors import Conflict, RateLimited, Refused
from app.extensions import db
from app.models import Agency
from app.services import agencies, setup
from app.services.agencies import NewAgency
from app.tenancy import across_tenants
from tests import factories

GIVEN = NewAgency("Northwind Studio", "Maya Okafor", "maya@northwind.example", factories.PASSWORD)
EVE = replace(GIVEN, owner_email="eve@elsewhere.example")


def test_code_is_the_same_in_every_process_and_another_elsewhere(app, catalog, config, tmp_path):
    def code_of(other):
        with other.app_context():
            return setup.code()

    same = create_app(config, catalog=catalog)
    elsewhere = create_app(
        factories.config(tmp_path / "other", f"sqlite:///{tmp_path / 'other.sqlite3'}"), catalog=catalog
    )

    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}", code_of(app))
    assert code_of(app) == code_of(same) != code_of(elsewhere)


def test_verify_takes_the_code_however_it_is_typed(app_context):
    code = setup.code()
    for typed in (
        code,
        code.lower(),
        code.replace("-", ""),
        f" {code.replace('-', ' ')} ",
        code.replace("0", "O").replace("1", "l"),
    ):
        setup.verify(typed)


@pytest.mark.parametrize("typed", ["", "-", "AAAA-AAAA", "☃" * 8, "K7QF-2MX"])
def test_verify_refuses_anything_else(app_context, typed):
    with pytest.raises(Refused) as refused:
        setup.verify(typed)

    assert refused.value.field == "code"


def test_verify_stops_a_visitor_after_twenty_tries_and_everybody_after_a_hundred(app_context, clock):
    for number in range(5):
        db.session().info["address"] = f"192.0.2.{number}"
        for _ in range(20):
            with pytest.raises(Refused):
                setup.verify("AAAA-AAAA")
        with pytest.raises(RateLimited):
            setup.verify(setup.code())

    db.session().info["address"] = "192.0.2.99"
    with pytest.raises(RateLimited):
        setup.verify(setup.code())
    clock.forward(minutes=15)
    setup.verify(setup.code())


def test_create_makes_the_first_agency_and_no_second(app_context):
    assert setup.is_needed()
    owner = setup.create(GIVEN).person

    assert not setup.is_needed()
    assert owner.agency.name == "Northwind Studio"
    with pytest.raises(Conflict, match="set up already"):
        setup.create(EVE)


def test_create_can_be_tried_again_after_a_refusal(app_context):
    with pytest.raises(Refused):
        setup.create(replace(GIVEN, password="short"))

    setup.create(GIVEN)


def test_create_comes_too_late_after_an_agency_was_made_by_command(app_context):
    agencies.create(GIVEN)
    with pytest.raises(Conflict):
        setup.create(EVE)


@pytest.mark.both_databases
def test_four_at_once_make_one_agency(app):
    ready, answers = threading.Barrier(4), []

    def make(number):
        with app.app_context():
            ready.wait(60)
            try:
                setup.create(replace(GIVEN, owner_email=f"maya{number}@northwind.example"))
                answers.append("made")
            except Conflict:
                answers.append("too late")

    threads = [threading.Thread(target=make, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(answers) == ["made", "too late", "too late", "too late"]
    with app.app_context(), across_tenants("a test looks"):
        assert db.session.scalar(select(func.count()).select_from(Agency)) == 1
