"""Every setting that an agency has of its own has an effect: each is tried at two values, and something differs."""

from email import message_from_bytes, policy

import pytest

from app import clock as app_clock
from app.database import transaction
from app.mailer import bundle_sent
from app.models import Agency
from app.services import branding, connection_requests, mail_caps
from tests import factories
from tests.support.scenery import picture

NO_SETTINGS = {"id", "public_id", "created_at", "logo_digest"}  # what it is known by, and what a logo is found by


def letter(scenery):
    """The mail to the client, as it would be sent now."""
    with scenery.acting(scenery.ours) as (agency, _):
        bundle = connection_requests.get(agency, scenery.ours.names["request_id"]).bundle
        return message_from_bytes(
            bundle_sent.compose(factories.leaving(bundle), at=app_clock.now()).as_bytes(), policy=policy.default
        )


def text_of(scenery):
    return letter(scenery).get_body(("plain",)).get_content()


def page(scenery):
    return scenery.client(scenery.ours).get(f"/connect/{scenery.ours.names['bundle_id']}").text


def panel(scenery):
    path = "/panel/workspaces/{workspace_id}/workflows/{workflow_id}".format(**scenery.ours.names)
    return scenery.staff(scenery.ours).get(path).text


def door(scenery):
    """Where the portal of the agency is."""
    return [scenery.app.test_client().get(f"/portal/login/{slug}").text.count("Northwind") for slug in ("one", "two")]


def caps(scenery):
    with scenery.acting(scenery.ours) as (agency, _):
        bundle = connection_requests.get(agency, scenery.ours.names["request_id"]).bundle
        return [cap.limit for cap in mail_caps.caps_of(factories.leaving(bundle))]


def logo(scenery):
    return [part.get_content() for part in letter(scenery).walk() if part.get_content_maintype() == "image"]


SETTINGS = {
    "name": ("One", "Two", page),
    "slug": ("one", "two", door),
    "timezone": ("UTC", "Asia/Kolkata", text_of),
    "locale": ("en", "de", panel),
    "sender_name": ("One", "Two", lambda scenery: letter(scenery)["From"]),
    "sender_address": ("one@x.example", "two@x.example", lambda scenery: letter(scenery)["From"]),
    "support_email": ("one@x.example", "two@x.example", lambda scenery: letter(scenery)["Reply-To"]),
    "accent": ("#0e5a6e", "#a03c17", page),
    "logo": (picture(), None, logo),
    "hands_over": (True, False, lambda scenery: "Someone else manages this account" in page(scenery)),
    "mails_per_hour": (1, 2, caps),  # what they do is in row 32
    "mails_per_recipient_day": (1, 2, caps),
}


def test_row_51_every_setting_of_an_agency_is_in_the_table():
    assert set(SETTINGS) == {column.name for column in Agency.__table__.columns} - NO_SETTINGS


@pytest.mark.parametrize("name", SETTINGS)
def test_row_51_every_setting_of_an_agency_has_an_effect(scenery, clock, name):
    one, two, effect = SETTINGS[name]
    seen = []
    for value in (one, two):
        with scenery.acting(scenery.ours) as (agency, owner):
            if name == "logo":
                look = {
                    field: getattr(agency, field) for field in ("sender_name", "support_email", "accent", "timezone")
                }
                branding.save(agency, name=agency.name, logo=value, remove_logo=value is None, by=owner, **look)
            else:
                with transaction() as session:
                    setattr(session.get_one(Agency, agency.id), name, value)
        seen.append(effect(scenery))

    assert seen[0] != seen[1]
