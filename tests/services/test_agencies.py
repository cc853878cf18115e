import secrets

import pytest
from sqlalchemy import select

from app.errors import Refused
from app.extensions import db
from app.models import Agency, AuditEvent, Role, Staff
from app.services import agencies, staff_sessions
from app.services.agencies import NewAgency
from app.tenancy import across_tenants
from tests import factories
from tests.support.shared_app import *  # noqa: F403

pytestmark = [pytest.mark.usefixtures("app_context"), pytest.mark.both_databases]


def given(**changes):
    values = {
        "name": "Northwind Studio",
        "owner_name": "Maya Okafor",
        "owner_email": f"maya-{secrets.token_hex(4)}@northwind.example",
        "password": factories.PASSWORD,
    }
    return NewAgency(**values | changes)


def test_create_makes_an_agency_and_its_owner():
    owner = agencies.create(given(owner_email="Maya.Okafor@Northwind.Example"))

    assert (owner.role, owner.email) == (Role.OWNER, "maya.okafor@northwind.example")
    assert (owner.agency.name, owner.agency.sender_name) == ("Northwind Studio", "Northwind Studio")
    assert owner.agency.support_email == owner.email
    assert owner.agency.sender_address is None
    assert staff_sessions.authenticate(owner.email, factories.PASSWORD).person.id == owner.id
    with across_tenants("a test looks"):
        rows = db.session.scalars(
            select(AuditEvent).where(AuditEvent.agency_id == owner.agency_id).order_by(AuditEvent.id)
        )
        assert [row.type for row in rows] == ["agency.created", "staff.added"]


def test_create_takes_a_support_address_of_its_own():
    owner = agencies.create(given(support_email="Help@Northwind.Example"))

    assert owner.agency.support_email == "help@northwind.example"


def test_what_was_typed_shows_no_password():
    assert factories.PASSWORD not in repr(given())


def test_create_gives_each_agency_a_slug_of_its_own():
    name = f"Zürich & Söhne {secrets.token_hex(3)}"
    slugs = [agencies.create(given(name=name)).agency.slug for _ in range(3)]

    assert slugs[0].startswith("zurich-sohne-")
    assert slugs[1:] == [f"{slugs[0]}-2", f"{slugs[0]}-3"]
    assert agencies.create(given(name="株式会社")).agency.slug.startswith("agency")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "North\nwind"}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"owner_name": " "}, "owner_name"),
        ({"owner_email": "maya@northwind"}, "owner_email"),
        ({"password": "short"}, "password"),
        ({"support_email": "help"}, "support_email"),
        ({"sender_address": "a b@c.example"}, "sender_address"),
        ({"sender_address": "ceo@southpaw.example"}, "sender_address"),
    ],
)
def test_create_refuses_bad_input_at_its_field(changes, field):
    before = db.session.scalars(select(Agency.id)).all()
    with pytest.raises(Refused) as refused:
        agencies.create(given(**changes))

    assert refused.value.field == field
    assert db.session.scalars(select(Agency.id)).all() == before


def test_create_refuses_an_owner_who_is_somebody_already():
    values = given()
    agencies.create(values)
    with pytest.raises(Refused, match="signs in with this address already") as refused:
        agencies.create(values)

    assert refused.value.field == "owner_email"
    with across_tenants("a test looks"):
        assert len(db.session.scalars(select(Staff).where(Staff.email == values.owner_email)).all()) == 1
