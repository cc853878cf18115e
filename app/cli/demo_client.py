"""A client of the demo, who approves an app at the sandbox by the way that a browser takes."""

import secrets
from urllib.parse import parse_qsl, urlsplit

from flask import Flask
from sqlalchemy import select

from app import clock
from app.extensions import db
from app.models import Agency, Connection, ConnectionRequest, Workflow
from app.sandbox import provider_of
from app.services import callbacks, flows
from app.services.intake import Host, Intake


def provide(sandbox: Flask, workflow: Workflow, app_key: str, *, account: str) -> Connection:
    """Answer what a workflow asks for an app with this account; the sandbox has to be served already."""
    asked = db.session.scalars(
        select(ConnectionRequest).where(
            ConnectionRequest.workflow_id == workflow.id, ConnectionRequest.app_key == app_key
        )
    ).one()
    session_hash = secrets.token_bytes(32)
    started = flows.start(_intake(asked), asked.public_id, typed={}, session_hash=session_hash)
    back = urlsplit(_approve(sandbox, started.url, account))
    landing = callbacks.finish(
        back.path.rpartition("/")[2],
        parse_qsl(back.query, keep_blank_values=True),
        cookie={started.cookie: started.secret}.get,
        session_hash=lambda _surface: session_hash,
    )
    if landing is None or not landing.is_connected:
        raise RuntimeError(f"The demo's {app_key} account could not be connected.")
    db.session.expire_all()
    return db.session.get_one(Connection, asked.connection_id)


def take_back(sandbox: Flask, account: str, app_key: str) -> None:
    """End what an account gave, as its owner does in the app's own settings."""
    store = provider_of(sandbox).store
    for grant in store.recent(100):
        if (grant.app, grant.email) == (app_key, account):
            store.withdraw(grant.id)


def _intake(asked: ConnectionRequest) -> Intake:
    agency, at = db.session.get_one(Agency, asked.agency_id), clock.now()
    host = Host(
        agency.id, agency.name, agency.slug, agency.support_email, agency.accent, agency.logo_digest, agency.timezone
    )
    bundle = asked.bundle
    return Intake(bundle, host, is_open=bundle is not None and bundle.expires_at > at)


def _approve(sandbox: Flask, url: str, account: str) -> str:
    """Sign in, allow all that is asked, and return where the browser is sent to."""
    base_url = provider_of(sandbox).base_url
    with sandbox.test_client() as browser:
        at = browser.get(url, base_url=base_url).location
        ask = at.rpartition("/account")[0] or at
        sent = {"base_url": base_url, "headers": {"Origin": base_url}}
        browser.post(f"{ask}/account", data={"email": account}, **sent)
        scopes = provider_of(sandbox).store.ask(ask.rpartition("/")[2], clock.now())
        return browser.post(f"{ask}/consent", data={"scope": list(scopes.scopes if scopes else ())}, **sent).location
