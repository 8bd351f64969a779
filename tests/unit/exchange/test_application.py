"""Recovery: log analysis, file actions and replay, carried out on real files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.places import actions_for, analyzed, rank

from frskit.errors import RecoveryPrecondition, StorageGroupNotRecognized, StoreError
from frskit.ese import read_database_header
from frskit.exchange import Message
from frskit.model.files import FileRole
from frskit.model.plans import (
    FileActionKind,
    LogVerdict,
    RecoveryMethod,
    RecoveryMode,
    RecoveryTarget,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frskit.model.plans import FileAction, OnlineReport

PIT, RF = RecoveryMode.POINT_IN_TIME, RecoveryMode.ROLL_FORWARD
SWAP, COPY_BACK = RecoveryMethod.SWAP, RecoveryMethod.COPY_BACK
LOGS = "L:\\exchsrvr\\sg1"
MBX = "M:\\exchsrvr\\sg1\\mbx1.edb"
PUB = "P:\\exchsrvr\\sg1\\pub1.edb"


def subjects(world, database: str = "mbx1") -> list[str]:
    """Subjects of all messages."""
    return [each.subject for each in world.exchange.messages("sg1", database)]


def carry_out(server, actions: Sequence[FileAction], copy) -> None:
    """Do what the plan says."""
    for action in actions:
        if action.kind is FileActionKind.COPY_IN:
            place = server.resolve(action.path)
            tree = server.files(place.volume)
            if tree.exists(place.path):
                tree.remove(place.path)
            server.write(action.path, copy.server.read(action.path))
        elif server.files(server.resolve(action.path).volume).exists(
            server.resolve(action.path).path
        ):
            server.rename(action.path, action.target)


def recover(world, copy, mode: RecoveryMode, method: RecoveryMethod) -> OnlineReport:
    """Plan while the stores run, then recover by swapping drives or copying files."""
    application = world.exchange.application
    actions = actions_for(world, copy, mode, method)
    application.take_offline("sg1", budget=world.budget)
    if method is SWAP:
        for letter in "MP" if mode is RF else "LMP":
            world.server.take_drive(letter)
            world.server.put_drive(letter, copy.server.take_drive(letter))
    carry_out(world.server, actions, copy)
    return application.bring_online("sg1", budget=world.budget)


@pytest.fixture
def history(world):
    """A full copy with history before and after it: (world, copy, subjects then, subjects now)."""
    world.fill_logs(3)
    target, session, _ = world.copy()
    then = subjects(world)
    world.complete(session)
    world.fill_logs(4)
    world.deliver(7)
    return world, target, then, subjects(world)


@pytest.mark.rule("EXC-62")
@pytest.mark.rule("EXC-63")
@pytest.mark.rule("FRS-28")
@pytest.mark.parametrize("method", [SWAP, COPY_BACK])
def test_point_in_time(history, method: RecoveryMethod) -> None:
    """Exactly the messages of the freeze, none fewer, none more; newer logs are kept aside."""
    world, copy, then, now = history
    newer = set(world.server.names(LOGS)) - set(copy.server.names(LOGS))
    online = recover(world, copy, PIT, method)
    assert [each.state for each in online.status.databases] == ["mounted", "mounted"]
    assert subjects(world) == then
    assert len(now) > len(then)
    assert online.replayed is not None
    if method is COPY_BACK:
        kept = set(world.server.names(f"{LOGS}\\frskit-aside-1"))
        assert newer <= kept


@pytest.mark.rule("EXC-64")
@pytest.mark.rule("FRS-29")
@pytest.mark.parametrize("method", [SWAP, COPY_BACK])
def test_roll_forward(history, method: RecoveryMethod) -> None:
    """Every committed message up to the last one."""
    world, copy, _, now = history
    online = recover(world, copy, RF, method)
    assert [each.state for each in online.status.databases] == ["mounted", "mounted"]
    assert subjects(world) == now


@pytest.mark.rule("EXC-64")
def test_roll_forward_after_a_crash(history) -> None:
    """Also if the stores died instead of being dismounted."""
    world, copy, _, now = history
    actions = actions_for(world, copy, RF, SWAP)
    world.exchange.stop(clean=False)
    world.exchange.running = True
    for letter in "MP":
        world.server.take_drive(letter)
        world.server.put_drive(letter, copy.server.take_drive(letter))
    carry_out(world.server, actions, copy)
    world.exchange.application.bring_online("sg1", budget=world.budget)
    assert subjects(world) == now


@pytest.mark.rule("EXC-66")
@pytest.mark.rule("HAZ-22")
def test_checkpoint_is_set_aside_for_roll_forward(history) -> None:
    """Left in place, the checkpoint of the dismount makes replay fail with -543."""
    world, copy, _, now = history
    application = world.exchange.application
    actions = actions_for(world, copy, RF, SWAP)
    moved = [each for each in actions if each.path.endswith("E00.chk")]
    assert [each.kind for each in moved] == [FileActionKind.SET_ASIDE]
    assert moved[0].target == f"{LOGS}\\frskit-aside-1\\E00.chk"
    application.take_offline("sg1", budget=world.budget)
    for letter in "MP":
        world.server.take_drive(letter)
        world.server.put_drive(letter, copy.server.take_drive(letter))
    with pytest.raises(StoreError) as caught:
        application.bring_online("sg1", budget=world.budget)
    assert caught.value.native == -543
    assert not world.exchange.group("sg1").is_open
    assert 9518 in world.event_ids("MSExchangeIS")
    carry_out(world.server, actions, copy)
    application.bring_online("sg1", budget=world.budget)
    assert subjects(world) == now


@pytest.mark.rule("HAZ-22")
def test_checkpoint_that_the_dismount_will_move_is_set_aside(world) -> None:
    """At planning time it is not ahead of the headers yet; the dismount would make it so."""
    world.deliver(5)
    copy, session, _ = world.copy()
    world.complete(session, succeeded=False)
    world.deliver(5)
    wanted = subjects(world)
    assert not analyzed(world, copy, RF).stale_checkpoint
    recover(world, copy, RF, SWAP)
    assert subjects(world) == wanted


@pytest.mark.rule("FRS-29")
def test_roll_forward_by_swap_touches_no_log(history) -> None:
    """The plan renames the checkpoint and nothing else; no file of the copy is copied in."""
    world, copy, _, _ = history
    actions = actions_for(world, copy, RF, SWAP)
    assert [each.path for each in actions] == [f"{LOGS}\\E00.chk"]


@pytest.mark.rule("FRS-28")
def test_point_in_time_by_swap_needs_no_file_action(history) -> None:
    """Logs and checkpoint come with the LUNs."""
    world, copy, _, _ = history
    assert not actions_for(world, copy, PIT, SWAP)


def test_point_in_time_by_swap_without_the_log_volume(history) -> None:
    """If the copy does not cover the log volume, newer logs and the checkpoint go aside."""
    world, copy, _, _ = history
    copy.server.take_drive("L")
    actions = actions_for(world, copy, PIT, SWAP)
    assert {each.kind for each in actions} == {FileActionKind.SET_ASIDE}
    names = {each.path.rsplit("\\", 1)[1] for each in actions}
    assert {"E00.log", "E00.chk"} <= names


@pytest.mark.rule("EXC-65")
def test_later_logs_left_in_place_roll_forward(history) -> None:
    """What the set-aside prevents: with production's logs in place point in time is lost."""
    world, copy, then, now = history
    application = world.exchange.application
    actions = actions_for(world, copy, PIT, COPY_BACK)
    application.take_offline("sg1", budget=world.budget)
    kept_logs = [
        each
        for each in actions
        if not (each.kind is FileActionKind.SET_ASIDE and each.path.endswith(".log"))
        and not each.path.endswith("E00tmp.log")
    ]
    carry_out(world.server, kept_logs, copy)
    application.bring_online("sg1", budget=world.budget)
    assert subjects(world) == now != then


def test_a_log_closed_by_the_dismount_is_provided_for(history) -> None:
    """Generations that appear between plan and dismount go aside as well."""
    world, copy, then, _ = history
    application = world.exchange.application
    actions = actions_for(world, copy, PIT, COPY_BACK)
    world.fill_logs(1)
    application.take_offline("sg1", budget=world.budget)
    carry_out(world.server, actions, copy)
    application.bring_online("sg1", budget=world.budget)
    assert subjects(world) == then


def test_set_aside_never_overwrites(history) -> None:
    """A second recovery uses another directory."""
    world, copy, _, _ = history
    world.server.rename(f"{LOGS}\\E00tmp.log", f"{LOGS}\\frskit-aside-1\\E00tmp.log")
    actions = actions_for(world, copy, RF, SWAP)
    assert "frskit-aside-2" in actions[0].target


def test_plans_are_pure(history) -> None:
    """Asking twice gives the same plan and changes nothing."""
    world, copy, _, _ = history
    before = {k: d.read(0, d.size_bytes) for k, d in world.server.devices.items()}
    for mode in (PIT, RF):
        for method in (SWAP, COPY_BACK):
            first = actions_for(world, copy, mode, method)
            assert actions_for(world, copy, mode, method) == first
    assert {k: d.read(0, d.size_bytes) for k, d in world.server.devices.items()} == before


@pytest.mark.rule("FRS-30")
@pytest.mark.rule("EXC-71")
def test_single_store_goes_forward_only(history) -> None:
    """One store of the group: back in time it is refused, forward the other one is untouched."""
    world, copy, _, now = history
    world.deliver(4, "pub1")
    public = subjects(world, "pub1")
    copy.server.take_drive("P")
    application = world.exchange.application
    assert analyzed(world, copy, PIT).verdict is LogVerdict.IMPOSSIBLE
    actions = actions_for(world, copy, RF, SWAP)
    application.take_offline("sg1", budget=world.budget)
    assert analyzed(world, copy, PIT).code == -551
    world.server.take_drive("M")
    world.server.put_drive("M", copy.server.take_drive("M"))
    carry_out(world.server, actions, copy)
    application.bring_online("sg1", budget=world.budget)
    assert subjects(world) == now
    assert subjects(world, "pub1") == public


def test_analysis_of_both_modes(history) -> None:
    """Point in time reaches the copy's last log, roll forward production's current one."""
    world, copy, _, _ = history
    held = [int(n[3:8], 16) for n in copy.server.names(LOGS) if len(n) == 12]
    in_time = analyzed(world, copy, PIT, component="SG1")
    forward = analyzed(world, copy, RF)
    assert (in_time.verdict, rank(in_time.reaches)) == (LogVerdict.OK, max(held))
    assert (forward.verdict, rank(forward.reaches)) == (LogVerdict.OK, world.current())
    here = analyzed(world, None, RF)
    assert (here.verdict, rank(here.reaches)) == (LogVerdict.OK, world.current())


def test_analysis_of_an_offline_group(history) -> None:
    """Cleanly dismounted production: clean, and it could go on from its last log."""
    world, _, _, _ = history
    world.exchange.application.take_offline("sg1", budget=world.budget)
    assert analyzed(world, None, PIT).verdict is LogVerdict.CLEAN
    assert analyzed(world, None, RF).verdict is LogVerdict.OK


@pytest.mark.rule("EXC-67")
def test_gap_in_production_is_partial_and_recoverable(history) -> None:
    """A lost log: replay up to it after everything behind is set aside; the engine agrees."""
    world, copy, then, now = history
    top = max(int(n[3:8], 16) for n in world.server.names(LOGS) if len(n) == 12)
    world.server.remove(f"{LOGS}\\E00{top - 1:05x}.log")
    analysis = analyzed(world, copy, RF)
    assert (analysis.verdict, rank(analysis.gap_at)) == (LogVerdict.PARTIAL, top - 1)
    recover(world, copy, RF, SWAP)
    found = subjects(world)
    assert then == found[: len(then)]
    assert len(then) < len(found) < len(now)


@pytest.mark.rule("EXC-67")
def test_required_log_lost(history) -> None:
    """Without a log of the required range the copy cannot be rolled forward: -543."""
    world, copy, _, _ = history
    needed = analyzed(world, copy, RF).needed
    assert needed is not None
    world.server.remove(f"{LOGS}\\E00{needed.first.rank:05x}.log")
    analysis = analyzed(world, copy, RF)
    assert (analysis.verdict, analysis.code) == (LogVerdict.IMPOSSIBLE, -543)


@pytest.mark.rule("EXC-70")
def test_missing_store_is_1216(history) -> None:
    """A store that the copy lost: the analysis says -1216 before anything is touched."""
    world, copy, _, _ = history
    copy.server.remove("P:\\exchsrvr\\sg1\\pub1.edb")
    analysis = analyzed(world, copy, PIT)
    assert (analysis.verdict, analysis.code) == (LogVerdict.IMPOSSIBLE, -1216)


@pytest.mark.rule("HAZ-23")
def test_empty_log_directory_is_refused(world) -> None:
    """Dirty databases over an empty log directory never start a new stream by accident."""
    world.deliver(10)
    world.exchange.stop(clean=False)
    for name in world.server.names(LOGS):
        world.server.remove(f"{LOGS}\\{name}")
    analysis = analyzed(world, None, RF)
    assert (analysis.verdict, analysis.code) == (LogVerdict.IMPOSSIBLE, -550)
    with pytest.raises(StoreError) as caught:
        world.exchange.application.bring_online("sg1", budget=world.budget)
    assert caught.value.native == -550
    assert world.server.names(LOGS) == []


@pytest.mark.rule("EXC-73")
def test_second_timeline_is_not_replayed(history) -> None:
    """After a point-in-time recovery an older copy stops where the timelines part."""
    world, copy, _, _ = history
    world.fill_logs(2)
    newer, session, _ = world.copy()
    world.complete(session, succeeded=False)
    recover(world, copy, PIT, COPY_BACK)
    world.fill_logs(8)
    analysis = analyzed(world, newer, RF)
    assert analysis.verdict is not LogVerdict.OK
    assert analysis.code in (-515, -543)


@pytest.mark.rule("EXC-75")
def test_bringing_online_twice_changes_nothing(history) -> None:
    """The second call finds everything mounted."""
    world, copy, then, _ = history
    recover(world, copy, PIT, SWAP)
    online = world.exchange.application.bring_online("sg1", budget=world.budget)
    assert online.replayed is None
    assert subjects(world) == then


def test_recovered_group_can_be_backed_up_and_recovered_again(history) -> None:
    """Life goes on after a recovery: deliver, copy, recover."""
    world, copy, then, _ = history
    recover(world, copy, PIT, SWAP)
    world.deliver(5)
    again, session, _ = world.copy()
    world.complete(session)
    wanted = subjects(world)
    world.deliver(3)
    recover(world, again, PIT, SWAP)
    assert subjects(world) == wanted
    assert len(wanted) == len(then) + 5


def test_circular_point_in_time(circular_world) -> None:
    """With circular logging the image holds the current log; point in time works."""
    world = circular_world
    world.deliver(40)
    copy, session, _ = world.copy()
    then = subjects(world)
    world.complete(session)
    world.fill_logs(6)
    recover(world, copy, PIT, COPY_BACK)
    assert subjects(world) == then


def test_damaged_store_is_shown_and_recovered(history) -> None:
    """Noise over the database: state "damaged", recovery to the last message all the same."""
    world, copy, _, now = history
    world.exchange.group("sg1").close(clean=False)
    world.server.write(MBX, b"\x5a" * 49152)
    world.exchange.group("sg1").mount_all(["mbx1", "pub1"])
    status = world.exchange.application.status("sg1")
    states = {each.name: each.state for each in status.databases}
    assert states == {"mbx1": "damaged", "pub1": "dismounted"}
    assert all(each.items is None and each.detail for each in status.databases)
    recover(world, copy, RF, SWAP)
    assert subjects(world) == now


def test_store_with_bad_pages_can_be_taken_offline(history) -> None:
    """Damage under a running store shows as "damaged" and does not stand against recovery."""
    world, copy, _, now = history
    world.exchange.stop()
    world.exchange.start()
    for page in range(20, 60):
        world.server.write(MBX, b"\xee" * 100, offset=(page + 1) * 4096 + 500)
    status = world.exchange.application.status("sg1")
    assert [each.state for each in status.databases] == ["damaged", "mounted"]
    recover(world, copy, RF, SWAP)
    assert subjects(world) == now


def test_groups_and_owner(world) -> None:
    """Names, paths and owner, also while everything is down."""
    world.exchange.stop()
    (info,) = world.exchange.application.components()
    assert info.databases == ("mbx1", "pub1")
    assert info.paths[0] == (FileRole.DATABASE, MBX)
    assert info.paths[2:] == ((FileRole.LOG, LOGS), (FileRole.CHECKPOINT, LOGS))
    assert info.owner == "evs1"
    with pytest.warns(DeprecationWarning, match="is now in 'paths'"):
        assert (info.database_paths[0], info.log_path, info.system_path) == (MBX, LOGS, LOGS)
    with pytest.raises(StorageGroupNotRecognized):
        world.exchange.application.status("sg7")


def flags(world):
    """Whether each database can be overwritten by a restore."""
    return [each.may_be_overwritten for each in world.exchange.group("sg1").settings.databases]


@pytest.mark.rule("EXC-58")
def test_the_overwrite_flag_lives_from_offline_to_online(world) -> None:
    """A restore sets it with the dismount; the mount, or a dismount for no restore, takes it back."""
    application = world.exchange.application
    for _ in range(2):
        application.take_offline("sg1", for_restore=True, budget=world.budget)
        assert flags(world) == [True, True]
    application.take_offline("sg1", for_restore=False, budget=world.budget)
    assert flags(world) == [False, False]
    application.take_offline("sg1", for_restore=True, budget=world.budget)
    for _ in range(2):
        online = application.bring_online("sg1", budget=world.budget)
        assert {each.state for each in online.status.databases} == {"mounted"}
        assert flags(world) == [False, False]
    assert online.replayed is None


@pytest.mark.rule("EXC-58")
def test_a_replay_that_failed_leaves_the_group_down_and_marked(world) -> None:
    """Files are put back next, and the writer's PreRestore is asked again."""
    application = world.exchange.application
    application.take_offline("sg1", for_restore=True, budget=world.budget)
    log = LOGS + "\\E00.log"
    kept = world.server.read(log)
    world.server.write(log, b"\xff" * len(kept))
    for _ in range(2):
        with pytest.raises(StoreError):
            application.bring_online("sg1", budget=world.budget)
        assert flags(world) == [True, True]
        assert "mounted" not in {each.state for each in application.status("sg1").databases}
    world.server.write(log, kept)
    application.bring_online("sg1", budget=world.budget)
    assert flags(world) == [False, False]


def test_take_offline_is_idempotent_and_counts_come_back(world) -> None:
    """Offline twice, then online with the same messages."""
    world.exchange.deliver("sg1", "pub1", [Message(subject="public", body=b"x", folder=2)])
    for _ in range(2):
        world.exchange.application.take_offline("sg1", budget=world.budget)
    status = world.exchange.application.status("sg1")
    assert [each.state for each in status.databases] == ["dismounted", "dismounted"]
    assert status.current_log is not None
    online = world.exchange.application.bring_online("sg1", budget=world.budget)
    assert [each.items for each in online.status.databases] == [0, 1]


def test_missing_files_are_called_missing(world) -> None:
    """A database whose file is gone is neither dismounted nor damaged."""
    world.exchange.application.take_offline("sg1", budget=world.budget)
    world.server.remove(MBX)
    states = [each.state for each in world.exchange.application.status("sg1").databases]
    assert states == ["missing", "dismounted"]


def test_point_in_time_without_the_logs_volume_keeps_what_the_databases_need(history) -> None:
    """The copy has databases only: production's logs up to their need stay, later ones go aside."""
    world, copy, _, _ = history
    headers = [read_database_header(copy.server.read(path)) for path in (MBX, PUB)]
    last = max(each.gen_max_required for each in headers)
    copy.server.take_drive("L")
    actions = actions_for(world, copy, PIT, SWAP)
    moved = {each.path for each in actions if each.kind is FileActionKind.SET_ASIDE}
    kept = {f"{LOGS}\\{name}" for name in world.server.names(LOGS)} - moved
    assert kept == {f"{LOGS}\\E00{g:05x}.log" for g in range(1, last + 1)}


def test_places_are_named_by_files_and_belong_to_the_log_signature(history) -> None:
    """The name that a log keeps for good; the stream of status, analysis, replay and check agree."""
    world, copy, _, _ = history
    status = world.exchange.application.status("sg1")
    assert status.current_log.name == f"E00{status.current_log.rank:05x}.log"
    assert status.unit == "messages"
    stream = status.current_log.stream
    assert stream
    assert status.lowest_log.stream == status.checkpoint.stream == stream
    analysis = analyzed(world, copy, RF)
    assert (analysis.reaches.stream, analysis.needed.first.stream) == (stream, stream)
    world.exchange.application.take_offline("sg1", budget=world.budget)
    assert world.exchange.application.status("sg1").current_log.stream == stream
    online = recover(world, copy, PIT, SWAP)
    assert online.replayed.last.stream == stream


def test_exchange_cannot_stop_on_the_way(history) -> None:
    """It declares no kind of stop, and refuses one that comes nevertheless."""
    world, copy, _, _ = history
    application = world.exchange.application
    assert {each.stop_kinds for each in application.components()} == {frozenset()}
    target = RecoveryTarget(mode=RF, stop_kind="time", stop="12:00")
    with pytest.raises(RecoveryPrecondition, match="cannot stop at time 12:00"):
        application.analyze("sg1", copy, target, budget=world.budget)
    with pytest.raises(RecoveryPrecondition, match="cannot stop at time 12:00"):
        application.file_actions("sg1", copy, target, SWAP, budget=world.budget)
