"""What was done and is not written down yet: at most one piece of work, and for moments."""

from collections.abc import Callable
from typing import TypeVar

from app.database import transaction
from app.services.claims import Claimed

Did = TypeVar("Did")


class Owed:
    """Holds what a worker did last, to be written down with what the next begins with: one commit instead of two.

    `write` writes it within a transaction and returns what is to be told once that is committed; `settle` does all that by
    itself, and insists.
    """

    def __init__(self, write: Callable[[Claimed], Callable[[], None]], settle: Callable[[Claimed], None]) -> None:
        self._write, self._settle = write, settle
        self._item: Claimed | None = None

    def put(self, item: Claimed) -> None:
        """Owe this one from now on. Whoever waits for anything pays first."""
        self.pay()
        self._item = item

    def pay(self) -> None:
        """Write down by itself what is owed, if anything is."""
        item, self._item = self._item, None
        if item:
            self._settle(item)

    def together(self, act: Callable[[], Did]) -> Did:
        """Do `act` and write down what is owed in one transaction; one after the other where one of them can't be."""
        if self._item is None:
            return act()
        try:
            with transaction():
                tell = self._write(self._item)
                # point: owed.written
                did = act()
        except Exception:  # noqa: BLE001 - whichever it was, neither hinders the other; its own error comes again
            self.pay()
            return act()
        self._item = None
        tell()
        return did
