"""The public writer kit on the Exchange writer."""

from __future__ import annotations

import pytest
from support.exchange_world import ExchangeWorld

from frskit.model.ids import VolumeId
from frskit.testing.writer.kit import check_writer

pytestmark = pytest.mark.kits

LOGS = "L:\\exchsrvr\\sg1"


def with_closed_logs(world) -> ExchangeWorld:
    """The world of these tests, with eight logs closed."""
    world.fill_logs(8)
    world.exchange.group("sg1").idle()
    return ExchangeWorld(
        writer=world.writer,
        volumes=[VolumeId(f"volume-{letter}") for letter in "LMP"],
        clock=world.clock,
        deliver=lambda: world.deliver(1),
        logs=lambda: [each for each in world.server.names(LOGS) if len(each) == 12],
        image=lambda: {k: d.read(0, d.size_bytes) for k, d in world.server.devices.items()},
        window_s=21.0,
        roll=lambda: world.exchange.group("sg1").roll(),
    )


def test_exchange_writer_passes_the_kit(make_world) -> None:
    """Every scenario of the kit holds for the Exchange writer."""
    report = check_writer(lambda: with_closed_logs(make_world()))
    assert report.executed
    # The store engine has no place where a test could make it fail or wait in a freeze.
    assert set(report.skipped) == {
        "failing application",
        "slow application",
        "one of two components",
    }
