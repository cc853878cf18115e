"""Signing in and consenting, in the app's name."""

from __future__ import annotations

from flask import Blueprint, Response, abort, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app import clock
from app.catalog.protocol import OAuth2
from app.catalog.schema import App
from app.i18n import _
from app.sandbox import browser, callback, people
from app.sandbox.clients import client
from app.sandbox.grants import Ask, Refusal
from app.sandbox.provider import current, oauth_app
from app.web.security import CSP

bp = Blueprint("consent", __name__)

# What signing in itself is made of: no consent screen lets a person leave it out.
FIXED = frozenset({"openid", "profile", "email", "offline_access"})


@bp.after_request
def allow_the_way_back(response: Response) -> Response:
    """Let the form lead to the client: browsers hold redirects after a POST against `form-action`."""
    response.headers["Content-Security-Policy"] = CSP.replace(
        "form-action 'self'", f"form-action 'self' {current().panel_url}"
    )
    return response


@bp.get("/<key>/ask/<ask_id>")
def start(key: str, ask_id: str) -> ResponseReturnValue:
    """Lead to the consent screen whoever is signed in, the others to signing in."""
    asked, known = _asked(key, ask_id), browser.accounts()
    step = ".choose" if asked is None or asked.choose or not known else ".show"
    return redirect(url_for(step, key=key, ask_id=ask_id), 303)


@bp.get("/<key>/ask/<ask_id>/account")
def choose(key: str, ask_id: str) -> ResponseReturnValue:
    """Ask who it is."""
    return _sign_in_page(key, ask_id)


@bp.post("/<key>/ask/<ask_id>/account")
def sign_in(key: str, ask_id: str) -> ResponseReturnValue:
    """Sign in by address alone."""
    typed = request.form.get("email", "")
    email = people.address(typed)
    if _asked(key, ask_id) is None or email is None:
        error = _("This is no e-mail address. Write it like name@company.example.")
        return _sign_in_page(key, ask_id, typed=typed, error=error)
    answer = make_response(redirect(url_for(".show", key=key, ask_id=ask_id), 303))
    browser.sign_in(answer, email)
    return answer


@bp.get("/<key>/ask/<ask_id>/consent")
def show(key: str, ask_id: str) -> ResponseReturnValue:
    """Ask what the client may do."""
    return _consent_page(key, ask_id)


@bp.post("/<key>/ask/<ask_id>/consent")
def answer(key: str, ask_id: str) -> ResponseReturnValue:
    """Take the answer and return to the client."""
    app, ways = oauth_app(key)
    asked, email = _asked(key, ask_id), browser.account()
    if asked is None or email is None:
        return redirect(url_for(".start", key=key, ask_id=ask_id), 303)
    if "deny" in request.form:
        current().store.drop(asked)
        return callback.back_with_error(app, ways, asked.redirect_uri, asked.state, Refusal("access_denied"))
    ticked = set(request.form.getlist("scope")) | FIXED
    granted = tuple(scope for scope in asked.scopes if scope in ticked)
    if asked.scopes and not set(granted) - FIXED and set(asked.scopes) - FIXED:
        return _consent_page(key, ask_id, error=_("Tick at least one permission, or choose Deny."))
    return _approve(app, ways, asked, email, granted)


def _approve(app: App, ways: OAuth2, asked: Ask, email: str, granted: tuple[str, ...]) -> ResponseReturnValue:
    values = callback.kept(app, email, asked.fields)
    try:
        code = current().store.approve(asked, email, granted, kept=values, adds_up=ways.incremental, at=clock.now())
    except Refusal:
        return redirect(url_for(".start", key=app.key, ask_id=asked.id), 303)
    return callback.back_with_code(app, ways, asked, code, values)


def _asked(key: str, ask_id: str) -> Ask | None:
    oauth_app(key)
    found = current().store.ask(ask_id, clock.now())
    return found if found and found.app == key else None


def _sign_in_page(key: str, ask_id: str, *, typed: str = "", error: str = "") -> ResponseReturnValue:
    app, _ways = oauth_app(key)
    asked = _asked(key, ask_id)
    if asked is None:
        return _over(app)
    page = render_template(
        "sandbox/sign_in.html",
        app=app,
        ask=asked,
        client=client(app, asked.client_id),
        known=[people.person(email) for email in browser.accounts()],
        examples=people.EXAMPLES,
        typed=typed or asked.hint,
        error=error,
    )
    return page, 422 if error else 200


def _consent_page(key: str, ask_id: str, *, error: str = "") -> ResponseReturnValue:
    app, _ways = oauth_app(key)
    asked, email = _asked(key, ask_id), browser.account()
    if asked is None:
        return _over(app)
    if email is None:
        return redirect(url_for(".choose", key=key, ask_id=ask_id), 303)
    permissions = [{"scope": scope, "label": app.scope_label(scope)} for scope in asked.scopes]
    page = render_template(
        "sandbox/consent.html",
        app=app,
        ask=asked,
        client=client(app, asked.client_id) or abort(404),
        person=people.person(email),
        fixed=[permission for permission in permissions if permission["scope"] in FIXED],
        scopes=[permission for permission in permissions if permission["scope"] not in FIXED],
        error=error,
    )
    return page, 422 if error else 200


def _over(app: App) -> ResponseReturnValue:
    return render_template("sandbox/over.html", app=app), 410
