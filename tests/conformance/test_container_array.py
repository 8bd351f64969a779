"""An array with other habits than frskit's own passes the kit."""

from __future__ import annotations

import pytest
from support.container_array import ContainerArray

from frskit.clock import VirtualClock
from frskit.spi import HostRef
from frskit.testing.array import ScsiWorld, check_disk_array

PRODUCTION, RECOVERY = HostRef("prod"), HostRef("rec")
SIZE_BYTES = 64 << 10

pytestmark = pytest.mark.kits


def make() -> ScsiWorld:
    """Two disks of production."""
    clock = VirtualClock()
    array = ContainerArray(clock, [PRODUCTION, RECOVERY], delete_s=0.5)
    disks = [array.add_disk(f"disk{number}", SIZE_BYTES) for number in range(2)]
    world = ScsiWorld(
        array,
        host=RECOVERY,
        production=PRODUCTION,
        storages=disks,
        size_bytes=SIZE_BYTES,
        advance=clock.advance,
        restart=array.restarted,
    )
    world.copy_by_hand = lambda source: array.copy_by_hand(source, "by-hand")
    return world


def test_the_array_of_containers_passes_the_kit():
    """What it offers is checked: containers that show, numbers that are asked for."""
    report = check_disk_array(make, max_examples=60)
    print(report)
    assert {"staged objects", "LUN numbers"} <= set(report.executed)
