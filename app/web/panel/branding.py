"""`/panel/branding`: the agency's look, and how a change of it would be."""

from typing import Any

from flask import Response, g, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import FileStorage

from app import runtime
from app.i18n import _
from app.mailer import bundle_sent, transports
from app.services import branding, colours, samples
from app.services.branding import Look
from app.web.htmx import fragment
from app.web.panel import bp
from app.web.panel.access import for_managers
from app.web.panel.forms import BrandingForm
from app.web.panel.looks import shown, tried
from app.web.security import CSP
from app.web.toasts import toast

FRAMING_CSP = f"{CSP}; frame-src 'self'"  # for the previews: no other page of ours lets itself be framed


@bp.get("/branding")
@for_managers
def show_branding() -> ResponseReturnValue:
    return _page(BrandingForm(formdata=None, obj=g.agency), 200)


@bp.post("/branding")
@for_managers
def save_branding() -> ResponseReturnValue:
    form = BrandingForm()
    if not form.does(lambda: _save(form)):
        return _page(form, form.status)
    toast(_("Saved the branding"))
    return redirect(url_for("panel.show_branding"), 303)


@bp.post("/branding/preview")
@for_managers
def try_branding() -> ResponseReturnValue:
    """Take what is typed for the preview; what can't be accepted is said at its field, and what was shown stays."""
    form = BrandingForm()
    form.validate()
    before = shown()
    look = tried(form, before, is_new_logo="logo_changed" in request.form)
    around = _around(look) | {"is_fragment": True, "is_new_accent": look.accent != before.accent}
    return fragment("panel/branding/_tried.html", status=422 if form.errors else 200, form=form, **around)


def _save(form: BrandingForm) -> None:
    upload = form.logo.data
    branding.save(
        g.agency,
        name=form.name.data,
        sender_name=form.sender_name.data,
        support_email=form.support_email.data,
        sender_address=form.sender_address.data,
        accent=form.accent.data,
        timezone=form.timezone.data,
        logo=upload.read() if isinstance(upload, FileStorage) and upload.filename else None,
        remove_logo=form.remove_logo.data,
        hands_over=form.hands_over.data,
        by=g.staff,
    )


def _page(form: BrandingForm, status: int) -> Response:
    """The whole page; after a refusal with the look of what could be accepted, less the file, which a browser lets go of."""
    look = tried(form, branding.look_of(g.agency), is_new_logo=False)
    page = render_template("panel/branding/index.html", form=form, saved=branding.logo_url(g.agency), **_around(look))
    response = make_response(page, status)
    response.headers["Content-Security-Policy"] = FRAMING_CSP
    return response


def _around(look: Look) -> dict[str, Any]:
    """What is said about a look, and the address of its sheet."""
    sender = look.sender_address or transports.sender(runtime.current().config)
    return {
        "look": look,
        "contrasts": colours.contrasts(look.accent),
        "explanations": colours.explanations(look.accent),
        "sheet_url": branding.sheet_url(look),
        "subject": bundle_sent.subject_of(look.name, samples.app_names()),
        "sender": sender,
    }
