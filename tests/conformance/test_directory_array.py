"""Arrays made of directories pass the conformance kit, and a plausible mistake does not."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from pathlib import Path

import pytest
from attrs import evolve
from support.examples import examples
from support.zlib_array import ZlibArray

from frskit.clock import Budget, VirtualClock
from frskit.errors import DeviceError
from frskit.local import DirectoryArray
from frskit.model.ids import HostRef, StorageId
from frskit.storage.directory_filesystem import PathFileSystem
from frskit.testing.array import plant_tree, read_tree
from frskit.testing.array.kit import check_disk_array

pytestmark = pytest.mark.kits

EXAMPLE = Path(__file__).parents[2] / "examples" / "third_party_array.py"
# What depends on who runs the tests, and where.
NOT_EVERYWHERE = {"owners of a tree", "attributes of a tree"}
HOSTS = (HostRef("prod"), HostRef("rec"))


def directory_array(root, clock):
    """The array of this package."""
    return DirectoryArray(root, clock=clock, hosts=HOSTS)


def third_party_array(root, clock):
    """The array of the examples."""
    name = "frskit_example_third_party_array"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, EXAMPLE)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name].BlobArray(root, clock=clock, hosts=HOSTS)


def stranger_array(root, clock):
    """The array of somebody who had the contract alone."""
    return ZlibArray(root, clock=clock, hosts=HOSTS)


class DirectoryWorld:
    """An array of directories; what the levers read and write is one file in each."""

    host = HOSTS[1]
    size_bytes = 4096
    concurrent = False

    def __init__(self, root, open_array):
        self._root, self._open = root, open_array
        self.clock = VirtualClock()
        self.array = open_array(root, self.clock)
        self.storages = tuple(self.array.add_storage(name) for name in ("a", "b", "c"))
        for storage in self.storages:
            (self.array.directory(storage) / "bytes").write_bytes(bytes(self.size_bytes))

    def _tree(self, storage):
        if storage in self.storages:
            return PathFileSystem(self.array.directory(storage))
        for each in self.array.presentations(storage, budget=Budget.unlimited()):
            if each.host == self.host:
                return PathFileSystem(each.access.path, read_only=each.read_only)
        raise DeviceError(f"{storage} is not presented")

    def read(self, storage, offset, length):
        with self._tree(storage).open("bytes") as file:
            return file.read_at(offset, length)

    def write(self, storage, offset, data):
        with self._tree(storage).edit("bytes") as file:
            file.write_at(offset, data)

    def plant_tree(self, storage, *, special):
        plant_tree(self.array.directory(storage), special=special)

    def snapshot_tree(self, storage):
        return read_tree(Path(self._tree(storage).root))

    def advance(self, seconds):
        self.clock.advance(seconds)

    def _quiet(self):
        getattr(self.array, "close", lambda: None)()

    def restart(self):
        self._quiet()
        self.array = self._open(self._root, self.clock)
        return True

    def close(self):
        self._quiet()
        shutil.rmtree(self._root)


@pytest.fixture
def worlds(tmp_path):
    """Make worlds of one kind of array, each in a directory of its own."""
    count = iter(range(1_000_000))

    def worlds(open_array):
        return lambda: DirectoryWorld(tmp_path / str(next(count)), open_array)

    return worlds


@pytest.mark.parametrize("open_array", [directory_array, third_party_array, stranger_array])
def test_arrays_of_directories_pass_the_kit(worlds, open_array):
    """The kit finds nothing, and skips only what such an array does not claim to do."""
    report = check_disk_array(worlds(open_array), max_examples=examples(40), steps=20)
    if open_array is directory_array:
        assert not [each for each in report.skipped if each.startswith("looks")], "it has budgets"
    assert set(report.skipped) <= {
        "copy after refusal",
        "largest set",
        "looks beside",
        "looks inside",
        "normalization",
        "one instant under load",
        "restore",
        "source of a dependent copy",
        "space comes back",
        "staged objects",
        "foreign copies",
        "LUN numbers",
        "two hosts",
        *NOT_EVERYWHERE,
    }, str(report)
    assert {"a tree as it was", "pipes and sockets", "copy of a tree's copy"} <= set(
        report.executed
    )


def hard_links(monkeypatch):
    """A copy that is not one: both names lead to the same file."""

    def link(self, name, source, target):
        os.link(name, name, src_dir_fd=source, dst_dir_fd=target)

    monkeypatch.setattr("frskit.local.reflink._Cloner._file", link)


def one_by_one(monkeypatch):
    """Members that are recorded one after the other."""

    def make_set(self, change, staged, budget):
        for number in range(len(staged.requests)):
            record = self._make_member(change.records, staged, number, self._clock.now(), budget)
            self._record_set(change, staged, (record,), self._clock.now())

    monkeypatch.setattr(DirectoryArray, "_make_set", make_set)


def kept_record(monkeypatch):
    """A deletion that leaves the record."""
    monkeypatch.setattr("frskit.local.records.ArrayRecords.without", lambda self, _record: self)


def ids_of_names(monkeypatch):
    """Ids that come again with the name."""
    monkeypatch.setattr(DirectoryArray, "_new_id", lambda _self, name: StorageId(f"file:{name}"))


def said_to_be_enforced(monkeypatch):
    """What was asked for is handed out as if somebody saw to it."""
    real = DirectoryArray._presentation

    def presentation(self, each, record):
        return evolve(real(self, each, record), read_only=each.read_only)

    monkeypatch.setattr(DirectoryArray, "_presentation", presentation)


@pytest.mark.breaks
@pytest.mark.parametrize(
    ("mutant", "complaint"),
    [
        (hard_links, "differs from its instant"),
        (one_by_one, "a failed set has members"),
        (kept_record, "deleted storage is still listed"),
        (ids_of_names, "names a second object"),
        (said_to_be_enforced, "read_only is True where the capabilities say none"),
    ],
)
def test_plausible_mistakes_do_not_pass(worlds, monkeypatch, mutant, complaint):
    """Each mistake of this kind of array is found by the kit, and named."""
    mutant(monkeypatch)
    with pytest.raises(AssertionError, match=complaint):
        check_disk_array(worlds(directory_array), max_examples=10, steps=20, shrink=False)


@pytest.mark.breaks
def test_ids_of_names_do_not_pass_in_the_example(worlds, monkeypatch):
    """A content store that calls its objects by their names is caught as well."""
    kind = type(worlds(third_party_array)().array)
    real = kind.make

    def make(self, key, number, request):
        copy, manifest = real(self, key, number, request)
        return evolve(copy, id=StorageId(f"blob:{copy.name}")), manifest

    monkeypatch.setattr(kind, "make", make)
    with pytest.raises(AssertionError, match="names a second object"):
        check_disk_array(worlds(third_party_array), max_examples=10, steps=20, shrink=False)
