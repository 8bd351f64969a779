"""A hold of writes as a server measures it: how long it lasted, and whether it is still in force.

The window of 10 s is VSS's own [VSS-44]; what a server does with writes meanwhile is its own
affair: the simulated one refuses them, on Linux the writer's own hold keeps them away.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from frskit.clock import Clock
    from frskit.protocols import WriteHold

__all__ = ["HOLD_WINDOW_S", "MeasuredHold"]

HOLD_WINDOW_S: Final = 10.0
"""Longest time for which writes are held [VSS-44]."""


class MeasuredHold:
    """A hold of writes that ends by itself, and measures its length.

    Args:
        clock: Measures it.
        limit_s: Seconds after which it ends by itself, `HOLD_WINDOW_S` at most; None: no sooner.
    """

    def __init__(self, clock: Clock, limit_s: float | None = None) -> None:
        self._clock = clock
        self._limit_s = HOLD_WINDOW_S if limit_s is None else min(limit_s, HOLD_WINDOW_S)
        self._since_s = clock.monotonic()
        self._until_s: float | None = None

    @property
    def held_s(self) -> float:
        """Seconds since the hold began; final after the release."""
        until_s = self._clock.monotonic() if self._until_s is None else self._until_s
        return until_s - self._since_s

    @property
    def in_force(self) -> bool:
        """Whether writes are held now; a hold that is too long lets them pass [VSS-44]."""
        return self._until_s is None and self.held_s <= self._limit_s

    def release(self) -> None:
        """Let writes pass and stop measuring; only the first time counts."""
        if self._until_s is None:
            self._until_s = self._clock.monotonic()


if TYPE_CHECKING:
    _: type[WriteHold] = MeasuredHold
