"""All that is made with the first time it is done, done once before any child is forked: each would make it anew."""

import tempfile
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from app.extensions import db
from app.mailer import transports
from app.mailer.transports import FolderTransport
from app.models import ConnectionRequest
from app.services import link_tokens
from app.tenancy import acting_for
from app.worker import Worker
from tests import factories
from tests.support.forms import cookies_of, csrf_token

HTMX = {"HX-Request": "true", "Sec-Fetch-Site": "same-origin"}


def up(app: Flask) -> None:
    """Send a request, mail it, begin to connect it, and come back with a code that the provider never gave."""
    with app.app_context():
        agency = factories.make_agency("Early Birds")
        with acting_for(agency.id):
            owner, workspace = factories.make_staff(agency), factories.make_workspace(agency)
            workflow = factories.make_workflow(workspace, owner, ("northdesk", "find_ticket"))
            asked = factories.make_request(workflow.slots[0], owner)
            staff = factories.signed_in(app, owner)
            path = f"/panel/workspaces/{workspace.public_id}/workflows/{workflow.public_id}"
            agency_id, asked_id, request_id = agency.id, asked.id, asked.public_id
        db.session.remove()
    assert _post(app, staff, f"{path}/send").headers["HX-Redirect"]
    with app.app_context(), acting_for(agency_id):
        token = link_tokens.of(db.session.get_one(ConnectionRequest, asked_id).bundle)
        db.session.remove()
    client = app.test_client()
    page = client.get(f"/l/{token}", base_url=_url(app)).headers["Location"]
    away = urlsplit(_post(app, client, f"{page}/requests/{request_id}/start").headers["HX-Redirect"])
    (state,) = parse_qs(away.query)["state"]
    client.get("/oauth/callback/shared-northdesk", query_string={"state": state, "code": "none"}, base_url=_url(app))
    _mail(app)
    with app.app_context():
        db.session.remove()
        db.engine.dispose()  # nothing open is handed on to the children


def _mail(app: Flask) -> None:
    with tempfile.TemporaryDirectory() as folder:
        transports.install(app, FolderTransport(Path(folder)))
        worker = Worker(app, patience=0)
        worker.run_once()
        del app.extensions[transports.EXTENSION]
    assert worker.tally["done"] == 1


def _post(app: Flask, browser: FlaskClient, path: str) -> TestResponse:
    token = csrf_token(app, path, cookies_of(browser), url=_url(app))
    return browser.post(path, data={"csrf_token": token}, headers=HTMX, base_url=_url(app))


def _url(app: Flask) -> str:
    return app.config["GATEHOUSE"].base_url
