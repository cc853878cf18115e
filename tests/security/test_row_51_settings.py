"""Every setting has an effect: each is tried at two values, and something that can be observed differs."""

import base64
import dataclasses
import itertools
from pathlib import Path
from unittest import mock

import pytest
from flask import request
from flask_migrate import upgrade
from sqlalchemy import select

from app import links
from app.config import Config
from app.database import transaction
from app.egress import EgressRefused
from app.extensions import db
from app.mailer import transports
from app.models import OutboxItem
from app.services import claims, leases, link_tokens, oauth_clients, outbox
from app.tenancy import across_tenants
from app.worker import chores
from tests import factories
from tests.support.shared_app import running

ROOT = Path(__file__).resolve().parents[2]
KEYS = [base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2)]


def served(**settings):
    """What an application with these settings answers, and what it is made of."""
    return running(Config.from_environ({f"GATEHOUSE_{name}": str(value) for name, value in settings.items()}))


def effect_of_base_url(app):
    return links.absolute("/x"), app.test_client().get("/healthz", base_url="http://localhost:8000").status_code


def effect_of_keys(app):
    return app.extensions["gatehouse"].keyring.active


def token(app):
    return link_tokens.make(nonce=bytes(16), epoch=1, agency_id=1, workspace_id=1, recipient="x@x.example")


def reaches_this_machine(app):
    try:
        app.extensions["gatehouse"].egress.check("http://127.0.0.1:8001/")
    except EgressRefused:
        return False
    return True


def address_seen(app, forwarded="203.0.113.5"):
    """Who seems to ask, when a proxy says who does."""
    seen = []
    app.after_request(lambda answer: seen.append(request.remote_addr) or answer)
    app.test_client().get("/healthz", headers={"X-Forwarded-For": forwarded}, base_url=links.absolute(""))
    return seen


def what_becomes_of_uncertain_mail(app):
    """A worker died while it was handing a mail over: it is sent again, or waits for staff."""
    upgrade()
    agency = factories.make_agency()
    with across_tenants("the worker's side"):
        at = agency.created_at
        with transaction():
            outbox.put("bundle.sent", "x:1", agency_id=agency.id, at=at, bundle=0, epoch=1)
        (item,) = claims.claim(["bundle.sent"], at=at)
        claims.start(item, at=at)
        watch = leases.Watch(0.0, steady=itertools.count().__next__)
        chores.take_over(watch)
        chores.take_over(watch)
        return db.session.scalar(select(OutboxItem.state))


def figures(app):
    answer = app.test_client().get(
        "/metrics", headers={"Authorization": "Bearer one-token"}, base_url=links.absolute("")
    )
    return answer.status_code


def apps_known(app):
    return {each.key for each in app.extensions["gatehouse"].catalog} & {"northdesk"}


def sender(app):
    return transports.sender(app.config["GATEHOUSE"])


def way_out(app):
    transport = transports.current()
    return transport and (transport._server.host, transport._server.tls)


def starts_worker(app):
    """`flask serve` starts one beside the server, or leaves it to `flask worker`."""
    upgrade()
    with (
        mock.patch("app.cli.serve.start_embedded") as start,
        mock.patch("app.cli.serving.run"),
        mock.patch("app.cli.serving.listen"),
    ):
        done = app.test_cli_runner().invoke(args=["serve"])
    assert done.exit_code == 0, done.output
    return start.called


SETTINGS = {
    "base_url": ("BASE_URL", "http://localhost:8000", "http://localhost:9000", effect_of_base_url),
    "instance_path": (
        "INSTANCE_PATH",
        "{tmp}/one",
        "{tmp}/two",
        lambda app: app.config["GATEHOUSE"].keys_path.is_dir() and app.instance_path,
    ),
    "database_url": (
        "DATABASE_URL",
        "sqlite:///{tmp}/one.db",
        "sqlite:///{tmp}/two.db",
        lambda app: str(db.engine.url),
    ),
    "smtp": ("SMTP_URL", "smtp://one.example", "smtps://two.example", way_out),
    "mail_from": ("MAIL_FROM", "one@x.example", "two@x.example", sender),
    "mail_ambiguous": ("MAIL_AMBIGUOUS", "resend", "hold", what_becomes_of_uncertain_mail),
    "apps_dir": ("APPS_DIR", "{tmp}", str(ROOT / "tests" / "support" / "apps"), apps_known),
    "oauth_clients": (
        "OAUTH_SLACK_CLIENT_ID",
        "one",
        "two",
        lambda app: oauth_clients.by_key(None, "shared-slack").client_id,
    ),
    "egress_allow": ("EGRESS_ALLOW", "10.0.0.0/8", "127.0.0.0/8", reaches_this_machine),
    "proxy_hops": ("PROXY_HOPS", "0", "1", address_seen),
    "worker": ("WORKER", "embedded", "external", starts_worker),
    "secret_key": ("SECRET_KEY", "a" * 32, "b" * 32, token),
    "vault_keys": ("VAULT_KEYS", KEYS[0], KEYS[1], effect_of_keys),
    "metrics_token": ("METRICS_TOKEN", "one-token", "two-token", figures),
}
# Where an effect needs more than its own setting.
BESIDE = {
    "smtp": {"MAIL_FROM": "x@x.example"},
    "mail_from": {"SMTP_URL": "smtp://one.example"},
    "apps_dir": {"EGRESS_ALLOW": "127.0.0.0/8"},
}


def test_row_51_every_setting_is_in_the_table():
    made_by_commands = {"demo", "argon2_light"}

    assert set(SETTINGS) == {field.name for field in dataclasses.fields(Config)} - made_by_commands


@pytest.mark.parametrize("name", SETTINGS)
def test_row_51_every_setting_has_an_effect(name, tmp_path, monkeypatch):
    variable, one, two, effect = SETTINGS[name]
    seen = []
    for number, value in enumerate((one, two)):
        given = {
            "INSTANCE_PATH": tmp_path / f"instance{number}",
            **BESIDE.get(name, {}),
            variable: value.format(tmp=tmp_path),
        }
        if name == "apps_dir" and number:
            given[variable] = _apps_on_this_machine(tmp_path)
        with served(**given) as app, app.app_context():
            seen.append(effect(app))
            db.session.remove()

    assert seen[0] != seen[1], seen


# What one setting says besides: the rest of an address, or the other half of a pair.
PARTS = {
    "secret of a client": (
        {"OAUTH_SLACK_CLIENT_ID": "id", "OAUTH_SLACK_CLIENT_SECRET": "one"},
        {"OAUTH_SLACK_CLIENT_ID": "id", "OAUTH_SLACK_CLIENT_SECRET": "two"},
        lambda app: oauth_clients.by_key(None, "shared-slack").client_secret.reveal(),
    ),
    "who logs in to the mail server": (
        {"SMTP_URL": "smtp://one:secret@mail.example", "MAIL_FROM": "x@x.example"},
        {"SMTP_URL": "smtp://two:secret@mail.example", "MAIL_FROM": "x@x.example"},
        lambda app: transports.current()._server.username,
    ),
    "the mail server's password": (
        {"SMTP_URL": "smtp://one:secret@mail.example", "MAIL_FROM": "x@x.example"},
        {"SMTP_URL": "smtp://one:other@mail.example", "MAIL_FROM": "x@x.example"},
        lambda app: transports.current()._server.password,
    ),
    "its port": (
        {"SMTP_URL": "smtp://mail.example:2525", "MAIL_FROM": "x@x.example"},
        {"SMTP_URL": "smtp://mail.example:2526", "MAIL_FROM": "x@x.example"},
        lambda app: transports.current()._server.port,
    ),
    "without TLS on this machine": (
        {"SMTP_URL": "smtp://localhost", "MAIL_FROM": "x@x.example"},
        {"SMTP_URL": "smtp://localhost?tls=none", "MAIL_FROM": "x@x.example"},
        way_out,
    ),
    "one hop or two": (
        {"PROXY_HOPS": "1"},
        {"PROXY_HOPS": "2"},
        lambda app: address_seen(app, "203.0.113.5, 10.0.0.1"),
    ),
}


@pytest.mark.parametrize("part", PARTS)
def test_row_51_every_part_of_a_setting_has_an_effect(part, tmp_path):
    *both, effect = PARTS[part]
    seen = []
    for number, given in enumerate(both):
        with served(INSTANCE_PATH=tmp_path / f"instance{number}", **given) as app, app.app_context():
            seen.append(effect(app))
            db.session.remove()

    assert seen[0] != seen[1], seen


@pytest.mark.parametrize("name", SETTINGS)
def test_row_51_a_setting_from_a_file_is_the_same_setting(name, tmp_path):
    variable, one, *_ = SETTINGS[name]
    value, beside = one.format(tmp=tmp_path), {f"GATEHOUSE_{key}": text for key, text in BESIDE.get(name, {}).items()}
    (tmp_path / "value").write_text(f"{value}\n")

    from_file = Config.from_environ(beside | {f"GATEHOUSE_{variable}_FILE": str(tmp_path / "value")})

    assert from_file == Config.from_environ(beside | {f"GATEHOUSE_{variable}": value})


def _apps_on_this_machine(tmp_path):
    folder = tmp_path / "apps"
    folder.mkdir()
    text = (ROOT / "tests" / "support" / "apps" / "northdesk.toml").read_text()
    (folder / "northdesk.toml").write_text(text.replace("http://provider.test", "http://127.0.0.1:8001"))
    return folder
