"""simfs against a model, with crashes at any device write and any choice of lost sectors."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from random import Random

import pytest
from attrs import define, field
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.examples import examples

from frskit.errors import DeviceError, FileSystemDamaged, NoSpace
from frskit.protocols.small import BlockDevice
from frskit.storage.devices import SECTOR_BYTES, MemoryDevice
from frskit.storage.simfs import SimFs, check_volume
from frskit.storage.simfs.contents import Contents
from frskit.storage.write_cache import VolatileDevice

pytestmark = [pytest.mark.histories, pytest.mark.crash]

VOLUME_BYTES = 256 * 1024
NAMES = ("a.log", "b.edb", "d/c.chk", "d/D.log")


@define(eq=False)
class ModelFile:
    """A file as the model knows it: what is surely on disk, and what may have changed since."""

    tag: int
    content: bytearray = field(factory=bytearray)
    synced: bytes = b""
    floor: int = 0
    touched: set[int] = field(factory=set)

    def saved(self) -> None:
        self.synced, self.floor, self.touched = bytes(self.content), len(self.content), set()

    def write(self, offset: int, data: bytes) -> None:
        self.truncate(max(len(self.content), offset + len(data)))
        self.content[offset : offset + len(data)] = data
        self._touch(offset, offset + len(data))

    def truncate(self, size: int) -> None:
        self._touch(min(size, len(self.content)), max(size, len(self.content)))
        del self.content[size:]
        self.content.extend(bytes(size - len(self.content)))
        self.floor = min(self.floor, size)

    def _touch(self, start: int, end: int) -> None:
        self.touched.update(range(start // SECTOR_BYTES, -(-end // SECTOR_BYTES)))

    def may_be(self, found: bytes) -> bool:
        """Whether a crash may leave `found`: synced sectors exact, no byte of another file."""
        if len(found) < self.floor or (not self.touched and found != self.synced):
            return False
        for start in range(0, self.floor, SECTOR_BYTES):
            if start // SECTOR_BYTES not in self.touched:
                end = min(start + SECTOR_BYTES, self.floor)
                if found[start:end] != self.synced[start:end]:
                    return False
        return set(found) <= {0, self.tag, self.tag + 1}


class World:
    """A volume on a device that loses power, beside its model."""

    def __init__(self, wrap: Callable[[BlockDevice], BlockDevice] = lambda device: device) -> None:
        disk = MemoryDevice(VOLUME_BYTES)
        with SimFs.format(disk, volume_id=uuid.UUID(int=1), journal_bytes=4096) as volume:
            volume.makedirs("d")
        self.device = VolatileDevice(disk)
        self.wrapped = wrap(self.device)
        self.volume = SimFs.mount(self.wrapped)
        self.files: dict[str, ModelFile] = {}
        self.history: list[dict[str, ModelFile]] = [{}]
        self.tags = 1

    def changed(self) -> None:
        self.history.append(dict(self.files))

    def create(self, name: str) -> None:
        if name in self.files:
            return
        self.tags = self.tags % 120 + 1
        self.files[name] = ModelFile(tag=2 * self.tags)
        self.changed()
        self.volume.create(name)

    def write(self, name: str, offset: int, length: int, odd: bool) -> None:
        model = self.files.get(name)
        if model is None:
            return
        data = bytes([model.tag + odd]) * length
        before = bytes(model.content)
        try:
            with self.volume.edit(name) as file:
                file.write_at(offset, data)
        except NoSpace:
            assert self.volume.open(name).read_at(0, VOLUME_BYTES) == before
        else:
            model.write(offset, data)

    def truncate(self, name: str, size: int) -> None:
        if name in self.files:
            self.files[name].truncate(size)
            self.volume.edit(name).truncate(size)

    def rename(self, old: str, new: str) -> None:
        if old in self.files and old != new:
            self.files[new] = self.files.pop(old)
            self.changed()
            self.volume.rename(old, new, replace=True)

    def remove(self, name: str) -> None:
        if self.files.pop(name, None) is not None:
            self.changed()
            self.volume.remove(name)

    def sync(self, name: str | None) -> None:
        if name is None:
            self.volume.sync()
            for model in self.files.values():
                model.saved()
        elif name in self.files:
            self.volume.edit(name).sync()
            self.files[name].saved()
        else:
            return
        self.history = [dict(self.files)]

    def step(self, random: Random) -> None:
        """One random operation."""
        name, other = random.choice(NAMES), random.choice(NAMES)
        position = random.choice((0, 1, 511, 512, 4000, 4096, 9000, 30000))
        match random.randrange(16):
            case 0 | 1:
                self.create(name)
            case 2 | 3 | 4 | 5:
                length = random.choice((1, 512, 700, 4096, 20000))
                self.write(name, position, length, random.random() < 0.5)
            case 6:
                self.truncate(name, position)
            case 7:
                self.rename(name, other)
            case 8:
                self.remove(name)
            case 9 | 10 | 11 | 12 | 13:
                self.sync(name)
            case _:
                self.sync(None)

    def check_live(self) -> None:
        """What programs see is what the model says."""
        assert sorted(self.volume.walk()) == sorted(self.files)
        for name, model in self.files.items():
            assert self.volume.open(name).read_at(0, VOLUME_BYTES) == model.content
        assert self.volume.check() == ()

    def crash(self, random: Random | None) -> None:
        """Lose power, mount again, and demand everything that was synced."""
        self.device.crash(random)
        assert check_volume(self.device.device) == ()
        before = SimFs.mount(self.device, read_only=True)
        self.volume = SimFs.mount(self.wrapped)
        found = {
            name: self.volume.open(name).read_at(0, VOLUME_BYTES) for name in self.volume.walk()
        }
        assert found == {name: before.open(name).read_at(0, VOLUME_BYTES) for name in before.walk()}
        allowed = [
            names
            for names in self.history
            if names.keys() == found.keys()
            and all(names[name].may_be(found[name]) for name in found)
        ]
        assert allowed, "a synced file changed, or a name is half-way"
        self.files = dict(allowed[-1])
        for name, model in self.files.items():
            model.content = bytearray(found[name])
            model.saved()
        self.history = [dict(self.files)]
        self.check_live()


def run_history(seed: int, world: World, steps: int = 60) -> None:
    """Random operations with power cuts at random device writes."""
    random = Random(seed)
    for _ in range(steps):
        if random.random() < 0.08:
            world.device.cut_power_after(random.randrange(6))
        try:
            world.step(random)
        except DeviceError:
            world.crash(random)
        if random.random() < 0.05:
            world.crash(random)
    world.crash(random)


class SimFsMachine(RuleBasedStateMachine):
    """Hypothesis chooses operations, power cuts and lost sectors."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    names = st.sampled_from(NAMES)
    positions = st.integers(0, 20_000) | st.sampled_from((512, 4096, 8192))

    def attempt(self, action: Callable[..., None], *args: object) -> None:
        try:
            action(*args)
        except DeviceError:
            self.world.crash(Random(7))

    @rule(name=names)
    def create(self, name: str) -> None:
        self.attempt(self.world.create, name)

    @rule(name=names, offset=positions, length=st.integers(1, 9000), odd=st.booleans())
    def write(self, name: str, offset: int, length: int, odd: bool) -> None:
        self.attempt(self.world.write, name, offset, length, odd)

    @rule(name=names, size=positions)
    def truncate(self, name: str, size: int) -> None:
        self.attempt(self.world.truncate, name, size)

    @rule(old=names, new=names)
    def rename(self, old: str, new: str) -> None:
        self.attempt(self.world.rename, old, new)

    @rule(name=names)
    def remove(self, name: str) -> None:
        self.attempt(self.world.remove, name)

    @rule(name=st.none() | names)
    def sync(self, name: str | None) -> None:
        self.attempt(self.world.sync, name)

    @rule(operations=st.integers(0, 5))
    def cut_power_soon(self, operations: int) -> None:
        self.world.device.cut_power_after(operations)

    @rule(random=st.randoms(use_true_random=False))
    def crash(self, random: Random) -> None:
        self.world.crash(random)

    @precondition(lambda self: self.world.device.powered)
    @invariant()
    def agrees(self) -> None:
        self.world.check_live()


TestSimFs = SimFsMachine.TestCase
TestSimFs.settings = settings(stateful_step_count=25)


@pytest.mark.parametrize("first", range(0, examples(60), 20))
def test_random_histories_keep_what_was_synced(first: int) -> None:
    """Over seeded histories with power cuts, every synced byte and whole name survives."""
    for seed in range(first, first + 20):
        run_history(seed, World())


def test_every_power_cut_of_one_scenario() -> None:
    """A scenario with files, renames and image writes survives a cut at each device operation."""
    for cut in range(1000):
        world = World()
        world.device.cut_power_after(cut)
        try:
            run_scenario(world)
        except DeviceError:
            world.crash(Random(cut))
        else:
            break
    assert 40 < cut < 999


def run_scenario(world: World) -> None:
    """Enough commits that the journal of 4 KiB overflows into new images."""
    for turn in range(12):
        world.create("a.log")
        world.write("a.log", turn * 512, 512, odd=bool(turn % 2))
        world.sync("a.log")
        world.create("b.edb")
        world.write("b.edb", 0, 5000, odd=False)
        world.rename("b.edb", "d/c.chk")
        world.sync(None)


@define
class SkippingDevice:
    """A broken server: it acknowledges some flushes without doing them."""

    device: BlockDevice
    skip: Callable[[int], bool]
    count: int = 0

    @property
    def size_bytes(self) -> int:
        return self.device.size_bytes

    @property
    def read_only(self) -> bool:
        return False

    def read(self, offset: int, length: int) -> bytes:
        return self.device.read(offset, length)

    def write(self, offset: int, data: bytes | bytearray | memoryview) -> None:
        self.device.write(offset, data)

    def flush(self) -> None:
        self.count += 1
        if not self.skip(self.count):
            self.device.flush()

    def discard(self, offset: int, length: int) -> None:
        self.device.discard(offset, length)


def survives(make: Callable[[], World], seeds: int = 200) -> bool:
    """Whether no history finds anything."""
    try:
        for seed in range(seeds):
            run_history(seed, make())
    except (AssertionError, FileSystemDamaged):
        return False
    return True


@pytest.mark.breaks
@pytest.mark.parametrize(
    "skip",
    [lambda count: True, lambda count: count % 2 == 0, lambda count: count % 2 == 1],
    ids=["every", "even", "odd"],
)
def test_mutant_with_skipped_flushes_dies(skip: Callable[[int], bool]) -> None:
    """The histories notice a flush that is acknowledged and not done."""
    assert not survives(lambda: World(lambda device: SkippingDevice(device, skip)))


@pytest.mark.breaks
def test_mutant_that_reuses_freed_blocks_at_once_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The histories notice blocks that get a new owner before their freeing is durable."""
    honest = Contents.apply

    def hasty(self: Contents, operation: object) -> None:
        honest(self, operation)  # type: ignore[arg-type]
        self.free.release(self._freed)
        self._freed.clear()

    monkeypatch.setattr(Contents, "apply", hasty)
    assert not survives(World)


@pytest.mark.breaks
def test_mutant_that_forgets_to_clear_the_gap_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    """The histories notice growth that lets old bytes behind the end of a file reappear."""
    monkeypatch.setattr("frskit.storage.simfs.contents._is_mapped", lambda *_: False)

    def run() -> None:
        for seed in range(60):
            world, random = World(), Random(seed)
            for _ in range(60):
                world.step(random)
                world.check_live()

    with pytest.raises(AssertionError):
        run()
