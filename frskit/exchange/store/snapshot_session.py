"""The engine's OS-snapshot session: prepare, freeze, thaw, truncate, end, abort.

What the Exchange writer calls below its VSS events; knows nothing of VSS. A freeze is bounded: past
the profile's limit the engine thaws itself and the session can only be aborted. Facts: [exchange.md
3.1, 3.3 to 3.6], resolutions R-7 and R-9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.codes.ese import EseError
from frskit.codes.exchange_events import EventId
from frskit.errors import FrskitError, StoreError
from frskit.exchange.store.backup_stamps import OS_SNAPSHOT, stamp_headers
from frskit.exchange.store.log_deletion import delete_logs, nothing_deleted
from frskit.exchange.store.log_records import BackupMark, encode_record
from frskit.exchange.store.snapshot_values import SnapshotKind, SnapshotState, TruncationReport
from frskit.model.ese_structures import BackupRange, LgPos

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from frskit.exchange.store.database import Database
    from frskit.exchange.store.engine_instance import Instance

__all__ = ["SnapshotSession"]

_LEGAL: dict[str, frozenset[SnapshotState]] = {
    "freeze": frozenset({SnapshotState.PREPARED}),
    "thaw": frozenset({SnapshotState.FROZEN}),
    "truncate": frozenset({SnapshotState.THAWED, SnapshotState.TRUNCATED}),
    "end": frozenset({SnapshotState.PREPARED, SnapshotState.THAWED, SnapshotState.TRUNCATED}),
    "abort": frozenset(
        {
            SnapshotState.PREPARED,
            SnapshotState.FROZEN,
            SnapshotState.THAWED,
            SnapshotState.TRUNCATED,
            SnapshotState.TIMED_OUT,
        }
    ),
}
"""State machine of [exchange.md 3.1] as a table: call -> states in which it is legal."""

_START_EVENTS = {
    SnapshotKind.FULL: EventId.FULL_BACKUP_STARTED,
    SnapshotKind.INCREMENTAL: EventId.INCREMENTAL_BACKUP_STARTED,
    SnapshotKind.COPY: EventId.COPY_BACKUP_STARTED,
    SnapshotKind.DIFFERENTIAL: EventId.DIFFERENTIAL_BACKUP_STARTED,
}


class SnapshotSession:
    """One backup session of one storage group; made by `StorageGroupEngine.snapshot_prepare`.

    Attributes:
        kind: Type of backup.
        state: Where it stands.
        copy_min: Lowest generation the copy needs; 0 before the freeze.
        copy_max: Highest closed generation in the copy; 0 before the freeze.
        delete_limit: Logs below it may be deleted after success; fixed at the freeze.
        mark: Position of the backup's record, known after thaw.
    """

    def __init__(
        self,
        instance: Instance,
        kind: SnapshotKind,
        *,
        lock: Callable[[], AbstractContextManager[None]],
        all_attached: Callable[[], bool],
        is_current: Callable[[SnapshotSession], bool],
        release: Callable[[SnapshotSession], None],
    ) -> None:
        self._instance = instance
        self._lock = lock
        self._all_attached = all_attached
        self._is_current = is_current
        self._release = release
        self._frozen_at_s = 0.0
        self._complete = False
        self._was_frozen = False
        self.kind = kind
        self.state: SnapshotState = SnapshotState.PREPARED
        self.copy_min: int = 0
        self.copy_max: int = 0
        self.delete_limit: int = 0
        self.mark: LgPos = LgPos()
        instance.report(_START_EVENTS[kind], f"shadow copy backup started: {kind.value}")

    @property
    def is_frozen(self) -> bool:
        """Whether the group's files stand still because of this session."""
        return self.state is SnapshotState.FROZEN

    @property
    def blocks_administration(self) -> bool:
        """Whether mount and dismount have to wait [resolutions.md R-6]."""
        return self.state in (SnapshotState.PREPARED, SnapshotState.FROZEN)

    def poll(self) -> None:
        """Thaw by itself if the freeze has lasted too long (event 2004)."""
        if not self.is_frozen:
            return
        elapsed_s = self._instance.clock.monotonic() - self._frozen_at_s
        if elapsed_s < self._instance.profile.freeze_timeout_s:
            return
        # Released first: the group takes a new backup at once, whatever unfreezing meets [EXC-22].
        self.state = SnapshotState.TIMED_OUT
        self._release(self)
        self._unfreeze()
        limit_ms = int(self._instance.profile.freeze_timeout_s * 1000)
        self._instance.report(
            EventId.FREEZE_TIMED_OUT, f"the shadow copy freeze timed out after {limit_ms} ms"
        )

    def make_ready(self) -> None:
        """Give the next log its space, so that the freeze writes no more than its header.

        To be called shortly before the freeze, while mail still flows. Nothing depends on it: a
        freeze without it, or after another roll of the log, only lasts longer.

        Raises:
            StoreError: Out of order (native -2401).
        """
        with self._lock():
            self._require("freeze")
            if not self._instance.settings.parameters.circular_logging:
                self._instance.stream.allocate_prepared()

    def freeze(self) -> None:
        """Close the log, stop all writing; the files may then be copied.

        Raises:
            StoreError: Out of order (native -2401), not allowed now (-2403), or an incremental
                without its preconditions (-526, -560, -569); the group is then fully thawed.
        """
        with self._lock():
            self._require("freeze")
            try:
                self._require_base()
                self._require_logs()
                self._freeze()
            except FrskitError as error:
                self._instance.report(
                    EventId.FREEZE_FAILED, f"the shadow copy freeze failed: {error.native}"
                )
                raise
            self._instance.report(EventId.FREEZE_STARTED, "shadow copy freeze started")

    def thaw(self) -> None:
        """Go on writing; the prepared log becomes the current one.

        Raises:
            StoreError: Out of order (native -2401), or the freeze had timed out (-2402).
        """
        with self._lock():
            if self.state is SnapshotState.TIMED_OUT:
                raise StoreError(
                    "the freeze had timed out; the copy is of no use",
                    hint="Abort this session and begin a new backup.",
                    native=EseError.OS_SNAPSHOT_TIME_OUT,
                )
            self._require("thaw")
            # The state first: a thaw that breaks off must not be tried a second time.
            self.state = SnapshotState.THAWED
            self._unfreeze()
            kinds = list(SnapshotKind)
            record = BackupMark(
                kind=kinds.index(self.kind),
                first_generation=self.copy_min,
                last_generation=self.copy_max,
            )
            # The first record of the new log is the backup's mark.
            self.mark = self._instance.stream.append(encode_record(record))
            self._instance.stream.flush()
            self._instance.report(EventId.FREEZE_ENDED, "shadow copy freeze ended")

    def truncate(self) -> TruncationReport:
        """Delete the logs that neither the group nor the copy needs any more.

        Raises:
            StoreError: Out of order, or not a kind of backup that truncates (native -2401).
        """
        with self._lock():
            self._require("truncate")
            if not self.kind.truncates:
                raise _sequence("truncate", self.kind.value)
            self.state = SnapshotState.TRUNCATED
            circular = self._instance.settings.parameters.circular_logging
            # Not all databases, or circular logging: nothing may go [EXC-37, EXC-38].
            if circular or not (self._complete and self._all_attached()):
                return nothing_deleted(self._instance, self.delete_limit)
            return delete_logs(self._instance, self.delete_limit)

    def end(self, *, stamp: bool = True) -> None:
        """Finish; `stamp` records the backup in the headers of the attached databases.

        Raises:
            StoreError: Out of order (native -2401).
        """
        with self._lock():
            self._require("end")
            self.state = SnapshotState.ENDED
            self._release(self)
            if stamp and self._was_frozen:
                self._stamp()
            self._instance.report(EventId.BACKUP_COMPLETED, "shadow copy backup completed")

    def abort(self) -> None:
        """Give up; thaws first if necessary, deletes and records nothing.

        Raises:
            StoreError: The session has ended already (native -2401).
        """
        with self._lock():
            self._require("abort")
            frozen_now = self.is_frozen
            self.state = SnapshotState.ABORTED
            self._release(self)
            if frozen_now:
                self._unfreeze()
            self._instance.report(EventId.BACKUP_ABORTED, "shadow copy backup aborted")

    # --- freezing

    def _require(self, call: str) -> None:
        timed_out = self.state is SnapshotState.TIMED_OUT
        # An engine that was closed has forgotten the session, whatever its own state says.
        if not self._is_current(self) and not timed_out and self.state in _LEGAL["abort"]:
            raise StoreError(
                "the engine does not know this session", native=EseError.OS_SNAPSHOT_INVALID_SNAP_ID
            )
        if self.state not in _LEGAL[call]:
            raise _sequence(call, self.state.value)

    def _require_base(self) -> None:
        """Preconditions of incremental and differential backups [exchange.md 3.3]."""
        if not self.kind.needs_full:
            return
        if self._instance.settings.parameters.circular_logging:
            raise StoreError(
                f"no {self.kind.value} backup with circular logging",
                hint="Make a full backup, or switch circular logging off.",
                native=EseError.INVALID_BACKUP,
            )
        archived = self._instance.directory.archived()
        lowest = min([*archived, self._instance.stream.generation])
        for database in self._instance.attached():
            self._require_previous_full(database, lowest)

    def _require_previous_full(self, database: Database, lowest: int) -> None:
        header = database.header
        full = header.full_backup_previous
        if not full.is_set or header.full_backup_type != OS_SNAPSHOT:
            self._instance.report(
                EventId.MISSES_FULL_BACKUP, f"{database.name} misses a previous full backup"
            )
            raise StoreError(
                f"{database.name} has no previous full snapshot backup",
                hint="Make a full backup first.",
                context={"database": database.name},
                native=EseError.MISSING_FULL_BACKUP,
            )
        highest = max(full.last_generation, header.incremental_backup_previous.last_generation)
        if lowest > highest + 1:
            self._instance.report(
                EventId.FILE_TO_BACK_UP_MISSING, f"logs {highest + 1} to {lowest - 1} are missing"
            )
            raise StoreError(
                f"logs {highest + 1} to {lowest - 1} are missing since the last backup",
                hint="Make a full backup.",
                context={"database": database.name},
                native=EseError.MISSING_FILE_TO_BACKUP,
            )

    def _require_logs(self) -> None:
        """Logs removed by hand make the freeze fail (EXC-32)."""
        generation = self._instance.stream.generation
        archived = self._instance.directory.archived()
        # From the checkpoint on, every log up to the current one has to be there.
        lowest = min([*archived, self._instance.checkpoint.generation])
        missing = [each for each in range(lowest, generation) if each not in archived]
        if missing:
            raise StoreError(
                f"logs {missing} are not where they should be",
                hint="Somebody removed logs of a running group; bring them back.",
                context={"missing": missing},
                native=EseError.OS_SNAPSHOT_NOT_ALLOWED,
            )

    def _freeze(self) -> None:
        instance = self._instance
        stream = instance.stream
        archived = instance.directory.archived()
        # As of now: what it reaches later never enlarges what is deleted [EXC-36].
        checkpoint = instance.checkpoint.generation
        if instance.settings.parameters.circular_logging:
            stream.flush()
            # A half-made log in the image would fail a checksum [exchange.md 3.3].
            stream.drop_prepared()
            self.copy_max = stream.generation
        else:
            self.copy_max = stream.close_generation()
        # The cut sees what the disks have, not what a cache still holds.
        try:
            self._sync_volumes()
        except FrskitError:
            self._unfreeze()
            raise
        lowest = min([*archived, self.copy_max])
        # An incremental copy has all logs there are, a full one those from the checkpoint on
        # [exchange.md 3.3].
        self.copy_min = lowest if self.kind.needs_full else checkpoint
        self.delete_limit = min(self.copy_max, checkpoint)
        self._complete = self._all_attached()
        self._was_frozen = True
        # The limit counts from when the files stand still.
        self._frozen_at_s = instance.clock.monotonic()
        self.state = SnapshotState.FROZEN

    def _sync_volumes(self) -> None:
        instance = self._instance
        volumes = [instance.directory.fs, instance.checkpoint_file.fs]
        for database in instance.databases.values():
            volumes.append(database.files.fs)
            if database.files.stream_fs is not None:
                volumes.append(database.files.stream_fs)
        # Each volume once, however many files of the group it has.
        for fs in {id(each): each for each in volumes}.values():
            fs.sync()

    def _unfreeze(self) -> None:
        stream = self._instance.stream
        if self._instance.settings.parameters.circular_logging:
            stream.keep_prepared()
        else:
            stream.open_prepared()

    # --- completion

    def _stamp(self) -> None:
        """Record the backup in every attached database's header, at once (EXC-44, EXC-45)."""
        record = BackupRange(
            mark=self.mark,
            time=self._instance.log_time(),
            first_generation=self.copy_min,
            last_generation=self.copy_max,
        )
        stamp_headers(self._instance, self.kind, record)


def _sequence(call: str, state: str) -> StoreError:
    return StoreError(
        f"{call} is not possible now: {state}",
        hint="The order is prepare, freeze, thaw, truncate, end.",
        context={"call": call, "state": state},
        native=EseError.OS_SNAPSHOT_INVALID_SEQUENCE,
    )
