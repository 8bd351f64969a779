"""What a writer says of itself: components, file sets, schema; and what a backup selects."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import ClassVar

from attrs import field, frozen

from frskit.errors import UsageError
from frskit.model.files import FileRole, FileSet
from frskit.model.ids import CopyKey, SetId, VolumeId, canonical_guid
from frskit.model.log_points import LogPoint, LogRange
from frskit.model.server_paths import inside
from frskit.model.values import Value

__all__ = [
    "BackupSchema",
    "BackupType",
    "Component",
    "ComponentId",
    "ComponentKind",
    "LateFile",
    "Quiesce",
    "WriterFailure",
    "WriterLevel",
    "WriterMetadata",
    "WriterRecord",
    "WriterSession",
    "WriterState",
    "WriterStatus",
]


FREEZE_WINDOW_S = 60.0
"""From Freeze to Thaw, for a writer that does not say [VSS 3]."""


class BackupType(Enum):
    """VSS backup types [VSS 4.1]; FULL and INCREMENTAL truncate logs.

    frskit's own service makes the first four. The others occur in documents of other requestors,
    and a writer hears them when such a backup is restored.
    """

    FULL = "full"
    INCREMENTAL = "incremental"
    DIFFERENTIAL = "differential"
    COPY = "copy"
    LOG = "log"
    OTHER = "other"


class BackupSchema(Enum):
    """Backup schema bits that a writer declares; values as in VSS_BACKUP_SCHEMA [VSS 4.2]."""

    DIFFERENTIAL = 0x1
    INCREMENTAL = 0x2
    EXCLUSIVE_INCREMENTAL_DIFFERENTIAL = 0x4
    LOG = 0x8
    COPY = 0x10
    TIMESTAMPED = 0x20
    LAST_MODIFY = 0x40
    WRITER_SUPPORTS_NEW_TARGET = 0x100
    WRITER_SUPPORTS_RESTORE_WITH_MOVE = 0x200


class Quiesce(Enum):
    """What a writer's Freeze gives until Thaw.

    HOLDS: nothing is written. INSTANT_ONLY: the application goes on, so all members of a set need
    one and the same cut. ANY_ORDER: it goes on in a backup mode in which members may be of
    different times between the beginning of the mode and its end.
    """

    HOLDS = "holds"
    INSTANT_ONLY = "instant-only"
    ANY_ORDER = "any-order"


class ComponentKind(Enum):
    """Component types of VSS."""

    DATABASE = "database"
    FILE_GROUP = "filegroup"


class WriterLevel(Enum):
    """Freeze order: front-end applications first, then back-end, then system [VSS-03]."""

    FRONT_END = 1
    BACK_END = 2
    SYSTEM = 3


class WriterState(Enum):
    """VSS_WRITER_STATE [VSS 2.1]."""

    UNKNOWN = 0
    STABLE = 1
    WAITING_FOR_FREEZE = 2
    WAITING_FOR_THAW = 3
    WAITING_FOR_POST_SNAPSHOT = 4
    WAITING_FOR_BACKUP_COMPLETE = 5
    FAILED_AT_IDENTIFY = 6
    FAILED_AT_PREPARE_BACKUP = 7
    FAILED_AT_PREPARE_SNAPSHOT = 8
    FAILED_AT_FREEZE = 9
    FAILED_AT_THAW = 10
    FAILED_AT_POST_SNAPSHOT = 11
    FAILED_AT_BACKUP_COMPLETE = 12
    FAILED_AT_PRE_RESTORE = 13
    FAILED_AT_POST_RESTORE = 14
    FAILED_AT_BACKUP_SHUTDOWN = 15


class WriterFailure(Enum):
    """The five codes a writer may veto with [VSS-38]; values are HRESULTs."""

    INCONSISTENT_SNAPSHOT = 0x800423F0
    OUT_OF_RESOURCES = 0x800423F1
    TIMEOUT = 0x800423F2
    RETRYABLE = 0x800423F3
    NONRETRYABLE = 0x800423F4


@frozen(kw_only=True)
class ComponentId(Value):
    """Identity of a component inside one writer instance [VSS 4.3].

    Attributes:
        writer_id: Class id of the writer; any spelling of a GUID is made canonical [VSS-68].
        logical_path: Backslash-separated path, opaque text, may be empty.
        name: Component name.
        instance: Stable name of the writer's instance, where a class has several on one server;
            as `WriterMetadata.instance`, empty where there is one only.
    """

    writer_id: str = field(converter=canonical_guid)
    logical_path: str
    name: str
    instance: str = ""

    @property
    def full_path(self) -> str:
        """Logical path and name; ancestors are prefixes of it."""
        return f"{self.logical_path}\\{self.name}" if self.logical_path else self.name

    @property
    def told(self) -> str:
        """For messages and for people to type: the full path, with the instance if it has one."""
        return f"{self.instance}:{self.full_path}" if self.instance else self.full_path

    def is_ancestor_of(self, other: ComponentId) -> bool:
        """Case-insensitive prefix test on full path plus backslash [VSS 4.3]."""
        if (self.writer_id, self.instance) != (other.writer_id, other.instance):
            return False
        return other.full_path.casefold().startswith(self.full_path.casefold() + "\\")


@frozen(kw_only=True)
class Component(Value):
    """One component of a writer's metadata.

    Attributes:
        id: Identity.
        caption: Name for people; empty if none.
        kind: Database or file group.
        selectable: Whether a backup may name it although it has a selectable ancestor.
        selectable_for_restore: Whether a restore may name it alone.
        notify_on_backup_complete: Whether the writer wants BackupComplete for it.
        files: Its file sets; containers have none.
    """

    id: ComponentId
    caption: str = ""
    kind: ComponentKind = ComponentKind.FILE_GROUP
    selectable: bool = False
    selectable_for_restore: bool = False
    notify_on_backup_complete: bool = False
    files: tuple[FileSet, ...] = ()

    def __repr__(self) -> str:
        called = f" {self.caption!r}" if self.caption else ""
        return f"<Component {self.id.full_path!r}{called}: {len(self.files)} file sets>"

    def answers_to(self, name: str) -> bool:
        """Whether people may call it by `name` (name, caption or full path, any case).

        Each of the three may have the writer's instance before it, ``instance:name``. Nothing
        answers to an empty name: a component without a caption is not called "".
        """
        wanted = name.casefold()
        before = f"{self.id.instance}:".casefold()
        if self.id.instance and wanted.startswith(before):
            wanted = wanted.removeprefix(before)
        return bool(wanted) and wanted in (
            self.id.name.casefold(),
            self.caption.casefold(),
            self.id.full_path.casefold(),
        )


@frozen(kw_only=True)
class WriterMetadata(Value):
    """A writer's self-description at one Identify; a saved one never changes [EXC-09].

    Attributes:
        writer_id: Class id.
        instance_id: GUID of the instance, fresh for each run of the hosting service.
        name: Name for people.
        components: All components, ancestors before descendants.
        schema: Declared backup schema.
        level: Freeze level.
        freeze_timeout_s: Freeze-to-thaw window of this writer; None: the writer does not say,
            and the service's default holds, which is 60 s [VSS 3].
        excluded: Files that are never part of a backup.
        quiesce: What its Freeze gives.
        instance: Stable name of the instance, the same after a restart; writers of one class on
            one server need different ones. Every component's id carries it.

    Raises:
        UsageError: A component's id carries another instance.
    """

    writer_id: str = field(converter=canonical_guid)
    instance_id: str = field(converter=canonical_guid)
    name: str
    components: tuple[Component, ...]
    schema: frozenset[BackupSchema] = frozenset()
    level: WriterLevel = WriterLevel.FRONT_END
    freeze_timeout_s: float | None = None
    excluded: tuple[FileSet, ...] = ()
    quiesce: Quiesce = Quiesce.HOLDS
    instance: str = ""

    def __attrs_post_init__(self) -> None:
        for each in self.components:
            if each.id.instance != self.instance:
                raise UsageError(
                    f"component {each.id.told} is of another instance than its writer "
                    f"{self.name}, which says {self.instance!r}",
                    hint="Give each component's id the instance of its writer.",
                )

    def component_set(self, component: ComponentId) -> tuple[Component, ...]:
        """The component and all its descendants: what naming it backs up."""
        return tuple(
            each
            for each in self.components
            if each.id == component or component.is_ancestor_of(each.id)
        )


@frozen(kw_only=True)
class WriterSession(Value):
    """What a writer learns about the backup (or restore) that it takes part in.

    Attributes:
        session_id: Id of the backup or restore: events with the same one belong together.
        backup_type: Type that was asked for.
        components: Explicitly selected components of this writer.
        volumes: Volumes in the set; known from prepare_snapshot on.
        previous_stamps: Stamp of the last backup per component, as the requestor kept it; a
            component that was never backed up, or whose service cannot tell, has none [VSS-66].
        succeeded: Outcome per component; known at backup_complete only.
        additional_restores: Whether more restores follow, so that replay must wait.
        key: The requestor's key of the backup; None: a restore, or a service that does not know.
        mount_points: Where the volumes of the set are mounted, server-native; known from
            prepare_snapshot on.
        other_mount_points: Where all other volumes are mounted, some of them perhaps below the
            ones of the set.
    """

    session_id: SetId
    backup_type: BackupType
    components: tuple[ComponentId, ...]
    volumes: frozenset[VolumeId] = frozenset()
    previous_stamps: dict[ComponentId, str] = field(factory=dict, hash=False)
    succeeded: dict[ComponentId, bool] = field(factory=dict, hash=False)
    additional_restores: bool = False
    key: CopyKey | None = None
    mount_points: tuple[str, ...] = ()
    other_mount_points: tuple[str, ...] = ()

    def covers(self, path: str) -> bool:
        r"""Whether a server-native path lies on a volume of the set [EXC-15].

        The innermost mount point above the path decides. Case and separators count as they do on
        the server: not at all for Windows paths, exactly for others.

        Example:
            >>> known = {"session_id": SetId("s"), "backup_type": BackupType.FULL, "components": ()}
            >>> session = WriterSession(
            ...     **known, mount_points=("L:\\",), other_mount_points=("L:\\old\\",)
            ... )
            >>> session.covers("l:/logs/e00.log"), session.covers("L:\\old\\e00.log")
            (True, False)
        """
        rests = [
            (len(rest), mine)
            for mine, places in ((True, self.mount_points), (False, self.other_mount_points))
            for place in places
            if (rest := inside(place, path)) is not None
        ]
        # The shortest rest is below the innermost mount point.
        return min(rests, default=(0, False))[1]


@frozen(kw_only=True)
class LateFile(Value):
    """A file of the copy that came after its instant, under the path it has after a restore.

    The label of a hot backup and the log that ends it are such files: the array's copy cannot hold
    them, and is worth nothing without them. A writer names them in its `WriterRecord`; the
    requestor collects them after the thaw, and keeps them with the copy. The manifest of a copy
    (``Copy.late``) has them without content.

    Attributes:
        component: The component that it belongs to.
        path: Where it belongs, server-native on production; a file of the image under the same
            path is hidden by it.
        role: What it means to the application.
        content: Its bytes; None: they are read from `source`.
        source: File of production to read it from; it must stay until `post_snapshot`'s caller
            has read it. Empty if `content` is given.
        log: Its place in the log, if it is a log.
        size_bytes: Its length; filled in by the requestor, or held against what it reads.
        sha256: Its hash in hexadecimal; the same.
    """

    component: ComponentId
    path: str
    role: FileRole = FileRole.CONFIG
    content: bytes | None = field(default=None, repr=False)
    source: str = ""
    log: LogPoint | None = None
    size_bytes: int | None = None
    sha256: str = ""


@frozen(kw_only=True)
class WriterRecord(Value):
    """What a writer wants kept with the copy, returned from post_snapshot.

    Attributes:
        component: The component it speaks of.
        stamp: Backup stamp, opaque, given back at the next backup [VSS-66].
        metadata: Writer-private text for the backup components document.
        late: Files that came after the instant, and are part of the copy all the same.
        logs_needed: What a recovery from this copy needs of the log; None if nothing, or unknown.
    """

    schema_version: ClassVar[int] = 2

    component: ComponentId
    stamp: str = ""
    metadata: str = ""
    late: tuple[LateFile, ...] = ()
    logs_needed: LogRange | None = None

    def __repr__(self) -> str:
        return (
            f"<WriterRecord {self.component.name}: stamp {self.stamp!r}, logs {self.logs_needed}, "
            f"{len(self.late)} late files>"
        )


@frozen(kw_only=True)
class WriterStatus(Value):
    """A writer's state as the service reports it.

    Attributes:
        writer_id: Class id.
        instance_id: Instance.
        name: Name for people.
        state: State.
        failure: Last failure's HRESULT; 0 = none.
        reason: Text of the failure.
        since: When the state was entered, aware UTC; None if unknown.
    """

    writer_id: str = field(converter=canonical_guid)
    instance_id: str = field(converter=canonical_guid)
    name: str
    state: WriterState
    failure: int = 0
    reason: str = ""
    since: datetime | None = None
