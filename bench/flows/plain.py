"""The same flow as plain Flask with raw SQL: what a good engineer would write who had nothing but this flow to write.

The same rows are kept and the same checks made, in the fewest statements: a limit per address and a link looked up by its
hash; a session per browser, a page from one flat template, a CSRF token; state, PKCE and a cookie of the flow's own; the
claim before the code is exchanged by a pooled client; the token sealed with AES-GCM; an audit row for each act. Nothing
else: no ORM, no tenant guard, no catalog, no translations, no metrics, no request ids, no deadline over the whole exchange.
"""

import base64
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import urllib3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from flask import Flask, Response, abort, redirect, render_template, request
from psycopg import Connection
from psycopg.rows import namedtuple_row
from psycopg_pool import ConnectionPool

from bench.flows.provider import CLIENT_ID, CLIENT_SECRET, SCOPES

SCHEMA = """
create table counter (key text, window_end int, count int not null, primary key (key, window_end));
create table bundle (
    id int primary key, public_id text unique not null, agency text not null, support_email text not null,
    recipient text not null, sent_by text not null, token_hash bytea unique not null, expires_at timestamptz not null,
    opened_at timestamptz, closed_at timestamptz
);
create table asked (
    id int primary key, public_id text unique not null, bundle_id int not null references bundle, app text not null,
    workflow text not null, status text not null, account text, connection_id int, settled_at timestamptz
);
create index on asked (bundle_id);
create table session (
    id serial primary key, id_hash bytea not null, bundle_id int not null references bundle,
    expires_at timestamptz not null, unique (id_hash, bundle_id)
);
create table flow (
    id serial primary key, public_id text unique not null, asked_id int not null references asked,
    state_hash bytea unique not null, browser_hash bytea not null, session_hash bytea not null, verifier bytea,
    status text not null, expires_at timestamptz not null, finished_at timestamptz
);
create table connection (
    id serial primary key, public_id text unique not null, external_id text not null, account text not null,
    scopes json not null, expires_at timestamptz, secret bytea not null, created_at timestamptz not null
);
create unique index on connection (external_id);
create table audit (
    id serial primary key, public_id text unique not null, at timestamptz not null, type text not null,
    actor text not null, address text not null, subject text not null, data json not null
);
"""
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; form-action 'self'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
LABELS = {"files:read": "See your files", "files:write": "Change your files and add new ones"}
OPENINGS = 30
KEY, VAULT_KEY = b"k" * 32, b"v" * 32
BASE_URL, PROVIDER = os.environ.get("BENCH_BASE_URL", ""), os.environ.get("BENCH_PROVIDER", "")

app = Flask(__name__)
vault = AESGCM(VAULT_KEY)
web = urllib3.PoolManager(maxsize=64, timeout=20, retries=False)
pool = ConnectionPool(os.environ.get("BENCH_DATABASE", ""), min_size=0, max_size=20, open=False)


@contextmanager
def transaction() -> Iterator[Connection]:
    """A connection of the pool in a transaction of its own."""
    if pool.closed:
        pool.open()
    with pool.connection() as connection:
        connection.row_factory = namedtuple_row
        yield connection


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def csrf_token(session_id: str) -> str:
    return hmac.new(KEY, session_id.encode(), "sha256").hexdigest()


def seal(text: str, place: str) -> bytes:
    nonce = secrets.token_bytes(12)
    return nonce + vault.encrypt(nonce, text.encode(), place.encode())


def unseal(blob: bytes, place: str) -> str:
    return vault.decrypt(blob[:12], blob[12:], place.encode()).decode()


def audit(connection: Connection, act: str, actor: str, subject: str, /, **data: object) -> None:
    connection.execute(
        "insert into audit (public_id, at, type, actor, address, subject, data) values (%s, %s, %s, %s, %s, %s, %s)",
        (secrets.token_hex(10), datetime.now(UTC), act, actor, request.remote_addr, subject, json.dumps(data)),
    )


def entered(connection: Connection, bundle_id: str):
    """The bundle, if this browser has opened its link."""
    found = connection.execute(
        "select b.* from session s join bundle b on b.id = s.bundle_id "
        "where s.id_hash = %s and b.public_id = %s and s.expires_at > %s",
        (digest(request.cookies.get("session", "")), bundle_id, datetime.now(UTC)),
    ).fetchone()
    return found or abort(404)


@app.after_request
def add_headers(response: Response) -> Response:
    response.headers.update(HEADERS)
    return response


@app.get("/l/<token>")
def open_link(token: str):
    at, session_id = datetime.now(UTC), request.cookies.get("session") or secrets.token_urlsafe(32)
    with transaction() as connection:
        counted = connection.execute(
            "insert into counter values (%s, %s, 1) on conflict (key, window_end) do update "
            "set count = counter.count + 1 where counter.count < %s returning count",
            (request.remote_addr, int(at.timestamp()) // 60, OPENINGS),
        ).fetchone()
    if counted is None:
        abort(429)
    with transaction() as connection:
        bundle = connection.execute(
            "select * from bundle where token_hash = %s and closed_at is null and expires_at > %s for key share",
            (digest(token), at),
        ).fetchone()
        if bundle is None:
            abort(404)
        connection.execute(
            "insert into session (id_hash, bundle_id, expires_at) values (%s, %s, %s) on conflict do nothing",
            (digest(session_id), bundle.id, bundle.expires_at + timedelta(days=7)),
        )
        connection.execute("update bundle set opened_at = %s where id = %s and opened_at is null", (at, bundle.id))
        audit(connection, "link.opened", bundle.recipient, bundle.public_id)
    response = redirect(f"/connect/{bundle.public_id}", 303)
    response.set_cookie("session", session_id, httponly=True, samesite="Lax")
    response.headers["Referrer-Policy"] = "no-referrer"
    return response


@app.get("/connect/<bundle_id>")
def show(bundle_id: str):
    with transaction() as connection:
        bundle = entered(connection, bundle_id)
        asked = connection.execute("select * from asked where bundle_id = %s order by id", (bundle.id,)).fetchone()
    name, _, domain = bundle.recipient.partition("@")
    return render_template(
        "page.html",
        bundle=bundle,
        asked=asked,
        until=bundle.expires_at.astimezone(UTC),
        masked=f"{name[0]}••••••{name[-1]}@{domain}",
        scopes=LABELS,
        csrf_token=csrf_token(request.cookies["session"]),
    )


@app.post("/connect/<bundle_id>/requests/<request_id>/start")
def start(bundle_id: str, request_id: str):
    session_id = request.cookies.get("session", "")
    if not hmac.compare_digest(request.form.get("csrf_token", ""), csrf_token(session_id)):
        abort(400)
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        abort(403)
    state, secret, verifier = (secrets.token_urlsafe(size) for size in (32, 32, 48))
    public_id = secrets.token_hex(10)
    with transaction() as connection:
        bundle = entered(connection, bundle_id)
        asked = connection.execute(
            "select * from asked where bundle_id = %s and public_id = %s and status = 'pending'",
            (bundle.id, request_id),
        ).fetchone()
        if asked is None or bundle.closed_at:
            abort(409)
        connection.execute(
            "insert into flow (public_id, asked_id, state_hash, browser_hash, session_hash, verifier, status, expires_at) "
            "values (%s, %s, %s, %s, %s, %s, 'started', %s)",
            (
                public_id,
                asked.id,
                digest(state),
                digest(secret),
                digest(session_id),
                seal(verifier, public_id),
                datetime.now(UTC) + timedelta(minutes=15),
            ),
        )
        audit(connection, "flow.started", bundle.recipient, public_id, app=asked.app)
    challenge = base64.urlsafe_b64encode(digest(verifier)).rstrip(b"=").decode()
    query = {
        "response_type": "code",
        "client_id": CLIENT_ID,
        "redirect_uri": f"{BASE_URL}/oauth/callback",
        "scope": SCOPES,
        "state": state,
        "code_challenge": challenge,
        "code_challenge_method": "S256",
    }
    response = Response(headers={"HX-Redirect": f"{PROVIDER}/authorize?{urlencode(query)}"})
    response.set_cookie(f"flow_{state[:16]}", secret, max_age=900, httponly=True, samesite="Lax")
    return response


@app.get("/oauth/callback")
def callback():
    state = request.args.get("state", "")
    secret, session_id = request.cookies.get(f"flow_{state[:16]}", ""), request.cookies.get("session", "")
    with transaction() as connection:
        flow = connection.execute(
            "select f.*, a.public_id as request_id, a.bundle_id, a.app, b.public_id as bundle, b.recipient from flow f "
            "join asked a on a.id = f.asked_id join bundle b on b.id = a.bundle_id where f.state_hash = %s",
            (digest(state),),
        ).fetchone()
        bound = flow and hmac.compare_digest(flow.browser_hash, digest(secret))
        if not bound or not hmac.compare_digest(flow.session_hash, digest(session_id)) or "code" not in request.args:
            abort(404)
        claimed = connection.execute(
            "update flow set status = 'claimed' where id = %s and status = 'started' and expires_at > %s",
            (flow.id, datetime.now(UTC)),
        )
    if claimed.rowcount == 1:
        settle(flow, exchanged(request.args["code"], unseal(flow.verifier, flow.public_id)))
    response = redirect(f"/connect/{flow.bundle}#app-{flow.request_id}", 303)
    response.delete_cookie(f"flow_{state[:16]}")
    return response


def exchanged(code: str, verifier: str) -> dict:
    answer = web.request(
        "POST",
        f"{PROVIDER}/token",
        fields={
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": f"{BASE_URL}/oauth/callback",
            "client_id": CLIENT_ID,
            "client_secret": CLIENT_SECRET,
        },
        encode_multipart=False,
        redirect=False,
    )
    token = answer.json() if answer.status == 200 else abort(502)
    if not set(SCOPES.split()) <= set(token["scope"].split()):
        abort(422)
    return token


def settle(flow, token: dict) -> None:
    at, public_id, account = datetime.now(UTC), secrets.token_hex(10), token["account"]
    kept = json.dumps({name: token[name] for name in ("access_token", "refresh_token", "token_type")})
    with transaction() as connection:
        asked = connection.execute("select status from asked where id = %s for update", (flow.asked_id,)).fetchone()
        if asked.status != "pending":
            return
        made = connection.execute(
            "insert into connection (public_id, external_id, account, scopes, expires_at, secret, created_at) "
            "values (%s, %s, %s, %s, %s, %s, %s) returning id",
            (
                public_id,
                account["id"],
                account["email"],
                json.dumps(token["scope"].split()),
                at + timedelta(seconds=token["expires_in"]),
                seal(kept, public_id),
                at,
            ),
        ).fetchone()
        connection.execute(
            "update asked set status = 'fulfilled', account = %s, connection_id = %s, settled_at = %s where id = %s",
            (account["email"], made.id, at, flow.asked_id),
        )
        connection.execute(
            "update bundle set closed_at = %s where id = %s and not exists "
            "(select 1 from asked where bundle_id = %s and status = 'pending')",
            (at, flow.bundle_id, flow.bundle_id),
        )
        connection.execute(
            "update flow set status = 'done', finished_at = %s, verifier = null where id = %s", (at, flow.id)
        )
        audit(connection, "connection.created", flow.recipient, public_id, app=flow.app, account=account["email"])
        audit(connection, "request.fulfilled", flow.recipient, flow.request_id, connection=public_id)
