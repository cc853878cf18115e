"""What is said ahead of and about connections that end or broke."""

from datetime import timedelta

from app.models import Health, Kind
from tests import factories
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import one, page
from tests.support.statements import counted
from tests.web.panel import held as holding
from tests.web.panel.held import asked_to_mend, at, names
from tests.web.panel.requests_screen import PRIYA, change, words

held, broken = holding.fixtures


def test_every_page_has_the_banner_but_where_they_are_listed(maya, workspace, broken):
    for path in ("/panel/workspaces", "/panel/connections", "/panel/apps", at(broken), "/panel/account"):
        banner = one(page(maya.get(path)), "main > .gh-note.is-bad")
        assert words(banner).startswith("A connection needs to be reauthorized")
        assert one(banner, "a")["href"] == at(broken)
        assert words(one(banner, "a")) == "Slack at Harbor Dental"
    for path in ("/panel/", "/panel/attention/connections"):
        assert not page(maya.get(path)).select("main > .gh-note.is-bad")


def test_the_banner_counts_and_names_the_first_few(maya, workspace):
    for number in range(7):
        factories.make_connection(workspace, name=f"Slack {number}", health=Health.ERROR)
    banner = one(page(maya.get("/panel/workspaces")), "main > .gh-note.is-bad")

    assert words(banner).startswith("7 connections need to be reauthorized")
    assert len(banner.select("a")) == 6
    assert banner.select("a")[-1]["href"] == "/panel/attention/connections"


def test_the_banner_costs_one_statement_and_none_while_all_is_well(maya, workspace):
    def statements():
        with counted() as found:
            maya.get("/panel/account")
        return len(found)

    statements()
    before = statements()
    for number in range(7):
        factories.make_connection(workspace, name=f"Slack {number}", health=Health.ERROR)

    assert statements() == before + 1


def test_home_warns_of_what_ends_soon_and_offers_to_ask(maya, held, clock):
    change(held, grant_ends_at=clock.now + timedelta(days=15))
    assert "Nothing needs attention" in maya.get("/panel/").text
    change(held, grant_ends_at=clock.now + timedelta(days=10))
    answer = maya.get("/panel/")

    assert words(one(page(answer), "h1")) == "1 thing needs attention"
    assert words(one(page(answer), "#ending")) == "A connection ends soon"
    button = one(page(answer), "section[aria-labelledby=ending] button")
    assert (words(button), button["hx-get"]) == ("Ask the client now", at(held, "/ask"))
    assert "Ends soon" in maya.get("/panel/connections").text

    maya.post(at(held, "/ask"), htmx=True)
    assert [each.kind for each in asked_to_mend(held)] == [Kind.REAUTHORIZE]
    assert f"Queued for {PRIYA} to reconnect it, and not sent yet." in maya.get("/panel/").text


def test_nobody_is_offered_to_be_asked_for_what_nothing_uses(maya, workspace, workflow, held, clock):
    unused = factories.make_connection(workspace, owner_email=PRIYA, grant_ends_at=clock.now + timedelta(days=2))
    broken = factories.make_connection(workspace, name="Torn", owner_email=PRIYA, health=Health.ERROR)
    for each in (unused, broken):
        maya.post(at(each, "/ask"), htmx=True)
        assert asked_to_mend(each) == []
        assert not page(maya.get(at(each))).select("#mend")
    change(workflow, archived_at=clock.now)
    change(held, grant_ends_at=clock.now + timedelta(days=2))
    assert not page(maya.get("/panel/")).select("section[aria-labelledby=ending] button")
    assert not page(maya.get("/panel/")).select("section[aria-labelledby=broken] button")


def test_what_ends_first_stands_first_and_an_archived_workspace_warns_of_nothing(maya, agency, workspace, clock):
    for days in (9, 3, 6):
        factories.make_connection(
            workspace, name=f"In {days}", owner_email=PRIYA, grant_ends_at=clock.now + timedelta(days=days)
        )
    put_away = factories.make_workspace(agency, "Put away")
    factories.make_connection(put_away, name="In 1", grant_ends_at=clock.now + timedelta(days=1))
    change(put_away, archived_at=clock.now)

    home = page(maya.get("/panel/")).select("section[aria-labelledby=ending] .gh-row")
    ends = [one(each, "time")["datetime"] for each in home]
    assert len(ends) == 3
    assert ends == sorted(ends)
    assert names(maya.get("/panel/connections?status=ending")) == ["In 3", "In 6", "In 9"]


def test_those_that_end_first_are_paged_both_ways(maya, workspace, clock, monkeypatch):
    monkeypatch.setattr("app.services.paging.PAGE", 2)
    for days in (9, 3, 6, 6, 5):
        name = f"In {days} {clock.now}" if days == 6 else f"In {days}"
        clock.forward(seconds=1)
        factories.make_connection(workspace, name=name, grant_ends_at=clock.now + timedelta(days=days))

    def days(answer):
        return [int(each.split()[1]) for each in names(answer)]

    first = maya.get("/panel/connections?status=ending")
    second = maya.get(one(page(first), "a[rel=next]")["href"])
    third = maya.get(one(page(second), "a[rel=next]")["href"])
    assert [days(each) for each in (first, second, third)] == [[3, 5], [6, 6], [9]]
    assert days(maya.get(one(page(third), "a[rel=prev]")["href"])) == [6, 6]


def test_an_end_that_use_puts_off_is_said_to_be(maya, workspace, clock):
    idle = factories.make_connection(
        workspace, "jira", refreshable=True, token_at=clock.now, grant_ends_at=clock.now + timedelta(days=90)
    )
    assert "unless it is used or refreshed before" in maya.get(at(idle)).text
    change(idle, grant_ends_at=clock.now + timedelta(days=80))
    assert "unless it is approved anew" in maya.get(at(idle)).text


def test_what_broke_is_no_longer_said_to_end(maya, broken, clock):
    change(broken, grant_ends_at=clock.now)

    assert not page(maya.get("/panel/")).select("#ending")
    assert "Ends soon" not in words(one(page(maya.get("/panel/connections")), "tbody"))
