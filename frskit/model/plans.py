"""Plans: what would be done, as values that can be printed, compared and stored."""

from __future__ import annotations

import warnings
from datetime import datetime
from enum import Enum
from typing import ClassVar

from attrs import field, frozen

from frskit.errors import UsageError
from frskit.model.components import BackupType, ComponentId
from frskit.model.copies import CopyMember
from frskit.model.files import FileRole
from frskit.model.ids import CopyId, HostRef, StorageId, VolumeId
from frskit.model.log_points import LogPoint, LogRange
from frskit.model.storage import CopyKind
from frskit.model.values import Value

__all__ = [
    "CommandResult",
    "ComponentInfo",
    "ComponentStatus",
    "CopyPlan",
    "DatabaseStatus",
    "FileAction",
    "FileActionKind",
    "LogAnalysis",
    "LogVerdict",
    "OnlineReport",
    "PlanStep",
    "RecoveryMethod",
    "RecoveryMode",
    "RecoveryPlan",
    "RecoveryReport",
    "RecoveryTarget",
]


class RecoveryMode(Enum):
    """Where recovery ends: at the copy's instant, or at the last surviving transaction [FRS 5.1]."""

    POINT_IN_TIME = "point-in-time"
    ROLL_FORWARD = "roll-forward"


@frozen(kw_only=True)
class RecoveryTarget(Value):
    """Where a recovery ends.

    A stop belongs to roll forward alone: it lies in logs beyond the copy. To the point in time of
    the copy there is nothing to stop in.

    Attributes:
        mode: To the copy's instant, or forward with production's logs.
        stop_kind: What `stop` is, one of the component's `ComponentInfo.stop_kinds`: ``time``,
            ``lsn``, ``name``; empty if there is no stop.
        stop: Where to stop, as the application writes it; never parsed by a requestor, and no time
            zone is added. Empty: at the last surviving transaction.

    Raises:
        UsageError: A stop without roll forward, a kind without a stop, or a stop without a kind.
    """

    mode: RecoveryMode
    stop_kind: str = ""
    stop: str = ""

    def __attrs_post_init__(self) -> None:
        """Refuse what cannot be meant."""
        if bool(self.stop_kind) != bool(self.stop):
            raise UsageError(
                "a stop has a kind and a text", hint="Give both, as in time=2026-01-31 12:00:00+01."
            )
        if self.stop and self.mode is not RecoveryMode.ROLL_FORWARD:
            raise UsageError(
                "a stop belongs to roll forward: the copy's instant is a stop itself",
                hint="Use roll forward, or leave the stop out.",
            )

    def __str__(self) -> str:
        said = f", stop at {self.stop_kind} {self.stop}" if self.stop else ""
        return f"{self.mode.value}{said}"


class RecoveryMethod(Enum):
    """How data is put back [R-20]."""

    SWAP = "swap"
    ARRAY_RESTORE = "array-restore"
    COPY_BACK = "copy-back"


class FileActionKind(Enum):
    """What is done to a file of production during recovery; each has an undo.

    COPY_IN takes the file from the copy, CREATE writes the action's own bytes; a file that was there
    is kept until the recovery has succeeded, and put back by the undo. SET_ASIDE renames for good,
    and never deletes. DELETE keeps the file until the recovery has succeeded, then it is gone; a
    file that is not there is fine.

    What is kept lies beside its place, as ``NAME.frskit-undo``, also while the application replays:
    one that lists a directory of its own must pass over names that end so.
    """

    COPY_IN = "copy-in"
    SET_ASIDE = "set-aside"
    RENAME = "rename"
    CREATE = "create"
    DELETE = "delete"


@frozen(kw_only=True)
class FileAction(Value):
    """One change of production's files, in server-native paths.

    Attributes:
        kind: What is done.
        path: The file it is done to.
        target: New path for RENAME and SET_ASIDE; empty for the others.
        reason: Why, one sentence.
        content: What a CREATE writes.
        mode: Permissions of a file that a CREATE makes; None = what its directory's owner would
            give it, from the directory's own. The file belongs to the directory's owner, where
            the file system knows owners.
    """

    kind: FileActionKind
    path: str
    target: str = ""
    reason: str = ""
    content: bytes = field(default=b"", repr=False)
    mode: int | None = None


class LogVerdict(Enum):
    """Verdict of a log analysis [EXC 5.5; FRS 5.4]."""

    CLEAN = "clean"
    OK = "ok"
    PARTIAL = "partial"
    IMPOSSIBLE = "impossible"


@frozen(kw_only=True)
class LogAnalysis(Value):
    """What a log set allows, for one target.

    Attributes:
        target: The target it was judged for.
        verdict: CLEAN and OK reach `reaches`; PARTIAL only after `set_aside` is out of the way.
        reaches: Last place that can be replayed; None if none is needed or possible.
        needed: What must be there.
        gap_at: Where the chain breaks.
        code: What the application would report: a number (an ESE error), or a word; 0 = nothing.
        reason: One sentence.
        remedy: What makes it possible, if anything.
        set_aside: Logs to move away first.
        stale_checkpoint: Whether the checkpoint file is ahead of the headers and must go [HAZ-22].
    """

    schema_version: ClassVar[int] = 2

    target: RecoveryTarget
    verdict: LogVerdict
    reaches: LogPoint | None = None
    needed: LogRange | None = None
    gap_at: LogPoint | None = None
    code: int | str = 0
    reason: str = ""
    remedy: str = ""
    set_aside: tuple[LogPoint, ...] = ()
    stale_checkpoint: bool = False

    def __repr__(self) -> str:
        needed = "" if self.needed is None else f", needs {self.needed}"
        reaches = "" if self.reaches is None else f", reaches {self.reaches}"
        said = f"; {self.reason}" if self.reason else ""
        return f"<LogAnalysis {self.target}: {self.verdict.value}{needed}{reaches}{said}>"

    @property
    def mode(self) -> RecoveryMode:
        """The mode of its target."""
        return self.target.mode


@frozen(kw_only=True)
class ComponentInfo(Value):
    """One unit of recovery of an application: a storage group of Exchange, a database.

    Attributes:
        name: Name for people.
        id: The component of its writer.
        owner: Name of the server that runs it now; another one once a cluster has moved it, so
            that it is asked for anew at each step [FRS R-3.3].
        databases: Names of its databases.
        paths: Where it keeps what: the role and the server-native path, of a file or of a
            directory. Databases come in the order of `databases`.
        stop_kinds: Kinds of places between the copy and the last transaction at which a roll
            forward can stop (``time``, ``lsn``, ``name``); empty if it only goes to the end.
    """

    name: str
    id: ComponentId
    owner: str
    databases: tuple[str, ...] = ()
    paths: tuple[tuple[FileRole, str], ...] = ()
    stop_kinds: frozenset[str] = frozenset()

    def __repr__(self) -> str:
        logs = ", ".join(self.paths_of(FileRole.LOG)) or "no place of their own"
        return f"<ComponentInfo {self.name} on {self.owner}: {', '.join(self.databases)}; logs in {logs}>"

    def paths_of(self, role: FileRole) -> tuple[str, ...]:
        """The paths of one role, in order."""
        return tuple(path for each, path in self.paths if each is role)

    @property
    def database_paths(self) -> tuple[str, ...]:
        """Paths of the database files; deprecated, use `paths`."""
        return self._formerly("database_paths", FileRole.DATABASE)

    @property
    def log_path(self) -> str:
        """Directory of the logs, empty if there are none; deprecated, use `paths`."""
        return next(iter(self._formerly("log_path", FileRole.LOG)), "")

    @property
    def system_path(self) -> str:
        """Directory of the checkpoint, empty if there is none; deprecated, use `paths`."""
        return next(iter(self._formerly("system_path", FileRole.CHECKPOINT)), "")

    def _formerly(self, name: str, role: FileRole) -> tuple[str, ...]:
        text = f"'{name}' is now in 'paths', with its role"
        warnings.warn(text, DeprecationWarning, stacklevel=3)
        return self.paths_of(role)


@frozen(kw_only=True)
class DatabaseStatus(Value):
    """State of one database.

    Attributes:
        name: Name for people.
        state: ``mounted``, ``dismounted``, ``damaged`` or ``missing``.
        items: Number of what the component counts (`ComponentStatus.unit`); None if it cannot be
            read.
        detail: Reason, if it is not mounted.
    """

    name: str
    state: str
    items: int | None = None
    detail: str = ""


@frozen(kw_only=True)
class ComponentStatus(Value):
    """State of one component of an application.

    Attributes:
        name: Name for people.
        databases: Its databases.
        lowest_log, current_log: Logs on disk; None where there are none.
        checkpoint: Where replay would begin; None if unknown.
        unit: The application's word for `DatabaseStatus.items`, plural: "messages", "rows".
    """

    schema_version: ClassVar[int] = 2

    name: str
    databases: tuple[DatabaseStatus, ...]
    lowest_log: LogPoint | None = None
    current_log: LogPoint | None = None
    checkpoint: LogPoint | None = None
    unit: str = "items"

    def __repr__(self) -> str:
        states = ", ".join(
            f"{each.name} {each.state}" + ("" if each.items is None else f" {each.items}")
            for each in self.databases
        )
        logs = f"; logs {self.lowest_log} to {self.current_log}" if self.current_log else ""
        return f"<ComponentStatus {self.name}: {states}{logs}>"


@frozen(kw_only=True)
class OnlineReport(Value):
    """What came of bringing a component online: its state, and the logs that were replayed."""

    schema_version: ClassVar[int] = 2

    status: ComponentStatus
    replayed: LogRange | None = None
    events: tuple[str, ...] = ()


@frozen(kw_only=True)
class PlanStep(Value):
    """One line of a plan.

    Attributes:
        title: What is done, imperative.
        detail: On what.
        point_of_no_return: Text if undo ends here, else empty [R-29].
    """

    title: str
    detail: str = ""
    point_of_no_return: str = ""


@frozen(kw_only=True)
class CopyPlan(Value):
    """What `create_copy` would do.

    Attributes:
        server, components, kind, backup_type: The wish.
        volumes: Volumes of the set with mount points.
        storages: LUNs that would be copied.
        recovery_server: Where the copy would be checked.
        excluded: Components left out, with reasons.
        warnings: What is worth knowing before.
        steps: The steps, in order.
    """

    server: str
    components: tuple[str, ...]
    kind: CopyKind
    backup_type: BackupType
    volumes: tuple[tuple[VolumeId, str], ...]
    storages: tuple[StorageId, ...]
    recovery_server: str
    excluded: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    steps: tuple[PlanStep, ...] = ()

    def __repr__(self) -> str:
        return (
            f"<CopyPlan {self.server} {', '.join(self.components)}: {self.backup_type.value} "
            f"{self.kind.value} of {len(self.storages)} LUNs, {len(self.warnings)} warnings>"
        )


@frozen(kw_only=True)
class RecoveryPlan(Value):
    """What `recover` would do; making it changes nothing.

    Attributes:
        copy, server, component: What is recovered from what.
        target: Where it ends.
        method: How data is put back.
        members: Members of the copy that take part.
        host: Production's host object.
        owner: Server that runs the component; once it runs elsewhere the plan is out of date.
        analysis: What the logs allow.
        file_actions: Changes of files once volumes are in place.
        steps: The steps, in order, with the points of no return.
        warnings: For the administrator: what is lost, what to do afterwards [FRS 5.5].
        consumes: Whether the copy is used up.
        made_at: When the plan was made; a stale plan is refused.
    """

    schema_version: ClassVar[int] = 2

    copy: CopyId
    server: str
    component: str
    target: RecoveryTarget
    method: RecoveryMethod
    members: tuple[CopyMember, ...]
    host: HostRef
    analysis: LogAnalysis
    made_at: datetime
    file_actions: tuple[FileAction, ...] = ()
    steps: tuple[PlanStep, ...] = ()
    warnings: tuple[str, ...] = ()
    consumes: bool = False
    owner: str = ""

    @property
    def mode(self) -> RecoveryMode:
        """The mode of its target."""
        return self.target.mode

    @property
    def group(self) -> str:
        """The former name of `component`, deprecated."""
        warnings.warn("a plan's 'group' is now its 'component'", DeprecationWarning, stacklevel=2)
        return self.component

    def __repr__(self) -> str:
        return (
            f"<RecoveryPlan {self.server} {self.component} from {self.copy[:8]}: "
            f"{self.target} by {self.method.value}, {len(self.members)} LUNs, "
            f"{len(self.file_actions)} file actions, "
            f"{len(self.warnings)} warnings>"
        )


@frozen(kw_only=True)
class RecoveryReport(Value):
    """What a recovery did.

    Attributes:
        plan: The plan that was carried out.
        before, after: State of the component.
        replayed: The logs that were replayed.
        displaced: Old production LUNs, kept until released.
    """

    schema_version: ClassVar[int] = 2

    plan: RecoveryPlan
    before: ComponentStatus
    after: ComponentStatus
    replayed: LogRange | None = None
    displaced: tuple[StorageId, ...] = ()

    def __repr__(self) -> str:
        states = ", ".join(f"{each.name} {each.state}" for each in self.after.databases)
        return f"<RecoveryReport {self.plan.component} from {self.plan.copy[:8]}: {states}>"


@frozen(kw_only=True)
class CommandResult(Value):
    """What a program left: its exit status and its two outputs."""

    status: int
    stdout: str
    stderr: str
