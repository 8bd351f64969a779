"""The record of one copy: what it is, where it stands in its life, what was found and done."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import ClassVar

from attrs import field, frozen

from frskit.model.checks import IntegrityReport
from frskit.model.components import (
    BackupType,
    Component,
    ComponentId,
    LateFile,
    WriterRecord,
)
from frskit.model.ids import CopyId, CopyKey, HostRef, SetId, StorageId, VolumeId
from frskit.model.log_points import LogPoint
from frskit.model.shadows import ShadowDocuments
from frskit.model.storage import CopyKind
from frskit.model.values import Value

__all__ = [
    "Completion",
    "Copy",
    "CopyFilter",
    "CopyLife",
    "CopyMember",
    "DamagedRecord",
    "MemberLife",
    "Resumed",
    "Truncation",
    "UnrecordedCopy",
    "Verdict",
]


class CopyLife(Enum):
    """Life of a copy [design 4]; FAILED ones are kept for a look or as named leftovers."""

    REQUESTED = "requested"
    CREATED = "created"
    IMPORTED = "imported"
    VERIFIED = "verified"
    PARKED = "parked"
    PRESENTED = "presented"
    CONSUMED = "consumed"
    DELETING = "deleting"
    DELETED = "deleted"
    FAILED = "failed"


class Verdict(Enum):
    """What the integrity check said, independent of completion and truncation [R-16]."""

    UNKNOWN = "unknown"
    UNVERIFIED = "unverified"
    VERIFIED = "verified"
    CORRUPT = "corrupt"
    DECAYED = "decayed"


class Completion(Enum):
    """Whether the writer was told the outcome and took it."""

    NONE = "none"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"


class MemberLife(Enum):
    """Life of one member; a swap consumes members one by one."""

    HELD = "held"
    CONSUMED = "consumed"
    DELETED = "deleted"


@frozen(kw_only=True)
class CopyMember(Value):
    """One LUN of a copy.

    Attributes:
        volume: Original volume.
        mount_point: Where the original was mounted, server-native.
        source: LUN of the original at copy time.
        storage: LUN of the copy.
        life: Whether the copy still owns the LUN.
    """

    volume: VolumeId
    mount_point: str
    source: StorageId
    storage: StorageId
    life: MemberLife = MemberLife.HELD


@frozen(kw_only=True)
class Truncation(Value):
    """Which of a component's logs disappeared, found by looking at production.

    Attributes:
        component: The component that names them.
        first, last: The lowest and the highest of them; None if none is known to the copy.
        files: Names of the files.
        beyond: Those of `files` that nobody was allowed to delete: not strictly before the bound of
            the check, in a stream that cannot be compared with it, unknown to the copy, or gone
            before there was a verdict. What they held, this copy may not hold.
    """

    schema_version: ClassVar[int] = 2

    component: ComponentId
    first: LogPoint | None = None
    last: LogPoint | None = None
    files: tuple[str, ...] = ()
    beyond: tuple[str, ...] = ()

    def __repr__(self) -> str:
        wrong = f", {len(self.beyond)} of them not allowed" if self.beyond else ""
        return f"<Truncation {self.component.name}: {self.count} logs gone{wrong}>"

    @property
    def count(self) -> int:
        """Number of log files that were deleted."""
        return len(self.files)


@frozen(kw_only=True)
class Copy(Value):
    """The catalog's record of one copy.

    Attributes:
        id: A GUID, chosen before anything is asked of anybody.
        server: Production server (or virtual server) that was copied.
        components: Names of the copied components, as the user calls them.
        selected: Explicitly selected components, with their ids.
        files: All components with file sets: what the copy must contain.
        kind, backup_type: How it was made.
        created_at: The instant of the copy; before that, of the request. Aware UTC.
        recovery_host: Host to which the copy is or was presented.
        members: One per LUN.
        life, verdict, completion, truncated: Independent facts [R-16]. Truncated logs are found by
            looking; those that should not have gone are named in `failure`, too.
        freeze_s, hold_s: How long the application was frozen and writes were held.
        report: The checker's report, once there is one.
        records: What the writers wanted kept.
        late: Manifest of the files that came after the instant, without their content.
        documents: Saved documents.
        stage: Stage reached or failed in, for `explain`.
        failure: Code and message of what ended it, empty if nothing did.
        leftovers: What could not be cleaned up.
        note: Free text.
        revision: How often the catalog has stored this record; 0 for one that it never stored, and
            for one of 0.1.0. The catalog counts; see `CopyCatalog.put`.
        asked: The components as the caller named them, for telling whether a key comes again with
            the same wish; empty in records of 0.1.0.
        check_wanted: Whether a check was asked for.
        set_id: The shadow copy set, as its service calls it; None until it is created.
        missing: Databases of the copied components that the copy does not hold, by name: they were
            not offered when it was made, as those that are dismounted are not.
    """

    schema_version: ClassVar[int] = 2

    id: CopyId
    server: str
    components: tuple[str, ...]
    kind: CopyKind
    backup_type: BackupType
    created_at: datetime
    recovery_host: HostRef | None = None
    selected: tuple[Component, ...] = field(default=(), repr=False)
    files: tuple[Component, ...] = field(default=(), repr=False)
    members: tuple[CopyMember, ...] = ()
    life: CopyLife = CopyLife.REQUESTED
    verdict: Verdict = Verdict.UNKNOWN
    completion: Completion = Completion.NONE
    truncated: tuple[Truncation, ...] = ()
    freeze_s: float | None = None
    hold_s: float | None = None
    report: IntegrityReport | None = field(default=None, repr=False)
    records: tuple[WriterRecord, ...] = field(default=(), repr=False)
    documents: ShadowDocuments | None = field(default=None, repr=False)
    late: tuple[LateFile, ...] = field(default=(), repr=False)
    stage: str = "requested"
    failure: str = ""
    leftovers: tuple[str, ...] = ()
    note: str = ""
    revision: int = 0
    asked: tuple[str, ...] = ()
    check_wanted: bool = True
    set_id: SetId | None = None
    missing: tuple[str, ...] = ()

    @property
    def partial(self) -> bool:
        """Whether databases of the copied components are not in it."""
        return bool(self.missing)

    @property
    def key(self) -> CopyKey:
        """What the service and the array were told to call it by; known before they were asked."""
        return CopyKey(self.id)

    @property
    def shadow_set(self) -> SetId | None:
        """The set to break or delete; None if none was created as far as the record knows.

        Records from before `set_id` are of sets that had the copy's own id.
        """
        if self.set_id is not None or not self.members:
            return self.set_id
        return SetId(self.id)

    def __repr__(self) -> str:
        return (
            f"<Copy {self.id[:8]} of {self.server} {', '.join(self.components)}: "
            f"{self.backup_type.value} {self.kind.value} of {self.created_at:%Y-%m-%d %H:%M:%S}, "
            f"{len(self.members)} LUNs, {self.life.value}, {self.verdict.value}"
            + (f", without {', '.join(self.missing)}>" if self.missing else ">")
        )

    @property
    def recoverable(self) -> bool:
        """Whether recovery may use it: verified and not consumed, deleted or decayed [R-16]."""
        return self.verdict is Verdict.VERIFIED and self.life in (
            CopyLife.VERIFIED,
            CopyLife.IMPORTED,
            CopyLife.PARKED,
            CopyLife.PRESENTED,
        )


@frozen(kw_only=True)
class CopyFilter(Value):
    """Which copies a listing wants; None = any."""

    server: str | None = None
    component: str | None = None
    include_deleted: bool = False


@frozen(kw_only=True)
class DamagedRecord(Value):
    """A record of the catalog that cannot be read; its copy may be as good as ever.

    Attributes:
        id: The copy's id.
        server: Its production server, as the catalog's index says; in lower case.
        problem: What is wrong, with the file's name.
        hint: What leads out.
    """

    id: CopyId
    server: str
    problem: str
    hint: str


@frozen(kw_only=True)
class UnrecordedCopy(Value):
    """A copy on the array that carries a key of frskit and of which there is no record.

    Attributes:
        id: The key, which is the copy's id.
        server: The production server whose LUNs it is a copy of.
        storages: Its LUNs on the array.
    """

    id: CopyId
    server: str
    storages: tuple[StorageId, ...]

    @property
    def problem(self) -> str:
        """What is wrong, and the way out, one sentence."""
        return (
            f"the array holds {len(self.storages)} LUNs of copy {self.id} of {self.server}, and "
            "there is no record of it: restore the catalog from a copy, or delete them by hand"
        )


@frozen(kw_only=True)
class Resumed(Value):
    """What became of one object that a resume found unfinished.

    Attributes:
        copy: The record as it is now; None if it is missing or cannot be read.
        result: What was done, one sentence.
        id: The copy's id, also where `copy` is None.
        ended: Whether nothing is left to do: completed, parked or undone. Else somebody has to
            look, and `result` says why.
        commands: What leads out, if it did not end: the commands to choose from.
    """

    copy: Copy | None
    result: str
    id: CopyId
    ended: bool = True
    commands: tuple[str, ...] = ()
