"""Plans: what would be done, as values that can be printed, compared and stored."""

from __future__ import annotations

import warnings
from datetime import datetime
from enum import Enum

from attrs import field, frozen

from frskit.model.components import BackupType, ComponentId
from frskit.model.copies import CopyMember
from frskit.model.files import FileRole
from frskit.model.ids import CopyId, HostRef, StorageId, VolumeId
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
]


class RecoveryMode(Enum):
    """Where recovery ends: at the copy's instant, or at the last surviving transaction [FRS 5.1]."""

    POINT_IN_TIME = "point-in-time"
    ROLL_FORWARD = "roll-forward"


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
    """What a log set allows, for one mode.

    Attributes:
        mode: The mode it was judged for.
        verdict: CLEAN and OK reach `reaches`; PARTIAL only after `set_aside` is out of the way.
        reaches: Last generation that can be replayed; None if none is needed or possible.
        needed: First and last generation that must be there.
        gap_at: Generation at which the chain breaks.
        code: ESE error that the engine would report; 0 = none.
        reason: One sentence.
        remedy: What makes it possible, if anything.
        set_aside: Generations to move away first.
        stale_checkpoint: Whether the checkpoint file is ahead of the headers and must go [HAZ-22].
    """

    mode: RecoveryMode
    verdict: LogVerdict
    reaches: int | None = None
    needed: tuple[int, int] | None = None
    gap_at: int | None = None
    code: int = 0
    reason: str = ""
    remedy: str = ""
    set_aside: tuple[int, ...] = ()
    stale_checkpoint: bool = False


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
    """

    name: str
    id: ComponentId
    owner: str
    databases: tuple[str, ...] = ()
    paths: tuple[tuple[FileRole, str], ...] = ()

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
        items: Number of messages or rows; None if it cannot be read.
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
        lowest_log, current_log: Generations on disk; None where there are none.
        checkpoint: Generation of the checkpoint; None if unknown.
    """

    name: str
    databases: tuple[DatabaseStatus, ...]
    lowest_log: int | None = None
    current_log: int | None = None
    checkpoint: int | None = None

    def __repr__(self) -> str:
        states = ", ".join(
            f"{each.name} {each.state}" + ("" if each.items is None else f" {each.items}")
            for each in self.databases
        )
        return (
            f"<ComponentStatus {self.name}: {states}; logs {self.lowest_log} to {self.current_log}>"
        )


@frozen(kw_only=True)
class OnlineReport(Value):
    """What came of bringing a component online: its state, and the generations that were replayed."""

    status: ComponentStatus
    replayed: tuple[int, int] | None = None
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
        mode, method: How.
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

    copy: CopyId
    server: str
    component: str
    mode: RecoveryMode
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
    def group(self) -> str:
        """The former name of `component`, deprecated."""
        warnings.warn("a plan's 'group' is now its 'component'", DeprecationWarning, stacklevel=2)
        return self.component

    def __repr__(self) -> str:
        return (
            f"<RecoveryPlan {self.server} {self.component} from {self.copy[:8]}: "
            f"{self.mode.value} by {self.method.value}, {len(self.members)} LUNs, {len(self.file_actions)} file actions, "
            f"{len(self.warnings)} warnings>"
        )


@frozen(kw_only=True)
class RecoveryReport(Value):
    """What a recovery did.

    Attributes:
        plan: The plan that was carried out.
        before, after: State of the component.
        replayed: First and last generation that was replayed.
        displaced: Old production LUNs, kept until released.
    """

    plan: RecoveryPlan
    before: ComponentStatus
    after: ComponentStatus
    replayed: tuple[int, int] | None = None
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
