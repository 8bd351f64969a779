"""What the parts of the simulated array share: lock, time, commands, lookups, history.

What it is: the one object that every part holds. Each command takes the array's lock, lets time
pass, changes tables and blocks together or not at all, and adds a line to the history. What it is
not: rules, capacity or copies; those are the parts (`frskit.eva.array` names them).

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
    NameInUse,
    StorageNotFound,
    UsageError,
)
from frskit.eva.blocks.store import BlockStore
from frskit.eva.demand_allocation import DemandMaps
from frskit.eva.event_log import ArrayOperation
from frskit.eva.identifiers import Numbering, ObjectClass, ObjectIdentity
from frskit.eva.records import ArrayRecord, ArrayTables, GroupRecord, HostRecord, VirtualDisk
from frskit.eva.rules import DependentState, DiskState
from frskit.model.storage import CopyKind

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime
    from pathlib import Path

    from frskit.clock import Clock
    from frskit.eva.models import ModelProfile
    from frskit.model.ids import HostRef, StorageId

__all__ = ["ArrayState"]

# Bounds the memory of a long-lived array (frskit's choice).
_HISTORY_EVENTS: Final = 10_000
# It stands between double quotes, and a line ends the command.
_BAD_COMMENT: Final = re.compile(r'[\x00-\x1f"]')


class ArrayState:
    """What all parts of one simulated array share: records, blocks, lock and time.

    Args:
        name: Name of the array.
        profile: Limits and policies.
        clock: Source of time.
        rng: Source of the world wide name of a new array.
        directory: Where the array lives; None = in memory.

    Attributes:
        lock: Held by every command, query and transfer.
        profile, clock: As given.
        store: The bytes.
        tables: The records.
        maps: What demand-allocated snapshots keep for themselves.
        at: Highest time the array has seen, aware UTC.
        history: What the array did since it was opened, oldest first.
        closed: Whether `close` was called.
        away_s: Seconds by the wall clock between the last command and this opening.
        on_elapsed: Told, under the lock, how many seconds passed whenever the array is asked
            anything.

    Raises:
        Busy, ArrayDamaged, ConfigurationError: As `frskit.eva.array.SimulatedEva`.
    """

    def __init__(
        self,
        name: str,
        *,
        profile: ModelProfile,
        clock: Clock,
        rng: random.Random,
        directory: Path | None,
    ) -> None:
        self.lock: AbstractContextManager[bool] = threading.RLock()
        self.profile: ModelProfile = profile
        self.clock: Clock = clock
        self.closed: bool = False
        self.history: deque[ArrayOperation] = deque(maxlen=_HISTORY_EVENTS)
        self.store: BlockStore = BlockStore() if directory is None else BlockStore.open(directory)
        try:
            self.tables: ArrayTables = ArrayTables(self.store)
            self.maps: DemandMaps = DemandMaps(self.store)
            self.away_s: float = 0.0
            self.on_elapsed: Callable[[float], None] = lambda _elapsed_s: None
            self._seen_s = clock.monotonic()
            self.tables.load()
            self.at: datetime = clock.now()
            if self.tables.array.rows:
                self._resume(name)
            else:
                self._found(name, rng)
        except BaseException:
            self.store.close()
            raise

    def _found(self, name: str, rng: random.Random) -> None:
        """Make a new array: the seed gives its world wide name, everything else counts from it."""
        self.profile.names.check(name, "array")
        numbering = Numbering(cell_word=rng.getrandbits(32))
        cell, numbering = numbering.next(ObjectClass.CELL)
        record = ArrayRecord(
            name=name,
            cell=cell,
            wwn=f"50001fe1{rng.getrandbits(32) & 0xFFFFFFF0:08x}",
            numbering=numbering,
            at=self.at,
        )
        with self.tables.change():
            self.tables.array.put("array", record)

    def _resume(self, name: str) -> None:
        """Take up an array from its records; normalization went on meanwhile."""
        record = self.record
        if record.name != name:
            raise ConfigurationError(
                f"the directory holds the array {record.name!r}, not {name!r}",
                hint="Open it under its own name.",
            )
        disks = self.tables.disks.rows.values()
        used = {disk.volume for disk in disks if disk.volume >= 0}
        if used != {int(volume) for volume in self.store.volumes()}:
            raise ArrayDamaged("the array's records and its block store do not agree")
        self.maps.load(
            {disk.id for disk in disks if disk.kind is CopyKind.VSNAP and disk.volume >= 0}
        )
        self.at = record.at
        away_s = (self.clock.now() - record.at).total_seconds()
        if away_s > 0:
            self.away_s = away_s

    # --- commands and time -----------------------------------------------------------------

    @property
    def record(self) -> ArrayRecord:
        """What belongs to the array as a whole."""
        return self.tables.array.rows["array"]

    @contextmanager
    def query(self) -> Iterator[None]:
        """One call that changes nothing but lets time pass."""
        with self.lock:
            self.pass_time()
            yield

    @contextmanager
    def command(self) -> Iterator[None]:
        """One call that changes something: all of it or nothing [EVA-32]."""
        with self.lock:
            self.pass_time()
            with self.change():
                yield

    @contextmanager
    def change(self) -> Iterator[None]:
        """Every change of tables, blocks and maps inside it, or none; call it under the lock."""
        with self.tables.change():
            yield
            if self.store.durable:
                self.tables.array.put("array", evolve(self.record, at=self.at))
                self.maps.persist()

    def keep(self) -> None:
        """Make everything that was written durable, and what is known about it."""
        if self.maps.dirty:
            with self.store.transaction():
                self.maps.persist()
        else:
            self.store.flush()

    def log(self, operation: str, subject: str, detail: str = "") -> None:
        """Add a line to the history."""
        self.history.append(
            ArrayOperation(at=self.at, operation=operation, subject=subject, detail=detail)
        )

    def pass_time(self) -> None:
        """Take in what the clock says; normalization goes on by what has elapsed.

        Raises:
            UsageError: The array is closed.
        """
        if self.closed:
            raise UsageError(f"the array {self.record.name!r} is closed", hint="Open it again.")
        reading_s = self.clock.monotonic()
        elapsed_s = max(0.0, reading_s - self._seen_s)
        self._seen_s = max(self._seen_s, reading_s)
        self.at = max(self.at, self.clock.now())
        self.on_elapsed(elapsed_s)

    def close(self) -> None:
        """Make everything durable and let go of the directory. Idempotent."""
        with self.lock:
            if self.closed:
                return
            self.closed = True
            try:
                self.keep()
            finally:
                self.store.close()

    # --- lookups ---------------------------------------------------------------------------

    def disk(self, storage: StorageId) -> VirtualDisk:
        """The record of a disk.

        Raises:
            StorageNotFound: There is none.
        """
        disk = self.tables.disks.rows.get(storage)
        if disk is None:
            raise StorageNotFound(
                f"the array has no storage {storage!r}", context={"storage": storage}
            )
        return disk

    def group(self, name: str) -> GroupRecord:
        """The record of a disk group.

        Raises:
            StorageNotFound: There is none.
        """
        group = self.tables.groups.rows.get(name)
        if group is None:
            raise StorageNotFound(
                f"the array has no disk group {name!r}", context={"disk_group": name}
            )
        return group

    def host(self, host: HostRef) -> HostRecord:
        """The record of a host.

        Raises:
            StorageNotFound: There is none.
        """
        record = self.tables.hosts.rows.get(host)
        if record is None:
            raise StorageNotFound(f"the array has no host {host!r}", context={"host": host})
        return record

    def seen_by_rules(self, disk: VirtualDisk) -> DiskState:
        """A disk as `frskit.eva.rules` sees it."""
        tables = self.tables
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

    def new_identity(self, kind: ObjectClass) -> ObjectIdentity:
        """Number a new object, inside a command."""
        record = self.record
        identity, numbering = record.numbering.next(kind)
        self.tables.array.put("array", evolve(record, numbering=numbering))
        return identity

    def check_free_name(self, name: str) -> None:
        """Refuse a name that is malformed or taken among disk-like objects [EVA-44]."""
        names = self.profile.names
        names.check(name, "virtual disk")
        taken = self.tables.names.rows
        # Arrays of older versions may hold names that differ in case only, so all are compared.
        if name in taken or any(names.same(name, each) for each in taken):
            raise NameInUse(f"the name {name!r} is in use", context={"name": name})

    def check_free_wwlun(self, disk: VirtualDisk) -> None:
        """Refuse a world wide LUN name that another disk or staged copy has now [EVA-43]."""
        if disk.wwlun in self.tables.wwluns.rows:
            raise NameInUse(
                f"the world wide LUN name {disk.wwlun} is in use", context={"wwlun": disk.wwlun}
            )

    def check_comment(self, comment: str) -> None:
        """Refuse a comment that could not be written in one command line."""
        if _BAD_COMMENT.search(comment):
            raise UsageError(f"{comment!r} cannot be a comment", hint="Write it without quotes.")

    def staged_disks(self) -> Iterator[VirtualDisk]:
        """The future copies of all staged sets."""
        for copy_set in self.tables.sets.rows.values():
            yield from copy_set.prepared
