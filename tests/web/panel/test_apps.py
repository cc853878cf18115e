import re

import pytest

from app import runtime
from app.services import oauth_clients, own_clients
from tests.support.shared_app import *  # noqa: F403
from tests.support.staff_browser import errors, one, page
from tests.support.statements import counted

SECRET = "CANARY-client-secret"


@pytest.fixture
def api_key_only(app_context):
    return next(app for app in runtime.current().catalog if not app.oauth2)


def saving(browser, app="notion", **changes):
    return browser.post(f"/panel/apps/{app}", {"client_id": "our-client", "client_secret": SECRET} | changes)


def states(answer):
    return {
        row.select_one("th a").text: row.select("td")[1].get_text(strip=True) for row in page(answer).select("tbody tr")
    }


def every_page(browser, url):
    found = {}
    while url:
        answer = browser.get(url)
        found |= states(answer)
        after = [each["href"] for each in page(answer).select("a.btn") if each.text == "Next"]
        url = after[0] if after else None
    return found


def test_the_list_shows_every_app_and_its_state(maya, agency, owner, api_key_only):
    own_clients.configure(agency, "notion", client_id="x", client_secret="y", by=owner)
    found = every_page(maya, "/panel/apps")

    assert set(found) == {app.name for app in runtime.current().catalog}
    assert found["Slack"] == "Ready, shared client"
    assert found["Notion"] == "Ready, own client"
    assert found["Airtable"] == "Needs a client"
    assert found[api_key_only.name] == "API key"


@pytest.mark.parametrize(
    ("query", "state"), [("ready", "Ready, shared client"), ("needs_client", "Needs a client"), ("api_key", "API key")]
)
def test_the_list_is_filtered(maya, query, state):
    assert set(every_page(maya, f"/panel/apps?state={query}").values()) == {state}


def test_the_list_is_searched_by_name_and_category(maya):
    assert set(states(maya.get("/panel/apps?q=slack"))) >= {"Slack"}
    assert "Xero" in states(maya.get("/panel/apps?q=FINANCE"))
    assert "No app fits" in maya.get("/panel/apps?q=<b>").text
    assert "<b>" not in maya.get("/panel/apps?q=<b>").text
    assert maya.get("/panel/apps?state=nonsense&after=nothing").status_code == 200


def test_the_list_costs_the_same_however_many_clients(maya, agency, owner):
    maya.get("/panel/apps")  # the first of a process asks whether it is set up
    costs = []
    for keys in (["notion"], ["airtable", "asana", "github"]):
        for key in keys:
            own_clients.draft(agency, key, by=owner)
        with counted() as statements:
            maya.get("/panel/apps")
        costs.append(len(statements))

    assert costs[0] == costs[1]


def test_setting_up_shows_the_redirect_address_before_it_asks_for_the_client(maya, agency):
    assert "Set up Notion" in maya.get("/panel/apps/notion").text
    answer = maya.post("/panel/apps/notion/set-up")

    assert answer.headers["Location"] == "/panel/apps/notion"
    soup = page(maya.get("/panel/apps/notion"))
    own = own_clients.find(agency, "notion")
    address = f"http://localhost/oauth/callback/{own.public_id}"
    assert one(soup, "h1").get_text(" ", strip=True).endswith("Set up Notion")
    assert one(soup, "#own-redirect").text == address
    assert one(soup, "#own-redirect-copy")["data-copy"] == address
    assert str(soup).index(address) < str(soup).index('id="client_id"')
    assert one(soup, ".gh-steps").select("li")


def test_saving_a_client_makes_the_app_ready_and_never_shows_the_secret(maya, agency):
    answer = saving(maya)

    assert answer.headers["Location"] == "/panel/apps/notion"
    shown = maya.get("/panel/apps/notion").text
    assert "Ready, own client" in shown
    assert "our-client" in shown
    assert SECRET not in shown
    assert oauth_clients.for_app(agency, "notion").client_secret.reveal() == SECRET


def test_replacing_a_client_wants_both_typed_anew(maya, agency):
    saving(maya)
    soup = page(maya.get("/panel/apps/notion"))
    assert (one(soup, "#client_id").get("value"), one(soup, "#client_secret").get("value")) == ("", None) or not one(
        soup, "#client_id"
    ).get("value")

    assert set(errors(saving(maya, client_secret=""))) == {"client_secret"}
    assert saving(maya, client_id="another").status_code == 303
    assert oauth_clients.for_app(agency, "notion").client_id == "another"


@pytest.mark.parametrize(
    ("changes", "at"),
    [
        ({"client_id": ""}, {"client_id"}),
        ({"client_id": "x" * 401}, {"client_id"}),
        ({"client_id": "our\x00client"}, {"client_id"}),
        ({"client_secret": ""}, {"client_secret"}),
        ({"client_secret": "sécret"}, {"client_secret"}),
        ({"client_secret": "x" * 2001}, {"client_secret"}),
    ],
)
def test_bad_input_is_told_at_its_field_and_the_secret_is_not_shown(maya, agency, changes, at):
    answer = saving(maya, **changes)

    assert set(errors(answer)) == at
    assert SECRET not in answer.text
    typed = ({"client_id": "our-client"} | changes)["client_id"]
    assert one(page(answer, 422), "#client_id").get("value", "") == typed or not typed.isprintable()
    assert oauth_clients.for_app(agency, "notion") is None


def test_a_shared_client_shows_its_redirect_address(maya):
    soup = page(maya.get("/panel/apps/slack"))

    assert one(soup, "#shared-redirect").text == "http://localhost/oauth/callback/shared-slack"
    assert "slack-client" not in str(soup)
    assert "slack-secret" not in str(soup)


def test_removing_ones_own_client_says_what_it_does_and_does_it(maya, agency):
    saving(maya)
    assert (
        "can't be asked for Notion until another client is set up"
        in page(maya.get("/panel/apps/notion/remove", htmx=True)).text
    )

    assert maya.post("/panel/apps/notion/remove", htmx=True).headers["HX-Redirect"] == "/panel/apps/notion"
    assert oauth_clients.for_app(agency, "notion") is None
    assert maya.post("/panel/apps/notion/remove", htmx=True).status_code == 409


def test_an_app_that_knows_keys_alone_says_so_and_takes_no_client(maya, api_key_only):
    soup = page(maya.get(f"/panel/apps/{api_key_only.key}"))

    assert "knows API keys only" in soup.text
    assert not soup.select("#client_id")
    assert maya.post(f"/panel/apps/{api_key_only.key}/set-up").status_code == 422
    assert saving(maya, api_key_only.key).status_code == 422


def test_an_unknown_app_is_not_there(maya):
    for answer in (
        maya.get("/panel/apps/nothing"),
        maya.post("/panel/apps/nothing/set-up"),
        maya.get("/panel/apps/nothing/remove"),
        saving(maya, "nothing"),
    ):
        assert answer.status_code == 404


def test_a_strangers_client_is_not_shown(maya, sam, stranger):
    saving(sam)

    assert "Needs a client" in maya.get("/panel/apps/notion").text
    assert not re.search(r"oauth/callback/[a-z0-9]{20}", maya.get("/panel/apps/notion").text)


def test_members_see_and_set_up_nothing(tom, maya):
    maya.post("/panel/apps/notion/set-up")
    soup = page(tom.get("/panel/apps/notion"))

    assert not soup.select("main form")
    assert not page(tom.get("/panel/apps")).select("tbody form")
