"""Metadata on the device: superblocks, images and journal, in an order that survives any crash.

A change is durable when its journal record is. When the journal is full, the whole state becomes a
new image in the area that is not in use, then the superblock points to it (one atomic sector), then
its mirror. Data that a record refers to is flushed before the record is written.

What it is not: it knows nothing of files' contents. Source: frskit's choice.
"""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

from attrs import evolve

from frskit.errors import DeviceError, FileSystemDamaged
from frskit.storage.devices import SECTOR_BYTES
from frskit.storage.simfs.layout import (
    BLOCK_BYTES,
    Superblock,
    damaged,
    decode_superblock,
    encode_record,
    encode_superblock,
    journal_records,
)
from frskit.storage.simfs.metadata import Metadata

if TYPE_CHECKING:
    from frskit.protocols.small import BlockDevice

__all__ = ["MetadataStore", "read_superblocks"]


def read_superblocks(device: BlockDevice) -> tuple[Superblock | None, Superblock | None]:
    """The superblock and its mirror; None for each that is not good."""
    if device.size_bytes < 2 * BLOCK_BYTES:
        return None, None
    primary = decode_superblock(device.read(0, SECTOR_BYTES))
    # The volume may be shorter than its device; only the superblock knows where the mirror is.
    blocks = device.size_bytes // BLOCK_BYTES
    if primary is not None and 2 <= primary.blocks <= blocks:
        blocks = primary.blocks
    return primary, decode_superblock(device.read((blocks - 1) * BLOCK_BYTES, SECTOR_BYTES))


class MetadataStore:
    """One mounted volume's metadata and the place to commit changes of it.

    Attributes:
        metadata: The state; callers change it with `Metadata.apply` and hand the same operations
            to `commit`.
        superblock: The valid superblock.
        records: Journal records since the last image.
    """

    def __init__(
        self, device: BlockDevice, superblock: Superblock, *, mirror_is_stale: bool = False
    ) -> None:
        self.superblock: Superblock = superblock
        self.metadata: Metadata = Metadata()
        self.records: int = 0
        self._device = device
        self._position = 0
        self._mirror_is_stale = mirror_is_stale
        self._broken = False

    @classmethod
    def open(cls, device: BlockDevice) -> MetadataStore:
        """Read the state as of the last durable change. Nothing is written.

        Raises:
            FileSystemDamaged: There is no good volume of this kind on the device.
        """
        primary, mirror = read_superblocks(device)
        good = [copy for copy in (primary, mirror) if copy is not None]
        if not good:
            raise FileSystemDamaged("no simfs volume: neither superblock is good")
        store = cls(
            device,
            # A crash between the two leaves the mirror one step behind.
            max(good, key=lambda copy: copy.sequence),
            mirror_is_stale=primary != mirror,
        )
        store._check_geometry()
        store._load()
        return store

    @classmethod
    def format(cls, device: BlockDevice, superblock: Superblock) -> MetadataStore:
        """Make an empty volume; everything on the device is lost.

        Raises:
            WriteProtected, DeviceError: As `BlockDevice.write`.
        """
        # No later mount may find records or a mirror of an earlier volume.
        device.discard(0, device.size_bytes)
        device.flush()
        store = cls(device, superblock)
        store._write_image()
        return store

    def _check_geometry(self) -> None:
        blocks = self.superblock
        fits = blocks.blocks * BLOCK_BYTES <= self._device.size_bytes
        if not fits or blocks.data_start > blocks.data_end:
            raise damaged("the volume does not fit the device")
        if blocks.image_bytes > blocks.image_blocks * BLOCK_BYTES:
            raise damaged("the image does not fit its area")

    def _load(self) -> None:
        superblock = self.superblock
        image = self._device.read(superblock.image_offset, superblock.image_bytes)
        if zlib.crc32(image) != superblock.image_crc:
            raise damaged("the image's checksum is wrong")
        self.metadata = Metadata.replay(image)
        journal = self._device.read(BLOCK_BYTES, superblock.journal_bytes)
        for operations, position in journal_records(journal, superblock.sequence):
            self.metadata.replay_more(operations)
            self._position = position
            self.records += 1
        self.metadata.validate()

    def commit(self, operations: bytes) -> None:
        """Make operations durable that `metadata` has already; all of them or none.

        May be repeated after an error, with the same operations and more.

        Raises:
            DeviceError: The device failed, or failed before in a way that needs a new mount.
        """
        if self._broken:
            raise DeviceError(
                "the volume's superblock could not be written",
                hint="Mount the volume again; it has the state before or after that change.",
            )
        # What the record gives to files has to be on the device before it.
        self._device.flush()
        record = encode_record(self.superblock.sequence, self.records, operations)
        # Both must mean this image before the area of the other one is written.
        if self._mirror_is_stale:
            self._write_superblock(self.superblock)
        if self._position + len(record) > self.superblock.journal_bytes:
            # The image has these operations already, because `metadata` has.
            self._write_image()
            return
        self._device.write(BLOCK_BYTES + self._position, record)
        self._device.flush()
        self._position += len(record)
        self.records += 1

    def _write_image(self) -> None:
        image = self.metadata.encode()
        superblock = evolve(
            self.superblock,
            sequence=self.superblock.sequence + 1,
            image_bytes=len(image),
            image_crc=zlib.crc32(image),
        )
        if image:
            self._device.write(superblock.image_offset, image)
            self._device.flush()
        self._write_superblock(superblock)
        self._position = 0
        self.records = 0

    def _write_superblock(self, superblock: Superblock) -> None:
        # After an error in here nobody knows which superblock counts, and with it which image
        # area may be written: only a new mount can tell.
        self._broken = True
        sector = encode_superblock(superblock)
        self._device.write(0, sector)
        self._device.flush()
        self._device.write((superblock.blocks - 1) * BLOCK_BYTES, sector)
        self._device.flush()
        self._broken = False
        self._mirror_is_stale = False
        self.superblock = superblock
