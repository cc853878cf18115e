"""Counts the statements that reach the database, so that a list that asks once a row is noticed."""

import contextlib
from collections.abc import Iterator
from typing import Any

from sqlalchemy import event

from app.extensions import db

WRITES = ("INSERT", "UPDATE", "DELETE")


class Statements(list[str]):
    """What was executed, in order; BEGIN, COMMIT and settings left out."""

    @property
    def writes(self) -> list[str]:
        return [statement for statement in self if verb(statement) in WRITES]


def verb(statement: str) -> str:
    """The first word, that of the last part for WITH … UPDATE."""
    words = statement.split()
    if words[0].upper() != "WITH":
        return words[0].upper()
    return next((word for word in map(str.upper, words) if word in WRITES), "SELECT")


@contextlib.contextmanager
def counted() -> Iterator[Statements]:
    """Note what the current application's engine executes, in whatever thread."""
    statements = Statements()

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if verb(statement) in ("SELECT", *WRITES):
            statements.append(statement)

    engine = db.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)
