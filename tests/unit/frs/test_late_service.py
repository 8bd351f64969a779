"""A shadow copy service that learns ids, LUNs and times late, from the wish to the recovery."""

from __future__ import annotations

import json
from contextlib import nullcontext

import pytest
from attrs import evolve
from support.late_service import CLOCK, LateWorld, read_cab

from frskit import (
    Budget,
    Completion,
    CopyLife,
    RecoveryMethod,
    RecoveryMode,
    Verdict,
)
from frskit.cli.app import run
from frskit.cli.render import copy_details
from frskit.errors import (
    ConfigurationError,
    DocumentError,
    ServiceError,
    StorageGroupNotRecognized,
    UsageError,
    WriterVeto,
)
from frskit.frs.copy_run import CopyRun

PIT, RF = RecoveryMode.POINT_IN_TIME, RecoveryMode.ROLL_FORWARD
SWAP, COPY_BACK = RecoveryMethod.SWAP, RecoveryMethod.COPY_BACK


@pytest.fixture
def late(tmp_path):
    """A site with such a service, and 50 changes."""
    with LateWorld(tmp_path) as world:
        world.store.fill(50, "before")
        yield world


def recover(world, copy, mode, method):
    """Plan and recover."""
    return world.frs.recover(world.frs.plan_recovery(copy.id, mode=mode, method=method))


@pytest.mark.parametrize("method", [SWAP, COPY_BACK], ids=lambda each: each.value)
@pytest.mark.parametrize(("mode", "after"), [(PIT, 0), (RF, 30)], ids=["instant", "forward"])
def test_the_whole_way(late, method, mode, after):
    """Copied, checked, told, parked and recovered, by handles alone."""
    copy = late.copy()
    assert (copy.verdict, copy.completion, copy.life) == (
        Verdict.VERIFIED,
        Completion.DONE,
        CopyLife.PARKED,
    )
    late.store.fill(30, "after")
    if method is COPY_BACK:
        late.store.path.write_bytes(b"damage")
    recover(late, copy, mode, method)
    assert len(late.store.kv) == 50 + after
    late.store.put("on", "and on")


class Killed(BaseException):
    """The process dies here."""


def die():
    """As it says."""
    raise Killed


def died(root, monkeypatch, place, **service):
    """A site after a death in the tool, under a new process; id of the copy."""
    with monkeypatch.context() as patch, LateWorld(root, **service) as world:
        world.store.fill(50, "before")
        # Nothing cleans up after a process that has died.
        patch.setattr(CopyRun, "_failed", lambda *_: None)
        patch.setattr(CopyRun, "_discard", lambda *_: None)
        world.service.faults[place] = die
        with pytest.raises(Killed):
            world.copy()
        assert world.service.open == []
        world.store.put("on", "and on")
        world.store.stop()
        (copy,) = world.frs.copies()
    return LateWorld(root, **service), copy.id


# --- unknown is unknown


def test_what_is_not_known_is_not_said(late):
    """No 0 in the record, in JSON or on the screen; the LUNs are those that the server knows."""
    copy = late.frs.copy(late.copy().id)
    assert (copy.freeze_s, copy.hold_s) == (None, None)
    assert copy.records == ()
    assert copy.set_id in late.sets()
    assert copy.set_id != copy.id
    assert {each.source for each in copy.members} == {"disk:data", "disk:logs"}
    assert {each.storage for each in copy.members} == late.handles()
    facts = copy_details(copy)
    assert (facts["freeze_s"], facts["hold_s"]) == (None, None)


@pytest.mark.parametrize(
    ("freeze_s", "hold_s", "said"),
    [
        (None, None, None),
        (1.5, None, ("frozen", "1.500 s")),
        (1.5, 0.5, ("frozen", "1.500 s (writes held 0.500 s)")),
        (None, 0.5, ("writes held", "0.500 s")),
    ],
)
def test_a_screen_shows_the_times_that_are_known(late, monkeypatch, capsys, freeze_s, hold_s, said):
    """And no zero for the others; the same in JSON."""
    copy = late.copy()
    late.site.parts.catalog.update(copy.id, lambda e: evolve(e, freeze_s=freeze_s, hold_s=hold_s))
    monkeypatch.setattr("frskit.cli.app.opened", lambda _: nullcontext(late.site))
    assert run(["copy", "show", copy.id]) == 0
    shown = capsys.readouterr().out
    assert "0.000" not in shown
    rows = [each for each in shown.splitlines() if "frozen" in each or "held" in each]
    assert len(rows) == (said is not None)
    if said is not None:
        assert [each.strip() for each in rows[0].split("│") if each.strip()] == list(said)
    assert run(["--json", "copy", "show", copy.id]) == 0
    facts = json.loads(capsys.readouterr().out)["copy"]
    assert (facts["freeze_s"], facts["hold_s"]) == (freeze_s, hold_s)
    assert run(["copy", "list"]) == 0


def test_a_plan_has_the_luns_and_mount_points_of_volumes_in_braces(late):
    """The service says neither; nothing is made."""
    plan = late.frs.plan_copy("prod", ["kv"], backup_type="full")
    assert set(plan.storages) == {"disk:data", "disk:logs"}
    assert [point for _, point in plan.volumes] == [
        str(late.machine.mounts / each) for each in ("data", "logs")
    ]
    assert late.sets() == set()


# --- what the tool's file and documents go through


@pytest.mark.parametrize("document", [b"", b"\xff\xfenot XML\x00\r\n"], ids=["empty", "foreign"])
def test_the_file_comes_back_byte_for_byte(tmp_path, document):
    """From the catalog of a new process too; the tool would refuse any other."""
    with LateWorld(tmp_path, document=document) as world:
        world.store.fill(5, "before")
        copy = world.copy()
        world.store.stop()
    with LateWorld(tmp_path) as world:
        documents = world.frs.copy(copy.id).documents
        assert documents.backup_components == document
        assert [each["storage"] for each in read_cab(documents)["shadows"]] == [
            each.storage for each in copy.members
        ]
        assert list(documents.opaque) == [f"{copy.key}.cab"]
        recover(world, copy, PIT, COPY_BACK)
        ((name, data),) = documents.opaque.items()
        for bad in (data[:-1], data + b"\n", data.replace(b"\xff", b"\xfe")):
            with pytest.raises(DocumentError, match="damaged"):
                world.receiver.import_set(
                    evolve(documents, opaque={name: bad}), budget=Budget.of(CLOCK)
                )


# --- deaths


@pytest.mark.crash
@pytest.mark.parametrize("remembers", [True, False], ids=["by key", "by the list"])
@pytest.mark.parametrize("place", ["frozen", "one copied", "before the cab", "after the cab"])
def test_a_death_inside_create(tmp_path, monkeypatch, place, remembers):
    """By its key the set is deleted; without one it is named, for as long as it is there."""
    world, copy = died(tmp_path, monkeypatch, place, remembers=remembers)
    budget = Budget.of(CLOCK)
    with world:
        left = world.sets()
        assert bool(left) is (place != "frozen")
        unnamed = left and not (remembers and place == "after the cab")
        for _ in range(3):
            resumed = world.frs.resume()
            now = world.frs.copy(copy)
            assert now.life is CopyLife.FAILED
            if not unnamed:
                assert (world.sets(), now.leftovers, world.handles()) == (set(), (), set())
                continue
            assert world.sets() == left
            (text,) = now.leftovers
            assert next(iter(left)) in text
            assert [each.ended for each in resumed] == [False]
        for each in left:
            world.service.delete_set("{" + each.upper() + "}", budget=budget)
        world.frs.resume()
        assert world.frs.copy(copy).leftovers == ()
        assert world.copy().recoverable
        assert world.frs.resume() == ()


@pytest.mark.crash
def test_the_set_of_a_later_copy_is_nobodys_leftover(tmp_path, monkeypatch):
    """It is new since the death and carries no key; but a record speaks of it."""
    world, copy = died(tmp_path, monkeypatch, "before the cab", remembers=False)
    with world:
        (lost,) = world.sets()
        good = world.copy()
        world.frs.resume()
        (text,) = world.frs.copy(copy).leftovers
        assert lost in text
        assert world.frs.copy(good.id).recoverable
        assert world.sets() == {lost, good.set_id}


@pytest.mark.crash
def test_a_death_before_the_completion(tmp_path, monkeypatch):
    """Verified and usable; whether the writers were told is not known, and no log goes any more."""
    world, copy = died(tmp_path, monkeypatch, "completing")
    with world:
        logs = world.store.wals()
        world.frs.resume()
        now = world.frs.copy(copy)
        assert (now.life, now.verdict, now.completion) == (
            CopyLife.PARKED,
            Verdict.VERIFIED,
            Completion.UNKNOWN,
        )
        assert world.store.wals() == logs
        recover(world, now, PIT, SWAP)
        assert len(world.store.kv) == 50


# --- failures


@pytest.mark.parametrize("place", ["frozen", "one copied", "before the cab", "after the cab"])
def test_a_creation_that_fails_leaves_nothing(late, place):
    """Nobody stays frozen, and the next copy is good."""

    def fail():
        raise WriterVeto("no")

    late.service.faults[place] = fail
    with pytest.raises(WriterVeto) as caught:
        late.copy()
    assert (caught.value.leftovers, late.sets(), late.handles()) == ((), set(), set())
    late.store.put("on", "and on")
    assert late.copy().recoverable


def test_a_set_whose_luns_turn_out_unknown_is_taken_away(late, monkeypatch):
    """It was made, and can be no copy: neither the service nor the server can tell of what."""
    finish = late.service.finish

    def other(set_id, key):
        made = finish(set_id, key)
        volume = "{00000000-0000-4000-8000-00000000000A}"
        return evolve(made, shadows=tuple(evolve(each, volume=volume) for each in made.shadows))

    monkeypatch.setattr(late.service, "finish", other)
    logs = late.store.wals()
    with pytest.raises(ServiceError, match="LUN is not known") as caught:
        late.copy()
    assert (caught.value.leftovers, late.sets(), late.handles()) == ((), set(), set())
    assert set(logs) <= set(late.store.wals())
    assert caught.value.copy.completion is Completion.FAILED


def test_a_volume_on_several_luns_is_refused_before_anybody_is_frozen(late, monkeypatch):
    """Of which of them a shadow is a copy could never be said."""
    volumes = late.machine.volumes

    def spanned():
        first, *rest = volumes()
        (extent,) = first.extents
        return (evolve(first, extents=(extent, evolve(extent, storage="disk:other"))), *rest)

    monkeypatch.setattr(late.machine, "volumes", spanned)
    late.service.faults["frozen"] = die
    with pytest.raises(StorageGroupNotRecognized, match="several LUNs"):
        late.copy()
    assert "frozen" in late.service.faults
    assert late.sets() == set()


@pytest.mark.rule("HAZ-19")
def test_the_catalog_on_a_frozen_volume_is_seen_whatever_the_volume_is_called(tmp_path):
    """The server and the service spell its id differently."""
    state = tmp_path / "mounts" / "prod" / "data" / "state"
    with LateWorld(tmp_path, state=None) as world:
        world.store.stop()
    with (
        LateWorld(tmp_path, state=state) as world,
        pytest.raises(ConfigurationError, match="would be frozen"),
    ):
        world.copy()


def test_a_deletion_takes_the_set_that_a_failed_creation_left(late, monkeypatch):
    """The clean-up could not look; the array knows no key, but the service does."""
    delete, shadows = late.service.delete_set, late.service.shadows

    def fail():
        late.service.shadows = lambda **_: 1 / 0
        late.service.delete_set = lambda *_, **__: None
        raise WriterVeto("no")

    late.service.faults["after the cab"] = fail
    with pytest.raises(WriterVeto) as caught:
        late.copy()
    late.service.delete_set, late.service.shadows = delete, shadows
    assert len(caught.value.leftovers) == 1
    assert len(late.sets()) == 1
    late.frs.delete_copy(caught.value.copy.id)
    assert (late.sets(), late.handles()) == (set(), set())


@pytest.mark.parametrize("kind", ["incremental", "differential"])
def test_what_the_tool_cannot_do_is_refused_without_a_record(late, kind):
    """And stamps are not sent to it, although it would have to refuse them."""
    with pytest.raises(UsageError):
        late.copy(kind)
    assert late.frs.copies() == ()
    late.copy()
    late.copy()
    assert [dict(each.previous_stamps) for each in late.service.requests] == [{}, {}]


# --- more than one


def test_two_copies_and_the_deletion_of_one(late):
    """Each has its set; the other one stays, and is recovered by its handles."""
    first = late.copy()
    late.store.fill(10, "between")
    second = late.copy()
    assert [each.id for each in late.frs.copies()] == [second.id, first.id]
    assert late.sets() == {first.set_id, second.set_id}
    late.frs.delete_copy(second.id)
    assert late.sets() == {first.set_id}
    assert late.handles() == {each.storage for each in first.members}
    late.service.delete_set(second.set_id, budget=Budget.of(CLOCK))
    recover(late, first, PIT, SWAP)
    assert len(late.store.kv) == 50
    # Production runs on the handles now; they are copied as any other storage is.
    late.store.fill(3, "later")
    third = late.copy()
    assert {each.source for each in third.members} == {each.storage for each in first.members}
    late.store.path.write_bytes(b"damage")
    recover(late, third, PIT, COPY_BACK)
    assert len(late.store.kv) == 53


def test_a_copy_that_lost_a_directory_decays(late):
    """The handles are all that the store is asked for."""
    copy = late.copy()
    late.site.parts.production("prod").store.delete(
        [copy.members[0].storage], budget=Budget.of(CLOCK)
    )
    (listed,) = late.frs.copies()
    assert listed.verdict is Verdict.DECAYED
    late.frs.delete_copy(copy.id)
    assert late.sets() == set()
