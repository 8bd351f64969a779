"""A simulated Exchange as the writer kit wants to see one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from frskit.clock import Budget, VirtualClock
from frskit.errors import Busy, StoreError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Sequence

    from frskit.model.components import ComponentId
    from frskit.model.ids import VolumeId
    from frskit.protocols import Writer


@define(kw_only=True)
class ExchangeWorld:
    """Levers on a store that runs and has closed logs already.

    Args:
        writer: The store writer.
        volumes: Where the store's files are.
        clock: The store's.
        deliver: Puts one message into the store.
        logs: The closed logs, by name.
        image: What is on the volumes.
        window_s: How long to wait until the hold is over.
        roll: Closes one more log.
    """

    writer: Writer
    volumes: Collection[VolumeId]
    clock: VirtualClock
    deliver: Callable[[], object]
    closed: Callable[[], Iterable[str]] = field(alias="logs")
    image: Callable[[], object]
    window_s: float
    roll: Callable[[], object]
    _before: frozenset[str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._before = frozenset(self.closed())
        assert self._before, "there is nothing to truncate"

    @property
    def components(self) -> Sequence[ComponentId]:
        return [
            each.id
            for each in self.writer.identify(budget=self.budget()).components
            if each.selectable
        ]

    def write(self) -> bool:
        try:
            self.deliver()
        except (Busy, StoreError):
            return False
        return True

    def truncated(self) -> bool:
        return not self._before <= set(self.closed())

    def truncates(self) -> bool:
        return True

    def logs(self, _component: ComponentId) -> Iterable[str]:
        return self.closed()

    def close_log(self, _component: ComponentId) -> None:
        self.roll()

    def advance(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def pass_window(self) -> bool:
        self.clock.advance(self.window_s)
        return True

    def budget(self) -> Budget:
        return Budget.of(self.clock)
