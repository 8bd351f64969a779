"""A file system check of simfs that reads only the device.

It reads what a mount reads and reports instead of refusing. Source: frskit's choice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.errors import FileSystemDamaged
from frskit.storage.simfs.store import MetadataStore, read_superblocks

if TYPE_CHECKING:
    from frskit.protocols.small import BlockDevice

__all__ = ["check_volume"]


def check_volume(device: BlockDevice) -> tuple[str, ...]:
    """What is wrong with the volume on a device; empty if nothing is.

    A mirror that is one step behind its superblock is what a crash may leave, and not reported.

    Raises:
        DeviceError, StaleLun, CopyInvalid: As `BlockDevice.read`.
    """
    primary, mirror = read_superblocks(device)
    problems: list[str] = []
    if primary is None:
        problems.append("the superblock is damaged")
    if mirror is None:
        problems.append("the mirror of the superblock is damaged")
    elif primary is not None and primary.sequence - mirror.sequence not in {0, 1}:
        problems.append("superblock and mirror disagree")
    try:
        store = MetadataStore.open(device)
        store.metadata.free_map(store.superblock.data_start, store.superblock.data_end)
    except FileSystemDamaged as error:
        problems.append(error.message)
    return tuple(problems)
