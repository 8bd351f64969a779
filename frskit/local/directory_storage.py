"""The records and directories below a `DirectoryArray`: its lock, its storage, its durability.

What lies where, and why it survives a crash: see `frskit.local.directory`, which adds the copies
and whom they are presented to.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

from attrs import evolve

from frskit.bases import ArrayBase
from frskit.clock import Budget
from frskit.errors import (
    ArrayError,
    CopyInvalid,
    FrskitError,
    NameInUse,
    StillPresented,
    StorageNotFound,
    UsageError,
)
from frskit.local.records import (
    ArrayRecords,
    RecordsFile,
    StorageRecord,
    file_name,
    load_records,
)
from frskit.local.reflink import can_reflink, measure_tree, sync_tree
from frskit.model.ids import StorageId
from frskit.model.storage import NameRule, Storage
from frskit.storage import file_lock, require_posix, sync_directory

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence
    from datetime import datetime
    from pathlib import Path

    from frskit.clock import Clock
    from frskit.model.ids import HostRef

__all__ = ["NAMES", "DirectoryStorage"]

# Bytes of the quoted name: file systems allow 255, and prefixes need some (ours).
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
        hosts: Collection[HostRef] | None = None,
        lock_timeout_s: float = 10.0,
    ) -> None:
        require_posix("an array of directories")
        super().__init__()
        self._root = root.absolute()
        self._clock = clock
        self._name = name
        self._hosts = hosts
        self._lock_timeout_s = lock_timeout_s
        for folder in ("storage", "copies"):
            (self._root / folder).mkdir(parents=True, exist_ok=True)
        with self._change(Budget(clock=clock)):
            self._reflinks = can_reflink(self._root)
        with suppress(ArrayError):  # it is on record which copy is invalid by that
            self.make_durable(budget=Budget(clock=clock))

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
    def _change(self, budget: Budget) -> Iterator[RecordsFile]:
        """The records, locked, after whatever a dead process left was settled."""
        # The caller's budget, but never longer than the array lets anybody wait for its lock.
        waiting = Budget.of(self._clock, self._lock_timeout_s, budget.token)
        remaining_s = budget.remaining_s()
        if remaining_s is not None:
            waiting = waiting.at_most(remaining_s)
        with file_lock(self._root / "lock", "changing the array", budget=waiting):
            change = RecordsFile(self._root)
            change.settle()
            yield change

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
                else f"the directory of {storage} is gone",
                context={"storage": storage},
            )
        return record, path

    # -- durability ----------------------------------------------------------------------------

    def make_durable(self, storage: StorageId | None = None, *, budget: Budget) -> None:
        """Return when a copy, or every copy, is on the disk; nothing to do if it is already.

        `commit_copies` leaves it to a call after the writes were released: `present` calls it. It
        does not hold the array's lock while it waits for the disk. Unknown ids are fine.

        Raises:
            ArrayError: The disk refused a copy; that copy is invalid from now on.
        """
        changes: list[tuple[StorageRecord, StorageRecord]] = []
        refusals: list[Exception] = []
        for record in self._read().storages:
            if storage not in (None, record.id) or not record.is_unsynced or record.is_lost:
                continue
            budget.check("making a copy durable")
            error = self._sync(record)
            if error is not None:
                refusals.append(error)
            changes.append((record, record.synced(as_lost=error is not None)))
        if changes:
            with self._change(budget) as change:
                change.save(change.records.replacing(changes))
        if refusals:
            raise ArrayError(
                f"the disk refused a copy: {refusals[0]}", context={"storage": storage}
            ) from refusals[0]

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
                id=StorageId(f"file:{name}"),
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
            change.save(evolve(records, storages=(*records.storages, record), last_time=now))
        return record.id

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
        """The storage objects with these ids; sizes are counted now, file by file."""
        if budget is not None:
            budget.check("listing storage")
        wanted = None if ids is None else set(ids)
        return tuple(
            self._storage(record)
            for record in self._read().storages
            if wanted is None or record.id in wanted
        )

    def _storage(self, record: StorageRecord) -> Storage:
        facts = measure_tree(self._root / record.directory)
        return Storage(
            id=record.id,
            name=record.name,
            size_bytes=facts.size_bytes,
            allocated_bytes=None if self._reflinks else facts.allocated_bytes,
            comment=record.comment,
            created_at=record.created_at,
        )

    def delete_storage(self, storage: StorageId, *, budget: Budget) -> None:
        """Delete a storage object and its files. Unknown ids are fine."""
        with self._change(budget) as change:
            record = change.records.find(storage)
            if record is None:
                return
            if any(each.storage == storage for each in change.records.presentations):
                raise StillPresented(f"{storage} is presented", context={"storage": storage})
            change.save(change.records.without(record))
            change.settle()
