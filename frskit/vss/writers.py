"""The writers of one server: who is there, in which state, and how events reach them.

States follow `frskit.vss.state_tables.WRITER_TABLE`. A writer may serve an older session (waiting for its
verdict) and a newer one at once; its state is that of the newest, and late events of an older
session are delivered without touching it [HAZ-12].
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from attrs import define, field, frozen

from frskit.clock import Budget, CancelToken, Clock
from frskit.codes.hresult import hresult
from frskit.errors import BadState, FreezeTimeout, FrskitError, Stopped, WriterError, WriterVeto
from frskit.model.components import (
    WriterFailure,
    WriterMetadata,
    WriterSession,
    WriterState,
    WriterStatus,
)
from frskit.model.ids import SetId
from frskit.protocols import Writer
from frskit.vss.documents.backup_document import schema_bits, schema_of
from frskit.vss.state_tables import WRITER_TABLE, WriterEvent, WriterTransition
from frskit.vss.trace import Tracer
from frskit.watchdog import ANSWER_S, CLOSING_S, Watchdog

__all__ = ["Enrolled", "Limits", "Roster", "veto_of"]

# The five codes of SetWriterFailure [VSS-38]; with the two hopeless ones a retry is in vain.
_CODES = {code.value for code in WriterFailure}
_HOPELESS = {WriterFailure.NONRETRYABLE.value, WriterFailure.INCONSISTENT_SNAPSHOT.value}


_CLOSING = {WriterEvent.ABORT, WriterEvent.BACKUP_SHUTDOWN}
"""Events that only end something: they are sent to a writer that hangs, too."""


@frozen
class Limits:
    """How long a writer may take over one event, and what then.

    Attributes:
        deadline_s: Reading of the clock; None leaves it to the roster.
        on_expiry, on_late, token: As of `frskit.watchdog.Watchdog.call`.
    """

    deadline_s: float | None = None
    on_expiry: Callable[[], None] | None = None
    on_late: Callable[[], None] | None = None
    token: CancelToken | None = None


@define(eq=False)
class Enrolled:
    """A registered writer with what the service knows of it.

    Attributes:
        writer: The writer itself.
        dog: Calls it; what hangs is left behind there.
        metadata: What it said at the last Identify that succeeded.
        state, failure, reason, since: Its status.
        session: The newest session that it takes part in, which drives the state.
    """

    writer: Writer
    dog: Watchdog
    metadata: WriterMetadata | None = None
    state: WriterState = WriterState.STABLE
    failure: int = 0
    reason: str = ""
    since: datetime | None = None
    session: SetId | None = None

    @property
    def name(self) -> str:
        """Name for messages, also of a writer that never identified itself."""
        return self.metadata.name if self.metadata else type(self.writer).__name__

    def status(self) -> WriterStatus:
        """The status as requestors see it."""
        metadata = self.metadata
        return WriterStatus(
            writer_id=metadata.writer_id if metadata else "",
            instance_id=metadata.instance_id if metadata else "",
            name=self.name,
            state=self.state,
            failure=self.failure,
            reason=self.reason,
            since=self.since,
        )


def veto_of(name: str, event: WriterEvent, error: BaseException) -> WriterError:
    """The typed error for a handler that failed; anything but a veto is a non-retryable one.

    Only the five codes of [VSS-38] are accepted. A window that was exceeded is a `FreezeTimeout`,
    everything else a `WriterVeto` [R-7].
    """
    code = error.native if isinstance(error, FrskitError) else None
    if isinstance(error, (FreezeTimeout, Stopped)):
        code = WriterFailure.TIMEOUT.value
    if code not in _CODES:
        # A writer that says how it failed is believed; anything else is taken for hopeless.
        again = isinstance(error, WriterError) and error.retryable
        code = (WriterFailure.RETRYABLE if again else WriterFailure.NONRETRYABLE).value
    frozen = event in (WriterEvent.FREEZE, WriterEvent.THAW)
    timed_out = code == WriterFailure.TIMEOUT.value
    kind = FreezeTimeout if frozen and timed_out else WriterVeto
    reason = str(error) or type(error).__name__
    veto = kind(
        f"writer {name} failed at {event.value}: {reason}",
        context={
            **(error.context if isinstance(error, FrskitError) else {}),
            "writer": name,
            "event": event.value,
            "reason": reason,
        },
        hint=error.hint if isinstance(error, WriterError) else None,
        retryable=code not in _HOPELESS,
        native=code,
    )
    veto.__cause__ = error
    return veto


@define(eq=False)
class Roster:
    """The registered writers of one coordinator.

    Attributes:
        answer_s: Longest wait for an answer where no window is running.
        closing_s: Longest wait for the answer to an event that only ends something.
    """

    clock: Clock
    trace: Tracer
    answer_s: float = ANSWER_S
    closing_s: float = CLOSING_S
    _members: list[Enrolled] = field(factory=list, init=False)

    def register(self, writer: Writer) -> None:
        """Add a writer; the same one twice is refused.

        Raises:
            BadState: It is registered already (VSS_E_WRITER_ALREADY_SUBSCRIBED).
        """
        if any(each.writer is writer for each in self._members):
            raise BadState(
                f"writer {type(writer).__name__} is registered already",
                native=hresult("VSS_E_WRITER_ALREADY_SUBSCRIBED"),
            )
        name = f"writer {type(writer).__name__}"
        dog = Watchdog(name, self.clock, closing_s=self.closing_s)
        self._members.append(Enrolled(writer=writer, dog=dog, since=self.trace.now()))

    def unregister(self, writer: Writer) -> bool:
        """Remove a writer; False if it was not there."""
        before = len(self._members)
        self._members = [each for each in self._members if each.writer is not writer]
        return len(self._members) < before

    def writers(self) -> tuple[Writer, ...]:
        """The registered writers."""
        return tuple(each.writer for each in self._members)

    def dogs(self) -> tuple[Watchdog, ...]:
        """Who calls the writers."""
        return tuple(each.dog for each in self._members)

    def enrolled(self, member: Enrolled) -> bool:
        """Whether this writer is still registered."""
        # By identity, for the class has eq=False.
        return member in self._members

    def identify(self, budget: Budget | None = None) -> list[tuple[Enrolled, WriterMetadata]]:
        """Ask every writer who it is; the ones that fail are left out [VSS-39].

        Raises:
            Stopped: The budget is spent; one writer that is slow is left out before that.
        """
        found = []
        for member in list(self._members):
            if budget is not None:
                budget.check("asking the writers who they are")
            metadata = self.identify_one(member, budget)
            if metadata is not None:
                found.append((member, metadata))
        return found

    def identify_one(self, member: Enrolled, budget: Budget | None = None) -> WriterMetadata | None:
        """Ask one writer; None if it does not answer. Its state stays as it is [VSS-11]."""
        step = WriterEvent.IDENTIFY.value
        deadline_s = self.end_s()
        if budget is not None and budget.deadline_s is not None:
            deadline_s = min(deadline_s, budget.deadline_s)
        try:
            metadata = member.dog.call(
                step,
                partial(member.writer.identify, budget=self.budget()),
                deadline_s=deadline_s,
                closing=True,  # it changes nothing, so it may be asked in the middle of anything
            )
            schema_of(schema_bits(metadata.schema))
        except Exception as error:  # noqa: BLE001
            # A writer that fails here is absent, without a status [VSS 1.1 row 6].
            member.metadata = None
            self.trace.row("W", step, set_id=None, subject=member.name, outcome=_text(error))
            return None
        member.metadata = metadata
        member.dog.party = f"writer {metadata.name}"
        self.trace.row("W", step, set_id=None, subject=metadata.name)
        return metadata

    def statuses(self) -> tuple[WriterStatus, ...]:
        """The status of every writer whose last Identify succeeded [VSS-39]."""
        return tuple(each.status() for each in self._members if each.metadata is not None)

    def deliver(
        self,
        member: Enrolled,
        event: WriterEvent,
        session: WriterSession,
        call: Callable[[], None],
        limits: Limits | None = None,
        *,
        aside: bool = False,
    ) -> WriterError | None:
        """Send one event; return the typed failure, if any.

        With `aside` the writer does not take part in the session: it keeps the session that it has,
        and its state too unless it has none to serve.

        A writer that does not answer within the limits has failed with a time-out; what it answers
        later changes nothing.

        An interrupt (any exception that is not an `Exception`) counts as a failure of the handler
        and goes on to the caller.
        """
        opens = event in (WriterEvent.PREPARE_FOR_BACKUP, WriterEvent.PRE_RESTORE) and not aside
        # Late events of an older session reach the writer and leave its state alone [HAZ-12].
        drives = opens or member.session == session.session_id
        if aside:
            drives = not member.state.name.startswith("WAITING_")
        if drives and (event, member.state) not in WRITER_TABLE:
            raise BadState(
                f"event {event.value} is not possible for writer {member.name} "
                f"in state {member.state.name}",
                context={"writer": member.name, "state": member.state.name},
                native=hresult("VSS_E_BAD_STATE"),
            )
        # Before the call, so that even a veto counts for the new session.
        if opens:
            member.session = session.session_id
        # The cell of now: a writer that hangs is aborted while it is at this event.
        cell = WRITER_TABLE[event, member.state] if drives else None
        limits = limits or Limits()
        try:
            member.dog.call(
                event.value,
                call,
                deadline_s=None if event in _CLOSING else self._deadline(limits),
                on_expiry=limits.on_expiry,
                on_late=limits.on_late,
                closing=event in _CLOSING,
                token=limits.token,
            )
        except Exception as error:  # noqa: BLE001  any failure of a writer is a veto
            return self._failed(member, event, session, error, cell)
        except BaseException as error:
            self._failed(member, event, session, error, cell)
            raise
        if cell is not None:
            self._enter(member, cell.success)
        self.trace.row("W", event.value, set_id=session.session_id, subject=member.name)
        return None

    def budget(self) -> Budget:
        """The time of a writer to which nobody gave another."""
        return Budget.of(self.clock, self.answer_s)

    def end_s(self) -> float:
        """When such a writer is given up: a little later, since it may watch its budget."""
        return self.clock.monotonic() + self.answer_s + self.closing_s

    def _deadline(self, limits: Limits) -> float:
        latest_s = self.end_s()
        return latest_s if limits.deadline_s is None else min(limits.deadline_s, latest_s)

    def expire(self, member: Enrolled, session: WriterSession, reason: str) -> None:
        """The freeze window of a frozen writer has passed [VSS-42]."""
        cell = WRITER_TABLE.get((WriterEvent.FREEZE_TIMER, member.state))
        if cell is not None and member.session == session.session_id:
            self._enter(member, cell.failure, WriterFailure.TIMEOUT.value, reason)

    def _failed(
        self,
        member: Enrolled,
        event: WriterEvent,
        session: WriterSession,
        error: BaseException,
        cell: WriterTransition | None,
    ) -> WriterError:
        veto = veto_of(member.name, event, error)
        if cell is not None:
            code = veto.native if isinstance(veto.native, int) else 0
            self._enter(member, cell.failure, code, str(veto.context["reason"]))
        self.trace.row(
            "W", event.value, set_id=session.session_id, subject=member.name, outcome=_text(error)
        )
        return veto

    def _enter(
        self, member: Enrolled, state: WriterState, failure: int = 0, reason: str = ""
    ) -> None:
        kept = state is member.state and state.name.startswith("FAILED_") and not failure
        if kept:
            return  # the failure that led here stays visible until the next session
        member.state = state
        member.failure = failure
        member.reason = reason
        member.since = self.trace.now()


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__
