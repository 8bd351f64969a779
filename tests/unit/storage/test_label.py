"""The label area: round trips, damage, crashes and refusals."""

from __future__ import annotations

import uuid
from random import Random

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from frskit.errors import DeviceError, FileSystemDamaged, UsageError, WriteProtected
from frskit.storage.devices import MemoryDevice, ReadOnlyDevice
from frskit.storage.disk_label import LABEL_BYTES, DiskLabel, read_label, write_label
from frskit.storage.write_cache import VolatileDevice

COPIES = (0, LABEL_BYTES // 2)
LABEL = DiskLabel(
    signature="{5F2D8F2E-0000-4000-8000-1234567890AB}",
    volume_id=uuid.UUID(int=7),
    volume_length_bytes=LABEL_BYTES,
    text="mailbox stores",
)


def disk() -> MemoryDevice:
    """An unlabelled disk with room for the volume of `LABEL`."""
    return MemoryDevice(2 * LABEL_BYTES)


def test_unwritten_disk_has_no_label() -> None:
    """A disk that was never labelled, or is too small for a label, has none."""
    assert read_label(disk()) is None
    assert read_label(MemoryDevice(1000)) is None


@given(
    flags=st.tuples(st.booleans(), st.booleans(), st.booleans(), st.booleans()),
    signature=st.uuids(),
    text=st.text(max_size=100),
)
def test_round_trip(flags: tuple[bool, ...], signature: uuid.UUID, text: str) -> None:
    """Whatever a label says is read back."""
    hidden, read_only, no_drive_letter, shadow_copy = flags
    label = evolve(
        LABEL,
        signature=str(signature),
        hidden=hidden,
        read_only=read_only,
        no_drive_letter=no_drive_letter,
        shadow_copy=shadow_copy,
        text=text,
    )
    device = disk()
    write_label(device, LABEL)
    write_label(device, label)
    assert read_label(device) == label


def test_signature_is_canonical() -> None:
    """A signature is compared as a GUID: braces and case do not matter."""
    assert LABEL.signature == "5f2d8f2e-0000-4000-8000-1234567890ab"
    with pytest.raises(UsageError):
        evolve(LABEL, signature="not a guid")


def test_label_leaves_the_volume_alone() -> None:
    """Writing a label changes no byte behind the label area."""
    device = disk()
    device.write(LABEL_BYTES, b"v" * LABEL_BYTES)
    write_label(device, LABEL)
    assert device.read(LABEL_BYTES, LABEL_BYTES) == b"v" * LABEL_BYTES
    volume = LABEL.volume(device)
    assert volume.size_bytes == LABEL_BYTES
    assert volume.read(0, 1) == b"v"


@pytest.mark.parametrize("broken", COPIES)
def test_one_damaged_copy_is_survived_and_repaired(broken: int) -> None:
    """The good copy answers, and the next write makes both good."""
    device = disk()
    write_label(device, LABEL)
    device.write(broken + 30, b"\xff")
    assert read_label(device) == LABEL
    hidden = evolve(LABEL, hidden=True)
    write_label(device, hidden)
    other = COPIES[1] if broken == COPIES[0] else COPIES[0]
    device.write(other, bytes(512))
    assert read_label(device) == hidden


def test_two_damaged_copies_are_reported_and_can_be_replaced() -> None:
    """Both copies damaged is damage, not 'no label'; a new label may be written over it."""
    device = disk()
    write_label(device, LABEL)
    for copy in COPIES:
        device.write(copy + 100, b"\xff")
    with pytest.raises(FileSystemDamaged):
        read_label(device)
    write_label(device, LABEL)
    assert read_label(device) == LABEL


@given(seed=st.integers(0, 1 << 30))
def test_garbage_is_none_or_damage(seed: int) -> None:
    """Random bytes and flipped bits never give another exception or a wrong label."""
    random, device = Random(seed), disk()
    write_label(device, LABEL)
    for copy in COPIES:
        if random.random() < 0.5:
            device.write(copy, random.randbytes(512))
        else:
            position = copy + random.randrange(512)
            device.write(position, bytes([device.read(position, 1)[0] ^ 1 << random.randrange(8)]))
    with pytest.raises(FileSystemDamaged):
        read_label(device)


@pytest.mark.crash
@given(seed=st.integers(0, 1 << 30), cut=st.integers(0, 4))
def test_crash_leaves_the_old_label_or_the_new(seed: int, cut: int) -> None:
    """At any cut inside write_label, the disk has one of the two labels."""
    device = VolatileDevice(disk())
    write_label(device, LABEL)
    hidden = evolve(LABEL, hidden=True)
    device.cut_power_after(cut)
    try:
        write_label(device, hidden)
    except DeviceError:
        device.crash(Random(seed))
        assert read_label(device) in (LABEL, hidden)
    else:
        device.crash()
        assert read_label(device) == hidden
    write_label(device, LABEL)
    assert read_label(device) == LABEL


def test_impossible_labels_are_refused() -> None:
    """Too much text, a volume over the label or past the disk, and read-only disks are refused."""
    device = disk()
    with pytest.raises(UsageError):
        write_label(device, evolve(LABEL, text="x" * 401))
    with pytest.raises(UsageError):
        write_label(device, evolve(LABEL, volume_length_bytes=LABEL_BYTES + 1))
    with pytest.raises(ValueError, match="volume_offset_bytes"):
        evolve(LABEL, volume_offset_bytes=0)
    with pytest.raises(WriteProtected):
        write_label(ReadOnlyDevice(device), LABEL)
    assert read_label(device) is None


def test_volume_larger_than_its_disk_is_damage() -> None:
    """A label that was copied to a smaller disk does not give a volume."""
    with pytest.raises(FileSystemDamaged):
        LABEL.volume(MemoryDevice(LABEL_BYTES + 512))
