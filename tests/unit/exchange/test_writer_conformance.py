"""The public writer kit on the Exchange writer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from attrs import define, field

from frskit.errors import Busy
from frskit.model.ids import VolumeId
from frskit.testing.writer.kit import check_writer

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from frskit.clock import Budget
    from frskit.model.components import ComponentId
    from frskit.protocols import Writer

pytestmark = pytest.mark.kits

LOGS = "L:\\exchsrvr\\sg1"


@define(kw_only=True)
class ExchangeWorld:
    """An Exchange as the kit wants to see one."""

    world: object
    before: list[str] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.world.fill_logs(8)
        self.world.exchange.group("sg1").idle()
        self.before = self._logs()

    def _logs(self) -> list[str]:
        return [each for each in self.world.server.names(LOGS) if len(each) == 12]

    @property
    def writer(self) -> Writer:
        return self.world.writer

    @property
    def components(self) -> Sequence[ComponentId]:
        return [each.id for each in self.writer.identify().components if each.selectable]

    @property
    def volumes(self) -> Collection[VolumeId]:
        return [VolumeId(f"volume-{letter}") for letter in "LMP"]

    def write(self) -> bool:
        try:
            self.world.deliver(1)
        except Busy:
            return False
        return True

    def image(self) -> object:
        return {k: d.read(0, d.size_bytes) for k, d in self.world.server.devices.items()}

    def truncated(self) -> bool:
        return not set(self.before) <= set(self._logs())

    def truncates(self) -> bool:
        return True

    def budget(self) -> Budget:
        return self.world.budget

    def pass_window(self) -> bool:
        self.world.clock.advance(21.0)
        return True


def test_exchange_writer_passes_the_kit(make_world) -> None:
    """Every scenario of the kit holds for the Exchange writer."""
    report = check_writer(lambda: ExchangeWorld(world=make_world()))
    assert report.executed
    assert not report.skipped
