"""The simulated disk array: an EVA's rules, capacity and presentations over real bytes.

What it is: `SimulatedEva`, which offers `DiskArray`, `SupportsProvisioning`, `SupportsRestore` and
`ScsiTarget`. It keeps virtual disks, snapshots of both kinds and snapclones by the rules of
[EVA 1.6], with capacity in segments of 2 MiB, and can live in a directory, where a killed process
loses no acknowledged command. What it is not: an emulation of timing, of controllers or of Command
View; and no EVA has seen it. Mirrorclones, containers and folders are not offered.

The parts, each of which can be made and tested without the others that it does not name:
`virtual_disks`, `hosts`, `copy_sets` and `presentations` (the commands), `normalization` (what time
does), `space` (capacity), all over one `array_state` (records, lock, history). Below them `models`
(limits as data), `rules` (what is allowed), `capacity` (arithmetic), `demand_allocation`,
`identifiers`, `records` and `blocks` (the bytes). The methods here pass on to the parts; arguments
and errors are described here, once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from frskit.eva.array_state import ArrayState
from frskit.eva.copy_sets import CopySets
from frskit.eva.hosts import Hosts
from frskit.eva.models import EVA8000, ProtectionLevel
from frskit.eva.normalization import Normalization
from frskit.eva.presentations import Presentations
from frskit.eva.space import DemandSnapshots, GroupSpace
from frskit.eva.virtual_disks import BLOCK_BYTES, SMALLEST_GROUP_DISKS, VirtualDisks
from frskit.model.storage import (
    AccessKind,
    ArrayCapabilities,
    CopyKind,
    ReadOnlyScope,
    SetAtomicity,
)
from frskit.storage import LABEL_BYTES

if TYPE_CHECKING:
    import random
    from collections.abc import Iterable, Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from frskit.clock import Budget, Clock
    from frskit.eva.event_log import ArrayOperation
    from frskit.eva.models import ModelProfile, Vraid
    from frskit.eva.records import VirtualDisk
    from frskit.eva.views import DiskView
    from frskit.model.ids import CopyKey, HostRef, StorageId
    from frskit.model.storage import (
        ArrayCopy,
        CopyRequest,
        DiskGroup,
        Presentation,
        ScsiLun,
        StagedCopies,
        Storage,
    )
    from frskit.protocols import (
        BlockDevice,
        DiskArray,
        ScsiTarget,
        SupportsProvisioning,
        SupportsRestore,
    )

__all__ = ["SimulatedEva"]


class SimulatedEva:
    """A simulated Enterprise Virtual Array. Thread-safe; a context manager.

    A command that fails leaves everything as it was [EVA-32]. In a directory a command is durable
    when it returns, a write when its device was flushed; normalization goes on after reopening.

    Every method but `close` raises `UsageError` once the array is closed; in a directory, commands
    also raise `InsufficientCapacity` or `ArrayDamaged` when the files cannot be written, and the
    array must then be opened again.

    Args:
        name: Name of the array; a directory knows the name it was made with.
        profile: Limits and policies of the model; not kept in the directory, pass the same again.
        clock: Source of time; normalization advances with it whenever the array is asked
            anything.
        rng: Source of the array's world wide name, asked only when the array is made.
        directory: Where the array lives; None = in memory.

    Raises:
        Busy: Another process has the directory open.
        ArrayDamaged: The directory's files are damaged.
        ConfigurationError: The directory holds an array of another name.

    Example:
        >>> import random
        >>> from frskit.clock import Budget, VirtualClock
        >>> from frskit.model.ids import CopyKey
        >>> from frskit.model.storage import CopyKind, CopyRequest
        >>> clock = VirtualClock()
        >>> eva = SimulatedEva(clock=clock, rng=random.Random(1))
        >>> _ = eva.create_disk_group("default", size_bytes=1 << 34)
        >>> disk = eva.create_storage("data", 1 << 30, disk_group="default")
        >>> request = CopyRequest(source=disk, kind=CopyKind.SNAPCLONE, name="copy")
        >>> budget = Budget.of(clock)
        >>> staged = eva.stage_copies([request], key=CopyKey("k"), budget=budget)
        >>> [copy] = eva.commit_copies(staged, budget=budget)
        >>> copy.state.value
        'normalizing'
        >>> clock.advance(3600)
        >>> eva.copies()[0].state.value
        'independent'
    """

    def __init__(
        self,
        name: str = "EVA1",
        *,
        profile: ModelProfile = EVA8000,
        clock: Clock,
        rng: random.Random,
        directory: Path | None = None,
    ) -> None:
        self._state = state = ArrayState(
            name, profile=profile, clock=clock, rng=rng, directory=directory
        )
        self._normalization = Normalization(state)
        self._space = space = GroupSpace(state)
        self._vsnaps = vsnaps = DemandSnapshots(state, space)
        self._disks = VirtualDisks(state, space)
        self._hosts = Hosts(state)
        self._copy_sets = CopySets(state, space, vsnaps)
        self._presentations = Presentations(state, vsnaps)
        self._capabilities = ArrayCapabilities(
            kinds=frozenset(CopyKind),
            access=frozenset({AccessKind.SCSI_LUN}),
            set_atomicity=SetAtomicity.INSTANT,
            max_set_members=profile.max_set_members,
            label_bytes=LABEL_BYTES,
            estimate_commit_s=profile.commit_s,
            read_only=ReadOnlyScope.PRESENTATION,
            numbers=True,
            size_granularity_bytes=BLOCK_BYTES,
            names=profile.names,
        )

    @property
    def name(self) -> str:
        """Name of the array."""
        return self._state.record.name

    @property
    def profile(self) -> ModelProfile:
        """Limits and policies."""
        return self._state.profile

    @property
    def capabilities(self) -> ArrayCapabilities:
        """What this array can do; proven on the simulation only."""
        return self._capabilities

    @property
    def wwn(self) -> str:
        """World wide name of the storage cell, 16 hex digits [EVA 1.1]."""
        return self._state.record.wwn

    @property
    def history(self) -> Sequence[ArrayOperation]:
        """What the array did since it was opened, oldest first [EVA-65]."""
        with self._state.lock:
            return tuple(self._state.history)

    @property
    def online_controller(self) -> str:
        """The controller that owns the LUNs, "A" or "B" [EVA 1.5]."""
        with self._state.lock:
            return self._state.record.online_controller

    def fail_over(self) -> None:
        """Let the other controller take over: nothing else changes [EVA-62].

        Ids, LUN numbers, presentations and copies stay; I/O goes on.
        """
        with self._state.command():
            other = "B" if self._state.record.online_controller == "A" else "A"
            self._state.tables.array.put(
                "array", evolve(self._state.record, online_controller=other)
            )
            self._state.log("fail_over", self.name, other)

    def check(self) -> None:
        """Compare the block store's books with its tables; reads all of them.

        Raises:
            ArrayDamaged: They do not agree.
        """
        with self._state.query():
            self._state.store.check()

    def close(self) -> None:
        """Make everything durable and let go of the directory. Idempotent.

        Raises:
            InsufficientCapacity: The file system is full; the array is closed nevertheless.
            ArrayDamaged: The files cannot be written; the array is closed nevertheless.
        """
        self._state.close()

    def disk_groups(self) -> Sequence[DiskGroup]:
        """The disk groups with their capacity.

        Returns:
            By age. All sizes are raw bytes, of which Vraid1 takes two for each stored one; space
            that staged copies hold, and the reserve for a failed disk, count as used [EVA-22].
        """
        return self._disks.disk_groups()

    def create_disk_group(
        self,
        name: str,
        *,
        size_bytes: int,
        protection: ProtectionLevel = ProtectionLevel.NONE,
        disks: int = SMALLEST_GROUP_DISKS,
    ) -> DiskGroup:
        """Make a disk group.

        Args:
            name: Its name, unique among disk groups.
            size_bytes: Raw capacity in bytes, rounded down to whole segments of 2 MiB [EVA-22].
            protection: Protection level; its reserve counts as used from the start [EVA 1.3].
            disks: Number of equal disks, for the size of that reserve; recalled [EVA 1.3].

        Returns:
            The group as `disk_groups` shows it.

        Raises:
            NameInUse: There is a group of this name.
            LimitExceeded: The model has no more groups.
            UsageError: Smaller than one segment, or too few disks for the protection level.
        """
        return self._disks.create_disk_group(
            name, size_bytes=size_bytes, protection=protection, disks=disks
        )

    def storage(
        self, ids: Iterable[StorageId] | None = None, *, budget: Budget | None = None
    ) -> Sequence[Storage]:
        """Virtual disks and copies that exist; staged copies do not yet.

        Args:
            ids: Only these; unknown ones are left out. None = all.
            budget: Deadline and cancellation, looked at first; None = none. frskit always gives
                one, people at a prompt need not.

        Returns:
            Oldest first, with sizes and allocation in bytes.

        Raises:
            TimedOut, Cancelled: As the budget says.
        """
        return self._disks.storage(ids, budget=budget)

    def create_storage(
        self,
        name: str,
        size_bytes: int,
        *,
        disk_group: str,
        vraid: Vraid | None = None,
        comment: str = "",
        wwlun: str = "",
    ) -> StorageId:
        """Make a virtual disk that reads as zeros.

        Args:
            name: Unique among virtual disks and copies, staged ones too [EVA-44].
            size_bytes: Length in bytes, rounded up to a block of 512 bytes (frskit's choice).
            disk_group: Name of the group that it takes its space from.
            vraid: Redundancy; None = the profile's default.
            comment: Free text.
            wwlun: World wide LUN name to force, 32 hex digits [EVA-43]; empty = a new one.

        Returns:
            Its id, made of the object's number: it stays for the life of the disk and is never
            used again, whatever becomes of the world wide LUN name.

        Raises:
            InsufficientCapacity: The group has not the segments for it [EVA-20].
            NameInUse: The name or the world wide LUN name is taken.
            LimitExceeded: Too small, too large, too long a name, or too many disks.
            StorageNotFound: There is no such disk group.
            UsageError: The name, the world wide LUN name or the Vraid is not possible.
        """
        return self._disks.create_storage(
            name, size_bytes, disk_group=disk_group, vraid=vraid, comment=comment, wwlun=wwlun
        )

    def virtual_disk(self, storage: StorageId) -> VirtualDisk:
        """The array's full record of a disk: identity, Vraid, source.

        Args:
            storage: A virtual disk or copy.

        Returns:
            The record as it is now; it does not follow later changes.

        Raises:
            StorageNotFound: There is no such disk.
        """
        return self._disks.virtual_disk(storage)

    def describe(self, storage: StorageId) -> DiskView:
        """A disk as the array's management software shows it [EVA 1.4].

        Args:
            storage: A virtual disk or copy.

        Returns:
            Its view as it is now, sizes in bytes.

        Raises:
            StorageNotFound: There is no such disk.
        """
        return self._disks.describe(storage)

    def rename_storage(self, storage: StorageId, name: str) -> None:
        """Give a disk another name; ids and presentations stay [EVA-42].

        Args:
            storage: A virtual disk or copy.
            name: The new name; the present one is fine.

        Raises:
            StorageNotFound: There is no such disk.
            NameInUse: Another disk or staged copy has the name [EVA-44].
            LimitExceeded: The name is too long.
            UsageError: The name is not possible.
        """
        self._disks.rename_storage(storage, name)

    def resize_storage(self, storage: StorageId, size_bytes: int) -> None:
        """Change a disk's size; what is added reads as zeros, what remains keeps its bytes.

        Args:
            storage: A virtual disk, or a snapclone that has ended.
            size_bytes: New length in bytes, rounded up to a block of 512 bytes.

        Raises:
            HasDependents: It has snapshots or is being cloned [RULE-16].
            CopyConflict: It is a snapshot or is normalizing [RULE-16].
            StillPresented: Only hidden disks shrink (frskit's choice).
            InsufficientCapacity: The group has not the segments for the growth.
            LimitExceeded: The model has no disks of this size.
            StorageNotFound: There is no such disk.
        """
        self._disks.resize_storage(storage, size_bytes)

    def delete_storage(self, storage: StorageId, *, budget: Budget) -> None:
        """Delete a disk or copy and give its space back [EVA-60]. Unknown ids are fine.

        Args:
            storage: A virtual disk or copy.
            budget: Deadline and cancellation, looked at before anything is done.

        Raises:
            StillPresented: It is presented [EVA-38].
            HasDependents: It has snapshots, or a snapclone of it is normalizing [RULE-10].
            TimedOut, Cancelled: As the budget says; nothing was done.
        """
        self._disks.delete_storage(storage, budget=budget)

    def hosts(self) -> Sequence[HostRef]:
        """The host objects [EVA 1.5].

        Returns:
            By age.
        """
        return self._hosts.hosts()

    def host_ports(self, host: HostRef) -> Sequence[str]:
        """The initiator ports of a host.

        Args:
            host: A host object.

        Returns:
            In the array's spelling, ``1000-0000-C96C-C699``; names that are not 16 hex digits
            (iSCSI) in lower case.

        Raises:
            StorageNotFound: There is no such host.
        """
        return self._hosts.host_ports(host)

    def add_host(self, name: str, *, ports: Sequence[str], mode: str | None = None) -> HostRef:
        """Make a host object of initiator ports; the same name and ports return the same.

        Args:
            name: Its name, unique among hosts.
            ports: World wide port names in any spelling, at least one.
            mode: None, since the simulation has no host modes.

        Returns:
            The host, to present storage to.

        Raises:
            NameInUse: The name or a port belongs to another host [EVA-40].
            LimitExceeded: The model has no more hosts or ports.
            UsageError: The name is not possible, there are no ports, or a mode is asked for.
        """
        return self._hosts.add_host(name, ports=ports, mode=mode)

    def delete_host(self, host: HostRef) -> None:
        """Delete a host object. Unknown ones are fine.

        Args:
            host: A host object.

        Raises:
            StillPresented: It sees storage [EVA-39].
        """
        self._hosts.delete_host(host)

    def copies(
        self, *, key: CopyKey | None = None, budget: Budget | None = None
    ) -> Sequence[ArrayCopy]:
        """Copies of one set, or all copies.

        Asking lets time pass: normalization goes on as far as the clock allows.

        Args:
            key: The set; an unknown or only staged one has no copies. None = all sets, and the
                copies of `copy_by_hand`.
            budget: As `storage`.

        Returns:
            Those of a set in the order of its requests, all others oldest first; deleted
            ones are left out. Progress is in bytes, for snapclones only. The source is the object
            that was copied, also when that is gone.

        Raises:
            TimedOut, Cancelled: As the budget says.
        """
        return self._copy_sets.copies(key=key, budget=budget)

    def copy_by_hand(self, request: CopyRequest) -> StorageId:
        """Make a copy that belongs to no set, as an operator does on the array itself.

        Args:
            request: The copy.

        Returns:
            Its id; `copies` lists it without a key.

        Raises:
            CopyConflict, InsufficientCapacity, LimitExceeded, StorageNotFound: As `stage_copies`.
            NameInUse, NotLicensed, UnsupportedKind, UsageError: As `stage_copies`.
        """
        return self._copy_sets.copy_by_hand(request)

    def staged_keys(self) -> Sequence[CopyKey]:
        """Keys of sets that are staged and not committed; they hold names and space.

        Returns:
            By age.
        """
        return self._copy_sets.staged_keys()

    def stage_copies(
        self, requests: Sequence[CopyRequest], *, key: CopyKey, budget: Budget
    ) -> StagedCopies:
        """Check, number, and reserve names and space for a set; nothing is visible yet.

        Idempotent: the same key with the same requests returns the same staging.

        Args:
            requests: One per member, with different sources; `EvaCopyRequest` says more than
                `CopyRequest`. Without a name a member is named after its source.
            key: Identifies the set from now on, across reopening.
            budget: Deadline and cancellation, looked at before anything is done.

        Returns:
            What `commit_copies` takes.

        Raises:
            UnsupportedKind: The array makes no copies of a kind, or in a Vraid.
            CopyConflict: The rules forbid a member now [RULE-1 to RULE-7], or the key is in use
                for other requests.
            InsufficientCapacity: A group has not the segments for its members [EVA-20].
            LimitExceeded: Too many members, copies of a source, or disks [RULE-8, RULE-9,
                RULE-15], or too long a name.
            StorageNotFound: There is no such source or disk group.
            NameInUse: A name or a world wide LUN name is taken.
            NotLicensed: The profile has no licence for local replication.
            UsageError: There are no requests, a source is named twice, or a name is not possible.
            TimedOut, Cancelled: As the budget says; nothing was done.
        """
        return self._copy_sets.stage_copies(requests, key=key, budget=budget)

    def commit_copies(self, staged: StagedCopies, *, budget: Budget) -> Sequence[ArrayCopy]:
        """The instant: all members or none, checked once more [EVA-33, EVA-34].

        It takes the profile's `commit_s` seconds by the clock; the cut itself is at their end.
        Repeating it for a committed set returns the same copies, without those deleted since.

        Args:
            staged: From `stage_copies`.
            budget: Deadline and cancellation; ends the wait for the cut, and is looked at once
                more after it.

        Returns:
            The copies in the order of the requests; snapclones begin to normalize.

        Raises:
            CopyConflict: The rules forbid a member now, a source was resized, or the set is not
                staged.
            LimitExceeded: A source has got too many snapshots since staging [RULE-9].
            StorageNotFound: A source has been deleted since staging; another disk that has got its
                world wide LUN name is not it.
            TimedOut, Cancelled: As the budget says; nothing was done.
            OutcomeUnknown: The copies were made, but after the deadline.
        """
        return self._copy_sets.commit_copies(staged, budget=budget)

    def discard_staged(self, key: CopyKey, *, budget: Budget | None = None) -> None:
        """Forget a staging and give its names and space back; anything else is fine.

        Args:
            key: The set; an unknown or committed one is left alone.
            budget: As `storage`.

        Raises:
            TimedOut, Cancelled: As the budget says.
        """
        self._copy_sets.discard_staged(key, budget=budget)

    def restore_storage(self, target: StorageId, source: StorageId, *, budget: Budget) -> None:
        """Instant restore: `target` shows what its copy `source` shows; all copies stay [EVA-66].

        Args:
            target: The disk to overwrite, hidden from all hosts.
            source: A finished copy of it.
            budget: Deadline and cancellation, looked at before anything is done.

        Raises:
            CopyConflict: Not a finished copy of this very disk in its present size, or the disk is a
                snapshot, is normalizing or is being cloned [RULE-17].
            CopyInvalid: The copy holds no data any more [RULE-17].
            StillPresented: The target must be hidden first.
            InsufficientCapacity: Other demand-allocated snapshots would not fit any more
                (frskit's choice: a restore is never worth a copy).
            StorageNotFound: There is no such target or source.
            NotLicensed: The profile has no licence for local replication.
            TimedOut, Cancelled: As the budget says; nothing was done.
        """
        self._copy_sets.restore_storage(target, source, budget=budget)

    def present(
        self,
        storage: StorageId,
        host: HostRef,
        *,
        read_only: bool,
        budget: Budget,
        access: str | None = None,
        number: int | None = None,
    ) -> Presentation:
        """Show a disk to a host; normalizing ones too. Repeating it returns what there is.

        Args:
            storage: A virtual disk or copy.
            host: To whom.
            read_only: Whether writes through this LUN are refused.
            budget: Deadline and cancellation, looked at before anything is done.
            access: ``scsi-lun``, the only way there is; None = the same.
            number: LUN number, from 1 to the model's highest; None = the lowest free one
                [EVA-37].

        Returns:
            The presentation, with the LUN number in its `access`.

        Raises:
            StorageNotFound: The storage or the host is unknown.
            PresentationFailed: It is presented otherwise, no such number is free, or another
                access is asked for.
            CopyInvalid: The copy holds no data any more.
            TimedOut, Cancelled: As the budget says; nothing was done.
        """
        return self._presentations.present(
            storage, host, read_only=read_only, budget=budget, access=access, number=number
        )

    def unpresent(self, presentation: Presentation, *, budget: Budget) -> None:
        """Hide a disk from a host; I/O through that LUN fails from now on. Idempotent.

        Args:
            presentation: From `present`. One that was replaced since, by one under another
                number, is left alone.
            budget: Deadline and cancellation, looked at before anything is done.

        Raises:
            TimedOut, Cancelled: As the budget says; nothing was done.
        """
        self._presentations.unpresent(presentation, budget=budget)

    def presentations(
        self, storage: StorageId | None = None, *, budget: Budget | None = None
    ) -> Sequence[Presentation]:
        """Who sees a disk.

        Args:
            storage: A virtual disk or copy, unknown ones are seen by nobody; None = all.
            budget: As `storage`.

        Returns:
            By age.

        Raises:
            TimedOut, Cancelled: As the budget says.
        """
        return self._presentations.presentations(storage, budget=budget)

    def report_luns(self, host: HostRef) -> Sequence[ScsiLun]:
        """The LUNs of a host now [EVA-35].

        Args:
            host: A host object; an unknown one sees nothing.

        Returns:
            By number, each with its page 83 names and the object that answers now; the same number
            may answer otherwise next time [HAZ-01].
        """
        return self._presentations.report_luns(host)

    def open_lun(self, host: HostRef, number: int) -> BlockDevice:
        """The disk that answers under this number now.

        Args:
            host: Who asks.
            number: LUN number.

        Returns:
            A device that stays bound to this disk: it refuses I/O once the disk is not presented
            to the host under this number any more, and never touches another one.

        Raises:
            DeviceError: Nothing answers.
        """
        return self._presentations.open_lun(host, number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


if TYPE_CHECKING:
    _disk_array: type[DiskArray] = SimulatedEva
    _provisioning: type[SupportsProvisioning] = SimulatedEva
    _restore: type[SupportsRestore] = SimulatedEva
    _target: type[ScsiTarget] = SimulatedEva
