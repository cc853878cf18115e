"""Lists a page at a time, by what the last row was (keyset), so that a long list costs no more than a short one."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, and_, or_
from sqlalchemy.orm import InstrumentedAttribute

from app.extensions import db

PAGE = 50
T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """Some rows of a list in its order, most often newest first; `newer` and `older` are the `before` and `after` of the pages beside it."""

    items: list[T]
    newer: str | None = None
    older: str | None = None


def page(
    statement: Select[T],
    moment: InstrumentedAttribute[Any],
    *,
    after: str | None = None,
    before: str | None = None,
    size: int | None = None,
    earliest_first: bool = False,
) -> Page[T]:
    """One page of a statement, newest by `moment` first or earliest; `after` and `before` are public ids of rows that it finds.

    All others count for none, as an id that nobody has: where a list goes on tells nothing of what is not in it.
    """
    model: Any = moment.class_
    size = size or PAGE
    cursor = _row(statement, moment, after or before)
    backwards = cursor is not None and not after
    ascends = backwards != earliest_first
    if cursor is not None:
        statement = statement.where(_beyond(model, moment, cursor, newer=ascends))
    order = (moment.asc(), model.id.asc()) if ascends else (moment.desc(), model.id.desc())
    rows: list[Any] = list(db.session.scalars(statement.order_by(*order).limit(size + 1)))
    more, rows = len(rows) > size, rows[:size]
    if backwards:
        rows.reverse()
    if not rows:
        return Page([])
    has_newer = more if backwards else cursor is not None
    has_older = True if backwards else more
    return Page(rows, rows[0].public_id if has_newer else None, rows[-1].public_id if has_older else None)


def _row(statement: Select[T], moment: InstrumentedAttribute[Any], public_id: str | None) -> tuple[Any, int] | None:
    """Where the row of that id stands in the list."""
    if not public_id or not public_id.isalnum():
        return None
    model: Any = moment.class_
    found: Any = db.session.scalar(statement.where(model.public_id == public_id))
    return (getattr(found, moment.key), found.id) if found is not None else None


def _beyond(
    model: Any, moment: InstrumentedAttribute[Any], cursor: tuple[Any, int], *, newer: bool
) -> ColumnElement[bool]:
    at, row_id = cursor
    if newer:
        return or_(moment > at, and_(moment == at, model.id > row_id))
    return or_(moment < at, and_(moment == at, model.id < row_id))


def page_of(items: list[T], key: Callable[[T], str], *, after: str | None = None, before: str | None = None) -> Page[T]:
    """The same for a list in memory, in the order it has; a key that is not in it means the first page."""
    keys = [key(item) for item in items]
    start = 0
    if after in keys:
        start = keys.index(after) + 1
    elif before in keys:
        start = max(0, keys.index(before) - PAGE)
    rows = items[start : start + PAGE]
    newer = keys[start] if start else None
    older = keys[start + PAGE - 1] if start + PAGE < len(items) else None
    return Page(rows, newer, older)
