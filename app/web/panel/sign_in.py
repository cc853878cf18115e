from flask import Response, g, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app.i18n import _
from app.services import staff_sessions
from app.web import destinations
from app.web.panel import bp
from app.web.panel.access import enter
from app.web.panel.forms import SignInForm
from app.web.panel.navigation import start_url
from app.web.sessions import current_session
from app.web.toasts import toast


@bp.get("/sign-in")
def sign_in() -> ResponseReturnValue:
    browser = current_session()
    if not browser.is_new and staff_sessions.resume(browser.id_hash):
        return redirect(start_url(), 303)
    return _page(SignInForm(), 200)


@bp.post("/sign-in")
def submit_sign_in() -> ResponseReturnValue:
    form = SignInForm()
    proven = form.gives(lambda: staff_sessions.authenticate(form.email.data, form.password.data))
    if proven is None:
        return _page(form, form.status)
    enter(proven)
    return redirect(destinations.url_of(request.args.get("to")) or start_url(), 303)


@bp.post("/sign-out")
def sign_out() -> ResponseReturnValue:
    browser = current_session()
    staff_sessions.end(g.staff, browser.id_hash)
    browser.end()
    toast(_("You are signed out"))
    return redirect(url_for("panel.sign_in"), 303)


def _page(form: SignInForm, status: int) -> Response:
    page = render_template("panel/sign_in/index.html", form=form, to=request.args.get("to"))
    return make_response(page, status, form.headers)
