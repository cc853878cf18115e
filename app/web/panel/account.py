from flask import Response, g, make_response, redirect, render_template, url_for
from flask.typing import ResponseReturnValue

from app.i18n import _
from app.services import staff, staff_passwords, staff_sessions
from app.web.browsers import browser_name
from app.web.panel import bp
from app.web.panel.access import enter
from app.web.panel.forms import ChosenPasswordForm, NameForm, PasswordForm
from app.web.panel.navigation import start_url
from app.web.sessions import current_session
from app.web.toasts import toast


@bp.get("/account")
def show_account() -> ResponseReturnValue:
    return _page()


@bp.post("/account/name")
def rename_self() -> ResponseReturnValue:
    form = NameForm()
    if not form.does(lambda: staff.rename(g.staff, form.name.data)):
        return _page(name_form=form)
    toast(_("Saved your name"))
    return redirect(url_for("panel.show_account"), 303)


@bp.post("/account/password")
def change_password() -> ResponseReturnValue:
    form = PasswordForm()
    proven = form.gives(lambda: staff_passwords.change(g.staff, current=form.current.data, new=form.new.data))
    if proven is None:
        return _page(password_form=form)
    enter(proven)
    toast(_("Changed your password"), _("You are signed out everywhere else."))
    return redirect(url_for("panel.show_account"), 303)


@bp.post("/account/sign-out-everywhere")
def sign_out_everywhere() -> ResponseReturnValue:
    staff_sessions.end_all(g.staff)
    current_session().end()
    toast(_("You are signed out everywhere"))
    return redirect(url_for("panel.sign_in"), 303)


@bp.get("/choose-password")
def choose_password() -> ResponseReturnValue:
    return _choosing(ChosenPasswordForm(), 200)


@bp.post("/choose-password")
def save_chosen_password() -> ResponseReturnValue:
    form = ChosenPasswordForm()
    proven = form.gives(lambda: staff_passwords.choose_first(g.staff, form.new.data))
    if proven is None:
        return _choosing(form, form.status)
    enter(proven)
    toast(_("This is your password from now on"))
    return redirect(start_url(), 303)


def _choosing(form: ChosenPasswordForm, status: int) -> Response:
    return make_response(render_template("panel/account/choose_password.html", form=form), status)


def _page(name_form: NameForm | None = None, password_form: PasswordForm | None = None) -> Response:
    refused = name_form or password_form
    page = render_template(
        "panel/account/index.html",
        name_form=name_form or NameForm(formdata=None, name=g.staff.name),
        password_form=password_form or PasswordForm(formdata=None),
        sessions=staff_sessions.of(g.staff),
        this_session=current_session().id_hash,
        browser_name=browser_name,
    )
    return make_response(page, refused.status if refused else 200, refused.headers if refused else {})
