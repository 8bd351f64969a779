"""The simulated server: LUN identity, mounting, holds, flags and paths."""

from __future__ import annotations

import uuid
from random import Random

import pytest
from attrs import define, evolve, field

from frskit.clock import Budget, CancelToken, VirtualClock
from frskit.errors import (
    Cancelled,
    DeviceError,
    DuplicateSignature,
    FileMissing,
    FileSystemDamaged,
    FileSystemError,
    HoldTimeout,
    StaleLun,
    UsageError,
    VolumeBusy,
    VolumeNotFound,
    WriteProtected,
)
from frskit.hosts.simulated import SimulatedServer
from frskit.hosts.windows_paths import mount_point, split_volume_path
from frskit.model.ids import HostRef, IdFactory, StorageId, VolumeId
from frskit.model.server_paths import inside
from frskit.model.storage import ScsiLun
from frskit.model.volumes import Disk, DiskFlags, Volume
from frskit.protocols import BlockDevice
from frskit.storage.device_copy import copy_device
from frskit.storage.devices import MemoryDevice, ReadOnlyDevice
from frskit.storage.disk_label import LABEL_BYTES, DiskLabel, read_label, write_label
from frskit.storage.simfs import SimFs

HOST = HostRef("frs1")
DISK_BYTES = LABEL_BYTES + (2 << 20)
BUDGET = Budget.of(VirtualClock())


@define
class Target:
    """A disk array reduced to its block side, with levers."""

    disks: dict[StorageId, MemoryDevice] = field(factory=dict)
    luns: dict[int, tuple[StorageId, bool]] = field(factory=dict)

    def make(self, name: str) -> StorageId:
        storage = StorageId(f"naa:{name}")
        self.disks[storage] = MemoryDevice(DISK_BYTES)
        return storage

    def copy(self, source: StorageId, name: str) -> StorageId:
        storage = self.make(name)
        copy_device(self.disks[source], self.disks[storage])
        return storage

    def show(self, storage: StorageId, number: int, *, read_only: bool = False) -> None:
        self.luns[number] = storage, read_only

    def report_luns(self, host: HostRef) -> list[ScsiLun]:
        return [
            ScsiLun(host=host, number=number, storage=self.luns[number][0])
            for number in sorted(self.luns)
        ]

    def open_lun(self, host: HostRef, number: int) -> BlockDevice:
        storage, read_only = self._answering(number)
        disk = self.disks[storage]
        return ReadOnlyDevice(disk) if read_only else disk

    def _answering(self, number: int) -> tuple[StorageId, bool]:
        if number not in self.luns:
            raise DeviceError("nothing answers")
        return self.luns[number]


@define
class Stage:
    """A target, a server and a clock."""

    clock: VirtualClock = field(factory=VirtualClock)
    target: Target = field(factory=Target)
    server: SimulatedServer = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.server = self.boot()

    def boot(self) -> SimulatedServer:
        ids = IdFactory(Random(1))
        return SimulatedServer("frs1", HOST, [self.target], clock=self.clock, ids=ids)

    def volume(self, name: str, number: int, at: str) -> Volume:
        """A new disk with a mounted volume that holds one durable file."""
        storage = self.target.make(name)
        self.target.show(storage, number)
        self.server.rescan(budget=BUDGET)
        volume = self.server.initialize(storage, at, budget=BUDGET, text=name)
        self.write(volume, "who.txt", name.encode())
        return volume

    def write(self, volume: Volume, path: str, data: bytes) -> None:
        with self.server.files(volume.id).create(path, exclusive=False) as file:
            file.write_at(0, data)
            file.sync()

    def read(self, volume: Volume, path: str) -> bytes:
        with self.server.files(volume.id).open(path) as file:
            return file.read_at(0, 1000)


@pytest.fixture
def stage() -> Stage:
    """An empty stage."""
    return Stage()


def storage_of(volume: Volume) -> StorageId:
    """The one disk of a volume."""
    (storage,) = volume.storages
    return storage


# -- disks ---------------------------------------------------------------------------------------


def test_initialized_disks_are_described(stage: Stage) -> None:
    """A new volume is mounted where asked, lies behind the label, and its disk has a signature."""
    volume = stage.volume("a", 3, "m:")
    (disk,) = stage.server.disks()
    label = read_label(stage.target.disks[disk.storage])
    assert label is not None
    assert disk == Disk(
        storage=StorageId("naa:a"),
        access=ScsiLun(host=HOST, number=3, storage=StorageId("naa:a")),
        size_bytes=DISK_BYTES,
        signature=label.signature,
        device=r"\\.\PHYSICALDRIVE3",
    )
    assert (volume.mount_points, volume.read_only) == (("M:\\",), False)
    (extent,) = volume.extents
    assert (extent.offset_bytes, extent.length_bytes) == (LABEL_BYTES, 2 << 20)
    assert volume.id == str(label.volume_id)
    assert label.text == "a"
    assert stage.server.volumes() == (volume,)
    assert (stage.server.name, stage.server.host, stage.server.runner) == ("frs1", HOST, None)


def test_rescan_tells_new_disks_and_only_then(stage: Stage) -> None:
    """A server learns of a LUN by rescan, once, and of one that is gone too."""
    storage = stage.target.make("a")
    stage.target.show(storage, 1)
    assert stage.server.disks() == ()
    with pytest.raises(VolumeNotFound):
        stage.server.attach({storage: "M:\\"}, read_only=False, budget=BUDGET)
    assert [disk.storage for disk in stage.server.rescan(budget=BUDGET)] == [storage]
    assert stage.server.rescan(budget=BUDGET) == ()
    del stage.target.luns[1]
    assert len(stage.server.disks()) == 1
    stage.server.rescan(budget=BUDGET)
    assert stage.server.disks() == ()


@pytest.mark.rule("HAZ-01")
@pytest.mark.parametrize("read_only", [True, False])
def test_reused_lun_number_never_gives_the_wrong_disk(stage: Stage, read_only: bool) -> None:
    """A number reused before a rescan: reads, writes and old references are StaleLun."""
    mine = stage.volume("mine", 1, "M:")
    other = stage.volume("other", 2, "N:")
    tree = stage.server.files(mine.id)
    ref = tree.ref("who.txt")
    before = stage.target.disks[storage_of(other)].read(0, DISK_BYTES)
    stage.target.show(storage_of(other), 1, read_only=read_only)
    del stage.target.luns[2]
    for action in (
        lambda: stage.read(mine, "who.txt"),
        lambda: ref.open().read_at(0, 5),
        lambda: stage.write(mine, "who.txt", b"overwritten"),
        lambda: stage.server.set_flags([storage_of(mine)], DiskFlags(hidden=True)),
    ):
        with pytest.raises(StaleLun):
            action()
    with pytest.raises(DeviceError):
        stage.read(other, "who.txt")
    assert stage.target.disks[storage_of(other)].read(0, DISK_BYTES) == before


@pytest.mark.rule("HAZ-01")
def test_right_order_reuses_a_number_safely(stage: Stage) -> None:
    """Dismount, unpresent, rescan, reuse: the new disk's data appears under the old number."""
    first = stage.volume("first", 1, "M:")
    copy = stage.target.copy(storage_of(first), "copy")
    stage.write(first, "who.txt", b"later")
    stage.server.detach([storage_of(first)], budget=BUDGET)
    stage.target.luns.clear()
    stage.server.rescan(budget=BUDGET)
    stage.target.show(copy, 1)
    stage.server.rescan(budget=BUDGET)
    (volume,) = stage.server.attach({copy: "M:"}, read_only=False, budget=BUDGET)
    assert volume.id == first.id
    assert stage.read(volume, "who.txt") == b"first"


def test_lost_disk_fails_its_volume_until_detached(stage: Stage) -> None:
    """A rescan reports a mounted disk that is gone once; the volume is failed, its data is not lost."""
    volume = stage.volume("a", 1, "M:")
    storage = storage_of(volume)
    stage.server.files(volume.id).edit("who.txt").write_at(0, b"unflushed")
    del stage.target.luns[1]
    with pytest.raises(VolumeBusy):
        stage.server.rescan(budget=BUDGET)
    assert stage.server.rescan(budget=BUDGET) == ()
    assert stage.server.volumes() == ()
    with pytest.raises(StaleLun):
        stage.server.files(volume.id)
    stage.target.show(storage, 5)
    stage.server.rescan(budget=BUDGET)
    with pytest.raises(VolumeBusy):
        stage.server.attach({storage: "M:"}, read_only=False, budget=BUDGET)
    stage.server.detach([storage], budget=BUDGET)
    (again,) = stage.server.attach({storage: "M:"}, read_only=False, budget=BUDGET)
    assert stage.read(again, "who.txt") == b"a"


def test_moved_disk_stays_mounted(stage: Stage) -> None:
    """A disk that answers under another number after a rescan goes on working."""
    volume = stage.volume("a", 1, "M:")
    stage.target.luns[9] = stage.target.luns.pop(1)
    with pytest.raises(DeviceError):
        stage.read(volume, "who.txt")
    assert stage.server.rescan(budget=BUDGET) == ()
    assert stage.read(volume, "who.txt") == b"a"
    assert stage.server.disks()[0].access == ScsiLun(
        host=HOST, number=9, storage=storage_of(volume)
    )


def test_flags_are_in_the_label_and_travel_with_copies(stage: Stage) -> None:
    """Flags set before a copy are found on the copy; clearing them later does not touch it."""
    volume = stage.volume("a", 1, "M:")
    storage = storage_of(volume)
    flags = DiskFlags(hidden=True, read_only=True, no_drive_letter=True, shadow_copy=True)
    stage.server.set_flags([storage], flags)
    assert stage.server.disks()[0].flags == flags
    copy = stage.target.copy(storage, "copy")
    stage.server.set_flags([storage], DiskFlags())
    stage.target.show(copy, 2, read_only=True)
    (arrived,) = stage.server.rescan(budget=BUDGET)
    assert (arrived.flags, arrived.signature) == (flags, stage.server.disks()[0].signature)
    assert stage.server.disks()[0].flags == DiskFlags()
    stage.write(volume, "who.txt", b"still writable")


def test_flags_of_read_only_unlabelled_and_unknown_disks(stage: Stage) -> None:
    """Same flags need no write, unlabelled disks are left alone, unknown disks are reported."""
    storage = storage_of(stage.volume("a", 1, "M:"))
    empty = stage.target.make("empty")
    stage.target.show(storage, 1, read_only=True)
    stage.target.show(empty, 2)
    stage.server.rescan(budget=BUDGET)
    stage.server.set_flags([storage, empty], DiskFlags())
    assert read_label(stage.target.disks[empty]) is None
    with pytest.raises(WriteProtected):
        stage.server.set_flags([storage], DiskFlags(hidden=True))
    with pytest.raises(VolumeNotFound):
        stage.server.set_flags([StorageId("naa:none")], DiskFlags())


def test_volume_on_a_disk(stage: Stage) -> None:
    """A disk's volume is known mounted or not; unlabelled and damaged disks have none."""
    volume = stage.volume("a", 1, "M:")
    empty = stage.target.make("empty")
    stage.target.show(empty, 2)
    stage.server.rescan(budget=BUDGET)
    storage = storage_of(volume)
    assert stage.server.volume_on(empty) is None
    for _ in range(2):
        assert stage.server.volume_on(storage) == volume.id
        stage.server.detach([storage], budget=BUDGET)
    for copy in (0, LABEL_BYTES // 2):
        stage.target.disks[storage].write(copy, b"x")
    assert stage.server.volume_on(storage) is None
    with pytest.raises(VolumeNotFound):
        stage.server.volume_on(StorageId("naa:none"))


def test_initialize_refuses_what_is_in_use(stage: Stage) -> None:
    """Disks with a label, taken mount points and impossible names are refused before any write."""
    volume = stage.volume("a", 1, "M:")
    empty = stage.target.make("empty")
    stage.target.show(empty, 2)
    stage.server.rescan(budget=BUDGET)
    with pytest.raises(VolumeBusy):
        stage.server.initialize(storage_of(volume), "N:", budget=BUDGET)
    with pytest.raises(VolumeBusy):
        stage.server.initialize(empty, "m:\\", budget=BUDGET)
    with pytest.raises(UsageError):
        stage.server.initialize(empty, "relative", budget=BUDGET)
    with pytest.raises(VolumeNotFound):
        stage.server.initialize(StorageId("naa:none"), "N:", budget=BUDGET)
    assert stage.target.disks[empty].allocated_bytes == 0


# -- mounting ------------------------------------------------------------------------------------


def prepared_copies(stage: Stage) -> tuple[Volume, StorageId, StorageId]:
    """A dismounted original and two copies of it, all presented."""
    original = stage.volume("a", 1, "M:")
    stage.server.detach([storage_of(original)], budget=BUDGET)
    copies = [stage.target.copy(storage_of(original), f"copy{number}") for number in (1, 2)]
    for number, copy in enumerate(copies, 2):
        stage.target.show(copy, number)
    stage.server.rescan(budget=BUDGET)
    return original, copies[0], copies[1]


@pytest.mark.rule("HAZ-02")
def test_two_copies_of_one_source_are_refused_and_nothing_is_mounted(stage: Stage) -> None:
    """Two disks of one signature in one attach: typed error, no mount, no byte written."""
    _, first, second = prepared_copies(stage)
    before = [stage.target.disks[each].read(0, DISK_BYTES) for each in (first, second)]
    with pytest.raises(DuplicateSignature):
        stage.server.attach({first: "X:", second: "Y:"}, read_only=True, budget=BUDGET)
    assert stage.server.volumes() == ()
    assert [stage.target.disks[each].read(0, DISK_BYTES) for each in (first, second)] == before


@pytest.mark.rule("HAZ-02")
def test_second_disk_of_a_signature_waits_for_the_first(stage: Stage) -> None:
    """While one is online the other is refused; after detach it is welcome."""
    original, first, second = prepared_copies(stage)
    stage.server.attach({first: "X:"}, read_only=True, budget=BUDGET)
    for other in (second, storage_of(original)):
        with pytest.raises(DuplicateSignature):
            stage.server.attach({other: "Y:"}, read_only=True, budget=BUDGET)
    assert [volume.mount_points for volume in stage.server.volumes()] == [("X:\\",)]
    stage.server.detach([first], budget=BUDGET)
    stage.server.attach({second: "Y:"}, read_only=True, budget=BUDGET)


def test_read_only_attach_changes_no_byte(stage: Stage) -> None:
    """A copy mounted read-only is readable, refuses changes, and keeps every byte."""
    original, copy, _ = prepared_copies(stage)
    before = stage.target.disks[copy].read(0, DISK_BYTES)
    at = {copy: "C:\\frs\\copies\\1\\0"}
    (volume,) = stage.server.attach(at, read_only=True, budget=BUDGET)
    assert volume.id == original.id
    assert volume.read_only
    assert stage.read(volume, "who.txt") == b"a"
    with pytest.raises(WriteProtected):
        stage.write(volume, "who.txt", b"x")
    with stage.server.hold_writes([volume.id], budget=BUDGET):
        pass
    stage.server.detach([copy], budget=BUDGET)
    assert stage.target.disks[copy].read(0, DISK_BYTES) == before


@pytest.mark.parametrize("how", ["label", "presentation"])
def test_read_only_disks_mount_read_only(stage: Stage, how: str) -> None:
    """Label and presentation win over the wish to write; the returned volume says so."""
    _, copy, _ = prepared_copies(stage)
    if how == "label":
        stage.server.set_flags([copy], DiskFlags(read_only=True, hidden=True))
    else:
        stage.target.show(copy, 2, read_only=True)
        stage.server.rescan(budget=BUDGET)
    (volume,) = stage.server.attach({copy: "X:"}, read_only=False, budget=BUDGET)
    assert volume.read_only
    with pytest.raises(WriteProtected):
        stage.server.files(volume.id).makedirs("d")


def test_attach_is_idempotent_and_strict(stage: Stage) -> None:
    """The same mount again returns it; another point or another mode is VolumeBusy."""
    _, copy, _ = prepared_copies(stage)
    first = stage.server.attach({copy: "X:\\"}, read_only=True, budget=BUDGET)
    tree = stage.server.files(first[0].id)
    assert stage.server.attach({copy: "x:"}, read_only=True, budget=BUDGET) == first
    assert stage.server.files(first[0].id) is tree
    for point, read_only in (("Y:", True), ("X:", False)):
        with pytest.raises(VolumeBusy):
            stage.server.attach({copy: point}, read_only=read_only, budget=BUDGET)


def test_attach_is_all_or_nothing(stage: Stage) -> None:
    """One bad member - gone, unlabelled, damaged, or a taken point - and none is mounted."""
    good, bad = stage.volume("good", 1, "M:"), stage.volume("bad", 2, "N:")
    taken = stage.volume("taken", 3, "T:\\deep\\folder")
    stage.server.detach([storage_of(good), storage_of(bad)], budget=BUDGET)
    empty = stage.target.make("empty")
    stage.target.show(empty, 4)
    stage.server.rescan(budget=BUDGET)

    def refused(error: type[Exception], storage: StorageId, point: str = "Y:") -> None:
        with pytest.raises(error):
            at = {storage_of(good): "X:", storage: point}
            stage.server.attach(at, read_only=False, budget=BUDGET)
        assert stage.server.volumes() == (taken,)

    refused(VolumeNotFound, StorageId("naa:none"))
    refused(VolumeNotFound, empty)
    refused(VolumeBusy, storage_of(bad), "x:\\")
    refused(VolumeBusy, storage_of(bad), "t:/DEEP/folder/")
    refused(UsageError, storage_of(bad), "nowhere")
    device = stage.target.disks[storage_of(bad)]
    label = read_label(device)
    assert label is not None
    write_label(device, evolve(label, volume_id=uuid.UUID(int=9)))
    refused(FileSystemDamaged, storage_of(bad))
    device.write(0, b"\xff" * 512)
    device.write(LABEL_BYTES // 2, b"\xff" * 512)
    stage.server.rescan(budget=BUDGET)
    refused(FileSystemDamaged, storage_of(bad))
    stage.server.attach({storage_of(good): "X:"}, read_only=False, budget=BUDGET)


def test_label_without_a_volume(stage: Stage) -> None:
    """A labelled disk whose volume was never made is damaged, not empty."""
    storage = stage.target.make("a")
    label = DiskLabel(
        signature=str(uuid.UUID(int=1)),
        volume_id=uuid.UUID(int=2),
        volume_length_bytes=DISK_BYTES - LABEL_BYTES,
    )
    write_label(stage.target.disks[storage], label)
    stage.target.show(storage, 1)
    stage.server.rescan(budget=BUDGET)
    with pytest.raises(FileSystemDamaged):
        stage.server.attach({storage: "M:"}, read_only=False, budget=BUDGET)


def test_detach_flushes_and_ends_the_mount(stage: Stage) -> None:
    """Detach makes the cache durable, is idempotent, and the old file tree is of no use after."""
    volume = stage.volume("a", 1, "M:")
    storage = storage_of(volume)
    tree = stage.server.files(volume.id)
    with tree.create("new") as file:
        file.write_at(0, b"cached")
    stage.server.detach([storage, StorageId("naa:none")], budget=BUDGET)
    stage.server.detach([storage], budget=BUDGET)
    with pytest.raises(FileSystemError):
        tree.listdir()
    with pytest.raises(VolumeNotFound):
        stage.server.files(volume.id)
    again = label_volume(stage.target.disks[storage])
    assert again.open("new").read_at(0, 10) == b"cached"


def label_volume(device: MemoryDevice) -> SimFs:
    """The volume on a labelled disk, read without a server."""
    label = read_label(device)
    assert label is not None
    return SimFs.mount(label.volume(device), read_only=True)


def test_detach_refuses_open_files(stage: Stage) -> None:
    """A file that is open keeps all the volumes of the call mounted, by name, until it is closed."""
    one, two = stage.volume("a", 1, "M:"), stage.volume("b", 2, "N:")
    storages = [storage_of(one), storage_of(two)]
    with stage.server.files(two.id).open("who.txt"):
        with pytest.raises(VolumeBusy, match=r"who\.txt"):
            stage.server.detach(storages, budget=BUDGET)
        assert stage.server.volumes() == (one, two)
    stage.server.detach(storages, budget=BUDGET)
    assert stage.server.volumes() == ()


def test_detach_of_a_vanished_disk(stage: Stage) -> None:
    """Unflushed data and no disk: the error is told and the volume stays until it is failed."""
    volume = stage.volume("a", 1, "M:")
    with stage.server.files(volume.id).edit("who.txt") as file:
        file.write_at(0, b"unflushed")
    del stage.target.luns[1]
    with pytest.raises(DeviceError):
        stage.server.detach([storage_of(volume)], budget=BUDGET)
    assert stage.server.volumes() == (volume,)
    with pytest.raises(VolumeBusy):
        stage.server.rescan(budget=BUDGET)
    stage.server.detach([storage_of(volume)], budget=BUDGET)
    assert stage.server.volumes() == ()


def test_crash_loses_what_was_not_flushed(stage: Stage) -> None:
    """Power loss: nothing is mounted, old handles are dead, unsynced writes are gone, synced stay."""
    volume = stage.volume("a", 1, "M:")
    tree = stage.server.files(volume.id)
    file = tree.edit("who.txt")
    file.write_at(0, b"z")
    assert stage.server.crash() == (volume,)
    assert stage.server.volumes() == ()
    with pytest.raises(FileSystemError):
        file.sync()
    (again,) = stage.server.attach({storage_of(volume): "M:"}, read_only=False, budget=BUDGET)
    assert stage.read(again, "who.txt") == b"a"
    assert stage.server.crash() == (volume,)


def test_budgets_are_asked_first(stage: Stage) -> None:
    """A cancelled budget stops every call that may wait, before any effect."""
    volume = stage.volume("a", 1, "M:")
    token = CancelToken()
    token.cancel()
    spent = Budget.of(stage.clock, token=token)
    for action in (
        lambda: stage.server.rescan(budget=spent),
        lambda: stage.server.attach({storage_of(volume): "M:"}, read_only=False, budget=spent),
        lambda: stage.server.detach([storage_of(volume)], budget=spent),
        lambda: stage.server.initialize(storage_of(volume), "N:", budget=spent),
        lambda: stage.server.hold_writes([volume.id], budget=spent).__enter__(),
    ):
        with pytest.raises(Cancelled):
            action()
    assert stage.server.volumes() == (volume,)
    stage.write(volume, "who.txt", b"not held")


# -- holds ---------------------------------------------------------------------------------------


def test_hold_flushes_first_and_keeps_the_disks_still(stage: Stage) -> None:
    """Inside the hold the disk has all earlier writes and no later one, which arrives afterwards."""
    volume = stage.volume("a", 1, "M:")
    disk = stage.target.disks[storage_of(volume)]
    with stage.server.files(volume.id).edit("who.txt") as file:
        file.write_at(0, b"before")
        with stage.server.hold_writes([volume.id], budget=BUDGET) as hold:
            still = disk.read(0, DISK_BYTES)
            file.write_at(0, b"during")
            with pytest.raises(VolumeBusy):
                file.sync()
            with pytest.raises(VolumeBusy):
                stage.server.detach([storage_of(volume)], budget=BUDGET)
            with pytest.raises(VolumeBusy), stage.server.hold_writes([volume.id], budget=BUDGET):
                pass
            stage.clock.advance(2.5)
            assert hold.held_s == 2.5
            assert disk.read(0, DISK_BYTES) == still
            assert label_volume(disk).open("who.txt").read_at(0, 9) == b"before"
        stage.clock.advance(100)
        assert hold.held_s == 2.5
        file.sync()
    assert label_volume(disk).open("who.txt").read_at(0, 9) == b"during"


@pytest.mark.rule("VSS-44")
def test_hold_ends_by_itself_after_ten_seconds(stage: Stage) -> None:
    """At more than 10 s held writes pass, and leaving the block raises HoldTimeout."""
    volume = stage.volume("a", 1, "M:")
    with (
        pytest.raises(HoldTimeout) as caught,
        stage.server.hold_writes([volume.id], budget=BUDGET),
    ):
        stage.clock.advance(10.0)
        with pytest.raises(VolumeBusy):
            stage.write(volume, "who.txt", b"in time")
        stage.clock.advance(0.1)
        stage.write(volume, "who.txt", b"passed")
    assert caught.value.context["window_s"] == 10.0
    assert stage.read(volume, "who.txt") == b"passed"


def test_hold_is_released_on_errors_and_hides_none(stage: Stage) -> None:
    """An error inside the hold releases it and comes out as it is, also after the window."""
    volume = stage.volume("a", 1, "M:")
    for seconds in (1, 20):
        with (
            pytest.raises(KeyboardInterrupt),
            stage.server.hold_writes([volume.id], budget=BUDGET),
        ):
            stage.clock.advance(seconds)
            raise KeyboardInterrupt
        stage.write(volume, "who.txt", b"released")


def test_hold_of_unknown_volumes_holds_nothing(stage: Stage) -> None:
    """One unknown volume and no write is held."""
    volume = stage.volume("a", 1, "M:")
    unknown = VolumeId(str(uuid.UUID(int=77)))
    with (
        pytest.raises(VolumeNotFound),
        stage.server.hold_writes([volume.id, unknown], budget=BUDGET),
    ):
        pass
    stage.write(volume, "who.txt", b"not held")


# -- paths ---------------------------------------------------------------------------------------


def test_paths_resolve_to_the_deepest_volume(stage: Stage) -> None:
    """Windows paths in any case and with either separator lead to volume and inner path."""
    outer, inner = stage.volume("a", 1, "M:"), stage.volume("b", 2, "M:\\mnt\\Logs")
    for path, volume, rest in (
        ("M:\\", outer, ""),
        ("m:", outer, ""),
        ("M:\\exchsrvr\\SG1\\E00.log", outer, "exchsrvr/SG1/E00.log"),
        ("m:/mnt/logs2/x", outer, "mnt/logs2/x"),
        ("M:\\MNT\\LOGS", inner, ""),
        ("M:\\mnt\\logs\\sg1\\\\E00.chk\\", inner, "sg1/E00.chk"),
        (f"\\\\?\\Volume{{{inner.id.upper()}}}\\a\\b", inner, "a/b"),
    ):
        found = stage.server.resolve(path)
        assert (found.volume, found.path) == (volume.id, rest)
    for path in ("N:\\x", "relative\\x", "", "\\\\?\\Volume{0}\\x", f"\\\\?\\Volume{{{'-' * 36}}}"):
        with pytest.raises(VolumeNotFound):
            stage.server.resolve(path)
    with pytest.raises(FileMissing):
        stage.server.files(outer.id).open(stage.server.resolve("M:\\nothing").path)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [("m:", "M:\\"), ("C:/a/b/", "C:\\a\\b"), ("c:\\A b\\", "C:\\A b"), ("Z:\\", "Z:\\")],
)
def test_mount_points_are_canonical(text: str, canonical: str) -> None:
    """Every spelling of a mount point gives one, which is its own canonical form."""
    assert mount_point(text) == canonical == mount_point(canonical)
    assert inside(canonical, text) == ""


@pytest.mark.parametrize("text", ["", "M", "1:\\", "/mnt/x", "\\\\server\\share", "C:\\a:b", "C:x"])
def test_impossible_mount_points(text: str) -> None:
    """What is not an absolute Windows path is refused."""
    with pytest.raises(UsageError):
        mount_point(text)
    assert split_volume_path(text) is None
