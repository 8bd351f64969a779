"""A server: its disks, volumes and files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from contextlib import AbstractContextManager

    from frskit.clock import Budget
    from frskit.model.ids import HostRef, StorageId, VolumeId
    from frskit.model.volumes import Disk, DiskFlags, Volume, VolumePath
    from frskit.protocols.small import CommandRunner, FileSystem

__all__ = ["Server", "ServerDirectory", "WriteHold"]


class WriteHold(Protocol):
    """Writes held on some volumes; a context manager that releases them."""

    @property
    def held_s(self) -> float:
        """How long writes were held; final after the release."""
        ...

    def release(self) -> None:
        """Let writes pass now. Idempotent, from any thread, also while the block still runs.

        A hold also ends by itself: after the window of 10 s [VSS-44] and at the deadline of its
        budget, whoever hangs.
        """
        ...


class Server(Protocol):
    """One host of the site.

    A server remembers which disk it found under which LUN; it learns of changes by `rescan` only
    and never returns data of another disk than it remembers (`StaleLun`) [HAZ-01].
    """

    @property
    def name(self) -> str:
        """Name of the server."""
        ...

    @property
    def host(self) -> HostRef:
        """The array's host object for it."""
        ...

    @property
    def runner(self) -> CommandRunner | None:
        """Runs programs there; None where nothing can be run (simulated servers)."""
        ...

    def disks(self) -> Sequence[Disk]:
        """Disks as found at the last rescan."""
        ...

    def volumes(self) -> Sequence[Volume]:
        """Mounted volumes."""
        ...

    def resolve(self, path: str) -> VolumePath:
        """The volume that a server-native path lies on, and the path inside it.

        Raises:
            VolumeNotFound: No mounted volume holds the path.
        """
        ...

    def files(self, volume: VolumeId) -> FileSystem:
        """The files of a mounted volume; a read-only volume refuses changes.

        Raises:
            VolumeNotFound: Not mounted here.
        """
        ...

    def hold_writes(
        self, volumes: Collection[VolumeId], *, budget: Budget
    ) -> AbstractContextManager[WriteHold]:
        """Flush, then hold all writes to these volumes until the block ends.

        Leaving the block always releases, in whatever thread it is left. Nothing inside may write
        to them.

        Raises:
            HoldTimeout: On leaving, if writes were held for longer than the window of 10 s; they
                had been released at that point [VSS-44].
        """
        ...

    def set_flags(self, storages: Collection[StorageId], flags: DiskFlags) -> None:
        """Write flags into the label areas; no effect on disks without one. Idempotent."""
        ...

    def rescan(self, *, budget: Budget) -> Sequence[Disk]:
        """Look at the LUNs again; return the disks that are new.

        Raises:
            VolumeBusy: A disk with a mounted volume disappeared; the volume is failed, not lost.
        """
        ...

    def attach(
        self, at: Mapping[StorageId, str], *, read_only: bool, budget: Budget
    ) -> Sequence[Volume]:
        """Mount the volumes of these disks at these mount points, all or none.

        Each disk holds one volume. Repeating it returns the mounted volumes.

        Raises:
            DuplicateSignature: Another disk of the same signature is online here [HAZ-02].
            VolumeBusy: A mount point is taken.
            VolumeNotFound: A disk is not there, or holds no volume.
            FileSystemDamaged: A volume cannot be mounted.
        """
        ...

    def detach(self, storages: Collection[StorageId], *, budget: Budget) -> None:
        """Flush and dismount the volumes of these disks. Not mounted is fine (idempotent).

        Raises:
            VolumeBusy: Something holds a file open there.
        """
        ...


class ServerDirectory(Protocol):
    """Finds servers by name, again at each step: virtual servers move [FRS R-3.3]."""

    def resolve(self, name: str) -> Server:
        """The server that owns this name now.

        Raises:
            ServerNotFound: Nobody does.
        """
        ...

    def nodes(self, name: str) -> Sequence[Server]:
        """Every server that this name can move to, its owner now among them.

        Asked once per plan: storage has to be shown to all of them, under one number. A server
        that does not move is its only node.

        Raises:
            ServerNotFound: There is no such name.
        """
        ...
