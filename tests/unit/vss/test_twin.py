"""Two instances of one writer class on one server: each hears of its own components only."""

from __future__ import annotations

import pytest
from attrs import evolve

from frskit.errors import StorageGroupNotRecognized, UsageError, WriterNotFound
from frskit.model.components import BackupType, ComponentId
from frskit.model.shadows import RestoreRequest, ShadowDocuments
from frskit.testing.fakes.parties import SmallWriter
from frskit.testing.fakes.site import SmallSite
from frskit.vss import (
    BackupComponents,
    read_backup_components,
    read_writer_metadata,
    with_outcomes,
    write_writer_metadata,
)
from frskit.vss.context_flags import CTX_APP_ROLLBACK, Attribute


def instance(writer, name, *, run, only=None):
    """Give a writer's instance a name, and the GUID of a run."""
    said = writer.metadata
    components = tuple(
        evolve(each, id=evolve(each.id, instance=name)) for each in said.components[:only]
    )
    writer.metadata = evolve(
        evolve(said, components=()), instance=name, instance_id=run, components=()
    )
    writer.metadata = evolve(writer.metadata, components=components)


A = "00000000-0000-4000-9000-00000000000a"
B = "00000000-0000-4000-9000-00000000000b"


def twins(first="A", second="B"):
    """A site where `writer-1` and `writer-1b` are instances of one class with the same components."""
    site = SmallSite()
    twin = SmallWriter(site.script, "writer-1", ["L:\\data2"], number=1)
    instance(site.writers[0], first, run=A)
    instance(twin, second, run=B)
    twin.name = "writer-1b"
    site.service.register_writer(twin)
    site.writers.append(twin)
    return site


def events(writer):
    """What a writer heard."""
    return [event for event, _ in writer.sessions]


def test_each_instance_is_told_of_its_own_outcome():
    """One succeeded and one failed: only the first truncates, and the document says which."""
    site = twins()
    one, two = site.writers[0], site.writers[2]
    good, bad = one.metadata.components[0].id, two.metadata.components[0].id
    assert good != bad
    assert evolve(good, instance="B") == bad
    with site.service.session(site.request()) as session:
        made = session.create(budget=site.budget())
        report = session.complete({good: True, bad: False}, budget=site.budget())
    assert (one.truncated, two.truncated) == ([good], [])
    document = read_backup_components(report.documents.backup_components)
    said = {each.id: each.succeeded for writer in document.writers for each in writer.components}
    assert (said[good], said[bad]) == (True, False)
    assert {each.instance for each in document.writers if each.writer_id == good.writer_id} == {
        "A",
        "B",
    }
    assert {each.component for each in made.records} >= {good, bad}


def test_an_instance_that_nobody_asked_for_hears_nothing():
    """But for the word that a backup begins, of which nothing is its own, and ends [VSS-17]."""
    site = twins()
    cid = site.writers[0].metadata.components[0].id
    with BackupComponents(site.service) as backup:
        backup.initialize_for_backup()
        backup.set_context(CTX_APP_ROLLBACK | Attribute.TRANSPORTABLE)
        backup.set_backup_state(BackupType.FULL)
        backup.gather_writer_metadata()
        backup.add_component(cid)
        backup.start_snapshot_set()
        backup.add_to_snapshot_set("L:\\")
        backup.prepare_for_backup()
        backup.do_snapshot_set()
        backup.set_backup_succeeded(cid, succeeded=True)
        backup.backup_complete()
    assert site.writers[0].truncated == [cid]
    assert events(site.writers[2]) == ["prepare_backup", "backup_shutdown"]
    assert site.writers[2].sessions[0][1].components == ()
    assert site.writers[2].truncated == []


def test_a_name_that_fits_two_instances_is_refused_with_both():
    """Nobody can know which one was meant, unless the name says so."""
    site = twins()
    with (
        pytest.raises(StorageGroupNotRecognized) as caught,
        site.service.session(site.request("db0")) as session,
    ):
        session.plan(budget=site.budget())
    assert "A:writer-1\\db0" in str(caught.value)
    assert "B:writer-1\\db0" in str(caught.value)
    with site.service.session(site.request("b:DB0")) as session:
        (chosen,) = session.plan(budget=site.budget()).explicit
    assert chosen.id.instance == "B"


@pytest.mark.parametrize("only", ["", "A"])
def test_a_name_that_fits_a_nameless_instance_too_is_refused(only):
    """One instance with a name and one without, or two without."""
    site = twins(only, "")
    with (
        pytest.raises(StorageGroupNotRecognized) as caught,
        site.service.session(site.request("db0")) as session,
    ):
        session.plan(budget=site.budget())
    assert A in str(caught.value)
    assert B in str(caught.value)


def test_components_of_nameless_twins_are_left_out_by_name_of_both():
    """Asked for everything, a backup has what can be told apart, and says what it has not."""
    site = twins("", "")
    with site.service.session(site.request()) as session:
        plan = session.plan(budget=site.budget())
    assert [each.id.name for each in plan.explicit] == ["db1", "db0"]
    (reason,) = {each.reason for each in plan.excluded}
    assert A in reason
    assert B in reason
    with BackupComponents(site.service) as backup:
        backup.initialize_for_backup()
        backup.set_backup_state(BackupType.FULL)
        backup.gather_writer_metadata()
        with pytest.raises(UsageError, match=B):
            backup.add_component(site.writers[0].metadata.components[0].id)


def test_a_restore_reaches_the_instance_that_was_copied():
    """By the name that stays; the GUID of the run may be another by then."""
    site = twins()
    cid = site.writers[2].metadata.components[0].id
    with site.service.session(site.request("B:db0")) as session:
        made = session.create(budget=site.budget())
    site.writers[2].metadata = evolve(site.writers[2].metadata, instance_id=site.ids.guid())
    request = RestoreRequest(documents=made.documents, components=(cid,))
    with site.service.restore_session(request):
        pass
    assert events(site.writers[2])[-2:] == ["pre_restore", "post_restore"]
    assert "pre_restore" not in events(site.writers[0])
    site.service.unregister(site.writers[2])
    with pytest.raises(WriterNotFound), site.service.restore_session(request):
        pass


def test_a_backup_from_before_the_instance_had_a_name_can_be_restored():
    """There is one instance only, so it is the one."""
    site = SmallSite()
    cid = site.writers[0].metadata.components[0].id
    with site.service.session(site.request()) as session:
        made = session.create(budget=site.budget())
    instance(site.writers[0], "A", run=A)
    with site.service.restore_session(RestoreRequest(documents=made.documents, components=(cid,))):
        pass
    assert events(site.writers[0])[-2:] == ["pre_restore", "post_restore"]


def test_a_restart_ends_the_session_of_the_instance_that_had_it():
    """The other one knows nothing of it."""
    site = twins()
    session = site.service.session(site.request("B:db0"))
    session.__enter__()
    session.create(budget=site.budget())
    for writer in site.writers:
        writer.sessions.clear()
    assert site.coordinator().recover(budget=site.budget()) == ()
    assert events(site.writers[2]) == ["abort", "backup_shutdown"]
    assert events(site.writers[0]) == []


def test_a_component_of_one_instance_is_above_none_of_another():
    """Their trees are apart, however alike."""
    top = ComponentId(writer_id=CLASS, logical_path="", name="a", instance="A")
    below = evolve(top, logical_path="a", name="b")
    assert top.is_ancestor_of(below)
    assert not top.is_ancestor_of(evolve(below, instance="B"))


def test_a_component_of_another_instance_than_its_writer_is_refused():
    """The slip is found where it is made."""
    said = SmallSite().writers[0].metadata
    with pytest.raises(UsageError, match="another instance"):
        evolve(said, instance="A")


def test_the_instance_survives_the_writers_document():
    """In the public attribute [VSS 5.1]."""
    writer = SmallSite().writers[0]
    instance(writer, "SQL 1", run=A)
    text = write_writer_metadata(writer.metadata)
    assert b'instanceName="SQL 1"' in text
    assert read_writer_metadata(text) == writer.metadata


CLASS = "d61d61c8-d73a-4eee-8cdd-f6f9786b7124"
RUNS = tuple(f"{digit}bddd48e-5052-49db-9b07-b96f96727e6b" for digit in "12")
FOREIGN = (
    '<BACKUP_COMPONENTS xmlns="x-schema:#VssComponentMetadata" version="1.2" backupType="full" '
    'snapshotSetId="4ad2e8b1-faf2-4aca-a010-2c3f939cef62">'
    + "".join(
        f'<WRITER_COMPONENTS instanceId="{run}" writerId="{CLASS}" backupSchema="0">'
        '<COMPONENT componentName="a" componentType="filegroup"/></WRITER_COMPONENTS>'
        for run in RUNS
    )
    + "</BACKUP_COMPONENTS>"
).encode()


def test_a_foreign_document_with_two_instances_keeps_their_outcomes_apart():
    """Without names of their own they are known by their GUIDs."""
    first, second = read_backup_components(FOREIGN).explicit()
    assert (first.instance, second.instance) == RUNS
    done = with_outcomes(FOREIGN, {first: True, second: False})
    assert [
        [each.succeeded for each in writer.components]
        for writer in read_backup_components(done).writers
    ] == [[True], [False]]


def test_a_foreign_document_with_one_instance_needs_no_guid():
    """A component of it has the same id at every run."""
    alone = FOREIGN[: FOREIGN.index(b"</WRITER_COMPONENTS>")] + b"</WRITER_COMPONENTS></BACKUP_COMPONENTS>"  # fmt: skip
    (only,) = read_backup_components(alone).explicit()
    assert only == ComponentId(writer_id=CLASS, logical_path="", name="a")
    assert ShadowDocuments(backup_components=alone).opaque == {}
