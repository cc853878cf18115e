"""Something sealed in every column that holds what the vault seals, and what it opens to."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from sqlalchemy import Engine

from app import clock
from app.database import transaction
from app.extensions import db
from app.models import Agency, Flow, FlowStatus, OAuthClient, OutboxItem, OutboxState, Staff
from app.runtime import current
from app.services import sealed, secrets
from app.services.sealed import COLUMNS
from app.tenancy import across_tenants, acting_for
from app.vault import Keyring, open_, seal
from tests import factories

Goods = dict[tuple[str, int], bytes]


def fill(agency: Agency, owner: Staff, *, each: int) -> None:
    """Have `each` blobs in every such column, each with a text of its own."""
    with acting_for(agency.id):
        workspace = factories.make_workspace(agency)
        workflow = factories.make_workflow(workspace, owner, ("slack", "send_channel_message"))
        (asked,) = factories.make_sent(workflow, owner)
        connections = [factories.make_connection(workspace, name=f"account {n}") for n in range(each)]
        with transaction() as session:
            for number, connection in enumerate(connections):
                secrets.keep(connection, {"access_token": f"credential {number}"}, at=clock.now())
            for number in range(each):
                session.add_all(_rows(agency, asked, number))


def _rows(agency: Agency, asked: Any, number: int) -> list[Any]:
    at, ring, bundle = clock.now(), current().keyring, asked.bundle
    own = OAuthClient(agency_id=agency.id, public_id=f"client{number}", app_key=f"app{number}", created_at=at)
    own.client_id, own.client_secret = "it", seal(ring, f"client {number}".encode(), sealed.client_place(own))
    flow = Flow(
        agency_id=agency.id,
        workspace_id=asked.workspace_id,
        public_id=f"flow{number}",
        request_id=asked.id,
        bundle_id=bundle.id,
        generation=0,
        app_key="slack",
        oauth_client="shared-slack",
        endpoints={},
        redirect_uri="http://localhost/x",
        created_at=at,
        expires_at=at + timedelta(minutes=15),
        status=FlowStatus.HELD,
        **{f"{name}_hash": number.to_bytes(32, "big") for name in ("state", "browser", "session")},
    )
    flow.verifier = seal(ring, f"verifier {number}".encode(), sealed.verifier_place(flow))
    flow.grant = seal(ring, f"grant {number}".encode(), sealed.grant_place(flow))
    return [own, flow, _letter(agency, number) if number % 2 else _mail(agency, asked, number)]


def _mail(agency: Agency, asked: Any, number: int) -> OutboxItem:
    bundle, key = asked.bundle, f"{asked.bundle.public_id}:{1000 + number}"
    place = sealed.Place(sealed.MAIL, agency.id, asked.workspace_id, key)
    payload = {"bundle": bundle.id, "epoch": 1000 + number}
    return _waiting("bundle.sent", key, agency, payload, seal(current().keyring, f"mail {number}".encode(), place))


def _letter(agency: Agency, number: int) -> OutboxItem:
    key = f"letter{number}:1"
    place = sealed.Place(sealed.MAIL, agency.id, None, key)
    blob = seal(current().keyring, f"mail {number}".encode(), place)
    return _waiting("member.invited", key, agency, {"member": number}, blob)


def _waiting(kind: str, key: str, agency: Agency, payload: dict[str, Any], message: bytes) -> OutboxItem:
    at = clock.now()
    return OutboxItem(
        kind=kind,
        key=key,
        agency_id=agency.id,
        payload=payload,
        state=OutboxState.HELD,
        due_at=at + timedelta(days=9),
        created_at=at,
        message=message,
    )


def opened(engine: Engine, ring: Keyring) -> Goods:
    """What every sealed blob of a database opens to, by column and row; whatever does not open raises."""
    found = {}
    with engine.connect() as connection:
        for column in COLUMNS:
            for row in connection.execute(column.rows()):
                found[column.name, row.id] = open_(ring, row.blob, column.place(row))
    return found


def installed(config: Any, *, each: int) -> Goods:
    """An agency with goods in an installation; what they open to."""
    from app import create_app

    app = create_app(config)
    with app.app_context(), across_tenants("a test's setting"):
        agency = factories.make_agency()
        fill(agency, factories.make_staff(agency), each=each)
        found = opened(db.engine, app.extensions["gatehouse"].keyring)
        db.session.remove()
        db.engine.dispose()
    return found


def settings(config: Any) -> Mapping[str, str]:
    """The environment that names an installation to a command."""
    url = config.database_url.replace("+psycopg", "")
    return {"GATEHOUSE_INSTANCE_PATH": str(config.instance_path), "GATEHOUSE_DATABASE_URL": url}
