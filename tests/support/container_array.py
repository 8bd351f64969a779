"""An array as unlike frskit's own as the seam allows: visible in its staging, slow, with one flag.

It shares no code with `frskit.eva` or `frskit.local`. Its habits are those of arrays that are driven
through a command line: copies are staged into *containers*, which are listed and cost space before
anything was copied, and a container becomes the copy under its own id; deletions go on for a while
after the command; hosts get LUN numbers from whoever presents; write protection belongs to the
storage and holds for all hosts; copies that somebody made by hand are listed without a key. What it
cannot tell, it leaves at None.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from attrs import define, evolve, field, frozen

from frskit.spi import (
    AccessKind,
    ArrayCapabilities,
    ArrayCopy,
    CopyConflict,
    CopyKind,
    CopyState,
    DeviceError,
    InsufficientCapacity,
    NameInUse,
    NameRule,
    OutcomeUnknown,
    Presentation,
    PresentationFailed,
    ReadOnlyScope,
    ScsiLun,
    StagedCopies,
    StaleLun,
    StillPresented,
    Storage,
    StorageId,
    StorageNotFound,
    StorageState,
    TimedOut,
    UnsupportedKind,
    UsageError,
    WriteProtected,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from frskit.spi import BlockDevice, Budget, Clock, CopyKey, CopyRequest, HostRef

__all__ = ["ContainerArray"]


@define
class _Box:
    """One object: a disk, a container, or the copy that a container became."""

    id: StorageId
    name: str
    data: bytearray
    wwn: str
    protected: bool = False
    gone_at: float | None = None
    request: CopyRequest | None = None
    key: CopyKey | None = None
    copy: ArrayCopy | None = None

    @property
    def staged(self) -> bool:
        return self.request is not None and self.copy is None

    @property
    def state(self) -> StorageState:
        if self.gone_at is not None:
            return StorageState.DELETING
        return StorageState.PREPARING if self.staged else StorageState.READY


@frozen
class _Path:
    """One row of the map: who sees which object under which number."""

    host: HostRef
    number: int
    box: StorageId


@define
class _Inside:
    """What a restart does not touch."""

    boxes: dict[StorageId, _Box] = field(factory=dict)
    paths: list[_Path] = field(factory=list)
    serial: int = 0
    requests: dict[CopyKey, tuple[CopyRequest, ...]] = field(factory=dict)
    lock: threading.RLock = field(factory=threading.RLock)


class ContainerArray:
    """The array, and the block side of itself.

    Args:
        clock: Its time; deletions take some of it.
        hosts: Host objects that it knows.
        capacity_bytes: Room for everything, containers included.
        delete_s: How long a deletion goes on.
        commit_s: How long the instant takes.
    """

    def __init__(
        self,
        clock: Clock,
        hosts: Sequence[HostRef],
        *,
        capacity_bytes: int = 64 << 20,
        delete_s: float = 5.0,
        commit_s: float = 0.0,
    ) -> None:
        self._clock = clock
        self._hosts = tuple(hosts)
        self._capacity = capacity_bytes
        self._delete_s, self._commit_s = delete_s, commit_s
        self._inside = _Inside()

    # -- what only this array has ------------------------------------------------------------

    def add_disk(self, name: str, size_bytes: int, *, wwn: str = "") -> StorageId:
        """A new empty disk; `wwn` gives it a world wide name that another one may have had."""
        with self._inside.lock:
            return self._make(name, size_bytes, wwn).id

    def copy_by_hand(self, source: StorageId, name: str) -> StorageId:
        """What an administrator does beside frskit: a copy of which the array knows little."""
        with self._inside.lock:
            made = self._make(name, len(self._box(source).data))
            made.data[:] = self._box(source).data
            made.copy = ArrayCopy(
                id=made.id,
                source=None,
                key=None,
                kind=None,
                state=CopyState.UNKNOWN,
                size_bytes=None,
                name=name,
            )
            return made.id

    def restarted(self) -> ContainerArray:
        """The array after a restart: what it holds is there, what callers held is worth nothing."""
        again = ContainerArray(
            self._clock,
            self._hosts,
            capacity_bytes=self._capacity,
            delete_s=self._delete_s,
            commit_s=self._commit_s,
        )
        again._inside = self._inside
        return again

    def _make(self, name: str, size_bytes: int, wwn: str = "") -> _Box:
        inside = self._inside
        if sum(len(each.data) for each in self._living()) + size_bytes > self._capacity:
            raise InsufficientCapacity(f"{self.name} has no room for {size_bytes} bytes")
        inside.serial += 1
        made = _Box(
            id=StorageId(f"box:{inside.serial}"),
            name=name or f"box-{inside.serial}",
            data=bytearray(size_bytes),
            wwn=wwn or f"naa.5000c0de{inside.serial:08x}",
        )
        inside.boxes[made.id] = made
        return made

    def _living(self) -> Iterator[_Box]:
        """What is there now: a deletion ends when its time has come, whoever looks."""
        now = self._clock.monotonic()
        for each in list(self._inside.boxes.values()):
            if each.gone_at is not None and now >= each.gone_at:
                del self._inside.boxes[each.id]
            else:
                yield each

    def _box(self, storage: StorageId) -> _Box:
        for each in self._living():
            if each.id == storage and each.gone_at is None:
                return each
        raise StorageNotFound(f"{self.name} has no {storage}", context={"storage": storage})

    # -- what it says of itself --------------------------------------------------------------

    @property
    def name(self) -> str:
        """Its name."""
        return "containers"

    @property
    def capabilities(self) -> ArrayCapabilities:
        """What it can do."""
        return ArrayCapabilities(
            kinds=frozenset({CopyKind.SNAPCLONE}),
            access=frozenset({AccessKind.SCSI_LUN}),
            label_bytes=1 << 20,
            read_only=ReadOnlyScope.STORAGE,
            numbers=True,
            staging_visible=True,
            late_effect_s=self._delete_s,
            names=NameRule(max_bytes=31, allowed=r"[A-Za-z0-9_.-]+", folds_case=True),
        )

    def storage(
        self, ids: Iterable[StorageId] | None = None, *, budget: Budget
    ) -> Sequence[Storage]:
        """Disks, copies and containers."""
        budget.check("listing")
        wanted = None if ids is None else set(ids)
        with self._inside.lock:
            return tuple(
                Storage(
                    id=each.id,
                    name=each.name,
                    size_bytes=len(each.data),
                    identifiers=(each.wwn,),
                    state=each.state,
                    staged_for=each.key if each.staged else None,
                )
                for each in self._living()
                if wanted is None or each.id in wanted
            )

    def copies(self, *, key: CopyKey | None = None, budget: Budget) -> Sequence[ArrayCopy]:
        """Copies of sets, and those made by hand."""
        budget.check("listing copies")
        return self._copies(key)

    def _copies(self, key: CopyKey | None) -> tuple[ArrayCopy, ...]:
        with self._inside.lock:
            return tuple(
                evolve(each.copy, storage_state=each.state)
                for each in self._living()
                if each.copy is not None and (key is None or each.key == key)
            )

    # -- copies ------------------------------------------------------------------------------

    def stage_copies(
        self, requests: Sequence[CopyRequest], *, key: CopyKey, budget: Budget
    ) -> StagedCopies:
        """Make one container for each member."""
        budget.check("staging")
        wanted = tuple(requests)
        with self._inside.lock:
            # A key of which nothing is left can be used anew.
            mine = any(each.key == key for each in self._living())
            known = self._inside.requests.get(key) if mine else None
            if known is not None and known != wanted:
                raise CopyConflict(f"{key} was used for other copies", context={"key": key})
            if known is None:
                self._refuse(wanted)
                self._inside.requests[key] = wanted
                for request in wanted:
                    made = self._make(request.name, len(self._box(request.source).data))
                    made.request, made.key = request, key
            return StagedCopies(
                key=key, requests=wanted, visible=tuple(each.id for each in self._containers(key))
            )

    def _containers(self, key: CopyKey) -> list[_Box]:
        return [each for each in self._living() if each.key == key and each.staged]

    def _refuse(self, wanted: Sequence[CopyRequest]) -> None:
        """Everything that stands against a set, before anything of it is made."""
        if not wanted or len({each.source for each in wanted}) < len(wanted):
            raise UsageError("a set names at least one source, and each once")
        taken = {each.name.casefold() for each in self._living()}
        size_bytes = 0
        for each in wanted:
            if each.kind not in self.capabilities.kinds:
                raise UnsupportedKind(f"{self.name} makes no {each.kind.value}")
            # Without a name the array takes one of its own.
            if each.name:
                self.capabilities.names.check(each.name, "copy")
            if each.name.casefold() in taken:
                raise NameInUse(f"{each.name} is taken", context={"name": each.name})
            taken.update({each.name.casefold()} - {""})
            source = self._box(each.source)
            if source.staged:
                raise CopyConflict(f"{each.source} is a container")
            size_bytes += len(source.data)
        if sum(len(each.data) for each in self._living()) + size_bytes > self._capacity:
            raise InsufficientCapacity(f"{self.name} has no room for {size_bytes} bytes")

    def commit_copies(self, staged: StagedCopies, *, budget: Budget) -> Sequence[ArrayCopy]:
        """All containers become copies at one instant."""
        budget.check("committing")
        if not self._passes(self._commit_s, budget):
            raise TimedOut(f"{self.name} had no time to commit {staged.key}")
        with self._inside.lock:
            if self._inside.requests.get(staged.key) != staged.requests:
                raise CopyConflict(f"{staged.key} is not staged", context={"key": staged.key})
            waiting = self._containers(staged.key)
            # Whole or not at all: a source that went away fails the set before the first byte.
            sources = [self._box(each.request.source) for each in waiting if each.request]
            for each, source in zip(waiting, sources, strict=True):
                each.data[:] = source.data
                each.copy = ArrayCopy(
                    id=each.id,
                    source=source.id,
                    key=staged.key,
                    kind=CopyKind.SNAPCLONE,
                    state=CopyState.INDEPENDENT,
                    size_bytes=len(each.data),
                    name=each.name,
                    created_at=self._clock.now(),
                )
            made = self._copies(staged.key)
        # Looked at again: a result after the deadline would be of a time without a hold.
        if budget.remaining_s() == 0:
            raise OutcomeUnknown(f"{self.name} answered too late", key=staged.key)
        return made

    def discard_staged(self, key: CopyKey, *, budget: Budget) -> None:
        """Throw the containers of a set away."""
        budget.check("discarding")
        with self._inside.lock:
            containers = self._containers(key)
            for each in containers:
                del self._inside.boxes[each.id]
            if containers:
                del self._inside.requests[key]

    def delete_storage(self, storage: StorageId, *, budget: Budget) -> None:
        """Begin a deletion, if nobody sees the object, and wait for its end."""
        budget.check("deleting")
        with self._inside.lock:
            box = next((each for each in self._living() if each.id == storage), None)
            if box is None:
                return
            if any(each.box == storage for each in self._inside.paths):
                raise StillPresented(f"{storage} is presented", context={"storage": storage})
            if box.gone_at is None:
                box.gone_at = self._clock.monotonic() + self._delete_s
            left_s = box.gone_at - self._clock.monotonic()
        if not self._passes(left_s, budget):
            raise OutcomeUnknown(f"{storage} is being deleted", key=storage)

    def _passes(self, seconds: float, budget: Budget) -> bool:
        """Wait on the array's clock, no longer than the caller; whether all of it has passed."""
        limit_s = budget.remaining_s()
        self._clock.sleep(max(0.0, seconds if limit_s is None else min(seconds, limit_s)))
        return limit_s is None or seconds <= limit_s

    # -- hosts -------------------------------------------------------------------------------

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
        """Show an object under a number."""
        budget.check("presenting")
        with self._inside.lock:
            box = self._box(storage)
            if host not in self._hosts or box.staged:
                raise StorageNotFound(f"{self.name} cannot show {storage} to {host}")
            if access not in (None, AccessKind.SCSI_LUN):
                raise PresentationFailed(f"{self.name} has LUNs only, no {access}")
            mine = [each for each in self._inside.paths if each.box == storage]
            # One flag for all hosts: it cannot change under somebody who sees the object.
            if mine and box.protected != read_only:
                raise PresentationFailed(f"{storage} is shown otherwise to somebody")
            known = next((each for each in mine if each.host == host), None)
            path = known or _Path(host, self._number(host, number), storage)
            if number is not None and path.number != number:
                raise PresentationFailed(f"{storage} is LUN {path.number} for {host}")
            if known is None:
                self._inside.paths.append(path)
            box.protected = read_only
            return self._presentation(path)

    def _number(self, host: HostRef, number: int | None) -> int:
        taken = {each.number for each in self._inside.paths if each.host == host}
        free = [each for each in range(1, 256) if each not in taken]
        if number is None and free:
            return free[0]
        if number in free:
            return number
        raise PresentationFailed(f"LUN {number} is not free for {host}", context={"host": host})

    def _presentation(self, path: _Path) -> Presentation:
        return Presentation(
            storage=path.box,
            host=path.host,
            access=self._lun(path),
            read_only=self._inside.boxes[path.box].protected,
        )

    def _lun(self, path: _Path) -> ScsiLun:
        wwn = self._inside.boxes[path.box].wwn
        return ScsiLun(host=path.host, number=path.number, identifiers=(wwn,), storage=path.box)

    def unpresent(self, presentation: Presentation, *, budget: Budget) -> None:
        """Hide it from this host."""
        budget.check("hiding")
        gone = (presentation.host, presentation.storage)
        with self._inside.lock:
            self._inside.paths[:] = [
                each for each in self._inside.paths if (each.host, each.box) != gone
            ]

    def presentations(
        self, storage: StorageId | None = None, *, budget: Budget
    ) -> Sequence[Presentation]:
        """The map."""
        budget.check("listing presentations")
        with self._inside.lock:
            return tuple(
                self._presentation(each)
                for each in self._inside.paths
                if storage is None or each.box == storage
            )

    def report_luns(self, host: HostRef) -> Sequence[ScsiLun]:
        """What this host sees, by number."""
        with self._inside.lock:
            mine = [each for each in self._inside.paths if each.host == host]
            return tuple(self._lun(each) for each in sorted(mine, key=lambda each: each.number))

    def open_lun(self, host: HostRef, number: int) -> BlockDevice:
        """The disk under this number, as long as it is that disk."""
        with self._inside.lock:
            for each in self._inside.paths:
                if (each.host, each.number) == (host, number):
                    return _Device(self._inside, self._inside.boxes[each.box], each)
        raise DeviceError(f"nothing answers under LUN {number} of {host}")


class _Device:
    """One disk, seen by one host under one number."""

    def __init__(self, inside: _Inside, box: _Box, path: _Path) -> None:
        self._inside, self._box, self._path = inside, box, path

    @property
    def size_bytes(self) -> int:
        return len(self._box.data)

    @property
    def read_only(self) -> bool:
        return self._box.protected

    def _span(self, offset: int, length: int) -> slice:
        if self._path not in self._inside.paths:
            raise StaleLun(f"LUN {self._path.number} is gone for {self._path.host}")
        if offset < 0 or length < 0 or offset + length > self.size_bytes:
            raise DeviceError(f"bytes {offset} to {offset + length} are outside the disk")
        return slice(offset, offset + length)

    def read(self, offset: int, length: int) -> bytes:
        with self._inside.lock:
            return bytes(self._box.data[self._span(offset, length)])

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        with self._inside.lock:
            span = self._span(offset, memoryview(data).nbytes)
            if self._box.protected:
                raise WriteProtected(f"{self._box.id} is write-protected")
            self._box.data[span] = bytes(data)

    def flush(self) -> None:
        self._span(0, 0)

    def discard(self, offset: int, length: int) -> None:
        self.write(offset, bytes(length))
