"""A shadow copy service that names its sets itself, knows no LUN and no time, and has a file of its own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

import pytest
from attrs import evolve

import frskit
from frskit import BackupType, Budget, Completion, CopyLife, Verdict
from frskit.errors import ServiceError, StorageGroupNotRecognized, StoreError
from frskit.exchange.writer.writer import ExchangeWriter
from frskit.frs.copy_run import CopyRun
from frskit.frs.requestor import FastRecovery
from frskit.frs.set_lookup import remove_unfinished_set, storages_of
from frskit.model import json_records
from frskit.model.components import WriterRecord
from frskit.model.ids import CopyKey, SetId, VolumeId
from frskit.model.shadows import Shadow

FULL = BackupType.FULL
OPAQUE = {"set.cab": b"\x00MSCF\xff"}


class ForeignSession:
    """A session of frskit's engine that tells as little as the tool of another maker does."""

    def __init__(self, service, session, key, set_id):
        self.service, self.session, self.key, self.set_id = service, session, key, set_id

    def __enter__(self):
        self.session.__enter__()
        return self

    def __exit__(self, *error):
        self.session.__exit__(*error)

    def plan(self, *, budget):
        return evolve(self.session.plan(budget=budget), storages=None)

    def create(self, *, budget):
        self.service.fault("before")
        made = self.session.create(budget=budget)
        self.service.sets[made.id] = self.key
        self.service.fault("after")
        return evolve(
            made,
            id=SetId("{" + made.id.upper() + "}"),
            shadows=tuple(evolve(each, source=None, key=self.key) for each in made.shadows),
            documents=evolve(made.documents, opaque=OPAQUE),
            freeze_s=None,
            hold_s=None,
            records=(),
        )

    def complete(self, outcomes, *, budget):
        return evolve(self.session.complete(outcomes, budget=budget), documents=None)

    def abandon(self):
        self.session.abandon()


class ForeignService:
    """The service of production."""

    def __init__(self, engine, ids):
        self.engine_service, self.ids = engine, ids
        self.sets: dict[str, str | None] = {}
        self.deleted: list[str] = []
        self.requests = []
        self.faults = {}

    def fault(self, place):
        action = self.faults.pop(place, None)
        if action is not None:
            action()

    @property
    def capabilities(self):
        return evolve(
            self.engine_service.capabilities,
            set_id_from_caller=False,
            writer_records=False,
            cancels_create=False,
            previous_stamps=False,
        )

    def session(self, request):
        self.requests.append(request)
        mine = SetId(self.ids.guid())
        inner = self.engine_service.session(evolve(request, key=CopyKey(mine)))
        return ForeignSession(self, inner, request.key, mine)

    def shadows(self, *, budget):
        return tuple(
            Shadow(
                id="s", set_id=set_id, volume=VolumeId("v"), mount_point="", source=None,
                storage="vss:s", key=key,
            )
            for set_id, key in self.sets.items()
        )  # fmt: skip

    def delete_set(self, set_id, *, budget):
        self.deleted.append(set_id)
        del self.sets[set_id]

    def __getattr__(self, name):
        return getattr(self.engine_service, name)


class Receiver:
    """The service of the recovery server; remembers what it was given."""

    def __init__(self, engine):
        self.engine_service = engine
        self.imported = []
        self.broken = []

    def import_set(self, documents, *, budget):
        self.imported.append(documents)
        return self.engine_service.import_set(documents, budget=budget)

    def break_set(self, set_id, *, budget):
        self.broken.append(set_id)
        self.engine_service.break_set(set_id, budget=budget)

    def __getattr__(self, name):
        return getattr(self.engine_service, name)


class Site:
    """A lab whose service is a stranger's."""

    def __init__(self, lab):
        self.lab = lab
        production = lab.parts.production("evs1")
        self.service = ForeignService(production.service, lab.parts.ids)
        self.receiver = Receiver(lab.parts.recovery.service)
        self.parts = evolve(
            lab.parts,
            productions={"evs1": evolve(production, service=self.service)},
            recovery=evolve(lab.parts.recovery, service=self.receiver),
        )
        self.frs = FastRecovery(self.parts)

    def copy(self):
        return self.frs.create_copy("evs1", ["sg1"], backup_type=FULL)


@pytest.fixture
def foreign():
    """A site with such a service."""
    with frskit.lab(seed=3) as lab:
        lab.deliver("evs1", "sg1", messages=30)
        yield Site(lab)


def test_the_whole_flow_with_a_service_that_names_sets_itself(foreign):
    """The set is broken under the service's id, and what is not known stays unknown."""
    copy = foreign.copy()
    (made,) = foreign.service.sets
    assert copy.set_id == made != copy.id
    assert (copy.key, copy.shadow_set) == (copy.id, made)
    assert (copy.verdict, copy.life, copy.completion) == (
        Verdict.VERIFIED,
        CopyLife.PARKED,
        Completion.DONE,
    )
    assert (copy.freeze_s, copy.hold_s) == (None, None)
    assert foreign.receiver.broken == [made]
    assert foreign.service.requests[-1].key == copy.id
    # The server was asked for the LUNs that the service does not know.
    known = {
        each.id: each.extents[0].storage
        for each in foreign.parts.production("evs1").server.volumes()
    }
    assert {each.source for each in copy.members} == {known[each.volume] for each in copy.members}


def test_a_plan_names_the_luns_that_the_service_does_not_know(foreign):
    """They are those of the volumes."""
    plan = foreign.frs.plan_copy("evs1", ["sg1"], backup_type=FULL)
    ours = foreign.lab.frs.plan_copy("evs1", ["sg1"], backup_type=FULL)
    assert plan.storages == ours.storages
    assert plan.storages


def test_opaque_parts_come_back_byte_for_byte(foreign):
    """To the import, from the catalog, and after a completion that says nothing new."""
    copy = foreign.copy()
    assert foreign.receiver.imported[0].opaque == OPAQUE
    assert foreign.frs.copy(copy.id).documents.opaque == OPAQUE


def test_stamps_are_not_sent_to_a_service_that_cannot_tell_them(foreign):
    """It would have to refuse the session."""
    copy = foreign.copy()
    (component,) = (each.id for each in copy.selected)
    record = WriterRecord(component=component, stamp="one")
    foreign.parts.catalog.put(evolve(foreign.frs.copy(copy.id), records=(record,)))
    assert foreign.copy().verdict is Verdict.VERIFIED
    assert [dict(each.previous_stamps) for each in foreign.service.requests] == [{}, {}]


def test_the_writer_hears_the_stamp_of_the_last_copy(foreign, monkeypatch):
    """Through frskit's own service, which can tell it [VSS-66]."""
    lab, heard = foreign.lab, []
    copy = lab.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    (component,) = (each.id for each in copy.selected)
    record = WriterRecord(component=component, stamp="one")
    lab.parts.catalog.put(evolve(lab.frs.copy(copy.id), records=(record,)))
    usual = ExchangeWriter.prepare_backup

    def prepare_backup(self, session, **named):
        heard.append(session.previous_stamps)
        usual(self, session, **named)

    monkeypatch.setattr(ExchangeWriter, "prepare_backup", prepare_backup)
    lab.frs.create_copy("evs1", ["sg1"], backup_type=FULL)
    assert heard == [{component: "one"}]


def died(site, monkeypatch, place):
    """A process that died in `create`; the copy that it left."""
    with monkeypatch.context() as patch:
        patch.setattr(CopyRun, "_failed", lambda self, error: None)

        def die():
            raise KeyboardInterrupt

        site.service.faults[place] = die
        with pytest.raises(KeyboardInterrupt):
            site.copy()
    (copy,) = site.frs.copies()
    return copy


def test_a_set_that_carries_the_key_is_deleted_by_the_resume(foreign, monkeypatch):
    """It is this copy's, and will never get a verdict."""
    copy = died(foreign, monkeypatch, "after")
    assert copy.set_id is None
    (made,) = foreign.service.sets
    resumed, lost = foreign.frs.resume()
    assert foreign.service.deleted == [made]
    assert resumed.copy.leftovers == ()
    assert resumed.copy.life is CopyLife.FAILED
    # The LUNs have a key of the service's own, and this service does not delete them.
    assert lost.copy is None
    assert not lost.ended


def test_a_key_of_the_service_on_the_array_is_not_nobodys(foreign):
    """The record names its LUNs."""
    foreign.copy()
    assert foreign.frs.unrecorded_copies() == ()
    assert foreign.frs.resume() == ()
    # Nor is it while that record cannot be read.
    with foreign.parts.catalog._transaction() as db:
        db.execute("UPDATE copies SET record=''")
    assert foreign.frs.unrecorded_copies() == ()


def test_a_new_set_without_a_key_is_named_and_left(foreign, monkeypatch):
    """It may be somebody else's; sets that were there before, or have another key, are not named."""
    before = SetId("11111111-0000-4000-8000-000000000000")
    others = SetId("22222222-0000-4000-8000-000000000000")
    new = SetId("33333333-0000-4000-8000-000000000000")
    foreign.service.sets[before] = None
    died(foreign, monkeypatch, "before")
    foreign.service.sets.update({others: CopyKey("somebody's"), new: None})
    (resumed,) = foreign.frs.resume()
    assert foreign.service.deleted == []
    (left,) = resumed.copy.leftovers
    assert new in left
    assert set(foreign.service.sets) == {before, others, new}


def test_a_creation_that_fails_late_leaves_no_set(foreign):
    """The same look-up without a crash: the error is the service's."""

    def fail():
        raise StoreError("the tool was killed")

    foreign.service.faults["after"] = fail
    with pytest.raises(StoreError) as caught:
        foreign.copy()
    assert len(foreign.service.deleted) == 1
    assert caught.value.copy.life is CopyLife.FAILED
    assert caught.value.leftovers == ()


def test_a_look_up_that_fails_names_what_may_be_left(foreign, monkeypatch):
    """The reason of the failure stays the reason."""

    def fail():
        monkeypatch.setattr(foreign.service, "shadows", lambda **_: 1 / 0, raising=False)
        raise StoreError("the tool was killed")

    foreign.service.faults["after"] = fail
    with pytest.raises(StoreError) as caught:
        foreign.copy()
    (left,) = caught.value.leftovers
    assert caught.value.copy.key in left


def test_a_volume_whose_lun_nobody_knows_cannot_be_a_member(foreign, monkeypatch):
    """Neither the service nor the server can tell what was copied."""

    def after():
        run[0]._luns = {}

    run = []
    make = CopyRun._make

    def spy(self, production):
        run.append(self)
        return make(self, production)

    monkeypatch.setattr(CopyRun, "_make", spy)
    foreign.service.faults["after"] = after
    with pytest.raises(ServiceError, match="LUN is not known"):
        foreign.copy()


def test_old_records_have_the_sets_id_of_their_own(foreign):
    """A record from before sets had ids of their own belongs to a set with the copy's id."""
    copy = foreign.copy()
    assert evolve(copy, set_id=None).shadow_set == copy.id
    assert evolve(copy, set_id=None, members=()).shadow_set is None


def test_the_stamp_of_the_last_completed_copy_reaches_the_request(foreign):
    """Of a verified and completed one only, not of a COPY, and nothing if there is none."""
    from frskit.frs.previous_stamps import previous_stamps

    catalog = foreign.parts.catalog
    assert previous_stamps(catalog, "evs1") == {}
    first = foreign.copy()
    (component,) = (each.id for each in first.selected)

    def put(number, stamp, **facts):
        at = first.created_at.replace(year=2030, minute=number)
        records = (WriterRecord(component=component, stamp=stamp),)
        known = evolve(first, id=f"{number:08d}-0000-4000-8000-000000000000", created_at=at)
        catalog.put(evolve(known, records=records, **facts))

    put(1, "one")
    assert previous_stamps(catalog, "EVS1") == {component: "one"}
    put(2, "corrupt", verdict=Verdict.CORRUPT)
    put(3, "unknown", completion=Completion.UNKNOWN)
    put(4, "a copy", backup_type=BackupType.COPY)
    put(5, "deleted", life=CopyLife.DELETED)
    assert previous_stamps(catalog, "evs1") == {component: "one"}
    put(6, "six")
    assert previous_stamps(catalog, "evs1") == {component: "six"}
    put(7, "")
    assert previous_stamps(catalog, "evs1") == {}


def test_older_copies_are_not_read_for_stamps_that_are_known(foreign, monkeypatch):
    """A night's copy must not cost more with every night: the same names end the search."""
    from frskit.frs.previous_stamps import previous_stamps

    catalog = foreign.parts.catalog
    for _ in range(3):
        newest = foreign.copy()
    read = []
    real = type(catalog).get

    def get(self, copy):
        read.append(copy)
        return real(self, copy)

    monkeypatch.setattr(type(catalog), "get", get)
    with monkeypatch.context() as patch:
        loaded = []
        patch.setattr(
            "frskit.frs.state.catalog.load",
            lambda *given, load=json_records.load, **named: (
                loaded.append(1) or load(*given, **named)
            ),
        )
        previous_stamps(catalog, "evs1", [name.upper() for name in newest.asked])
        assert read == [newest.id]
        listed = len(loaded)
        read.clear()
        loaded.clear()
        previous_stamps(catalog, "evs1", ["another"])
        assert len(loaded) > listed
    assert read == [newest.id]


def test_a_service_that_fails_in_the_clean_up_does_not_keep_the_array_from_its_own(foreign):
    """Every set of the key is tried, what is left is named, and nothing is raised."""

    class Half:
        capabilities = foreign.service.capabilities
        asked: ClassVar[list[str]] = []

        def shadows(self, *, budget):
            return [SimpleNamespace(set_id=each, key="k") for each in ("one", "two")]

        def delete_set(self, set_id, *, budget):
            self.asked.append(set_id)
            raise ZeroDivisionError(set_id)

    left = remove_unfinished_set(Half(), CopyKey("k"), None, Budget.of(foreign.parts.clock))
    assert sorted(Half.asked) == ["one", "two"]
    assert sorted(text.split(":")[0] for text in left) == ["set one", "set two"]
    assert all("ZeroDivisionError" in text for text in left)


def test_a_volume_that_the_server_does_not_know_is_named(foreign):
    """The service cannot tell its LUN, and neither can the server."""
    plan = SimpleNamespace(storages=None, volumes=("nowhere",))
    with pytest.raises(StorageGroupNotRecognized, match="does not know the storage of nowhere"):
        storages_of(plan, foreign.parts.production("evs1").server)
