"""A mounted copy as checkers and applications see it: its record, its files, a place to write."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from attrs import frozen

from frskit import BackupType
from frskit.clock import Budget, CancelToken, VirtualClock
from frskit.errors import Cancelled, HostError, VolumeNotFound
from frskit.frs.mounted_copy import MountedCopy
from frskit.frs.state.late_files import LateRef
from frskit.hosts.runners.local import LocalRunner
from frskit.model.components import Component, ComponentId
from frskit.model.copies import Copy, CopyMember
from frskit.model.files import FileRole, FileSet
from frskit.model.ids import CopyId, StorageId, VolumeId
from frskit.model.server_paths import as_relative
from frskit.model.storage import CopyKind
from frskit.model.volumes import Extent, Volume
from frskit.storage.directory_filesystem import PathFileSystem

KV = ComponentId(writer_id="w", logical_path="", name="kv")
STORAGE = StorageId("file:copy")


@frozen(kw_only=True)
class Vault:
    """A recovery server with one volume, whose runner is given."""

    tree: object
    runner: object = None
    name: str = "vault"

    def files(self, _volume):
        return self.tree


class Elsewhere(LocalRunner):
    """A runner on another machine: it has files of the same name, or none."""

    def __init__(self, answer):
        super().__init__()
        self._answer = answer

    def get_file(self, path, *, budget):
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


def record(mount_point, *files):
    """A copy with one member that holds these file sets."""
    component = Component(id=KV, files=files)
    return Copy(
        id=CopyId("0" * 36),
        server="shop",
        components=("kv",),
        kind=CopyKind.SNAPCLONE,
        backup_type=BackupType.COPY,
        created_at=datetime(2026, 1, 1, tzinfo=UTC),
        selected=(component,),
        files=(component,),
        members=(
            CopyMember(
                volume=VolumeId("v"),
                mount_point=mount_point,
                source=StorageId("file:live"),
                storage=STORAGE,
            ),
        ),
    )


@pytest.fixture
def image(tmp_path):
    """The volume of a copy: a tree with an empty directory, and files of nobody's."""
    for path, data in {"kv/base/1": b"one" * 99, "kv/wal/2": b"", "other/x": b"no"}.items():
        file = tmp_path / "image" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
    (tmp_path / "image" / "kv" / "empty" / "deep").mkdir(parents=True)
    return tmp_path / "image"


def mounted(image, *, mount_point="/srv", runner=None, budget=None, sets=None, late=()):
    """The copy, mounted."""
    sets = sets or (FileSet(path="/srv/kv", pattern="*", recursive=True),)
    extent = Extent(storage=STORAGE, offset_bytes=0, length_bytes=1 << 20)
    volume = Volume(id=VolumeId("v"), mount_points=(), extents=(extent,), read_only=True)
    vault = Vault(tree=PathFileSystem(image), runner=runner)
    files = [(KV, late_file(path, data)) for path, data in late]
    return MountedCopy(record(mount_point, *sets), vault, [volume], late=files, budget=budget)


def late_file(path, data):
    """A late file in memory."""
    digest = hashlib.sha256(data).hexdigest()
    return LateRef(name=path, size_bytes=len(data), sha256=digest, content=data)


def content(ref):
    """All bytes of a file of the copy."""
    with ref.open() as file:
        return file.read_at(0, file.size_bytes)


def tree(place):
    """Everything in a scratch place, directories with a slash."""
    root = Path(place.path)
    return sorted(
        f"{each.relative_to(root)}/" if each.is_dir() else str(each.relative_to(root))
        for each in root.rglob("*")
    )


def test_the_record_and_the_selection_come_with_the_files(image):
    """A checker and an application see the same copy; the former name warns."""
    target = mounted(image)
    assert target.copy.id == "0" * 36
    with pytest.warns(DeprecationWarning, match=r"copy\.selected"):
        assert target.selected == target.copy.selected


def test_a_scratch_place_is_empty_writable_and_gone_afterwards(image):
    """Nothing of the copy is in it unless it was asked for."""
    with mounted(image, runner=LocalRunner()).scratch() as place:
        assert tree(place) == []
        with place.files.create("x") as file:
            file.write_at(0, b"mine")
        assert (Path(place.path) / "x").read_bytes() == b"mine"
        root = Path(place.path)
    assert not root.exists()


def test_a_scratch_place_with_the_copy_holds_its_files_to_be_written_to(image):
    """All that the file sets mean, empty directories too, under production's paths; a clone."""
    with mounted(image, runner=LocalRunner()).scratch(with_copy=True) as place:
        base = "srv/kv/"
        assert [each for each in tree(place) if each.startswith(base)] == [
            "srv/kv/",
            "srv/kv/base/",
            "srv/kv/base/1",
            "srv/kv/empty/",
            "srv/kv/empty/deep/",
            "srv/kv/wal/",
            "srv/kv/wal/2",
        ]
        assert not any("other" in each for each in tree(place))
        assert as_relative("/srv/kv/base/1") == "srv/kv/base/1"
        with place.files.edit(as_relative("/srv/kv/base/1")) as file:
            file.write_at(0, b"changed")
    assert (image / "kv/base/1").read_bytes() == b"one" * 99


def test_a_scratch_place_names_windows_paths_without_the_drives_colon(image):
    """A file that two sets mean is there once."""
    sets = (
        FileSet(path="M:\\kv\\base", pattern="*"),
        FileSet(path="M:\\kv\\base", pattern="1", role=FileRole.LOG),
    )
    target = mounted(image, mount_point="M:\\", runner=LocalRunner(), sets=sets)
    with target.scratch(with_copy=True) as place:
        assert tree(place) == ["M/", "M/kv/", "M/kv/base/", "M/kv/base/1"]
        assert as_relative("M:\\kv\\base\\1") == "M/kv/base/1"


@pytest.mark.parametrize(
    "runner", [None, Elsewhere(b"another file"), Elsewhere(HostError("no route"))]
)
def test_programs_find_the_place_only_where_the_server_sees_it(image, runner):
    """A simulated server and another machine have no such path; the files are there all the same."""
    with mounted(image, runner=runner).scratch(with_copy=True) as place:
        assert place.path is None
        assert place.files.exists("srv/kv/base/1")


def test_copying_to_a_scratch_place_can_be_cancelled(image):
    """A copy of many files is no reason to wait."""
    token = CancelToken()
    token.cancel()
    target = mounted(image, budget=Budget.of(VirtualClock(), token=token))
    with pytest.raises(Cancelled), target.scratch(with_copy=True):
        pytest.fail("it was copied")


# --- late files


LATE = (("/srv/kv/wal/2", b"the end"), ("/srv/kv/label", b"label"), ("/arc/9", b"archived"))


def test_late_files_are_found_where_a_restore_puts_them(image):
    """Among those of the image, sorted, and instead of one under the same path."""
    target = mounted(image, late=LATE)
    everything = FileSet(path="/srv/kv", pattern="*", recursive=True)
    assert [(path, content(ref)) for path, ref in target.find(everything)] == [
        ("/srv/kv/base/1", b"one" * 99),
        ("/srv/kv/label", b"label"),
        ("/srv/kv/wal/2", b"the end"),
    ]
    wal = FileSet(path="/srv/kv/wal", pattern="?")
    assert [content(ref) for _, ref in target.find(wal)] == [b"the end"]
    assert target.find(FileSet(path="/srv/kv", pattern="base")) == ()
    assert content(target.ref("/srv/kv/wal/2")) == b"the end"
    assert content(target.ref("/srv/kv/base/1")) == b"one" * 99


def test_late_files_may_lie_where_the_copy_has_no_volume(image):
    """An archive on another disk, for example; where there is nothing of either it is an error."""
    target = mounted(image, late=LATE)
    archive = FileSet(path="/arc", pattern="*")
    assert [path for path, _ in target.find(archive)] == ["/arc/9"]
    with pytest.raises(VolumeNotFound):
        target.find(FileSet(path="/arc", pattern="none"))


def test_windows_names_hide_each_other_in_any_case(image):
    """As the server compares them."""
    sets = (FileSet(path="M:\\kv\\base", pattern="*"),)
    late = (("m:\\KV\\base\\1", b"late"),)
    target = mounted(image, mount_point="M:\\", sets=sets, late=late)
    assert [content(ref) for _, ref in target.find(sets[0])] == [b"late"]
    assert content(target.ref("M:\\kv\\BASE\\1")) == b"late"


def test_a_scratch_place_with_the_copy_has_the_late_files_too(image):
    """Also one that no file set means."""
    with mounted(image, late=LATE).scratch(with_copy=True) as place:
        for path, data in LATE:
            with place.files.open(as_relative(path)) as file:
                assert file.read_at(0, 100) == data


def test_a_directory_that_the_copy_lacks_is_not_made(image):
    """A file set may mean a directory that was not there at the instant."""
    sets = (FileSet(path="/srv/kv/nowhere", pattern="*", recursive=True),)
    with mounted(image, runner=LocalRunner(), sets=sets).scratch(with_copy=True) as place:
        assert tree(place) == []
