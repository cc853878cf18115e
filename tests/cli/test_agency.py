import json

import pytest
from sqlalchemy import select

from app.database import across_tenants
from app.extensions import db
from app.models import Staff
from app.services import staff_sessions
from tests import factories

ASKED = ("agency", "create", "--name", "Northwind Studio", "--owner-email", "Maya@Northwind.example")


@pytest.fixture
def run(app):
    runner = app.test_cli_runner()

    def run(*args, typed=f"{factories.PASSWORD}\n"):
        return runner.invoke(args=[*(args or ASKED)], input=typed)

    return run


@pytest.mark.parametrize("flag", [[], ["--json"]])
def test_create_prints_what_it_made(app, run, flag):
    result = run(*ASKED, "--owner-name", "Maya Okafor", *flag)

    made = json.loads(result.output)
    assert result.exit_code == 0
    assert made["agency"]["name"] == "Northwind Studio"
    assert made["agency"]["slug"] == "northwind-studio"
    assert made["owner"]["email"] == "maya@northwind.example"
    assert made["sign_in"] == "http://localhost/panel/sign-in"
    assert factories.PASSWORD not in result.output
    with app.app_context():
        assert staff_sessions.authenticate("maya@northwind.example", factories.PASSWORD).person.name == "Maya Okafor"


def test_create_names_the_owner_after_their_address_if_it_must(app, run):
    run()

    with app.app_context(), across_tenants("a test looks"):
        assert db.session.scalars(select(Staff.name)).all() == ["Maya"]


def test_create_twice_changes_nothing_and_says_why(app, run):
    run()
    result = run()

    assert result.exit_code == 1
    assert result.output == "Error: Somebody signs in with this address already.\n"
    with app.app_context(), across_tenants("a test looks"):
        assert len(db.session.scalars(select(Staff.id)).all()) == 1


@pytest.mark.parametrize(
    ("args", "typed", "problem"),
    [
        (ASKED, "short\n", "This has 5 characters; 7 more are needed."),
        (ASKED, "", "This has 0 characters; 12 more are needed."),
        ((*ASKED[:3], " ", *ASKED[4:]), None, "This is required."),
        ((*ASKED[:5], "maya@northwind"), None, "This address has no domain ending."),
    ],
)
def test_create_refuses_bad_input_in_one_line(run, args, typed, problem):
    result = run(*args, typed=f"{factories.PASSWORD}\n" if typed is None else typed)

    assert result.exit_code == 1
    assert problem in result.output
    assert result.output.count("\n") == 1


@pytest.mark.parametrize("missing", [("--name", "x"), ("--owner-email", "maya@northwind.example")])
def test_create_wants_name_and_address(run, missing):
    assert run("agency", "create", *missing).exit_code == 2
