"""Ids as people paste them, names of volumes, unknown values, and what writers learn of a set."""

from __future__ import annotations

import pytest
from attrs import evolve

from frskit.clock import Budget
from frskit.errors import (
    BadState,
    FreezeTimeout,
    ServiceError,
    TimedOut,
    UsageError,
    VolumeNotFound,
)
from frskit.model.components import BackupType, ComponentId, WriterSession, WriterStatus
from frskit.model.ids import CopyKey, SetId, canonical_guid
from frskit.model.shadows import RestoreRequest, ShadowDocuments
from frskit.testing.fakes.site import SmallSite
from frskit.vss import (
    BackupComponents,
    read_backup_components,
    read_writer_metadata,
    select_components,
    write_writer_metadata,
)

KEY = "0000000a-1111-4111-8111-11111111111b"
SPELLINGS = [KEY, KEY.upper(), "{" + KEY.upper() + "}", f" {{{KEY}}} "]


def made(site, *, transportable=True, key=KEY):
    """A set."""
    with site.service.session(site.request(key=key, transportable=transportable)) as session:
        return session.create(budget=site.budget())


@pytest.mark.rule("VSS-68")
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_set_is_deleted_and_broken_in_any_spelling_of_its_id(spelling):
    """A deletion that does nothing and says nothing would leave copies behind."""
    site = SmallSite()
    made(site, transportable=False)
    site.service.delete_set(SetId(spelling), budget=site.budget())
    assert site.copies() == []
    assert site.service.shadows(budget=site.budget()) == ()
    far = made(site, key="00000002-1111-4111-8111-111111111111")
    site.far.import_set(far.documents, budget=site.budget())
    site.far.break_set(SetId("{" + far.id.upper() + "}"), budget=site.budget())
    with pytest.raises(BadState):
        site.far.break_set(far.id, budget=site.budget())


@pytest.mark.rule("VSS-68")
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_key_in_any_spelling_makes_one_set(spelling):
    """The set's id is canonical, and the same GUID is not taken twice."""
    site = SmallSite()
    first = made(site, transportable=False, key=spelling)
    assert first.id == KEY
    assert [each.set_id for each in first.shadows] == [KEY, KEY]
    assert {each.key for each in first.shadows} == {KEY}
    with pytest.raises(ServiceError, match="exists already"):
        made(site, transportable=False)


@pytest.mark.rule("VSS-68")
def test_a_provider_is_found_in_any_spelling_and_zeros_ask_for_nobody():
    """As at AddToSnapshotSet."""
    site = SmallSite()
    known = site.provider.info.id
    for spelling in (known, known.upper(), "{" + known.upper() + "}", f"{0:08}-0000-0000-0000-{0:012}"):  # fmt: skip
        with BackupComponents(site.service) as backup:
            backup.initialize_for_backup()
            backup.set_backup_state(BackupType.FULL)
            backup.gather_writer_metadata()
            backup.start_snapshot_set()
            backup.add_to_snapshot_set("L:\\", provider_id=spelling)


@pytest.mark.rule("VSS-68")
def test_ids_in_values_are_canonical():
    """Whoever made them: equal things compare equal."""
    text = "{" + KEY.upper() + "}"
    assert ComponentId(writer_id=text, logical_path="", name="a").writer_id == KEY
    metadata = evolve(SmallSite().writers[0].metadata, writer_id=text, instance_id=text)
    assert (metadata.writer_id, metadata.instance_id) == (KEY, KEY)
    state = WriterStatus(writer_id=text, instance_id=text, name="", state=None)
    assert (state.writer_id, state.instance_id) == (KEY, KEY)
    assert canonical_guid("not one") == "not one"


@pytest.mark.rule("VSS-68")
@pytest.mark.parametrize("disabled", [True, False])
def test_a_writer_is_left_out_in_any_spelling_of_its_class_or_instance(disabled):
    """When metadata is gathered, and when components are selected."""
    site = SmallSite()
    metadata = site.writers[0].metadata
    for each in (metadata.writer_id, metadata.instance_id):
        pasted = "{" + each.upper() + "}"
        if disabled:
            with BackupComponents(site.service) as backup:
                backup.initialize_for_backup()
                backup.disable_writers([pasted])
                assert backup.gather_writer_metadata() == 1
        else:
            chosen = select_components(
                site.service.writers(budget=site.budget()),
                locate=lambda files: site.production.resolve(files.path).volume,
                exclude=[pasted],
            )
            assert [found.id.logical_path for found in chosen.explicit] == ["writer-2"]


def test_a_key_that_is_no_guid_is_refused_before_anything():
    """This service uses it as the set's id."""
    site = SmallSite()
    with pytest.raises(UsageError):
        site.service.session(evolve(site.request(), key=CopyKey("my copy")))
    assert site.script.steps == []


@pytest.mark.rule("VSS-27")
def test_a_volume_guid_path_names_a_volume():
    """One of the four documented forms; a path of another volume names none."""
    site = SmallSite()
    known = site.production._mounted["volume-logs"]
    site.production._mounted["volume-logs"] = evolve(
        known, id=KEY, mount_points=("L:\\", "C:\\mnt\\")
    )
    for name, fine in (
        ("\\\\?\\Volume{" + KEY.upper() + "}\\", True),
        ("c:/MNT/", True),
        ("\\\\?\\Volume{" + KEY + "}", False),
        ("\\\\?\\Volume{0000000a-1111-4111-8111-111111111110}\\", False),
        ("C:\\mnt", False),
        ("\\\\server\\share\\", False),
        ("", False),
    ):
        with BackupComponents(site.service) as backup:
            backup.initialize_for_backup()
            backup.set_backup_state(BackupType.FULL)
            backup.gather_writer_metadata()
            backup.start_snapshot_set()
            if fine:
                backup.add_to_snapshot_set(name)
                with pytest.raises(ServiceError, match="in the set already"):
                    backup.add_to_snapshot_set("L:\\")
            else:
                with pytest.raises(VolumeNotFound):
                    backup.add_to_snapshot_set(name)


@pytest.mark.rule("VSS-66")
def test_stamps_reach_the_writer_and_the_document():
    """Those of components that are in the backup, each to its own writer."""
    site = SmallSite()
    mine, other = (each.metadata.components[0].id for each in site.writers)
    stranger = ComponentId(writer_id=KEY, logical_path="", name="gone")
    stamps = {mine: "<stamp & one>", other: "two", stranger: "three"}
    with site.service.session(evolve(site.request(), previous_stamps=stamps)) as session:
        made = session.create(budget=site.budget())
    assert site.writers[0].sessions[0][1].previous_stamps == {mine: "<stamp & one>"}
    assert site.writers[1].sessions[0][1].previous_stamps == {other: "two"}
    document = read_backup_components(made.documents.backup_components)
    told = {each.id: each.previous_stamp for one in document.writers for each in one.components}
    assert {each: stamp for each, stamp in told.items() if stamp} == {
        mine: "<stamp & one>",
        other: "two",
    }


@pytest.mark.rule("EXC-15")
def test_a_writer_can_check_that_its_paths_are_in_the_set():
    """By the mount points of the set and of all other volumes; known from PrepareSnapshot on."""
    site = SmallSite()
    known = site.production._mounted["volume-mail"]
    site.production._mounted["volume-mail"] = evolve(known, mount_points=("M:\\", "L:\\mail\\"))
    with site.service.session(site.request("writer-1-0")) as session:
        session.create(budget=site.budget())
    heard = dict(site.writers[0].sessions)
    assert heard["prepare_backup"].mount_points == ()
    told = heard["prepare_snapshot"]
    assert told.key == session._request.key
    assert told.mount_points == ("L:\\",)
    assert told.covers("l:/DATA/x.edb")
    assert not told.covers("M:\\data\\x.edb")
    assert not told.covers("L:\\mail\\x.edb"), "another volume is mounted there"
    assert not told.covers("Q:\\x")


def test_posix_paths_are_covered_exactly():
    """Case counts there, and a longer name is not below a shorter one."""
    told = WriterSession(
        session_id=SetId("s"),
        backup_type=BackupType.FULL,
        components=(),
        mount_points=("/srv/a",),
        other_mount_points=("/", "/srv/a/b"),
    )
    fine = ["/srv/a", "/srv/a/x", "/srv/a/bc"]
    assert [told.covers(each) for each in fine] == [True] * 3
    assert [told.covers(each) for each in ("/srv/A/x", "/srv/ab", "/srv/a/b/c")] == [False] * 3


def test_a_writer_without_a_window_of_its_own_has_the_services():
    """60 s [VSS-42]; the document says nothing about it."""
    site = SmallSite()
    for writer in site.writers:
        writer.metadata = evolve(writer.metadata, freeze_timeout_s=None)
    text = write_writer_metadata(site.writers[0].metadata)
    assert read_writer_metadata(text).freeze_timeout_s is None
    site.script.on("writer-2.freeze", lambda: site.clock.advance(59.0))
    made(site)
    site.script.on("writer-2.freeze", lambda: site.clock.advance(60.0))
    with pytest.raises(FreezeTimeout):
        made(site, key="00000002-1111-4111-8111-111111111111")


@pytest.mark.parametrize("kind", [BackupType.LOG, BackupType.OTHER])
def test_types_that_this_service_cannot_make_are_refused_when_asked_for(kind):
    """Before anything is begun."""
    site = SmallSite()
    with pytest.raises(UsageError, match=kind.value):
        site.service.session(site.request(backup_type=kind))


@pytest.mark.parametrize(
    ("word", "heard"),
    [("log", "log"), ("other", "other"), ("copy", "copy"), ("undefined", "other")],
)
def test_a_restore_tells_the_writer_the_type_of_the_backup(word, heard):
    """A backup of the logs alone is not restored as a full one."""
    site = SmallSite()
    text = made(site).documents.backup_components
    text = text.replace(b'backupType="full"', f'backupType="{word}"'.encode())
    components = read_backup_components(text).explicit()
    documents = ShadowDocuments(backup_components=text)
    request = RestoreRequest(documents=documents, components=components)
    with site.service.restore_session(request):
        pass
    types = {
        each.backup_type.value
        for writer in site.writers
        for event, each in writer.sessions
        if event == "pre_restore"
    }
    assert types == {heard}


def test_listings_keep_to_their_budget():
    """A spent budget asks nobody; one that runs out stops after the writer that used it up."""
    site = SmallSite()
    spent = Budget.of(site.clock, 0.0)
    site.clock.advance(1.0)
    for call in (site.service.writers, site.service.writer_states, site.service.shadows):
        with pytest.raises(TimedOut):
            call(budget=spent)
    assert site.script.steps == []
    site.script.on("writer-1.identify", lambda: site.clock.advance(5.0))
    with pytest.raises(TimedOut):
        site.service.writers(budget=Budget.of(site.clock, 3.0))
    assert site.script.steps == ["writer-1.identify", "event.W Identify"]


def test_a_plan_keeps_to_its_budget_and_may_be_asked_for_again():
    """Slow writers do not make it longer; nothing was chosen yet."""
    site = SmallSite()
    site.script.on("writer-1.identify", lambda: site.clock.advance(5.0))
    with site.service.session(site.request()) as session:
        with pytest.raises(TimedOut):
            session.plan(budget=Budget.of(site.clock, 3.0))
        assert len(session.plan(budget=site.budget()).explicit) == 3
