"""A client of an agency with everything that can be sent to its people, and what may be done there in another process."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from random import Random
from typing import Any

import time_machine
from flask import Flask
from sqlalchemy import select

from app import clock, runtime
from app.database import transaction
from app.extensions import db
from app.models import (
    Agency,
    ConnectionRequest,
    Member,
    Node,
    Role,
    Slot,
    Source,
    Staff,
    Workflow,
    Workspace,
)
from app.services import bundle_mail, connection_requests, sending, workflows
from app.tenancy import across_tenants, enter_tenant
from app.worker.handlers import HANDLERS
from app.worker.turns import Turns

APPS = ("slack", "hubspot", "typeform", "xero", "google-sheets")
PEOPLE = ("priya", "sam", "dana")  # dana is a member
BEGIN = datetime(2026, 11, 20, 9, 5, tzinfo=UTC)  # and no scene lasts so long that an hour would end
MAIL = next(handler for handler in HANDLERS if handler.kind == bundle_mail.KIND)


@dataclass
class Scene:
    """Ids of what there is, for acts in other processes."""

    agency_id: int
    staff_ids: list[int]
    workspace_id: int
    people: list[str]
    workflow_ids: list[int] = field(default_factory=list)
    slot_ids: list[int] = field(default_factory=list)
    caps: tuple[int, int] = (20, 1000)

    def requests(self) -> list[ConnectionRequest]:
        """All that was ever asked here, read anew."""
        db.session.rollback()
        mine = select(ConnectionRequest).where(ConnectionRequest.workspace_id == self.workspace_id)
        return list(db.session.scalars(mine.order_by(ConnectionRequest.id)))


def build(number: int, chance: Random, *, caps: tuple[int, int] = (20, 1000)) -> Scene:
    """Three workflows of an agency of its own, most of whose slots are asked for, and part of that sent."""
    at = clock.now()
    with across_tenants("a test's setting"), transaction() as session:
        agency = Agency(
            name="Northwind Studio",
            slug=f"northwind-{number}",
            sender_name="Northwind Studio",
            support_email="help@northwind.example",
            mails_per_recipient_day=caps[0],
            mails_per_hour=caps[1],
            created_at=at,
        )
        session.add(agency)
        session.flush()
        staff = [_staff(agency, name, number, at) for name in ("Maya", "Tom")]
        workspace = Workspace(agency_id=agency.id, name="Harbor Dental", created_at=at, active_at=at)
        session.add_all([*staff, workspace])
        session.flush()
        people = [f"{name}.{number}@harbordental.example" for name in PEOPLE]
        member = Member(
            agency_id=agency.id, workspace_id=workspace.id, email=people[2], name="Dana Reyes", created_at=at
        )
        session.add(member)
        scene = Scene(agency.id, [each.id for each in staff], workspace.id, people, caps=caps)
        for title in ("New patient intake", "Recall reminders", "Bookkeeping"):
            _workflow(scene, workspace, title, chance, at)
    enter_tenant(scene.agency_id)
    for workflow_id in scene.workflow_ids:
        if chance.random() < 0.5:
            by = db.session.get_one(Staff, scene.staff_ids[0])
            sending.send(db.session.get_one(Workflow, workflow_id), by=by)
    return scene


def _staff(agency: Agency, name: str, number: int, at: datetime) -> Staff:
    email = f"{name.lower()}.{number}@northwind.example"
    return Staff(agency_id=agency.id, email=email, name=name, role=Role.OWNER, password_hash="-", created_at=at)


def _workflow(scene: Scene, workspace: Workspace, title: str, chance: Random, at: datetime) -> None:
    session, catalog = db.session, runtime.current().catalog
    where = {"agency_id": scene.agency_id, "workspace_id": scene.workspace_id}
    workflow = Workflow(**where, name=title, created_at=at)
    session.add(workflow)
    session.flush()
    scene.workflow_ids.append(workflow.id)
    for position, app in enumerate(chance.sample(APPS, chance.randint(1, 3)), 1):
        slot = Slot(**where, workflow_id=workflow.id, app_key=app, source=Source.CLIENT)
        session.add(slot)
        session.flush()
        scene.slot_ids.append(slot.id)
        action = catalog.get(app).actions[0].key
        step = {"slot_id": slot.id, "app_key": app, "action_key": action, "position": position}
        session.add(Node(**where, workflow_id=workflow.id, **step))
        if len(scene.slot_ids) == 1 or chance.random() < 0.8:  # there is always something to resend
            asked = {"recipient": chance.choice(scene.people), "note": note(slot.id), "created_at": at}
            session.add(ConnectionRequest(**where, workflow_id=workflow.id, slot_id=slot.id, app_key=app, **asked))


def note(slot_id: int) -> str:
    """What a mail says of a request, so that one can tell whether it is in it."""
    return f"For number {slot_id}."


# ── Acts, as another process does them ──────────────────────────────────────


@dataclass(frozen=True)
class Pressed:
    """Who does something, to what, and with which words."""

    agency_id: int
    staff_id: int
    what: Any
    text: str = ""

    def by(self) -> Staff:
        enter_tenant(self.agency_id)
        return db.session.get_one(Staff, self.staff_id)


def send(_: Flask, pressed: Pressed) -> tuple[int, int]:
    by = pressed.by()
    sent = sending.send(db.session.get_one(Workflow, pressed.what), by=by)
    return sent.recipients, sent.requests


def publish(_: Flask, pressed: Pressed) -> tuple[int, int]:
    by = pressed.by()
    sent = workflows.publish(db.session.get_one(Workflow, pressed.what), by=by)
    return sent.recipients, sent.requests


def resend(_: Flask, pressed: Pressed) -> str:
    by = pressed.by()
    return sending.resend(by.agency, pressed.what, by=by).public_id


def cancel(_: Flask, pressed: Pressed) -> str:
    by = pressed.by()
    return connection_requests.cancel(by.agency, pressed.what, by=by).public_id


def move(_: Flask, pressed: Pressed) -> str:
    by = pressed.by()
    return sending.change_recipient(by.agency, pressed.what, recipient=pressed.text, by=by).public_id


def decline(_: Flask, pressed: Pressed) -> None:
    by = pressed.by()
    connection_requests.decline(connection_requests.get(by.agency, pressed.what), reason="")


def queue(_: Flask, pressed: Pressed) -> str:
    by = pressed.by()
    slot = db.session.get_one(Slot, pressed.what)
    return connection_requests.queue(slot, recipient=pressed.text, note=note(pressed.what), by=by).public_id


def turn(app: Flask, _: object) -> bool:
    """The mail worker takes one turn."""
    return Turns(app, threading.Event()).take(MAIL)


def timed(app: Flask, payload: tuple[Callable[[Flask, Any], Any], Any]) -> tuple[float, float, Any]:
    """An act with when it began and ended, on a clock that all processes share."""
    act, pressed = payload
    began = time.perf_counter()
    try:
        came_to = act(app, pressed)
    except Exception as error:  # noqa: BLE001 - what it is decides the test
        came_to = f"{type(error).__name__}: {error}"
    return began, time.perf_counter(), came_to


# ── The time of all processes ───────────────────────────────────────────────

_travels: list[time_machine.travel] = []


def travel(_: Flask | None, moment: datetime | None) -> None:
    """Let the clock of this process go on from a moment; none: the true time."""
    while _travels:
        _travels.pop().stop()
    clock.steady, clock._kept = time.time, clock._Kept()  # time goes by, as far as the application knows
    if moment:
        _travels.append(time_machine.travel(moment, tick=True))
        _travels[-1].start()
