"""Connections to the database: enough for every thread, and no waiting for a server that says nothing."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import bindparam, create_engine, select, text
from sqlalchemy.exc import OperationalError

from app import _engine_options, clock
from app.database import end_reading, prepare_postgres, share_clock, transaction
from app.extensions import db
from app.models import Agency, Counter
from app.prepared import Prepared
from tests import factories
from tests.support import shared_app
from tests.support.processes import LOOPBACK

READERS = 36  # gunicorn's threads and the worker's


@pytest.mark.both_databases
def test_as_many_readers_as_there_are_threads_do_not_wait_for_each_other(app):
    all_at_once = threading.Barrier(READERS)

    def read(_number):
        with app.app_context():
            assert db.session.execute(text("SELECT 1")).scalar() == 1
            all_at_once.wait(5)

    with ThreadPoolExecutor(READERS) as pool:
        list(pool.map(read, range(READERS)))


app_on_postgres, app_on_sqlite = shared_app.apps


def test_postgres_keeps_what_it_has_prepared_from_one_request_to_the_next(app_on_postgres):
    """At a ROLLBACK psycopg forgets it all, and PostgreSQL plans every statement anew."""
    counted = Prepared(select(Counter.count).where(Counter.key == bindparam("of")))
    for _ in range(3):
        with app_on_postgres.app_context():
            counted(of="a")
            end_reading()
            db.session.scalar(select(Agency.id))
            with transaction():
                counted(of="a")
            counted(of="a")

    with app_on_postgres.app_context():
        prepared = db.session.execute(
            text("SELECT generic_plans + custom_plans, statement FROM pg_prepared_statements")
        ).all()
    assert [(times, "FROM counter" in statement) for times, statement in prepared] == [(9, True)]


def test_a_connection_that_broke_is_replaced_as_the_clock_is_looked_at(postgres_url, monkeypatch):
    monkeypatch.setattr(clock, "follow", lambda *_moment, **_counted: None)  # the clock is the other tests' too
    monkeypatch.setattr(clock, "shown_ago", lambda: 100.0)
    address = factories.driver(postgres_url)
    engine = create_engine(address, **_engine_options(address))
    prepare_postgres(engine)
    share_clock(engine)
    with engine.connect() as connection:
        used = connection.scalar(text("SELECT pg_backend_pid()"))
    with psycopg.connect(postgres_url) as other:
        other.execute("SELECT pg_terminate_backend(%s)", (used,))

    with engine.connect().execution_options(gatehouse_read=True) as connection:
        assert connection.scalar(text("SELECT pg_backend_pid()")) != used
    engine.dispose()


def test_a_database_that_says_nothing_is_given_up_after_some_seconds():
    with socket.create_server((LOOPBACK, 0)) as mute:
        url = f"postgresql+psycopg://gatehouse@{LOOPBACK}:{mute.getsockname()[1]}/gatehouse"
        engine = create_engine(url, **_engine_options(url))
        before = time.monotonic()

        with pytest.raises(OperationalError, match="timeout"):
            engine.connect()

        assert time.monotonic() - before < 10
