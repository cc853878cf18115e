"""Defences that a test switches off in other processes, to see that what it measures would notice."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from sqlalchemy import ColumnElement, Update, and_, event, update

from app.extensions import db
from app.models import OutboxItem, Workflow
from app.services import bundle_mail, bundles, callbacks, claims, counters, mail_caps, queued_requests, sending
from tests.faults.twice import scenes
from tests.support.crowd import Company

_off: list[contextlib.ExitStack] = []
_before = threading.local()


@contextlib.contextmanager
def without(company: Company, defence: str) -> Iterator[None]:
    """Meanwhile the company's processes go without this defence."""
    company.everywhere(switch_off, defence)
    try:
        yield
    finally:
        company.everywhere(switch_on)


def switch_off(_: Flask, defence: str) -> None:
    life = contextlib.ExitStack()
    patch = life.enter_context(pytest.MonkeyPatch.context())
    DEFENCES[defence](patch, life)
    _off.append(life)


def switch_on(_: Flask, __: object) -> None:
    while _off:
        _off.pop().close()


Patch = pytest.MonkeyPatch
Life = contextlib.ExitStack


def _wait(patch: Patch, _: Life) -> None:
    """Nobody asks whether the last mail was less than five minutes ago."""
    patch.setattr(sending, "_take_turn", lambda *_, **__: None)


def _caps(patch: Patch, _: Life) -> None:
    """Nobody counts mails."""
    patch.setattr(counters, "hit", lambda *_, **__: True)
    patch.setattr(counters, "hit_all", lambda *_, **__: set())
    patch.setattr(mail_caps.Cap, "spent", lambda *_: False)


def _claims(patch: Patch, _: Life) -> None:
    """A mail in one worker's hands is taken by the next all the same, and settled whoever holds it."""
    open_ = (*claims.WAITING, *claims.IN_HAND)

    def due(kinds, _at, **_) -> ColumnElement[bool]:
        return and_(OutboxItem.kind.in_(kinds), OutboxItem.state.in_(open_), OutboxItem.error.is_(None))

    def settle(item: claims.Claimed, **values: object) -> None:
        with bundle_mail.transaction() as session:
            session.execute(update(OutboxItem).where(OutboxItem.id == item.id).values({"leased_until": None, **values}))

    patch.setattr(claims, "_due", due)
    patch.setattr(claims, "_settle", settle)


def _order(patch: Patch, life: Life) -> None:
    """What changes a workspace does not wait for its turn: no lock, and on SQLite transactions that begin as readers."""
    patch.setattr(bundles, "lock", lambda _: None)
    engine = db.engine

    def begin_as_reader(_connection, _cursor, statement, parameters, *_):
        return ("BEGIN" if statement == "BEGIN IMMEDIATE" else statement), parameters

    event.listen(engine, "before_cursor_execute", begin_as_reader, retval=True)
    life.callback(event.remove, engine, "before_cursor_execute", begin_as_reader)


class Unconditional(Update):
    """An UPDATE that does not ask how a row stands."""

    inherit_cache = True

    def where(self, *conditions):  # type: ignore[override]
        return super().where(*[each for each in conditions if "status" not in str(each)])


def _condition(patch: Patch, _: Life) -> None:
    """What is queued is read before its turn comes, and sent without looking again."""
    real = queued_requests.by_recipient
    patch.setattr(queued_requests, "by_recipient", lambda workflow: getattr(_before, "queued", None) or real(workflow))
    patch.setattr(sending, "update", Unconditional)
    send = scenes.send

    def read_then_send(app: Flask, pressed: scenes.Pressed) -> tuple[int, int]:
        pressed.by()
        _before.queued = real(db.session.get_one(Workflow, pressed.what))
        time.sleep(0.02)
        try:
            return send(app, pressed)
        finally:
            _before.queued = None

    read_then_send.__module__, read_then_send.__qualname__ = send.__module__, send.__qualname__
    patch.setattr(scenes, "send", read_then_send)


def _flow_claim(patch: Patch, _: Life) -> None:
    """Every callback of a flow takes itself for the first."""
    patch.setattr(callbacks, "_claim", lambda *_, **__: True)


def _form_mark(patch: Patch, _: Life) -> None:
    """A form that is sent again is taken for another one."""
    patch.setattr(counters, "once", lambda *_, **__: None)


DEFENCES: dict[str, Callable[[Patch, Life], None]] = {
    "the wait between resends": _wait,
    "the caps": _caps,
    "the claim of a mail": _claims,
    "one after the other": _order,
    "the condition of the update": _condition,
    "the claim of a flow": _flow_claim,
    "the mark of a form": _form_mark,
}
