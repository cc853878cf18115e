"""Acting as another process would while a test is in the middle of something: in a thread, with a session of its own."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

from flask import current_app
from sqlalchemy import inspect

from app.extensions import db

T = TypeVar("T")


def elsewhere(act: Callable[..., T], *rows: Any) -> T:
    """Do it in another session of the same application and tenant, with these rows as they are there."""
    return at_once([act], *rows)[0].result()


def at_once(acts: Sequence[Callable[..., T]], *rows: Any) -> list[Future[T]]:
    """Do all of these at the same moment, each in a session of its own; they are done when this returns."""
    app, tenant = current_app._get_current_object(), db.session().info.get("tenant")  # type: ignore[attr-defined]
    known = [(type(row), inspect(row).identity) for row in rows]
    start = Barrier(len(acts))

    def alone(act: Callable[..., T]) -> T:
        with app.app_context():
            db.session().info["tenant"] = tenant
            mine = [db.session.get_one(kind, key) for kind, key in known]
            db.session.rollback()  # no connection is held while the others get ready
            start.wait(30)
            try:
                return act(*mine)
            finally:
                db.session.remove()

    with ThreadPoolExecutor(len(acts)) as pool:
        return [pool.submit(alone, act) for act in acts]


def outcomes(futures: Sequence[Future[Any]]) -> list[Any]:
    """What each came to: its result, or the kind of error that it raised."""
    return [type(error) if (error := future.exception()) else future.result() for future in futures]
