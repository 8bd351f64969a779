"""The simulated Exchange server: metadata, settings, service, adopted databases."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING

import pytest
from attrs import evolve

from frskit.clock import Budget
from frskit.codes.exchange_events import is_recalled
from frskit.errors import (
    ConfigurationError,
    FileExists,
    LimitExceeded,
    NameInUse,
    NotFound,
    StorageGroupNotRecognized,
    StoreError,
)
from frskit.exchange import Message, SimulatedExchange
from frskit.exchange.event_log import EventEntry
from frskit.exchange.writer.component_tree import log_base
from frskit.model.components import ComponentKind
from frskit.model.files import FileRole
from frskit.model.ids import IdFactory

if TYPE_CHECKING:
    from frskit.model.components import Component

LOGS = "L:\\exchsrvr\\sg1"


def by_caption(world, caption: str) -> Component:
    """The component that people call so."""
    (found,) = (
        each
        for each in world.writer.identify(budget=Budget.unlimited()).components
        if each.caption == caption
    )
    return found


def reopened(world, data: dict[str, object] | None = None) -> SimulatedExchange:
    """Another process: an Exchange of stored settings on the same volumes."""
    settings = data or json.loads(json.dumps(world.exchange.to_settings()))
    made = SimulatedExchange.from_settings(
        settings,
        world.server,
        clock=world.clock,
        rng=random.Random(2),
        ids=IdFactory(random.Random(2)),
        profile=world.exchange.profile,
    )
    assert not made.running  # the host decides when it starts
    if settings["running"]:
        made.start()
    return made


@pytest.mark.rule("EXC-04")
def test_only_storage_groups_are_selectable(world) -> None:
    """The storage group may be named in a backup, nothing else."""
    selectable = [
        c.caption
        for c in world.writer.identify(budget=Budget.unlimited()).components
        if c.selectable
    ]
    assert selectable == ["sg1"]


@pytest.mark.rule("EXC-05")
def test_databases_are_selectable_for_restore(world) -> None:
    """A restore may name a database, but not the logs."""
    assert by_caption(world, "mbx1").selectable_for_restore
    assert by_caption(world, "sg1").selectable_for_restore
    assert not by_caption(world, "Logs").selectable_for_restore


@pytest.mark.rule("EXC-06")
def test_one_log_component_with_both_paths(world) -> None:
    """Logs and checkpoint, each with its own directory."""
    world.server.add_drive("S")
    world.exchange.add_storage_group("sg2", log_path="L:\\sg2", system_path="S:\\sg2")
    world.exchange.add_database("sg2", "mbx2", path="M:\\sg2\\mbx2.edb")
    group = by_caption(world, "sg2")
    below = [
        c
        for c in world.writer.identify(budget=Budget.unlimited()).components
        if group.id.is_ancestor_of(c.id)
    ]
    (logs,) = [c for c in below if c.caption == "Logs"]
    assert [(f.path, f.pattern, f.role) for f in logs.files] == [
        ("L:\\sg2", "E01*.log", FileRole.LOG),
        ("S:\\sg2", "E01.chk", FileRole.CHECKPOINT),
    ]
    assert log_base(logs.files[0]) == "E01"


@pytest.mark.rule("EXC-07")
def test_database_component_has_both_files(world) -> None:
    """An .edb and its .stm are one unit."""
    files = by_caption(world, "mbx1").files
    assert [each.pattern for each in files] == ["mbx1.edb", "mbx1.stm"]
    assert {each.role for each in files} == {FileRole.DATABASE}


def test_tree_of_the_worked_example(world) -> None:
    """Containers without files down to the server, then the group with its children."""
    components = world.writer.identify(budget=Budget.unlimited()).components
    paths = [each.id.full_path for each in components]
    root = "Microsoft Exchange Server\\Microsoft Information Store\\evs1"
    assert paths[:3] == [
        "Microsoft Exchange Server",
        "Microsoft Exchange Server\\Microsoft Information Store",
        root,
    ]
    assert all(each.kind is ComponentKind.FILE_GROUP for each in components)
    assert all(not each.files for each in components[:4])
    group = by_caption(world, "sg1")
    assert group.id.logical_path == root
    assert group.answers_to("SG1")
    assert len(world.writer.identify(budget=Budget.unlimited()).component_set(group.id)) == 4


@pytest.mark.rule("EXC-03")
def test_only_mounted_databases_are_listed(world) -> None:
    """A dismounted database disappears, with the last one the whole group."""
    world.exchange.dismount("sg1", "pub1")
    captions = [
        each.caption for each in world.writer.identify(budget=Budget.unlimited()).components
    ]
    assert "pub1" not in captions
    assert "mbx1" in captions
    world.exchange.dismount("sg1", "mbx1")
    assert world.writer.identify(budget=Budget.unlimited()).components == ()


@pytest.mark.rule("EXC-09")
def test_saved_metadata_does_not_change(world) -> None:
    """Each Identify is a new document; the old one stays as it was."""
    saved = world.writer.identify(budget=Budget.unlimited())
    before = evolve(saved)
    world.exchange.dismount("sg1", "pub1")
    assert saved == before
    assert world.writer.identify(budget=Budget.unlimited()) != saved


def test_settings_survive_a_restart_of_the_process(world) -> None:
    """Groups, paths, GUIDs and flags come back, and so do the messages."""
    world.deliver(20)
    world.exchange.dismount("sg1", "pub1")
    before = world.writer.identify(budget=Budget.unlimited())
    data = json.loads(json.dumps(world.exchange.to_settings()))
    world.exchange.stop()
    again = reopened(world, data)
    assert again.running
    assert len(list(again.messages("sg1", "mbx1"))) == 20
    assert again.group("sg1").mounted == ("mbx1",)
    assert again.writer.identify(budget=Budget.unlimited()).components == before.components
    assert again.settings == evolve(world.exchange.settings, running=True)


def test_settings_survive_a_crash(world) -> None:
    """After a crash the service starts with soft recovery; acknowledged messages are there."""
    ids = world.deliver(20)
    data = world.exchange.to_settings()
    world.exchange.stop(clean=False)
    again = reopened(world, data)
    assert [each.id for each in again.messages("sg1")] == ids


@pytest.mark.parametrize("change", ["schema", "groups", "guid", "kind"])
def test_damaged_settings(world, change: str) -> None:
    """Anything wrong is a typed error."""
    data = json.loads(json.dumps(world.exchange.to_settings()))
    if change == "schema":
        data["schema"] = "other/1"
    elif change == "groups":
        data["groups"] = "none"
    elif change == "guid":
        data["groups"][0]["guid"] = 7
    else:
        data["groups"][0]["databases"][0]["kind"] = "fridge"
    with pytest.raises(ConfigurationError):
        reopened(world, data)


def test_one_unmountable_group_does_not_hold_up_the_other(world) -> None:
    """Service start: what cannot be mounted is shown with its error, the rest comes up."""
    world.server.add_drive("N")
    world.exchange.add_storage_group("sg2", log_path="N:\\sg2")
    world.exchange.add_database("sg2", "mbx2", path="N:\\sg2\\mbx2.edb")
    world.exchange.stop(clean=False)
    for name in world.server.names(LOGS):
        world.server.remove(f"{LOGS}\\{name}")
    world.exchange.start()
    status = world.exchange.application.status("sg1")
    assert {each.state for each in status.databases} == {"damaged"}
    assert world.exchange.group("sg2").mounted == ("mbx2",)


def test_one_unmountable_store_does_not_hold_up_its_group(world) -> None:
    """A clean store whose volume is gone stays down; the other store of the group comes up."""
    world.exchange.stop()
    drive = world.server.take_drive("P")
    world.exchange.start()
    states = [each.state for each in world.exchange.application.status("sg1").databases]
    assert states == ["mounted", "missing"]
    world.server.put_drive("P", drive)
    world.exchange.mount("sg1", "pub1")
    assert world.exchange.group("sg1").mounted == ("mbx1", "pub1")


def test_luns_are_looked_up_at_each_mount(world) -> None:
    """A volume that was dismounted and mounted again is found; no old file system is kept."""
    world.deliver(3)
    world.exchange.application.take_offline("sg1", budget=world.budget)
    for letter in "LMP":
        world.server.put_drive(letter, world.server.take_drive(letter))
    world.exchange.mount("sg1", "mbx1")
    world.deliver(3)
    world.exchange.dismount("sg1", "mbx1")
    world.exchange.mount("sg1", "pub1")
    world.server.put_drive("M", world.server.take_drive("M"))
    world.exchange.mount("sg1", "mbx1")
    assert world.total() == 6


def test_adopted_database(world) -> None:
    """A foreign database is listed in its own container, without .stm, and never written."""
    world.server.add_drive("N")
    world.exchange.add_storage_group("sg9", log_path="N:\\sg9")
    world.exchange.add_database("sg9", "mbx9", path="N:\\sg9\\mbx9.edb")
    foreign = world.server.read("N:\\sg9\\mbx9.edb")
    world.exchange.add_database("sg1", "adopted", path="M:\\adopted\\a.edb", adopt=foreign)
    component = by_caption(world, "adopted")
    assert component.id.logical_path.endswith("\\Foreign")
    assert [each.pattern for each in component.files] == ["a.edb"]
    status = world.exchange.application.status("sg1").databases[2]
    assert (status.state, status.items) == ("mounted", None)
    world.fill_logs(3)
    target, session, _ = world.copy()
    world.complete(session)
    world.exchange.stop()
    world.exchange.start()
    assert world.server.read("M:\\adopted\\a.edb") == foreign
    assert target.server.read("M:\\adopted\\a.edb") == foreign
    assert "adopted" in world.exchange.group("sg1").mounted
    with pytest.raises(NotFound):
        world.exchange.deliver("sg1", "adopted", [Message(subject="x")])


def test_what_is_no_database_is_not_adopted(world) -> None:
    """Random bytes are refused and leave nothing behind."""
    with pytest.raises(StoreError):
        world.exchange.add_database("sg1", "x", path="M:\\x\\x.edb", adopt=bytes(20000))
    assert world.server.names("M:\\x") == []
    assert len(world.exchange.group("sg1").settings.databases) == 2


def test_names_and_limits(world) -> None:
    """Names and prefixes are unique, 2003 has four groups of five databases."""
    with pytest.raises(NameInUse):
        world.exchange.add_storage_group("sg1", log_path="L:\\other")
    with pytest.raises(NameInUse):
        world.exchange.add_storage_group("sg2", log_path="L:\\other", base="E00")
    with pytest.raises(NameInUse):
        world.exchange.add_database("sg1", "mbx1", path="M:\\again.edb")
    with pytest.raises(FileExists):
        world.exchange.add_database("sg1", "new", path="M:\\exchsrvr\\sg1\\mbx1.edb")
    for number in range(2, 5):
        world.exchange.add_storage_group(f"sg{number}", log_path=f"L:\\sg{number}")
    with pytest.raises(LimitExceeded):
        world.exchange.add_storage_group("sg5", log_path="L:\\sg5")
    for number in range(3):
        world.exchange.add_database("sg1", f"more{number}", path=f"M:\\more{number}.edb")
    with pytest.raises(LimitExceeded):
        world.exchange.add_database("sg1", "six", path="M:\\six.edb")


def test_unknown_names(world) -> None:
    """Unknown groups and databases are typed errors."""
    with pytest.raises(StorageGroupNotRecognized):
        world.exchange.group("nope")
    with pytest.raises(NotFound):
        world.exchange.deliver("sg1", "nope", [])
    world.exchange.stop()
    with pytest.raises(StoreError):
        world.exchange.deliver("sg1", None, [Message(subject="x")])


def test_circular_logging_takes_effect_at_the_next_start(world) -> None:
    """The flag alone changes nothing in a running group [KB296788]."""
    world.exchange.set_circular("sg1", True)
    world.fill_logs(2)
    target, session, _ = world.copy()
    assert "E00.log" not in target.server.names(LOGS)
    world.complete(session)
    world.exchange.stop()
    world.exchange.start()
    target, _, _ = world.copy()
    assert "E00.log" in target.server.names(LOGS)


def test_events_say_which_numbers_are_recalled(world) -> None:
    """Numbers without a readable source are marked; those with one are not."""
    _, session, _ = world.copy()
    world.complete(session)
    marked = {each.id for each in world.exchange.events if each.recalled}
    plain = {each.id for each in world.exchange.events if not each.recalled}
    assert {9610, 9612, 9616} <= marked
    assert {9606, 9608, 2001, 2006} <= plain
    assert not is_recalled(9607)
    entry = EventEntry(id=9610, source="ESE", text="", at=world.clock.now())
    assert not entry.recalled


def test_same_seed_same_bytes(make_world) -> None:
    """Everything is injected: two runs of one seed make identical volumes and events."""
    runs = []
    for _ in range(2):
        world = make_world(seed=5)
        world.fill_logs(2)
        _, session, _ = world.copy()
        world.complete(session)
        devices = {k: d.read(0, d.size_bytes) for k, d in world.server.devices.items()}
        runs.append((devices, world.exchange.events, world.exchange.to_settings()))
    assert runs[0] == runs[1]


def test_start_and_stop_are_idempotent(world) -> None:
    """Starting twice keeps the instance, stopping twice is fine."""
    instance = world.exchange.instance_id
    world.exchange.start()
    assert world.exchange.instance_id == instance
    world.exchange.stop()
    world.exchange.stop()
    assert not world.exchange.running
