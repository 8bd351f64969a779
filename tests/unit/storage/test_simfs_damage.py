"""simfs with damaged metadata: refused with FileSystemDamaged, or still right."""

from __future__ import annotations

import uuid
import zlib
from random import Random

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from frskit.errors import FileSystemDamaged
from frskit.storage.devices import SECTOR_BYTES, MemoryDevice
from frskit.storage.simfs import BLOCK_BYTES, SimFs, check_volume, layout
from frskit.storage.simfs.layout import (
    MakeNode,
    MapBlocks,
    MoveNode,
    Operation,
    SetSize,
    Superblock,
    UnlinkNode,
    decode_operations,
    decode_superblock,
    encode_operation,
    encode_record,
    encode_superblock,
    journal_records,
)

SIZE = 1 << 20
FILES = {f"f{number}": bytes([number + 1]) * 3000 for number in range(6)}


def volume_with_files() -> MemoryDevice:
    """A volume with an image and a journal of several records."""
    disk = MemoryDevice(SIZE)
    volume = SimFs.format(disk, volume_id=uuid.UUID(int=1), journal_bytes=8192)
    for turn in range(4):
        for name, data in FILES.items():
            with volume.create(name, exclusive=False) as file:
                file.write_at(0, data if turn == 3 else b"earlier")
                file.sync()
    return disk


def superblock_of(disk: MemoryDevice) -> Superblock:
    """The volume's superblock."""
    superblock = decode_superblock(disk.read(0, 512))
    assert superblock is not None
    return superblock


def contents(disk: MemoryDevice) -> dict[str, bytes]:
    """All files as a fresh mount shows them."""
    volume = SimFs.mount(disk, read_only=True)
    return {name: volume.open(name).read_at(0, SIZE) for name in volume.walk()}


@pytest.mark.parametrize("block", [0, SIZE // BLOCK_BYTES - 1])
def test_either_superblock_is_enough_and_gets_repaired(block: int) -> None:
    """With one superblock lost the volume mounts unchanged; the next commit writes both."""
    disk = volume_with_files()
    disk.write(block * BLOCK_BYTES + 20, b"\xff\xff")
    assert contents(disk) == FILES
    assert len(check_volume(disk)) == 1
    with SimFs.mount(disk) as volume:
        volume.makedirs("d")
    assert check_volume(disk) == ()


def test_both_superblocks_lost() -> None:
    """Without a superblock there is no volume."""
    disk = volume_with_files()
    for block in (0, SIZE // BLOCK_BYTES - 1):
        disk.write(block * BLOCK_BYTES + 20, b"\xff\xff")
    with pytest.raises(FileSystemDamaged):
        SimFs.mount(disk)
    assert len(check_volume(disk)) == 3


def test_superblock_and_mirror_of_different_volumes() -> None:
    """The check notices a mirror that cannot belong to its superblock."""
    disk = volume_with_files()
    stranger = evolve(superblock_of(disk), sequence=0)
    disk.write(SIZE - BLOCK_BYTES, encode_superblock(stranger))
    assert check_volume(disk) == ("superblock and mirror disagree",)


def test_damaged_image() -> None:
    """One wrong bit in the image is noticed."""
    disk = volume_with_files()
    at = superblock_of(disk).image_offset + 3
    disk.write(at, bytes([disk.read(at, 1)[0] ^ 4]))
    with pytest.raises(FileSystemDamaged, match="image"):
        SimFs.mount(disk)
    assert check_volume(disk) != ()


def test_damaged_record_before_good_ones_is_not_taken_for_the_end() -> None:
    """A journal with a bad record in the middle is damage, never a silently older volume."""
    disk = volume_with_files()
    SimFs.mount(disk).makedirs("x")
    disk.write(BLOCK_BYTES + 40, b"\xff")
    with pytest.raises(FileSystemDamaged, match="record 0"):
        SimFs.mount(disk)


@pytest.mark.parametrize(
    "junk",
    [
        b"SFJR",
        b"xSFJR" * 100,
        b"\0" * 510 + b"SFJR" * 200,
        b"\0" * 3 * SECTOR_BYTES + b"SFJR",
    ],
)
def test_a_late_record_is_found_behind_anything(junk: bytes) -> None:
    """Whatever lies between, and however much it looks like records, a later record is seen."""
    good = encode_record(7, 0, b"first")
    late = encode_record(7, 3, b"late")
    gap = junk.ljust(4 * SECTOR_BYTES, b"\0")
    records = journal_records(good + gap + late + bytes(4096), 7)
    assert next(records) == (b"first", SECTOR_BYTES)
    with pytest.raises(FileSystemDamaged, match="record 3 exists"):
        next(records)
    assert list(journal_records(good + gap + bytes(8192), 7)) == [(b"first", SECTOR_BYTES)]
    moved = good + gap + b"\0" + late + bytes(4096)
    assert list(journal_records(moved, 7)) == [(b"first", SECTOR_BYTES)]


def test_a_mount_looks_at_the_records_not_at_the_rest_of_the_journal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Every copy is mounted; a large, mostly empty journal must not be gone through by sectors."""
    looked = []
    decode = layout._decode_header

    def counted(journal: bytes, at: int, epoch: int) -> tuple[int, int, int] | None:
        looked.append(at)
        return decode(journal, at, epoch)

    monkeypatch.setattr(layout, "_decode_header", counted)
    journal = b"".join(encode_record(1, number, b"x") for number in range(5)) + bytes(1 << 20)
    assert len(list(journal_records(journal, 1))) == 5
    assert len(looked) <= 7


def test_truncated_device() -> None:
    """A device shorter than its volume is refused."""
    disk = volume_with_files()
    short = MemoryDevice(SIZE // 2)
    short.write(0, disk.read(0, SIZE // 2))
    with pytest.raises(FileSystemDamaged, match="fit"):
        SimFs.mount(short)


@pytest.mark.parametrize(
    "change",
    [
        {"journal_blocks": 200},
        {"image_blocks": 2**31},
        {"image_bytes": 2**40},
        {"blocks": 0},
        {"blocks": 2**60},
    ],
)
def test_impossible_geometry(change: dict[str, int]) -> None:
    """A superblock whose checksum is right but whose numbers cannot be is refused."""
    disk = volume_with_files()
    sector = encode_superblock(evolve(superblock_of(disk), **change))
    disk.write(0, sector)
    disk.write(SIZE - BLOCK_BYTES, sector)
    with pytest.raises(FileSystemDamaged):
        SimFs.mount(disk)


@given(seed=st.integers(0, 1 << 32))
def test_random_damage_is_noticed_or_harmless(seed: int) -> None:
    """Bytes flipped anywhere in the metadata give FileSystemDamaged or the same files.

    Only the last journal record may be lost: its damage looks like a crash.
    """
    random, disk = Random(seed), volume_with_files()
    superblock = superblock_of(disk)
    places = [*range(superblock.data_start), superblock.blocks - 1]
    for _ in range(random.choice((1, 1, 2, 8))):
        at = random.choice(places) * BLOCK_BYTES + random.choice((random.randrange(600), 0, 3000))
        disk.write(at, random.randbytes(random.choice((1, 4, 600))))
    try:
        found = contents(disk)
    except FileSystemDamaged:
        assert check_volume(disk) != ()
    else:
        assert {**found, "f5": b""} == {**FILES, "f5": b""}


def forged(operations: bytes) -> MemoryDevice:
    """A volume whose image is these bytes, with all checksums right."""
    disk = MemoryDevice(256 << 10)
    SimFs.format(disk, volume_id=uuid.UUID(int=1))
    superblock = evolve(
        superblock_of(disk), image_bytes=len(operations), image_crc=zlib.crc32(operations)
    )
    disk.write(superblock.image_offset, operations)
    disk.write(0, encode_superblock(superblock))
    disk.write((superblock.blocks - 1) * BLOCK_BYTES, encode_superblock(superblock))
    return disk


small = st.integers(0, 5)
number = small | st.integers(40, 66) | st.integers(0, 2**64 - 1)
times = st.integers(-(2**63), 2**63 - 1)
label = st.sampled_from(("a", "A", "b", "", "x/y", "..")) | st.text(max_size=5)
operation = st.one_of(
    st.builds(MakeNode, small, small, st.booleans(), times, label),
    st.builds(SetSize, small, number, times),
    st.builds(MapBlocks, small, number, number, small | st.integers(0, 2**32 - 1)),
    st.builds(MoveNode, small, small, label),
    st.builds(UnlinkNode, small),
)


@given(operations=st.lists(operation, max_size=12))
def test_operations_round_trip(operations: list[Operation]) -> None:
    """What is encoded is decoded, whatever it says."""
    assert list(decode_operations(b"".join(map(encode_operation, operations)))) == operations


@given(
    image=st.lists(operation, max_size=12).map(lambda ops: b"".join(map(encode_operation, ops)))
    | st.binary(max_size=80)
)
def test_forged_metadata_is_refused_or_consistent(image: bytes) -> None:
    """Operations with right checksums and any content mount consistently or are refused."""
    disk = forged(image)
    try:
        volume = SimFs.mount(disk)
    except FileSystemDamaged:
        assert check_volume(disk) != ()
        return
    assert volume.check() == ()
    for name in volume.walk():
        volume.stat(name)
        assert len(volume.open(name).read_at(0, 10)) <= 10


@pytest.mark.parametrize(
    ("why", "operations"),
    [
        ("made twice", [MakeNode(2, 1, False, 0, "a"), MakeNode(2, 1, False, 0, "b")]),
        ("two files", [MakeNode(2, 1, False, 0, "a"), MakeNode(3, 1, False, 0, "A")]),
        ("not a directory", [MakeNode(2, 9, False, 0, "a")]),
        ("file name", [MakeNode(2, 1, False, 0, "a/b")]),
        ("not there", [SetSize(2, 1, 0)]),
        ("is a directory", [MakeNode(2, 1, True, 0, "d"), SetSize(2, 1, 0)]),
        ("not empty", [MakeNode(2, 1, True, 0, "d"), MakeNode(3, 2, True, 0, "e"), UnlinkNode(2)]),
        ("behind the end", [MakeNode(2, 1, False, 0, "a"), MapBlocks(2, 0, 50, 1)]),
        (
            "overlap",
            [MakeNode(2, 1, False, 0, "a"), MapBlocks(2, 0, 50, 2), MapBlocks(2, 1, 55, 1)],
        ),
        (
            "below the root",
            [
                MakeNode(2, 1, True, 0, "a"),
                MakeNode(3, 2, True, 0, "b"),
                MoveNode(2, 3, "a"),
            ],
        ),
    ],
)
def test_each_broken_rule_is_named(why: str, operations: list[Operation]) -> None:
    """Every rule of the metadata has a sentence of its own."""
    disk = forged(b"".join(map(encode_operation, operations)))
    with pytest.raises(FileSystemDamaged, match=why):
        SimFs.mount(disk)


def test_blocks_used_twice_or_outside() -> None:
    """Two files on one block, and files on metadata blocks, are refused."""
    one = [MakeNode(2, 1, False, 0, "a"), MapBlocks(2, 0, 50, 1), SetSize(2, 1, 0)]
    two = [MakeNode(3, 1, False, 0, "b"), MapBlocks(3, 0, 50, 1), SetSize(3, 1, 0)]
    low = [MakeNode(3, 1, False, 0, "b"), MapBlocks(3, 0, 3, 1), SetSize(3, 1, 0)]
    high = [MakeNode(3, 1, False, 0, "b"), MapBlocks(3, 0, 63, 1), SetSize(3, 1, 0)]
    assert SimFs.mount(forged(b"".join(map(encode_operation, one)))).listdir() == ["a"]
    for more in (two, low, high):
        disk = forged(b"".join(map(encode_operation, one + more)))
        with pytest.raises(FileSystemDamaged):
            SimFs.mount(disk)
        assert check_volume(disk) != ()
