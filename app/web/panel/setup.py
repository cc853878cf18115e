"""The first run: whatever is asked of an empty installation leads to the set-up page."""

from dataclasses import fields

from flask import Blueprint, Response, current_app, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue

from app import runtime
from app.errors import RateLimited, Refused
from app.i18n import _
from app.mailer import trial
from app.services import addresses, deliveries, setup
from app.services.agencies import NewAgency
from app.services.claims import Failed
from app.services.deliveries import REASONS
from app.web.htmx import fragment, is_htmx
from app.web.panel.access import enter
from app.web.panel.forms import SetUpForm
from app.web.panel.navigation import start_url

first_run = Blueprint("setup", __name__)
STANDING = frozenset({"setup", "static", "healthz", "readyz", "metrics", "l"})  # the vague page is always the same
DONE = "gatehouse_is_set_up"


@first_run.before_app_request
def lead_to_set_up() -> ResponseReturnValue | None:
    if request.path.split("/")[1] in STANDING or _is_done():
        return None
    return redirect(url_for("setup.show_set_up"), 303)


def _is_done() -> bool:
    """Whether there is an agency: asked of the database until there is one, as none is ever deleted."""
    if DONE not in current_app.extensions and not setup.is_needed():
        current_app.extensions[DONE] = True
    return DONE in current_app.extensions


@first_run.get("/")
def start() -> ResponseReturnValue:
    return redirect(start_url(), 303)


@first_run.get("/setup")
def show_set_up() -> ResponseReturnValue:
    return redirect(start_url(), 303) if _is_done() else _page(SetUpForm(), 200)


@first_run.post("/setup")
def create_agency() -> ResponseReturnValue:
    if _is_done():
        return redirect(start_url(), 303)
    form = SetUpForm()
    form.validate()
    if not _code_is_right(form) or form.errors:
        return _page(form, form.status)
    proven = form.gives(lambda: setup.create(_typed(form)))
    if proven is None:
        return _page(form, form.status)
    enter(proven)
    return redirect(start_url(), 303)


@first_run.post("/setup/test-mail")
def send_test_mail() -> ResponseReturnValue:
    """Send a mail to the owner-to-be before anything is stored; the code guards it, as it does the rest."""
    if _is_done():
        return redirect(start_url(), 303)
    form = SetUpForm()
    form.validate()
    for name in ("name", "owner_name", "password", "support_email"):
        form[name].errors = []
    failed = _trial(form) if _code_is_right(form) else _problem(form)
    status = 422 if failed else 200
    outcome = {"failed": failed, "sent": None if failed else _taken(form.owner_email.data)}
    if is_htmx():
        return fragment("panel/setup/_test_mail.html", status=status, form=form, is_fragment=True, **outcome)
    return _page(form, status, **outcome)


def _taken(address: str) -> str:
    if runtime.current().config.demo:
        return _("Written to the folder that the demo keeps its mail in")
    return _("Taken by the mail server, look in %(address)s", address=address)


def _problem(form: SetUpForm) -> str:
    wrong = (
        field.errors[0] for field in (form.code, form.owner_email, form.sender_address) if field.data and field.errors
    )
    return str(next(wrong, None) or next(iter(form.form_errors), _("Fill in the code and your e-mail address first.")))


def _trial(form: SetUpForm) -> str | None:
    try:
        trial.send(recipient=addresses.normalise(form.owner_email.data), sender=form.sender_address.data or None)
    except Failed as failure:
        return str(REASONS.get(failure.error, REASONS["internal"]))
    return None


def _code_is_right(form: SetUpForm) -> bool:
    """Check the code whatever else is wrong, so that everything is said at once; every check counts as a try."""
    try:
        if form.code.data:
            setup.verify(form.code.data)
    except Refused as refused:
        form.blame(refused)
    except RateLimited as limited:
        form.limit(limited)
    return not form.errors


def _typed(form: SetUpForm) -> NewAgency:
    return NewAgency(**{each.name: form.data[each.name] or "" for each in fields(NewAgency)})


def _page(form: SetUpForm, status: int, **outcome: object) -> Response:
    smtp = runtime.current().config.smtp
    page = render_template(
        "panel/setup/index.html",
        form=form,
        mail_server=smtp.host if smtp else None,
        mail_is_set_up=deliveries.mail_is_set_up(),
        **outcome,
    )
    return make_response(page, status, form.headers)
