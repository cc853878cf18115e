"""Every address, asked for with what is somebody else's: of another agency, of another workspace, of another recipient.

The answer has the very bytes of one for an id that nobody has, and no row changes. A new address joins by itself; one
with a new kind of id has to be given a place here first.
"""

import itertools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.routing import Map, Rule
from werkzeug.test import TestResponse

from app.catalog import load
from app.errors import NotFound
from app.extensions import db
from app.models import Agency, AuditEvent, ConnectionRequest
from app.services import connection_requests, handovers, paging
from app.tenancy import across_tenants
from tests.support.scenery import unknown
from tests.support.shared_app import on_postgres, on_sqlite
from tests.support.tenants import PORTAL, ROLES, Tenants

OWNED = {
    *("workspace_id", "member_id", "workflow_id", "node_id", "slot_id", "request_id", "connection_id"),
    *("person_id", "bundle_id", "client_key", "session_id"),
}
PUBLIC = {
    "app_key": "the catalog is the same for all, and what an agency made of an app is found by the agency",
    "agency_slug": "it stands on the door of the portal",
    "name": "the style sheet of a colour",
    "digest": "a logo, by its content",
    "button": "a sign-in, for the one browser that asked for it",
    "token": "a link: to hold it is the right; rows 1 to 12",
}
CLIENTS = ("client", *PORTAL)
CURSOR = re.compile(r'"((?:[a-z]+-)?(?:after|before))"')
FORM_MARK = re.compile(r'value="[^"]*"')  # of a form, made anew each time
NOWHERE = {name: unknown(name) for name in OWNED | {"connection"}}
FORM = {  # what the forms at these addresses would be satisfied with
    "name": "Zoe",
    "email": "zoe@harbordental.example",
    "recipient": "sam@cobalt-it.example",
    "role": "member",
    "source": "agency",
    "confirmed": "y",
    "action": "find_user",
    "connection": NOWHERE["connection"],
    handovers.FIELD: "sam@harbordental.example",
}


# ── The setting ─────────────────────────────────────────────────────────────


@pytest.fixture(scope="module")
def tenants_on_sqlite(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tenants]:
    with on_sqlite(sqlite_template, tmp_path_factory.mktemp("tenants"), load(None)) as app:
        yield Tenants(app)


@pytest.fixture(scope="module")
def tenants_on_postgres(
    postgres_url: str, postgres_template: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Tenants]:
    with on_postgres(postgres_url, postgres_template, tmp_path_factory.mktemp("tenants"), load(None)) as app:
        yield Tenants(app)


@pytest.fixture
def tenants(database_kind: str, request: pytest.FixtureRequest) -> Tenants:
    found: Tenants = request.getfixturevalue(f"tenants_on_{database_kind}")
    return found


# ── The walk ────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Case:
    """One address with what is foreign in some of its places, and the same with what is nobody's there."""

    rule: Rule
    method: str
    places: tuple[str, ...]
    foreign: dict[str, str]
    asked: str
    unknown: str

    @property
    def surface(self) -> str:
        return self.rule.endpoint.partition(".")[0]

    def hidden(self, text: str) -> str:
        """A text but for the ids, which the way to the sign-in page repeats."""
        for place in self.places:
            text = text.replace(self.foreign[place], "…").replace(NOWHERE[place], "…")
        return text


def undecided(addresses: Map) -> set[str]:
    """The kinds of ids in addresses of which it is not said whose they are."""
    return {place for rule in addresses.iter_rules() for place in rule.arguments} - OWNED - set(PUBLIC)


def cases(app: Flask, own: dict[str, str], foreign: dict[str, str], *, may_be_all: bool) -> Iterator[Case]:
    """Every address and method, with the foreign id in every set of its places; `may_be_all`: also in all at once."""
    for rule in app.url_map.iter_rules():
        places = sorted(rule.arguments & OWNED)
        public = {name: own[name] for name in rule.arguments - OWNED}
        for count in range(1, len(places) + may_be_all):
            for chosen in itertools.combinations(places, count):
                if not set(chosen) <= set(foreign):
                    continue
                kept = public | {name: own[name] for name in set(places) - set(chosen)}
                _, asked = rule.build(kept | {name: foreign[name] for name in chosen})
                _, nowhere = rule.build(kept | {name: NOWHERE[name] for name in chosen})
                for method in sorted((rule.methods or set()) - {"OPTIONS"}):
                    yield Case(rule, method, chosen, foreign, asked, nowhere)


def told_apart(
    tenants: Tenants, role: str, every: Iterable[Case], headers: dict[str, str] | None = None
) -> tuple[int, list[str]]:
    """How many cases were asked, and those not answered as an unknown id is, byte for byte, or by anything but “not there”."""
    browser, count, found = tenants.visitor(role), 0, []
    for case in every:
        status, *told = _ask(tenants, browser, case, case.asked, headers or {})
        home = {"client": "client"} | dict.fromkeys(PORTAL, "portal")
        is_theirs = case.surface == home.get(role, "panel")  # elsewhere the visitor is anonymous
        expected = (403, 404) if role == "member" else (404,)
        if [status, *told] != _ask(tenants, browser, case, case.unknown, headers or {}) or (
            is_theirs and status not in expected
        ):
            found.append(f"{role}: {case.method} {case.rule.rule} with foreign {', '.join(case.places)}: {status}")
        count += 1
    return count, found


def _ask(tenants: Tenants, browser: FlaskClient, case: Case, path: str, headers: dict[str, str]) -> list[object]:
    answer = asked(tenants, browser, case.method, path, headers=headers)
    told = [(name, value) for name, value in answer.headers if name != "Date"]
    if {"Location", "HX-Redirect"} & set(answer.headers.keys()):
        told = [(name, case.hidden(value)) for name, value in told if name != "Content-Length"]
        return [answer.status_code, sorted(told), case.hidden(answer.text)]
    is_vague = (
        answer.headers.get("HX-Refresh") == "true"
    )  # an open page of a client loads anew, and shows the vague one
    return [404 if is_vague else answer.status_code, sorted(told), answer.data]


def asked(tenants: Tenants, browser: FlaskClient, method: str, path: str, *, headers=None, **more: str) -> TestResponse:
    """Ask as a page of ours would, with a form that is in order."""
    data = {} if method in ("GET", "HEAD") else {"csrf_token": tenants.csrf(browser, path), **FORM, **more}
    return browser.open(path, method=method, data=data, headers=headers or {})


def walks(tenants: Tenants, *, full: bool) -> Iterator[tuple[str, Iterable[Case]]]:
    """Who asks for what: staff of ours for another agency's and mixed workspaces', a client for what is not in their bundle."""
    app, ours, theirs = tenants.app, tenants.ours.names, tenants.theirs.names
    for role in ROLES if full else ("owner",):
        yield role, cases(app, ours, theirs, may_be_all=True)
        yield role, cases(app, ours, tenants.beside, may_be_all=False)
    for foreign in (theirs, tenants.beside, tenants.next_door):
        foreign = {name: value for name, value in foreign.items() if value != ours.get(name)}  # noqa: PLW2901
        every = list(cases(app, ours, foreign, may_be_all=True))
        for role in CLIENTS:
            surface = "client" if role == "client" else "portal"
            yield role, every if full else [case for case in every if case.surface == surface]


@pytest.mark.both_databases
def test_row_46_a_foreign_id_in_any_place_of_any_address_answers_as_an_unknown_one(
    tenants, clock, proof, database_kind
):
    """Every address of the installation, with ids of another agency, of another workspace and of another recipient in every set of its places, as owner, admin, member, client and visitor of the portal: the answer has the bytes of one for an id that nobody has, and no row changes."""
    before, count, apart = tenants.everything(), 0, []
    for headers in ({}, {"HX-Request": "true"}, {"Accept": "application/json"}) if proof.full else ({},):
        for role, every in walks(tenants, full=proof.full):
            if database_kind == "postgres" and not proof.full:  # where the look-ups are the same but for the database
                every = (case for case in every if proof.random.random() < 1 / 3)  # noqa: PLW2901
            asked, found = told_apart(tenants, role, every, headers)
            count, apart = count + asked, apart + found

    assert apart == []
    assert count > 100
    assert tenants.everything() == before
    proof.title = f"Tenants: foreign ids, on {database_kind}"
    proof.figure("addresses", len(list(tenants.app.url_map.iter_rules())))
    proof.figure("questions with a foreign id, each beside an unknown one", count)
    proof.figure("told apart", len(apart))


def test_row_46_every_id_in_an_address_is_known_to_be_owned_or_public(tenants):
    assert undecided(tenants.app.url_map) == set()
    assert {place for rule in tenants.app.url_map.iter_rules() for place in rule.arguments} >= OWNED - {"token"}


# ── What stands in forms and queries ────────────────────────────────────────


@pytest.mark.both_databases
@pytest.mark.parametrize("whose", ["of another agency", "of another workspace"])
def test_row_46_a_foreign_connection_in_a_form_is_unknown(tenants, clock, whose):
    """Staff fill a slot, a client a request, with an account that is none of that workspace's, or of that person's."""
    names = tenants.ours.names
    request = f"/connect/{names['bundle_id']}/requests/{names['request_id']}"
    before = tenants.everything()

    for role, path, status in (
        ("owner", f"/panel/workspaces/{tenants.spare_slot}/account", 404),
        ("client", f"{request}/use", 422),
    ):
        browser = tenants.visitor(role)
        whom = [whose, "of another recipient"] if role == "client" else [whose]
        for each in whom:
            foreign, nobody = (
                asked(tenants, browser, "POST", path, connection=tenants.connections[of]) for of in (each, "of nobody")
            )
            assert foreign.status_code == nobody.status_code == status, (role, each)
            assert (foreign.data, [*foreign.headers]) == (nobody.data, [*nobody.headers]), (role, each)
    assert tenants.everything() == before


@pytest.mark.both_databases
def test_row_46_what_is_ones_own_is_accepted_by_the_same_forms(tenants, clock):
    """Else the refusals would prove little: a connection of the workspace for staff, one of their own for its recipient."""
    names, recipient = tenants.next_door, tenants.app.test_client()
    assert recipient.get(f"/l/{names['token']}").status_code == 303
    slot = f"/panel/workspaces/{tenants.spare_slot}/account"
    request = f"/connect/{names['bundle_id']}/requests/{names['request_id']}/use"

    for browser, path in ((tenants.visitor("owner"), slot), (recipient, request)):
        assert asked(tenants, browser, "POST", path, connection=names["connection"]).status_code == 303, path


@pytest.mark.both_databases
def test_row_46_a_foreign_id_in_a_query_is_unknown(tenants, clock):
    """Where a list goes on, and what is hinted of an address: nothing of another agency moves either."""
    browser, ours, theirs = tenants.visitor("owner"), tenants.ours.names, tenants.theirs.names
    workspace = f"/panel/workspaces/{ours['workspace_id']}"
    lists = {
        "/panel/workspaces": ("after", "before", "workspace_id"),
        workspace: ("workflows-after", "workflows-before", "workflow_id"),
        f"{workspace}?": ("members-after", "members-before", "member_id"),
        "/panel/people": ("after", "before", "person_id"),
        "/panel/attention/requests": ("after", "before", "request_id"),
        "/panel/connections": ("after", "before", "connection_id"),
        "/panel/connections?": ("workspace", "workspace", "workspace_id"),
    }
    for path, (after, before, name) in lists.items():
        for way in (after, before):
            foreign, nobody = (
                browser.get(path, query_string={way: value}).data for value in (theirs[name], NOWHERE[name])
            )
            assert foreign.replace(theirs[name].encode(), b"") == nobody.replace(NOWHERE[name].encode(), b""), path
    hints = [
        browser.get(f"{workspace}/recipient", query_string={"recipient": address}).text.replace(address, "…")
        for address in ("member-beside@cobalt-it.example", "zoe@foreign.example", "nobody@nowhere.example")
    ]
    assert len(set(hints)) == 1


# ── Where a list goes on ────────────────────────────────────────────────────


def cursors() -> list[str]:
    """The names under which an address says where a list goes on, as views read and templates write them."""
    sources = [*Path("app/web").rglob("*.py"), *Path("templates").rglob("*.html")]
    named = {name for each in sources for name in CURSOR.findall(each.read_text())}
    return sorted(named, key=lambda name: (name.endswith("before"), name))


def moved_by(tenants: Tenants, role: str, every: Iterable[dict[str, str]]) -> tuple[int, list[str]]:
    """How often a page was asked for from a foreign row on, and what was shown otherwise than from a row that never was.

    All lists of a page are asked at once, as a view reads no name but its own.
    """
    surface, count, moved = "portal" if role in PORTAL else "panel", 0, []
    browser, names = tenants.visitor(role), cursors()
    rules = [rule for rule in tenants.app.url_map.iter_rules() if rule.endpoint.startswith(f"{surface}.")]
    ids = sorted({item for foreign in every for item in foreign.items()})
    for rule in rules:
        if "GET" not in (rule.methods or ()) or rule.endpoint.endswith("static"):
            continue
        _, path = rule.build({name: tenants.ours.names[name] for name in rule.arguments})
        for way in ("after", "before"):
            here = [name for name in names if name.endswith(way)]

            def shown(value: str, here: list[str] = here, path: str = path) -> tuple[int, str]:
                answer = browser.get(path, query_string=dict.fromkeys(here, value))
                return answer.status_code, FORM_MARK.sub("", answer.text).replace(value, "…")

            if shown("")[0] != 200:  # and what was to be told on the next page is told
                continue
            nobody = shown(unknown("id"))
            for kind, value in ids:
                count += 1
                if shown(value) != nobody:
                    moved.append(f"{role}: {rule.rule} {way} a foreign {kind}")
    return count, moved


def foreign_rows(tenants: Tenants, role: str) -> list[dict[str, str]]:
    """What is not for somebody to see: of another agency; for clients also of another workspace and of another recipient."""
    with tenants.app.app_context(), across_tenants("a test's eye"):
        told = select(AuditEvent.public_id).where(AuditEvent.agency_id == tenants.theirs.agency_id)
        event = db.session.scalars(told.order_by(AuditEvent.id.desc()).limit(1)).one()
        db.session.remove()
    theirs = {**tenants.theirs.names, "connection": tenants.connections["of another agency"], "event": event}
    mine = set(tenants.ours.names.values())
    every = [theirs, tenants.beside, tenants.next_door] if role in PORTAL else [theirs]
    kinds = OWNED | {"connection", "event"}
    return [{kind: value for kind, value in each.items() if kind in kinds and value not in mine} for each in every]


@pytest.mark.parametrize("role", ["owner", *PORTAL])
def test_row_46_no_list_goes_on_from_a_row_that_it_does_not_have(tenants, clock, role):
    """Whether something is there, and from when, would be told by a page that begins elsewhere for it than for nothing."""
    count, moved = moved_by(tenants, role, foreign_rows(tenants, role))

    assert moved == []
    assert count > 100


# ── It would be noticed ─────────────────────────────────────────────────────


def of_requests(tenants: Tenants) -> Iterator[Case]:
    every = cases(tenants.app, tenants.ours.names, tenants.theirs.names, may_be_all=True)
    return (case for case in every if case.rule.rule == "/panel/requests/<request_id>/cancel")


def test_row_46_a_look_up_by_the_id_alone_would_be_noticed(tenants, monkeypatch):
    def careless(_agency: Agency, public_id: str) -> ConnectionRequest:
        with across_tenants("a test's carelessness"):
            found = db.session.scalar(select(ConnectionRequest).where(ConnectionRequest.public_id == public_id))
        if found is None:
            raise NotFound
        return found

    assert told_apart(tenants, "owner", of_requests(tenants)) == (3, [])
    monkeypatch.setattr(connection_requests, "get", careless)
    tenants.app.config["PROPAGATE_EXCEPTIONS"] = False

    assert len(told_apart(tenants, "owner", of_requests(tenants))[1]) == 3


def test_row_46_a_refusal_that_names_the_cause_would_be_noticed(tenants, monkeypatch):
    known = tenants.theirs.names["request_id"]
    careful = connection_requests.get

    def telling(agency: Agency, public_id: str) -> ConnectionRequest:
        if public_id == known:
            raise connection_requests.Conflict("This request is somebody else's.")
        return careful(agency, public_id)

    monkeypatch.setattr(connection_requests, "get", telling)

    assert len(told_apart(tenants, "owner", of_requests(tenants))[1]) == 3


def test_row_46_a_list_that_goes_on_from_any_row_would_be_noticed(tenants, clock, monkeypatch):
    def careless(statement, moment, public_id):
        model = moment.class_
        return db.session.execute(select(moment, model.id).where(model.public_id == public_id)).first()

    monkeypatch.setattr(paging, "_row", careless)

    moved = moved_by(tenants, "portal", foreign_rows(tenants, "portal"))[1]
    assert {each.partition(" ")[2] for each in moved} >= {
        "/portal/workspaces after a foreign workspace_id",
        "/portal/connections after a foreign connection_id",
    }


def test_row_46_an_address_with_a_new_kind_of_id_would_be_noticed():
    assert undecided(Map([Rule("/panel/things/<thing_id>/<workspace_id>", endpoint="panel.show_thing")])) == {
        "thing_id"
    }
