"""`LinuxServer`: this machine as a server whose volumes are directories that arrays present.

A volume is mounted by a symbolic link below the server's own *mount directory*::

    mounts/data            ->  the directory that an array presented
    mounts/<copy>/0        ->  a member of a copy
    mounts/.table.json     what is mounted where
    mounts/.lock           lock between processes

Applications use paths through the mount directory (``mounts/data/app.db``), so that a recovery can
put a copy in production's place: detach removes the link, attach makes a new one under the same
name, and the application's path leads to the copy.

Who a volume is stands in a small hidden file in its root directory, written when it is first
mounted for writing. Copies carry it along, so a copy of a volume has the id of its original, and
two of them are never mounted on one server at the same time (HAZ-02).

What it is not: a kernel mount. Nothing stops other programs from using the presented directory by
its real path; a read-only volume refuses changes made through `files` only; `hold_writes` flushes
and measures, but the hold itself is the application's own (its writer's Freeze). Freezing the file
system (FIFREEZE) needs a mount of its own and root, and is not done here.

All of it is frskit's choice. POSIX only; finding open files needs ``/proc``.
"""

from __future__ import annotations

import os
import stat
import uuid
from contextlib import closing, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from frskit.clock import Budget
from frskit.errors import (
    DuplicateSignature,
    FileMissing,
    HoldTimeout,
    StaleLun,
    UsageError,
    VolumeBusy,
    VolumeNotFound,
)
from frskit.hosts.freezer import Freezer, FrozenHold, check_may_freeze
from frskit.hosts.hold import HOLD_WINDOW_S, MeasuredHold
from frskit.hosts.mount_table import MountRecord, MountTable
from frskit.hosts.runners.local import LocalRunner
from frskit.model.ids import IdFactory, VolumeId, guid
from frskit.model.storage import HostPath, StorageState
from frskit.model.volumes import Disk, Extent, Volume, VolumePath
from frskit.storage import PathFileSystem

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from frskit.clock import Clock
    from frskit.model.ids import HostRef, StorageId
    from frskit.model.volumes import DiskFlags
    from frskit.protocols import CommandRunner, DiskArray, Server, WriteHold

__all__ = ["IDENTITY_FILE", "LinuxServer"]

IDENTITY_FILE: Final = ".frskit-volume"
"""Name of the hidden file with the volume's id."""


_HIDDEN: Final = frozenset({IDENTITY_FILE})


@frozen(kw_only=True)
class _Seen:
    """A directory as the last rescan found it; inode numbers tell it from a successor."""

    disk: Disk
    path: str
    identity: int
    read_only: bool


class LinuxServer:
    """One host of the site that is this machine; several may share it under different names.

    On construction it looks at the arrays once, as a server does when it starts.

    Args:
        name: Name of the server.
        host: The arrays' host object for it.
        clock: Measures holds.
        arrays: Arrays that may present directories to it.
        mounts: The mount directory, made if it is not there. One server, one directory.
        ids: Makes ids of new volumes.
        runner: Runs programs; the default starts them here.
        freeze: Whether `hold_writes` freezes the file systems of the volumes; only flushed without
            it. Needs root, and arrays that copy from below the file system.
        keep: Places that must stay writable meanwhile, such as the state directory of the site.

    Raises:
        ConfigurationError: The table in the mount directory is damaged.
    """

    def __init__(
        self,
        name: str,
        host: HostRef,
        *,
        clock: Clock,
        arrays: Sequence[DiskArray],
        mounts: Path,
        ids: IdFactory | None = None,
        runner: CommandRunner | None = None,
        freeze: bool = False,
        keep: Sequence[Path] = (),
    ) -> None:
        self._freeze, self._keep = freeze, tuple(keep)
        self._name = name
        self._host = host
        self._clock = clock
        self._arrays = tuple(arrays)
        self._ids = ids or IdFactory()
        self._runner = runner or LocalRunner()
        self._table = MountTable(mounts, clock)
        self._seen = self._look(Budget.of(clock))
        self._failed: set[StorageId] = set()

    @property
    def name(self) -> str:
        """Name of the server."""
        return self._name

    @property
    def host(self) -> HostRef:
        """The arrays' host object for it."""
        return self._host

    @property
    def mounts(self) -> Path:
        """The mount directory, absolute."""
        return self._table.root

    @property
    def runner(self) -> CommandRunner:
        """Runs programs on this machine."""
        return self._runner

    # -- disks ---------------------------------------------------------------------------------

    def _look(self, budget: Budget) -> dict[StorageId, _Seen]:
        """Ask every array for the directories that it presents to this host now."""
        found: dict[StorageId, _Seen] = {}
        for array in self._arrays:
            mine = {
                each.storage: each
                for each in array.presentations(budget=budget)
                if each.host == self._host and isinstance(each.access, HostPath)
            }
            for storage in array.storage(mine, budget=budget):
                # What lies in the place of a lost object is another one, and no disk of ours.
                if storage.state is StorageState.FAILED:
                    continue
                presentation = mine[storage.id]
                assert isinstance(presentation.access, HostPath)
                # By its real place, which no link can change behind our back.
                path = os.path.realpath(presentation.access.path)
                identity = _inode(path)
                # Presented, and removed from the machine since.
                if identity is None:
                    continue
                disk = Disk(
                    storage=storage.id,
                    access=presentation.access,
                    size_bytes=storage.size_bytes,
                    signature=_volume_id(path) or "",
                    device=path,
                )
                found[storage.id] = _Seen(
                    disk=disk, path=path, identity=identity, read_only=presentation.read_only
                )
        return found

    def disks(self) -> Sequence[Disk]:
        """The presented directories as the last rescan found them."""
        return tuple(each.disk for each in self._seen.values())

    def rescan(self, *, budget: Budget) -> Sequence[Disk]:
        """Look again; a mounted volume whose directory is gone is failed until it is detached."""
        budget.check("rescanning")
        before, self._seen = self._seen, self._look(budget)
        gone = {
            record.storage
            for record in self._table.records
            if record.storage not in self._failed and self._now(record) is None
        }
        # Until it is detached: what comes back under the path may be another directory.
        self._failed |= gone
        if gone:
            raise VolumeBusy(
                f"{self._name}: mounted volumes disappeared: {', '.join(sorted(gone))}",
                hint="Detach a volume before it is unpresented.",
                context={"storages": sorted(gone)},
            )
        return tuple(
            each.disk
            for storage, each in self._seen.items()
            if storage not in before or before[storage].identity != each.identity
        )

    def set_flags(self, storages: Collection[StorageId], flags: DiskFlags) -> None:
        """Directories have no label area: no effect."""

    # -- volumes -------------------------------------------------------------------------------

    def _now(self, record: MountRecord) -> _Seen | None:
        """The disk of a mount, if it is still the one that was mounted."""
        seen = self._seen.get(record.storage)
        same = seen is not None and seen.path == record.path and seen.identity == record.identity
        return seen if same else None

    def volumes(self) -> Sequence[Volume]:
        """Mounted volumes; failed ones are left out."""
        return tuple(
            self._volume(record, seen)
            for record in self._table.records
            if record.storage not in self._failed and (seen := self._now(record)) is not None
        )

    def _volume(self, record: MountRecord, seen: _Seen) -> Volume:
        extent = Extent(storage=record.storage, offset_bytes=0, length_bytes=seen.disk.size_bytes)
        return Volume(
            id=record.volume,
            mount_points=(self._table.native(record),),
            extents=(extent,),
            read_only=record.read_only,
        )

    def resolve(self, path: str) -> VolumePath:
        """The volume of an absolute path, through the mount directory or by its real place.

        Symbolic links beside those of the mount directory are not followed; the longest mount
        point wins.
        """
        wanted = os.path.normpath(path)
        best: tuple[int, VolumePath] | None = None
        for record in self._table.records:
            for prefix in (self._table.native(record), record.path):
                if wanted != prefix and not wanted.startswith(prefix.rstrip("/") + "/"):
                    continue
                inner = wanted[len(prefix) :].strip("/")
                if best is None or len(prefix) > best[0]:
                    best = len(prefix), VolumePath(volume=record.volume, path=inner)
        if best is None or not path.startswith("/"):
            raise VolumeNotFound(
                f"{self._name}: {path} is not on a mounted volume",
                hint=f"Volumes are mounted below {self.mounts}.",
                context={"path": path},
            )
        return best[1]

    def files(self, volume: VolumeId) -> PathFileSystem:
        """The files of a mounted volume.

        Raises:
            StaleLun: Another directory is where the volume was, or none [HAZ-01].
        """
        for record in self._table.records:
            if record.volume == volume:
                if self._now(record) is None or _inode(record.path) != record.identity:
                    raise StaleLun(
                        f"{self._name}: the directory of volume {volume} is not the one mounted",
                        context={"volume": volume, "path": record.path},
                    )
                return PathFileSystem(record.path, read_only=record.read_only, hidden=_HIDDEN)
        raise VolumeNotFound(f"{self._name}: no volume {volume} is mounted")

    @property
    def holds_writes(self) -> bool:
        """Whether its hold keeps every program from writing, and not the application's own."""
        return self._freeze

    @contextmanager
    def hold_writes(self, volumes: Collection[VolumeId], *, budget: Budget) -> Iterator[WriteHold]:
        """Flush every file of the volumes, then hold, or only measure without ``freeze``.

        A file system that is frozen thaws at the budget's deadline or after 10 s, and at once when
        this process dies, by the doing of another process.

        Raises:
            HoldTimeout: On leaving, if the hold was lost before, or too long.
            ConfigurationError: A volume is on a file system that must stay writable.
            HostError: A file system could not be frozen; all are thawed.
        """
        trees = [self.files(volume) for volume in volumes]
        freezer = self._freezer(volumes) if self._freeze else None
        with closing(freezer) if freezer is not None else nullcontext():
            # Flushed before the hold begins, which then lasts no longer than the cut.
            for tree in trees:
                budget.check("flushing volumes")
                tree.sync()
            hold = self._begun(freezer, budget.remaining_s())
            try:
                yield hold
            finally:
                hold.release()
        if hold.held_s > HOLD_WINDOW_S or (freezer is not None and freezer.lost):
            raise HoldTimeout(
                f"{self._name}: writes were held for {hold.held_s:.1f} s",
                context={"held_s": hold.held_s, "window_s": HOLD_WINDOW_S},
            )

    def _freezer(self, volumes: Collection[VolumeId]) -> Freezer:
        """The processes that will freeze; before anything is frozen."""
        places = [Path(each.path) for each in self._table.records if each.volume in volumes]
        # An array that copies into the very file system would wait for itself.
        roots = [Path(root) for each in self._arrays if (root := getattr(each, "root", None))]
        return Freezer(list(check_may_freeze(places, [*self._keep, self.mounts, *roots]).values()))

    def _begun(self, freezer: Freezer | None, limit_s: float | None) -> MeasuredHold:
        if freezer is None:
            return MeasuredHold(self._clock, limit_s)
        hold = FrozenHold(self._clock, freezer, limit_s)
        freezer.freeze(HOLD_WINDOW_S if limit_s is None else min(limit_s, HOLD_WINDOW_S))
        return hold

    # -- mounting ------------------------------------------------------------------------------

    def attach(
        self, at: Mapping[StorageId, str], *, read_only: bool, budget: Budget
    ) -> Sequence[Volume]:
        """Mount directories; mount points lie in the mount directory, as absolute or bare names.

        A directory that is presented read-only is mounted read-only.

        Raises:
            UsageError: A mount point lies elsewhere.
            DuplicateSignature, VolumeBusy, VolumeNotFound: As the protocol says.
        """
        budget.check("mounting")
        with self._table.change(budget):
            wanted = [
                self._record(storage, point, read_only=read_only) for storage, point in at.items()
            ]
            fresh = [each for each in wanted if each not in self._table.records]
            self._check(fresh)
            # Only now: a refused attach must leave no file behind.
            fresh = [self._identified(each) for each in fresh]
            self._table.add(fresh)
        self._failed.difference_update(at)
        mounted = {each.storage: each for each in self._table.records}
        return tuple(self._volume(mounted[storage], self._seen[storage]) for storage in at)

    def _record(self, storage: StorageId, point: str, *, read_only: bool) -> MountRecord:
        seen = self._seen.get(storage)
        # As it is now: since it was seen the directory may have been replaced.
        if seen is None or _inode(seen.path) != seen.identity:
            raise VolumeNotFound(
                f"{self._name} has no disk {storage}",
                hint="Present it to this server and rescan.",
                context={"storage": storage},
            )
        # Never mounted for writing: an id that comes out the same each time.
        volume = _volume_id(seen.path) or str(uuid.uuid5(uuid.NAMESPACE_URL, storage))
        return MountRecord(
            storage=storage,
            volume=VolumeId(volume),
            point=self._table.relative(point),
            path=seen.path,
            identity=seen.identity,
            read_only=read_only or seen.read_only,
        )

    def _check(self, fresh: Sequence[MountRecord]) -> None:
        """Nothing of a refused attach happens."""
        online = list(self._table.records)
        for record in fresh:
            for other in online:
                if other.storage == record.storage:
                    raise VolumeBusy(f"{record.storage} is mounted at {self._table.native(other)}")
                if other.volume == record.volume:
                    raise DuplicateSignature(
                        f"{self._name}: {other.storage} and {record.storage} are the same volume",
                        context={"storages": [other.storage, record.storage]},
                    )
            self._table.check_free(record.point, online)
            online.append(record)

    def _identified(self, record: MountRecord) -> MountRecord:
        """Give a volume that has none its id."""
        if record.read_only or _volume_id(record.path) is not None:
            return record
        volume = VolumeId(self._ids.guid())
        with PathFileSystem(record.path).create(IDENTITY_FILE, exclusive=False) as file:
            file.write_at(0, volume.encode() + b"\n")
            file.sync()
        seen = self._seen[record.storage]
        self._seen[record.storage] = evolve(seen, disk=evolve(seen.disk, signature=volume))
        return evolve(record, volume=volume)

    def detach(self, storages: Collection[StorageId], *, budget: Budget) -> None:
        """Flush and take the links away; all or none if something is in use."""
        budget.check("dismounting")
        with self._table.change(budget):
            mounted = [each for each in self._table.records if each.storage in storages]
            healthy = [each for each in mounted if _inode(each.path) == each.identity]
            # Asked before anything is taken away: all or none.
            users = _users({each.path for each in healthy})
            if users:
                raise VolumeBusy(
                    f"{self._name}: in use: {users[0][1]} by process {users[0][0]}",
                    context={"open": [f"{process}: {path}" for process, path in users]},
                )
            for record in healthy:
                if not record.read_only:
                    PathFileSystem(record.path).sync()
            self._table.remove(mounted)
        self._failed.difference_update(storages)


def _inode(path: str) -> int | None:
    """Inode number of a directory; None if there is none.

    Numbers are used again, so this finds a directory that was replaced only most of the time.
    """
    try:
        facts = Path(path).stat()
    except OSError:
        return None
    return facts.st_ino if stat.S_ISDIR(facts.st_mode) else None


def _volume_id(path: str) -> str | None:
    """The id in the volume's hidden file; None if it was never mounted for writing."""
    try:
        with PathFileSystem(path).open(IDENTITY_FILE) as file:
            return guid(file.read_at(0, 64).decode("ascii", "replace"))
    except (FileMissing, UsageError):
        return None


def _users(roots: Collection[str]) -> list[tuple[int, str]]:
    """Processes that have files open, or their working directory, below these directories.

    Processes of other users are seen only by root; mapped files whose descriptor is closed are not
    seen.
    """
    found: list[tuple[int, str]] = []
    if not roots:
        return found
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        # Processes end, or forbid the look, while they are being asked.
        with suppress(OSError):
            for link in (process / "cwd", *(process / "fd").iterdir()):
                with suppress(OSError):
                    path = str(link.readlink())
                    if any(path == root or path.startswith(root + "/") for root in roots):
                        found.append((int(process.name), path))
    return found


if TYPE_CHECKING:
    _server: type[Server] = LinuxServer
