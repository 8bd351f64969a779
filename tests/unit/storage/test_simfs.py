"""simfs: names, contents, space, costs, read-only mounts and references."""

from __future__ import annotations

import pickle
import threading
import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from attrs import define, field

from frskit.clock import VirtualClock
from frskit.errors import (
    DeviceError,
    FileExists,
    FileMissing,
    FileSystemDamaged,
    FileSystemError,
    NoSpace,
    UsageError,
    WriteProtected,
)
from frskit.storage.device_copy import find_difference
from frskit.storage.devices import FileDevice, MemoryDevice, ReadOnlyDevice
from frskit.storage.simfs import BLOCK_BYTES, MINIMUM_VOLUME_BYTES, SimFs, check_volume

VOLUME_ID = uuid.UUID(int=42)


@define
class CountingDevice:
    """A device that counts what is asked of it."""

    device: MemoryDevice
    reads: int = 0
    writes: list[tuple[int, int]] = field(factory=list)
    flushes: int = 0

    @property
    def size_bytes(self) -> int:
        return self.device.size_bytes

    @property
    def read_only(self) -> bool:
        return False

    def read(self, offset: int, length: int) -> bytes:
        self.reads += 1
        return self.device.read(offset, length)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self.writes.append((offset, len(data)))
        self.device.write(offset, data)

    def flush(self) -> None:
        self.flushes += 1

    def discard(self, offset: int, length: int) -> None:
        self.device.discard(offset, length)


@pytest.fixture
def disk() -> MemoryDevice:
    """Room for a small volume."""
    return MemoryDevice(4 << 20)


@pytest.fixture
def volume(disk: MemoryDevice) -> SimFs:
    """An empty volume."""
    return SimFs.format(disk, volume_id=VOLUME_ID)


def put(volume: SimFs, path: str, data: bytes) -> None:
    """Make a file with this content, durable."""
    with volume.create(path, exclusive=False) as file:
        file.write_at(0, data)
        file.sync()


def get(volume: SimFs, path: str) -> bytes:
    """All bytes of a file."""
    with volume.open(path) as file:
        return file.read_at(0, file.size_bytes)


# -- names -------------------------------------------------------------------------------------


def test_names_keep_their_case_and_compare_without_it(volume: SimFs) -> None:
    """A name is found whatever its case and listed as it was written, also beyond ASCII."""
    volume.makedirs("Mdbdata/Ünter")
    put(volume, "Mdbdata/Ünter/Priv1.EDB", b"x")
    assert get(volume, "MDBDATA/üNTER/priv1.edb") == b"x"
    assert list(volume.walk()) == ["Mdbdata/Ünter/Priv1.EDB"]
    with pytest.raises(FileExists):
        volume.create("mdbdata/ünter/PRIV1.edb")


def test_listing_and_walking_are_sorted(volume: SimFs) -> None:
    """Directories list and walk case-insensitively sorted, files only in a walk."""
    for name in ("b", "A", "c/z", "c/Y/x"):
        volume.makedirs(name.rpartition("/")[0])
        put(volume, name, b"")
    assert volume.listdir() == ["A", "b", "c"]
    assert volume.listdir("C") == ["Y", "z"]
    assert list(volume.walk()) == ["A", "b", "c/Y/x", "c/z"]
    assert list(volume.walk("c")) == ["c/Y/x", "c/z"]


def test_very_deep_directories() -> None:
    """Two thousand levels are walked, committed and mounted without a recursion limit."""
    disk = MemoryDevice(16 << 20)
    volume = SimFs.format(disk, volume_id=VOLUME_ID)
    deep = "/".join(["d"] * 2000)
    volume.makedirs(deep)
    put(volume, f"{deep}/f", b"x")
    assert list(SimFs.mount(disk).walk()) == [f"{deep}/f"]


def test_missing_paths(volume: SimFs) -> None:
    """Every way to use a path that is not there, or is of the other kind, is FileMissing."""
    put(volume, "file", b"x")
    volume.makedirs("dir")
    for action in (
        lambda: volume.open("no"),
        lambda: volume.edit("no"),
        lambda: volume.stat("no/no"),
        lambda: volume.remove("no"),
        lambda: volume.rename("no", "b"),
        lambda: volume.rename("file", "no/b"),
        lambda: volume.create("no/b"),
        lambda: volume.create("file/b"),
        lambda: volume.listdir("file"),
        lambda: volume.walk("no"),
        lambda: volume.rmdir("no"),
        lambda: volume.ref("no"),
        lambda: volume.open("dir"),
        lambda: volume.remove("dir"),
        lambda: volume.rmdir("file"),
    ):
        with pytest.raises(FileMissing):
            action()
    assert not volume.exists("no")
    assert volume.exists("file")
    assert volume.exists("")


def test_names_in_the_way(volume: SimFs) -> None:
    """Creating or renaming over something needs to be asked for, and never replaces a directory."""
    put(volume, "a", b"a")
    put(volume, "b", b"b")
    volume.makedirs("dir")
    for action in (
        lambda: volume.create("a"),
        lambda: volume.create("dir", exclusive=False),
        lambda: volume.rename("a", "b"),
        lambda: volume.rename("a", "dir", replace=True),
        lambda: volume.makedirs("a/b"),
    ):
        with pytest.raises(FileExists):
            action()
    volume.rename("a", "B", replace=True)
    assert volume.listdir() == ["B", "dir"]
    assert get(volume, "b") == b"a"
    volume.rename("B", "b")
    assert volume.listdir() == ["b", "dir"]
    volume.create("b", exclusive=False)
    assert get(volume, "b") == b""


@pytest.mark.parametrize("name", ["", ".", "..", "a\\b", "a:b", "x\n", "?", "n" * 256, "\ud800"])
def test_impossible_names(volume: SimFs, name: str) -> None:
    """Names that Windows refuses are refused."""
    with pytest.raises(FileSystemError):
        volume.create(name)
    put(volume, "a", b"")
    with pytest.raises(FileSystemError):
        volume.rename("a", name)


def test_directories_move_and_go(disk: MemoryDevice, volume: SimFs) -> None:
    """A directory moves with its files, not into itself; only empty ones can be removed."""
    volume.makedirs("a/b")
    put(volume, "a/b/f", b"x")
    for action in (
        lambda: volume.rename("a", "a/b/c"),
        lambda: volume.rename("", "x"),
        lambda: volume.rmdir("a"),
        lambda: volume.rmdir(""),
    ):
        with pytest.raises(FileSystemError):
            action()
    volume.makedirs("z")
    volume.rename("a", "z/moved")
    volume.rename("z/moved/b/f", "f")
    volume.rmdir("z/moved/b")
    volume.sync()
    again = SimFs.mount(disk)
    assert again.listdir() == ["f", "z"]
    assert again.listdir("z/moved") == []


def test_open_files_survive_renames_and_notice_removal(volume: SimFs) -> None:
    """A handle follows its file to another name, and reports FileMissing once it is removed."""
    with volume.create("a") as file:
        file.write_at(0, b"1")
        volume.rename("a", "b")
        file.write_at(1, b"2")
        assert get(volume, "b") == b"12"
        volume.remove("b")
        put(volume, "b", b"another")
        for action in (lambda: file.read_at(0, 1), lambda: file.write_at(0, b"x"), file.sync):
            with pytest.raises(FileMissing):
                action()
    with pytest.raises(FileSystemError):
        file.read_at(0, 1)
    assert get(volume, "b") == b"another"


def test_stat(disk: MemoryDevice) -> None:
    """Size, kind and time of change are told, survive a mount, and are unknown without a clock."""
    clock = VirtualClock()
    volume = SimFs.format(disk, volume_id=VOLUME_ID, clock=clock)
    put(volume, "f", b"abc")
    clock.advance(3600)
    with volume.edit("f") as file:
        file.write_at(0, b"ABC")
        assert volume.stat("f").modified_at == clock.now()
        file.sync()
    volume.close()
    again = SimFs.mount(disk)
    assert again.stat("F").modified_at == VirtualClock.DEFAULT_START + timedelta(hours=1)
    assert again.stat("f").size_bytes == 3
    assert again.stat("").is_directory
    assert again.volume_id == VOLUME_ID
    put(again, "g", b"")
    assert again.stat("g").modified_at is None


# -- contents ----------------------------------------------------------------------------------


def test_holes_and_ends(volume: SimFs) -> None:
    """Holes read as zero, take no space, and reads end at the end of the file."""
    free = volume.free_bytes
    with volume.create("f") as file:
        file.truncate(1 << 20)
        assert file.read_at(500_000, 4) == bytes(4)
        file.write_at(700_000, b"x")
        assert file.read_at(699_999, 3) == b"\0x\0"
        assert file.read_at((1 << 20) - 1, 100) == b"\0"
        assert file.read_at(1 << 21, 1) == b""
        for bad in (lambda: file.read_at(-1, 1), lambda: file.write_at(-1, b"x")):
            with pytest.raises(FileSystemError):
                bad()
        with pytest.raises(FileSystemError):
            file.truncate(-1)
        file.sync()
    assert volume.free_bytes == free - BLOCK_BYTES


def test_shrink_and_grow_reads_zero(disk: MemoryDevice, volume: SimFs) -> None:
    """Bytes cut off never come back, whether the cut was synced or not."""
    for synced in (False, True):
        put(volume, "f", b"x" * 5000)
        with volume.edit("f") as file:
            file.truncate(100)
            if synced:
                file.sync()
            file.truncate(4000)
            file.write_at(6000, b"y")
            file.sync()
        expected = b"x" * 100 + bytes(5900) + b"y"
        assert get(volume, "f") == expected == get(SimFs.mount(disk), "f")


def test_unsynced_writes_are_volatile(disk: MemoryDevice, volume: SimFs) -> None:
    """Another mount of the device sees a write only after sync, and names with the same sync."""
    put(volume, "f", b"old")
    with volume.edit("f") as file, volume.create("g") as other:
        file.write_at(0, b"new")
        other.write_at(0, b"unsynced")
        assert get(SimFs.mount(disk, read_only=True), "f") == b"old"
        file.sync()
        seen = SimFs.mount(disk, read_only=True)
        assert get(seen, "f") == b"new"
        assert get(seen, "g") == b""
    volume.abandon()
    with pytest.raises(FileSystemError):
        volume.listdir()


def test_close_syncs_everything_once(disk: MemoryDevice, volume: SimFs) -> None:
    """Unmounting makes all files durable; closing again is harmless."""
    with volume:
        volume.create("f").write_at(0, b"data")
    volume.close()
    assert get(SimFs.mount(disk), "f") == b"data"


def test_same_operations_give_same_bytes() -> None:
    """Two volumes with the same history are byte-identical."""
    disks = [MemoryDevice(1 << 20), MemoryDevice(1 << 20)]
    for disk in disks:
        volume = SimFs.format(disk, volume_id=VOLUME_ID, clock=VirtualClock())
        for number in range(30):
            put(volume, f"f{number % 7}", bytes([number]) * number * 100)
            if number % 5 == 0:
                volume.remove(f"f{number % 7}")
        volume.close()
    assert find_difference(*disks) is None


def test_threads_may_share_a_volume(volume: SimFs) -> None:
    """Writers in several threads get each their own bytes."""

    def work(number: int) -> None:
        with volume.create(f"f{number}") as file:
            for turn in range(60):
                file.write_at(turn * 700, bytes([number]) * 700)
                file.sync()

    threads = [threading.Thread(target=work, args=(number,)) for number in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(1, 5):
        assert get(volume, f"f{number}") == bytes([number]) * 42_000
    assert volume.check() == ()


# -- space -------------------------------------------------------------------------------------


def test_full_volume_leaves_the_file_unchanged(disk: MemoryDevice, volume: SimFs) -> None:
    """A write that does not fit raises NoSpace at once, changes nothing, and a smaller one fits."""
    put(volume, "f", b"kept")
    with volume.edit("f") as file:
        with pytest.raises(NoSpace):
            file.write_at(0, bytes(disk.size_bytes))
        assert get(volume, "f") == b"kept"
        file.write_at(0, b"K")
        file.sync()
    assert get(SimFs.mount(disk), "f") == b"Kept"
    assert volume.check() == ()


def test_removed_space_can_be_used_at_once(volume: SimFs) -> None:
    """A volume that was filled and emptied takes as much again without an explicit sync."""
    size = volume.free_bytes
    for _ in range(3):
        volume.create("f").write_at(0, bytes(size))
        with pytest.raises(NoSpace):
            volume.create("g", exclusive=False).write_at(0, b"x")
        volume.remove("f")
    volume.sync()
    assert volume.free_bytes == size


def test_metadata_room_is_bounded() -> None:
    """A volume that cannot hold more names says NoSpace, and still mounts and syncs."""
    disk = MemoryDevice(MINIMUM_VOLUME_BYTES)
    volume = SimFs.format(disk, volume_id=VOLUME_ID)
    with pytest.raises(NoSpace):
        for number in range(5000):
            volume.create(f"{number:0200}")
    assert len(volume.listdir()) > 100
    volume.sync()
    assert SimFs.mount(disk).listdir() == volume.listdir()
    put(volume, volume.listdir()[0], b"")


def test_freed_ranges_are_discarded_after_the_sync(disk: MemoryDevice, volume: SimFs) -> None:
    """Thin storage gets space back when the removal is durable, not before."""
    put(volume, "f", b"x" * (1 << 20))
    used = disk.allocated_bytes
    volume.remove("f")
    assert disk.allocated_bytes == used
    volume.sync()
    assert disk.allocated_bytes <= used - (900 << 10)


def test_full_journal_and_many_files(disk: MemoryDevice) -> None:
    """Hundreds of synced changes overflow a small journal into images and all are there."""
    volume = SimFs.format(disk, volume_id=VOLUME_ID, journal_bytes=4096)
    for number in range(300):
        put(volume, f"f{number}", bytes([number % 251]) * 10)
    assert check_volume(disk) == ()
    again = SimFs.mount(disk)
    assert len(again.listdir()) == 300
    assert all(get(again, f"f{n}") == bytes([n % 251]) * 10 for n in range(300))


def test_fragmented_files_read_right(volume: SimFs) -> None:
    """Files that grew in turns, in holes and backwards are read exactly."""
    models = {"a": bytearray(), "b": bytearray()}
    files = {name: volume.create(name) for name in models}
    for turn in [*range(0, 40, 2), *range(39, 0, -2)]:
        for name, file in files.items():
            data = bytes([turn + ord(name)]) * 5000
            file.write_at(turn * 5000, data)
            file.sync()
            models[name].extend(bytes(max(0, turn * 5000 + 5000 - len(models[name]))))
            models[name][turn * 5000 : turn * 5000 + 5000] = data
    for name, model in models.items():
        assert get(volume, name) == model
        with volume.ref(name).open() as file:
            assert file.read_at(12_345, 100_000) == model[12_345:112_345]


# -- costs -------------------------------------------------------------------------------------


def test_appends_to_a_preallocated_log_cost_one_write_and_one_flush() -> None:
    """512-byte appends into written space change no metadata: one device write, one flush each."""
    device = CountingDevice(MemoryDevice(8 << 20))
    volume = SimFs.format(device, volume_id=VOLUME_ID, clock=VirtualClock())
    log = volume.create("E00.log")
    log.write_at(0, bytes(1 << 20))
    log.sync()
    device.writes.clear()
    device.flushes = device.reads = 0
    for number in range(100):
        log.write_at(number * 512, b"record" + bytes(506))
        log.sync()
    assert [length for _, length in device.writes] == [512] * 100
    assert device.flushes == 100
    assert device.reads == 0


def test_sequential_reads_are_one_device_read_each() -> None:
    """A large file written in one go lies in one extent."""
    device = CountingDevice(MemoryDevice(64 << 20))
    volume = SimFs.format(device, volume_id=VOLUME_ID)
    with volume.create("big") as file:
        for offset in range(0, 32 << 20, 1 << 20):
            file.write_at(offset, b"x" * (1 << 20))
        file.sync()
        device.reads = 0
        for offset in range(0, 32 << 20, 1 << 20):
            assert len(file.read_at(offset, 1 << 20)) == 1 << 20
    assert device.reads == 32
    assert len(volume.ref("big").extents) == 1


# -- mounts ------------------------------------------------------------------------------------


def test_mounting_writes_nothing(disk: MemoryDevice, volume: SimFs) -> None:
    """Mounts, reads and clean unmounts leave every byte as it was, journal included."""
    put(volume, "f", b"x")
    device = CountingDevice(disk)
    for read_only in (True, False):
        with SimFs.mount(device, read_only=read_only) as again:
            assert get(again, "f") == b"x"
    assert device.writes == []


def test_read_only_mount_refuses_changes(disk: MemoryDevice, volume: SimFs) -> None:
    """A read-only mount of a read-only device shows the durable state and refuses all changes."""
    put(volume, "f", b"x")
    with pytest.raises(WriteProtected):
        SimFs.mount(ReadOnlyDevice(disk))
    copy = SimFs.mount(ReadOnlyDevice(disk), read_only=True)
    assert copy.read_only
    assert copy.ref("f").open().read_at(0, 9) == b"x"
    copy.sync()
    for action in (
        lambda: copy.create("g"),
        lambda: copy.edit("f"),
        lambda: copy.makedirs("d"),
        lambda: copy.rename("f", "g"),
        lambda: copy.remove("f"),
        lambda: copy.rmdir("d"),
        lambda: copy.open("f").write_at(0, b"y"),
    ):
        with pytest.raises(WriteProtected):
            action()


def test_unformatted_and_unusable_devices() -> None:
    """No volume is damage for a mount; sizes that cannot be are refused by format."""
    for size in (0, 4096, 1 << 20):
        with pytest.raises(FileSystemDamaged):
            SimFs.mount(MemoryDevice(size))
    for size in (1000, 16 << 40):
        with pytest.raises(UsageError):
            SimFs.format(MemoryDevice(size), volume_id=VOLUME_ID)
    with pytest.raises(UsageError):
        SimFs.format(MemoryDevice(1 << 20), volume_id=VOLUME_ID, journal_bytes=1 << 20)


def test_format_forgets_the_old_volume(disk: MemoryDevice, volume: SimFs) -> None:
    """A formatted volume is empty and whole."""
    put(volume, "f", b"x" * 100_000)
    assert SimFs.format(disk, volume_id=VOLUME_ID).listdir() == []
    assert check_volume(disk) == ()


def test_refs_pickle_with_their_device(tmp_path: Path) -> None:
    """A reference of a file on a file device is opened by another process's copy of it."""
    with FileDevice.create(tmp_path / "disk", 1 << 20) as device:
        volume = SimFs.format(device, volume_id=VOLUME_ID)
        volume.create("f").write_at(5000, b"data")
        ref = pickle.loads(pickle.dumps(volume.ref("f")))
        with ref.open() as file:
            assert (ref.name, ref.size_bytes, file.size_bytes) == ("f", 5004, 5004)
            assert file.read_at(4999, 100) == b"\0data"
            assert file.read_at(6000, 1) == b""
        ref.device.close()


@pytest.mark.faults
def test_failed_device_writes_can_be_repeated(disk: MemoryDevice) -> None:
    """After a transient device error the same sync succeeds and nothing is lost."""

    class FlakyDevice(CountingDevice):
        """Refuses one write."""

        fail_in: int = -1

        def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
            self.fail_in -= 1
            if self.fail_in == 0:
                raise DeviceError("refused once")
            super().write(offset, data)

    for fail_in in (1, 2, 3):
        device = FlakyDevice(disk)
        volume = SimFs.format(device, volume_id=VOLUME_ID)
        put(volume, "f", b"old" * 2000)
        file = volume.edit("f")
        file.write_at(0, b"new")
        file.write_at(20_000, b"end")
        device.fail_in = fail_in
        with pytest.raises(DeviceError):
            file.sync()
        file.sync()
        assert volume.check() == ()
        content = get(SimFs.mount(disk), "f")
        assert (content[:6], content[-3:], len(content)) == (b"newold", b"end", 20_003)


@pytest.mark.faults
def test_failed_superblock_needs_a_new_mount() -> None:
    """When nobody can know which superblock counts, the mount refuses more and a new one works."""

    class DyingDevice(CountingDevice):
        """Cannot write the superblock's block."""

        dying: bool = False

        def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
            if self.dying and offset == 0:
                raise DeviceError("block 0 refused")
            super().write(offset, data)

    device = DyingDevice(MemoryDevice(1 << 20))
    volume = SimFs.format(device, volume_id=VOLUME_ID, journal_bytes=4096)
    device.dying = True
    done = 0
    with pytest.raises(DeviceError, match="block 0"):
        for done in range(100):
            put(volume, f"f{done}", b"x")
    device.dying = False
    with pytest.raises(DeviceError, match="superblock"):
        volume.sync()
    assert len(SimFs.mount(device.device).listdir()) == done


def test_open_files_are_known_until_closed_or_forgotten(volume: SimFs) -> None:
    """The volume names the files that somebody still has open."""
    put(volume, "a", b"")
    with volume.open("a"), volume.create("b"):
        assert volume.open_files() == ("a", "b")
    assert volume.open_files() == ()
    forgotten = volume.open("a")
    assert volume.open_files() == ("a",)
    del forgotten
    assert volume.open_files() == ()
