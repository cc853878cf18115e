"""The demo's mailbox: what would have been sent, readable in the browser. No part of an installation that sends mail."""

import base64
from email.message import EmailMessage
from pathlib import Path

from flask import Blueprint, Response, abort, current_app, make_response, render_template
from flask.typing import ResponseReturnValue

from app.config import Config
from app.mailer.transports import FolderTransport
from app.web.security import CSP

bp = Blueprint("demo", __name__, url_prefix="/demo")

PAGE = 50
FRAME_CSP = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data: 'self'; base-uri 'none'; frame-ancestors 'self'; "
    "sandbox allow-popups allow-popups-to-escape-sandbox allow-top-navigation-by-user-activation"
)


@bp.before_request
def guard() -> None:
    """There is such a mailbox in the demo alone."""
    if not _config().demo:
        abort(404)


@bp.get("/mail")
@bp.get("/mail/<name>")
def show_mail(name: str | None = None) -> ResponseReturnValue:
    mails = _mails()
    if name is not None and name not in dict(mails):
        abort(404)
    chosen = name or (mails[0][0] if mails else None)
    message = dict(mails).get(chosen) if chosen else None
    text = _part(message, "plain") if message else ""
    page = render_template("demo/mail/show.html", mails=mails[:PAGE], chosen=chosen, message=message, text=text)
    response = make_response(page)
    response.headers["Content-Security-Policy"] = f"{CSP}; frame-src 'self'"
    return response


@bp.get("/mail/<name>/html")
def show_html(name: str) -> ResponseReturnValue:
    """The mail as a mail program shows it: framed, without scripts, its links opening in the whole window."""
    message = dict(_mails()).get(name)
    if message is None:
        abort(404)
    body = _with_pictures(message, _part(message, "html")).replace("<a ", '<a target="_top" ')
    response = Response(body, content_type="text/html; charset=utf-8")
    response.headers["Content-Security-Policy"] = FRAME_CSP
    return response


def _mails() -> list[tuple[str, EmailMessage]]:
    return FolderTransport(Path(_config().instance_path) / "mail").messages()


def _part(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    return str(part.get_content()) if part is not None else ""


def _with_pictures(message: EmailMessage, body: str) -> str:
    """Put the pictures that the mail brings along where it points to them (RFC 2392)."""
    for part in message.walk():
        name = str(part.get("Content-ID", "")).strip("<>")
        content = part.get_payload(decode=True) if name and part.get_content_maintype() == "image" else None
        if isinstance(content, bytes):
            data = base64.b64encode(content).decode("ascii")
            body = body.replace(f"cid:{name}", f"data:{part.get_content_type()};base64,{data}")
    return body


def _config() -> Config:
    config: Config = current_app.config["GATEHOUSE"]
    return config
