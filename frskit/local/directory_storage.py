"""The records and directories below a `DirectoryArray`: its lock, its storage, its durability.

What lies where, and why it survives a crash: see `frskit.local.directory`, which adds the copies
and whom they are presented to.
"""

from __future__ import annotations

import threading
import warnings
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from attrs import evolve

from frskit.bases import ArrayBase
from frskit.clock import Budget
from frskit.errors import (
    ArrayError,
    Busy,
    CopyInvalid,
    FrskitError,
    HasDependents,
    NameInUse,
    StillPresented,
    StorageNotFound,
    UsageError,
)
from frskit.local.identity import directory_identity
from frskit.local.records import (
    ArrayRecords,
    RecordsFile,
    StorageRecord,
    file_name,
    load_records,
)
from frskit.local.reflink import TreeFacts, can_reflink, measure_tree, sync_tree
from frskit.model.ids import HostRef, IdFactory, StorageId
from frskit.model.storage import NameRule, Storage, StorageState
from frskit.storage import file_lock, require_posix, sync_directory

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from frskit.clock import Clock

__all__ = ["NAMES", "DirectoryStorage"]

# Bytes of the quoted name: file systems allow 255, and prefixes need some (ours).
# How long a look at the copies waits for those on their way to the disk (ours): real seconds,
# because the disk knows no other, and few, because the caller comes again.
_MOMENT_S: Final = 1.0
_TURNS: Final[WeakValueDictionary[str, threading.Lock]] = WeakValueDictionary()
# In the place of hosts that nobody named.
_UNSAID: Final = frozenset({HostRef("")})
NAMES: Final = NameRule(max_bytes=200)
"""What a storage object may be called."""


class DirectoryStorage(ArrayBase):
    """Directories with names and records that survive a crash: what copies are made of and into.

    Arguments and errors are those of `frskit.local.DirectoryArray`, the one class made of it.
    """

    def __init__(
        self,
        root: Path,
        *,
        clock: Clock,
        name: str = "local",
        hosts: Collection[HostRef] | None = _UNSAID,
        lock_timeout_s: float = 10.0,
        ids: IdFactory | None = None,
    ) -> None:
        require_posix("an array of directories")
        super().__init__()
        if hosts is _UNSAID:
            warnings.warn(
                "a DirectoryArray without hosts is presented to whoever is named: name the hosts, "
                "or say hosts=None for any",
                DeprecationWarning,
                stacklevel=2,
            )
            hosts = None
        self._ids = ids or IdFactory()
        self._root = root.absolute()
        self._clock = clock
        self._name = name
        self._hosts = hosts
        self._lock_timeout_s = lock_timeout_s
        # Of all arrays on this directory, because a closed one may still have its thread.
        self._turn = _TURNS.setdefault(str(self._root), threading.Lock())
        self._behind: threading.Thread | None = None
        self._behind_lock = threading.Lock()
        self._refused: dict[StorageId, Exception] = {}
        for folder in ("storage", "copies"):
            (self._root / folder).mkdir(parents=True, exist_ok=True)
        with self._change(Budget(clock=clock), opening=True):
            self._reflinks = can_reflink(self._root)
        # It is on record which copy is invalid by that; Busy: another process sees to it.
        with suppress(ArrayError, Busy):
            self._make_durable(None, Budget(clock=clock), waiting=None)

    @property
    def name(self) -> str:
        """Name of the array for messages."""
        return self._name

    @property
    def root(self) -> Path:
        """Where everything lies."""
        return self._root

    @property
    def reflinks(self) -> bool:
        """Whether copies share data with their originals until one of them is written."""
        return self._reflinks

    # -- records -------------------------------------------------------------------------------

    @contextmanager
    def _change(self, budget: Budget, *, opening: bool = False) -> Iterator[RecordsFile]:
        """The records, locked, after whatever a dead process left was settled."""
        # The caller's budget, but never longer than the array lets anybody wait for its lock.
        waiting = budget.at_most(self._lock_timeout_s)
        # Threads of this process first: they wait in real time, whatever clock the budget is on.
        if not self._turn.acquire(timeout=self._lock_timeout_s):
            raise Busy(f"{self._name}: another thread is changing the array")
        try:
            with file_lock(self._root / "lock", "changing the array", budget=waiting):
                change = RecordsFile(self._root)
                if opening:
                    change.identify()
                change.settle()
                yield change
        finally:
            self._turn.release()

    def _read(self) -> ArrayRecords:
        return load_records(self._root / "array.json")

    def _now(self, records: ArrayRecords) -> datetime:
        now = self._clock.now()
        return now if records.last_time is None else max(records.last_time, now)

    def directory(self, storage: StorageId) -> Path:
        """Where the files of a storage object lie.

        Raises:
            StorageNotFound: Unknown.
            CopyInvalid: Known, but its directory is gone.
        """
        return self._existing(self._read(), storage)[1]

    def _existing(self, records: ArrayRecords, storage: StorageId) -> tuple[StorageRecord, Path]:
        record = records.find(storage)
        if record is None:
            raise StorageNotFound(
                f"{self._name} has no storage {storage}", context={"storage": storage}
            )
        path = record.locate(self._root)
        if path is None:
            raise CopyInvalid(
                f"{storage} was not on the disk when the machine stopped, or the disk refused it"
                if record.is_lost
                else f"the directory of {storage} is gone, or another one has taken its place",
                hint="Delete the storage; what lies in its place now is left alone.",
                context={"storage": storage, "directory": str(self._root / record.directory)},
            )
        return record, path

    # -- durability ----------------------------------------------------------------------------

    def make_durable(self, storage: StorageId | None = None, *, budget: Budget) -> None:
        """Return when a copy, or every copy, is on the disk; nothing to do if it is already.

        It does not hold the array's lock while it waits for the disk. Unknown ids are fine.

        Raises:
            ArrayError: The disk refused a copy; that copy is invalid from now on.
            Busy: Another thread or process was still at it when the budget ended.
            TimedOut, Cancelled: The budget, looked at between copies.
        """
        if self._unsynced(storage):
            self._make_durable(storage, budget, waiting=budget)

    def _unsynced(self, storage: StorageId | None) -> list[StorageRecord]:
        return [
            record
            for record in self._read().storages
            if storage in (None, record.id) and record.is_unsynced and not record.is_lost
        ]

    def _make_durable(
        self, storage: StorageId | None, budget: Budget, *, waiting: Budget | None
    ) -> None:
        # One at a time, in all processes: an error of the disk is told once, so whoever synced
        # the same files right after the one who was told would take the copy for good.
        refusals: list[Exception] = []
        with file_lock(self._root / "sync.lock", "making copies durable", budget=waiting):
            for record in self._unsynced(storage):
                budget.check("making a copy durable")
                error = self._refused.get(record.id) or self._sync(record)
                if error is not None:  # kept, should it not get into the record now
                    self._refused[record.id] = error
                with self._change(budget) as change:
                    if error is not None and record in change.records.storages:
                        refusals.append(error)
                    after = record.synced(as_lost=error is not None)
                    change.save(change.records.replacing([(record, after)]))
                self._refused.pop(record.id, None)
        if refusals:
            raise ArrayError(
                f"the disk refused a copy: {refusals[0]}", context={"storage": storage}
            ) from refusals[0]

    def close(self) -> None:
        """Wait for the thread that brings copies to the disk, if one runs. Idempotent.

        Needed only by who removes the directory afterwards; the array can be used again.
        """
        with self._behind_lock:
            running = self._behind
        if running is not None:
            running.join()

    def _see_to_durability(self) -> None:
        """Go on with it, and give it a moment: most copies are small."""
        if self._unsynced(None):
            self._sync_behind().join(_MOMENT_S)

    def _sync_behind(self) -> threading.Thread:
        """A thread that brings every copy to the disk; the one that runs already, if one does.

        Nothing depends on its end: what it did not do is done by the next one, or by whoever
        opens the array.
        """

        def work() -> None:
            # What failed is on record. The directory may be gone: nobody is to be told.
            with suppress(FrskitError, OSError):
                self._make_durable(None, Budget.unlimited(), waiting=None)

        with self._behind_lock:
            if self._behind is None or not self._behind.is_alive():
                self._behind = threading.Thread(
                    target=work, name=f"frskit-{self._name}-durable", daemon=True
                )
                self._behind.start()
            return self._behind

    def _sync(self, record: StorageRecord) -> Exception | None:
        """Sync one copy; the error if that failed, though the copy is where it was.

        A failure is final: the system forgets what it could not write, and the next attempt would
        succeed for nothing.
        """
        path = record.locate(self._root)
        while path is not None:
            try:
                sync_tree(path)
            except (FrskitError, OSError) as error:
                before, path = path, record.locate(self._root)
                if path == before:  # else it got its final name meanwhile, or was deleted
                    return error
            else:
                return None
        return None

    # -- storage -------------------------------------------------------------------------------

    def add_storage(self, name: str, *, comment: str = "") -> StorageId:
        """Make an empty directory that can be presented and copied.

        Raises:
            NameInUse: There is one of this name.
            LimitExceeded: The name is too long.
            UsageError: It is not possible otherwise.
        """
        with self._change(Budget(clock=self._clock)) as change:
            records = change.records
            self._check_name(records, name)
            now = self._now(records)
            record = StorageRecord(
                id=self._new_id(name),
                name=name,
                directory=f"storage/{file_name(name)}",
                created_at=now,
                comment=comment,
            )
            path = self._root / record.directory
            if path.exists():
                raise NameInUse(f"{path} exists and is not of this array")
            path.mkdir()
            sync_directory(path.parent)
            record = evolve(record, identity=directory_identity(path))
            change.save(evolve(records, storages=(*records.storages, record), last_time=now))
        return record.id

    def _new_id(self, name: str) -> StorageId:
        """An id that nothing else ever has; the name is in it for people.

        Records from before have ``file:<name>``, and keep it.
        """
        return StorageId(f"file:{name}:{self._ids.guid()}")

    def _check_name(self, records: ArrayRecords, name: str) -> None:
        NAMES.check(name, "storage")
        # What has to be quoted takes three bytes for one.
        if len(file_name(name)) > NAMES.max_bytes:
            raise UsageError(f"{name!r} cannot be the name of a directory")
        if any(each.name == name for each in records.storages):
            raise NameInUse(f"{self._name} has a storage {name!r}", context={"name": name})

    def storage(
        self, ids: Iterable[StorageId] | None = None, *, budget: Budget | None = None
    ) -> Sequence[Storage]:
        """The storage objects with these ids; sizes are counted now, file by file.

        FAILED is one whose directory is gone, or not the one that it was, or a lost copy.
        """
        if budget is not None:
            budget.check("listing storage")
        wanted = None if ids is None else set(ids)
        return tuple(
            self._storage(record)
            for record in self._read().storages
            if wanted is None or record.id in wanted
        )

    def _storage(self, record: StorageRecord) -> Storage:
        path = record.locate(self._root)
        facts = TreeFacts() if path is None else measure_tree(path)
        return Storage(
            id=record.id,
            name=record.name,
            size_bytes=facts.size_bytes,
            allocated_bytes=None if self._reflinks else facts.allocated_bytes,
            comment=record.comment,
            created_at=record.created_at,
            state=StorageState.READY if path is not None else StorageState.FAILED,
        )

    def delete_storage(self, storage: StorageId, *, budget: Budget) -> None:
        """Delete a storage object and its files. Unknown ids are fine.

        A directory that somebody made in its place is left alone.

        Raises:
            StillPresented: A host knows it.
            HasDependents: A copy of it is not on the disk yet.
        """
        with self._change(budget) as change:
            record = change.records.find(storage)
            if record is None:
                return
            if any(each.storage == storage for each in change.records.presentations):
                raise StillPresented(f"{storage} is presented", context={"storage": storage})
            # Until a copy is on the disk, its source may be all that a loss of power would leave.
            young = [
                each.id
                for each in change.records.storages
                if each.copy and each.copy.source == storage and each.is_unsynced
                if not each.is_lost
            ]
            if young:
                raise HasDependents(
                    f"copies of {storage} are not on the disk yet: {', '.join(young)}",
                    hint="Wait until they are independent, or delete them first.",
                    context={"storage": storage, "copies": young},
                )
            change.save(change.records.without(record))
            change.settle()
