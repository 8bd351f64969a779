"""Shared by the tests of the exchange wing: a small server, copies of it, and an Exchange."""

from __future__ import annotations

import random
import uuid
from contextlib import contextmanager
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

import pytest
from attrs import define, field, frozen

from frskit.clock import Budget, VirtualClock
from frskit.errors import UsageError, VolumeNotFound
from frskit.exchange.simulated import SimulatedExchange
from frskit.exchange.store import Message
from frskit.exchange.versions import EXCHANGE_2003_SMALL_LOGS
from frskit.model.components import BackupType, WriterSession
from frskit.model.copies import Copy
from frskit.model.ids import CopyId, HostRef, IdFactory, SetId, StorageId, VolumeId
from frskit.model.storage import CopyKind
from frskit.model.volumes import Extent, Volume, VolumePath
from frskit.storage.devices import MemoryDevice
from frskit.storage.simfs import SimFs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from frskit.exchange.writer.writer import ExchangeWriter
    from frskit.model.components import Component, WriterRecord
    from frskit.model.files import FileSet
    from frskit.protocols import FileRef, FileSystem, Workspace

VOLUME_BYTES = 16 << 20


def pytest_configure(config: pytest.Config) -> None:
    """Know the rule mark also when these tests run alone."""
    config.addinivalue_line("markers", "rule(id): rule of the books that the test proves")


def clone(device: MemoryDevice) -> MemoryDevice:
    """An independent device with the same content."""
    twin = MemoryDevice(device.size_bytes)
    step = 1 << 18
    for offset in range(0, device.size_bytes, step):
        data = device.read(offset, min(step, device.size_bytes - offset))
        if data != bytes(len(data)):
            twin.write(offset, data)
    return twin


class SmallServer:
    """A server with drive letters on memory devices; enough of `protocols.Server` for Exchange."""

    def __init__(self, name: str, clock: VirtualClock) -> None:
        self.name = name
        self.host = HostRef(name)
        self.runner = None
        self.devices: dict[str, MemoryDevice] = {}
        self._mounted: dict[str, SimFs] = {}
        self._clock = clock

    def add_drive(self, letter: str) -> None:
        """A new empty volume."""
        device = MemoryDevice(VOLUME_BYTES)
        volume_id = uuid.UUID(int=ord(letter))
        SimFs.format(device, volume_id=volume_id, clock=self._clock).close()
        self.put_drive(letter, device)

    def put_drive(self, letter: str, device: MemoryDevice) -> None:
        """Mount a device under a drive letter."""
        self.devices[letter] = device
        self._mounted[letter] = SimFs.mount(device, clock=self._clock)

    def take_drive(self, letter: str) -> MemoryDevice:
        """Dismount; whoever kept the file system gets errors from now on."""
        self._mounted.pop(letter).close()
        return self.devices.pop(letter)

    def resolve(self, path: str) -> VolumePath:
        letter = path[:1].upper()
        if path[1:2] != ":" or letter not in self._mounted:
            raise VolumeNotFound(f"{path} is on no mounted volume")
        return VolumePath(
            volume=VolumeId(f"volume-{letter}"), path=path[2:].replace("\\", "/").strip("/")
        )

    def files(self, volume: VolumeId) -> FileSystem:
        letter = volume.removeprefix("volume-")
        if letter not in self._mounted:
            raise VolumeNotFound(f"{volume} is not mounted")
        return self._mounted[letter]

    def volumes(self) -> Sequence[Volume]:
        return tuple(
            Volume(
                id=VolumeId(f"volume-{letter}"),
                mount_points=(f"{letter}:\\",),
                extents=(
                    Extent(
                        storage=StorageId(f"naa:{letter}"),
                        offset_bytes=0,
                        length_bytes=VOLUME_BYTES,
                    ),
                ),
            )
            for letter in self._mounted
        )

    def read(self, path: str) -> bytes:
        """The whole content of a file."""
        place = self.resolve(path)
        with self.files(place.volume).open(place.path) as file:
            return file.read_at(0, file.size_bytes)

    def write(self, path: str, data: bytes, *, offset: int = 0) -> None:
        """Change bytes of a file behind everybody's back, making it if needed."""
        place = self.resolve(path)
        tree = self.files(place.volume)
        with tree.edit(place.path) if tree.exists(place.path) else tree.create(place.path) as file:
            file.write_at(offset, data)
            file.sync()

    def flip(self, path: str, offset: int, mask: int = 1) -> None:
        """Flip bits of one byte."""
        self.write(path, bytes([self.read(path)[offset] ^ mask]), offset=offset)

    def remove(self, path: str) -> None:
        """Remove a file."""
        place = self.resolve(path)
        self.files(place.volume).remove(place.path)

    def rename(self, old: str, new: str) -> None:
        """Rename a file, making the directory."""
        place, target = self.resolve(old), self.resolve(new)
        tree = self.files(place.volume)
        tree.makedirs(target.path.rpartition("/")[0])
        tree.rename(place.path, target.path)

    def names(self, directory: str) -> list[str]:
        """Names in a directory."""
        place = self.resolve(directory)
        return list(self.files(place.volume).listdir(place.path))


@frozen(kw_only=True)
class SmallCopy:
    """A copy of a server's devices, as a check target and as files of a copy."""

    server: SmallServer
    components: tuple[Component, ...]
    selected: tuple[Component, ...]

    @property
    def copy(self) -> Copy:
        return Copy(
            id=CopyId("0" * 36),
            server="evs1",
            components=("sg1",),
            kind=CopyKind.SNAPCLONE,
            backup_type=BackupType.FULL,
            created_at=datetime(2005, 7, 15, tzinfo=UTC),
            selected=self.selected,
            files=self.components,
        )

    def find(self, files: FileSet) -> Sequence[tuple[str, FileRef]]:
        place = self.server.resolve(files.path)
        tree = self.server.files(place.volume)
        if not tree.exists(place.path):
            return ()
        return tuple(
            (f"{files.path}\\{name}", tree.ref(f"{place.path}/{name}".strip("/")))
            for name in tree.listdir(place.path)
            if fnmatchcase(name.casefold(), files.pattern.casefold())
        )

    @contextmanager
    def scratch(self, *, with_copy: bool = False) -> Iterator[Workspace]:
        raise UsageError("nobody needs scratch space here")
        yield


def snapshot(server: SmallServer, clock: VirtualClock) -> SmallServer:
    """All devices of a server at one instant, on another server."""
    twin = SmallServer("frs1", clock)
    for letter, device in server.devices.items():
        server.files(VolumeId(f"volume-{letter}")).sync()
        twin.put_drive(letter, clone(device))
    return twin


@define(kw_only=True)
class World:
    """A production server with one storage group on three volumes."""

    clock: VirtualClock
    server: SmallServer
    exchange: SimulatedExchange
    sessions: int = field(default=0)

    @property
    def writer(self) -> ExchangeWriter:
        """The store writer."""
        return self.exchange.writer

    @property
    def budget(self) -> Budget:
        """Enough time."""
        return Budget.of(self.clock)

    def session(
        self, kind: BackupType = BackupType.FULL, *groups: str, volumes: str = "LMP"
    ) -> WriterSession:
        """A fresh writer session for whole groups."""
        self.sessions += 1
        wanted = groups or ("sg1",)
        return WriterSession(
            session_id=SetId(f"set-{self.sessions}"),
            backup_type=kind,
            components=tuple(
                each.id
                for each in self.writer.identify(budget=Budget.unlimited()).components
                if each.selectable and each.caption in wanted
            ),
            volumes=frozenset(VolumeId(f"volume-{letter}") for letter in volumes),
        )

    def deliver(self, count: int, database: str | None = None, size: int = 300) -> list[int]:
        """Deliver messages."""
        start = self.total()
        return self.exchange.deliver(
            "sg1",
            database,
            [
                Message(subject=f"message {start + n}", body=bytes([n % 251]) * size, folder=1)
                for n in range(count)
            ],
        )

    def fill_logs(self, generations: int, database: str | None = None) -> None:
        """Deliver until so many more logs are closed."""
        goal = (self.current() or 0) + generations
        while (self.current() or 0) < goal:
            self.deliver(20, database, 2000)

    def current(self) -> int | None:
        """Generation being written."""
        return self.exchange.application.status("sg1").current_log.rank

    def total(self, database: str = "mbx1") -> int:
        """Number of messages in a database."""
        status = self.exchange.application.status("sg1")
        (found,) = (each for each in status.databases if each.name == database)
        return found.items or 0

    def freeze(self, session: WriterSession) -> None:
        """The first half of a backup."""
        self.writer.prepare_backup(session, budget=Budget.unlimited())
        self.writer.prepare_snapshot(session, budget=Budget.unlimited())
        self.writer.freeze(session, budget=self.budget)

    def copy(
        self, session: WriterSession | None = None
    ) -> tuple[SmallCopy, WriterSession, Sequence[WriterRecord]]:
        """Freeze, copy all volumes, thaw; the backup stays open."""
        session = session or self.session()
        metadata = self.writer.identify(budget=Budget.unlimited())
        self.freeze(session)
        image = snapshot(self.server, self.clock)
        self.writer.thaw(session, budget=Budget.unlimited())
        records = self.writer.post_snapshot(session, budget=Budget.unlimited())
        selected = tuple(each for each in metadata.components if each.id in session.components)
        wanted = [each for c in session.components for each in metadata.component_set(c)]
        target = SmallCopy(
            server=image,
            components=tuple(each for each in wanted if each.files),
            selected=selected,
        )
        return target, session, records

    def complete(self, session: WriterSession, succeeded: bool = True) -> None:
        """The end of a backup."""
        from attrs import evolve

        done = evolve(session, succeeded=dict.fromkeys(session.components, succeeded))
        self.writer.backup_complete(done, budget=Budget.unlimited())
        self.writer.backup_shutdown(done)

    def event_ids(self, source: str = "ESE") -> list[int]:
        """Numbers of the events so far."""
        return [each.id for each in self.exchange.events if each.source == source]


def build_world(seed: int = 1, **options: object) -> World:
    """A world with storage group sg1: mbx1 on M:, pub1 on P:, logs and checkpoint on L:."""
    clock = VirtualClock()
    server = SmallServer("evs1", clock)
    for letter in "LMP":
        server.add_drive(letter)
    rng = random.Random(seed)
    exchange = SimulatedExchange(
        server,
        clock=clock,
        rng=rng,
        ids=IdFactory(random.Random(seed)),
        profile=EXCHANGE_2003_SMALL_LOGS,
        name="evs1",
    )
    exchange.add_storage_group(
        "sg1", log_path="L:\\exchsrvr\\sg1", system_path="L:\\exchsrvr\\sg1", **options
    )
    exchange.add_database("sg1", "mbx1", path="M:\\exchsrvr\\sg1\\mbx1.edb")
    exchange.add_database("sg1", "pub1", path="P:\\exchsrvr\\sg1\\pub1.edb", kind="public")
    exchange.start()
    return World(clock=clock, server=server, exchange=exchange)


@pytest.fixture
def world() -> World:
    """A fresh production server with one storage group."""
    return build_world()


@pytest.fixture
def circular_world() -> World:
    """The same with circular logging."""
    return build_world(circular=True)


@pytest.fixture(name="make_world")
def make_world_fixture():
    """The function that makes worlds."""
    return build_world
