"""What was done and is not written down yet: a few pieces of work at most, and for moments."""

from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog
from sqlalchemy import String, bindparam, func, select, true
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from app.database import transaction
from app.prepared import Prepared
from app.services.claims import Claimed, Failed, LeaseLost, Postponed, Superseded
from app.vault import Sealed

Did = TypeVar("Did")
log = structlog.get_logger(__name__)
PATIENCE = "400ms"  # less than PostgreSQL waits before it ends whom it finds in a knot (deadlock_timeout)
_IN_THIS_TRANSACTION = true()
_WAIT = Prepared(select(func.set_config("lock_timeout", bindparam("most", type_=String), _IN_THIS_TRANSACTION)))


class NotAlike(Exception):
    """These can't be done in the same way."""


USUAL = (Failed, LeaseLost, NotAlike, Postponed, Sealed, Superseded)


class Owed:
    """Holds what a worker did last, to be written down with what the next begins with: one commit instead of two.

    `write` writes it within a transaction and returns what is to be told once that is committed; `settle` does that for one
    by itself, and insists.
    """

    def __init__(
        self, write: Callable[[Sequence[Claimed]], Callable[[], None]], settle: Callable[[Claimed], None]
    ) -> None:
        self._write, self._settle = write, settle
        self._items: list[Claimed] = []

    def put(self, item: Claimed) -> None:
        """Owe this one too from now on. Whoever waits for anything pays first."""
        self._items.append(item)

    def pay(self) -> None:
        """Write down by itself what is owed, if anything is."""
        if len(self._items) > 1 and self._try(lambda: True):
            return
        while self._items:
            self._settle(self._items.pop(0))

    def together(self, act: Callable[[], Did]) -> Did:
        """Do `act` and write down what is owed in one transaction; one after the other where one of them can't be."""
        if self._items:
            if did := self._try(act):
                return did[0]
            self.pay()
        return act()

    def all_together(
        self, at_once: Callable[[], Sequence[Did]], each: Sequence[Callable[[], Did]]
    ) -> Sequence[Did | Exception]:
        """What `together` does with several; where they can't be done `at_once`, what hinders one hinders no other."""
        if did := self._try(at_once, impatient=True):
            return did[0]
        return [self._tried(act) for act in each]

    def _try(self, act: Callable[[], Did], *, impatient: bool = False) -> tuple[Did] | None:
        """What came of it; nothing where either can't be: neither hinders the other, and what hinders one alone comes again."""
        try:
            with transaction() as session:
                if impatient:
                    _lose_patience_soon(session)
                tell = self._write(self._items)
                # point: owed.written
                did = act()
        except (*USUAL, SQLAlchemyError):
            return None
        except Exception:
            log.exception("not done together")
            return None
        self._items = []
        tell()
        return (did,)

    def _tried(self, act: Callable[[], Did]) -> Did | Exception:
        try:
            return self.together(act)
        except Exception as error:  # noqa: BLE001 - it is told to who asked
            return error


def _lose_patience_soon(session: Session) -> None:
    """Hold several rows at once only as long as nobody wants them in another order: such a knot is ours to untie."""
    if session.get_bind().dialect.name == "postgresql":
        _WAIT(most=PATIENCE)
