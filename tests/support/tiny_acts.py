"""What the children of the nursery's own tests do."""

import time


def prepare():
    from app import clock

    return clock.now()


def fine(made):
    assert made.tzinfo


def wrong(_made, why):
    raise ValueError(why)


def long(_made):
    time.sleep(60)


def commit(_made):
    """End a transaction of a database that is not there."""
    from app import database

    class Session:
        new = dirty = deleted = ()
        info = property(lambda _: {})
        in_transaction = rollback = connection = commit = staticmethod(lambda **_: None)
        dialect = property(lambda self: self)
        get_bind = classmethod(lambda cls: cls())

    database.db = type("Db", (), {"session": staticmethod(Session)})
    with database.transaction():
        pass
