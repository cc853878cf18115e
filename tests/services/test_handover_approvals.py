"""Handing an app over beyond the domain: once staff agree, unless they refuse or it ends before."""

import pytest

from app.errors import Conflict, RateLimited
from app.extensions import db
from app.models import Status
from app.services import connection_requests, handovers, link_tokens, sending
from tests import factories
from tests.services import handing_over
from tests.services.handing_over import ANA, PRIYA, SAM, acts, hand_over, mails, refused
from tests.support import browsing, shared_app
from tests.support.rows import rows_of

pytestmark = pytest.mark.both_databases
agency, app, config, stranger = shared_app.fixtures
stub = browsing.stub
(slack,) = handing_over.fixtures


@pytest.mark.parametrize(
    ("recipient", "colleague"),
    [
        (PRIYA, SAM),
        (PRIYA, "ana@mail.harbordental.example"),
        ("priya@gmail.com", "ana@gmail.com"),
        ("priya@yahoo.co.uk", "ana@yahoo.co.uk"),
        ("priya@gmail.com", ANA),
    ],
)
def test_beyond_the_domain_it_waits_for_staff(workflow, owner, recipient, colleague):
    asked = factories.make_sent(workflow, owner, recipient=recipient)[0]
    before, link = len(mails()), link_tokens.of(asked.bundle)

    hand_over(asked, colleague)

    assert (asked.recipient, asked.hand_over_to, asked.handed_over_at) == (recipient, colleague, None)
    assert acts(asked) == [("request.hand_over_asked", "client")]
    assert len(mails()) == before
    assert link_tokens.matches(link, asked.bundle)


def test_staff_agree_and_it_goes(agency, owner, slack):
    hand_over(slack, SAM)

    handovers.approve(agency, slack.public_id, to=SAM, by=owner)

    assert (slack.recipient, slack.handed_over_from, slack.hand_over_to) == (SAM, PRIYA, None)
    assert acts(slack) == [("request.hand_over_asked", "client"), ("request.handed_over", "staff")]
    with pytest.raises(Conflict):
        handovers.approve(agency, slack.public_id, to=SAM, by=owner)


def test_staff_refuse_and_all_is_as_it_was(agency, owner, slack):
    hand_over(slack, SAM)

    handovers.refuse(agency, slack.public_id, to=SAM, by=owner)

    assert (slack.recipient, slack.handed_over_at, slack.hand_over_to) == (PRIYA, None, None)
    assert acts(slack)[-1] == ("request.hand_over_refused", "staff")
    hand_over(slack)
    assert slack.recipient == ANA, "a refusal is no hand-over"


def test_refused_the_card_knows_whom_until_somebody_else_is_named(agency, owner, slack, sent):
    hand_over(slack, SAM)
    assert refused(slack) == [None]
    handovers.refuse(agency, slack.public_id, to=SAM, by=owner)

    assert (refused(slack), refused(sent[1])) == ([SAM], [None])
    hand_over(slack, "joe@cobalt-it.example")
    assert refused(slack) == [None]
    handovers.take_back(slack.bundle, slack.public_id)
    assert refused(slack) == [None]


@pytest.mark.parametrize("act", ["hand over", "move"])
def test_refused_is_nothing_to_whoever_has_it_next(agency, owner, slack, act):
    hand_over(slack, SAM)
    handovers.refuse(agency, slack.public_id, to=SAM, by=owner)
    if act == "move":
        sending.change_recipient(agency, slack.public_id, recipient=ANA, by=owner)
    else:
        hand_over(slack)

    assert (slack.recipient, refused(slack)) == (ANA, [None])


def test_nobody_is_approved_whom_staff_have_not_seen(agency, owner, slack):
    hand_over(slack, SAM)
    handovers.take_back(slack.bundle, slack.public_id)
    hand_over(slack, "mallory@elsewhere.example")
    before = rows_of(agency)

    for act in (handovers.approve, handovers.refuse):
        for seen in (SAM, "", PRIYA):
            with pytest.raises(Conflict):
                act(agency, slack.public_id, to=seen, by=owner)

    assert rows_of(agency) == before


def test_the_client_may_take_it_back_once(agency, slack):
    hand_over(slack, SAM)
    handovers.take_back(slack.bundle, slack.public_id)

    assert slack.hand_over_to is None
    assert acts(slack)[-1] == ("request.hand_over_taken_back", "client")
    with pytest.raises(Conflict):
        handovers.take_back(slack.bundle, slack.public_id)


def test_to_ask_for_the_same_twice_is_to_ask_once(agency, slack):
    hand_over(slack, SAM)
    before = rows_of(agency)
    hand_over(slack, SAM)

    assert rows_of(agency) == before


def test_to_name_another_replaces_the_first(slack):
    hand_over(slack, SAM)
    hand_over(slack, "joe@cobalt-it.example")
    assert slack.hand_over_to == "joe@cobalt-it.example"

    hand_over(slack, ANA)
    assert (slack.recipient, slack.hand_over_to) == (ANA, None)


def test_asking_is_limited(slack, monkeypatch):
    monkeypatch.setattr(handovers, "MOST_ASKS", 2)
    hand_over(slack, SAM)
    hand_over(slack, "joe@cobalt-it.example")

    with pytest.raises(RateLimited):
        hand_over(slack, SAM)
    assert slack.hand_over_to == "joe@cobalt-it.example"


def test_it_may_be_declined_while_it_waits_and_staff_may_still_agree(agency, owner, slack):
    hand_over(slack, SAM)
    connection_requests.decline(slack, reason="Sam runs it.")
    assert slack.hand_over_to == SAM

    handovers.approve(agency, slack.public_id, to=SAM, by=owner)

    assert (slack.status, slack.recipient) == (Status.PENDING, SAM)


def test_staff_may_agree_after_the_link_has_lapsed(agency, owner, slack, clock):
    hand_over(slack, SAM)
    clock.forward(days=8)

    handovers.approve(agency, slack.public_id, to=SAM, by=owner)

    assert not slack.is_expired(clock.now)


@pytest.mark.parametrize("act", ["connect", "cancel", "resend", "move"])
def test_what_ends_the_wait(agency, owner, slack, browser, stub, clock, act):
    hand_over(slack, SAM)
    clock.forward(minutes=6)
    if act == "connect":
        assert browser.finish(browser.start(slack)).is_connected
    elif act == "cancel":
        connection_requests.cancel(agency, slack.public_id, by=owner)
    elif act == "resend":
        sending.resend(agency, slack.public_id, by=owner)
    else:
        sending.change_recipient(agency, slack.public_id, recipient="lee@harbordental.example", by=owner)
    db.session.refresh(slack)

    assert slack.hand_over_to is None
    with pytest.raises(Conflict):
        handovers.approve(agency, slack.public_id, to=SAM, by=owner)
