"""The previews of a branding: the client's page and the e-mail as they would be, with a sample in them, for a frame.

Nothing is kept of what they are asked for. Each has a policy of its own: no script runs there and no form is sent.
"""

import re

from flask import Response, g, make_response, render_template, request
from flask.typing import ResponseReturnValue

from app import clock, links
from app.mailer import bundle_sent
from app.services import branding, samples
from app.services.branding import Look
from app.web.look import Brand
from app.web.panel import bp
from app.web.panel.access import for_managers
from app.web.panel.looks import shown

AROUND = "base-uri 'none'; form-action 'none'; frame-ancestors 'self'; sandbox allow-same-origin"  # for its own styles
PAGE_CSP = f"default-src 'none'; style-src 'self'; img-src 'self' data:; {AROUND}"
MAIL_CSP = f"default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; {AROUND}"
DARK = "(prefers-color-scheme: dark)"


@bp.post("/branding/preview/page")
@for_managers
def preview_page() -> ResponseReturnValue:
    look, at = shown(), clock.now()
    cards = samples.cards()
    g.timezone = look.timezone
    return _framed(
        render_template(
            "panel/branding/page.html",
            scheme=_scheme(),
            brand=_brand(look),
            bundle=samples.bundle(person=g.staff.name, at=at),
            cards=cards,
            done=sum(card.is_connected for card in cards),
            is_open=True,
            waiting={},
            card_url=lambda _act, _request_id: "",
            take_toasts=list,  # those of the panel are not for the frame
        ),
        PAGE_CSP,
    )


@bp.post("/branding/preview/mail")
@for_managers
def preview_mail() -> ResponseReturnValue:
    look = shown()
    letter = samples.letter(look, person=g.staff.name, locale=g.agency.locale, at=clock.now())
    html = bundle_sent.html_of(letter, url=links.intake_url("sample"))
    return _framed(_as_looked_at(html, look, _scheme()), MAIL_CSP)


def _scheme() -> str:
    return "dark" if request.form.get("scheme") == "dark" else "light"


def _as_looked_at(html: str, look: Look, scheme: str) -> str:
    """The mail as a program in that scheme shows it, with the logo that it would bring along, and nothing to press."""
    html = html.replace(DARK, "all" if scheme == "dark" else "not all")
    html = html.replace('content="light dark"', f'content="{scheme}"')
    html = html.replace("cid:logo", look.logo_url or "")
    return re.sub(r"<body\b", "<body inert", html, count=1)


def _brand(look: Look) -> Brand:
    return Brand(look.name, branding.sheet_url(look), look.logo_url, look.support_email)


def _framed(html: str, policy: str) -> Response:
    response = make_response(html)
    response.headers["Content-Security-Policy"] = policy
    return response
