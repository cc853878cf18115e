import json

import pytest
from sqlalchemy import select

from app import clock
from app.database import transaction
from app.errors import Refused
from app.extensions import db
from app.models import AuditEvent, Staff
from app.services import staff_sessions
from app.tenancy import across_tenants
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


RESET = ("agency", "password", "--email", "Maya@Northwind.example")
NEW = "another harbour at dusk"


@pytest.fixture
def maya(run):
    """Whoever forgot her password."""
    run()
    return "maya@northwind.example"


def audited(app):
    with app.app_context(), across_tenants("a test looks"):
        return [(row.type, row.actor) for row in db.session.scalars(select(AuditEvent).order_by(AuditEvent.id))]


def test_password_lets_an_only_owner_back_in(app, run, maya):
    with app.app_context():
        staff_sessions.start(staff_sessions.authenticate(maya, factories.PASSWORD), id_hash=b"1" * 32)
    result = run(*RESET, typed=f"{NEW}\n")

    assert result.exit_code == 0
    assert result.output == f"{maya} signs in with the new password from now on. Sessions ended: 1.\n"
    assert audited(app)[-1] == ("staff.password_renewed", "gatehouse")
    with app.app_context():
        assert staff_sessions.resume(b"1" * 32) is None
        assert staff_sessions.authenticate(maya, NEW)
        with pytest.raises(Refused):
            staff_sessions.authenticate(maya, factories.PASSWORD)


def test_password_says_it_to_a_program_too_however_often(run, maya):
    for _ in range(2):
        result = run(*RESET, "--json", typed=f"{NEW}\n")
        told = json.loads(result.output)

        assert result.exit_code == 0
        assert (told["staff"]["email"], told["sessions_ended"]) == (maya, 0)
        assert NEW not in result.output


@pytest.mark.parametrize(
    ("args", "typed", "problem"),
    [
        (RESET, "short\n", "This has 5 characters; 7 more are needed."),
        (RESET, "", "This has 0 characters; 12 more are needed."),
        ((*RESET[:3], "eve@northwind.example"), f"{NEW}\n", "Nobody signs in with eve@northwind.example."),
        ((*RESET[:3], "maya"), f"{NEW}\n", "This is not an e-mail address. Write it like name@company.com."),
    ],
)
def test_password_refuses_in_one_line_and_changes_nothing(app, run, maya, args, typed, problem):
    before = audited(app)
    result = run(*args, typed=typed)

    assert (result.exit_code, result.output) == (1, f"Error: {problem}\n")
    assert audited(app) == before
    with app.app_context():
        assert staff_sessions.authenticate(maya, factories.PASSWORD)


def test_password_leaves_the_disabled_out(app, run, maya):
    with app.app_context(), across_tenants("a test's setting"), transaction():
        db.session.scalars(select(Staff)).one().disabled_at = clock.now()
    result = run(*RESET, typed=f"{NEW}\n")

    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert f"The access of {maya} is disabled." in result.output


def test_password_explains_itself(run):
    told = run("agency", "password", "--help").output

    assert "first line of standard input" in told
    assert "ends the person's sessions" in " ".join(told.split())
