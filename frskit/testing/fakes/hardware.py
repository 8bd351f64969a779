"""A small array and a small server for tests of shadow copies; see `frskit.testing.fakes.parties`.

The array keeps real bytes and the flags of each LUN, so a copy carries what its source had at the
instant; the server knows only what its last rescan found and measures how long writes are held.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import define, evolve

from frskit._typing import override
from frskit.bases import ArrayBase
from frskit.clock import Budget, Clock, VirtualClock
from frskit.errors import (
    CopyConflict,
    HoldTimeout,
    StillPresented,
    StorageNotFound,
    UnsupportedKind,
    VolumeNotFound,
)
from frskit.model.ids import CopyKey, HostRef, StorageId, VolumeId
from frskit.model.storage import (
    AccessKind,
    ArrayCapabilities,
    ArrayCopy,
    CopyKind,
    CopyRequest,
    CopyState,
    Presentation,
    ScsiLun,
    StagedCopies,
    Storage,
)
from frskit.model.volumes import Disk, DiskFlags, Extent, Volume, VolumePath
from frskit.testing.fakes.parties import Script

if TYPE_CHECKING:
    from frskit.protocols import CommandRunner, DiskArray, FileSystem, Server, WriteHold

__all__ = ["SmallArray", "SmallServer"]

# Seconds of flush-and-hold [VSS-44].
_HOLD_S = 10.0


@define(eq=False)
class _Lun:
    """Bytes, flags and name of one storage object."""

    data: bytearray
    flags: DiskFlags
    name: str
    copy: ArrayCopy | None = None


class SmallArray(ArrayBase):
    """An array of a few bytes per LUN; copies are whole at once.

    Args:
        script: Where its calls go.
        sources: Names of its storage.
        kinds: Kinds of copy that it makes.
        limit: Most members of a set.
        name: Name of the array, also its party on the script.
    """

    def __init__(
        self,
        script: Script,
        sources: Sequence[str],
        *,
        kinds: Collection[CopyKind] = tuple(CopyKind),
        limit: int | None = None,
        name: str = "array",
    ) -> None:
        super().__init__()
        self.script = script
        self._name = name
        self._limit = limit
        self._kinds = frozenset(kinds)
        self.luns: dict[StorageId, _Lun] = {
            StorageId(f"naa:{each}"): _Lun(bytearray(each.encode()), DiskFlags(), each)
            for each in sources
        }
        self._presented: list[Presentation] = []
        self._made = 0

    @property
    def name(self) -> str:
        """Name of the array."""
        return self._name

    @property
    def capabilities(self) -> ArrayCapabilities:
        """As given."""
        return ArrayCapabilities(
            kinds=self._kinds,
            access=frozenset({AccessKind.SCSI_LUN}),
            max_set_members=self._limit,
            proven_on="tests",
        )

    def read(self, storage: StorageId) -> bytes:
        """The bytes of a LUN."""
        return bytes(self.luns[storage].data)

    def write(self, storage: StorageId, data: bytes) -> None:
        """Replace the bytes of a LUN."""
        self.luns[storage].data[:] = data

    def storage(
        self, ids: Iterable[StorageId] | None = None, *, budget: Budget | None = None
    ) -> Sequence[Storage]:
        """Known ones among `ids`, or all."""
        wanted = list(self.luns) if ids is None else [each for each in ids if each in self.luns]
        return tuple(
            Storage(id=each, name=self.luns[each].name, size_bytes=len(self.luns[each].data))
            for each in wanted
        )

    def copies(
        self, *, key: CopyKey | None = None, budget: Budget | None = None
    ) -> Sequence[ArrayCopy]:
        """Copies of one set, or all."""
        self.script.hit(f"{self._name}.copies")
        found = [lun.copy for lun in self.luns.values() if lun.copy is not None]
        return tuple(each for each in found if key is None or each.key == key)

    @override
    def check_request(self, request: CopyRequest) -> None:
        """Kinds and sources."""
        if request.kind not in self._kinds:
            raise UnsupportedKind(f"no {request.kind.value} here")
        if request.source not in self.luns:
            raise StorageNotFound(f"no storage {request.source}")

    @override
    def stage_copies(
        self, requests: Sequence[CopyRequest], *, key: CopyKey, budget: Budget
    ) -> StagedCopies:
        """Check and remember."""
        with self.script.around(f"{self._name}.stage_copies"):
            return super().stage_copies(requests, key=key, budget=budget)

    def commit_copies(self, staged: StagedCopies, *, budget: Budget) -> Sequence[ArrayCopy]:
        """Copy bytes and flags of every member."""
        with self.script.around(f"{self._name}.commit_copies"):
            done = [
                lun.copy
                for lun in self.luns.values()
                if lun.copy is not None and lun.copy.key == staged.key
            ]
            if done:
                return tuple(done)
            if staged.key not in self._staged:
                raise CopyConflict(f"key {staged.key} is not staged")
            made = tuple(self._copy(staged.key, each) for each in staged.requests)
            self._staged.pop(staged.key)
        return made

    def _copy(self, key: CopyKey, request: CopyRequest) -> ArrayCopy:
        self._made += 1
        source = self.luns[request.source]
        clone = request.kind is CopyKind.SNAPCLONE
        copy = ArrayCopy(
            id=StorageId(f"naa:copy-{self._made}"),
            source=request.source,
            key=key,
            kind=request.kind,
            state=CopyState.INDEPENDENT if clone else CopyState.DEPENDENT,
            size_bytes=len(source.data),
            name=request.name,
        )
        self.luns[copy.id] = _Lun(bytearray(source.data), source.flags, request.name, copy)
        return copy

    @override
    def discard_staged(self, key: CopyKey, *, budget: Budget | None = None) -> None:
        """Forget."""
        self.script.hit(f"{self._name}.discard_staged")
        super().discard_staged(key, budget=budget)

    def staged_keys(self) -> list[CopyKey]:
        """What is staged and was neither committed nor discarded."""
        return list(self._staged)

    def delete_storage(self, storage: StorageId, *, budget: Budget) -> None:
        """Delete."""
        with self.script.around(f"{self._name}.delete_storage"):
            if self.presentations(storage):
                raise StillPresented(f"{storage} is presented")
            self.luns.pop(storage, None)

    def present(
        self,
        storage: StorageId,
        host: HostRef,
        *,
        read_only: bool,
        access: str | None = None,
        number: int | None = None,
        budget: Budget,
    ) -> Presentation:
        """Show."""
        with self.script.around(f"{self._name}.present"):
            if storage not in self.luns:
                raise StorageNotFound(f"no storage {storage}")
            for known in self._presented:
                if (known.storage, known.host) == (storage, host):
                    return known
            place = ScsiLun(
                host=host,
                number=number or 1 + len(self._presented),
                identifiers=(storage,),
                storage=storage,
            )
            made = Presentation(storage=storage, host=host, access=place, read_only=read_only)
            self._presented.append(made)
        return made

    def unpresent(self, presentation: Presentation, *, budget: Budget) -> None:
        """Hide."""
        with self.script.around(f"{self._name}.unpresent"):
            self._presented = [
                each
                for each in self._presented
                if (each.storage, each.host) != (presentation.storage, presentation.host)
            ]

    def presentations(
        self, storage: StorageId | None = None, *, budget: Budget | None = None
    ) -> Sequence[Presentation]:
        """Who sees it."""
        return tuple(each for each in self._presented if storage in (None, each.storage))


@define(eq=False)
class _Hold:
    """Writes held; `held_s` is final after the release."""

    clock: Clock
    since_s: float
    end: Callable[[], None]
    until_s: float | None = None

    @property
    def held_s(self) -> float:
        """Seconds held so far."""
        end_s = self.clock.monotonic() if self.until_s is None else self.until_s
        return end_s - self.since_s

    def release(self) -> None:
        """Let writes pass, once."""
        if self.until_s is None:
            self.until_s = self.clock.monotonic()
            self.end()


class SmallServer:
    """A server with one volume per LUN; it sees what its last rescan found.

    Args:
        script: Where its calls go.
        name: Its name, its host object and its party on the script.
        arrays: Arrays that it is connected to.
        clock: Measures holds.
    """

    def __init__(
        self, script: Script, name: str, arrays: Sequence[SmallArray], *, clock: VirtualClock
    ) -> None:
        self.script = script
        self._name = name
        self._arrays = arrays
        self._clock = clock
        self._disks: list[Disk] = []
        self._mounted: dict[VolumeId, Volume] = {}
        self.held: list[VolumeId] = []

    @property
    def name(self) -> str:
        """Name of the server."""
        return self._name

    @property
    def host(self) -> HostRef:
        """Its host object."""
        return HostRef(self._name)

    @property
    def runner(self) -> CommandRunner | None:
        """Nothing can be run here."""
        return None

    def _array(self, storage: StorageId) -> SmallArray | None:
        return next((each for each in self._arrays if storage in each.luns), None)

    def disks(self) -> Sequence[Disk]:
        """As of the last rescan; flags are read from the LUN."""
        # Flags lie on the LUN itself, so that they are never out of date.
        return tuple(
            evolve(disk, flags=array.luns[disk.storage].flags)
            for disk in self._disks
            if (array := self._array(disk.storage)) is not None
        )

    def volumes(self) -> Sequence[Volume]:
        """Mounted volumes."""
        return tuple(self._mounted.values())

    def mount(self, volume: str, at: str, *places: tuple[StorageId, int, int]) -> None:
        """Put a volume on extents of LUNs."""
        self._mounted[VolumeId(volume)] = Volume(
            id=VolumeId(volume),
            mount_points=(at,),
            extents=tuple(
                Extent(storage=storage, offset_bytes=offset, length_bytes=length)
                for storage, offset, length in places
            ),
        )

    def resolve(self, path: str) -> VolumePath:
        """By the mount point."""
        for volume in self._mounted.values():
            for at in volume.mount_points:
                if path.casefold().startswith(at.casefold()):
                    return VolumePath(volume=volume.id, path=path[len(at) :].strip("\\/"))
        raise VolumeNotFound(f"no volume holds {path}")

    def files(self, volume: VolumeId) -> FileSystem:
        """There are no file systems here."""
        raise VolumeNotFound(f"volume {volume} has no files")

    @contextmanager
    def hold_writes(self, volumes: Collection[VolumeId], *, budget: Budget) -> Iterator[WriteHold]:
        """Hold, measure, release."""
        self.script.hit(f"{self._name}.hold")
        hold = _Hold(self._clock, self._clock.monotonic(), self._let_go)
        self.held = list(volumes)
        try:
            self.script.hit(f"{self._name}.hold!")
            yield hold
        finally:
            hold.release()
        if hold.held_s > _HOLD_S:
            raise HoldTimeout(f"writes were held for {hold.held_s:.1f} s")

    def _let_go(self) -> None:
        self.held = []
        self.script.hit(f"{self._name}.release")

    def set_flags(self, storages: Collection[StorageId], flags: DiskFlags) -> None:
        """Write flags to LUNs."""
        mark = "mark" if flags.shadow_copy else "clear"
        with self.script.around(f"{self._name}.{mark}"):
            for storage in storages:
                array = self._array(storage)
                if array is not None:
                    array.luns[storage].flags = flags

    def rescan(self, *, budget: Budget) -> Sequence[Disk]:
        """Look again."""
        self.script.hit(f"{self._name}.rescan")
        before = {disk.storage for disk in self._disks}
        self._disks = [
            Disk(
                storage=each.storage,
                access=each.access,
                size_bytes=len(array.luns[each.storage].data),
                signature=f"signature-{each.storage}",
                device=f"/dev/{each.storage}",
            )
            for array in self._arrays
            for each in array.presentations()
            if each.host == self.host and each.storage in array.luns
        ]
        return tuple(disk for disk in self._disks if disk.storage not in before)

    def attach(
        self, at: Mapping[StorageId, str], *, read_only: bool, budget: Budget
    ) -> Sequence[Volume]:
        """Mount a whole LUN as one volume."""
        for storage, place in at.items():
            if storage not in {disk.storage for disk in self._disks}:
                raise VolumeNotFound(f"no disk {storage}")
            self.mount(f"volume-{storage}", place, (storage, 0, 1))
        return tuple(each for each in self.volumes() if each.storages & set(at))

    def detach(self, storages: Collection[StorageId], *, budget: Budget) -> None:
        """Dismount."""
        self.script.hit(f"{self._name}.detach")
        for volume in list(self._mounted.values()):
            if volume.storages & set(storages):
                del self._mounted[volume.id]


if TYPE_CHECKING:
    _array: type[DiskArray] = SmallArray
    _server: type[Server] = SmallServer
