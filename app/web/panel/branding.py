from dataclasses import dataclass

from flask import Response, g, make_response, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from werkzeug.datastructures import FileStorage

from app.errors import Refused
from app.i18n import _
from app.services import branding, colours
from app.web.htmx import fragment, no_content
from app.web.panel import bp
from app.web.panel.access import for_managers
from app.web.panel.forms import BrandingForm
from app.web.toasts import toast

COLOUR_CHANGED = "accent-changed"


@dataclass(frozen=True)
class Look:
    """A colour as the page shows it: adjusted, measured, and in a sheet that can be tried on."""

    accent: str

    @property
    def contrasts(self) -> list[colours.Contrast]:
        return colours.contrasts(self.accent)

    @property
    def explanations(self) -> list[str]:
        return colours.explanations(self.accent)

    @property
    def sheet_url(self) -> str:
        return url_for("brand.show_sheet", name=branding.sheet_name(self.accent))


@bp.get("/branding")
@for_managers
def show_branding() -> ResponseReturnValue:
    return _page(BrandingForm(formdata=None, obj=g.agency), 200)


@bp.post("/branding")
@for_managers
def save_branding() -> ResponseReturnValue:
    form = _offered(BrandingForm())
    if not form.does(lambda: _save(form)):
        return _page(form, form.status)
    toast(_("Saved the branding"))
    return redirect(url_for("panel.show_branding"), 303)


@bp.get("/branding/accent")
@for_managers
def try_accent() -> ResponseReturnValue:
    """Measure a colour that was picked or typed."""
    form = BrandingForm(formdata=None, accent=request.args.get("picked") or request.args.get("accent", ""))
    look = _look(form.accent.data)
    if look is None:
        form.accent.validate(form)
    else:
        form.accent.data = look.accent
    answer = fragment("panel/branding/_accent.html", form=form, look=look or _own_look(), status=200 if look else 422)
    if look:
        answer.headers["HX-Trigger-After-Swap"] = COLOUR_CHANGED
    return answer


@bp.get("/branding/preview")
@for_managers
def preview_branding() -> ResponseReturnValue:
    look = _look(request.args.get("accent", ""))
    return (
        fragment("panel/branding/_preview.html", look=look, logo_url=branding.logo_url(g.agency))
        if look
        else no_content()
    )


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


def _offered(form: BrandingForm) -> BrandingForm:
    form.timezone.choices = [(zone, zone.replace("_", " ")) for zone in branding.time_zones()]
    return form


def _look(text: str) -> Look | None:
    try:
        return Look(colours.parse(text))
    except Refused:
        return None


def _own_look() -> Look:
    return Look(g.agency.accent)


def _page(form: BrandingForm, status: int) -> Response:
    page = render_template(
        "panel/branding/index.html",
        form=_offered(form),
        look=_look(form.accent.data or "") or _own_look(),
        logo_url=branding.logo_url(g.agency),
    )
    return make_response(page, status)
