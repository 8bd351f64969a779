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

    Every method may raise `ArrayError`; calls that may wait raise `TimedOut`, `Cancelled` or
    `OutcomeUnknown(key)`. After the last the caller looks with `copies(key=...)`; it never guesses.
    A failed call leaves names, capacity, ids and presentations as they were [EVA-32].
    """

    @property
    def name(self) -> str:
        """Name of the array for messages."""
        ...

    @property
    def capabilities(self) -> ArrayCapabilities:
        """What this array can do; constant."""
        ...

    def storage(self, ids: Iterable[StorageId] | None = None) -> Sequence[Storage]:
        """The storage objects with these ids, copies included; all of them if None.

        Unknown ids are left out, so a caller can ask what is still there.
        """
        ...

    def copies(self, *, key: CopyKey | None = None) -> Sequence[ArrayCopy]:
        """Copies of one set, or of all sets; also the poll for normalization."""
        ...

    def stage_copies(
        self, requests: Sequence[CopyRequest], *, key: CopyKey, budget: Budget
    ) -> StagedCopies:
        """Prepare a copy set; may be slow, must not be visible to the sources.

        Idempotent: the same key with the same requests returns the same staging.

        Raises:
            UnsupportedKind: A kind is not offered. The caller should ask the capabilities first.
            CopyConflict: The array's rules forbid a member now, or the key is used for other
                requests. The caller should wait, or delete what stands in the way.
            InsufficientCapacity: No room. The caller should delete copies or extend the pool.
            LimitExceeded: Too many members, copies or objects.
            StorageNotFound: A source is unknown.
            NameInUse: A name is taken.
            NotLicensed: The array may not copy.
        """
        ...

    def commit_copies(self, staged: StagedCopies, *, budget: Budget) -> Sequence[ArrayCopy]:
        """The instant: all members, in the order of the requests, or none [EVA-33, EVA-34].

        Must be quick: writes are held meanwhile. So nothing is waited for that can be done after
        the release: copies that are whole but not durable yet are returned as NORMALIZING, and
        `copies` says when they are. Until then a copy is never INDEPENDENT, also not after a
        crash: it is found complete, or INVALID, or not at all. Repeating it for a committed key
        returns the same copies.

        Raises:
            CopyConflict, InsufficientCapacity: Something changed since staging; none was made.
            OutcomeUnknown: The caller should veto, thaw, and reconcile by key afterwards [HAZ-09].
                Also if the copies were made but the budget had ended: a late commit is never a
                result, because writes may have been let go before it.
        """
        ...

    def discard_staged(self, key: CopyKey) -> None:
        """Forget a staging that was not committed. Unknown or committed keys are fine."""
        ...

    def delete_storage(self, storage: StorageId, *, budget: Budget) -> None:
        """Delete a storage object and give its space back. Unknown ids are fine (idempotent).

        Raises:
            StillPresented: The caller should unpresent it first.
            HasDependents: Snapshots or a normalizing copy depend on it.
        """
        ...

    def present(
        self, storage: StorageId, host: HostRef, *, read_only: bool, budget: Budget
    ) -> Presentation:
        """Show storage to a host. Repeating it returns the existing presentation.

        What the host sees is what was copied: for a `HostPath` the whole tree, as its docstring
        says. A copy that still normalizes may be presented.

        Raises:
            StorageNotFound: The storage or the host is unknown.
            PresentationFailed: It is presented with another `read_only`, or no LUN number is free.
            CopyInvalid: The copy holds no data any more.
        """
        ...

    def unpresent(self, presentation: Presentation, *, budget: Budget) -> None:
        """Hide storage from a host. Not presented is fine (idempotent)."""
        ...

    def presentations(self, storage: StorageId | None = None) -> Sequence[Presentation]:
        """Who sees this storage; all presentations if None."""
        ...


class SupportsRestore(Protocol):
    """An array that can put a copy's content back into its source by itself."""

    def restore_storage(self, target: StorageId, source: StorageId, *, budget: Budget) -> None:
        """Make the content of `target` equal to `source`; the copy stays.

        Raises:
            CopyConflict: The array's rules forbid it now.
            StillPresented: The target must be hidden first.
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
        """Make a virtual disk.

        Raises:
            InsufficientCapacity, NameInUse, LimitExceeded: As said.
        """
        ...

    def add_host(self, name: str, *, ports: Sequence[str]) -> HostRef:
        """Make a host object of initiator port names; the same name and ports return the same.

        Raises:
            NameInUse: The name or a port belongs to another host [EVA-40].
        """
        ...

    def hosts(self) -> Sequence[HostRef]:
        """The host objects."""
        ...


class ScsiTarget(Protocol):
    """The block side of an array: what a host bus adapter sees. Simulated arrays offer it."""

    def report_luns(self, host: HostRef) -> Sequence[ScsiLun]:
        """The LUNs presented to this host now, by number."""
        ...

    def open_lun(self, host: HostRef, number: int) -> BlockDevice:
        """The disk that answers under this number *now*; it stays bound to that disk.

        The device refuses I/O once the disk is no longer presented to the host.

        Raises:
            DeviceError: Nothing answers.
        """
        ...

    def lun_storage(self, host: HostRef, number: int) -> StorageId:
        """The identity (page 83) of the disk that answers under this number now.

        Raises:
            DeviceError: Nothing answers.
        """
        ...


class CopyStore(Protocol):
    """Copies after the shadow copy service has let go of them ("parked" copies) [design 4].

    Keyed by the identity of the members, never by names.
    """

    def present(
        self, storages: Sequence[StorageId], host: HostRef, *, read_only: bool, budget: Budget
    ) -> Sequence[Presentation]:
        """Show the members to a host, all or none.

        Raises:
            StorageNotFound: A member is gone. The copy is not usable.
            CopyInvalid: A member holds no data any more.
            PresentationFailed: As `DiskArray.present`; what was presented is hidden again.
        """
        ...

    def unpresent(self, storages: Sequence[StorageId], *, budget: Budget) -> None:
        """Hide the members from every host. Idempotent."""
        ...

    def delete(self, storages: Sequence[StorageId], *, budget: Budget) -> None:
        """Hide and delete the members; unknown ones are fine. Resumable after any failure."""
        ...

    def states(self, storages: Sequence[StorageId]) -> Sequence[ArrayCopy]:
        """The members that still exist, with their state now; missing ones are left out."""
        ...

    def find(self, key: CopyKey) -> Sequence[ArrayCopy]:
        """What the array has of a set, looked up by its key: the look after an unclear result."""
        ...

    def restore(self, target: StorageId, source: StorageId, *, budget: Budget) -> None:
        """Let the array copy a member back into its source.

        Raises:
            UnsupportedKind: The array cannot (it has no `SupportsRestore`).
        """
        ...
