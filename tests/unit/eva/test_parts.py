"""Each part of the array is made and used without the facade over all of them."""

from __future__ import annotations

import inspect
import random
import re

import pytest

from frskit.clock import Budget, VirtualClock
from frskit.errors import InsufficientCapacity, NameInUse, StorageNotFound, UsageError
from frskit.eva import EVA8000, SimulatedEva
from frskit.eva.array_state import ArrayState
from frskit.eva.copy_sets import CopySets
from frskit.eva.hosts import Hosts
from frskit.eva.normalization import Normalization
from frskit.eva.presentations import Presentations
from frskit.eva.space import DemandSnapshots, GroupSpace
from frskit.eva.virtual_disks import VirtualDisks
from frskit.model.ids import CopyKey
from frskit.model.storage import CopyKind, CopyRequest, CopyState

MIB = 1 << 20


@pytest.fixture
def clock():
    return VirtualClock()


@pytest.fixture
def state(clock):
    return ArrayState("EVA1", profile=EVA8000, clock=clock, rng=random.Random(1), directory=None)


@pytest.fixture
def space(state):
    return GroupSpace(state)


@pytest.fixture
def disks(state, space):
    """Virtual disks, with one group of 64 MiB."""
    disks = VirtualDisks(state, space)
    disks.create_disk_group("default", size_bytes=64 * MIB)
    return disks


def copy(state, space, clock, source, kind):
    """The record of one committed copy of `source`."""
    sets, budget = CopySets(state, space, DemandSnapshots(state, space)), Budget.of(clock)
    request = CopyRequest(source=source, kind=kind, name="copy")
    staged = sets.stage_copies([request], key=CopyKey("k"), budget=budget)
    (made,) = sets.commit_copies(staged, budget=budget)
    return state.disk(made.id)


def test_a_failed_command_of_the_state_changes_nothing(state):
    before = state.record.numbering
    with pytest.raises(UsageError), state.command():
        state.check_free_name("a:b")
    assert state.record.numbering == before
    state.close()
    with pytest.raises(UsageError, match="closed"), state.query():
        pass


def test_space_counts_what_disks_take(state, space, disks):
    assert space.free_psegs("default") == 32
    disks.create_storage("data", 8 * MIB, disk_group="default")
    assert space.free_psegs("default") == 24  # Vraid1 costs twice
    with pytest.raises(InsufficientCapacity):
        space.take("default", 25)
    with pytest.raises(StorageNotFound):
        space.free_psegs("other")


def test_hosts_keep_their_ports_to_themselves(state):
    hosts = Hosts(state)
    hosts.add_host("one", ports=["1000-0000-C96C-C699"])
    with pytest.raises(NameInUse):
        hosts.add_host("two", ports=["10000000c96cc699"])
    assert hosts.hosts() == ("one",)


def test_normalization_goes_as_far_as_time_allows(state, space, disks, clock):
    Normalization(state)
    source = disks.create_storage("data", 8 * MIB, disk_group="default")
    clone = copy(state, space, clock, source, CopyKind.SNAPCLONE)
    clock.advance(4 * MIB / EVA8000.copy_bytes_per_s)
    with state.query():
        half = state.disk(clone.id)
    assert half.state is CopyState.NORMALIZING
    assert half.copied_bytes == pytest.approx(4 * MIB, abs=2)
    clock.advance(1)
    with state.query():
        assert state.disk(clone.id).state is CopyState.INDEPENDENT


def test_a_demand_snapshot_grows_once_per_chunk(state, space, disks, clock):
    vsnaps = DemandSnapshots(state, space)
    source = disks.create_storage("data", 8 * MIB, disk_group="default")
    snapshot = copy(state, space, clock, source, CopyKind.VSNAP)
    free = space.free_psegs("default")
    for _ in range(2):
        vsnaps.preserve(state.disk(source), 0, 4096)
    assert space.free_psegs("default") == free - 2
    vsnaps.invalidate(snapshot)
    assert space.free_psegs("default") == free
    assert vsnaps.dependents(state.disk(source)) == []


def test_presentations_give_a_device_that_ends_with_them(state, space, disks, clock):
    shown, budget = Presentations(state, DemandSnapshots(state, space)), Budget.of(clock)
    source = disks.create_storage("data", 8 * MIB, disk_group="default")
    host = Hosts(state).add_host("one", ports=["1000-0000-C96C-C699"])
    presentation = shown.present(source, host, read_only=False, budget=budget)
    device = shown.open_lun(host, 1)
    device.write(5, b"bytes")
    assert device.read(5, 5) == b"bytes"
    shown.unpresent(presentation, budget=budget)
    assert shown.report_luns(host) == ()


def documented(method):
    """The sections of a docstring: what is named under ``Args:``, and which sections there are."""
    sections = dict(
        re.findall(r"^(Args|Returns|Raises):\n((?:    .*\n?|\n)+)", method, re.MULTILINE)
    )
    return set(re.findall(r"^    (\w+): ", sections.get("Args", ""), re.MULTILINE)), set(sections)


METHODS = [
    method
    for name, method in inspect.getmembers(SimulatedEva, inspect.isfunction)
    if not name.startswith("_")
]


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.__name__)
def test_the_facade_describes_what_it_takes_and_gives(method):
    """Users read the facade, so each argument and result is described there."""
    signature = inspect.signature(method)
    arguments, sections = documented(f"{inspect.getdoc(method)}\n")
    assert arguments == set(signature.parameters) - {"self"}
    assert ("Returns" in sections) == (signature.return_annotation != "None")
    assert "Raises" in sections or "budget" not in arguments
