import pytest
from sqlalchemy import select

from app.errors import NotFound, Refused
from app.extensions import db
from app.models import AuditEvent
from app.services import branding, logos
from tests.services.test_logos import picture
from tests.support.shared_app import *  # noqa: F403

SAMPLE = (
    ".gh-branded, .gh-brand-scope { --gh-accent: light-dark(#a03c17, #da704d); "
    "--gh-on-accent: light-dark(#ffffff, #131517); }\n"
)


def given(agency, **changes):
    values = {
        "name": agency.name,
        "sender_name": agency.sender_name,
        "support_email": agency.support_email,
        "accent": agency.accent,
        "timezone": agency.timezone,
    }
    return values | changes


def audited():
    return [(row.type, row.data) for row in db.session.scalars(select(AuditEvent).order_by(AuditEvent.id))]


def test_save_changes_what_is_given_and_says_what_it_was(agency, owner):
    branding.save(agency, **given(agency, name=" Northwind ", accent="#A03C17", timezone="Europe/Berlin"), by=owner)

    assert (agency.name, agency.accent, agency.timezone) == ("Northwind", "#a03c17", "Europe/Berlin")
    assert audited() == [("branding.changed", {"changed": ["name", "accent", "timezone"]})]


def test_save_writes_nothing_when_nothing_changed(agency, owner):
    branding.save(agency, **given(agency), by=owner)

    assert audited() == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": ""}, "name"),
        ({"name": "North\u202ewind"}, "name"),
        ({"sender_name": "x" * 81}, "sender_name"),
        ({"sender_name": "North\r\nBcc: x@y.example"}, "sender_name"),
        ({"support_email": "help"}, "support_email"),
        ({"sender_address": "a@b.example,c@d.example"}, "sender_address"),
        ({"accent": "red"}, "accent"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"logo": b"no picture"}, "logo"),
    ],
)
def test_save_refuses_bad_input_at_its_field_and_changes_nothing(agency, owner, changes, field):
    with pytest.raises(Refused) as refused:
        branding.save(agency, **given(agency, **{"name": "Changed"} | changes), by=owner)

    assert refused.value.field == field
    db.session.rollback()
    assert agency.name != "Changed"


def test_save_takes_a_logo_and_takes_it_away(agency, owner):
    assert branding.logo_url(agency) is None
    branding.save(agency, **given(agency), logo=picture("JPEG"), by=owner)

    url = branding.logo_url(agency)
    digest = url.removeprefix("/brand/").removesuffix(".png")
    assert branding.logo_of(digest) == logos.redraw(picture("JPEG")).png
    assert audited() == [("branding.changed", {"changed": ["logo_digest"]})]

    branding.save(agency, **given(agency), remove_logo=True, by=owner)

    assert branding.logo_url(agency) is None
    with pytest.raises(NotFound):
        branding.logo_of(digest)


def test_sheet_is_the_accent_and_nothing_else():
    assert branding.sheet("#a03c17") == SAMPLE


def test_sheet_of_makes_the_sheet_from_its_name(agency):
    agency_url = branding.sheet_url(agency)
    name = branding.sheet_name("#a03c17")

    assert branding.sheet_of(name) == SAMPLE
    assert branding.sheet_of(agency_url.removeprefix("/brand/").removesuffix(".css")) == branding.sheet(agency.accent)
    assert len(name) == 16


@pytest.mark.parametrize("name", ["", "a03c17" + "0" * 10, "A03C17", "../../../secrets", "zzzzzz0123456789"])
def test_sheet_of_makes_no_other(name):
    with pytest.raises(NotFound):
        branding.sheet_of(name)


@pytest.mark.parametrize("digest", ["", "0" * 64, "\x00" * 64, "g" * 64])
def test_logo_of_knows_no_other(agency, digest):
    with pytest.raises(NotFound):
        branding.logo_of(digest)


def test_time_zones_begin_with_utc_and_name_places():
    zones = branding.time_zones()

    assert zones[0] == "UTC"
    assert {"Europe/Berlin", "America/New_York"} <= set(zones)
    assert not [zone for zone in zones if zone.startswith("Etc/")]
