"""The Exchange writer: the store's side of a shadow copy [exchange.md 2, 3].

Turns VSS events into calls of the store engine's snapshot session and the engine's errors into the
codes a writer may answer with. It names files only, keeps its state in memory only, and deletes
logs in exactly one place: `backup_complete` for a component whose success was set [EXC-33].
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from frskit.codes.ese import EseError
from frskit.codes.exchange_events import EventId
from frskit.errors import FrskitError, StoreError, WriterNotFound, WriterVeto
from frskit.exchange.event_log import STORE
from frskit.exchange.store import SnapshotKind
from frskit.exchange.versions import WRITER_ID
from frskit.exchange.writer.backups import NEXT_STATE, BackupJob, GroupBackup, JobState
from frskit.exchange.writer.component_tree import component_tree, group_component
from frskit.model.components import (
    BackupType,
    ComponentId,
    WriterFailure,
    WriterLevel,
    WriterMetadata,
    WriterRecord,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frskit.clock import Budget
    from frskit.exchange.host import ExchangeHost
    from frskit.exchange.settings import DatabaseSettings
    from frskit.exchange.storage_group import StorageGroup
    from frskit.model.components import WriterSession
    from frskit.model.ids import SetId
    from frskit.protocols import Writer

__all__ = ["ExchangeWriter"]

_IN_PROGRESS = 0x50D
"""Error in event 9607: a backup is in progress already [KB910250]."""

_LASTING = frozenset(
    {EseError.INVALID_BACKUP, EseError.MISSING_FULL_BACKUP, EseError.MISSING_FILE_TO_BACKUP}
)
"""Missing preconditions of incremental backups: trying again does not help [EXC-28 to EXC-31]."""

_KINDS = {
    BackupType.FULL: SnapshotKind.FULL,
    BackupType.INCREMENTAL: SnapshotKind.INCREMENTAL,
    BackupType.DIFFERENTIAL: SnapshotKind.DIFFERENTIAL,
    BackupType.COPY: SnapshotKind.COPY,
}


def _veto(
    failure: WriterFailure, reason: str, *, error: int = 0, retryable: bool | None = None
) -> WriterVeto:
    """A veto with the HRESULT in `native` and the engine's own number in the context."""
    if retryable is None:
        retryable = failure in (WriterFailure.RETRYABLE, WriterFailure.TIMEOUT)
    context: dict[str, object] = {"writer": WRITER_ID, "failure": failure.name}
    if error:
        context["error"] = error
    return WriterVeto(reason, native=failure.value, retryable=retryable, context=context)


class ExchangeWriter:
    """The store writer of one `SimulatedExchange`; implements `frskit.protocols.Writer`.

    A veto carries its HRESULT as ``native`` and the engine's error as ``context["error"]``.
    """

    def __init__(self, exchange: ExchangeHost) -> None:
        self._exchange = exchange
        self._jobs: dict[SetId, BackupJob] = {}

    # --- identity

    def identify(self, *, budget: Budget) -> WriterMetadata:
        """Components and files of the mounted databases, as they are now [EXC-03, EXC-09].

        Raises:
            WriterNotFound: The service does not run; then there is no writer [EXC-02].
        """
        exchange = self._exchange
        if not exchange.running:
            raise WriterNotFound(
                f"the information store on {exchange.name} does not run",
                context={"server": exchange.name},
            )
        groups = [(group.settings, group.mounted) for group in exchange.groups]
        return WriterMetadata(
            writer_id=WRITER_ID,
            instance_id=exchange.instance_id,
            name=exchange.profile.writer_name,
            components=component_tree(exchange.name, exchange.profile, groups),
            schema=exchange.profile.schema,
            level=WriterLevel.FRONT_END,
            freeze_timeout_s=exchange.profile.freeze_timeout_s,
        )

    # --- backup

    def prepare_backup(self, session: WriterSession, *, budget: Budget) -> None:
        """Mark the storage groups as being backed up [EXC-12, EXC-27].

        A backup of nobody here is not remembered, and no event of it is written [VSS-17].

        Raises:
            WriterVeto: Retryable if another backup of a group, or with the 2003 profile of any
                group, is in progress; not retryable if a component is no mounted storage
                group [EXC-08].
        """
        if session.session_id in self._jobs:
            raise self._out_of_order("prepare_backup")
        if not session.components:
            return
        self._report(
            EventId.WRITER_ENGAGED, f"the writer takes part in backup {session.session_id}"
        )
        groups = [(each, self._group(each)) for each in session.components]
        # All are asked before any is marked: a veto leaves nothing in progress.
        for _, group in groups:
            self._require_idle(group)
        job = BackupJob(request=session)
        try:
            for component, group in groups:
                engine = group.begin_backup(session.session_id, _KINDS[session.backup_type])
                job.groups.append(GroupBackup(component=component, group=group, session=engine))
        except FrskitError as error:
            self._give_up(job)
            self._report(
                EventId.WRITER_PREPARE_FAILED, f"error preparing for backup: {_number(error)}"
            )
            raise _veto(WriterFailure.RETRYABLE, str(error), error=_number(error)) from error
        # Known from here on; a job that could not begin has been taken back above.
        self._jobs[session.session_id] = job

    def prepare_snapshot(self, session: WriterSession, *, budget: Budget) -> None:
        """Block mounting and dismounting; every volume of a group must be in the set [EXC-15].

        The next logs get their space here, not while mail stands still.

        Raises:
            WriterVeto: A volume is missing (INCONSISTENT_SNAPSHOT).
        """
        job = self._advance("prepare_snapshot", session)
        for each in job.groups:
            missing = each.group.volumes() - session.volumes
            if missing:
                job.state = JobState.PREPARED
                raise _veto(
                    WriterFailure.INCONSISTENT_SNAPSHOT,
                    f"volumes {', '.join(sorted(missing))} of {each.group.name} are not in the set",
                )
        for each in job.groups:
            each.group.hold(session.session_id)
            with suppress(FrskitError):  # a session that is over is refused at the freeze
                each.session.make_ready()
        self._report(EventId.WRITER_PREPARED, f"prepared for snapshot: {self._names(job)}")

    def freeze(self, session: WriterSession, *, budget: Budget) -> None:
        """Close the logs and stand still until thaw, abort, or the engine's limit [EXC-17, 18].

        Raises:
            WriterVeto: The engine's error is in the context; it is worth retrying unless a
                precondition of an incremental backup is missing. Everything is thawed again
                [EXC-23].
        """
        job = self._advance("freeze", session)
        try:
            for each in job.groups:
                budget.check("freezing the storage groups")
                each.session.freeze()
                # From the disks, which stand still: this is what the image will say of itself.
                each.needed = each.group.required_range()
                each.group.collect_events()
        except FrskitError as error:
            job.state = JobState.FAILED
            self._give_up(job)
            number = _number(error)
            self._report(
                EventId.WRITER_FREEZE_FAILED, f"error freezing the storage groups: {number}"
            )
            raise _veto(
                WriterFailure.RETRYABLE,
                str(error),
                error=number,
                retryable=number not in _LASTING,
            ) from error
        self._report(EventId.WRITER_FROZEN, f"frozen: {self._names(job)}")

    def thaw(self, session: WriterSession, *, budget: Budget) -> None:
        """Go on writing [EXC-19].

        Raises:
            WriterVeto: TIMEOUT if a group had thawed itself; the copy is of no use [EXC-21].
        """
        job = self._advance("thaw", session)
        # All are thawed, whatever single ones do; the first failure is told.
        failed: FrskitError | None = None
        for each in job.groups:
            try:
                each.session.thaw()
            except FrskitError as error:
                failed = failed or error
            each.group.collect_events()
        if failed is None:
            self._report(EventId.WRITER_THAWED, f"thawed: {self._names(job)}")
            return
        job.state = JobState.FAILED
        self._give_up(job)
        timed_out = _number(failed) == EseError.OS_SNAPSHOT_TIME_OUT
        failure = WriterFailure.TIMEOUT if timed_out else WriterFailure.RETRYABLE
        raise _veto(failure, str(failed), error=_number(failed)) from failed

    def post_snapshot(self, session: WriterSession, *, budget: Budget) -> Sequence[WriterRecord]:
        """Allow administration again; return stamp and needed logs per storage group."""
        job = self._advance("post_snapshot", session)
        for each in job.groups:
            each.group.let_go()
        self._report(EventId.WRITER_POST_SNAPSHOT, f"copied: {self._names(job)}")
        return tuple(
            WriterRecord(
                component=each.component,
                stamp=each.group.stamp(each.session),
                metadata=f"{each.group.settings.base}:{session.backup_type.value}",
                logs_needed=None
                if each.needed is None
                else each.group.places().stretch(*each.needed),
            )
            for each in job.groups
        )

    def backup_complete(self, session: WriterSession, *, budget: Budget) -> None:
        """Truncate and stamp per component that succeeded, forget the others [EXC-33 to 47].

        Raises:
            WriterVeto: The service was restarted since: nothing is known of this backup, and
                nothing is deleted [EXC-14].
        """
        job = self._advance("backup_complete", session)
        # Forgotten first: whatever happens below, nothing can be completed twice.
        self._jobs.pop(session.session_id, None)
        failed: FrskitError | None = None
        for each in job.groups:
            try:
                if session.succeeded.get(each.component, False):
                    self._succeed(each)
                else:
                    self._abort_group(each)
            except FrskitError as error:
                failed = failed or error
                self._abort_group(each)
            each.group.end_backup(session.session_id)
        if failed is not None:
            self._report(
                EventId.WRITER_BACKUP_COMPLETE_FAILED,
                f"error completing the backup: {_number(failed)}",
            )
            raise _veto(WriterFailure.RETRYABLE, str(failed), error=_number(failed)) from failed
        self._report(EventId.WRITER_BACKUP_COMPLETE, f"backup complete: {self._names(job)}")

    def backup_shutdown(self, session: WriterSession) -> None:
        """The requestor is gone: release everything of this backup; never truncates [R-4]."""
        self.abort(session)
        if not session.components:
            return
        self._report(EventId.WRITER_SHUTDOWN, f"backup {session.session_id} has ended")

    def abort(self, session: WriterSession) -> None:
        """Thaw if frozen and forget the backup. Idempotent [R-5, VSS-36]."""
        job = self._jobs.pop(session.session_id, None)
        if job is None:
            return
        self._give_up(job)
        self._report(EventId.WRITER_ABORTED, f"aborted: {self._names(job)}")

    def service_stopped(self) -> None:
        """The service ends, and with it the memory of every backup [EXC-13, EXC-14]."""
        for job in self._jobs.values():
            self._give_up(job)
        self._jobs.clear()

    def service_crashed(self) -> None:
        """The service died: nobody could tell the engine anything."""
        self._jobs.clear()

    # --- restore

    def pre_restore(self, session: WriterSession, *, budget: Budget) -> None:
        """Check that the databases may be replaced; never dismounts them [EXC-58, EXC-59].

        Raises:
            WriterVeto: A database is mounted, may not be overwritten, or the component's path is
                not one of this server.
        """
        for component in session.components:
            group, databases = self._restorable(component)
            if group.mounted:
                raise _veto(
                    WriterFailure.NONRETRYABLE,
                    f"{', '.join(group.mounted)} of {group.name} is still mounted; "
                    "the whole storage group must be offline",
                )
            locked = [each.name for each in databases if not each.may_be_overwritten]
            if locked:
                raise _veto(
                    WriterFailure.NONRETRYABLE,
                    f"{', '.join(locked)} of {group.name} may not be overwritten by a restore",
                )
        self._report(EventId.WRITER_PRE_RESTORE, "ready for restore")

    def post_restore(self, session: WriterSession, *, budget: Budget) -> None:
        """Nothing: in 2003 replay happens when the databases are mounted [EXC-60]."""
        self._report(EventId.WRITER_POST_RESTORE, "restore finished")

    # --- helpers

    def _report(self, event_id: int, text: str) -> None:
        self._exchange.report(event_id, STORE, text)

    @staticmethod
    def _names(job: BackupJob) -> str:
        return ", ".join(each.group.name for each in job.groups)

    def _advance(self, event: str, session: WriterSession) -> BackupJob:
        """The job of a session, moved on by an event; vetoes what is out of order [EXC-11]."""
        job = self._jobs.get(session.session_id)
        if job is None and not session.components:
            return BackupJob(request=session)
        if job is None:
            raise _veto(
                WriterFailure.RETRYABLE,
                f"the writer knows nothing of backup {session.session_id}: it has ended, "
                "or the service was restarted",
                error=EseError.OS_SNAPSHOT_INVALID_SNAP_ID,
            )
        following = NEXT_STATE.get((event, job.state))
        if following is None:
            raise self._out_of_order(event, job)
        job.state = following
        return job

    @staticmethod
    def _out_of_order(event: str, job: BackupJob | None = None) -> WriterVeto:
        state = "in progress" if job is None else job.state.value
        return _veto(
            WriterFailure.NONRETRYABLE,
            f"{event} is out of order: the backup is {state}",
            error=EseError.OS_SNAPSHOT_INVALID_SEQUENCE,
        )

    def _group(self, component: ComponentId) -> StorageGroup:
        """The mounted storage group that a component names [EXC-04, EXC-08]."""
        exchange = self._exchange
        for group in exchange.groups:
            named = group_component(exchange.name, exchange.profile, group.settings)
            if named == component and group.mounted:
                return group
        raise _veto(
            WriterFailure.NONRETRYABLE,
            f"{component.full_path} is not a storage group with mounted databases",
        )

    def _require_idle(self, group: StorageGroup) -> None:
        """Refuse while another backup is in progress [EXC-12, EXC-26]."""
        exchange = self._exchange
        others = exchange.groups if exchange.profile.one_session_per_writer else (group,)
        busy = [each.name for each in others if each.busy]
        if busy:
            reason = f"a backup of {', '.join(busy)} is in progress"
            self._report(
                EventId.WRITER_PREPARE_FAILED,
                f"error preparing for backup: {reason} (0x{_IN_PROGRESS:x})",
            )
            raise _veto(WriterFailure.RETRYABLE, reason, error=_IN_PROGRESS)

    def _succeed(self, each: GroupBackup) -> None:
        if each.session.kind.truncates:
            each.session.truncate()
        each.session.end(stamp=True)
        each.group.collect_events()
        self._report(
            EventId.BACKED_UP_AND_TRUNCATED
            if each.session.kind.truncates
            else EventId.BACKED_UP_WITHOUT_TRUNCATION,
            f"backup of {each.group.name} completed: {each.session.kind.value}",
        )

    @staticmethod
    def _abort_group(each: GroupBackup) -> None:
        """Abort the engine's session; one that has ended is fine [R-5]."""
        try:
            each.session.abort()
        except StoreError as error:
            if error.native not in (
                EseError.OS_SNAPSHOT_INVALID_SEQUENCE,
                EseError.OS_SNAPSHOT_INVALID_SNAP_ID,
            ):
                raise
        finally:
            each.group.collect_events()

    def _give_up(self, job: BackupJob) -> None:
        """Release everything that a job holds, newest first."""
        for each in reversed(job.groups):
            self._abort_group(each)
            each.group.end_backup(job.request.session_id)

    def _restorable(
        self, component: ComponentId
    ) -> tuple[StorageGroup, tuple[DatabaseSettings, ...]]:
        """The group and databases that a restore of this component replaces [EXC-59]."""
        exchange = self._exchange
        for group in exchange.groups:
            whole = group_component(exchange.name, exchange.profile, group.settings)
            if whole == component:
                return group, group.settings.databases
            if whole.is_ancestor_of(component):
                named = [each for each in group.settings.databases if each.guid == component.name]
                if named:
                    return group, tuple(named)
        raise _veto(
            WriterFailure.NONRETRYABLE,
            f"{component.full_path} is not a storage group or database of {exchange.name}: "
            "2003 restores to the original paths only",
        )


def _number(error: FrskitError) -> int:
    return error.native if isinstance(error.native, int) else 0


if TYPE_CHECKING:
    _: Callable[[ExchangeHost], Writer] = ExchangeWriter
