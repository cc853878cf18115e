"""A client's tab that is out of date: it shows how things stand, or that its link has died, never an error page (R16)."""

import secrets
from urllib.parse import urlsplit

import pytest

from app import clock
from app.database import transaction
from app.services import connection_requests, fulfilment, link_tokens, sending
from app.services.audit import SYSTEM
from tests import factories
from tests.support import shared_app
from tests.support.staff_browser import HTMX, TOKEN, refresh

agency, app, config, stranger = shared_app.fixtures
app_on_postgres, app_on_sqlite = shared_app.apps

SAM = "sam@cobalt-it.example"
STEPS = (("slack", "send_channel_message"), ("hubspot", "create_contact"))
ACTS = ("start", "decline", "use")
DEAD = "This link can't be opened"


def cancel(asked, owner):
    connection_requests.cancel(owner.agency, asked[0].public_id, by=owner)


def cancel_all(asked, owner):
    for each in asked:
        connection_requests.cancel(owner.agency, each.public_id, by=owner)


def give_to_sam(asked, owner):
    sending.change_recipient(owner.agency, asked[0].public_id, recipient=SAM, by=owner)


def decline(asked, _owner):
    connection_requests.decline(asked[0], reason="In another tab.")


def connect(asked, _owner):
    held = factories.make_connection(asked[0].workflow.workspace, "slack", scopes=["chat:write", "channels:read"])
    with transaction():
        assert fulfilment.fulfil(asked[0], held, generation=asked[0].generation, at=clock.now(), by=SYSTEM)


def send_anew(asked, owner):
    factories.make_sent(
        factories.make_workflow(asked[0].workflow.workspace, owner, ("typeform", "new_response"), name="Forms"), owner
    )


class Tab:
    """A client's tab at the page that a link opened."""

    def __init__(self, app, asked):
        self.web, self.app = app.test_client(), app
        self.web.environ_base["REMOTE_ADDR"] = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"
        self.page = urlsplit(self.ask("GET", f"/l/{link_tokens.of(asked[0].bundle)}").headers["Location"]).path
        self.token = TOKEN.search(self.ask("GET", self.page).text)[1]

    def ask(self, method, path, **request):
        refresh()
        with self.app.app_context():
            answer = self.web.open(urlsplit(path).path, method=method, **request)
        refresh()
        return answer

    def press(self, act, asked, *, htmx):
        given = {"csrf_token": self.token, "reason": "Not ours.", "connection": "a" * 20}
        path = f"{self.page}/requests/{asked.public_id}/{act}"
        here = {"HX-Current-URL" if htmx else "Referer": f"http://localhost{self.page}"}
        return self.ask("POST", path, data=given, headers=here | (HTMX if htmx else {}))


@pytest.fixture
def asked(agency, workspace, owner):
    return factories.make_sent(factories.make_workflow(workspace, owner, *STEPS), owner)


@pytest.mark.parametrize("htmx", [True, False], ids=["in the page", "without a script"])
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("since", [cancel, give_to_sam, decline, connect], ids=lambda since: since.__name__)
def test_a_card_that_is_out_of_date_leads_to_the_page_as_it_is(app, asked, owner, since, act, htmx):
    tab = Tab(app, asked)
    since(asked, owner)

    answer = tab.press(act, asked[0], htmx=htmx)

    if since is decline and act == "start":
        assert answer.status_code == 200, "what was declined may be connected after all"
        return
    if answer.status_code == 422:
        shown = answer
    else:
        assert answer.status_code == 303, answer.text[:300]
        shown = tab.ask("GET", answer.headers["Location"], headers=HTMX if htmx else {})
        assert shown.status_code == 200
    assert "HubSpot" in shown.text
    assert ("Slack" in shown.text) is (since in (decline, connect))


@pytest.mark.parametrize("htmx", [True, False], ids=["in the page", "without a script"])
@pytest.mark.parametrize("act", ACTS)
@pytest.mark.parametrize("since", [cancel_all, send_anew], ids=lambda since: since.__name__)
def test_a_page_whose_link_died_says_so(app, asked, owner, since, act, htmx):
    tab = Tab(app, asked)
    since(asked, owner)

    answer = tab.press(act, asked[0], htmx=htmx)

    assert answer.status_code in (200, 303, 404)
    if htmx and answer.status_code == 200:
        assert answer.headers["HX-Refresh"] == "true"
        answer = tab.ask("GET", tab.page)
    if answer.status_code == 303:
        assert tab.ask("GET", answer.headers["Location"]).status_code == 200
    else:
        assert (answer.status_code, DEAD in answer.text) == (404, True)
