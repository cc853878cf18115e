"""Signing in with a code by mail: the same pages and the same steps whether or not an address is known."""

from typing import Any

from flask import Response, g, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app import clock
from app.i18n import _
from app.models import Agency, PortalCode
from app.services import agencies, known_browsers, portal_codes, portal_failures, portal_sessions
from app.web import destinations
from app.web.afterwards import after_answer
from app.web.portal import arrival, bp
from app.web.portal.access import remember
from app.web.portal.forms import AddressForm, CodeForm
from app.web.sessions import current_session, get_cookie, set_cookie
from app.web.toasts import toast

KNOWN = "gh_known"  # in which browser somebody signed in before: no session, it lifts a limit and lets nobody in


@bp.get("/login", defaults={"agency_slug": None})
@bp.get("/login/<agency_slug>")
def sign_in(agency_slug: str | None) -> ResponseReturnValue:
    agency, browser = _agency(agency_slug), current_session()
    if not browser.is_new and arrival.is_in(browser.id_hash, agency):
        return redirect(arrival.wanted(), 303)
    return _ask(AddressForm(formdata=None), agency_slug)


@bp.post("/login", defaults={"agency_slug": None})
@bp.post("/login/<agency_slug>")
def ask_for_code(agency_slug: str | None) -> ResponseReturnValue:
    agency, browser, form = _agency(agency_slug), current_session(), AddressForm()
    agency_id, to = agency.id if agency else None, request.args.get("to")
    named = to if destinations.url_of(to) else None  # goes into the mail
    asked = form.does(
        lambda: portal_codes.ask(
            form.email.data,
            agency_id=agency_id,
            browser_hash=browser.id_hash,
            at=clock.now(),
            to=named,
            mark=get_cookie(KNOWN),
        )
    )
    if not asked:
        return _ask(form, agency_slug)
    if "again" in request.form:
        toast(
            _("You asked for a new code"), _("Type the one of the latest e-mail: an older one may not work any more.")
        )
    return redirect(url_for(".show_code", to=to), 303)


@bp.get("/code")
def show_code() -> ResponseReturnValue:
    browser = current_session()
    asked = portal_codes.waiting(browser.id_hash, at=clock.now())
    if asked is None and arrival.is_in(browser.id_hash):
        return redirect(arrival.wanted(), 303)
    return _code(asked, CodeForm(formdata=None)) if asked else _start_over(200)


@bp.post("/code")
def enter_code() -> ResponseReturnValue:
    browser, form, at = current_session(), CodeForm(), clock.now()
    used = form.gives(lambda: portal_codes.enter(form.code.data, browser_hash=browser.id_hash, at=at, missed=_missed))
    if used is not None:
        return _let_in(used)
    asked = portal_codes.waiting(browser.id_hash, at=at)
    return _code(asked, form) if asked else _start_over(form.status)


@bp.get("/enter/<button>")
def show_button(button: str) -> ResponseReturnValue:
    browser = current_session()
    asked = None if browser.is_new else portal_codes.pressable(browser.id_hash, button, at=clock.now())
    if asked is not None:
        return render_template(
            "portal/sign_in/button.html", button=button, email=asked.email, to=request.args.get("to")
        )
    return redirect(arrival.wanted(), 303) if arrival.is_in(browser.id_hash) else _not_here(200)


@bp.post("/enter/<button>")
def press_button(button: str) -> ResponseReturnValue:
    browser = current_session()
    used = portal_codes.press(button, browser_hash=browser.id_hash, at=clock.now())
    if used is not None:
        return _let_in(used)
    if arrival.is_in(browser.id_hash):
        return redirect(arrival.wanted(), 303)
    after_answer(lambda: portal_failures.note_button(button), else_log="portal.sign_in_failed was not recorded")
    return _not_here(422)


@bp.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    portal_sessions.end(g.guest)
    return left(_("You are signed out"))


def _missed(public_id: str) -> None:
    after_answer(lambda: portal_failures.note_code(public_id), else_log="portal.sign_in_failed was not recorded")


def left(said: str) -> Response:
    """Take the cookie back, and lead to the door through which this browser came in."""
    current_session().end()
    toast(said)
    return remember(make_response(redirect(door(g.get("agency")), 303)), is_in=False)


def door(agency: Any) -> str:
    """Where one signs in at an agency; where none is named, at any."""
    return url_for("portal.sign_in", agency_slug=agency.slug if agency else None)


def _let_in(used: PortalCode) -> Response:
    """Sign somebody in at this browser, under an id that nobody knew before."""
    browser = current_session()
    before = browser.id_hash
    browser.rotate()
    portal_sessions.start(
        used.email,
        agency_id=used.agency_id,
        id_hash=browser.id_hash,
        at=clock.now(),
        user_agent=request.headers.get("User-Agent", ""),
        replacing=before,
    )
    arrival.is_in(browser.id_hash)
    answer = remember(make_response(redirect(arrival.wanted(), 303)), is_in=True)
    set_cookie(answer, KNOWN, known_browsers.mark_of(used.email), max_age=int(known_browsers.KEPT.total_seconds()))
    return answer


def _agency(slug: str | None) -> Agency | None:
    """The agency whose door this is, in whose looks it is shown: the one that is named, or the only one there is."""
    g.agency = agencies.by_slug(slug) if slug else agencies.only_one()
    return g.agency  # type: ignore[no-any-return]


def _ask(form: AddressForm, slug: str | None) -> Response:
    """The door's page. A name that is no agency's is not repeated: the page may be compressed, beside the form's token."""
    if g.agency is None:
        slug = None
    page = render_template("portal/sign_in/index.html", form=form, agency_slug=slug, to=request.args.get("to"))
    return make_response(page, form.status if form.errors else 200, form.headers)


def _code(asked: PortalCode, form: CodeForm) -> Response:
    g.agency = agencies.of_id(asked.agency_id)
    page = render_template(
        "portal/sign_in/code.html", form=form, asked=asked, door=door(g.agency), to=request.args.get("to")
    )
    return make_response(page, form.status if form.errors else 200, form.headers)


def _start_over(status: int) -> Response:
    """The door again, with the address still there, and what became of the code."""
    last = portal_codes.last(current_session().id_hash)
    toast(_("This code is over"), _why_over(last), kind="error")
    if last is None:
        return redirect(url_for(".sign_in", to=request.args.get("to")), 303)  # type: ignore[return-value]
    g.agency = agencies.of_id(last.agency_id)
    form = AddressForm(formdata=None, email=last.email)
    slug = g.agency.slug if g.agency else None
    return make_response(
        render_template("portal/sign_in/index.html", form=form, agency_slug=slug, to=request.args.get("to")), status
    )


def _why_over(code: PortalCode | None) -> str:
    if code is not None and code.used_at is None and code.tries >= portal_codes.TRIES:
        return _("A wrong code was typed %(num)s times. Ask for a new one.", num=portal_codes.TRIES)
    if code is not None and code.used_at is None and code.expires_at <= clock.now():
        return _("It is older than ten minutes. Ask for a new one.")
    return _("It was used or replaced. Ask for a new one.")


def _not_here(status: int) -> Response:
    """One page for every button that can't be pressed here: another browser's, or one that is over."""
    return make_response(render_template("portal/sign_in/not_here.html"), status)
