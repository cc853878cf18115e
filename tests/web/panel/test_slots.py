import pytest

from app import runtime
from app.database import transaction
from app.extensions import db
from app.models import Health, Source, Status
from app.services import nodes, sending, slots, workflows
from tests import factories
from tests.support.rows import rows_of
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import one, page, toasts
from tests.web.panel.requests_screen import words

PRIYA = "priya.nair@harbordental.example"
NOT_OAUTH = "OAuth provider on this request is not configured for OAuth2."


@pytest.fixture
def workflow(workspace, owner):
    """One node, Slack's, whose source nobody has said."""
    workflow = workflows.create(workspace, "New patient intake", by=owner)
    nodes.add(workflow, app_key="slack", action_key="send_channel_message", by=owner)
    return workflow


def covering(workspace, app_key="slack", **changes):
    scopes = list(runtime.current().catalog.get(app_key).scopes)
    return factories.make_connection(workspace, app_key, **({"scopes": scopes} | changes))


def node(answer, number=1):
    return one(page(answer), f"#node-{number}")


def badge(answer, number=1):
    return words(one(node(answer, number), ".gh-node-head .gh-status"))


# ── Source ───────────────────────────────────────────────────────────────────


def test_a_slot_without_source_offers_two_choices(maya, url, slot):
    answer = maya.get(url)

    assert badge(answer) == "No connection source"
    form = one(node(answer), "form:has([role=radiogroup])")
    assert form["hx-post"] == form["action"] == f"{url}/slots/{slot.public_id}/source"
    assert form["hx-trigger"] == "change"
    assert [words(each) for each in form.select("label")] == [
        "Agency provides the connection",
        "Client provides the connection",
    ]
    assert not form.select("[checked]")
    assert "Add to client request queue" not in words(node(answer))


def test_once_the_client_provides_it_can_be_asked_for(maya, url, here, slot):
    answer = maya.post(f"{url}/slots/{slot.public_id}/source", {"source": "client"}, htmx=True, **here)

    assert badge(answer) == "Not asked yet"
    said = "The client will connect Slack from their portal or through a sign-in link."
    assert said in words(node(answer))
    button = one(node(answer), f"#ask-{slot.public_id}")
    assert words(button) == "Add to client request queue"
    assert button["hx-get"] == f"{url}/slots/{slot.public_id}/request"


def test_once_the_agency_provides_an_account_can_be_chosen(maya, url, here, slot):
    answer = maya.post(f"{url}/slots/{slot.public_id}/source", {"source": "agency"}, htmx=True, **here)

    assert badge(answer) == "No account chosen"
    assert words(one(node(answer), f"#choose-{slot.public_id}")) == "Select an existing connection"
    assert "Let the client provide it" in words(node(answer))


@pytest.mark.parametrize("source", ["", "nobody", "CLIENT", None])
def test_no_other_source_is_taken(maya, url, here, slot, source):
    given = {} if source is None else {"source": source}
    answer = maya.post(f"{url}/slots/{slot.public_id}/source", given, htmx=True, **here)

    assert answer.status_code == 422
    assert "Choose who provides the connection." in toasts(answer)
    db.session.expire_all()
    assert slot.source is None


def test_without_a_script_the_choice_is_sent_and_leads_back(maya, url, slot):
    assert "<noscript><button" in maya.get(url).text
    answer = maya.post(f"{url}/slots/{slot.public_id}/source", {"source": "client"})

    assert (answer.status_code, answer.headers["Location"]) == (303, url)
    db.session.expire_all()
    assert slot.source is Source.CLIENT


@pytest.mark.parametrize("sent", [False, True])
def test_a_change_of_source_asks_and_cancels_the_request(maya, url, here, workflow, slot, owner, sent):
    slots.set_source(slot, Source.CLIENT, by=owner)
    asked = factories.make_request(slot, owner)
    if sent:
        sending.send(workflow, by=owner)
    address, warning = f"{url}/slots/{slot.public_id}/source", f"This cancels the Slack request to {PRIYA}."
    assert f'hx-get="{address}"' in str(one(node(maya.get(url)), ".dropdown-menu"))
    dialog = page(maya.get(address, htmx=True))
    assert warning in dialog.get_text()
    assert {each["name"]: each["value"] for each in dialog.select("[name=source], [name=confirmed]")} == {
        "source": "agency",
        "confirmed": "1",
    }

    unaware = maya.post(address, {"source": "agency"}, htmx=True, **here)
    assert warning in page(unaware).get_text()
    assert unaware.headers["HX-Retarget"] == "#dialog-content"
    db.session.expire_all()
    assert asked.status.live

    done = maya.post(address, {"source": "agency", "confirmed": "1"}, htmx=True, **here)
    assert badge(done) == "No account chosen"
    db.session.expire_all()
    assert (asked.status, slot.source) == (Status.CANCELLED, Source.AGENCY)


def test_without_a_script_what_needs_a_yes_is_told_and_left(maya, url, slot, owner):
    slots.set_source(slot, Source.CLIENT, by=owner)
    asked = factories.make_request(slot, owner)

    answer = maya.post(f"{url}/slots/{slot.public_id}/source", {"source": "agency"})

    assert (answer.status_code, answer.headers["Location"]) == (303, url)
    assert f"This cancels the Slack request to {PRIYA}." in maya.get(url).text.replace("<wbr>", "")
    db.session.expire_all()
    assert asked.status is Status.QUEUED


def test_a_change_of_source_takes_the_connection_out(maya, url, here, workspace, slot, owner):
    held = covering(workspace, name="Northwind helpdesk")
    slots.use_connection(slot, held.public_id, by=owner)
    address = f"{url}/slots/{slot.public_id}/source"

    unaware = maya.post(address, {"source": "client"}, htmx=True, **here)
    assert "This takes Northwind helpdesk out of the workflow" in page(unaware).get_text()
    done = maya.post(address, {"source": "client", "confirmed": "1"}, htmx=True, **here)

    assert badge(done) == "Not asked yet"
    db.session.expire_all()
    assert (slot.connection_id, held.health) == (None, Health.ACTIVE)


# ── Whom a client can't be asked for ─────────────────────────────────────────


def test_an_app_with_keys_only_says_why_and_leads_to_ones_own(maya, url, workflow, owner):
    added = nodes.add(workflow, app_key="activecampaign", action_key=first("activecampaign"), by=owner)
    text = "ActiveCampaign uses an API key, so a client can't be asked for it: connect it yourself."

    answer = maya.get(url)
    assert text in words(node(answer, 2))
    assert one(node(answer, 2), "input[value=client]").has_attr("disabled")

    slots.set_source(added.slot, Source.CLIENT, by=owner)
    answer = maya.get(url)
    assert text in words(node(answer, 2))
    assert "Add to client request queue" not in words(node(answer, 2))
    assert "Let the agency provide it" in words(node(answer, 2))


def test_an_app_without_a_client_says_so_in_the_words_of_the_refusal(maya, url, workflow, owner):
    added = nodes.add(workflow, app_key="calendly", action_key=first("calendly"), by=owner)
    slots.set_source(added.slot, Source.CLIENT, by=owner)

    answer = maya.get(url)

    assert NOT_OAUTH in words(node(answer, 2))
    assert one(node(answer, 2), "p a")["href"] == "/panel/apps/calendly"
    assert "Add to client request queue" not in words(node(answer, 2))


def first(app_key):
    return runtime.current().catalog.get(app_key).actions[0].key


# ── Existing connections ─────────────────────────────────────────────────────


def test_a_connection_that_covers_is_offered_first(maya, url, here, workspace, slot):
    held = covering(workspace, name="Harbor Dental chat", account="chat@harbordental.example")
    answer = maya.get(url)

    offer = one(node(answer), ".gh-offer")
    assert words(one(offer, "p")) == "Harbor Dental chat chat@harbordental.example covers these permissions"
    assert words(one(offer, "button[type=submit]")) == "Use existing connection"
    place = str(one(node(answer), ".gh-slot"))
    assert place.index("gh-offer") < place.index("radiogroup")

    used = maya.post(f"{url}/slots/{slot.public_id}/account", {"connection": held.public_id}, htmx=True, **here)
    assert badge(used) == "Connected"
    assert "Agency provides the connection: Harbor Dental chat." in words(node(used))
    assert not node(used).select(".gh-offer")


@pytest.mark.parametrize(
    "changes",
    [
        {"scopes": ["chat:write"]},
        {"health": Health.ERROR},
        {"health": Health.REVOKED},
        {"app_key": "hubspot"},
    ],
)
def test_one_that_does_not_fit_is_not_offered(maya, url, workspace, changes):
    covering(workspace, **changes)

    assert not node(maya.get(url)).select(".gh-offer")


def test_one_of_another_workspace_is_not_offered_nor_taken(maya, url, agency, slot):
    elsewhere = covering(factories.make_workspace(agency, "Bluefin Logistics"))

    assert not node(maya.get(url)).select(".gh-offer")
    answer = maya.post(f"{url}/slots/{slot.public_id}/account", {"connection": elsewhere.public_id})
    assert answer.status_code == 404
    db.session.expire_all()
    assert slot.connection_id is None


def test_the_agencys_own_is_offered_in_all_its_workspaces(maya, url, workspace):
    covering(workspace, workspace_id=None, name="Northwind helpdesk")

    assert "Northwind helpdesk" in words(one(node(maya.get(url)), ".gh-offer"))


def test_using_one_asks_and_cancels_the_request(maya, url, here, workspace, workflow, slot, owner):
    slots.set_source(slot, Source.CLIENT, by=owner)
    asked = factories.make_request(slot, owner)
    sending.send(workflow, by=owner)
    held = covering(workspace)
    address, given = f"{url}/slots/{slot.public_id}/account", {"connection": held.public_id}
    assert "Use existing connection" in words(one(node(maya.get(url)), ".gh-offer"))

    unaware = maya.post(address, given, htmx=True, **here)
    assert f"This cancels the Slack request to {PRIYA}." in page(unaware).get_text()
    assert one(page(unaware), "[name=connection]")["value"] == held.public_id
    db.session.expire_all()
    assert (asked.status, slot.connection_id) == (Status.PENDING, None)

    assert badge(maya.post(address, given | {"confirmed": "1"}, htmx=True, **here)) == "Connected"
    db.session.expire_all()
    assert asked.status is Status.CANCELLED


def test_the_picker_lists_what_fits_with_account_owner_and_status(maya, url, workspace, slot, agency):
    covering(workspace, name="Northwind helpdesk", account="desk@northwind.example", workspace_id=None)
    covering(workspace, name="Theirs", account="chat@harbordental.example", owner_email=PRIYA, health=Health.PENDING)
    covering(workspace, name="Too narrow", scopes=["chat:write"])

    dialog = page(maya.get(f"{url}/slots/{slot.public_id}/account", htmx=True))

    assert one(dialog, "#account-search")["placeholder"] == "Search accounts..."
    assert [words(each) for each in dialog.select(".gh-picker-option")] == [
        "Theirs chat@harbordental.example · owned by the client Pending",
        f"Northwind helpdesk desk@northwind.example · owned by {agency.name}, all workspaces Active",
    ]


def test_the_picker_finds_by_name_and_account(maya, url, workspace, slot):
    covering(workspace, name="Northwind helpdesk", account="desk@northwind.example")
    covering(workspace, name="Theirs", account="chat@harbordental.example")
    address = f"{url}/slots/{slot.public_id}/account/list"

    def found(search):
        return [words(each) for each in page(maya.get(f"{address}?q={search}", htmx=True)).select("strong")]

    assert found("HELPDESK") == ["Northwind helpdesk"]
    assert found("harbordental") == ["Theirs"]
    assert found("nothing") == ["No accounts available"]


def test_the_picker_says_when_there_is_none(maya, url, slot):
    dialog = page(maya.get(f"{url}/slots/{slot.public_id}/account", htmx=True))

    assert "No accounts available" in dialog.get_text()


def test_nothing_chosen_is_said_at_the_list(maya, url, here, workspace, slot):
    covering(workspace)
    answer = maya.post(f"{url}/slots/{slot.public_id}/account", htmx=True, **here)

    soup = page(answer, 422)
    assert words(one(soup, "#connection-error")) == "Choose an account from the list."
    assert one(soup, "#accounts")["aria-invalid"] == "true"
    assert len(soup.select(".gh-picker-option")) == 1


def test_one_that_became_too_narrow_is_refused_and_said(maya, url, here, workspace, slot):
    narrow = covering(workspace, scopes=["chat:write"])
    answer = maya.post(f"{url}/slots/{slot.public_id}/account", {"connection": narrow.public_id}, htmx=True, **here)

    assert "This account does not cover what the workflow needs." in toasts(answer)
    assert badge(answer) == "No connection source"


# ── What stands in the slot ──────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("changes", "word", "line"),
    [
        ({}, "Connected", "Connected as chat@harbordental.example"),
        ({"account": None, "name": "Chat"}, "Connected", "Connected: Chat"),
        ({"health": Health.PENDING}, "Connected", "Connected as chat@harbordental.example"),
        ({"health": Health.ERROR}, "Reconnection needed", "Slack refuses it and gives no reason. The workflow waits."),
        (
            {"health": Health.ERROR, "health_reason": "interrupted"},
            "Reconnection needed",
            "Renewing the access to Slack was interrupted, and what came of it is not known. The workflow waits.",
        ),
        ({"health": Health.REVOKED}, "Revoked", "It was revoked, so the workflow waits."),
    ],
)
def test_a_clients_connection(maya, url, workspace, slot, owner, changes, word, line):
    slots.set_source(slot, Source.CLIENT, by=owner)
    held = covering(workspace, **({"account": "chat@harbordental.example", "owner_email": PRIYA} | changes))
    fill(slot, held)

    answer = maya.get(url)

    assert badge(answer) == word
    assert line in words(node(answer))
    assert bool(node(answer).select(f"#ask-{slot.public_id}")) is (word == "Revoked")
    assert bool(node(answer).select(f"#mend-{slot.public_id}")) is (word == "Reconnection needed")


def fill(slot, connection):
    with transaction():
        slot.connection_id = connection.id


def test_a_connection_that_has_too_little_says_what_and_can_be_asked_again(maya, url, workspace, slot, owner):
    slots.set_source(slot, Source.CLIENT, by=owner)
    fill(slot, covering(workspace, scopes=["chat:write"], account="chat@harbordental.example", owner_email=PRIYA))

    answer = maya.get(url)

    assert badge(answer) == "Permissions missing"
    assert "The workflow needs a permission that it does not have: See public channels channels:read" in words(
        node(answer)
    )
    asks = page(maya.get(f"{url}/slots/{slot.public_id}/request", htmx=True))
    wanted = [words(each) for each in asks.select(".gh-scope")]
    assert wanted == ["Send messages as the app chat:write", "See public channels (new) channels:read"]


def test_an_agencys_connection_that_broke_can_be_changed(maya, url, workspace, slot, owner):
    held = covering(workspace, name="Northwind helpdesk")
    slots.use_connection(slot, held.public_id, by=owner)
    with transaction():
        held.health = Health.ERROR

    answer = maya.get(url)

    assert badge(answer) == "Reconnection needed"
    assert words(one(node(answer), f"#change-{slot.public_id}")) == "Change account"
    assert not node(answer).select(f"#ask-{slot.public_id}")


# ── Who may ──────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("who", ["sam", "anybody"])
@pytest.mark.parametrize(
    ("method", "path"),
    [("get", "source"), ("post", "source"), ("get", "account"), ("get", "account/list"), ("post", "account")],
)
def test_others_reach_nothing(request, who, method, path, url, slot, workspace, agency):
    held = covering(workspace)
    given = [{"source": "client", "connection": held.public_id, "confirmed": "1"}] if method == "post" else []
    visitor, address = request.getfixturevalue(who), f"{url}/slots/{slot.public_id}/{path}"
    before = rows_of(agency)

    answer = getattr(visitor, method)(address, *given)

    assert answer.status_code == (404 if who == "sam" else 303)
    assert rows_of(agency) == before


def test_a_teammate_without_a_role_does_it_all(tom, url, here, workspace, slot):
    held = covering(workspace)
    address = f"{url}/slots/{slot.public_id}"

    assert badge(tom.post(f"{address}/source", {"source": "client"}, htmx=True, **here)) == "Not asked yet"
    assert tom.get(f"{address}/account", htmx=True).status_code == 200
    used = tom.post(f"{address}/account", {"connection": held.public_id}, htmx=True, **here)
    assert badge(used) == "Connected"


def test_a_slot_of_another_workflow_is_unknown(maya, url, workspace, owner):
    other = factories.make_workflow(workspace, owner, ("slack", "send_channel_message"), name="Another")
    for path in ("source", "account", "account/list", "request"):
        assert maya.get(f"{url}/slots/{other.slots[0].public_id}/{path}").status_code == 404
