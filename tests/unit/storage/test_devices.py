"""Block devices: the contract on every kind, and what each kind adds."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frskit.clock import Budget, CancelToken, VirtualClock
from frskit.errors import Cancelled, DeviceError, WriteProtected
from frskit.protocols.small import BlockDevice
from frskit.storage.device_copy import copy_device, find_difference
from frskit.storage.devices import FileDevice, MemoryDevice, ReadOnlyDevice, SliceDevice
from frskit.storage.write_cache import VolatileDevice

SIZE = 200_000


@pytest.fixture(params=["memory", "file", "slice", "volatile"])
def device(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlockDevice]:
    """A fresh writable device of each kind."""
    match request.param:
        case "memory":
            yield MemoryDevice(SIZE)
        case "file":
            with FileDevice.create(tmp_path / "disk", SIZE) as file:
                yield file
        case "slice":
            yield SliceDevice(MemoryDevice(SIZE + 5000), 777, SIZE)
        case _:
            yield VolatileDevice(MemoryDevice(SIZE))


def test_never_written_reads_as_zero(device: BlockDevice) -> None:
    """A fresh device is all zeros from first to last byte."""
    assert device.size_bytes == SIZE
    assert device.read(0, SIZE) == bytes(SIZE)


def test_random_writes_and_discards_agree_with_a_bytearray(device: BlockDevice) -> None:
    """Any sequence of writes, discards and flushes behaves like one flat array."""
    random, model = Random(5), bytearray(SIZE)
    for _ in range(150):
        offset = random.randrange(SIZE)
        length = random.randrange(min(90_000, SIZE - offset) + 1)
        match random.randrange(4):
            case 0:
                device.discard(offset, length)
                model[offset : offset + length] = bytes(length)
            case 1:
                device.flush()
            case _:
                data = random.randbytes(length)
                device.write(offset, data)
                model[offset : offset + length] = data
        assert device.read(offset, length) == model[offset : offset + length]
    assert device.read(0, SIZE) == model


@pytest.mark.parametrize(("offset", "length"), [(-1, 1), (0, -1), (SIZE, 1), (SIZE - 1, 2)])
def test_ranges_outside_are_refused(device: BlockDevice, offset: int, length: int) -> None:
    """Reads, writes and discards outside the device raise DeviceError and change nothing."""
    with pytest.raises(DeviceError):
        device.read(offset, length)
    with pytest.raises(DeviceError):
        device.discard(offset, length)
    if length > 0:
        with pytest.raises(DeviceError):
            device.write(offset, b"x" * length)
    assert device.read(0, SIZE) == bytes(SIZE)


def test_read_only_devices_refuse_changes(tmp_path: Path) -> None:
    """A read-only wrapper and a file opened read-only refuse writes and discards."""
    inner = MemoryDevice(SIZE)
    inner.write(3, b"abc")
    FileDevice.create(tmp_path / "disk", SIZE).close()
    for device in (ReadOnlyDevice(inner), FileDevice(tmp_path / "disk", read_only=True)):
        assert device.read_only
        with pytest.raises(WriteProtected):
            device.write(3, b"x")
        with pytest.raises(WriteProtected):
            device.discard(3, 1)
        device.flush()
    assert ReadOnlyDevice(inner).read(3, 3) == b"abc"


def test_memory_device_is_sparse() -> None:
    """A terabyte device takes memory for written chunks only and gives discarded ones back."""
    device = MemoryDevice(1 << 40)
    device.write((1 << 39) - 3, b"across")
    assert device.allocated_bytes == 2 * 65536
    device.discard(0, 1 << 40)
    assert device.allocated_bytes == 0


def test_file_device_pickles_by_path(tmp_path: Path) -> None:
    """A pickled file device opens the same file again, with the same rights."""
    with FileDevice.create(tmp_path / "disk", 1000) as device:
        device.write(5, b"hello")
        with pickle.loads(pickle.dumps(device)) as other:
            assert other.read(5, 5) == b"hello"
        sliced = pickle.loads(pickle.dumps(SliceDevice(ReadOnlyDevice(device), 5, 5)))
        assert sliced.read(0, 5) == b"hello"
        assert sliced.read_only
        sliced.device.device.close()


def test_file_device_reports_the_machine_as_device_error(tmp_path: Path) -> None:
    """Missing files, existing files, shrunk files and closed handles are DeviceErrors."""
    with pytest.raises(DeviceError, match="cannot be opened"):
        FileDevice(tmp_path / "nothing")
    device = FileDevice.create(tmp_path / "disk", 1000)
    with pytest.raises(DeviceError, match="cannot be made"):
        FileDevice.create(tmp_path / "disk", 1000)
    (tmp_path / "disk").write_bytes(b"short")
    with pytest.raises(DeviceError, match="ends early"):
        device.read(0, 1000)
    device.close()
    for action in (lambda: device.read(0, 1), lambda: device.write(0, b"x"), device.flush):
        with pytest.raises(DeviceError):
            action()


def test_slice_must_lie_inside() -> None:
    """A slice that leaves its device is refused at once."""
    with pytest.raises(DeviceError):
        SliceDevice(MemoryDevice(100), 50, 51)


@pytest.mark.crash
def test_crash_loses_unflushed_writes_and_keeps_flushed_ones() -> None:
    """Without luck, exactly the flushed state survives a crash."""
    device = VolatileDevice(MemoryDevice(4096))
    device.write(0, b"durable")
    device.flush()
    device.write(0, b"gone")
    device.discard(2048, 100)
    assert device.read(0, 7) == b"goneble"
    assert device.unflushed_sectors == 2
    device.crash()
    assert device.read(0, 7) == b"durable"
    assert device.unflushed_sectors == 0


@pytest.mark.crash
@given(seed=st.integers(0, 10_000))
def test_crash_keeps_whole_sectors_in_some_version(seed: int) -> None:
    """Each sector survives whole, in the flushed or in any later version."""
    device = VolatileDevice(MemoryDevice(2048))
    device.write(0, b"a" * 2048)
    device.flush()
    device.write(0, b"b" * 2048)
    device.write(512, b"c" * 512)
    device.crash(Random(seed))
    for sector in range(4):
        content = set(device.read(sector * 512, 512))
        assert len(content) == 1
        assert content <= set(b"abc" if sector == 1 else b"ab")


@pytest.mark.crash
def test_crash_outcomes_cover_old_new_and_between() -> None:
    """The choice of survivors reaches every version of a sector."""
    seen = set()
    for seed in range(40):
        device = VolatileDevice(MemoryDevice(512))
        device.write(0, b"1" * 512)
        device.write(0, b"2" * 512)
        device.crash(Random(seed))
        seen.add(device.read(0, 1))
    assert seen == {b"\0", b"1", b"2"}


@pytest.mark.crash
def test_power_cut_stops_at_the_chosen_operation() -> None:
    """After n writes and flushes everything fails until the power is back."""
    device = VolatileDevice(MemoryDevice(1024))
    device.cut_power_after(2)
    device.write(0, b"x")
    device.flush()
    assert device.powered
    with pytest.raises(DeviceError):
        device.write(1, b"y")
    assert not device.powered
    for action in (lambda: device.read(0, 1), device.flush):
        with pytest.raises(DeviceError):
            action()
    device.crash()
    assert device.read(0, 2) == b"x\0"


def test_copy_device_copies_and_stays_sparse() -> None:
    """A copy is equal, replaces what was in the target, and writes no zeros."""
    source, target = MemoryDevice(5 << 20), MemoryDevice(6 << 20)
    source.write(2 << 20, b"data")
    target.write(100, b"old")
    assert copy_device(source, target) == 1 << 20
    assert find_difference(source, target, length=5 << 20) is None
    assert target.read(100, 3) == bytes(3)
    with pytest.raises(DeviceError):
        copy_device(target, source)


def test_copy_device_obeys_its_budget() -> None:
    """A cancelled budget stops the copy."""
    token = CancelToken()
    token.cancel()
    budget = Budget.of(VirtualClock(), token=token)
    with pytest.raises(Cancelled):
        copy_device(MemoryDevice(10), MemoryDevice(10), budget=budget)


@pytest.mark.parametrize("at", [0, 4095, 1 << 20, (3 << 20) - 1])
def test_find_difference_names_the_first_byte(at: int) -> None:
    """The first differing byte is found wherever it is."""
    left, right = MemoryDevice(3 << 20), MemoryDevice(3 << 20)
    assert find_difference(left, right) is None
    right.write(at, b"x")
    assert find_difference(left, right) == at
    assert find_difference(left, right, offset=at + 1) is None


def test_find_difference_of_lengths() -> None:
    """A device that is a prefix of the other differs at its end."""
    assert find_difference(MemoryDevice(10), MemoryDevice(12)) == 10
