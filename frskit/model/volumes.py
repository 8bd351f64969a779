"""Disks, volumes and paths as one server sees them."""

from __future__ import annotations

from attrs import frozen

from frskit.model.ids import StorageId, VolumeId
from frskit.model.storage import Access
from frskit.model.values import Value

__all__ = ["Disk", "DiskFlags", "Extent", "Volume", "VolumePath"]


@frozen(kw_only=True)
class DiskFlags(Value):
    """Flags in a LUN's label area; a copy carries those its source had at the instant [VSS 1.1]."""

    hidden: bool = False
    read_only: bool = False
    no_drive_letter: bool = False
    shadow_copy: bool = False


@frozen(kw_only=True)
class Disk(Value):
    """One disk of a server, as it was at the last rescan.

    Attributes:
        storage: The array's id for it.
        access: How this server reaches it.
        size_bytes: Length.
        signature: Disk signature (GUID text), empty if the disk has none.
        device: The server's own name for it, such as ``/dev/sdb``; empty if it has none.
        flags: Flags of the label area.
    """

    storage: StorageId
    access: Access
    size_bytes: int
    signature: str = ""
    device: str = ""
    flags: DiskFlags = DiskFlags()


@frozen(kw_only=True)
class Extent(Value):
    """A piece of a volume on one disk."""

    storage: StorageId
    offset_bytes: int
    length_bytes: int


@frozen(kw_only=True)
class Volume(Value):
    """A mounted (or mountable) volume of a server.

    Attributes:
        id: Volume id; a copy has the id of its original.
        mount_points: Where it is mounted, server-native; empty = not mounted.
        extents: Where its bytes lie.
        read_only: Whether it refuses writes.
    """

    id: VolumeId
    mount_points: tuple[str, ...]
    extents: tuple[Extent, ...]
    read_only: bool = False

    @property
    def storages(self) -> frozenset[StorageId]:
        """The disks that this volume lies on."""
        return frozenset(extent.storage for extent in self.extents)


@frozen(kw_only=True)
class VolumePath(Value):
    """A server-native path, resolved: which volume, and where in it (``a/b.log``)."""

    volume: VolumeId
    path: str
