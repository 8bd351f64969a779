"""The canonical trace: every row, in order, and nothing between Freeze and Thaw."""

from __future__ import annotations

import attrs
import pytest

from frskit.model.components import WriterLevel, WriterState
from frskit.model.storage import CopyKind
from frskit.model.volumes import DiskFlags
from frskit.vss import BackupComponents

CANONICAL = """
R CreateVssBackupComponents
R InitializeForBackup
R SetContext
R SetBackupState
R GatherWriterMetadata
W Identify
W Identify
P AreLunsSupported
P AreLunsSupported
P AreLunsSupported
R AddComponent
R AddComponent
R AddComponent
R StartSnapshotSet
P AreLunsSupported
R AddToSnapshotSet
P BeginPrepareSnapshot
P AreLunsSupported
R AddToSnapshotSet
P BeginPrepareSnapshot
R PrepareForBackup
W PrepareForBackup
W PrepareForBackup
R DoSnapshotSet
P EndPrepareSnapshots
C MarkOriginalLuns
W PrepareForSnapshot
W PrepareForSnapshot
W Freeze
W Freeze
P PreCommitSnapshots
K HoldWrites
P CommitSnapshots
K ReleaseWrites
P PostCommitSnapshots
W Thaw
W Thaw
C ClearOriginalLuns
P GetTargetLuns
P PreFinalCommitSnapshots
W PostSnapshot
W PostSnapshot
P PostFinalCommitSnapshots
C WriteDocuments
R GatherWriterStatus
R SaveAsXML
""".strip().splitlines()

END = """
R SetBackupSucceeded
R SetBackupSucceeded
R SetBackupSucceeded
R BackupComplete
W BackupComplete
W BackupComplete
R GatherWriterStatus
R Release
W BackupShutdown
W BackupShutdown
""".strip().splitlines()


@pytest.mark.rule(
    "VSS-01", "VSS-02", "VSS-03", "VSS-04", "VSS-05", "VSS-06", "VSS-08", "VSS-12", "VSS-15"
)
def test_canonical_trace(site):
    """A whole backup gives the rows of the canonical trace in exactly their order."""
    with site.service.session(site.request()) as session:
        created = session.create(budget=site.budget())
        assert site.sink.steps() == CANONICAL
        outcomes = {each.id: True for each in session.plan(budget=site.budget()).explicit}
        report = session.complete(outcomes, budget=site.budget())
    assert site.sink.steps() == CANONICAL + END
    assert report.completed
    assert all(row.outcome == "" for row in site.sink.rows)
    assert [row.set_id for row in site.sink.rows if row.step == "Freeze"] == [created.id] * 2
    assert site.unrest() == []


@pytest.mark.rule("VSS-03")
def test_levels(site):
    """Freeze goes by level, not by registration; thaw goes back the same way."""
    one, two = site.writers
    one.metadata, two.metadata = (
        _level(one, WriterLevel.SYSTEM),
        _level(two, WriterLevel.FRONT_END),
    )
    with site.service.session(site.request()) as session:
        session.create(budget=site.budget())
    rows = [(row.step, row.subject) for row in site.sink.rows if row.step in ("Freeze", "Thaw")]
    assert rows == [
        ("Freeze", "writer-2"),
        ("Freeze", "writer-1"),
        ("Thaw", "writer-1"),
        ("Thaw", "writer-2"),
    ]


def _level(writer, level):
    return attrs.evolve(writer.metadata, level=level)


@pytest.mark.rule("HAZ-09", "HAZ-19")
def test_nothing_of_ours_between_freeze_and_thaw(site):
    """No subscriber is called and no record is written from the first Freeze to the last Thaw."""
    writes = []

    class Memory(dict):
        def __setitem__(self, key, value):
            writes.append(len(site.script.steps))
            super().__setitem__(key, value)

    site.memory = Memory()
    service = site.coordinator()
    with service.session(site.request()) as session:
        session.create(budget=site.budget())
    steps = site.script.steps
    first, last = steps.index("writer-1.freeze"), steps.index("writer-1.thaw")
    inside = steps[first : last + 1]
    assert [step for step in inside if step.startswith("event.")] == []
    assert inside == [
        "writer-1.freeze",
        "writer-2.freeze",
        "evs1.hold",
        "array.commit_copies",
        "evs1.release",
        "writer-2.thaw",
        "writer-1.thaw",
    ]
    assert writes
    assert not [place for place in writes if first < place <= last]
    assert [place for place in writes if place <= first]


def test_rows_carry_their_own_time(site):
    """Rows that were kept back tell when they happened, not when they were handed on."""
    site.script.on("array.commit_copies", lambda: site.clock.advance(3.0))
    with site.service.session(site.request()) as session:
        created = session.create(budget=site.budget())
    at = {row.step: row.at for row in site.sink.rows}
    assert (at["CommitSnapshots"] - at["HoldWrites"]).total_seconds() == 3.0
    assert created.hold_s == 3.0
    assert created.freeze_s == 3.0
    assert created.created_at == at["CommitSnapshots"]


@pytest.mark.rule("VSS-45")
def test_slow_staging_is_outside_the_windows(site):
    """EndPrepareSnapshots may take an hour without violating any window."""
    site.script.on("array.stage_copies", lambda: site.clock.advance(3600.0))
    with site.service.session(site.request()) as session:
        assert session.create(budget=site.budget()).freeze_s == 0.0


def test_copies_carry_the_flags_and_originals_lose_them(site):
    """Copies are hidden and read-only shadow copies; the originals have the flags they had."""
    odd = DiskFlags(no_drive_letter=True)
    site.production.set_flags(["naa:logs"], odd)
    with site.service.session(site.request()) as session:
        session.create(budget=site.budget())
    flags = {each: lun.flags for each, lun in site.array.luns.items()}
    marked = DiskFlags(hidden=True, read_only=True, no_drive_letter=True, shadow_copy=True)
    assert flags == {
        "naa:logs": odd,
        "naa:mail": DiskFlags(),
        "naa:copy-1": marked,
        "naa:copy-2": marked,
    }


@pytest.mark.rule("VSS-17")
def test_component_mode(site):
    """A writer without explicit components hears PrepareForBackup, and no more than the end."""
    with site.service.session(site.request("writer-2-0")) as session:
        session.create(budget=site.budget())
        session.complete({}, budget=site.budget())
    heard = [each for each in site.script.of("writer-1") if each != "identify"]
    assert heard == ["prepare_backup", "backup_shutdown"]
    assert "freeze" in site.script.of("writer-2")


@pytest.mark.rule("VSS-16")
def test_contexts_without_writers(site):
    """In a NO_WRITERS context the set is created and no writer hears of it."""
    components = BackupComponents(site.service)
    components.initialize_for_backup()
    components.set_context(0x19 | 0x20)
    components.start_snapshot_set()
    components.add_to_snapshot_set("L:\\")
    made = components.do_snapshot_set()
    components.release()
    assert len(made.shadows) == 1
    assert site.script.of("writer-1") == site.script.of("writer-2") == []


@pytest.mark.rule("VSS-11", "HAZ-12")
def test_identify_in_the_middle_of_freeze(site):
    """Identify while a writer is frozen is answered and changes no state."""
    seen = []

    def look():
        seen.extend(site.service.writers(budget=site.budget()))
        seen.append(site.service.writer_states(budget=site.budget())[0].state)

    site.script.on("array.commit_copies", look)
    with site.service.session(site.request()) as session:
        session.create(budget=site.budget())
    assert [each.name for each in seen[:2]] == ["writer-1", "writer-2"]
    assert seen[2] is WriterState.WAITING_FOR_THAW
    states = [each.state for each in site.service.writer_states(budget=site.budget())]
    assert states == [WriterState.STABLE] * 2


def test_provider_default_kind(site):
    """Without a wish the provider makes snapclones."""
    with site.service.session(site.request(kind=None)) as session:
        session.create(budget=site.budget())
    kinds = {lun.copy.kind for lun in site.array.luns.values() if lun.copy}
    assert kinds == {CopyKind.SNAPCLONE}
