"""Import, break, delete: life after creation, on two servers."""

from __future__ import annotations

import copy

import attrs
import pytest

from frskit.errors import (
    BadState,
    Cancelled,
    CatalogError,
    DocumentError,
    FrskitError,
    HasDependents,
    ImportFailed,
    ProviderNotRegistered,
    StorageNotFound,
)
from frskit.model.shadows import LunInformation, ShadowDocuments
from frskit.model.volumes import DiskFlags
from frskit.vss import ArrayProvider, BackupComponents, Coordinator, read_backup_components
from frskit.vss.context_flags import Attribute
from frskit.vss.requestor import import_break_delete


def create(site, **options):
    """A created set and its documents; the session is over."""
    with site.service.session(site.request(**options)) as session:
        return session.create(budget=site.budget())


@pytest.mark.rule("VSS-13", "VSS-14", "VSS-47", "VSS-51", "VSS-52")
def test_import_and_break(site):
    """A set is imported where the document goes, once, hidden and read-only; break keeps the data."""
    made = create(site)
    assert "P LocateLuns" not in site.sink.steps()
    assert site.service.shadows(budget=site.budget()) == ()
    imported = site.far.import_set(made.documents, budget=site.budget())
    assert [each.storage for each in imported.shadows] == [each.storage for each in made.shadows]
    assert [each.volume for each in imported.shadows] == ["volume-logs", "volume-mail"]
    for shadow in imported.shadows:
        assert shadow.attributes & Attribute.IMPORTED
        assert shadow.attributes & Attribute.TRANSPORTABLE
        assert site.array.luns[shadow.storage].flags == DiskFlags(
            hidden=True, read_only=True, no_drive_letter=True, shadow_copy=True
        )
        (shown,) = site.array.presentations(shadow.storage)
        assert (shown.host, shown.read_only) == ("frs1", True)
    assert site.far.shadows(budget=site.budget()) == imported.shadows
    site.far.break_set(made.id, budget=site.budget())
    assert site.far.shadows(budget=site.budget()) == ()
    assert [site.array.read(each) for each in site.copies()] == [b"logs", b"mail"]
    site.far.delete_set(made.id, budget=site.budget())
    assert len(site.copies()) == 2
    assert "P OnLunEmpty" not in site.sink.steps()
    with pytest.raises(BadState):
        site.far.break_set(made.id, budget=site.budget())


@pytest.mark.rule("VSS-47")
def test_document_of_a_transportable_set(site):
    """The document has id, volume, source and target records and extent of every shadow copy."""
    made = create(site)
    document = read_backup_components(made.documents.backup_components)
    assert document.set_id == made.id
    assert [each.id for each in document.shadows] == [each.id for each in made.shadows]
    for record, shadow in zip(document.shadows, made.shadows, strict=True):
        assert (record.source.storage, record.target.storage) == (shadow.source, shadow.storage)
        assert record.source.signature == f"signature-{shadow.source}"
        assert record.target.signature == ""
        assert record.target.version == 1
        assert (record.offset_bytes, record.length_bytes) == (0, 1)
        assert record.volume == shadow.volume
    stamps = [each.stamp for writer in document.writers for each in writer.components]
    assert stamps == ["stamp of db0", "stamp of db1", "stamp of db0"]


@pytest.mark.rule("VSS-48")
def test_second_import_fails(site):
    """The same set cannot be imported twice, neither before nor after the break."""
    made = create(site)
    site.far.import_set(made.documents, budget=site.budget())
    for _ in range(2):
        with pytest.raises(ImportFailed) as caught:
            site.far.import_set(made.documents, budget=site.budget())
        assert caught.value.context["presented"] == []
        if site.far.shadows(budget=site.budget()):
            site.far.break_set(made.id, budget=site.budget())


@pytest.mark.rule("VSS-48", "HAZ-02")
@pytest.mark.parametrize("broken", [False, True])
def test_a_set_that_one_server_has_is_imported_by_no_other(site, broken):
    """Two servers would work on disks of one identity; the first keeps what it has."""
    made = create(site)
    imported = site.far.import_set(made.documents, budget=site.budget())
    if broken:
        site.far.break_set(made.id, budget=site.budget())
    shown = site.array.presentations()
    with pytest.raises(ImportFailed, match="did not arrive") as caught:
        site.service.import_set(made.documents, budget=site.budget())
    assert "frs1 sees" in caught.value.context["reason"]
    assert caught.value.context["presented"] == []
    assert site.array.presentations() == shown
    assert len(imported.shadows) == 2


@pytest.mark.rule("VSS-48")
def test_a_service_that_lost_its_memory_does_not_import_again(site):
    """The server has the disks already; nothing is presented, nothing is to be hidden.

    What nobody can see leaves no trace: a set that was imported and hidden again can be imported
    once more. To remember that would need a mark on the array, which arrays do not have.
    """
    made = create(site)
    site.far.import_set(made.documents, budget=site.budget())
    again = Coordinator(
        site.recovery,
        clock=site.clock,
        ids=site.ids,
        sink=site.sink,
        providers=[site.far_provider],
    )
    presents = site.script.steps.count("array.present")
    with pytest.raises(ImportFailed, match="before") as caught:
        again.import_set(made.documents, budget=site.budget())
    assert caught.value.context["presented"] == []
    assert site.script.steps.count("array.present") == presents
    for shown in site.array.presentations():
        if shown.host == site.recovery.host:
            site.array.unpresent(shown, budget=site.budget())
    site.recovery.rescan(budget=site.budget())
    assert len(again.import_set(made.documents, budget=site.budget()).shadows) == 2


@pytest.mark.rule("VSS-48")
def test_non_transportable_documents(site):
    """The document of a set that was not made for transport is refused."""
    made = create(site, transportable=False)
    with pytest.raises(DocumentError) as caught:
        site.far.import_set(made.documents, budget=site.budget())
    assert caught.value.native == 0x800423FD
    with pytest.raises(DocumentError):
        site.far.import_set(ShadowDocuments(backup_components=b"<x"), budget=site.budget())


@pytest.mark.rule("VSS-50", "HAZ-11")
def test_partial_arrival(site):
    """If one disk does not arrive the import fails, names it, and what is presented stays so."""
    made = create(site)
    hidden = made.shadows[1].storage
    real = site.recovery.rescan

    def rescan(*, budget):
        found = real(budget=budget)
        site.recovery._disks = [each for each in site.recovery._disks if each.storage != hidden]
        return found

    site.recovery.rescan = rescan
    with pytest.raises(ImportFailed) as caught:
        site.far.import_set(made.documents, budget=site.budget())
    assert caught.value.native == 0x00042321
    assert caught.value.context["missing"] == [hidden]
    assert caught.value.context["presented"] == [each.storage for each in made.shadows]
    assert len(site.array.presentations(hidden)) == 1
    assert site.clock.monotonic() == 60.0
    assert site.far.shadows(budget=site.budget()) == ()
    site.recovery.rescan = real
    assert len(site.far.import_set(made.documents, budget=site.budget()).shadows) == 2


@pytest.mark.rule("VSS-50")
def test_nothing_arrives(site):
    """If nothing arrives the import says so with its own code."""
    made = create(site)
    site.recovery.rescan = lambda *, budget: ()
    with pytest.raises(ImportFailed) as caught:
        site.far.import_set(made.documents, budget=site.budget())
    assert caught.value.native == 0x80042320


@pytest.mark.rule("VSS-50", "HAZ-11")
@pytest.mark.parametrize("step", ["array.present", "array.present!"])
def test_presenting_fails(site, step):
    """A provider that fails at the second LUN leaves the first one presented and named."""
    made = create(site)

    def second():
        site.script.on(step, StorageNotFound("gone"))

    site.script.on(step, second)
    with pytest.raises(ImportFailed) as caught:
        site.far.import_set(made.documents, budget=site.budget())
    presented = caught.value.context["presented"]
    assert made.shadows[0].storage in presented
    actually = [each for each in site.copies() if site.array.presentations(each)]
    assert step == "array.present!" or set(actually) <= set(presented)


def test_interrupted_import_names_what_is_presented(site):
    """An import that is cancelled while it waits tells what it had presented."""
    made = create(site)

    def cancelled(*, budget):
        raise Cancelled("enough")

    site.recovery.rescan = cancelled
    with pytest.raises(Cancelled) as caught:
        site.far.import_set(made.documents, budget=site.budget())
    assert caught.value.context["presented"] == [each.storage for each in made.shadows]


@pytest.mark.rule("VSS-49")
def test_matching_ignores_signature_and_needs_one_identity(site):
    """Signature and bus do not matter; two disks of one identity match nothing."""
    made = create(site)
    real = site.recovery.rescan

    def twins(*, budget):
        found = real(budget=budget)
        site.recovery._disks = [
            attrs.evolve(each, signature="something else") for each in site.recovery._disks
        ]
        site.recovery._disks.append(site.recovery._disks[0])
        return found

    site.recovery.rescan = twins
    with pytest.raises(ImportFailed) as caught:
        site.far.import_set(made.documents, budget=site.budget())
    assert caught.value.context["missing"] == [made.shadows[0].storage]


def test_disk_too_small_for_its_volume(site):
    """A disk that cannot hold the recorded extent is not the one that was copied."""
    made = create(site)
    text = made.documents.backup_components.replace(b'lengthBytes="1"', b'lengthBytes="99"', 1)
    with pytest.raises(ImportFailed):
        site.far.import_set(ShadowDocuments(backup_components=text), budget=site.budget())


def test_unknown_provider(site):
    """Without the set's provider on the receiving server nothing is presented."""
    made = create(site)
    site.far.unregister(site.far_provider)
    with pytest.raises(ProviderNotRegistered):
        site.far.import_set(made.documents, budget=site.budget())
    assert all(not site.array.presentations(each) for each in site.copies())


@pytest.mark.rule("VSS-54", "VSS-57")
def test_delete_an_imported_set(site):
    """Deleting dismounts, hides and deletes each LUN, then rescans; unknown sets are fine."""
    made = create(site)
    site.far.import_set(made.documents, budget=site.budget())
    site.script.steps.clear()
    site.far.delete_set(made.id, budget=site.budget())
    calls = [each for each in site.script.steps if not each.startswith("event.")]
    assert calls == [
        *("frs1.detach", "array.unpresent", "array.delete_storage") * 2,
        "frs1.rescan",
    ]
    assert site.copies() == []
    site.far.delete_set(made.id, budget=site.budget())


@pytest.mark.rule("VSS-57")
def test_delete_stops_at_the_first_error_and_goes_on(site):
    """The error says how many are gone and which is still there; a second call finishes."""
    made = create(site)
    site.far.import_set(made.documents, budget=site.budget())

    def second():
        site.script.on("array.delete_storage", HasDependents("somebody hangs on it"))

    site.script.on("array.delete_storage", second)
    with pytest.raises(HasDependents) as caught:
        site.far.delete_set(made.id, budget=site.budget())
    assert caught.value.context["deleted"] == 1
    assert caught.value.context["undeleted"] == made.shadows[1].id
    assert [each.id for each in site.far.shadows(budget=site.budget())] == [made.shadows[1].id]
    site.far.delete_set(made.id, budget=site.budget())
    assert (site.copies(), site.far.shadows(budget=site.budget())) == ([], ())


@pytest.mark.rule("VSS-34", "VSS-55")
def test_two_volumes_on_one_lun(site):
    """One target for two volumes of one LUN, deleted with the second shadow copy."""
    site.array.write("naa:mail", b"12345678")
    site.production.mount("v2", "P:\\", ("naa:mail", 4, 4))
    site.production.rescan(budget=site.budget())
    components = BackupComponents(site.service)
    components.initialize_for_backup()
    components.set_context(0x19)
    components.start_snapshot_set()
    components.add_to_snapshot_set("M:\\")
    components.add_to_snapshot_set("P:\\")
    made = components.do_snapshot_set()
    components.release()
    assert len({each.storage for each in made.shadows}) == 1
    assert len(site.copies()) == 1
    site.script.on("evs1.rescan", FrskitError("stop"))
    with pytest.raises(FrskitError):
        site.service.delete_set(made.id, budget=site.budget())
    assert site.script.of("array").count("delete_storage") == 1
    assert site.copies() == []


@pytest.mark.rule("VSS-56")
@pytest.mark.parametrize("persistent", [True, False])
def test_automatic_import_and_release(site, persistent):
    """A set that stays here comes up here; it lives longer than the session only if persistent."""
    with site.service.session(site.request(transportable=False, persistent=persistent)) as session:
        made = session.create(budget=site.budget())
        assert [each.id for each in site.service.shadows(budget=site.budget())] == [
            each.id for each in made.shadows
        ]
        assert "P LocateLuns" in site.sink.steps()
    assert bool(site.copies()) is persistent
    assert bool(site.service.shadows(budget=site.budget())) is persistent
    again = site.coordinator()
    assert bool(again.shadows(budget=site.budget())) is persistent


def test_failed_automatic_import_leaves_nothing(site):
    """If the copies do not come up on their own server the whole set is undone."""
    site.provider.fill_in_lun_info = lambda lun: None
    with (
        pytest.raises(ImportFailed),
        site.service.session(site.request(transportable=False)) as session,
    ):
        session.create(budget=site.budget())
    assert (site.copies(), site.unrest(), site.memory) == ([], [], {})


def test_created_set_can_be_deleted_while_its_session_is_open(site):
    """The creating server can delete a transportable set until it lets go of it."""
    with site.service.session(site.request()) as session:
        made = session.create(budget=site.budget())
        site.service.delete_set(made.id, budget=site.budget())
    assert site.copies() == []
    again = create(site)
    site.service.delete_set(again.id, budget=site.budget())
    assert len(site.copies()) == 2


def test_query_sees_its_own_context(site):
    """Query shows the sets of its context; the context for all shows all."""
    made = create(site, transportable=False)
    for context, count in ((0x9 | 0x40000, 2), (0x9, 0), (0xFFFFFFFF, 2)):
        components = BackupComponents(site.service)
        components.initialize_for_backup()
        components.set_context(context)
        assert len(components.query()) == count
    components.break_snapshot_set(made.id)
    assert components.query() == ()


CRASHES = [
    "array.stage_copies!",
    "evs1.mark",
    "evs1.mark!",
    "writer-1.freeze!",
    "array.commit_copies!",
    "writer-1.thaw!",
    "writer-1.post_snapshot",
]


@pytest.mark.crash
@pytest.mark.rule("VSS-09", "VSS-10")
@pytest.mark.parametrize("step", CRASHES)
def test_recover_after_the_process_died(site, step):
    """After a crash at any step of a creation, recover() ends session and set of the dead process."""
    kept = {}

    def look():
        kept["memory"] = dict(site.memory)
        kept["array"] = copy.deepcopy((site.array.luns, site.array._presented, site.array._staged))
        kept["frozen"] = [each.frozen for each in site.writers]

    site.script.on(step, look)
    create(site)
    site.memory.clear()
    site.memory.update(kept["memory"])
    site.array.luns, site.array._presented, site.array._staged = kept["array"]
    for writer, frozen in zip(site.writers, kept["frozen"], strict=True):
        writer.frozen = frozen
    site.provider = ArrayProvider(site.array, site.production.host, clock=site.clock)
    site.script.steps.clear()
    again = site.coordinator()
    assert again.recover(budget=site.budget()) == ()
    assert (site.unrest(), site.memory) == ([], {})
    assert site.copies() == []
    for writer in site.writers:
        assert site.script.of(writer.name) == ["identify", "abort", "backup_shutdown"]
    assert again.recover(budget=site.budget()) == ()
    with again.session(site.request()) as session:
        session.create(budget=site.budget())


@pytest.mark.crash
@pytest.mark.rule("VSS-09")
def test_recover_keeps_what_was_created(site):
    """A created persistent set outlives the death of its session; one that was not meant to goes."""
    for persistent in (True, False):
        key = f"{'1' if persistent else '2'}1111111-1111-4111-8111-111111111111"
        request = site.request(key=key, transportable=False, persistent=persistent)
        session = site.service.session(request)
        session.__enter__()
        session.create(budget=site.budget())
        site.service = site.coordinator()
        site.script.steps.clear()
        assert site.service.recover(budget=site.budget()) == ()
        assert "backup_shutdown" in site.script.of("writer-1")
        assert len(site.service.shadows(budget=site.budget())) == 2
        assert len(site.copies()) == 2


def test_damaged_records(site):
    """A record that cannot be read is a typed error that names it, not a crash."""
    site.memory["set/x"] = b'{"schema": 99}'
    with pytest.raises(CatalogError) as caught:
        site.service.shadows(budget=site.budget())
    assert caught.value.context["key"] == "set/x"
    site.memory["set/x"] = b"not JSON"
    with pytest.raises(CatalogError):
        site.service.shadows(budget=site.budget())


@pytest.mark.rule("HAZ-01", "EVA-43")
@pytest.mark.parametrize(
    ("wanted", "found", "same"),
    [
        ("eva:1", "eva:1", True),
        ("eva:1", "eva:2", False),  # the name of the deleted copy was given to another disk
        ("naa:6005", "eva:2", True),  # a document that knows page 83 names only
        ("naa:6005", "naa:6006", True),
        ("naa:6006", "eva:2", False),
    ],
)
def test_a_stranger_under_the_name_of_a_copy_does_not_arrive(wanted, found, same):
    """Ids of objects decide; names that hosts see decide where there is no such id."""
    names = ("naa:6005",) if wanted != "naa:6006" else ()
    record = LunInformation(storage=wanted, identifiers=names)
    disk = LunInformation(storage=found, identifiers=("naa:6005",))
    assert import_break_delete._same(record, disk) is same
