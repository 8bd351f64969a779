"""The trunk of the simulated array: lock, time, commands, lookups, normalization.

What it is: everything that provisioning, copying and presenting share. Each command takes the
array's lock, lets time pass, changes tables and blocks together or not at all, and adds a line to
the history. What it is not: useful alone; see `frskit.eva.array.SimulatedEva`.

Time: the array keeps the highest wall time it has seen, and measures elapsed time monotonically, so
a clock that jumps neither dates a copy before its source nor hurries a normalization [R-32,
HAZ-13]. While nobody has the array open it goes on by the wall clock (frskit's choice).
"""

from __future__ import annotations

import re
import threading
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from attrs import evolve

from frskit.errors import (
    ArrayDamaged,
    ConfigurationError,
    InsufficientCapacity,
    LimitExceeded,
    NameInUse,
    StorageNotFound,
    UsageError,
)
from frskit.eva.blocks.store import BlockStore
from frskit.eva.capacity import disk_psegs, raw_psegs, used_psegs
from frskit.eva.demand_allocation import DemandMaps
from frskit.eva.event_log import ArrayOperation
from frskit.eva.identifiers import Numbering, ObjectClass, ObjectIdentity
from frskit.eva.models import ExhaustionPolicy
from frskit.eva.records import ArrayRecord, ArrayTables, GroupRecord, HostRecord, VirtualDisk
from frskit.eva.rules import DependentState, DiskState
from frskit.model.storage import CopyKind, CopyState

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator
    from pathlib import Path

    from frskit.clock import Clock
    from frskit.eva.models import ModelProfile
    from frskit.model.ids import HostRef, StorageId

__all__ = ["EvaCore"]

# Bounds the memory of a long-lived array (frskit's choice).
_HISTORY_EVENTS: Final = 10_000
_BAD_NAME: Final = re.compile(r'[\x00-\x1f\\/:*?"<>|]')  # recalled [EVA 1.4]


class EvaCore:
    """State and time of one simulated array."""

    def __init__(
        self,
        name: str,
        *,
        profile: ModelProfile,
        clock: Clock,
        rng: random.Random,
        directory: Path | None,
    ) -> None:
        self._lock = threading.RLock()
        self._profile = profile
        self._clock = clock
        self._closed = False
        self._history: deque[ArrayOperation] = deque(maxlen=_HISTORY_EVENTS)
        self._store = BlockStore() if directory is None else BlockStore.open(directory)
        try:
            self._tables = ArrayTables(self._store)
            self._maps = DemandMaps(self._store)
            self._credit_bytes = 0.0
            self._seen_s = clock.monotonic()
            self._tables.load()
            if self._tables.array.rows:
                self._resume(name)
            else:
                self._at = clock.now()
                self._found(name, rng)
        except BaseException:
            self._store.close()
            raise

    def _found(self, name: str, rng: random.Random) -> None:
        """Make a new array: the seed gives its world wide name, everything else counts from it."""
        _check_name(name, 10_000)
        numbering = Numbering(cell_word=rng.getrandbits(32))
        cell, numbering = numbering.next(ObjectClass.CELL)
        record = ArrayRecord(
            name=name,
            cell=cell,
            wwn=f"50001fe1{rng.getrandbits(32) & 0xFFFFFFF0:08x}",
            numbering=numbering,
            at=self._at,
        )
        with self._tables.change():
            self._tables.array.put("array", record)

    def _resume(self, name: str) -> None:
        """Take up an array from its records; normalization went on meanwhile."""
        record = self._record
        if record.name != name:
            raise ConfigurationError(
                f"the directory holds the array {record.name!r}, not {name!r}",
                hint="Open it under its own name.",
            )
        disks = self._tables.disks.rows.values()
        used = {disk.volume for disk in disks if disk.volume >= 0}
        if used != {int(volume) for volume in self._store.volumes()}:
            raise ArrayDamaged("the array's records and its block store do not agree")
        self._maps.load(
            {disk.id for disk in disks if disk.kind is CopyKind.VSNAP and disk.volume >= 0}
        )
        self._at = record.at
        away_s = (self._clock.now() - record.at).total_seconds()
        if away_s > 0:
            self._credit_bytes = away_s * self._profile.copy_bytes_per_s

    # --- commands and time -----------------------------------------------------------------

    @property
    def _record(self) -> ArrayRecord:
        return self._tables.array.rows["array"]

    @contextmanager
    def _query(self) -> Iterator[None]:
        """One call that changes nothing but lets time pass."""
        with self._lock:
            self._pass_time()
            yield

    @contextmanager
    def _command(self) -> Iterator[None]:
        """One call that changes something: all of it or nothing [EVA-32]."""
        with self._lock:
            self._pass_time()
            with self._change():
                yield

    @contextmanager
    def _change(self) -> Iterator[None]:
        with self._tables.change():
            yield
            if self._store.durable:
                self._tables.array.put("array", evolve(self._record, at=self._at))
                self._maps.persist()

    def _keep(self) -> None:
        """Make everything that was written durable, and what is known about it."""
        if self._maps.dirty:
            with self._store.transaction():
                self._maps.persist()
        else:
            self._store.flush()

    def _log(self, operation: str, subject: str, detail: str = "") -> None:
        self._history.append(
            ArrayOperation(at=self._at, operation=operation, subject=subject, detail=detail)
        )

    def _pass_time(self) -> None:
        if self._closed:
            raise UsageError(f"the array {self._record.name!r} is closed", hint="Open it again.")
        reading_s = self._clock.monotonic()
        elapsed_s = max(0.0, reading_s - self._seen_s)
        self._seen_s = max(self._seen_s, reading_s)
        self._at = max(self._at, self._clock.now())
        if not self._tables.clones.rows:
            self._credit_bytes = 0.0
            return
        self._credit_bytes += elapsed_s * self._profile.copy_bytes_per_s
        if self._credit_bytes >= 1:
            self._normalize()

    def _normalize(self) -> None:
        """Copy for as long as the elapsed time allows, the oldest snapclone first."""
        with self._change():
            for storage in tuple(self._tables.clones.rows):
                disk = self._tables.disks.rows[storage]
                step = min(int(self._credit_bytes), disk.size_bytes - disk.copied_bytes)
                self._credit_bytes -= step
                self._copy_up_to(disk, disk.copied_bytes + step)
                if self._credit_bytes < 1:
                    break

    def _copy_up_to(self, disk: VirtualDisk, target: int) -> None:
        """Bring a snapclone to `target` bytes; the pages behind them are copied for real.

        The array copies every byte of the disk, the block store only pages that hold something,
        so progress is scaled between the two.
        """
        progress = self._store.clone_step(disk.volume, 0)
        wanted = -(-progress.total_bytes * target // disk.size_bytes)
        if not progress.done and wanted > progress.copied_bytes:
            progress = self._store.clone_step(disk.volume, wanted - progress.copied_bytes)
        finished = target >= disk.size_bytes
        while finished and not progress.done:
            progress = self._store.clone_step(disk.volume, max(1, progress.total_bytes))
        state = CopyState.INDEPENDENT if finished else CopyState.NORMALIZING
        self._tables.disks.put(disk.id, evolve(disk, copied_bytes=target, state=state))
        if finished:
            self._tables.release(disk)
            self._log("normalized", disk.name, disk.id)

    # --- lookups ---------------------------------------------------------------------------

    def _disk(self, storage: StorageId) -> VirtualDisk:
        disk = self._tables.disks.rows.get(storage)
        if disk is None:
            raise StorageNotFound(
                f"the array has no storage {storage!r}", context={"storage": storage}
            )
        return disk

    def _group(self, name: str) -> GroupRecord:
        group = self._tables.groups.rows.get(name)
        if group is None:
            raise StorageNotFound(
                f"the array has no disk group {name!r}", context={"disk_group": name}
            )
        return group

    def _host(self, host: HostRef) -> HostRecord:
        record = self._tables.hosts.rows.get(host)
        if record is None:
            raise StorageNotFound(f"the array has no host {host!r}", context={"host": host})
        return record

    def _seen_by_rules(self, disk: VirtualDisk) -> DiskState:
        """A disk as `frskit.eva.rules` sees it."""
        tables = self._tables
        dependents = tables.dependents.rows.get(disk.id, ())
        return DiskState(
            name=disk.name,
            size_bytes=disk.size_bytes,
            group=disk.group,
            vraid=disk.vraid,
            kind=disk.kind,
            state=disk.state,
            dependents=tuple(
                DependentState(kind=each.kind, vraid=each.vraid)
                for each in map(tables.disks.rows.__getitem__, dependents)
                if each.kind is not None
            ),
            presented=disk.id in tables.shown.rows,
        )

    def _identity(self, kind: ObjectClass) -> ObjectIdentity:
        """Number a new object, inside a command."""
        record = self._record
        identity, numbering = record.numbering.next(kind)
        self._tables.array.put("array", evolve(record, numbering=numbering))
        return identity

    def _free_name(self, name: str) -> None:
        """Refuse a name that is malformed or taken among disk-like objects [EVA-44]."""
        _check_name(name, self._profile.max_name_chars)
        if name in self._tables.names.rows:
            raise NameInUse(f"the name {name!r} is in use", context={"name": name})

    # --- capacity --------------------------------------------------------------------------

    def _staged_disks(self) -> Iterator[VirtualDisk]:
        for copy_set in self._tables.sets.rows.values():
            yield from copy_set.prepared

    def _used_psegs(self, group: GroupRecord) -> int:
        used = used_psegs(group, self._tables.disks.rows.values(), self._maps)
        staged = (each for each in self._staged_disks() if each.group == group.name)
        return used + sum(disk_psegs(each, self._maps) for each in staged)

    def _free_psegs(self, group: str) -> int:
        record = self._group(group)
        return record.total_psegs - self._used_psegs(record)

    def _take(self, group: str, raw: int) -> None:
        """Refuse what does not fit [EVA-20]."""
        free = self._free_psegs(group)
        if raw > free:
            raise InsufficientCapacity(
                f"the disk group {group!r} has {free} free segments of 2 MiB, not {raw}",
                context={"disk_group": group, "free_psegs": free, "wanted_psegs": raw},
            )

    # --- demand-allocated snapshots --------------------------------------------------------

    def _preserve(self, disk: VirtualDisk, offset: int, length: int) -> None:
        """Make room in the vsnaps that a write will touch, or apply the exhaustion policy.

        Raises:
            InsufficientCapacity: The write must not happen; nothing has changed.
        """
        page = self._maps.page_bytes
        first, last = offset // page, (offset + length - 1) // page
        touched = [disk] if disk.kind is CopyKind.VSNAP else self._demand_dependents(disk)
        growth = [
            raw_psegs(self._maps.psegs_after(each.id, first, last), each.vraid)
            - raw_psegs(self._maps.psegs(each.id), each.vraid)
            for each in touched
        ]
        if any(growth):
            touched = self._make_room(disk, touched, growth)
        for each in touched:
            self._maps.mark(each.id, first, last)

    def _demand_dependents(self, disk: VirtualDisk) -> list[VirtualDisk]:
        return [
            each
            for each in self._tables.dependents_of(disk.id)
            if each.kind is CopyKind.VSNAP and each.state is CopyState.DEPENDENT
        ]

    def _make_room(
        self, disk: VirtualDisk, touched: list[VirtualDisk], growth: list[int]
    ) -> list[VirtualDisk]:
        """The vsnaps that may grow by `growth`; the oldest are given up where policy says so."""
        free = self._free_psegs(disk.group)
        gives_up = self._profile.exhaustion is ExhaustionPolicy.INVALIDATE_SNAPSHOTS
        if sum(growth) > free and (disk.kind is CopyKind.VSNAP or not gives_up):
            raise InsufficientCapacity(
                f"the disk group {disk.group!r} is full: nothing was written to {disk.name!r}",
                context={"storage": disk.id, "disk_group": disk.group},
            )
        while sum(growth) > free:
            free += disk_psegs(touched[0], self._maps)
            self._invalidate(touched[0])
            touched, growth = touched[1:], growth[1:]
        return touched

    def _invalidate(self, disk: VirtualDisk) -> None:
        """Give a vsnap up for good: it holds no data and costs nothing any more [EVA 1.7]."""
        with self._change():
            self._store.delete(disk.volume)
            self._tables.disks.put(disk.id, evolve(disk, volume=-1, state=CopyState.INVALID))
            self._maps.drop(disk.id)
            self._log("invalidated", disk.name, disk.id)


def _check_name(name: str, longest: int) -> None:
    if len(name) > longest:
        raise LimitExceeded(
            f"the name {name!r} has more than {longest} characters", context={"name": name}
        )
    if not name.strip() or _BAD_NAME.search(name):
        raise UsageError(f"{name!r} is no name for an object of the array")
