"""The sandbox's own page: who gave what lately, and the switches to misbehave."""

from __future__ import annotations

from collections.abc import Mapping

from flask import Blueprint, abort, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app import clock
from app.i18n import _
from app.sandbox import browser
from app.sandbox.clients import clients_of
from app.sandbox.grants import Grant, Status
from app.sandbox.policy import Policy
from app.sandbox.provider import current, oauth_app
from app.sandbox.switches import SECONDS, Mode

bp = Blueprint("control", __name__)

SHOWN = 12


def mode_names() -> dict[Mode, str]:
    """Return what the modes are called."""
    return {
        Mode.NORMAL: _("Normal"),
        Mode.ERROR_PAGE: _("Error page in place of the consent screen"),
        Mode.ERROR_BACK: _("Sends people back with an error"),
        Mode.SERVER_ERROR: _("Server error (500)"),
        Mode.SLOW: _("Slow, by these seconds"),
        Mode.GARBAGE: _("Garbage in place of answers"),
        Mode.RATE_LIMITED: _("Too many calls (429), for these seconds"),
        Mode.DENY_REFRESH: _("Denies every refresh"),
    }


@bp.get("/")
def show() -> ResponseReturnValue:
    """Show all apps."""
    here = current()
    apps = [(app, here.switches.get(app.key), clients_of(app)) for app in here.catalog if app.oauth2]
    return render_template(
        "sandbox/control.html",
        apps=apps,
        misbehaving=len(here.switches.all_set()),
        modes=mode_names(),
        seconds=SECONDS,
        grants=[_row(grant) for grant in here.store.recent(SHOWN)],
        accounts=browser.accounts(),
        panel_url=here.panel_url,
    )


@bp.post("/_/apps/<key>/switch")
def switch(key: str) -> ResponseReturnValue:
    """Set how one app behaves."""
    app, _ways = oauth_app(key)
    try:
        mode, seconds = Mode(request.form.get("mode", "")), int(request.form.get("seconds") or 5)
    except ValueError:
        abort(400)
    current().switches.set(app.key, mode, seconds)
    return redirect(url_for(".show", _anchor=f"app-{key}"), 303)


@bp.post("/_/reset")
def reset() -> ResponseReturnValue:
    """Let all apps behave."""
    current().switches.reset()
    return redirect(url_for(".show"), 303)


@bp.post("/_/grants/<grant_id>/withdraw")
def withdraw(grant_id: str) -> ResponseReturnValue:
    """Take access back, as in an app's own settings."""
    current().store.withdraw(grant_id)
    return redirect(url_for(".show"), 303)


@bp.post("/_/sign-out")
def sign_out() -> ResponseReturnValue:
    """Forget who is signed in."""
    answer = make_response(redirect(url_for(".show"), 303))
    browser.sign_out(answer)
    return answer


def _row(grant: Grant) -> Mapping[str, object]:
    app = current().catalog.find(grant.app)
    lives = app is not None and app.oauth2 is not None and Policy(app, app.oauth2).is_live(grant, clock.now())
    kinds = {
        Status.LIVE: ("connected", _("Live")) if lives else ("expired", _("Lapsed")),
        Status.REVOKED: ("revoked", _("Revoked by the client")),
        Status.WITHDRAWN: ("declined", _("Taken back here")),
        Status.REPLAYED: ("error", _("Ended: its code was used twice")),
    }
    kind, word = kinds[grant.status]
    return {"grant": grant, "app": app, "kind": kind, "word": word, "is_live": lives}
