"""A storage group on two small volumes, with copies of the volumes as an array would make them."""

from __future__ import annotations

import io
import random
import uuid

import pytest
from dissect.esedb import EseDB

from frskit.clock import VirtualClock
from frskit.exchange.store import SMALL_LOGS, DatabaseFiles, Message, Places, StorageGroupEngine
from frskit.storage.devices import MemoryDevice
from frskit.storage.simfs import SimFs

VOLUME_BYTES = 8 << 20


def _clone(device):
    twin = MemoryDevice(device.size_bytes)
    for at in range(0, device.size_bytes, 1 << 18):
        data = device.read(at, 1 << 18)
        if any(data):
            twin.write(at, data)
    return twin


class CountingDevice(MemoryDevice):
    """A device that knows how many bytes were written to it."""

    written_bytes = 0

    def write(self, offset, data):
        self.written_bytes += len(data)
        super().write(offset, data)


class Volume:
    """A device and the file system on it."""

    def __init__(self, device=None, size_bytes=VOLUME_BYTES):
        self.device = device or CountingDevice(size_bytes)
        self.fs = (
            SimFs.mount(self.device)
            if device
            else SimFs.format(self.device, volume_id=uuid.UUID(int=7))
        )

    def copy(self):
        """What an array copy of the LUN holds now; the original is not asked to flush."""
        return Volume(_clone(self.device))

    def read(self, path):
        with self.fs.open(path) as file:
            return file.read_at(0, file.size_bytes)

    def write(self, path, data):
        with self.fs.create(path, exclusive=False) as file:
            file.write_at(0, data)
            file.sync()

    def patch(self, path, offset, data):
        with self.fs.edit(path) as file:
            file.write_at(offset, data)
            file.sync()


class Group:
    """A storage group with stores `mb` and `pub`, logs on one volume and stores on the other."""

    NAMES = ("mb", "pub")

    def __init__(self, *, profile=SMALL_LOGS, circular=False, volume_bytes=VOLUME_BYTES, seed=1):
        self.profile = profile
        self.circular = circular
        self.clock = VirtualClock()
        self.rng = random.Random(seed)
        self.logs = Volume(size_bytes=volume_bytes)
        self.stores = Volume(size_bytes=volume_bytes)
        self.engine = StorageGroupEngine.create(self.places(), **self.keywords())

    def places(self):
        return Places(self.logs.fs, "logs", self.logs.fs, "system", "E00")

    def keywords(self):
        return {
            "profile": self.profile,
            "clock": self.clock,
            "rng": self.rng,
            "circular": self.circular,
        }

    def with_stores(self, *names):
        for name in names or self.NAMES:
            self.engine.add_database(self.files(name))
        return self

    def files(self, name, **more):
        """Where a store lies, as all of them do; `more` says it otherwise."""
        usual = {"stream_path": f"{name}.stm", "display_path": f"M:\\{name}.edb"}
        return DatabaseFiles(name=name, fs=self.stores.fs, path=f"{name}.edb", **(usual | more))

    def bare(self, name, path=None, **more):
        """The same without a streaming file."""
        return DatabaseFiles(name=name, fs=self.stores.fs, path=path or f"{name}.edb", **more)

    def stop(self):
        """As after a loss of power of the server; the volumes are synced."""
        self.engine.close(clean=False)

    def at(self, logs=None, stores=None):
        """The same group on other volumes, stopped."""
        twin = object.__new__(Group)
        twin.profile, twin.circular, twin.clock = self.profile, self.circular, self.clock
        twin.rng = random.Random(2)
        twin.logs, twin.stores = logs or self.logs, stores or self.stores
        twin.engine = None
        return twin

    def open(self, *names):
        self.engine = StorageGroupEngine.open(self.places(), **self.keywords())
        for name in names or self.NAMES:
            self.engine.register_database(self.files(name))
        return self.engine

    def start(self, *names, **options):
        """Open, recover, mount everything."""
        self.clock.advance(60)
        engine = self.open(*names)
        report = engine.recover(**options)
        for name in engine.databases:
            engine.mount(name)
        return report

    def fill(self, count, *, store="mb", body=b"x", prefix="m"):
        return [
            self.engine.deliver(store, [Message(subject=f"{prefix}{index}", body=body)])[0]
            for index in range(count)
        ]

    def subjects(self, store="mb"):
        return [each.subject for each in self.engine.messages(store)]

    def image(self):
        """Copies of both volumes at one instant."""
        return self.logs.copy(), self.stores.copy()

    def event_ids(self):
        return [each.id for each in self.engine.events]

    def archived(self):
        return sorted(self.engine.log_directory.archived())

    def fill_logs(self, generations, *, store="mb"):
        """Deliver until so many generations are closed; the checkpoint stays behind."""
        target = self.engine.current_generation + generations
        while self.engine.current_generation < target:
            self.engine.deliver(store, [Message(subject="filler", body=bytes(3000))])


def _rows_by_dissect(raw):
    database = EseDB(io.BytesIO(raw))
    columns = ("MsgId", "Part", "Folder", "Txid", "Subject", "Body")
    rows = [
        tuple(record.get(column) for column in columns)
        for record in database.table("Messages").records()
    ]
    return [table.name for table in database.tables()], rows


def _rows_by_libesedb(raw):
    pyesedb = pytest.importorskip("pyesedb", reason="libesedb is not installed (group oracles)")
    file = pyesedb.file()
    file.open_file_object(io.BytesIO(raw))
    rows = []
    for record in file.get_table_by_name("Messages").records:
        numbers = [
            int.from_bytes(record.get_value_data(index), "little", signed=True)
            for index in range(4)
        ]
        subject = (record.get_value_data(4) or b"").decode("cp1252")
        rows.append((*numbers, subject, record.get_value_data(5)))
    names = [table.name for table in file.tables]
    file.close()
    return names, rows


def _expected_rows(messages):
    rows = []
    for each in messages:
        pieces = range(0, max(1, len(each.body)), 1024)
        rows += [
            (each.id, part, each.folder, each.txid, each.subject, each.body[at : at + 1024] or None)
            for part, at in enumerate(pieces)
        ]
    return rows


@pytest.fixture(scope="session")
def group():
    """Function: options -> a storage group without stores."""
    return Group


@pytest.fixture
def volume():
    """The class `Volume`."""
    return Volume


@pytest.fixture
def readers():
    """Independent readers: name -> function of the file's bytes giving tables and rows.

    The second one is built with a C compiler; its tests are skipped without it.
    """
    return {"dissect.esedb": _rows_by_dissect, "libesedb": _rows_by_libesedb}


@pytest.fixture
def expected_rows():
    """Function: stored messages -> rows as the readers should show them."""
    return _expected_rows
