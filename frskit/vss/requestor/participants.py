"""The writers of one backup session: which of them take part, and what each has been told.

This is the bookkeeping that keeps the promises to writers: nobody stays frozen [VSS-07], nobody
hears BackupComplete after Abort [VSS-10], and BackupShutdown comes last and once [VSS-09].

A writer that hangs is left at the end of the shortest window: all the others get Abort then, at
once, and the one that hangs gets it too, and again should it come back. A session may be given up
from another thread at any time; a writer that was busy with an event meanwhile gets Abort again
when it is done with it, and no further event [HAZ-12].

A veto is a state of its writer, which a requestor reads after each step [VSS 0.6]; whether it also
ends the creation is the requestor's choice (`Participants.goes_on`). A window that has passed
always ends it: everybody was released then, and nobody can say of which instant a copy would be.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

from attrs import define, evolve, field

from frskit.clock import Budget, CancelToken, Clock
from frskit.errors import Cancelled, FreezeTimeout, WriterError, WriterUnstable
from frskit.model.components import (
    BackupType,
    ComponentId,
    WriterFailure,
    WriterMetadata,
    WriterRecord,
    WriterSession,
    WriterState,
    WriterStatus,
)
from frskit.model.ids import CopyKey, SetId, VolumeId
from frskit.model.volumes import Volume
from frskit.vss.requestor.participant import Participant
from frskit.vss.state_tables import WriterEvent
from frskit.vss.writers import Enrolled, Limits, Roster
from frskit.watchdog import together

__all__ = ["Participants"]


@define(eq=False)
class Participants:
    """All writers of one session, in order of registration.

    Attributes:
        entries: Those that take part.
        bystanders: Those of which nothing is backed up: they hear that a backup is prepared, and no
            event of its creation [VSS-17]; what they answer is in their status and nowhere else.
            They hear the end as well, which is frskit's choice: a writer that remembers every
            session that it hears of would refuse all later ones.
        goes_on: A veto leaves out its writer, and the rest goes on.
        refusals: The vetoes of the creation, where it goes on.
        over: The session was given up, perhaps by another thread: nobody is told anything but
            closing events any more.
    """

    roster: Roster
    clock: Clock
    entries: list[Participant] = field(factory=list)
    bystanders: list[Participant] = field(factory=list)
    goes_on: bool = False
    refusals: list[WriterError] = field(factory=list)
    over: bool = False
    _caller: Budget | None = field(default=None, init=False)
    _latest_s: float | None = field(default=None, init=False)
    _on_expiry: Callable[[], None] | None = field(default=None, init=False)

    def join(
        self,
        member: Enrolled,
        metadata: WriterMetadata,
        *,
        set_id: SetId,
        backup_type: BackupType,
        components: tuple[ComponentId, ...],
        previous_stamps: Mapping[ComponentId, str],
        key: CopyKey | None = None,
        takes_part: bool = True,
    ) -> None:
        """Add a writer with its explicit components; without any it may be a bystander."""
        # A writer hears of its own components only.
        stamps = {key: value for key, value in previous_stamps.items() if key in components}
        session = WriterSession(
            session_id=set_id,
            backup_type=backup_type,
            components=components,
            previous_stamps=stamps,
            key=key,
        )
        where = self.entries if takes_part else self.bystanders
        where.append(Participant(member=member, metadata=metadata, session=session))

    @property
    def active(self) -> list[Participant]:
        """Those that did not refuse an event."""
        return [entry for entry in self.entries if not entry.vetoed]

    def set_volumes(self, wanted: Iterable[VolumeId], mounted: Iterable[Volume] = ()) -> None:
        """Make the set's volumes known; from PrepareForSnapshot on writers see them.

        Args:
            wanted: The volumes of the set.
            mounted: All volumes of the server: where a path belongs depends on the others, too.
        """
        # The set is complete only now, when no volume can be added any more.
        known = frozenset(wanted)
        mine: list[str] = []
        others: list[str] = []
        for volume in mounted:
            (mine if volume.id in known else others).extend(volume.mount_points)
        for entry in self.entries:
            entry.session = evolve(
                entry.session,
                volumes=known,
                mount_points=tuple(mine),
                other_mount_points=tuple(others),
            )

    def serve(self, budget: Budget) -> None:
        """From now on the caller's deadline and cancel token hold for writers, too."""
        self._caller = budget

    def _time(self) -> Budget:
        """The budget of a writer outside of the window: the caller's, and a writer's own bound."""
        return (self._caller or Budget.of(self.clock)).at_most(self.roster.answer_s)

    def _limits(self, entry: Participant, budget: Budget) -> Limits:
        """A writer that watches its budget answers by itself: it gets a little longer."""
        end_s = budget.deadline_s
        return Limits(
            deadline_s=None if end_s is None else end_s + self.roster.closing_s,
            on_late=partial(self._abort_again, entry),
            token=budget.token,
        )

    def prepare_backup(self) -> list[WriterError]:
        """PrepareForBackup to everybody, bystanders too; the failures of those that take part."""
        failures = self._broadcast(WriterEvent.PREPARE_FOR_BACKUP)
        for entry in self.bystanders:
            self.check_over()
            entry.prepared = True
            budget = self._time()
            handler = entry.member.writer.prepare_backup
            # Nothing has to be undone should it come back late: it was asked for nothing.
            self.roster.deliver(
                entry.member,
                WriterEvent.PREPARE_FOR_BACKUP,
                entry.session,
                partial(handler, entry.session, budget=budget),
                evolve(self._limits(entry, budget), on_late=None),
                aside=True,
            )
        return failures

    def prepare_snapshot(self) -> None:
        """PrepareForSnapshot to everybody. No Abort follows by itself [VSS-37].

        Raises:
            WriterVeto: The first one, when all were told; not if the creation goes on without them.
        """
        failures = self._broadcast(WriterEvent.PREPARE_FOR_SNAPSHOT)
        self.check_over()
        self._note_refusals(failures)

    def _note_refusals(self, failures: Iterable[WriterError]) -> None:
        """Raise the first failure, unless the creation goes on without those that failed."""
        for failure in failures:
            if not self.goes_on or isinstance(failure, FreezeTimeout):
                raise failure
            self.refusals.append(failure)

    def bound(self, budget: Budget, on_expiry: Callable[[], None]) -> None:
        """What holds from the first Freeze to the last Thaw.

        Args:
            budget: The caller's; when it is spent the copy is given up.
            on_expiry: Releases writes and everybody at the deadline, whoever hangs.
        """
        self._latest_s, self._on_expiry = budget.deadline_s, on_expiry

    def end_s(self) -> float | None:
        """The reading of the clock at which everybody has to be released; None: nobody is frozen."""
        ends = [
            each.frozen_at + each.window_s
            for each in self.entries
            if each.frozen_at is not None and each.frozen
        ]
        if self._latest_s is not None:
            ends.append(self._latest_s)
        return min(ends, default=None)

    def freeze(self, budget: Budget) -> None:
        """Freeze by level, front end first [VSS-03]; stops at the first failure.

        If the creation goes on, a writer with a veto counts as frozen until `thaw`: it may have
        frozen half of itself, and gets Abort there [VSS-37], when it can delay nobody.

        Raises:
            WriterVeto, FreezeTimeout: The caller aborts everybody.
            Cancelled: The session was given up in between.
        """
        # Levels are numbered in the order of freezing; within one the order of registration stays.
        for entry in sorted(self.active, key=lambda each: each.metadata.level.value):
            # Counted from before the call, so that a slow Freeze uses up its own window.
            entry.frozen_at = self.clock.monotonic()
            window = budget.at_most(entry.window_s)
            writer, session = entry.member.writer, entry.session
            failure = self._send(
                entry,
                WriterEvent.FREEZE,
                partial(writer.freeze, session, budget=window),
                self._window_limits(entry, budget.token),
            )
            if failure is not None:
                self._note_refusals([failure])
                entry.vetoed = True
            self.check_windows()

    def check_windows(self) -> None:
        """Fail if a frozen writer's own window has passed [VSS-42, VSS-43].

        Raises:
            FreezeTimeout: Named is the first such writer.
        """
        for entry in self.entries:
            if entry.remaining_s(self.clock.monotonic()) == 0.0:
                raise self._expired(entry)

    def window_s(self) -> float | None:
        """The shortest rest of a freeze window; None if nobody is frozen [VSS-43]."""
        now_s = self.clock.monotonic()
        rests = [rest for each in self.entries if (rest := each.remaining_s(now_s)) is not None]
        return min(rests, default=None)

    def thaw(self) -> None:
        """Thaw everybody in reverse level order, whatever single writers do.

        The reverse order between levels is frskit's choice [VSS 1.1 row 24].

        Raises:
            WriterVeto, FreezeTimeout: The first failure; everybody got Thaw.
        """
        failures: list[WriterError] = []
        for entry in sorted(self.active, key=lambda each: -each.metadata.level.value):
            if not entry.frozen:  # released at the end of a window, while somebody hung
                continue
            if entry.remaining_s(self.clock.monotonic()) == 0.0:
                # The writer has released itself, on a tie too; it gets Abort.
                failures.append(self._expired(entry))
                continue
            failure = self._send(
                entry, WriterEvent.THAW, partial(self._thaw, entry), self._window_limits(entry)
            )
            if entry.thawed_at is None:
                entry.thawed_at = self.clock.monotonic()
            if failure is not None:
                entry.vetoed = self.goes_on
                failures.append(failure)
        self._note_refusals(failures)
        self._abort_refused()

    def _abort_refused(self) -> None:
        """Abort for those whose Freeze or Thaw failed while the others went on [VSS-37]."""
        for entry in self.entries:
            if entry.vetoed and entry.frozen_at is not None and not entry.ended:
                self._abort_again(entry)

    def _window_limits(self, entry: Participant, token: CancelToken | None = None) -> Limits:
        return Limits(
            deadline_s=self.end_s(),
            on_expiry=self._on_expiry,
            on_late=partial(self._abort_again, entry),
            token=token,
        )

    def _thaw(self, entry: Participant) -> None:
        """Thaw one writer; one that took too long over it was frozen for too long [VSS-42]."""
        window = Budget(clock=self.clock, deadline_s=self.end_s())
        entry.member.writer.thaw(entry.session, budget=window)
        if entry.remaining_s(self.clock.monotonic()) == 0.0:
            raise self._too_long(entry)

    def post_snapshot(self) -> list[WriterRecord]:
        """PostSnapshot to everybody: what they want kept. No Abort follows by itself [VSS-37].

        Raises:
            WriterVeto: The first one, when all were told; not if the creation goes on without them.
        """
        records: list[WriterRecord] = []
        failures = []
        for entry in self.active:
            budget = self._time()

            # The defaults bind what belongs to this turn of the loop.
            def call(entry: Participant = entry, budget: Budget = budget) -> None:
                writer = entry.member.writer
                records.extend(writer.post_snapshot(entry.session, budget=budget))

            limits = self._limits(entry, budget)
            failure = self._send(entry, WriterEvent.POST_SNAPSHOT, call, limits)
            if failure is not None:
                failures.append(failure)
                entry.vetoed = self.goes_on
        self.check_over()
        self._note_refusals(failures)
        return records

    def backup_complete(self, outcomes: Mapping[ComponentId, bool]) -> list[WriterError]:
        """BackupComplete with the outcome per component; the failures.

        A component without an outcome counts as failed: only an explicit success lets a writer
        truncate [VSS-64]. A writer that restarted meanwhile is not told: the session that it had
        is gone with its old instance [HAZ-12].
        """
        failures: list[WriterError] = []
        for entry in self.active:
            verdicts = {each: outcomes.get(each, False) for each in entry.session.components}
            entry.session = evolve(entry.session, succeeded=verdicts)
            # Asked before the verdict is given: another instance knows nothing of this backup
            # [EXC-14].
            changed = self._changed(entry)
            if changed is not None:
                failures.append(changed)
                continue
            # Set before the call: one that breaks off may have reached the writer.
            entry.completed = True
            writer, session = entry.member.writer, entry.session
            failure = self._send(
                entry,
                WriterEvent.BACKUP_COMPLETE,
                partial(writer.backup_complete, session, budget=self.roster.budget()),
                Limits(),  # no Abort should it come back late: it may be truncating
            )
            if failure is not None:
                failures.append(failure)
        return failures

    def abort(self, *, only_in_snapshot: bool = False) -> list[BaseException]:
        """Abort everybody who was told of the session; never stops half-way.

        Returns:
            Whatever the handlers raised, interrupts included.
        """
        failures: list[BaseException] = []

        def abort(entry: Participant) -> None:
            failures.extend(self._abort(entry))

        if not only_in_snapshot:
            self.over = True
        # Those that may hang come last, though nobody waits for anybody here.
        told = [
            entry
            for entry in sorted(self.entries, key=lambda each: bool(each.member.dog.owes))
            if (entry.in_snapshot if only_in_snapshot else entry.prepared) and not entry.shut_down
        ]
        if only_in_snapshot:
            told = [entry for entry in told if not entry.ended]
        together(self.clock, [partial(abort, entry) for entry in told])
        return failures

    def _abort(self, entry: Participant) -> list[BaseException]:
        entry.aborts += 1
        failures = self._carefully(entry, WriterEvent.ABORT, entry.member.writer.abort)
        entry.ended = not failures
        if entry.frozen:
            entry.thawed_at = self.clock.monotonic()
        return failures

    def _abort_again(self, entry: Participant) -> None:
        """A writer came back from an event after it had been given up: it may hold something."""
        for problem in self._abort(entry):
            if not isinstance(problem, Exception):
                raise problem

    def shut_down(self) -> list[BaseException]:
        """BackupShutdown, once, to everybody who was told of the session [VSS-09]."""
        failures: list[BaseException] = []
        for entry in (*self.entries, *self.bystanders):
            if entry.prepared and not entry.shut_down:
                # Set before the call: it comes once, even to a writer that fails at it [VSS-09].
                entry.shut_down = True
                call = entry.member.writer.backup_shutdown
                failures += self._carefully(entry, WriterEvent.BACKUP_SHUTDOWN, call)
        return failures

    def end_for_the_dead(self) -> list[BaseException]:
        """Abort and BackupShutdown for a session whose requestor died [VSS-09]."""
        for entry in self.entries:
            entry.prepared = True
            # A restarted service knows no sessions; without this the event would count as a late
            # one.
            entry.member.session = entry.session.session_id
        return [*self.abort(), *self.shut_down()]

    def longest_freeze_s(self) -> float:
        """The longest freeze-to-thaw of any writer that is in the copy."""
        return max((entry.held_s() for entry in self.active), default=0.0)

    def statuses(self) -> tuple[WriterStatus, ...]:
        """Status of every writer that takes part; one that is not itself any more is UNKNOWN."""
        return tuple(self._status(entry) for entry in self.entries)

    def all_statuses(self, order: Sequence[WriterMetadata]) -> tuple[WriterStatus, ...]:
        """Those of all writers that were gathered, bystanders too, in that order [VSS-39]."""
        known = {each.metadata.instance_id: each for each in (*self.entries, *self.bystanders)}
        found = [known[each.instance_id] for each in order if each.instance_id in known]
        return tuple(self._status(entry) for entry in found)

    def _status(self, entry: Participant) -> WriterStatus:
        status = evolve(
            entry.member.status(),
            writer_id=entry.metadata.writer_id,
            instance_id=entry.metadata.instance_id,
            name=entry.metadata.name,
        )
        changed = self._replaced(entry)
        if changed is None:
            return status
        return evolve(status, state=WriterState.UNKNOWN, reason=changed.message)

    def _changed(self, entry: Participant) -> WriterError | None:
        """Ask the writer again who it is, and compare; silent in the trace if it is the same."""
        try:
            now = entry.member.dog.call(
                WriterEvent.IDENTIFY.value,
                partial(entry.member.writer.identify, budget=self.roster.budget()),
                deadline_s=self.roster.end_s(),
                closing=True,
            )
        except Exception:  # noqa: BLE001  no answer is an answer: it is not itself any more
            # No metadata means absent from every list until it answers again [VSS-39].
            entry.member.metadata = None
        else:
            entry.member.metadata = now
        failure = self._replaced(entry)
        if failure is not None:
            self.roster.trace.row(
                "C",
                "CheckWriterInstance",
                set_id=entry.session.session_id,
                subject=entry.metadata.name,
                outcome=failure.message,
            )
        return failure

    def _replaced(self, entry: Participant) -> WriterError | None:
        known = entry.member.metadata
        same = known is not None and known.instance_id == entry.metadata.instance_id
        if same and self.roster.enrolled(entry.member):
            return None
        return WriterUnstable(
            f"writer {entry.metadata.name} is not the instance that prepared the backup",
            context={"writer": entry.metadata.name, "instance": entry.metadata.instance_id},
            native=WriterFailure.RETRYABLE.value,
        )

    def _expired(self, entry: Participant) -> FreezeTimeout:
        """The window passed without a handler's doing: the status says so too."""
        error = self._too_long(entry)
        self.roster.expire(entry.member, entry.session, error.message)
        return error

    def _too_long(self, entry: Participant) -> FreezeTimeout:
        name = entry.metadata.name
        elapsed_s = self.clock.monotonic() - (entry.frozen_at or 0.0)
        window_s = entry.window_s
        return FreezeTimeout(
            f"writer {name} was frozen for {elapsed_s:.1f} s, its window is {window_s:.1f} s",
            context={"writer": name, "elapsed_s": elapsed_s, "window_s": window_s},
            native=WriterFailure.TIMEOUT.value,
        )

    def _broadcast(self, event: WriterEvent) -> list[WriterError]:
        failures = []
        for entry in self.active:
            writer, budget = entry.member.writer, self._time()
            first = event is WriterEvent.PREPARE_FOR_BACKUP
            handler = writer.prepare_backup if first else writer.prepare_snapshot
            call = partial(handler, entry.session, budget=budget)
            failure = self._send(entry, event, call, self._limits(entry, budget))
            if failure is not None:
                entry.vetoed = first or self.goes_on
                failures.append(failure)
        return failures

    def _send(
        self,
        entry: Participant,
        event: WriterEvent,
        call: Callable[[], None],
        limits: Limits | None = None,
    ) -> WriterError | None:
        """Send one event that opens or goes on; the failure, if any.

        Raises:
            Cancelled: The session was given up, before or while the writer was at it.
        """
        self.check_over()
        if event is WriterEvent.PREPARE_FOR_BACKUP:
            entry.prepared = True
        if event is WriterEvent.PREPARE_FOR_SNAPSHOT:
            entry.in_snapshot = True
        entry.ended = False
        aborts = entry.aborts
        limits = limits or Limits(on_late=partial(self._abort_again, entry))
        failure = self.roster.deliver(entry.member, event, entry.session, call, limits)
        if failure is not None and isinstance(failure.__cause__, Cancelled):
            raise failure.__cause__  # the caller's wish, and no veto
        if failure is None and (self.over or entry.aborts > aborts):
            # It was aborted by another thread, and did what it was told after that.
            self._abort_again(entry)
            self.check_over()
        return failure

    def check_over(self) -> None:
        """Fail if the session was given up.

        Raises:
            Cancelled: It was, perhaps by another thread.
        """
        if self.over:
            raise Cancelled("the backup was given up while it was being made")

    def _carefully(
        self, entry: Participant, event: WriterEvent, call: Callable[[WriterSession], None]
    ) -> list[BaseException]:
        """Send a closing event; nothing it raises may keep the next writer from hearing its own."""
        try:
            failure = self.roster.deliver(
                entry.member, event, entry.session, partial(call, entry.session)
            )
        except BaseException as error:  # noqa: BLE001  interrupts are handed back, not swallowed
            return [error]
        return [] if failure is None else [failure]
