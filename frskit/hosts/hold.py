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
    """A hold of writes that ends by itself after `HOLD_WINDOW_S`, and measures its length."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
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
        return self._until_s is None and self.held_s <= HOLD_WINDOW_S

    def release(self) -> None:
        """Let writes pass and stop measuring."""
        self._until_s = self._clock.monotonic()


if TYPE_CHECKING:
    _: type[WriteHold] = MeasuredHold
