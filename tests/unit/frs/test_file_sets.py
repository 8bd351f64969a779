"""Which files of a volume a writer's file set means."""

from __future__ import annotations

import pytest

from frskit.frs.file_sets import files_of
from frskit.model.files import FileSet
from frskit.storage.directory_filesystem import PathFileSystem


@pytest.fixture
def tree(tmp_path):
    """Files on two levels, and a directory with the name of a log."""
    for path in ("sg1/E0000001.log", "sg1/e00.chk", "sg1/old/E0000000.log", "top.log"):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
    (tmp_path / "sg1" / "odd.log").mkdir()
    return PathFileSystem(tmp_path)


@pytest.mark.parametrize(
    ("directory", "pattern", "recursive", "found"),
    [
        ("sg1", "*.LOG", False, ["sg1/E0000001.log"]),
        ("sg1", "*.log", True, ["sg1/E0000001.log", "sg1/old/E0000000.log"]),
        ("sg1", "e00.*", False, ["sg1/e00.chk"]),
        ("sg1", "E00.chk", True, ["sg1/e00.chk"]),
        ("", "*.log", False, ["top.log"]),
        ("sg2", "*", True, []),
        ("sg1", "*.edb", False, []),
    ],
)
def test_a_file_set_means_files_whose_names_match(tree, directory, pattern, recursive, found):
    """In its directory, and below it if it says so; never a directory; none if it is not there."""
    wanted = FileSet(path="any", pattern=pattern, recursive=recursive)
    assert sorted(files_of(tree, directory, wanted)) == found
