from dataclasses import replace

import pytest

from app.errors import Refused
from app.services import agencies, branding, senders
from app.services.agencies import NewAgency
from app.tenancy import across_tenants
from tests import factories

OWN = "Requests@Mail.example"


@pytest.fixture
def mail_from():
    return OWN


@pytest.fixture
def config(tmp_path, database_url, mail_from):
    return factories.config(tmp_path, database_url, mail_from=mail_from)


def refused(text, agency):
    with pytest.raises(Refused) as caught:
        senders.checked(text, agency=agency)
    assert caught.value.field == "sender_address"
    return str(caught.value)


def test_an_only_agency_writes_from_any_address(agency):
    assert senders.checked(" Access@Northwind.example ", agency=agency) == "access@northwind.example"


def test_an_agency_yet_to_be_made_does_so_where_there_is_none(app_context):
    assert senders.checked("access@northwind.example") == "access@northwind.example"


@pytest.mark.parametrize("text", ["", "  "])
def test_nothing_typed_is_the_servers_own_address(agency, stranger, text):
    assert senders.checked(text, agency=agency) is None


@pytest.mark.parametrize("text", ["northwind", "a@b.example, c@mail.example"])
def test_what_is_no_address_is_told_so(agency, text):
    assert "This is not an e-mail address." in refused(text, agency)


@pytest.mark.parametrize(
    "text",
    [
        "ceo@southpaw-labs.example",
        "access@northwind-studio.example",
        "requests@mail.example.evil.example",
        "requests@sub.mail.example",
        "requests@xmail.example",
    ],
)
def test_one_of_several_agencies_keeps_to_the_servers_domain(agency, stranger, text):
    assert refused(text, agency) == (
        "Several agencies share this server, so this has to be an address at mail.example."
    )


@pytest.mark.parametrize("text", [OWN, "northwind@mail.example", "NORTHWIND@MAIL.EXAMPLE"])
def test_one_of_several_agencies_has_any_free_address_of_that_domain(agency, stranger, text):
    assert senders.checked(text, agency=agency) == text.lower()


@pytest.mark.parametrize(
    "column", ["sender_address", "support_email", "email"], ids=["sends from", "is reached at", "signs in with"]
)
def test_one_of_several_agencies_passes_for_no_other(agency, owner, stranger, column):
    with across_tenants("a test's setting"), factories.transaction():
        other = stranger.agency
        setattr(stranger if column == "email" else other, column, "southpaw@mail.example")

    assert refused("Southpaw@mail.example", agency) == "Another agency on this server uses this address."
    assert senders.checked("southpaw@mail.example", agency=other) == "southpaw@mail.example"


def test_ones_own_addresses_are_no_others(agency, owner, stranger):
    with factories.transaction():
        agency.support_email = owner.email = "northwind@mail.example"

    assert senders.checked("northwind@mail.example", agency=agency) == "northwind@mail.example"


def test_an_address_from_when_it_was_alone_stays(agency, owner):
    given = {"name": "Northwind", "sender_name": "Northwind", "support_email": owner.email, "timezone": "UTC"}
    given |= {"accent": "#a03c17", "sender_address": "access@northwind.example", "by": owner}
    branding.save(agency, **given)
    factories.make_agency("Southpaw Labs")

    branding.save(agency, **given | {"name": "Northwind Studio"})
    assert (agency.name, agency.sender_address) == ("Northwind Studio", "access@northwind.example")
    with pytest.raises(Refused, match=r"at mail\.example"):
        branding.save(agency, **given | {"sender_address": "other@northwind.example"})


def test_a_second_agency_is_made_with_no_address_of_anothers(agency):
    second = NewAgency("Southpaw Labs", "Sam", "sam@southpaw.example", factories.PASSWORD)
    for address in ("sam@southpaw.example", agency.support_email):
        with pytest.raises(Refused, match="Several agencies share this server"):
            agencies.create(replace(second, sender_address=address))

    with across_tenants("a test looks"):
        made = agencies.create(replace(second, sender_address="southpaw@mail.example"))
        assert made.agency.sender_address == "southpaw@mail.example"


@pytest.mark.parametrize("mail_from", [None])
def test_where_the_server_has_no_address_several_agencies_have_none(agency, stranger):
    assert "Leave this empty." in refused("access@northwind.example", agency)
