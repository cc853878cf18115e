"""A session of the portal: what its cookie is held to, how it is kept, how long it lasts, and that it can be ended."""

import secrets

import pytest
from sqlalchemy import select

from app.catalog import load
from app.extensions import db
from app.models import PortalCode, PortalSession
from app.services import portal_codes
from app.tenancy import across_tenants
from app.web.sessions import hash_of
from tests import factories
from tests.support.databases import migrate
from tests.support.forms import cookies_of, csrf_token
from tests.support.scenery import MEMBER, RECIPIENT, Scenery
from tests.support.shared_app import running

HTTPS = "https://access.northwind.example"
DOOR, HOME, SESSIONS = "/portal/login", "/portal/connections", "/portal/sessions"


def post(scenery, browser, path, *, url=factories.BASE_URL, **fields):
    """Send a form from a network of its own, so that no limit is in the way."""
    token = csrf_token(scenery.app, path, cookies_of(browser), url=url)
    place = f"2001:db8:{secrets.token_hex(2)}:{secrets.token_hex(2)}::1"
    data = {"csrf_token": token, **fields}
    headers = {"Referer": f"{url}{path}"}  # which a form on https needs
    return browser.post(path, base_url=url, data=data, headers=headers, environ_base={"REMOTE_ADDR": place})


def asked(scenery, browser, email, *, url=factories.BASE_URL):
    """Ask for a code; the code, and what the button's address ends in."""
    assert post(scenery, browser, DOOR, url=url, email=email).status_code == 303
    with scenery.app.app_context():
        latest = select(PortalCode).where(PortalCode.email == email).order_by(PortalCode.id.desc())
        row = db.session.scalars(latest).first()
        return portal_codes.code_of(row), portal_codes.button_of(row)


def sign_in(scenery, browser, email=RECIPIENT, *, how="code", url=factories.BASE_URL):
    code, button = asked(scenery, browser, email, url=url)
    if how == "button":
        return post(scenery, browser, f"/portal/enter/{button}", url=url)
    return post(scenery, browser, "/portal/code", url=url, code=code)


def session_id(browser):
    return browser.get_cookie("gh_portal").value


def is_in(browser, **headers):
    return browser.get(SESSIONS, headers=headers).status_code == 200


def stored(scenery):
    with scenery.app.app_context(), across_tenants("to look"):
        return [dict(row) for row in db.session.execute(select(PortalSession.__table__)).mappings()]


@pytest.fixture(scope="module")
def on_https(tmp_path_factory):
    folder = tmp_path_factory.mktemp("https")
    url = f"sqlite:///{folder / 'x.sqlite3'}"
    migrate(url, folder)
    with running(factories.config(folder, url, base_url=HTTPS), load(None)) as app:
        yield Scenery(app, None)


@pytest.mark.parametrize("how", ["code", "button"])
def test_row_37_the_portals_cookie_on_https_is_host_secure_and_out_of_scripts_reach(on_https, how):
    browser = on_https.app.test_client()
    opened = browser.get(DOOR, base_url=HTTPS)
    answers = [opened, sign_in(on_https, browser, how=how, url=HTTPS)]

    assert answers[1].status_code == 303
    for answer in answers:
        (cookie,) = [each for each in answer.headers.getlist("Set-Cookie") if "gh_portal" in each]
        name, *rules = cookie.split("; ")
        assert name.startswith("__Host-gh_portal=")
        assert {*rules} == {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"}, "and it ends with the browser"


def test_row_37_the_portals_cookie_on_loopback_is_without_the_prefix_alone(scenery, clock):
    cookie = scenery.app.test_client().get(DOOR).headers["Set-Cookie"]

    name, *rules = cookie.split("; ")
    assert name.startswith("gh_portal=")
    assert {*rules} == {"HttpOnly", "SameSite=Lax", "Path=/"}


def test_row_37_the_mark_of_a_known_browser_is_as_well_kept_and_is_no_session(on_https, clock):
    """It names nobody, lets nobody in, and holds no one's access."""
    browser = on_https.app.test_client()
    browser.get(DOOR, base_url=HTTPS)
    answer = sign_in(on_https, browser, url=HTTPS)

    (cookie,) = [each for each in answer.headers.getlist("Set-Cookie") if "gh_known" in each]
    name, *told = cookie.split("; ")
    assert name.startswith("__Host-gh_known=")
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(told)
    assert RECIPIENT.partition("@")[0] not in cookie
    thief = on_https.app.test_client()
    mark = cookies_of(browser)["__Host-gh_known"]
    thief.set_cookie("__Host-gh_known", mark, domain="access.northwind.example", secure=True)
    assert thief.get(SESSIONS, base_url=HTTPS).status_code == 303
    assert browser.get(SESSIONS, base_url=HTTPS).status_code == 200


def test_row_37_the_cookie_of_another_name_is_none_here(on_https):
    """Without the prefix, a neighbouring host could have set it."""
    browser = on_https.app.test_client()
    browser.get(DOOR, base_url=HTTPS)
    sign_in(on_https, browser, url=HTTPS)
    real = cookies_of(browser)["__Host-gh_portal"]
    other = on_https.app.test_client()
    for name in ("gh_portal", "__Host-gh_staff", "__Host-gh_intake"):
        other.set_cookie(name, real, domain="access.northwind.example", secure=True)

    assert browser.get(SESSIONS, base_url=HTTPS).status_code == 200
    assert other.get(SESSIONS, base_url=HTTPS).status_code == 303


@pytest.mark.parametrize("how", ["code", "button"])
def test_row_37_portal_ids_have_256_bits_are_stored_hashed_and_new_at_every_sign_in(scenery, clock, how):
    browser = scenery.nobody()
    planted = session_id(browser)
    assert sign_in(scenery, browser, how=how).status_code == 303
    first = session_id(browser)
    assert sign_in(scenery, browser, how=how).status_code == 303
    second = session_id(browser)

    assert len({planted, first, second}) == 3
    assert {len(each) * 6 // 8 * 8 for each in (first, second)} == {256}
    rows = stored(scenery)
    assert hash_of(second) in {row["id_hash"] for row in rows}
    assert not any(each in repr(rows) for each in (planted, first, second))
    for old in (planted, first):
        thief = scenery.app.test_client()
        thief.set_cookie("gh_portal", old)
        assert not is_in(thief), "an id from before the sign-in is worth nothing"


def test_row_37_the_id_that_asked_is_stored_hashed_too(scenery, clock):
    browser = scenery.nobody()
    asked(scenery, browser, MEMBER)

    with scenery.app.app_context():
        rows = [dict(row) for row in db.session.execute(select(PortalCode.__table__)).mappings()]
    assert hash_of(session_id(browser)) in {row["browser_hash"] for row in rows}
    assert session_id(browser) not in repr(rows)


def test_row_37_portal_sessions_end_after_half_an_hour_idle_and_twelve_at_most(scenery, clock):
    idle, busy = scenery.nobody(), scenery.nobody()
    sign_in(scenery, idle)
    clock.forward(minutes=29, seconds=59)
    assert is_in(idle)
    clock.forward(minutes=30)
    assert not is_in(idle)

    sign_in(scenery, busy, MEMBER)
    for _ in range(24):
        clock.forward(minutes=29, seconds=59)
        assert is_in(busy)
    clock.forward(seconds=24)
    assert not is_in(busy)


def test_row_37_polls_do_not_keep_a_portal_session_awake(scenery, clock):
    browser = scenery.nobody()
    sign_in(scenery, browser)
    polled = []
    for _ in range(4):
        clock.forward(minutes=9)
        answer = browser.get(f"{HOME}/outstanding", headers={"X-Poll": "1", "HX-Request": "true"})
        polled.append(answer.headers.get("HX-Redirect") is None)

    assert polled == [True, True, True, False]
    assert not is_in(browser)


def test_row_37_portal_sessions_end_on_the_server(scenery, clock):
    """By signing out, from another browser one by one, and everywhere at once."""
    first, second, third = (scenery.nobody() for _ in range(3))
    for browser in (first, second, third):
        sign_in(scenery, browser)
    ids = [session_id(browser) for browser in (first, second, third)]
    public = {row["id_hash"]: row["public_id"] for row in stored(scenery)}

    def alive():
        found = []
        for each in ids:
            again = scenery.app.test_client()
            again.set_cookie("gh_portal", each)
            found.append(is_in(again))
        return found

    assert alive() == [True, True, True]
    assert post(scenery, first, "/portal/sign-out").status_code == 303
    assert alive() == [False, True, True]
    assert post(scenery, second, f"{SESSIONS}/{public[hash_of(ids[2])]}/end").status_code == 303
    assert alive() == [False, True, False]
    sign_in(scenery, third)
    ids[2] = session_id(third)
    assert post(scenery, third, f"{SESSIONS}/end-all").status_code == 303
    assert alive() == [False, False, False]


def test_row_37_a_removed_member_is_out_of_the_portal_at_once(scenery, clock):
    browser = scenery.nobody()
    sign_in(scenery, browser, MEMBER)
    names, staff = scenery.ours.names, scenery.staff(scenery.ours)
    assert post(scenery, browser, f"/portal/workspaces/{names['workspace_id']}").status_code == 303
    assert browser.get(HOME).status_code == 200
    path = f"/panel/workspaces/{names['workspace_id']}/members/{names['member_id']}/remove"
    assert post(scenery, staff, path).status_code == 303

    assert browser.get(HOME).status_code == 303
    assert not is_in(browser), "not of this agency nor, with the same browser, of another"
