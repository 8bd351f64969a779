"""What an array says about its storage, its copies and who sees them."""

from __future__ import annotations

import re
from datetime import datetime
from enum import Enum, StrEnum
from typing import Final

from attrs import field, frozen

from frskit.errors import LimitExceeded, UsageError
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
    "NameRule",
    "NbdExport",
    "OtherAccess",
    "Presentation",
    "ReadOnlyScope",
    "ScsiLun",
    "SetAtomicity",
    "StagedCopies",
    "Storage",
    "StorageState",
]


LONGEST_COMMIT_S: Final = 9.0
"""What is expected to take longer is not begun: writes are held for 10 s [VSS-44], and the service
needs a little of it around the commit (frskit's choice)."""


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
    """How a copy stands to its source, as the array reports it.

    NORMALIZING ends by itself: a full copy still shares data with its source, or is not durable
    yet. UNKNOWN: the array does not tell; the copy is there and may hold data.
    """

    NORMALIZING = "normalizing"
    INDEPENDENT = "independent"
    DEPENDENT = "dependent"
    INVALID = "invalid"
    UNKNOWN = "unknown"


class StorageState(Enum):
    """What the array does with an object now: a job is a state of the object, not an object.

    READY: usable. PREPARING: made, or staged, and not usable yet. RESTORING: being overwritten by a
    restore; not usable until that ends, which survives a restart of the array. DELETING: will be
    gone. FAILED: the array gave up on it; only deletion is left.
    """

    READY = "ready"
    PREPARING = "preparing"
    RESTORING = "restoring"
    DELETING = "deleting"
    FAILED = "failed"


class ReadOnlyScope(Enum):
    """For whom an array can refuse writes.

    PRESENTATION: for one host. STORAGE: for all hosts at once, because the flag is the storage's.
    NONE: for nobody; the server has to mount it read-only.
    """

    PRESENTATION = "presentation"
    STORAGE = "storage"
    NONE = "none"


class SetAtomicity(Enum):
    """How the members of one copy set relate in time [resolutions R-27].

    INSTANT: one cut for all members. WITHIN_HOLD: one after the other, consistent only because
    writes are held. UNIT: consistent per member only.
    """

    INSTANT = "instant"
    WITHIN_HOLD = "within-hold"
    UNIT = "unit"


class AccessKind(StrEnum):
    """The ways of showing storage to a host that frskit knows; the set is open.

    Members are texts: ``"scsi-lun" in capabilities.access`` and ``AccessKind.SCSI_LUN in ...`` ask
    the same. Other ways are any other text, and give an `OtherAccess` of that kind.
    """

    SCSI_LUN = "scsi-lun"
    NBD_EXPORT = "nbd-export"
    HOST_PATH = "host-path"


@frozen(kw_only=True)
class ScsiLun(Value):
    """A LUN as a host sees it.

    Attributes:
        host: The array's host object.
        number: LUN number on this host; 0 is the array's console and never a disk [SVC].
        identifiers: Page 83 identifiers, the NAA name first. They name what hosts see, and an
            administrator may give one of them to another disk [EVA-43].
        storage: The array's object behind it, where the one who made this value can tell; servers
            join it from `Storage.identifiers` elsewhere. None = not known.
    """

    host: HostRef
    number: int
    identifiers: tuple[str, ...] = ()
    storage: StorageId | None = None


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
    made anew in the copy, or `DiskArray.stage_copies` refuses the set with an error that names it,
    before anybody is frozen; `commit_copies` does so only for what came since. Nothing is left out
    silently. A copy that the array may not give its owner or attributes is refused as well. The
    array kit checks it (`frskit.testing.array.trees`).

    Who enforces ``read_only``: nobody must. An array of directories of this machine cannot keep
    other programs from writing below the path and says `ReadOnlyScope.NONE`; `LinuxServer` mounts
    what it is told to so that its own `FileSystem` refuses changes, and the kernel knows nothing of
    it.

    Attributes:
        path: Absolute, in the host's own notation; the same for as long as it is presented.
    """

    path: str


@frozen(kw_only=True)
class OtherAccess(Value):
    """Another way to storage (iSCSI, NVMe, what comes), for servers that know it.

    Attributes:
        kind: The way, as in `ArrayCapabilities.access`; none of `AccessKind`.
        address: Names and values that lead there; what they mean is between array and server.
    """

    kind: str
    address: tuple[tuple[str, str], ...] = ()


#: How a host gets at storage: one of the ways that `AccessKind` names, or another one.
Access = ScsiLun | NbdExport | HostPath | OtherAccess


@frozen(kw_only=True)
class NameRule(Value):
    """What an array takes as a name, for each of its objects alike: storage, copies, hosts, pools.

    One grammar for all, because names travel through one command line. A party that has the rule
    refuses a name before anything is made under it.

    Attributes:
        max_bytes: Longest name, in bytes of UTF-8.
        allowed: Regular expression that the whole name matches.
        folds_case: Whether names that differ only in case are the same name.
        reserved: Names that mean something else there, in any case.

    Example:
        >>> rule = NameRule(max_bytes=8, reserved=frozenset({"ACTIVE"}))
        >>> rule.refusal("data-1") is None
        True
        >>> rule.refusal("active")
        'is reserved'
    """

    max_bytes: int = 255
    allowed: str = r"[^\x00-\x1f\x7f]+"
    folds_case: bool = False
    reserved: frozenset[str] = frozenset()

    def refusal(self, name: str) -> str | None:
        """Why this cannot be a name, as the end of a sentence; None if it can."""
        if not name.strip():
            return "is empty"
        if name != name.strip():
            # Lost by everything that parses or prints it: two names would look like one.
            return "begins or ends with a blank"
        try:
            size = len(name.encode())
        except UnicodeEncodeError:
            return "is no text"
        if size > self.max_bytes:
            return f"has more than {self.max_bytes} bytes"
        if not re.fullmatch(self.allowed, name):
            return "has characters that the array does not take"
        if name.casefold() in {each.casefold() for each in self.reserved}:
            return "is reserved"
        return None

    def check(self, name: str, what: str = "object") -> None:
        """Refuse what cannot be a name.

        Args:
            name: The name.
            what: What it is for, for the message.

        Raises:
            LimitExceeded: It is too long.
            UsageError: It is impossible otherwise.
        """
        why = self.refusal(name)
        if why is None:
            return
        text = f"the name {name!r} of the {what} {why}"
        if why.startswith("has more"):
            raise LimitExceeded(text, hint="Choose a shorter name.", context={"name": name})
        raise UsageError(text, hint="Choose another name.", context={"name": name})

    def same(self, one: str, other: str) -> bool:
        """Whether two texts name the same object."""
        return one == other or (self.folds_case and one.casefold() == other.casefold())


@frozen(kw_only=True)
class Storage(Value):
    """One object of the array that can be copied or presented.

    Attributes:
        id: The object's own id, never used again for another object.
        name: The array's name for it.
        size_bytes: What a host sees.
        allocated_bytes: What it costs now, in usable capacity; None if the array cannot tell.
        disk_group: The pool it lives in; None where there are no pools.
        comment: Free text kept by the array, empty if it keeps none.
        created_at: When it was made, aware UTC; None if unknown.
        identifiers: What hosts see of it (page 83 names), the NAA name first; may be used again
            for another object.
        state: What the array does with it now.
        staged_for: Key of the set that it was made for before the commit, where staging makes
            objects that show (`ArrayCapabilities.staging_visible`); else None.
    """

    id: StorageId
    name: str
    size_bytes: int
    allocated_bytes: int | None = None
    disk_group: str | None = None
    comment: str = ""
    created_at: datetime | None = None
    identifiers: tuple[str, ...] = ()
    state: StorageState = StorageState.READY
    staged_for: CopyKey | None = None


@frozen(kw_only=True)
class ArrayCopy(Value):
    """One copy, as the array reports it: member of a set, or made by somebody else.

    Attributes:
        id: The copy's own storage id.
        source: What it is a copy of; None if the array does not know it (any more).
        key: Key of the set that it belongs to; None for a copy that was made without frskit.
        kind: Kind of copy; None if the array does not tell.
        state: How it stands to its source now; INVALID copies hold no data.
        copied_bytes: Progress of normalization; None where nothing is copied.
        size_bytes: Size, equal to the source's at the instant of the copy; None if the array does
            not tell (a demand-allocated snapshot whose parent is gone [D-sn]).
        name: The array's name for it.
        created_at: The instant of the copy on the array's clock, aware UTC.
        storage_state: What the array does with it now, as `Storage.state`.
    """

    id: StorageId
    source: StorageId | None
    key: CopyKey | None
    kind: CopyKind | None
    state: CopyState
    size_bytes: int | None
    copied_bytes: int | None = None
    name: str = ""
    created_at: datetime | None = None
    storage_state: StorageState = field(default=StorageState.READY, repr=False)

    @property
    def is_lost(self) -> bool:
        """Whether it holds no data any more, or will not for long."""
        return self.state is CopyState.INVALID or self.storage_state in (
            StorageState.DELETING,
            StorageState.FAILED,
        )

    @property
    def is_busy(self) -> bool:
        """Whether the array still works on it, so that one has to wait before relying on it."""
        return self.state is CopyState.NORMALIZING or self.storage_state in (
            StorageState.PREPARING,
            StorageState.RESTORING,
        )


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
        key: The caller's key.
        requests: What was asked for.
        estimate_commit_s: Seconds that the commit will take, from what was found while staging;
            None = as the capabilities say. Above `LONGEST_COMMIT_S` nobody is frozen for it.
        visible: Objects that show in `DiskArray.storage` before the commit, with `staged_for`; one
            of them may become a copy under the same id.
    """

    key: CopyKey
    requests: tuple[CopyRequest, ...]
    estimate_commit_s: float | None = field(default=None, eq=False)
    visible: tuple[StorageId, ...] = ()


@frozen(kw_only=True)
class Presentation(Value):
    """A storage object made visible to a host.

    Attributes:
        storage: What is shown.
        host: To whom.
        access: How the host gets at it.
        read_only: Whether writes are refused there, whatever was asked for.
    """

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
        access: How it presents storage: values of `AccessKind`, or other texts.
        set_atomicity: How the members of a set relate in time.
        max_set_members: Most members of one set; None = no limit.
        label_bytes: Length of the label area at the start of each LUN; 0 = none.
        own_barrier: Whether the array itself orders writes at the cut (no flush-and-hold needed).
        estimate_commit_s: Expected length of the instant, for planning before anything is staged;
            None if it depends on what is copied: see `StagedCopies`.
        proven_on: What this back end has been run against; never more than is true.
        read_only: For whom it can refuse writes.
        numbers: Whether ``present(number=...)`` is obeyed.
        size_granularity_bytes: Sizes are rounded up to a multiple of this.
        staging_visible: Whether staging makes objects that show in `DiskArray.storage` and cost
            space (containers).
        late_effect_s: For so long a command may still act after its caller got no answer: whoever
            looks after an unclear result looks again then [HAZ-10].
        names: What it takes as a name.
        host_modes: Words for the operating system of a host object; empty = it has none.
    """

    kinds: frozenset[CopyKind]
    access: frozenset[str]
    set_atomicity: SetAtomicity = SetAtomicity.INSTANT
    max_set_members: int | None = None
    label_bytes: int = 0
    own_barrier: bool = False
    estimate_commit_s: float | None = None
    proven_on: str = "simulation"
    read_only: ReadOnlyScope = ReadOnlyScope.PRESENTATION
    numbers: bool = False
    size_granularity_bytes: int = 1
    staging_visible: bool = False
    late_effect_s: float = 0.0
    names: NameRule = NameRule()
    host_modes: tuple[str, ...] = ()
