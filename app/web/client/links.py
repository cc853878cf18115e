"""`/l/<token>`: the one place where a link is opened."""

import structlog
from flask import Response, current_app, redirect, url_for
from flask.typing import ResponseReturnValue

from app.models import Bundle
from app.services import intake
from app.web.client import bp
from app.web.errors import link_cannot_be_opened
from app.web.sessions import current_session

log = structlog.get_logger(__name__)


@bp.get("/l/<path:token>", provide_automatic_options=False)
def open_link(token: str) -> ResponseReturnValue:
    session = current_session()
    opening = intake.open_link(token, id_hash=session.id_hash)
    if opening.bundle is None:
        return _refuse(opening.refused)
    session.keep()
    response = redirect(url_for(".show_bundle", bundle_id=opening.bundle.public_id), 303)
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


def _refuse(refused: Bundle | None) -> Response:
    """The vague page; what was learnt is written once it is on its way, so that it takes no longer to answer."""
    response = link_cannot_be_opened()
    if refused is not None:
        app = current_app._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001 - the proxy ends with the request
        bundle_id, whose = refused.id, (refused.agency_id, refused.workspace_id)

        def learn() -> None:
            try:
                with app.app_context():
                    intake.note_refused(bundle_id, *whose)
            except Exception:
                log.exception("link.refused was not recorded")

        response.call_on_close(learn)
    return response
