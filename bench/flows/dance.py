"""The same flow written with Flask-Dance and the storage that it documents for databases, Flask-SQLAlchemy's ORM.

The library does what it does: state and PKCE verifier in Flask's signed cookie, one OAuth2Session of requests per call, the
token stored as it came. Around it stands the least that the flow needs: a link looked up by its hash, a page from the same
flat template, and an account for each link. It has no audit trail, no limit, no sealing and no claim.
"""

import hashlib
import os
from datetime import datetime

from flask import Flask, abort, redirect, render_template, session, url_for
from flask_dance.consumer import OAuth2ConsumerBlueprint, oauth_authorized
from flask_dance.consumer.storage.sqla import OAuthConsumerMixin, SQLAlchemyStorage
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.engine import make_url
from werkzeug.local import LocalProxy

from bench.flows.plain import LABELS
from bench.flows.provider import CLIENT_ID, CLIENT_SECRET, SCOPES

PROVIDER = os.environ.get("BENCH_PROVIDER", "")
os.environ["OAUTHLIB_INSECURE_TRANSPORT"] = "1"  # the provider of the bench answers over plain http

app = Flask(__name__)
app.config.update(
    SECRET_KEY="k" * 32,
    SQLALCHEMY_DATABASE_URI=make_url(os.environ.get("BENCH_DATABASE", "sqlite://")).set(
        drivername="postgresql+psycopg"
    ),
    SQLALCHEMY_ENGINE_OPTIONS={"pool_size": 20, "max_overflow": 20, "pool_pre_ping": True},
)
db = SQLAlchemy(app)


class Bundle(db.Model):
    __tablename__ = "bundle"
    id = db.Column(db.Integer, primary_key=True)
    public_id = db.Column(db.String, unique=True)
    agency = db.Column(db.String)
    support_email = db.Column(db.String)
    recipient = db.Column(db.String)
    sent_by = db.Column(db.String)
    token_hash = db.Column(db.LargeBinary, unique=True)
    expires_at = db.Column(db.DateTime(timezone=True))
    asked = db.relationship("Asked", uselist=False)


class Asked(db.Model):
    __tablename__ = "asked"
    id = db.Column(db.Integer, primary_key=True)
    public_id = db.Column(db.String, unique=True)
    bundle_id = db.Column(db.ForeignKey("bundle.id"))
    app = db.Column(db.String)
    workflow = db.Column(db.String)
    status = db.Column(db.String)
    account = db.Column(db.String)


class OAuth(OAuthConsumerMixin, db.Model):
    __tablename__ = "dance_token"
    user_id = db.Column(db.ForeignKey("bundle.id"), index=True)
    user = db.relationship(Bundle)


bundle = LocalProxy(lambda: db.session.get(Bundle, session.get("bundle", 0)) or abort(404))
example = OAuth2ConsumerBlueprint(
    "example",
    __name__,
    client_id=CLIENT_ID,
    client_secret=CLIENT_SECRET,
    base_url=PROVIDER,
    token_url=f"{PROVIDER}/token",
    authorization_url=f"{PROVIDER}/authorize",
    scope=SCOPES.split(),
    use_pkce=True,
    token_url_params={"include_client_id": True},
    login_url="/connect/start",
    redirect_to="show",
    storage=SQLAlchemyStorage(OAuth, db.session, user=bundle),
)
app.register_blueprint(example)


@oauth_authorized.connect_via(example)
def connected(_blueprint: object, token: dict) -> None:
    bundle.asked.status, bundle.asked.account = "fulfilled", token["account"]["email"]


@app.get("/l/<token>")
def open_link(token: str):
    digest = hashlib.sha256(token.encode()).digest()
    found = db.session.scalar(db.select(Bundle).where(Bundle.token_hash == digest)) or abort(404)
    session["bundle"] = found.id
    return redirect(url_for("show"), 303)


@app.get("/")
def show():
    name, _, domain = bundle.recipient.partition("@")
    until: datetime = bundle.expires_at
    return render_template(
        "page.html",
        bundle=bundle,
        asked=bundle.asked,
        until=until,
        masked=f"{name[0]}••••••{name[-1]}@{domain}",
        scopes=LABELS,
        csrf_token="",
        start=url_for("example.login"),
    )
