"""A turnstile: first come, first through; and nobody waits for ever."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from app import database
from app.database import transaction
from app.extensions import db
from app.tenancy import across_tenants
from app.turnstile import Turnstile

MANY = 12


def in_order(come, first):
    """Have threads come one after the other while the first is inside; the order in which they got in."""
    inside, entered = threading.Event(), []

    def hold():
        with first:
            inside.set()
            is_last.wait(20)

    def queue(number):
        come(lambda: entered.append(number))

    is_last = threading.Event()
    with ThreadPoolExecutor(MANY + 1) as pool:
        held = pool.submit(hold)
        assert inside.wait(20)
        waiting = []
        for number in range(MANY):
            waiting.append(pool.submit(queue, number))
            time.sleep(0.05)
        is_last.set()
        for each in (held, *waiting):
            each.result(20)
    return entered


def test_who_came_first_goes_first():
    turnstile = Turnstile()

    def come(enter):
        with turnstile.turn(patience=20):
            enter()

    assert in_order(come, turnstile.turn(patience=1)) == list(range(MANY))


def test_one_at_a_time_goes_through():
    turnstile, inside, most = Turnstile(), [], []

    def go(number):
        for _ in range(50):
            with turnstile.turn(patience=20):
                inside.append(number)
                most.append(len(inside))
                time.sleep(0)
                inside.remove(number)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(go, range(8)))
    assert set(most) == {1}


def test_whoever_loses_patience_goes_through_without_a_turn_and_takes_nobodys():
    turnstile, order = Turnstile(), []
    with ThreadPoolExecutor(1) as pool, turnstile.turn(patience=1):

        def wait():
            with turnstile.turn(patience=20):
                order.append("in turn")

        began = time.monotonic()
        with turnstile.turn(patience=0.1):
            assert 0.1 <= time.monotonic() - began < 5
            waiting = pool.submit(wait)
            time.sleep(0.1)
        order.append("without")
        time.sleep(0.1)
        assert order == ["without"]
    waiting.result(20)
    assert order == ["without", "in turn"]


def test_an_error_inside_lets_the_next_one_in():
    turnstile = Turnstile()
    with pytest.raises(RuntimeError), turnstile.turn(patience=1):
        raise RuntimeError
    with turnstile.turn(patience=0):
        pass


# ── Writers on SQLite ────────────────────────────────────────────────────────


def test_writers_of_a_process_write_in_the_order_in_which_they_came(app, app_context):
    def write(then):
        with app.app_context(), across_tenants("a test's setting"), transaction() as session:
            session.execute(text("SELECT 1"))
            then()

    class First:
        def __enter__(self):
            self.context = app.app_context()
            self.context.push()
            self.transaction = transaction()
            self.transaction.__enter__()

        def __exit__(self, *raised):
            self.transaction.__exit__(*raised)
            db.session.remove()
            self.context.pop()

    db.session.rollback()
    assert in_order(write, First()) == list(range(MANY))


def test_a_writer_who_waits_in_vain_is_told_by_the_database(app, app_context, monkeypatch):
    monkeypatch.setattr(database, "WRITES_WAIT", 0.2)
    db.session.rollback()
    with transaction(), ThreadPoolExecutor(1) as pool:

        def write():
            with app.app_context(), db.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA busy_timeout=100")
            with app.app_context(), transaction():
                pass

        with pytest.raises(Exception, match="database is locked"):
            pool.submit(write).result(30)
