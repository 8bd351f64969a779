"""The state tables, cell by cell, against the rule book's own rows."""

from __future__ import annotations

import pytest

from frskit.errors import BadState, FrskitError, UsageError
from frskit.model.components import BackupType, WriterState
from frskit.model.ids import SetId
from frskit.model.shadows import ShadowState
from frskit.vss import BackupComponents
from frskit.vss.state_tables import (
    PROVIDER_TABLE,
    REQUESTOR_TABLE,
    SHADOW_TABLE,
    TABLE_NAMES,
    WRITER_TABLE,
    ProviderAction,
    ProviderCall,
    ProviderState,
    RequestorCall,
    RequestorState,
    ShadowStep,
    WriterEvent,
    table_rows,
)

FAILED = range(6, 16)
IDLE = [0, 1, 5, *FAILED]

# event -> (from, success, failure, abort follows), numbers as in VSS_WRITER_STATE
WRITER_BOOK = {
    "PrepareForBackup": (IDLE, 1, 7, False),
    "PrepareForSnapshot": ([1], 2, 8, False),
    "Freeze": ([2], 3, 9, True),
    "Thaw": ([3], 4, 10, True),
    "FreezeTimer": ([3], 9, 9, True),
    "PostSnapshot": ([4], 5, 11, False),
    "BackupComplete": ([5], 1, 12, False),
    "PreRestore": (IDLE, 1, 13, False),
    "PostRestore": ([1], 1, 14, False),
}


@pytest.mark.rule("VSS-11", "VSS-37", "R-8")
@pytest.mark.parametrize("event", list(WriterEvent), ids=lambda each: each.value)
def test_writer_cells(event):
    """Every cell of the writer's table says what the book says, and no other cell exists."""
    for state in WriterState:
        cell = WRITER_TABLE.get((event, state))
        kept = state.value if state.value in FAILED else 1
        if event is WriterEvent.IDENTIFY:
            wanted = (state.value, state.value, False)
        elif event is WriterEvent.ABORT:
            wanted = (kept, kept, False)
        elif event is WriterEvent.BACKUP_SHUTDOWN:
            wanted = (kept, 15, False)
        else:
            sources, success, failure, aborts = WRITER_BOOK[event.value]
            wanted = (success, failure, aborts) if state.value in sources else None
        got = (cell.success.value, cell.failure.value, cell.abort_follows) if cell else None
        assert got == wanted, (event, state)


SHADOW_PATH = [1, 2, 3, 4, 5, 6, 7, 8, 15, 9, 10, 11, 12]


@pytest.mark.parametrize("step", list(ShadowStep), ids=lambda each: each.value)
def test_shadow_cells(step):
    """A shadow copy goes 1-2-3-4-5-6-7-8-15-9-10-11-12, may abort before 12, be deleted at 12."""
    path = [0, *SHADOW_PATH]
    number = list(ShadowStep).index(step)
    for state in ShadowState:
        got = SHADOW_TABLE.get((step, state))
        if step is ShadowStep.ABORT:
            wanted = 13 if state.value not in (12, 14) else None
        elif step is ShadowStep.DELETE:
            wanted = 14 if state.value == 12 else None
        else:
            wanted = path[number + 1] if state.value == path[number] else None
        assert (got.value if got else None) == wanted


U, PING, PED, PRE, COM, CRE, ABO = list(ProviderState)
PROVIDER_BOOK = {
    # call: (state needed, state after)
    ProviderCall.END_PREPARE: (PING, PED),
    ProviderCall.PRE_COMMIT: (PED, PRE),
    ProviderCall.COMMIT: (PRE, COM),
    ProviderCall.POST_COMMIT: (COM, CRE),
}


@pytest.mark.rule("VSS-32", "VSS-33", "VSS-35")
@pytest.mark.parametrize("state", list(ProviderState), ids=lambda each: each.value)
def test_provider_cells(state):
    """Every cell of the provider's table is that of the sample provider."""
    settled = state in (U, CRE, ABO)
    for call in ProviderCall:
        cell = PROVIDER_TABLE[call, state]
        if call in PROVIDER_BOOK:
            needed, after = PROVIDER_BOOK[call]
            if state is needed:
                wanted = (ProviderAction.PROCEED, after)
            else:
                wanted = (ProviderAction.VETO, CRE if state is CRE else ABO)
        elif call is ProviderCall.ABORT:
            ignored = (ProviderAction.IGNORE, CRE)
            wanted = ignored if state is CRE else (ProviderAction.CLEAN_UP, ABO)
        elif call is ProviderCall.UNLOAD:
            wanted = (ProviderAction.IGNORE if settled else ProviderAction.CLEAN_UP, U)
        else:
            action = ProviderAction.START if settled else ProviderAction.RESTART
            if call is ProviderCall.BEGIN_SAME and state is PING:
                action = ProviderAction.APPEND
            wanted = (action, PING)
        assert (cell.action, cell.after) == wanted, call


# Columns: states in order of the enumeration; a letter is the state afterwards, a dot BAD_STATE.
#   N new, B backup, S set-open, P prepared, C created, D completed, F failed, A aborted,
#   R restore, E pre-restored, O post-restored, X released
REQUESTOR_BOOK = """
InitializeForBackup     B...........
InitializeForRestore    R...........
SetContext              .B..........
SetBackupState          .BS.........
DisableWriterClasses    .B......R...
GatherWriterMetadata    .BS.....R...
GetWriterMetadata       .BSPCDFAREO.
AddComponent            .BS.........
SetPreviousBackupStamp  .BS.........
StartSnapshotSet        .S..........
AddToSnapshotSet        ..S.........
PrepareForBackup        ..P.........
DoSnapshotSet           ..CC........
GatherWriterStatus      .BSPCDFAREO.
SaveAsXML               .BSPCDFAREO.
SetBackupSucceeded      ....C.......
BackupComplete          ....D.......
AbortBackup             .BAAADAAREO.
Query                   .BSPCDFA....
ImportSnapshots         .B..........
BreakSnapshotSet        .BSPCDFA....
DeleteSnapshots         .BSPCDFA....
SetSelectedForRestore   ........R...
SetAdditionalRestores   ........R...
PreRestore              ........E...
SetFileRestoreStatus    .........E..
PostRestore             .........O..
Release                 XXXXXXXXXXX.
"""
LETTERS = dict(zip("NBSPCDFAREOX", RequestorState, strict=True))


@pytest.mark.rule("VSS-20", "VSS-21")
def test_requestor_cells():
    """Every cell of the requestor object's table says what the book says."""
    rows = [line.split() for line in REQUESTOR_BOOK.strip().splitlines()]
    assert [name for name, _ in rows] == [call.value for call in RequestorCall]
    for (_, letters), call in zip(rows, RequestorCall, strict=True):
        for letter, state in zip(letters, RequestorState, strict=True):
            assert REQUESTOR_TABLE.get((call, state)) == LETTERS.get(letter), (call, state)


def drive(site, state):
    """A requestor object in this state, on the legal way."""
    components = BackupComponents(site.service)
    if state is RequestorState.NEW:
        return components
    if state in (RequestorState.RESTORE, RequestorState.PRERESTORED, RequestorState.POSTRESTORED):
        drive_restore(site, components, state)
        return components
    components.initialize_for_backup()
    if state is RequestorState.RELEASED:
        components.release()
        return components
    components.set_context(0x9)
    components.set_backup_state(BackupType.FULL)
    components.gather_writer_metadata()
    for metadata in components.get_writer_metadata():
        components.add_component(metadata.components[0].id)
    order = list(RequestorState)
    if order.index(state) >= order.index(RequestorState.SET_OPEN):
        components.start_snapshot_set()
        components.add_to_snapshot_set("L:\\")
    if order.index(state) >= order.index(RequestorState.PREPARED):
        components.prepare_for_backup()
    if state in (RequestorState.CREATED, RequestorState.COMPLETED):
        components.do_snapshot_set()
    if state is RequestorState.COMPLETED:
        components.backup_complete()
    if state is RequestorState.FAILED:
        site.script.on("array.stage_copies", FrskitError("no"))
        with pytest.raises(FrskitError):
            components.do_snapshot_set()
    if state is RequestorState.ABORTED:
        components.abort_backup()
    return components


def drive_restore(site, components, state):
    """The part of `drive` that ends in one of the states of a restore."""
    with site.service.session(site.request()) as session:
        made = session.create(budget=site.budget())
        explicit = [each.id for each in session.plan(budget=site.budget()).explicit]
    components.initialize_for_restore(made.documents.backup_components)
    components.gather_writer_metadata()
    components.set_selected_for_restore(explicit[0])
    if state is not RequestorState.RESTORE:
        components.pre_restore()
    if state is RequestorState.POSTRESTORED:
        components.post_restore()


def calls_of(components, site):
    """One try of every call."""
    component = site.writers[0].metadata.components[0].id
    unknown = SetId("99999999-9999-4999-8999-999999999999")
    return {
        RequestorCall.INITIALIZE_FOR_BACKUP: components.initialize_for_backup,
        RequestorCall.INITIALIZE_FOR_RESTORE: lambda: components.initialize_for_restore(b"<x/>"),
        RequestorCall.SET_CONTEXT: lambda: components.set_context(0x9),
        RequestorCall.SET_BACKUP_STATE: lambda: components.set_backup_state(BackupType.FULL),
        RequestorCall.DISABLE_WRITERS: lambda: components.disable_writers([]),
        RequestorCall.GATHER_WRITER_METADATA: components.gather_writer_metadata,
        RequestorCall.GET_WRITER_METADATA: components.get_writer_metadata,
        RequestorCall.ADD_COMPONENT: lambda: components.add_component(component),
        RequestorCall.SET_PREVIOUS_BACKUP_STAMP: lambda: components.set_previous_backup_stamp(
            component, "s"
        ),
        RequestorCall.START_SNAPSHOT_SET: components.start_snapshot_set,
        RequestorCall.ADD_TO_SNAPSHOT_SET: lambda: components.add_to_snapshot_set("M:\\"),
        RequestorCall.PREPARE_FOR_BACKUP: components.prepare_for_backup,
        RequestorCall.DO_SNAPSHOT_SET: components.do_snapshot_set,
        RequestorCall.GATHER_WRITER_STATUS: components.gather_writer_status,
        RequestorCall.SAVE_AS_XML: components.save_as_xml,
        RequestorCall.SET_BACKUP_SUCCEEDED: lambda: components.set_backup_succeeded(
            component, True
        ),
        RequestorCall.BACKUP_COMPLETE: components.backup_complete,
        RequestorCall.ABORT_BACKUP: components.abort_backup,
        RequestorCall.QUERY: components.query,
        RequestorCall.IMPORT_SNAPSHOTS: components.import_snapshots,
        RequestorCall.BREAK_SNAPSHOT_SET: lambda: components.break_snapshot_set(unknown),
        RequestorCall.DELETE_SNAPSHOTS: lambda: components.delete_snapshots(unknown),
        RequestorCall.SET_SELECTED_FOR_RESTORE: lambda: components.set_selected_for_restore(
            component
        ),
        RequestorCall.SET_ADDITIONAL_RESTORES: lambda: components.set_additional_restores(True),
        RequestorCall.PRE_RESTORE: components.pre_restore,
        RequestorCall.SET_FILE_RESTORE_STATUS: lambda: components.set_file_restore_status(
            component, True
        ),
        RequestorCall.POST_RESTORE: components.post_restore,
    }


@pytest.mark.rule("VSS-20", "VSS-21")
@pytest.mark.parametrize("state", list(RequestorState), ids=lambda each: each.value)
def test_illegal_calls_change_nothing(make_site, state):
    """Each illegal call raises BadState with the legal ones named; nothing at all happens."""
    site = make_site()
    components = drive(site, state)
    assert components.state is state
    calls = calls_of(components, site)
    assert set(calls) | {RequestorCall.RELEASE} == set(RequestorCall)
    for call, action in calls.items():
        if (call, state) in REQUESTOR_TABLE:
            continue
        before = list(site.script.steps)
        with pytest.raises(BadState) as caught:
            action()
        assert caught.value.native == 0x80042301
        assert caught.value.context["call"] == call.value
        assert call.value not in caught.value.context["legal"]
        assert site.script.steps == before, call
        assert components.state is state


@pytest.mark.rule("VSS-21")
@pytest.mark.parametrize("state", list(RequestorState)[:-1], ids=lambda each: each.value)
def test_legal_calls_lead_where_the_table_says(make_site, state):
    """Each call that the table allows is not refused for its order, and ends in the table's state."""
    for call in RequestorCall:
        after = REQUESTOR_TABLE.get((call, state))
        if after is None or call is RequestorCall.RELEASE:
            continue
        site = make_site()
        components = drive(site, state)
        once = (
            RequestorCall.SET_CONTEXT,
            RequestorCall.GATHER_WRITER_METADATA,
            RequestorCall.ADD_COMPONENT,
            RequestorCall.INITIALIZE_FOR_RESTORE,
            RequestorCall.IMPORT_SNAPSHOTS,
            RequestorCall.BREAK_SNAPSHOT_SET,
        )
        needs_prepare = call is RequestorCall.DO_SNAPSHOT_SET and state is RequestorState.SET_OPEN
        if call in once or needs_prepare:
            continue
        calls_of(components, site)[call]()
        assert components.state is after, call


def test_rendered_tables():
    """The documentation's tables have a heading and a row per event, for every table."""
    for name in TABLE_NAMES:
        heading, *rows = table_rows(name)
        assert heading[0] == ""
        assert all(len(row) == len(heading) for row in rows)
    assert table_rows("provider")[1][1] == "start: PREPARING"
    with pytest.raises(UsageError):
        table_rows("nonsense")


@pytest.mark.rule("VSS-22")
def test_context_rules(site):
    """SetContext twice fails; VSS_CTX_ALL makes StartSnapshotSet fail; bad ones are refused."""
    components = BackupComponents(site.service)
    components.initialize_for_backup()
    for bad in (0x9 | 0x20000 | 0x40000, 0x2 | 0x800000, 0x1D, 0x3, 0x9 | 0x80000):
        with pytest.raises(FrskitError) as caught:
            components.set_context(bad)
        assert caught.value.native == 0x8004231B
    components.set_context(0xFFFFFFFF)
    with pytest.raises(BadState):
        components.set_context(0xFFFFFFFF)
    with pytest.raises(BadState):
        components.start_snapshot_set()


@pytest.mark.rule("VSS-23", "VSS-24")
def test_prerequisites(site):
    """Metadata is gathered once; PrepareForBackup needs it, the backup state and a set."""
    components = BackupComponents(site.service)
    components.initialize_for_backup()
    components.start_snapshot_set()
    components.add_to_snapshot_set("L:\\")
    with pytest.raises(BadState):
        components.prepare_for_backup()
    components.set_backup_state(BackupType.FULL)
    with pytest.raises(BadState):
        components.prepare_for_backup()
    with pytest.raises(BadState):
        components.do_snapshot_set()
    assert components.gather_writer_metadata() == 2
    with pytest.raises(BadState):
        components.gather_writer_metadata()
    components.prepare_for_backup()
    components.do_snapshot_set()


@pytest.mark.rule("VSS-25")
def test_component_identity(site):
    """The same component twice exists already; an unknown one is not found."""
    components = drive(site, RequestorState.CREATED)
    known = site.writers[1].metadata.components[0].id
    other = site.writers[0].metadata.components[1].id
    components.set_backup_succeeded(known, True)
    with pytest.raises(FrskitError) as caught:
        components.set_backup_succeeded(other, True)
    assert caught.value.native == 0x80042308
    again = drive(site, RequestorState.BACKUP)
    with pytest.raises(FrskitError) as caught:
        again.add_component(known)
    assert caught.value.native == 0x8004230D


@pytest.mark.rule("VSS-26")
def test_65th_volume(site):
    """The 65th volume is refused and leaves the set intact."""
    for number in range(65):
        site.production.mount(f"v{number}", f"C:\\m{number}\\", ("naa:logs", number, 1))
    site.array.write("naa:logs", b"x" * 100)
    components = drive(site, RequestorState.BACKUP)
    components.start_snapshot_set()
    for number in range(64):
        components.add_to_snapshot_set(f"C:\\m{number}\\")
    with pytest.raises(FrskitError) as caught:
        components.add_to_snapshot_set("C:\\m64\\")
    assert caught.value.native == 0x80042312
    components.prepare_for_backup()
    made = components.do_snapshot_set()
    assert len(made.shadows) == 64
    assert len(site.copies()) == 1


@pytest.mark.rule("VSS-27")
@pytest.mark.parametrize("name", ["L:", "", "X:\\", "L:\\data"])
def test_volume_names(site, name):
    """A volume is named by a mount point that ends in a separator."""
    components = drive(site, RequestorState.SET_OPEN)
    with pytest.raises(FrskitError) as caught:
        components.add_to_snapshot_set(name)
    assert caught.value.native == 0x80042308
    with pytest.raises(FrskitError) as caught:
        components.add_to_snapshot_set("l:/")
    assert caught.value.native == 0x8004230D


@pytest.mark.rule("VSS-41")
def test_component_handles(site):
    """A component handle is void after PrepareForBackup."""
    components = drive(site, RequestorState.SET_OPEN)
    handle = components.get_writer_components()[0]
    assert handle.component.id.name == "db0"
    components.prepare_for_backup()
    with pytest.raises(BadState):
        _ = handle.component


def test_strict_order_of_components(make_site):
    """In strict mode components have to be named before the set is started."""
    site = make_site(strict=True)
    components = BackupComponents(site.service)
    components.initialize_for_backup()
    components.gather_writer_metadata()
    components.start_snapshot_set()
    with pytest.raises(BadState):
        components.add_component(site.writers[0].metadata.components[0].id)
