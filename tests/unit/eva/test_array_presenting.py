"""Hosts, LUN numbers and the devices behind them; what management software shows."""

from __future__ import annotations

import attrs
import pytest

from frskit.errors import (
    CopyConflict,
    DeviceError,
    LimitExceeded,
    NameInUse,
    PresentationFailed,
    StaleLun,
    StillPresented,
    StorageNotFound,
    UsageError,
    WriteProtected,
)
from frskit.eva import EVA8000
from frskit.model.ids import HostRef
from frskit.model.storage import CopyKind, CopyState

MIB = 1 << 20


@pytest.mark.rule("EVA-35")
def test_storage_is_unreachable_until_presented_and_after_hiding(bench):
    """A host sees nothing before, the disk while, and nothing after its presentation."""
    source = bench.disk(shown=False)
    assert bench.array.report_luns("frs1") == ()
    with pytest.raises(DeviceError):
        bench.array.open_lun("frs1", 1)
    shown = bench.show(source)
    assert shown.access == bench.array.report_luns("frs1")[0]
    assert shown.access.storage == source
    assert shown.access.identifiers == bench.array.storage([source])[0].identifiers
    assert bench.array.report_luns("evs1") == ()
    device = bench.array.open_lun("frs1", shown.access.number)
    device.write(0, b"x")
    bench.hide(source)
    for call in (
        lambda: device.read(0, 1),
        lambda: device.write(0, b"1"),
        lambda: device.discard(0, 1),
        device.flush,
        lambda: bench.array.open_lun("frs1", 1),
    ):
        with pytest.raises(DeviceError):
            call()
    assert device.read_only
    bench.show(source)
    assert device.read(0, 1) == b"x"


@pytest.mark.rule("EVA-36", "EVA-37")
def test_lun_numbers(bench):
    """Lowest free number, from 1, per host; a number may be asked for, 0 and 256 never."""
    disks = [bench.disk(f"d{index}", MIB, shown=False) for index in range(5)]

    def present(index, host="frs1", **more):
        shown = bench.array.present(
            disks[index], host, read_only=False, budget=bench.budget, **more
        )
        return shown.access.number

    assert [present(0), present(1), present(2)] == [1, 2, 3]
    assert present(1, "evs1") == 1
    bench.hide(disks[1])
    assert present(3) == 2
    assert present(4, number=255) == 255
    before = bench.picture()
    for number in (0, 256, 1, 255):
        with pytest.raises(PresentationFailed):
            present(1, number=number)
    assert bench.picture() == before
    luns = bench.array.report_luns("frs1")
    assert [each.number for each in luns] == [1, 2, 3, 255]
    assert luns[-1].storage == disks[4]


@pytest.mark.rule("EVA-36")
def test_a_host_runs_out_of_numbers(make_bench):
    """When every number of a host is taken, a presentation is refused and nothing changes."""
    bench = make_bench(attrs.evolve(EVA8000, max_lun=3))
    for index in range(3):
        bench.show(bench.disk(f"d{index}", MIB, shown=False))
    extra = bench.disk("extra", MIB, shown=False)
    before = bench.picture()
    with pytest.raises(PresentationFailed, match="no free"):
        bench.show(extra)
    assert bench.picture() == before
    bench.show(extra, "evs1")


@pytest.mark.rule("EVA-37")
def test_one_presentation_per_disk_and_host(bench):
    """Repeating returns it; another mode or number is refused."""
    source = bench.disk(shown=False)
    shown = bench.show(source, read_only=True)
    assert bench.show(source, read_only=True) == shown
    with pytest.raises(PresentationFailed):
        bench.show(source, read_only=False)
    with pytest.raises(PresentationFailed):
        bench.array.present(source, "frs1", read_only=True, budget=bench.budget, number=9)
    assert bench.array.presentations(source) == (shown,)
    assert bench.array.presentations() == (shown,)


@pytest.mark.rule("HAZ-01")
def test_a_device_never_touches_another_disk(bench):
    """A number given to another disk gives StaleLun, and an old presentation hides nothing new."""
    first, second = bench.disk("a", shown=False), bench.disk("b", shown=False)
    old = bench.show(first)
    device = bench.device(first)
    device.write(0, b"first")
    bench.hide(first)
    bench.show(second)
    with pytest.raises(StaleLun) as caught:
        device.read(0, 5)
    assert caught.value.context == {"expected": first, "found": second}
    with pytest.raises(StaleLun):
        device.write(0, b"wrong")
    assert bench.device(second).read(0, 5) == bytes(5)
    now = bench.show(first)
    assert now.access.number == 2
    bench.array.unpresent(old, budget=bench.budget)
    assert bench.array.presentations(first) == (now,)


def test_read_only_luns_refuse_changes(bench):
    """Writes and discards through a read-only LUN fail; the other host may write."""
    source = bench.disk()
    bench.show(source, "frs1", read_only=True)
    device = bench.device(source, "frs1")
    assert device.read_only
    with pytest.raises(WriteProtected):
        device.write(0, b"x")
    with pytest.raises(WriteProtected):
        device.discard(0, 1)
    bench.device(source, "evs1").write(0, b"x")
    assert not bench.device(source, "evs1").read_only
    assert device.read(0, 1) == b"x"


def test_ranges_outside_the_disk_are_refused(bench):
    """Negative and too long ranges are DeviceErrors, empty ones inside are fine."""
    source = bench.disk(size_bytes=MIB)
    device = bench.device(source)
    assert device.size_bytes == MIB
    for offset, length in ((-1, 1), (0, MIB + 1), (MIB, 1), (0, -1)):
        with pytest.raises(DeviceError):
            device.read(offset, length)
        with pytest.raises(DeviceError):
            device.discard(offset, length)
    with pytest.raises(DeviceError):
        device.write(MIB - 1, b"xx")
    assert device.read(MIB, 0) == b""
    device.write(MIB, b"")
    device.write(MIB - 2, memoryview(b"ab"))
    device.discard(MIB - 1, 1)
    assert device.read(MIB - 2, 2) == b"a\0"


@pytest.mark.rule("EVA-35", "EVA-38")
def test_presented_disks_stay_and_invalid_calls_are_typed(bench):
    """A presented disk is not deleted; unknown storage and hosts are not presented."""
    source = bench.disk()
    with pytest.raises(StillPresented):
        bench.array.delete_storage(source, budget=bench.budget)
    with pytest.raises(StorageNotFound):
        bench.show("naa:nobody")
    with pytest.raises(StorageNotFound):
        bench.show(source, "nobody")
    assert bench.array.report_luns(HostRef("nobody")) == ()
    bench.delete(source)
    assert bench.array.storage() == ()


@pytest.mark.rule("EVA-39", "EVA-40")
def test_hosts_and_their_ports(make_bench):
    """A port belongs to one host; a host that sees storage stays; repeating is harmless."""
    bench = make_bench(attrs.evolve(EVA8000, max_hosts=3, max_ports=4))
    array = bench.array
    assert array.add_host("evs1", ports=["10:00:00:00:c9:6c:c6:99"]) == "evs1"
    before = bench.picture()
    for name, ports, error in (
        ("evs1", ["10000000c96c0001"], NameInUse),
        ("new", ["10000000c96cc699"], NameInUse),
        ("new", [], UsageError),
        (" ", ["10000000c96c0001"], UsageError),
        ("new", [f"10000000c96c000{index}" for index in range(3)], LimitExceeded),
    ):
        with pytest.raises(error):
            array.add_host(name, ports=ports)
    assert bench.picture() == before
    array.add_host("third", ports=["10000000c96c0001"])
    assert array.hosts() == ("evs1", "frs1", "third")
    assert array.host_ports("third") == ("1000-0000-C96C-0001",)
    with pytest.raises(LimitExceeded):
        array.add_host("fourth", ports=["10000000c96c0002"])
    bench.disk()
    with pytest.raises(StillPresented):
        array.delete_host("evs1")
    for _ in range(2):
        array.delete_host("third")
    assert array.add_host("fourth", ports=["10000000c96c0001"]) == "fourth"
    with pytest.raises(StorageNotFound):
        array.host_ports("third")


@pytest.mark.rule("EVA-44")
def test_names_are_unique_among_disks_and_copies(bench, kind):
    """A copy cannot take a disk's name nor a disk a copy's; a deleted name is free."""
    source = bench.disk()
    copy = bench.copy(kind, source, name="copy")
    before = bench.picture()
    for call in (
        lambda: bench.disk("copy"),
        lambda: bench.stage(kind, source, name="data"),
        lambda: bench.array.rename_storage(source, "copy"),
    ):
        with pytest.raises((NameInUse, CopyConflict)):
            call()
    assert bench.picture() == before
    bench.array.rename_storage(source, "data")
    bench.array.rename_storage(copy.id, "other")
    bench.array.rename_storage(source, "copy")
    bench.delete(copy.id)
    bench.disk("other")


@pytest.mark.rule("EVA-46", "EVA-47", "EVA-48")
def test_what_management_software_shows(bench, kind):
    """Paths, types, sharing and presentation flags follow the real dumps."""
    source = bench.disk(shown=False)
    plain = bench.array.describe(source)
    assert (plain.path, plain.sharing) == ("\\Virtual Disks\\data\\ACTIVE", "none")
    assert (plain.disk_type, plain.presented, plain.child) == ("original", False, None)
    copy = bench.copy(kind, source, name="copy")
    view, parent = bench.array.describe(copy.id), bench.array.describe(source)
    assert view.parent == source
    assert parent.child == copy.id
    if kind is CopyKind.SNAPCLONE:
        assert view.path == "\\Virtual Disks\\copy\\ACTIVE"
        assert view.disk_type == "snapclone"
        bench.clock.advance(100)
        done = bench.array.describe(copy.id)
        assert (done.disk_type, done.sharing, done.parent) == ("original", "none", None)
        assert bench.array.describe(source).child is None
    else:
        assert view.path == "\\Virtual Disks\\data\\copy"
        assert (view.sharing, parent.sharing) == ("snapshot", "snapshot_exists")
        demand = kind is CopyKind.VSNAP
        assert (view.disk_type == "demand_allocated_snapshot") == demand
        assert (view.requested_bytes, view.allocated_bytes) == (
            (0, 0) if demand else (8 * MIB, 8 * MIB)
        )
    bench.show(copy.id)
    assert bench.array.describe(copy.id).presented
    bench.hide(copy.id)
    assert not bench.array.describe(copy.id).presented


@pytest.mark.rule("EVA-62")
def test_a_controller_failover_changes_nothing_else(bench):
    """Data, names and LUN numbers stay, also for open devices."""
    source = bench.disk()
    device = bench.device(source)
    device.write(0, b"x")
    before = bench.picture()
    assert bench.array.online_controller == "A"
    bench.array.fail_over()
    assert bench.array.online_controller == "B"
    assert bench.picture() == before
    assert device.read(0, 1) == b"x"


def test_a_normalizing_copy_can_be_presented(bench):
    """A host may use a snapclone at once, and goes on when normalization ends [R08 p.439]."""
    copy = bench.copy(CopyKind.SNAPCLONE, bench.disk())
    device = bench.device(copy.id)
    device.write(0, b"x")
    assert bench.state(copy.id) is CopyState.NORMALIZING
    bench.clock.advance(1000)
    assert bench.state(copy.id) is CopyState.INDEPENDENT
    assert device.read(0, 1) == b"x"
