"""What an array says about its storage, its copies and who sees them."""

from __future__ import annotations

from datetime import datetime
from enum import Enum

from attrs import frozen

from frskit.model.ids import CopyKey, HostRef, StorageId
from frskit.model.values import Value

__all__ = [
    "Access",
    "AccessKind",
    "ArrayCapabilities",
    "ArrayCopy",
    "CopyKind",
    "CopyRequest",
    "CopyState",
    "DiskGroup",
    "HostPath",
    "NbdExport",
    "Presentation",
    "ScsiLun",
    "SetAtomicity",
    "StagedCopies",
    "Storage",
]


class CopyKind(Enum):
    """Kinds of array copy [FRS R-2.13; EVA 1.6].

    SNAPCLONE is a full copy, usable at once, independent after normalization (VSS: plex).
    SNAPSHOT is fully allocated and depends on its source (VSS: differential); VSNAP is a
    demand-allocated snapshot.
    """

    SNAPCLONE = "snapclone"
    SNAPSHOT = "snapshot"
    VSNAP = "vsnap"


class CopyState(Enum):
    """How a copy stands to its source, as the array reports it."""

    NORMALIZING = "normalizing"
    INDEPENDENT = "independent"
    DEPENDENT = "dependent"
    INVALID = "invalid"


class SetAtomicity(Enum):
    """How the members of one copy set relate in time [resolutions R-27].

    INSTANT: one cut for all members. WITHIN_HOLD: one after the other, consistent only because
    writes are held. UNIT: consistent per member only.
    """

    INSTANT = "instant"
    WITHIN_HOLD = "within-hold"
    UNIT = "unit"


class AccessKind(Enum):
    """The ways in which an array can show storage to a host."""

    SCSI_LUN = "scsi-lun"
    NBD_EXPORT = "nbd-export"
    HOST_PATH = "host-path"


@frozen(kw_only=True)
class ScsiLun(Value):
    """A LUN as a host sees it.

    Attributes:
        host: The array's host object.
        number: LUN number on this host; 0 is the array's console and never a disk [SVC].
        identifiers: Page 83 identifiers, the NAA name first.
    """

    host: HostRef
    number: int
    identifiers: tuple[str, ...] = ()


@frozen(kw_only=True)
class NbdExport(Value):
    """Storage served over the network block device protocol."""

    uri: str


@frozen(kw_only=True)
class HostPath(Value):
    """Storage that is a directory on the host itself, or a file that holds a disk.

    For a directory the copy is the tree, not only the bytes. What must survive the copy and each
    presentation, because applications refuse to start without it: every name, empty directories
    too; mode, owner and group; times of change, to the unit of the file system; symbolic links as
    links, unfollowed; several names of one file (hard links) as such; extended attributes of
    users; holes, so that a sparse file costs no more than before. A pipe, socket or device is
    made anew in the copy, or `DiskArray.stage_copies` or `commit_copies` refuses the set with an
    error that names it; nothing is left out silently. A copy that the array may not give its
    owner or attributes is refused as well. The array kit checks it (`frskit.testing.array.trees`).

    Who enforces ``read_only``: nobody must. An array of directories of this machine cannot keep
    other programs from writing below the path; `LinuxServer` mounts what is presented read-only
    so that its own `FileSystem` refuses changes, and the kernel knows nothing of it.

    Attributes:
        path: Absolute, in the host's own notation; the same for as long as it is presented.
    """

    path: str


#: How a host gets at storage: one of the three ways that `AccessKind` names.
Access = ScsiLun | NbdExport | HostPath


@frozen(kw_only=True)
class Storage(Value):
    """One object of the array that can be copied or presented.

    Attributes:
        id: Opaque id.
        name: The array's name for it.
        size_bytes: What a host sees.
        allocated_bytes: What it costs now, in usable capacity; None if the array cannot tell.
        disk_group: The pool it lives in; None where there are no pools.
        comment: Free text kept by the array, empty if it keeps none.
        created_at: When it was made, aware UTC; None if unknown.
    """

    id: StorageId
    name: str
    size_bytes: int
    allocated_bytes: int | None = None
    disk_group: str | None = None
    comment: str = ""
    created_at: datetime | None = None


@frozen(kw_only=True)
class ArrayCopy(Value):
    """One member of a copy set, as the array reports it.

    Attributes:
        id: The copy's own storage id.
        source: What it is a copy of.
        key: Key of the set that it belongs to.
        kind: Kind of copy.
        state: How it stands to its source now; INVALID copies hold no data.
        copied_bytes: Progress of normalization; None where nothing is copied.
        size_bytes: Size, equal to the source's at the instant of the copy.
        name: The array's name for it.
        created_at: The instant of the copy on the array's clock, aware UTC.
    """

    id: StorageId
    source: StorageId
    key: CopyKey
    kind: CopyKind
    state: CopyState
    size_bytes: int
    copied_bytes: int | None = None
    name: str = ""
    created_at: datetime | None = None


@frozen(kw_only=True)
class CopyRequest(Value):
    """Wish for one member of a copy set.

    Attributes:
        source: What to copy.
        kind: Kind of copy.
        name: Name for the copy on the array; arrays without names ignore it.
        comment: Free text, kept where the array can keep one.
        disk_group: Pool for the copy; None = the array's default (the source's).
    """

    source: StorageId
    kind: CopyKind
    name: str = ""
    comment: str = ""
    disk_group: str | None = None


@frozen(kw_only=True)
class StagedCopies(Value):
    """A prepared copy set: everything slow is done, nothing is copied yet.

    Attributes:
        key: Key of the set.
        requests: Its members.
        estimate_commit_s: Expected length of the instant, from what is there to copy; None if
            the array cannot tell.
        visible: Objects that show in ``storage()`` before the commit.
    """

    key: CopyKey
    requests: tuple[CopyRequest, ...]
    estimate_commit_s: float | None = None
    visible: tuple[StorageId, ...] = ()


@frozen(kw_only=True)
class Presentation(Value):
    """A storage object made visible to a host."""

    storage: StorageId
    host: HostRef
    access: Access
    read_only: bool = False


@frozen(kw_only=True)
class DiskGroup(Value):
    """A pool of an array, in usable bytes without redundancy.

    Attributes:
        name: Name of the group.
        total_bytes: Capacity.
        used_bytes: Allocated, the protection reserve included.
        copies_fit_bytes: New capacity of default redundancy that still fits.
    """

    name: str
    total_bytes: int
    used_bytes: int
    copies_fit_bytes: int


@frozen(kw_only=True)
class ArrayCapabilities(Value):
    """What an array can do; callers ask here and never look at the concrete type.

    Attributes:
        kinds: Copy kinds it can make.
        access: How it presents storage.
        set_atomicity: How the members of a set relate in time.
        max_set_members: Most members of one set; None = no limit.
        label_bytes: Length of the label area at the start of each LUN; 0 = none.
        own_barrier: Whether the array itself orders writes at the cut (no flush-and-hold needed).
        estimate_commit_s: Expected length of the instant, for planning; None if it depends on
            what is copied: see `StagedCopies`.
        proven_on: What this back end has been run against; never more than is true.
    """

    kinds: frozenset[CopyKind]
    access: frozenset[AccessKind]
    set_atomicity: SetAtomicity = SetAtomicity.INSTANT
    max_set_members: int | None = None
    label_bytes: int = 0
    own_barrier: bool = False
    estimate_commit_s: float | None = None
    proven_on: str = "simulation"
