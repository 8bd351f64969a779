"""The four state machines of the shadow copy service, as tables [VSS 2.1-2.4].

The engine, the requestor object and the array provider look their next state up here and nowhere
else; the documentation renders the same tables with `table_rows`, and a test walks every cell. A
cell that is not in a table is an illegal call.

Where [VSS 2] is itself an inference, or frskit had to choose, the comment at the row says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from types import MappingProxyType
from typing import TypeVar

from attrs import frozen

from frskit.errors import UsageError
from frskit.model.components import WriterState
from frskit.model.shadows import ShadowState

__all__ = [
    "PROVIDER_TABLE",
    "REQUESTOR_TABLE",
    "SHADOW_TABLE",
    "TABLE_NAMES",
    "WRITER_TABLE",
    "ProviderAction",
    "ProviderCall",
    "ProviderState",
    "ProviderTransition",
    "RequestorCall",
    "RequestorState",
    "ShadowStep",
    "WriterEvent",
    "WriterTransition",
    "legal_calls",
    "table_rows",
]


E = TypeVar("E", bound=Enum)
S = TypeVar("S", bound=Enum)


class WriterEvent(Enum):
    """What the service tells a writer, and the timer that it does not tell; values as traced."""

    IDENTIFY = "Identify"
    PREPARE_FOR_BACKUP = "PrepareForBackup"
    PREPARE_FOR_SNAPSHOT = "PrepareForSnapshot"
    FREEZE = "Freeze"
    THAW = "Thaw"
    FREEZE_TIMER = "FreezeTimer"
    POST_SNAPSHOT = "PostSnapshot"
    BACKUP_COMPLETE = "BackupComplete"
    PRE_RESTORE = "PreRestore"
    POST_RESTORE = "PostRestore"
    BACKUP_SHUTDOWN = "BackupShutdown"
    ABORT = "Abort"


@frozen(kw_only=True)
class WriterTransition:
    """One cell: where success and failure lead, and whether a failure makes the service abort."""

    success: WriterState
    failure: WriterState
    abort_follows: bool = False


_FAILED = tuple(state for state in WriterState if state.name.startswith("FAILED_"))
_IN_SNAPSHOT = (
    WriterState.WAITING_FOR_FREEZE,
    WriterState.WAITING_FOR_THAW,
    WriterState.WAITING_FOR_POST_SNAPSHOT,
)
# A new session may begin wherever no snapshot is under way: a failed state lasts until the next
# session, and an earlier session may still wait for its verdict [HAZ-12].
_IDLE = tuple(state for state in WriterState if state not in _IN_SNAPSHOT)


# Event, the states it may come in, where success and failure lead, whether an Abort follows a
# failure: only one in Freeze or Thaw makes the service abort [VSS-37].
_WRITER_ROWS = (
    (WriterEvent.PREPARE_FOR_BACKUP, _IDLE, "STABLE", "FAILED_AT_PREPARE_BACKUP", False),
    (
        WriterEvent.PREPARE_FOR_SNAPSHOT,
        (WriterState.STABLE,),
        "WAITING_FOR_FREEZE",
        "FAILED_AT_PREPARE_SNAPSHOT",
        False,
    ),
    (
        WriterEvent.FREEZE,
        (WriterState.WAITING_FOR_FREEZE,),
        "WAITING_FOR_THAW",
        "FAILED_AT_FREEZE",
        True,
    ),
    (
        WriterEvent.THAW,
        (WriterState.WAITING_FOR_THAW,),
        "WAITING_FOR_POST_SNAPSHOT",
        "FAILED_AT_THAW",
        True,
    ),
    (
        WriterEvent.FREEZE_TIMER,
        (WriterState.WAITING_FOR_THAW,),
        "FAILED_AT_FREEZE",
        "FAILED_AT_FREEZE",
        True,
    ),
    (
        WriterEvent.POST_SNAPSHOT,
        (WriterState.WAITING_FOR_POST_SNAPSHOT,),
        "WAITING_FOR_BACKUP_COMPLETE",
        "FAILED_AT_POST_SNAPSHOT",
        False,
    ),
    (
        WriterEvent.BACKUP_COMPLETE,
        (WriterState.WAITING_FOR_BACKUP_COMPLETE,),
        "STABLE",
        "FAILED_AT_BACKUP_COMPLETE",
        False,
    ),
    (WriterEvent.PRE_RESTORE, _IDLE, "STABLE", "FAILED_AT_PRE_RESTORE", False),
    (
        WriterEvent.POST_RESTORE,
        (WriterState.STABLE,),
        "STABLE",
        "FAILED_AT_POST_RESTORE",
        False,
    ),
)


def _writer_table() -> dict[tuple[WriterEvent, WriterState], WriterTransition]:
    """All cells of [VSS 2.1]."""
    table: dict[tuple[WriterEvent, WriterState], WriterTransition] = {}
    for event, states, success, failure, aborts in _WRITER_ROWS:
        for state in states:
            table[event, state] = WriterTransition(
                success=WriterState[success], failure=WriterState[failure], abort_follows=aborts
            )
    for state in WriterState:
        table[WriterEvent.IDENTIFY, state] = WriterTransition(success=state, failure=state)
        # A failed state is kept until the next session, whatever ends this one.
        rest = state if state in _FAILED else WriterState.STABLE
        table[WriterEvent.ABORT, state] = WriterTransition(success=rest, failure=rest)
        table[WriterEvent.BACKUP_SHUTDOWN, state] = WriterTransition(
            success=rest, failure=WriterState.FAILED_AT_BACKUP_SHUTDOWN
        )
    return table


WRITER_TABLE: Mapping[tuple[WriterEvent, WriterState], WriterTransition] = MappingProxyType(
    _writer_table()
)
"""Writer: event x state -> transition [VSS 2.1, VSS-37, R-8]."""


class RequestorState(Enum):
    """States of one requestor object [VSS 2.2]; FAILED is frskit's: a creation that broke off."""

    NEW = "new"
    BACKUP = "backup"
    SET_OPEN = "set-open"
    PREPARED = "prepared"
    CREATED = "created"
    COMPLETED = "completed"
    FAILED = "failed"
    ABORTED = "aborted"
    RESTORE = "restore"
    PRERESTORED = "pre-restored"
    POSTRESTORED = "post-restored"
    RELEASED = "released"


class RequestorCall(Enum):
    """Calls of the requestor object; values as traced."""

    INITIALIZE_FOR_BACKUP = "InitializeForBackup"
    INITIALIZE_FOR_RESTORE = "InitializeForRestore"
    SET_CONTEXT = "SetContext"
    SET_BACKUP_STATE = "SetBackupState"
    DISABLE_WRITERS = "DisableWriterClasses"
    GATHER_WRITER_METADATA = "GatherWriterMetadata"
    GET_WRITER_METADATA = "GetWriterMetadata"
    ADD_COMPONENT = "AddComponent"
    SET_PREVIOUS_BACKUP_STAMP = "SetPreviousBackupStamp"
    START_SNAPSHOT_SET = "StartSnapshotSet"
    ADD_TO_SNAPSHOT_SET = "AddToSnapshotSet"
    PREPARE_FOR_BACKUP = "PrepareForBackup"
    DO_SNAPSHOT_SET = "DoSnapshotSet"
    GATHER_WRITER_STATUS = "GatherWriterStatus"
    SAVE_AS_XML = "SaveAsXML"
    SET_BACKUP_SUCCEEDED = "SetBackupSucceeded"
    BACKUP_COMPLETE = "BackupComplete"
    ABORT_BACKUP = "AbortBackup"
    QUERY = "Query"
    IMPORT_SNAPSHOTS = "ImportSnapshots"
    BREAK_SNAPSHOT_SET = "BreakSnapshotSet"
    DELETE_SNAPSHOTS = "DeleteSnapshots"
    SET_SELECTED_FOR_RESTORE = "SetSelectedForRestore"
    SET_ADDITIONAL_RESTORES = "SetAdditionalRestores"
    PRE_RESTORE = "PreRestore"
    SET_FILE_RESTORE_STATUS = "SetFileRestoreStatus"
    POST_RESTORE = "PostRestore"
    RELEASE = "Release"


_S = RequestorState
_BACKUP_STATES = (
    _S.BACKUP,
    _S.SET_OPEN,
    _S.PREPARED,
    _S.CREATED,
    _S.COMPLETED,
    _S.FAILED,
    _S.ABORTED,
)
_RESTORE_STATES = (_S.RESTORE, _S.PRERESTORED, _S.POSTRESTORED)


def _requestor_table() -> dict[tuple[RequestorCall, RequestorState], RequestorState]:
    """All legal cells of [VSS 2.2]; None below means "stays"."""
    call = RequestorCall
    same: None = None
    rows: tuple[tuple[RequestorCall, tuple[RequestorState, ...], RequestorState | None], ...] = (
        (call.INITIALIZE_FOR_BACKUP, (_S.NEW,), _S.BACKUP),
        (call.INITIALIZE_FOR_RESTORE, (_S.NEW,), _S.RESTORE),
        (call.SET_CONTEXT, (_S.BACKUP,), same),
        (call.SET_BACKUP_STATE, (_S.BACKUP, _S.SET_OPEN), same),
        (call.DISABLE_WRITERS, (_S.BACKUP, _S.RESTORE), same),
        (call.GATHER_WRITER_METADATA, (_S.BACKUP, _S.SET_OPEN, _S.RESTORE), same),
        (call.GET_WRITER_METADATA, (*_BACKUP_STATES, *_RESTORE_STATES), same),
        (call.ADD_COMPONENT, (_S.BACKUP, _S.SET_OPEN), same),
        (call.SET_PREVIOUS_BACKUP_STAMP, (_S.BACKUP, _S.SET_OPEN), same),
        (call.START_SNAPSHOT_SET, (_S.BACKUP,), _S.SET_OPEN),
        (call.ADD_TO_SNAPSHOT_SET, (_S.SET_OPEN,), same),
        (call.PREPARE_FOR_BACKUP, (_S.SET_OPEN,), _S.PREPARED),
        # From SET_OPEN only in contexts without writers; the object checks that [VSS 2.2].
        (call.DO_SNAPSHOT_SET, (_S.SET_OPEN, _S.PREPARED), _S.CREATED),
        (call.GATHER_WRITER_STATUS, (*_BACKUP_STATES, *_RESTORE_STATES), same),
        (call.SAVE_AS_XML, (*_BACKUP_STATES, *_RESTORE_STATES), same),
        (call.SET_BACKUP_SUCCEEDED, (_S.CREATED,), same),
        (call.BACKUP_COMPLETE, (_S.CREATED,), _S.COMPLETED),
        (call.QUERY, _BACKUP_STATES, same),
        (call.IMPORT_SNAPSHOTS, (_S.BACKUP,), same),
        (call.BREAK_SNAPSHOT_SET, _BACKUP_STATES, same),
        (call.DELETE_SNAPSHOTS, _BACKUP_STATES, same),
        (call.SET_SELECTED_FOR_RESTORE, (_S.RESTORE,), same),
        (call.SET_ADDITIONAL_RESTORES, (_S.RESTORE,), same),
        (call.PRE_RESTORE, (_S.RESTORE,), _S.PRERESTORED),
        (call.SET_FILE_RESTORE_STATUS, (_S.PRERESTORED,), same),
        (call.POST_RESTORE, (_S.PRERESTORED,), _S.POSTRESTORED),
    )
    table = {(what, state): after or state for what, states, after in rows for state in states}
    # Nothing under way, or nothing left to abort: a no-op [VSS-36]; restores have no abort [1.5].
    for state in (_S.BACKUP, _S.COMPLETED, _S.ABORTED, *_RESTORE_STATES):
        table[call.ABORT_BACKUP, state] = state
    for state in (_S.SET_OPEN, _S.PREPARED, _S.CREATED, _S.FAILED):
        table[call.ABORT_BACKUP, state] = _S.ABORTED
    for state in RequestorState:
        if state is not _S.RELEASED:
            table[call.RELEASE, state] = _S.RELEASED
    return table


REQUESTOR_TABLE: Mapping[tuple[RequestorCall, RequestorState], RequestorState] = MappingProxyType(
    _requestor_table()
)
"""Requestor object: call x state -> next state; a missing cell is VSS_E_BAD_STATE [VSS 2.2]."""


def legal_calls(state: RequestorState) -> tuple[str, ...]:
    """Names of the calls that are legal in `state`, for error messages [VSS 8.2]."""
    return tuple(call.value for call in RequestorCall if (call, state) in REQUESTOR_TABLE)


class ShadowStep(Enum):
    """What moves one shadow copy on [VSS 2.3]."""

    ADD = "add to set"
    PREPARE = "end-prepare begins"
    PREPARE_DONE = "end-prepare returned"
    PRE_COMMIT = "pre-commit begins"
    PRE_COMMIT_DONE = "pre-commit returned"
    COMMIT = "commit begins"
    COMMIT_DONE = "commit returned"
    POST_COMMIT = "post-commit begins"
    POST_COMMIT_DONE = "post-commit returned"
    PRE_FINAL = "pre-final-commit begins"
    PRE_FINAL_DONE = "pre-final-commit returned"
    POST_FINAL = "post-final-commit begins"
    POST_FINAL_DONE = "post-final-commit returned"
    ABORT = "abort"
    DELETE = "delete"


def _shadow_table() -> dict[tuple[ShadowStep, ShadowState], ShadowState]:
    """The path 1-2-3-4-5-6-7-8-15-9-10-11-12, and the ways off it [VSS 2.3]."""
    # ShadowState's numbers are not in the order of time: 15 lies between 8 and 9 [VSS 2.3].
    path = [ShadowState(number) for number in (0, 1, 2, 3, 4, 5, 6, 7, 8, 15, 9, 10, 11, 12)]
    steps = list(ShadowStep)[: len(path) - 1]
    table = {
        (step, before): after for step, before, after in zip(steps, path, path[1:], strict=False)
    }
    for state in path[:-1]:
        table[ShadowStep.ABORT, state] = ShadowState.ABORTED
    table[ShadowStep.ABORT, ShadowState.ABORTED] = ShadowState.ABORTED
    table[ShadowStep.DELETE, ShadowState.CREATED] = ShadowState.DELETED
    return table


SHADOW_TABLE: Mapping[tuple[ShadowStep, ShadowState], ShadowState] = MappingProxyType(
    _shadow_table()
)
"""Shadow copy: step x state -> next state [VSS 2.3]."""


class ProviderState(Enum):
    """States of a hardware provider [VSS 2.4]."""

    UNKNOWN = "unknown"
    PREPARING = "preparing"
    PREPARED = "prepared"
    PRECOMMITTED = "pre-committed"
    COMMITTED = "committed"
    CREATED = "created"
    ABORTED = "aborted"


class ProviderCall(Enum):
    """State-changing calls of a hardware provider; values as traced.

    BEGIN_SAME and BEGIN_OTHER are BeginPrepareSnapshot with the set id under way, or another.
    """

    BEGIN_SAME = "BeginPrepareSnapshot (same set)"
    BEGIN_OTHER = "BeginPrepareSnapshot (other set)"
    END_PREPARE = "EndPrepareSnapshots"
    PRE_COMMIT = "PreCommitSnapshots"
    COMMIT = "CommitSnapshots"
    POST_COMMIT = "PostCommitSnapshots"
    ABORT = "AbortSnapshots"
    UNLOAD = "OnUnload"


class ProviderAction(Enum):
    """What the provider does in a cell.

    START begins a fresh list, RESTART cleans up first. APPEND adds to the list. PROCEED does the
    call's own work. VETO cleans up and refuses. CLEAN_UP discards uncommitted targets. IGNORE does
    nothing.
    """

    START = "start"
    RESTART = "clean up, start"
    APPEND = "append"
    PROCEED = "proceed"
    VETO = "clean up, veto"
    CLEAN_UP = "clean up"
    IGNORE = "ignore"


@frozen(kw_only=True)
class ProviderTransition:
    """One cell: what is done, and the state afterwards."""

    action: ProviderAction
    after: ProviderState


_P = ProviderState
_SETTLED = (_P.UNKNOWN, _P.CREATED, _P.ABORTED)


def _provider_table() -> dict[tuple[ProviderCall, ProviderState], ProviderTransition]:
    """All cells of [VSS 2.4], taken there from Microsoft's sample provider."""

    def cell(action: ProviderAction, after: ProviderState) -> ProviderTransition:
        return ProviderTransition(action=action, after=after)

    table: dict[tuple[ProviderCall, ProviderState], ProviderTransition] = {}
    steps = (
        (ProviderCall.END_PREPARE, _P.PREPARING, _P.PREPARED),
        (ProviderCall.PRE_COMMIT, _P.PREPARED, _P.PRECOMMITTED),
        (ProviderCall.COMMIT, _P.PRECOMMITTED, _P.COMMITTED),
        (ProviderCall.POST_COMMIT, _P.COMMITTED, _P.CREATED),
    )
    for state in ProviderState:
        # A set under way is cleaned up before another begins [VSS-33].
        begin = ProviderAction.START if state in _SETTLED else ProviderAction.RESTART
        table[ProviderCall.BEGIN_OTHER, state] = cell(begin, _P.PREPARING)
        same = ProviderAction.APPEND if state is _P.PREPARING else begin
        table[ProviderCall.BEGIN_SAME, state] = cell(same, _P.PREPARING)
        for call, needed, after in steps:
            good = state is needed
            action = ProviderAction.PROCEED if good else ProviderAction.VETO
            # A created set is never harmed by a late or foreign call [VSS-32, VSS-54]; that the
            # state stays CREATED then is frskit's choice.
            spoiled = _P.CREATED if state is _P.CREATED else _P.ABORTED
            table[call, state] = cell(action, after if good else spoiled)
        if state is _P.CREATED:
            table[ProviderCall.ABORT, state] = cell(ProviderAction.IGNORE, _P.CREATED)
        else:
            table[ProviderCall.ABORT, state] = cell(ProviderAction.CLEAN_UP, _P.ABORTED)
        # Only a creation under way leaves anything to clean up [VSS 2.4].
        unload = ProviderAction.IGNORE if state in _SETTLED else ProviderAction.CLEAN_UP
        table[ProviderCall.UNLOAD, state] = cell(unload, _P.UNKNOWN)
    return table


PROVIDER_TABLE: Mapping[tuple[ProviderCall, ProviderState], ProviderTransition] = MappingProxyType(
    _provider_table()
)
"""Hardware provider: call x state -> action and next state [VSS 2.4]."""


def _writer_text(event: WriterEvent, state: WriterState) -> str:
    cell = WRITER_TABLE.get((event, state))
    if cell is None:
        return "-"
    failure = cell.failure.name + (" + Abort" if cell.abort_follows else "")
    return f"{cell.success.name} / {failure}"


def _requestor_text(call: RequestorCall, state: RequestorState) -> str:
    after = REQUESTOR_TABLE.get((call, state))
    return "BAD_STATE" if after is None else after.name


def _shadow_text(step: ShadowStep, state: ShadowState) -> str:
    after = SHADOW_TABLE.get((step, state))
    return "-" if after is None else after.name


def _provider_text(call: ProviderCall, state: ProviderState) -> str:
    cell = PROVIDER_TABLE[call, state]
    return f"{cell.action.value}: {cell.after.name}"


def _rows(
    events: type[E], states: type[S], text: Callable[[E, S], str]
) -> tuple[tuple[str, ...], ...]:
    """A heading row of states, then one row per event."""
    heading = ("", *(state.name for state in states))
    return (
        heading,
        *((str(event.value), *(text(event, state) for state in states)) for event in events),
    )


TABLE_NAMES = ("writer", "requestor", "shadow", "provider")
"""Names for `table_rows`."""


def table_rows(name: str) -> tuple[tuple[str, ...], ...]:
    """One table as texts: a heading row of states, then one row per event or call.

    Args:
        name: One of `TABLE_NAMES`.

    Raises:
        UsageError: No such table.
    """
    if name == "writer":
        return _rows(WriterEvent, WriterState, _writer_text)
    if name == "requestor":
        return _rows(RequestorCall, RequestorState, _requestor_text)
    if name == "shadow":
        return _rows(ShadowStep, ShadowState, _shadow_text)
    if name == "provider":
        return _rows(ProviderCall, ProviderState, _provider_text)
    raise UsageError(f"there is no state table {name!r}; there are {', '.join(TABLE_NAMES)}")
