"""The disk array and what an array may offer beyond it.

A `DiskArray` makes copy sets in two steps: `stage_copies` does everything slow, `commit_copies`
is the instant. Everything else is bookkeeping that must be idempotent, because callers crash.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from frskit.clock import Budget
    from frskit.model.ids import CopyKey, HostRef, StorageId
    from frskit.model.storage import (
        ArrayCapabilities,
        ArrayCopy,
        CopyRequest,
        DiskGroup,
        Presentation,
        ScsiLun,
        StagedCopies,
        Storage,
    )
    from frskit.protocols.small import BlockDevice

__all__ = [
    "CopyStore",
    "DiskArray",
    "ScsiTarget",
    "SupportsProvisioning",
    "SupportsRestore",
]


class DiskArray(Protocol):
    """An array that can copy its storage at one instant and show it to hosts.

    Ids: a `StorageId` names one object and is never used again, also not after its deletion; what
    hosts see (world wide names, LUN numbers, paths) is data beside it. Keys are the caller's and
    come before the effect; ids come out of it.

    Jobs: what goes on for a while is a state of the object (`Storage.state`). Whoever timed out
    looks at the object again: there is no job to ask for.

    Errors: every method may raise `ArrayError`; a foreign exception should become one, with
    ``native`` kept. Every method takes a budget and raises `TimedOut` or `Cancelled` if it is
    spent *before* anything was changed. A call that may have changed something and does not know
    raises `OutcomeUnknown(key)`. A failed call leaves names, capacity, ids and presentations as
    they were [EVA-32].

    Threads: callers make one call at a time per array object, in any thread. Other objects and
    other processes may use the same array meanwhile.

    Retry: callers repeat what says idempotent; anything else only if the error is `retryable`.

    Restart: whatever a call returned a result for is still so after a restart of the array or of
    the process that asked.
    """

    @property
    def name(self) -> str:
        """Name of the array for messages."""
        ...

    @property
    def capabilities(self) -> ArrayCapabilities:
        """What this array can do; constant."""
        ...

    def storage(
        self, ids: Iterable[StorageId] | None = None, *, budget: Budget
    ) -> Sequence[Storage]:
        """The storage objects with these ids, copies included; all of them if None.

        Unknown ids are left out, so a caller can ask what is still there: that is also the poll
        for deletions and restores. Staged objects are listed only if the capabilities say
        `staging_visible`, and then with `staged_for`.
        """
        ...

    def copies(self, *, key: CopyKey | None = None, budget: Budget) -> Sequence[ArrayCopy]:
        """Copies of one set in the order of its requests, or all copies; the poll for normalization.

        All copies are those of every set and those that were made without frskit, whose `key` is
        None; what the array does not know of a copy is None, never a guess. A set that is unknown
        or only staged has none.
        """
        ...

    def stage_copies(
        self, requests: Sequence[CopyRequest], *, key: CopyKey, budget: Budget
    ) -> StagedCopies:
        """Prepare a copy set; may be slow, must not be visible to the sources.

        Idempotent: the same key with the same requests returns the same staging, or after the
        commit a value that `commit_copies` takes. A key of which nothing is left, staged or copied,
        may come again with other requests. Survives a restart, or is gone without trace; never
        half. All checks come before anything is made.

        Raises:
            UsageError: No requests, one source twice, or an impossible name.
            UnsupportedKind: A kind is not offered. The caller should ask the capabilities first.
            CopyConflict: The array's rules forbid a member now, or the key is used for other
                requests; nothing was made. The caller should wait, delete what stands in the way,
                or take another key.
            InsufficientCapacity: No room. The caller should delete copies or extend the pool.
            LimitExceeded: Too many members, copies or objects, or too long a name.
            StorageNotFound: A source is unknown.
            NameInUse: A name is taken.
            NotLicensed: The array may not copy.
        """
        ...

    def commit_copies(self, staged: StagedCopies, *, budget: Budget) -> Sequence[ArrayCopy]:
        """The instant: all members, in the order of the requests, or none [EVA-33, EVA-34].

        Must be quick: writes are held meanwhile, until `budget` ends and not longer. So nothing is
        waited for that can be done after the release: copies that are whole but not durable yet are
        returned as NORMALIZING, and `copies` says when they are. Until then a copy is never
        INDEPENDENT, also not after a crash: it is found complete, or INVALID, or not at all.
        Idempotent: repeating it for a committed key returns the same copies, without those that
        were deleted since.

        The budget is looked at twice, before anything and after the effect: copies of an instant
        after the deadline were made while the application wrote.

        Raises:
            CopyConflict, InsufficientCapacity, LimitExceeded, StorageNotFound: Something changed
                since staging; none was made. A source is the object that was staged, not another
                one under its name.
            TimedOut, Cancelled: None was made.
            OutcomeUnknown: The result came after the deadline, or not at all. The caller should
                veto, thaw, and reconcile by key, and once more after `late_effect_s` [HAZ-09].
        """
        ...

    def discard_staged(self, key: CopyKey, *, budget: Budget) -> None:
        """Forget a staging that was not committed. Unknown or committed keys are fine (idempotent).

        Raises:
            OutcomeUnknown: Staged objects may be there still. The caller should repeat it.
        """
        ...

    def delete_storage(self, storage: StorageId, *, budget: Budget) -> None:
        """Delete a storage object and give its space back. Unknown ids are fine (idempotent).

        It is gone from `storage` when this returns.

        Raises:
            StillPresented: The caller should unpresent it first.
            HasDependents: Snapshots or a normalizing copy depend on it.
            OutcomeUnknown: The deletion is under way. The caller should poll ``storage([id])``,
                which tells DELETING until the object is gone.
        """
        ...

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
        """Show storage to a host. Idempotent: the same wish returns the existing presentation.

        Args:
            storage: What to show.
            host: To whom.
            read_only: Whether writes should be refused. The result says whether they are: where
                the capabilities say NONE it is False, and the server mounts read-only.
            access: One of ``capabilities.access``; None = the array's usual way.
            number: LUN number; None = a free one. Arrays without `numbers` refuse every number.
            budget: Deadline and cancellation.

        What the host sees is what was copied: for a `HostPath` the whole tree, as its docstring
        says. A copy that still normalizes may be presented.

        Raises:
            StorageNotFound: The storage or the host is unknown.
            PresentationFailed: It is presented to this host otherwise; the number asked for is not
                free there, or none is; this way is not offered; or the array can refuse writes for
                all hosts only (STORAGE) and shows it to another one the other way. Nothing was
                changed.
            CopyInvalid: The copy holds no data any more.
            OutcomeUnknown: The caller should look with `presentations`.
        """
        ...

    def unpresent(self, presentation: Presentation, *, budget: Budget) -> None:
        """Hide storage from this host, and from no other. Not presented is fine (idempotent).

        Raises:
            OutcomeUnknown: The caller should look with `presentations`, or repeat it.
        """
        ...

    def presentations(
        self, storage: StorageId | None = None, *, budget: Budget
    ) -> Sequence[Presentation]:
        """Who sees this storage; all presentations if None."""
        ...


class SupportsRestore(Protocol):
    """An array that can put a copy's content back into its source by itself."""

    def restore_storage(self, target: StorageId, source: StorageId, *, budget: Budget) -> None:
        """Make the content of `target` equal to `source`; the copy stays.

        Idempotent. `target` has to be the very object that `source` was copied from. It may take
        a while: `Storage.state` of the target is RESTORING until it ends, also across a restart.

        Raises:
            CopyConflict: The array's rules forbid it now, or the target is another object.
            CopyInvalid: The copy holds no data any more.
            StillPresented: The target must be hidden first.
            StorageNotFound: One of them is unknown.
            InsufficientCapacity: No room for what other copies have to keep.
            OutcomeUnknown: It may go on. The caller should look at the target's state.
        """
        ...


class SupportsProvisioning(Protocol):
    """An array whose pools, storage and hosts can be made through frskit [FRS-42]."""

    def disk_groups(self) -> Sequence[DiskGroup]:
        """The pools with their capacity."""
        ...

    def create_disk_group(self, name: str, *, size_bytes: int) -> DiskGroup:
        """Make a pool.

        Raises:
            NameInUse, LimitExceeded: As said.
        """
        ...

    def create_storage(self, name: str, size_bytes: int, *, disk_group: str) -> StorageId:
        """Make a virtual disk; its size is rounded up to ``capabilities.size_granularity_bytes``.

        Raises:
            InsufficientCapacity, NameInUse, LimitExceeded: As said.
        """
        ...

    def add_host(self, name: str, *, ports: Sequence[str], mode: str | None = None) -> HostRef:
        """Make a host object of initiator port names; the same name and ports return the same.

        Args:
            name: Its name.
            ports: Its ports, at least one.
            mode: Its operating system, one of ``capabilities.host_modes``; None = the usual one.

        Raises:
            NameInUse: The name or a port belongs to another host [EVA-40].
            UsageError: The name or the mode is impossible, or there are no ports.
        """
        ...

    def hosts(self) -> Sequence[HostRef]:
        """The host objects."""
        ...


class ScsiTarget(Protocol):
    """The block side of an array: what a host bus adapter sees. Simulated arrays offer it."""

    def report_luns(self, host: HostRef) -> Sequence[ScsiLun]:
        """The LUNs presented to this host now, by number, with the object behind each.

        `ScsiLun.storage` is the object that answers, so that a server can tell it from another one
        under the same world wide name. Asked at every access: it must be quick.
        """
        ...

    def open_lun(self, host: HostRef, number: int) -> BlockDevice:
        """The disk that answers under this number *now*; it stays bound to that disk.

        The device refuses I/O once the disk is no longer presented to the host.

        Raises:
            DeviceError: Nothing answers.
        """
        ...


class CopyStore(Protocol):
    """Copies after the shadow copy service has let go of them ("parked" copies) [design 4].

    Keyed by the ids of the members, never by names. A store whose array can copy back by itself
    offers `SupportsRestore` as well.
    """

    def present(
        self,
        storages: Sequence[StorageId],
        hosts: Sequence[HostRef],
        *,
        read_only: bool,
        budget: Budget,
    ) -> Sequence[Presentation]:
        """Show the members to one host or to all nodes of a cluster, all or none.

        To several hosts each member is shown under one number, which all nodes need [HAZ-18].
        Idempotent.

        Returns:
            By member, then by host, in the orders given.

        Raises:
            StorageNotFound: A member is gone. The copy is not usable.
            CopyInvalid: A member holds no data any more.
            PresentationFailed: As `DiskArray.present`, or there is no number for all hosts; what
                was presented is hidden again.
        """
        ...

    def unpresent(self, storages: Sequence[StorageId], *, budget: Budget) -> None:
        """Hide the members from every host. Idempotent."""
        ...

    def delete(self, storages: Sequence[StorageId], *, budget: Budget) -> None:
        """Hide and delete the members; unknown ones are fine. Resumable after any failure."""
        ...

    def look(
        self,
        *,
        storages: Sequence[StorageId] | None = None,
        key: CopyKey | None = None,
        budget: Budget,
    ) -> Sequence[ArrayCopy]:
        """What exists now: the look before a decision, and after an unclear result.

        Args:
            storages: Only these, in this order; missing ones are left out. None = any.
            key: Only the members of this set; None = of any, and those made without frskit.
            budget: Deadline and cancellation.
        """
        ...
