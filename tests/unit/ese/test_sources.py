"""What the checks accept as files, and how they fail to read them."""

from __future__ import annotations

import os
import pickle
import tracemalloc

import pytest

from frskit import ese
from frskit.errors import FileMissing, FormatError, HostError
from frskit.ese import sources
from frskit.ese.logs.format7_chain import ChecksumRecord, shadow_sector
from frskit.ese.pages.verify_many import PageVerifier, as_words
from frskit.ese.sources import BytesFile, PathFile, named_files, opened, source_name


@pytest.fixture
def path(tmp_path):
    """A file of 1000 bytes."""
    place = tmp_path / "a.bin"
    place.write_bytes(bytes(range(250)) * 4)
    return place


def test_a_path_file_reads_ranges_and_travels(path):
    """Ranges, short reads at the end, and a copy by pickle that opens the file anew."""
    file = PathFile(path)
    assert (file.size_bytes, file.name) == (1000, str(path))
    assert file.read_at(10, 5) == bytes(range(10, 15))
    assert file.read_at(995, 100) == bytes(range(245, 250))
    assert file.read_at(2000, 5) == b""
    again = pickle.loads(pickle.dumps(file))
    file.close()
    file.close()
    assert again.read_at(0, 3) == b"\0\1\2"
    again.close()


def test_machines_without_positioned_reads_read_all_the_same(path, monkeypatch):
    """Where the system has no positioned reads, seek and read do."""
    monkeypatch.delattr(os, "preadv")
    monkeypatch.delattr(os, "pread")
    file = PathFile(path)
    buffer = bytearray(5)
    assert file.read_into(10, memoryview(buffer)) == 5
    assert file.read_at(10, 5) == bytes(buffer) == bytes(range(10, 15))
    assert file.read_at(995, 100) == bytes(range(245, 250))
    file.close()


def test_a_read_that_comes_in_pieces_is_put_together(path, monkeypatch):
    """The system may give less than asked for; the range is whole all the same."""
    monkeypatch.setattr(
        os, "pread", lambda fd, length, at, read=os.pread: read(fd, min(3, length), at)
    )
    file = PathFile(path)
    assert file.read_at(10, 8) == bytes(range(10, 18))
    assert file.read_at(996, 100) == bytes(range(246, 250))
    file.close()


def test_a_read_needs_memory_for_its_bytes_once(tmp_path):
    """The buffer that the system fills is what the caller gets."""
    place = tmp_path / "large"
    place.write_bytes(bytes(8 << 20))
    file = PathFile(place)
    tracemalloc.start()
    try:
        assert len(file.read_at(0, 8 << 20)) == 8 << 20
        assert tracemalloc.get_traced_memory()[1] < 9 << 20
    finally:
        tracemalloc.stop()
        file.close()


def test_a_closed_or_unreadable_file_is_a_typed_error(path, tmp_path, monkeypatch):
    """Errors of the operating system become HostError with the path in the context."""
    with pytest.raises(HostError):
        PathFile(tmp_path)

    def broken(*_):
        raise OSError(5, "Input/output error")

    file = PathFile(path)
    monkeypatch.setattr(os, "pread", broken)
    monkeypatch.setattr(os, "preadv", broken)
    for read in (lambda: file.read_at(0, 10), lambda: file.read_into(0, memoryview(bytearray(10)))):
        with pytest.raises(HostError, match="Input/output error") as caught:
            read()
        assert caught.value.context["path"] == str(path)
    file.close()


def test_missing_files_are_said_to_be_missing(tmp_path):
    """FileMissing, with the path in the context."""
    with pytest.raises(FileMissing) as caught:
        PathFile(tmp_path / "none")
    assert caught.value.context["path"].endswith("none")


def test_a_directory_that_cannot_be_listed_is_a_typed_error(tmp_path, monkeypatch):
    """A failing listdir is a HostError, not an OSError."""

    def broken(_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(sources.Path, "iterdir", broken)
    with pytest.raises(HostError):
        named_files(tmp_path).listdir()


def test_trees_are_used_as_they_are(forge):
    """An object with listdir and open is a set of named files already."""

    class Tree:
        """The root of a file tree."""

        def listdir(self, path=""):
            """One log."""
            return ["E0000001.log"]

        def open(self, path):
            """That log."""
            return BytesFile(forge.old_log(1))

    tree = Tree()
    assert named_files(tree) is tree
    assert ese.check_logs(tree, "E00").generations == (1,)


def test_names_for_messages(path):
    """A path, an object's own name, or its type."""

    class PathLike:
        """Something with a path."""

        def __fspath__(self):
            return "x/y"

    assert source_name(path) == str(path)
    assert source_name("a.edb") == "a.edb"
    assert source_name(PathLike()) == "x/y"
    assert source_name(BytesFile(b"", "b")) == "b"
    assert source_name(b"") == "bytes"


def test_what_is_opened_here_is_closed_here(path):
    """References are closed after use; open files stay open."""
    closed = []

    class Reference:
        """Opens a file that notes when it is closed."""

        def open(self):
            """A noting file."""
            file = BytesFile(b"abc")
            file.close = lambda: closed.append(True)
            return file

    with opened(Reference()) as file:
        assert file.read_at(0, 3) == b"abc"
    assert closed == [True]
    with path.open("rb") as stream:
        with opened(stream) as file:
            assert file.read_at(1, 2) == b"\1\2"
        assert not stream.closed


def test_large_logs_are_read_in_pieces(forge, monkeypatch):
    """A log above the size that is read at once gives the same report."""
    from frskit.ese.logs import file as logfile
    from frskit.ese.logs import format7_chain as logchain

    log = forge.old_log(2, ((0, 300), (0, 9000), (0, 100)))
    whole = ese.check_log(log)
    monkeypatch.setattr(logfile, "_WHOLE_BYTES", 0)
    monkeypatch.setattr(logchain, "_CHUNK", 1000)
    assert ese.check_log(log) == whole
    log[8000] ^= 1
    assert ese.check_log(log).error == -501


def test_values_that_do_not_fit_are_refused():
    """Record numbers, sectors without a record, and fields of a wrong length."""
    with pytest.raises(FormatError):
        ChecksumRecord(back=-1).pack()
    with pytest.raises(FormatError):
        shadow_sector(bytes(512), 0, 1)
    with pytest.raises(FormatError, match="repair_time"):
        ese.pack_database_header(ese.DatabaseHeader(repair_time=ese.LogTime(raw=b"123")))


def test_page_numbers_wrap_at_32_bits(forge):
    """Runs that reach past the highest page number do not fail; such pages are bad."""
    words = as_words(forge.page(2**32 - 1) + forge.page(1))
    run = PageVerifier(4096, 2).verify(words, 2**32 - 1)
    assert run.status.tolist()[0] == 0
