"""`/l/<token>`: the one place where a link is opened."""

from typing import Any

from flask import Response, redirect, request, url_for
from flask.typing import ResponseReturnValue

from app.services import intake
from app.web.afterwards import after_answer
from app.web.client import bp
from app.web.errors import LINK_PREFIX, link_cannot_be_opened
from app.web.sessions import current_session, hash_of, new_id


@bp.get("/l/<path:token>", provide_automatic_options=False)
def open_link(token: str) -> ResponseReturnValue:
    session, successor = current_session(), new_id()
    opening = intake.open_link(
        _as_received(token), id_hash=session.id_hash, successor=None if session.is_new else hash_of(successor)
    )
    if opening.bundle is None:
        return _refuse(opening.refused)
    if opening.succeeded:
        session.rotate(successor)
    session.keep()
    response = redirect(url_for(".show_bundle", bundle_id=opening.bundle.public_id), 303)
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _as_received(token: str) -> str:
    """The token as the address wrote it, with nothing decoded: `%41` is no other way to write an A of a link."""
    raw = request.environ.get("RAW_URI") or request.environ.get("REQUEST_URI")
    return raw.partition("?")[0].partition(LINK_PREFIX)[2] if raw else token


def _refuse(refused: Any) -> Response:
    """The vague page; what was learnt is written once it is on its way, so that it takes no longer to answer."""
    if refused is not None:
        bundle_id, whose = refused.id, (refused.agency_id, refused.workspace_id)
        after_answer(lambda: intake.note_refused(bundle_id, *whose), else_log="link.refused was not recorded")
    return link_cannot_be_opened()
