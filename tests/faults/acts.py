"""Acts on connections, members and requests, as the process does them that is killed."""

from collections.abc import Callable, Mapping
from typing import Any

from flask import Flask
from sqlalchemy import select

from app.extensions import db
from app.models import Connection, ConnectionRequest, Member, Staff, Workspace
from app.services import connections, handovers, members, mending_requests
from app.tenancy import acting_for

OUTSIDE = "sam@cobalt-it.example"
TO_WHO_WAS_MAILED, AGREE = "hand over to who was mailed", "agree to a hand-over"


def do(app: Flask, *, agency: int, name: str, colleague: str) -> None:
    """Do the act of that name."""
    with app.app_context(), acting_for(agency):
        ACTS[name](db.session.scalars(select(Staff)).one(), colleague)
        db.session.remove()


def _rename(owner: Staff, _: str) -> None:
    connections.rename(_first(Connection), "Reception", by=owner)


def _ask_to_reauthorize(owner: Staff, _: str) -> None:
    mending_requests.queue(_first(Connection), by=owner)


def _remove_member(owner: Staff, _: str) -> None:
    members.remove(_first(Workspace), _first(Member).public_id, by=owner)


def _name_colleague(_owner: Staff, _: str) -> None:
    asked = _first(ConnectionRequest)
    handovers.ask(asked.bundle, asked.public_id, OUTSIDE)


def _hand_over(_owner: Staff, colleague: str) -> None:
    asked = _first(ConnectionRequest)
    handovers.ask(asked.bundle, asked.public_id, colleague)


def _agree(owner: Staff, _: str) -> None:
    handovers.approve(owner.agency, _first(ConnectionRequest).public_id, to=OUTSIDE, by=owner)


def _first(kind: Any) -> Any:
    return db.session.scalars(select(kind).order_by(kind.id).limit(1)).one()


ACTS: Mapping[str, Callable[[Staff, str], None]] = {
    "rename a connection": _rename,
    "ask to reauthorize": _ask_to_reauthorize,
    "remove a member": _remove_member,
    "name a colleague": _name_colleague,
    "hand over": _hand_over,
    TO_WHO_WAS_MAILED: _hand_over,
    AGREE: _agree,
}
