"""Sessions: planning, completing, abandoning, restoring, and writers that change meanwhile."""

from __future__ import annotations

import attrs
import pytest

from frskit.errors import (
    BadState,
    DocumentError,
    FrskitError,
    NotFound,
    OutcomeUnknown,
    StorageGroupNotRecognized,
    TimedOut,
    VolumeNotSupported,
    WriterNotFound,
    WriterVeto,
)
from frskit.model.components import (
    BackupSchema,
    BackupType,
    ComponentId,
    WriterFailure,
    WriterState,
)
from frskit.model.shadows import RestoreRequest
from frskit.model.storage import CopyKind
from frskit.vss import read_backup_components
from frskit.vss.context_flags import Attribute
from frskit.vss.state_tables import WriterEvent
from frskit.vss.writers import veto_of

VETO = WriterVeto("no", native=WriterFailure.RETRYABLE.value)


def backup(site, outcomes=None, **options):
    """A whole backup; outcomes for every component unless given."""
    with site.service.session(site.request(**options)) as session:
        made = session.create(budget=site.budget())
        explicit = [each.id for each in session.plan(budget=site.budget()).explicit]
        wanted = dict.fromkeys(explicit, True) if outcomes is None else outcomes(explicit)
        return made, session.complete(wanted, budget=site.budget())


def test_plan(site):
    """A plan names components, volumes and LUNs, changes nothing, and stays the same."""
    with site.service.session(site.request("writer-1-1", "writer-2-0")) as session:
        plan = session.plan(budget=site.budget())
        assert [each.caption for each in plan.explicit] == ["writer-1-1", "writer-2-0"]
        assert plan.volumes == ("volume-mail",)
        assert plan.storages == ("naa:mail",)
        assert [each.name for each in plan.writers] == ["writer-1", "writer-2"]
        assert session.plan(budget=site.budget()) is plan
    assert [step for step in site.script.steps if step.startswith("array.")] == []


def test_the_provider_learns_context_and_devices(site):
    """What VSS tells a hardware provider: the context, and the devices of the originals [VSS 2.4]."""
    heard = []
    asked, begun = site.provider.are_luns_supported, site.provider.begin_prepare_snapshot

    def are_luns_supported(luns, kind, *, context):
        heard.append((context, [lun.device for lun in luns]))
        return asked(luns, kind, context=context)

    def begin_prepare_snapshot(set_id, shadow_id, luns, kind, *, context):
        heard.append((context, [lun.device for lun in luns]))
        begun(set_id, shadow_id, luns, kind, context=context)

    site.provider.are_luns_supported = are_luns_supported
    site.provider.begin_prepare_snapshot = begin_prepare_snapshot

    backup(site, kind=CopyKind.SNAPCLONE)

    wanted = Attribute.PERSISTENT | Attribute.NO_AUTO_RELEASE | Attribute.TRANSPORTABLE
    assert len(heard) >= 2
    assert {context for context, _ in heard} == {wanted | Attribute.PLEX}
    assert {device for _, devices in heard for device in devices} == {
        "/dev/naa:mail",
        "/dev/naa:logs",
    }


def test_plan_errors(make_site):
    """Unknown components, unsupported kinds, too many LUNs and missing writers fail the plan."""
    site = make_site()
    with pytest.raises(StorageGroupNotRecognized), site.service.session(site.request("x")) as s:
        s.plan(budget=site.budget())
    small = make_site(limit=1)
    with pytest.raises(VolumeNotSupported), small.service.session(small.request()) as s:
        s.plan(budget=small.budget())
    plain = make_site(kinds=[CopyKind.VSNAP])
    with pytest.raises(VolumeNotSupported), plain.service.session(plain.request()) as s:
        s.plan(budget=plain.budget())
    lonely = make_site()
    for writer in lonely.writers:
        lonely.service.unregister(writer)
    with pytest.raises(WriterNotFound), lonely.service.session(lonely.request()) as s:
        s.plan(budget=lonely.budget())
    for each in (site, small, plain, lonely):
        assert "array.stage_copies" not in each.script.steps


def test_volume_on_two_disks(site):
    """A volume with more than one extent cannot be copied, and the plan says so."""
    site.production.mount("volume-mail", "M:\\", ("naa:logs", 0, 1), ("naa:mail", 0, 1))
    with pytest.raises(VolumeNotSupported), site.service.session(site.request()) as session:
        session.plan(budget=site.budget())


@pytest.mark.parametrize(
    ("kind", "bit"),
    [
        (CopyKind.SNAPCLONE, Attribute.PLEX),
        (CopyKind.SNAPSHOT, Attribute.DIFFERENTIAL),
        (CopyKind.VSNAP, Attribute.DIFFERENTIAL),
        (None, Attribute(0)),
    ],
)
def test_kind_is_an_attribute(site, kind, bit):
    """The kind of copy appears as PLEX or DIFFERENTIAL in context and attributes."""
    with site.service.session(site.request(kind=kind)) as session:
        made = session.create(budget=site.budget())
    attributes = Attribute(made.shadows[0].attributes)
    assert attributes & (Attribute.PLEX | Attribute.DIFFERENTIAL) == bit
    assert Attribute.TRANSPORTABLE in attributes
    assert Attribute.PERSISTENT in attributes
    assert Attribute.NO_WRITERS not in attributes


@pytest.mark.rule("VSS-64", "VSS-65")
def test_outcomes(site):
    """Only an explicit success truncates; a failure or a missing verdict does not."""
    _, report = backup(site, lambda explicit: {explicit[0]: True, explicit[1]: False})
    assert report.completed
    assert site.writers[0].truncated == [site.writers[0].metadata.components[0].id]
    assert site.writers[1].truncated == []
    session = dict(site.writers[0].sessions)["backup_complete"]
    assert list(session.succeeded.values()) == [True, False]
    document = read_backup_components(report.documents.backup_components)
    outcomes = [each.succeeded for writer in document.writers for each in writer.components]
    assert outcomes == [True, False, False]


@pytest.mark.rule("VSS-64")
def test_abandoned_backups_truncate_nothing(site):
    """Leaving without complete sends Abort and BackupShutdown, and no BackupComplete."""
    with site.service.session(site.request()) as session:
        session.create(budget=site.budget())
    for writer in site.writers:
        assert writer.truncated == []
        assert site.script.of(writer.name)[-2:] == ["abort", "backup_shutdown"]
    with pytest.raises(BadState):
        session.complete({}, budget=site.budget())


@pytest.mark.rule("VSS-64")
def test_no_verdict_is_a_failure(site):
    """BackupComplete without SetBackupSucceeded tells the writers failure, whoever calls it."""
    with site.service.session(site.request()) as session:
        session.create(budget=site.budget())
        session.components.backup_complete()
    for writer in site.writers:
        assert writer.truncated == []
        assert set(dict(writer.sessions)["backup_complete"].succeeded.values()) == {False}


def test_documents_change_in_their_outcomes_only(site):
    """The final document is the one of the creation with outcomes spliced in."""
    made, report = backup(site)
    final = report.documents.backup_components
    assert final.replace(b' frskit:succeeded="yes"', b"") == made.documents.backup_components
    assert set(made.documents.writers) == {each.metadata.instance_id for each in site.writers}


@pytest.mark.rule("VSS-66")
def test_stamps_come_back(site):
    """What a writer gave as a stamp is given back at the next backup, unchanged."""
    made, _ = backup(site)
    stamps = {each.component: each.stamp for each in made.records}
    request = attrs.evolve(
        site.request(key="11111111-1111-4111-8111-111111111111"), previous_stamps=stamps
    )
    with site.service.session(request) as session:
        session.create(budget=site.budget())
    session = [each for event, each in site.writers[0].sessions if event == "prepare_backup"][1]
    assert session.previous_stamps == {
        key: value for key, value in stamps.items() if key.writer_id.endswith("1")
    }
    assert len(session.previous_stamps) == 2


def test_complete_needs_a_created_set(site):
    """Complete before create, twice, outside the with block, or for strangers, is refused."""
    session = site.service.session(site.request())
    with pytest.raises(BadState):
        session.plan(budget=site.budget())
    with session:
        with pytest.raises(BadState):
            session.complete({}, budget=site.budget())
        session.create(budget=site.budget())
        stranger = ComponentId(writer_id="x", logical_path="", name="y")
        with pytest.raises(NotFound):
            session.complete({stranger: True}, budget=site.budget())
        assert "writer-1.backup_complete" not in site.script.steps
        session.complete({}, budget=site.budget())
        with pytest.raises(BadState):
            session.complete({}, budget=site.budget())
    with pytest.raises(BadState):
        session.__enter__()


@pytest.mark.rule("VSS-40", "VSS-09")
def test_writer_that_fails_to_complete(site):
    """A failed BackupComplete is not an exception but an incomplete report."""
    site.script.on("writer-1.backup_complete", VETO)
    _, report = backup(site)
    assert not report.completed
    assert report.writers[0].state is WriterState.FAILED_AT_BACKUP_COMPLETE
    assert report.writers[1].state is WriterState.STABLE
    assert site.script.of("writer-1")[-1] == "backup_shutdown"


@pytest.mark.rule("HAZ-20")
def test_unclear_completion(site):
    """If a writer does not say whether it got the verdict the outcome is unknown."""
    site.script.on("writer-1.backup_complete!", TimedOut("late"))
    with pytest.raises(OutcomeUnknown) as caught:
        backup(site)
    assert caught.value.key == site.request().key
    assert site.script.of("writer-2").count("backup_complete") == 1


@pytest.mark.rule("VSS-40")
def test_veto_at_prepare_backup(site):
    """A veto at PrepareForBackup fails the session before anything is staged."""
    site.script.on("writer-2.prepare_backup", VETO)
    with pytest.raises(WriterVeto), site.service.session(site.request()) as session:
        session.create(budget=site.budget())
    assert "array.stage_copies" not in site.script.steps
    assert site.script.of("writer-2")[-1] == "backup_shutdown"


def test_requestor_may_ignore_a_veto(site):
    """The fine-grained object may go on without a writer that refused; it hears nothing more."""
    site.script.on("writer-2.prepare_backup", VETO)
    with site.service.session(site.request()) as session:
        session.plan(budget=site.budget())
        components = session.components
        components.start_snapshot_set()
        components.add_to_snapshot_set("L:\\")
        components.add_to_snapshot_set("M:\\")
        components.prepare_for_backup()
        components.do_snapshot_set()
        states = {each.name: each.state for each in components.gather_writer_status()}
    assert states["writer-2"] is WriterState.FAILED_AT_PREPARE_BACKUP
    assert "freeze" not in site.script.of("writer-2")


@pytest.mark.rule("R-8")
def test_failed_state_lasts_until_the_next_session(site):
    """A writer's failure stays visible after the session and goes with the next one."""
    site.script.on("writer-1.freeze", VETO)
    with pytest.raises(WriterVeto), site.service.session(site.request()) as session:
        session.create(budget=site.budget())
    status = site.service.writer_states(budget=site.budget())[0]
    assert status.state is WriterState.FAILED_AT_FREEZE
    assert (status.failure, status.reason) == (WriterFailure.RETRYABLE.value, "no")
    backup(site, key="11111111-1111-4111-8111-111111111111")
    status = site.service.writer_states(budget=site.budget())[0]
    assert (status.state, status.failure, status.reason) == (WriterState.STABLE, 0, "")


@pytest.mark.rule("VSS-39")
def test_writer_that_does_not_identify_itself(site):
    """It is absent from metadata and status, and the backup goes on without it."""
    site.script.on("writer-2.identify", RuntimeError("down"))
    assert [each.name for each in site.service.writers(budget=site.budget())] == ["writer-1"]
    assert [each.name for each in site.service.writer_states(budget=site.budget())] == ["writer-1"]
    odd = frozenset({BackupSchema.EXCLUSIVE_INCREMENTAL_DIFFERENTIAL})
    site.writers[0].metadata = attrs.evolve(site.writers[0].metadata, schema=odd)
    assert [each.name for each in site.service.writers(budget=site.budget())] == ["writer-2"]


@pytest.mark.rule("VSS-38")
@pytest.mark.parametrize(
    ("error", "code"),
    [
        (VETO, 0x800423F3),
        (WriterVeto("x", native=0x800423F0), 0x800423F0),
        (WriterVeto("x", native=-2403), 0x800423F4),
        (WriterVeto("x", native=0x80042301, retryable=True), 0x800423F3),
        (WriterVeto("x"), 0x800423F4),
        (RuntimeError("x"), 0x800423F4),
        (TimedOut("x"), 0x800423F2),
    ],
)
def test_only_five_codes(error, code):
    """Whatever a handler raises becomes one of the five writer codes."""
    veto = veto_of("w", WriterEvent.PREPARE_FOR_SNAPSHOT, error)
    assert veto.native == code
    assert isinstance(veto, WriterVeto)
    assert veto.__cause__ is error
    assert veto.retryable is (code in (0x800423F2, 0x800423F3))


@pytest.mark.rule("HAZ-12")
def test_late_shutdown_of_an_older_session(site):
    """BackupShutdown of session A after PrepareForBackup of B does not touch B's state."""
    first = site.service.session(site.request())
    first.__enter__()
    first.create(budget=site.budget())
    second = site.service.session(site.request(key="11111111-1111-4111-8111-111111111111"))
    second.__enter__()
    made = []

    def end_first():
        first.abandon()
        made.append(site.service.writer_states(budget=site.budget())[0].state)

    site.script.on("writer-2.prepare_snapshot", end_first)
    second.create(budget=site.budget())
    assert made == [WriterState.WAITING_FOR_FREEZE]
    report = second.complete({}, budget=site.budget())
    assert report.completed
    second.abandon()
    shutdowns = [
        each.session_id for event, each in site.writers[0].sessions if event == "backup_shutdown"
    ]
    assert shutdowns == [site.request().key, "11111111-1111-4111-8111-111111111111"]


@pytest.mark.rule("HAZ-12", "VSS-64")
@pytest.mark.parametrize("how", ["restarted", "silent", "gone"])
def test_writer_that_restarted_gets_no_verdict(site, how):
    """A new instance of a writer never hears BackupComplete of its predecessor's session."""
    with site.service.session(site.request()) as session:
        session.create(budget=site.budget())
        writer = site.writers[0]
        if how == "restarted":
            other = "00000000-0000-4000-9000-00000000ffff"
            writer.metadata = attrs.evolve(writer.metadata, instance_id=other)
        elif how == "silent":
            site.script.on("writer-1.identify", RuntimeError("down"))
        else:
            site.service.unregister(writer)
        outcomes = {each.id: True for each in session.plan(budget=site.budget()).explicit}
        report = session.complete(outcomes, budget=site.budget())
    assert not report.completed
    assert report.writers[0].state is WriterState.UNKNOWN
    assert report.writers[0].instance_id == "00000000-0000-4000-9000-000000000001"
    assert writer.truncated == []
    assert len(site.writers[1].truncated) == 1
    assert "C CheckWriterInstance" in site.sink.steps()


def test_registration(site):
    """Writers and providers register once; unregistering a stranger is fine."""
    with pytest.raises(BadState) as caught:
        site.service.register_writer(site.writers[0])
    assert caught.value.native == 0x8004231A
    with pytest.raises(BadState) as caught:
        site.service.register_provider(site.provider)
    assert caught.value.native == 0x80042303
    site.service.unregister(site.writers[0])
    site.service.unregister(site.writers[0])
    site.service.unregister(site.provider)
    site.service.unregister(site.provider)
    assert "P OnUnload" in site.sink.steps()
    site.service.register_provider(site.provider)


def restore_request(site, **options):
    """A restore of everything that a fresh backup has."""
    made, _ = backup(site)
    explicit = read_backup_components(made.documents.backup_components).explicit()
    site.script.steps.clear()
    return RestoreRequest(documents=made.documents, components=explicit, **options)


@pytest.mark.rule("VSS-18")
def test_restore(site):
    """PreRestore precedes and PostRestore follows the work, for every selected writer."""
    request = restore_request(site, additional_restores=True)
    with site.service.restore_session(request):
        site.script.hit("work.done")
    steps = [each for each in site.script.steps if not each.startswith("event.")]
    assert [each for each in steps if "identify" not in each] == [
        "writer-1.pre_restore",
        "writer-2.pre_restore",
        "work.done",
        "writer-1.post_restore",
        "writer-2.post_restore",
    ]
    session = dict(site.writers[0].sessions)["post_restore"]
    assert session.additional_restores
    assert set(session.succeeded.values()) == {True}
    assert len(session.components) == 2


@pytest.mark.rule("VSS-18")
def test_failed_restore_still_sends_post_restore(site):
    """After an error in the work writers hear PostRestore with failure; the error comes out."""
    request = restore_request(site)
    site.script.on("writer-2.post_restore", VETO)
    with pytest.raises(ZeroDivisionError), site.service.restore_session(request):
        _ = 1 // 0
    assert set(dict(site.writers[0].sessions)["post_restore"].succeeded.values()) == {False}
    assert "writer-2.post_restore" in site.script.steps


@pytest.mark.rule("VSS-18")
def test_refused_restore(site):
    """A refusal at PreRestore stops the restore; who had agreed gets PostRestore, the refuser not."""
    request = restore_request(site)
    site.script.on("writer-2.pre_restore", VETO)
    with pytest.raises(WriterVeto), site.service.restore_session(request):
        pytest.fail("the work must not begin")
    assert site.script.of("writer-1")[-1] == "post_restore"
    assert "post_restore" not in site.script.of("writer-2")
    assert (
        site.service.writer_states(budget=site.budget())[1].state
        is WriterState.FAILED_AT_PRE_RESTORE
    )


def test_post_restore_veto_comes_out(site):
    """If only PostRestore fails, that is the error of the session; everybody was told."""
    request = restore_request(site)
    site.script.on("writer-1.post_restore", VETO)
    with pytest.raises(WriterVeto), site.service.restore_session(request):
        pass
    assert site.script.of("writer-2")[-1] == "post_restore"


def test_restore_without_its_writer(site):
    """The writer of a component has to run; strangers are not in the document."""
    request = restore_request(site)
    site.service.unregister(site.writers[1])
    with pytest.raises(WriterNotFound), site.service.restore_session(request):
        pass
    assert "writer-1.pre_restore" not in site.script.steps
    stranger = ComponentId(writer_id="x", logical_path="", name="y")
    with (
        pytest.raises(NotFound),
        site.service.restore_session(attrs.evolve(request, components=(stranger,))),
    ):
        pass
    broken = attrs.evolve(request.documents, backup_components=b"<x")
    with (
        pytest.raises(DocumentError),
        site.service.restore_session(attrs.evolve(request, documents=broken)),
    ):
        pass


def test_capabilities(site):
    """The engine can report failure per component and asks for every type of its own."""
    capabilities = site.service.capabilities
    assert capabilities.per_component_outcome
    assert capabilities.backup_types == frozenset(BackupType) - {BackupType.LOG, BackupType.OTHER}
    assert capabilities.transportable


def test_key_is_used_once(site):
    """A set id that is on record cannot be used for another set."""
    with site.service.session(site.request(transportable=False)) as session:
        session.create(budget=site.budget())
    with pytest.raises(FrskitError) as caught, site.service.session(site.request()) as session:
        session.create(budget=site.budget())
    assert caught.value.native == 0x8004230D
    assert len(site.copies()) == 2


def test_a_session_that_cannot_begin_lets_go(site, monkeypatch):
    """The requestor object is released if its preparation fails, and the session is over."""
    from frskit.vss.requestor.backup_components import BackupComponents
    from frskit.vss.state_tables import RequestorState

    made = []
    real = BackupComponents.set_backup_state

    def fail(self, *args):
        made.append(self)
        raise BadState("no")

    monkeypatch.setattr(BackupComponents, "set_backup_state", fail)
    session = site.service.session(site.request("writer-1-1"))
    with pytest.raises(BadState, match="no"), session:
        pass
    assert made[0].state is RequestorState.RELEASED
    with pytest.raises(BadState, match="over"):
        session.plan(budget=site.budget())
    monkeypatch.setattr(BackupComponents, "set_backup_state", real)
    assert backup(site)[1].completed
