"""Truth values of rows in SQL's logic of three: true, false and null."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Truth:
    """Whether something holds, for each row or for all: false is what is neither true nor null."""

    true: np.ndarray
    """Booleans, of shape [rows] or []."""
    null: np.ndarray | None = None
    """Booleans, likewise: where it is null, and so not true; None if nowhere."""

    def __and__(self, other: "Truth") -> "Truth":
        true = self.true & other.true
        if self.null is None and other.null is None:
            return Truth(true)
        return Truth(true, ~true & self._perhaps & other._perhaps)

    def __or__(self, other: "Truth") -> "Truth":
        true = self.true | other.true
        if self.null is None and other.null is None:
            return Truth(true)
        return Truth(true, ~true & (self._null | other._null))

    def __invert__(self) -> "Truth":
        return Truth(~self.true if self.null is None else ~(self.true | self.null), self.null)

    def equals(self, other: "Truth") -> "Truth":
        """Whether both are true or both false; null where one of them is null."""
        return unless_null(self.true == other.true, self.null, other.null)

    @property
    def _null(self) -> np.ndarray:
        return np.False_ if self.null is None else self.null  # type: ignore[return-value]

    @property
    def _perhaps(self) -> np.ndarray:
        """Where it is true or null."""
        return self.true | self._null


def unless_null(holds: np.ndarray, *nulls: np.ndarray | None) -> Truth:
    """What holds, except that it is null where any of ``nulls`` is true."""
    known = [each for each in nulls if each is not None]
    if not known:
        return Truth(holds)
    null = known[0] if len(known) == 1 else known[0] | known[1]
    return Truth(holds & ~null, null)
