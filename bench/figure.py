"""What a bench measures: figures, each beside what is promised of it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Figure:
    """A measured value and what it means in a sentence; promised are at least `floor` and at most `ceiling`, if any.

    A unit that is a word or a symbol follows the value: “ms”, “a second”, “kB”, “×”, “%”.
    """

    name: str
    value: float
    unit: str
    meaning: str
    floor: float | None = None
    ceiling: float | None = None

    @property
    def is_promised(self) -> bool:
        """Whether there is anything to hold it to."""
        return self.floor is not None or self.ceiling is not None

    @property
    def is_met(self) -> bool:
        """Whether it keeps what is promised; true of what nothing is promised of."""
        return (self.floor is None or self.value >= self.floor) and (self.ceiling is None or self.value <= self.ceiling)

    @property
    def measured(self) -> str:
        """The value with its unit."""
        return self._with_unit(self.value)

    @property
    def promise(self) -> str:
        """What is promised of it, in words; nothing if nothing is."""
        words = [("at least", self.floor), ("at most", self.ceiling)]
        return " and ".join(f"{word} {self._with_unit(bound)}" for word, bound in words if bound is not None)

    @property
    def verdict(self) -> str:
        """“met” or “missed”; nothing if nothing is promised."""
        return ("met" if self.is_met else "missed") if self.is_promised else ""

    def _with_unit(self, value: float) -> str:
        return f"{_number(value)}{'' if self.unit in ('×', '%', '') else ' '}{self.unit}"


def _number(value: float) -> str:
    """Three digits that say something, and thousands apart: 0.0123, 1.23, 123, 12,346."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"
