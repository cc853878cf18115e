"""What staff may do with a connection, and what testing and refreshing one says."""

import re

import pytest

from app.database import transaction
from app.errors import ProviderFailed
from app.extensions import db
from app.models import Health, Secret
from app.services import credentials, freshness
from tests import factories
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import errors, one, page
from tests.web.panel import held as holding
from tests.web.panel.held import at, names
from tests.web.panel.requests_screen import PRIYA, change, words

held, broken = holding.fixtures


def test_rename_and_a_clash_at_the_field(maya, workspace, held):
    factories.make_connection(workspace, name="Reception")
    dialog = one(page(maya.get(at(held, "/rename"), htmx=True)), "#name")
    assert dialog["value"] == "Front desk"

    refused = maya.post(at(held, "/rename"), {"name": "reception"}, htmx=True)
    assert errors(refused) == {"name": "Another Slack connection of this workspace has this name already."}
    assert "Rename Front desk" in refused.text

    done = maya.post(at(held, "/rename"), {"name": "Main desk"}, htmx=True)
    assert done.headers["HX-Redirect"] == at(held)
    assert names(maya.get("/panel/connections"))[-1] == "Main desk"


def test_revoke_names_what_pauses_and_says_what_comes_of_it(maya, workflow, held):
    change(workflow, version=1)
    dialog = maya.get(at(held, "/revoke"), htmx=True)
    assert "Revoke Front desk?" in dialog.text
    assert [words(each) for each in page(dialog).select(".gh-list li")] == ["New patient intake"]

    assert maya.post(at(held, "/revoke"), htmx=True).headers["HX-Redirect"] == at(held)

    db.session.refresh(held)
    assert held.health is Health.REVOKED


def test_delete_is_refused_with_the_workflows_unless_confirmed(maya, workflow, held):
    dialog = maya.get(at(held, "/delete"), htmx=True)
    assert "New patient intake uses this connection and loses it." in dialog.text
    assert one(page(dialog), "input[name=confirmed]")["value"] == "1"

    refused = maya.post(at(held, "/delete"), htmx=True)
    assert "New patient intake uses this connection and loses it." in refused.text
    db.session.refresh(held)
    assert held.deleted_at is None

    done = maya.post(at(held, "/delete"), {"confirmed": "1"}, htmx=True)
    assert done.headers["HX-Redirect"] == "/panel/connections"
    db.session.refresh(held)
    assert held.deleted_at is not None


def test_revoke_says_whether_the_app_is_asked_and_who_can_connect_again(maya, workspace, held, clock):
    def said(connection):
        return words(page(maya.get(at(connection, "/revoke"), htmx=True)))

    assert "Slack can't be asked to end the access: its owner has to do that there." in said(held)
    asked = factories.make_connection(
        workspace, endpoints={"revoke": "https://slack.example/revoke"}, owner_email=PRIYA
    )
    secret = Secret(
        agency_id=asked.agency_id,
        workspace_id=asked.workspace_id,
        purpose="x",
        owner="x",
        blob=b"x",
        sealed_at=clock.now,
    )
    with transaction() as session:
        session.add(secret)
    change(asked, secret_id=secret.id)
    assert "and Slack is asked to end the access." in said(asked)
    assert f"Only {PRIYA} can connect it again." in said(asked)
    change(asked, owner_left_at=clock.now)
    assert f"Only {PRIYA}" not in said(asked)
    assert "only a member of the workspace can connect it again" in said(asked)


def test_delete_of_what_nothing_uses_asks_once_and_needs_no_more(maya, workspace):
    held = factories.make_connection(workspace)
    assert not page(maya.get(at(held, "/delete"), htmx=True)).select("input[name=confirmed]")

    assert maya.post(at(held, "/delete"), htmx=True).headers["HX-Redirect"] == "/panel/connections"


def test_delete_says_what_became_of_it_at_the_provider(maya, workspace):
    held = factories.make_connection(workspace, name="Front desk")
    maya.post(at(held, "/delete"), htmx=True)

    shown = one(page(maya.get("/panel/connections")), ".gh-toasts > .toast")
    assert "Deleted Front desk We stopped using it and deleted it here; Slack did not confirm" in words(shown)


@pytest.mark.parametrize("act", ["/rename", "/revoke", "/delete"])
def test_titles_divide_an_address_nowhere_but_after_its_at(maya, held, act):
    change(held, name=PRIYA)

    title = re.search(r'id="dialog-title">(.*?)</h2>', maya.get(at(held, act), htmx=True).text)[1]

    assert PRIYA.replace("@", "@<wbr>") in title


@pytest.mark.parametrize("act", ["/rename", "/revoke", "/delete"])
def test_what_is_the_whole_agencys_is_for_owners_and_admins(maya, tom, workspace, act):
    ours = factories.make_connection(workspace, workspace_id=None)

    assert tom.get(at(ours, act), htmx=True).status_code == 403
    assert tom.post(at(ours, act), {"name": "Mine"}, htmx=True).status_code == 403
    assert not page(tom.get(at(ours))).select("#rename, #revoke, #delete")
    assert maya.get(at(ours, act), htmx=True).status_code == 200


@pytest.mark.parametrize("act", ["/rename", "/revoke", "/delete"])
def test_a_teammate_may_change_what_is_a_clients(tom, held, act):
    assert tom.get(at(held, act), htmx=True).status_code == 200


# ── Testing and refreshing ───────────────────────────────────────────────────


@pytest.fixture
def asked_of(monkeypatch):
    """What is asked of the app, and by whom, instead of asking it."""
    found = []
    for act in ("test", "refresh_now"):

        def note(connection, *, by, act=act):
            found.append((act, connection.public_id, by.name))
            return f"{act} went well."

        monkeypatch.setattr(credentials, act, note)
    return found


def test_a_clients_connection_is_only_tested(maya, owner, held, asked_of):
    assert words(one(page(maya.get(at(held))), "#refresh")) == "Test"

    answer = maya.post(at(held, "/refresh"), htmx=True)

    assert answer.headers["HX-Redirect"] == at(held)
    assert asked_of == [("test", held.public_id, owner.email)]
    assert "test went well." in maya.get(at(held)).text


def test_the_agencys_own_is_refreshed(maya, owner, workspace, asked_of):
    ours = factories.make_connection(workspace)
    assert words(one(page(maya.get(at(ours))), "#refresh")) == "Refresh"

    maya.post(at(ours, "/refresh"), htmx=True)

    assert asked_of == [("refresh_now", ours.public_id, owner.email)]


@pytest.mark.parametrize("act", ["test", "refresh_now"])
def test_what_somebody_else_is_at_is_said_as_no_failure(maya, held, workspace, monkeypatch, act):
    def is_under_way(_connection, *, by):
        raise freshness.UnderWay("It is being refreshed just now.")

    shown_at = held if act == "test" else factories.make_connection(workspace)
    monkeypatch.setattr(credentials, act, is_under_way)
    assert maya.post(at(shown_at, "/refresh"), htmx=True).headers["HX-Redirect"] == at(shown_at)

    shown = one(page(maya.get(at(shown_at))), ".gh-toasts > .toast")
    assert "It is being refreshed just now." in words(shown)
    assert "Not done" not in words(shown)


def test_what_was_not_tested_is_said_to_be_neither_done_nor_failed(maya, held, monkeypatch):
    def finds_nothing(_connection, *, by):
        raise credentials.Untested("Slack can't be asked without using it.")

    monkeypatch.setattr(credentials, "test", finds_nothing)
    maya.post(at(held, "/refresh"), htmx=True)

    shown = one(page(maya.get(at(held))), ".gh-toasts > .toast")
    assert shown["data-kind"] == "note"
    assert "Not tested: Front desk Slack can't be asked without using it." in words(shown)
    assert not shown.select(".gh-is-connected, .gh-is-error")


def test_what_does_not_work_is_said(maya, held, monkeypatch):
    def fails(_connection, *, by):
        raise ProviderFailed(f"Slack does not answer {by.name}.")

    monkeypatch.setattr(credentials, "test", fails)
    maya.post(at(held, "/refresh"), htmx=True)

    shown = one(page(maya.get(at(held))), ".gh-toasts > .toast")
    assert "Front desk Slack does not answer maya@" in words(shown)


def test_neither_a_stranger_nor_a_teammate_refreshes_what_is_not_theirs(tom, sam, workspace, held, asked_of):
    ours = factories.make_connection(workspace, workspace_id=None)

    assert sam.post(at(held, "/refresh"), htmx=True).status_code == 404
    assert tom.post(at(ours, "/refresh"), htmx=True).status_code == 403
    assert asked_of == []


def test_what_is_broken_or_revoked_is_not_tested(maya, broken):
    assert not page(maya.get(at(broken))).select("#refresh")
