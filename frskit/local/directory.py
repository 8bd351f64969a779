"""`DirectoryArray`: a disk array whose LUNs are directories of this machine.

With it the whole of frskit works on real applications and real bytes without any hardware: a
storage object is a directory tree, a copy is another one (reflinked file by file where the file
system can, else copied), and presenting it is telling a host its path.

::

    root/array.json        what exists; the only truth (see `frskit.local.records`)
    root/lock              advisory lock between processes
    root/sync.lock         held by whoever brings copies to the disk
    root/storage/<name>/   storage made by `add_storage`
    root/copies/<name>/    copies; ``.new-...`` are unfinished and removed at the next change

What it is not: an instant. The members of a set, and the files of one member, are copied one after
the other, so the copies are consistent only if the application holds its writes meanwhile:
``SetAtomicity.WITHIN_HOLD`` [R-27]. Nor is it protection against a broken disk: copies lie beside
their originals. Nor does it keep anybody from writing (``ReadOnlyScope.NONE``): servers of frskit
mount read-only, the kernel knows nothing of it.

An id names one object for ever, and an object is one directory: one that somebody removed and made
anew under its name is not copied, shown, overwritten or deleted in its place (see
`frskit.local.identity`). An array that was moved or restored as a whole is itself again.

Trap: closing any descriptor of a file drops all POSIX record locks that the *same process* holds on
it. An application whose hold is such a lock (SQLite) must hold it in another process than the one
that makes the copy [exchange.md 8.1].

Crashes: every change is one replacement of ``array.json``. New copies are complete under a
temporary name before they are recorded and get their final name afterwards; whoever opens the
array next finishes or undoes what a dead process left. Bringing the files of a copy to the disk
takes as long as the disk likes, so it is not done while the application holds its writes: a new
copy is NORMALIZING, and becomes INDEPENDENT when it is on the disk. A thread sees to that from the
first look (`copies`) on; opening the array does, or `make_durable`, which waits.
If the machine stops before that, the copy is invalid. All of it is frskit's choice.
"""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Final

from attrs import evolve

from frskit._typing import override
from frskit.errors import (
    ArrayError,
    CopyConflict,
    CopyInvalid,
    InsufficientCapacity,
    NameInUse,
    OutcomeUnknown,
    PresentationFailed,
    StorageNotFound,
    UnsupportedKind,
)
from frskit.local.copyable import check_copyable
from frskit.local.directory_storage import NAMES, DirectoryStorage
from frskit.local.identity import directory_identity
from frskit.local.records import (
    NEW,
    ArrayRecords,
    CopyRecord,
    PresentationRecord,
    RecordsFile,
    StorageRecord,
    boot_id,
    file_name,
)
from frskit.local.reflink import TreeFacts, clone_tree, measure_tree, sync_tree
from frskit.model.storage import (
    AccessKind,
    ArrayCapabilities,
    ArrayCopy,
    CopyKind,
    CopyState,
    HostPath,
    Presentation,
    ReadOnlyScope,
    SetAtomicity,
    StagedCopies,
    StorageState,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from frskit.clock import Budget
    from frskit.model.ids import CopyKey, HostRef, StorageId
    from frskit.model.storage import CopyRequest
    from frskit.protocols import DiskArray

__all__ = ["DirectoryArray"]

# No space and no quota mean the same to a caller.
_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
# What a commit costs, for its estimate: the record, each name of a tree, and its bytes, copied or
# reflinked. Measured on loaded machines of 2 cores, the slow end of what was seen.
_RECORD_S: Final = 0.05
_NAME_S: Final = 0.0005
_COPIED_BYTES_PER_S: Final = 200e6
_CLONED_BYTES_PER_S: Final = 1e9


class DirectoryArray(DirectoryStorage):
    """An array made of directories below `root`. Threads and processes may share it.

    Args:
        root: Where everything lies; made if it is not there.
        clock: Time of the copies, and the way to wait for the lock.
        name: Name for messages.
        hosts: Names under which this machine may be presented to; every other one is refused. None
            accepts any name, also one with a slip of the pen, and has to be said; leaving it out
            means the same and is deprecated.
        lock_timeout_s: How long a call waits for another process, at most.
        ids: Makes the ids of new storage and copies.

    Raises:
        ArrayDamaged: ``array.json`` cannot be read.
        Busy: Another process holds the array.
    """

    @property
    def capabilities(self) -> ArrayCapabilities:
        """Full copies only, one after the other; `stage_copies` says how long a set takes."""
        return ArrayCapabilities(
            kinds=frozenset({CopyKind.SNAPCLONE}),
            access=frozenset({AccessKind.HOST_PATH}),
            set_atomicity=SetAtomicity.WITHIN_HOLD,
            names=NAMES,
            read_only=ReadOnlyScope.NONE,
            proven_on="Linux: ext4 (copied), btrfs and xfs (reflinked)",
        )

    # -- copies --------------------------------------------------------------------------------

    def copies(
        self, *, key: CopyKey | None = None, budget: Budget | None = None
    ) -> Sequence[ArrayCopy]:
        """Copies of one set, or all; waits up to a second for what is on its way to the disk.

        NORMALIZING is a copy that is whole and not known to be on the disk. INVALID is one whose
        directory somebody removed, one that was not on the disk yet when the machine stopped, and
        one that the disk refused.
        """
        if budget is not None:
            budget.check("listing copies")
        self._see_to_durability()
        return self._listed(key)

    def _listed(self, key: CopyKey | None) -> Sequence[ArrayCopy]:
        records = self._read()
        return tuple(
            self._copy(record, record.copy)
            for record in records.storages
            if record.copy is not None and (key is None or record.copy.key == key)
        )

    def _copy(self, record: StorageRecord, copy: CopyRecord) -> ArrayCopy:
        state = CopyState.NORMALIZING if record.is_unsynced else CopyState.INDEPENDENT
        if record.locate(self._root) is None:
            state = CopyState.INVALID
        return ArrayCopy(
            id=record.id,
            source=copy.source,
            key=copy.key,
            kind=copy.kind,
            state=state,
            size_bytes=copy.size_bytes,
            copied_bytes=copy.size_bytes if state is CopyState.INDEPENDENT else None,
            name=record.name,
            created_at=record.created_at,
            storage_state=(
                StorageState.FAILED if state is CopyState.INVALID else StorageState.READY
            ),
        )

    @override
    def stage_copies(
        self, requests: Sequence[CopyRequest], *, key: CopyKey, budget: Budget
    ) -> StagedCopies:
        """Check sources, names and free space, and count what there is to copy.

        Names are not reserved against other processes. What this process may not make anew, such as
        devices and files of other owners, is refused here with its name. The estimate is made of the number of
        files and their bytes as they are now.
        """
        budget.check("staging copies")
        records = self._read()
        wanted = tuple(requests)
        held = self._staged.get(key)
        known = records.sets.get(key, held and held.requests)
        if known is not None and known != wanted:
            raise CopyConflict(f"key {key} was used for other requests", context={"key": key})
        if held is None and known is None:
            estimate_s = self._check_set(records, key, wanted)
            # Slow, so not once more when writes are held: what comes later fails the commit.
            for each in wanted:
                check_copyable(self._existing(records, each.source)[1], self._root)
            held = StagedCopies(key=key, requests=wanted, estimate_commit_s=estimate_s)
            self._staged[key] = held
        return held or StagedCopies(key=key, requests=wanted, estimate_commit_s=0.0)

    def _check_set(
        self, records: ArrayRecords, key: CopyKey, requests: Sequence[CopyRequest]
    ) -> float:
        """Raise if the set cannot be made now; else how long it will take, in seconds."""
        self.check_set(requests)
        names = [_member_name(key, number, each) for number, each in enumerate(requests)]
        if len(set(names)) != len(names):
            raise NameInUse("two members of the set have one name", context={"names": names})
        for name in names:
            self._check_name(records, name)
            place = self._root / "copies" / file_name(name)
            if place.exists():
                raise NameInUse(f"{place} exists and is not of this array", context={"name": name})
        found = TreeFacts()
        for request in requests:
            if request.kind is not CopyKind.SNAPCLONE:
                raise UnsupportedKind(
                    f"{self._name} makes full copies only, not {request.kind.value}"
                )
            found += measure_tree(self._existing(records, request.source)[1])
        need_bytes = found.allocated_bytes
        facts = os.statvfs(self._root)
        free_bytes = facts.f_bavail * facts.f_frsize
        if not self._reflinks and need_bytes > free_bytes:
            raise InsufficientCapacity(
                f"{self._root} has {free_bytes} bytes free, the copies need {need_bytes}"
            )
        bytes_per_s = _CLONED_BYTES_PER_S if self._reflinks else _COPIED_BYTES_PER_S
        return _RECORD_S + found.names * _NAME_S + need_bytes / bytes_per_s

    def commit_copies(self, staged: StagedCopies, *, budget: Budget) -> Sequence[ArrayCopy]:
        """Copy every member, then record them all at once.

        The record is durable when it returns, the copies are NORMALIZING until they are: the
        application holds its writes now and need not wait for the disk. A budget that ends before
        the record is made undoes everything; one that ended while it was made leaves the caller
        with `OutcomeUnknown`, though the copies are there: their instant may be one at which
        writes were no longer held.
        """
        with self._change(budget) as change:
            known = change.records.sets.get(staged.key)
            if known is None:
                self._make_set(change, staged, budget)
            elif known != staged.requests:
                raise CopyConflict(
                    f"key {staged.key} was used for other requests", context={"key": staged.key}
                )
        self._staged.pop(staged.key, None)
        if known is None:
            self.check_in_time(staged.key, budget)
        return self._listed(staged.key)

    def _make_set(self, change: RecordsFile, staged: StagedCopies, budget: Budget) -> None:
        held = self._staged.get(staged.key)
        if held is None or held.requests != staged.requests:
            raise CopyConflict(f"key {staged.key} is not staged", context={"key": staged.key})
        # Again, now with the lock held: others may have changed things since the staging.
        try:
            self._check_set(change.records, staged.key, staged.requests)
        except (StorageNotFound, CopyInvalid, NameInUse) as error:
            raise CopyConflict(
                f"changed since staging: {error}", context={"key": staged.key}
            ) from error
        now = self._now(change.records)
        try:
            made = tuple(
                self._make_member(change.records, staged, number, now, budget)
                for number in range(len(staged.requests))
            )
            budget.check("recording copies")
        except OSError as error:
            # Recorded by nobody, so it is no copy.
            change.sweep()
            kind = InsufficientCapacity if error.errno in _FULL else ArrayError
            raise kind(
                f"the copy failed: {error}", context={"key": staged.key}, native=error.errno
            ) from error
        except BaseException:
            change.sweep()
            raise
        self._record_set(change, staged, made, now)

    def _make_member(
        self,
        records: ArrayRecords,
        staged: StagedCopies,
        number: int,
        now: datetime,
        budget: Budget,
    ) -> StorageRecord:
        """Copy one source under a temporary name."""
        request = staged.requests[number]
        name = _member_name(staged.key, number, request)
        short = file_name(name)
        target = self._root / "copies" / (NEW + short)
        facts = clone_tree(
            self._existing(records, request.source)[1],
            target,
            reflink=self._reflinks,
            check=lambda: budget.check("copying a directory"),
        )
        boot = boot_id()
        if boot is None:  # a machine that stopped could not be noticed later
            sync_tree(target)
        return StorageRecord(
            id=self._new_id(name),
            name=name,
            directory=f"copies/{short}",
            created_at=now,
            comment=request.comment,
            identity=directory_identity(target),
            copy=CopyRecord(
                source=request.source,
                key=staged.key,
                kind=request.kind,
                size_bytes=facts.size_bytes,
                unsynced=boot,
            ),
        )

    def _record_set(
        self,
        change: RecordsFile,
        staged: StagedCopies,
        made: tuple[StorageRecord, ...],
        now: datetime,
    ) -> None:
        records = change.records
        try:
            change.save(
                evolve(
                    records,
                    storages=(*records.storages, *made),
                    sets={**records.sets, staged.key: staged.requests},
                    last_time=now,
                )
            )
            change.settle()
        except OSError as error:
            raise OutcomeUnknown(
                f"the record of the copies could not be made durable: {error}", key=staged.key
            ) from error

    # -- presentations -------------------------------------------------------------------------

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
        """Tell a host where the directory is; several hosts may know.

        A copy that is not on the disk yet is shown all the same: who needs it there looks at the
        `copies` until it is independent. `read_only` is refused nobody here, which the result
        says: the server has to mount it read-only, and `LinuxServer` then opens nothing for writing
        there.
        """
        if number is not None or access not in (None, AccessKind.HOST_PATH):
            raise PresentationFailed(
                f"{self._name} shows directories by their paths only",
                context={"storage": storage, "number": number, "access": access},
            )
        if self._hosts is not None and host not in self._hosts:
            raise StorageNotFound(f"{self._name} knows no host {host}", context={"host": host})
        wanted = PresentationRecord(storage=storage, host=host, read_only=read_only)
        with self._change(budget) as change:
            records = change.records
            record, _ = self._existing(records, storage)
            # Both ways of asking get the same thing, so there is nothing in which they could differ.
            known = ((each.storage, each.host) for each in records.presentations)
            if (storage, host) not in known:
                change.save(evolve(records, presentations=(*records.presentations, wanted)))
        return self._presentation(wanted, record)

    def unpresent(self, presentation: Presentation, *, budget: Budget) -> None:
        """Forget that a host knows the directory. Not presented is fine."""
        gone = (presentation.storage, presentation.host)
        with self._change(budget) as change:
            before = change.records.presentations
            after = tuple(each for each in before if (each.storage, each.host) != gone)
            if after != before:
                change.save(evolve(change.records, presentations=after))

    def presentations(
        self, storage: StorageId | None = None, *, budget: Budget | None = None
    ) -> Sequence[Presentation]:
        """Who knows this directory; all presentations if None."""
        if budget is not None:
            budget.check("listing presentations")
        records = self._read()
        found = ((each, records.find(each.storage)) for each in records.presentations)
        return tuple(
            self._presentation(each, record)
            for each, record in found
            if record is not None and storage in (None, each.storage)
        )

    def _presentation(self, each: PresentationRecord, record: StorageRecord) -> Presentation:
        return Presentation(
            storage=each.storage,
            host=each.host,
            access=HostPath(path=str(record.locate(self._root) or self._root / record.directory)),
            read_only=False,
        )


def _member_name(key: CopyKey, number: int, request: CopyRequest) -> str:
    return request.name or f"{key}-{number:02d}"


if TYPE_CHECKING:
    _array: type[DiskArray] = DirectoryArray
