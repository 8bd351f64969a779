"""Whole databases: counts, verdicts, executors, pacing, progress, cancelling."""

from __future__ import annotations

import io
import pickle
import tracemalloc
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frskit.clock import Budget, CancelToken, VirtualClock
from frskit.errors import Cancelled, FileMissing, FormatError, TimedOut, UsageError
from frskit.ese import check_database, database
from frskit.ese.pages.checksums import PAGE_SIZES
from frskit.ese.sources import BytesFile, PathFile


def counts(report):
    """The five counters in eseutil's order."""
    return (
        report.pages_seen,
        report.pages_bad,
        report.pages_correctable,
        report.pages_uninitialized,
        report.pages_wrong_number,
    )


def at(page, size=4096):
    """Offset of a logical page."""
    return (page + 1) * size


@pytest.mark.parametrize("size", PAGE_SIZES)
@pytest.mark.parametrize("new", [False, True])
def test_a_good_database_is_ok(forge, size, new):
    """Header pages count as seen; every page size and format passes."""
    report = check_database(forge.database(9, size, new))
    assert counts(report) == (11, 0, 0, 0, 0)
    assert (report.verdict, report.coverage, report.header_condition) == ("ok", "full", "ok")
    assert (report.page_size, report.state) == (size, "Clean Shutdown")
    assert (report.highest_dbtime, report.highest_dbtime_page) == (9, 9)
    assert report.required is None


def test_each_kind_of_damage_is_counted(forge):
    """Bad, correctable, moved and zero pages are told apart, in page order."""
    data = forge.database(10)
    data[at(2) + 500] ^= 4
    data[at(4) + 500] ^= 3
    data[at(6) : at(7)] = bytes(4096)
    data[at(8) : at(9)] = data[at(9) : at(10)]
    report = check_database(data)
    assert counts(report) == (12, 2, 1, 1, 0)
    assert report.verdict == "damaged"
    assert [(each.page, each.status, each.bit) for each in report.damaged] == [
        (2, "correctable", 4002),
        (4, "bad", None),
        (8, "bad", None),
    ]
    assert report.damaged[2].probable_number == 9


def test_a_correctable_page_alone_is_a_verdict_of_its_own(forge):
    """One flipped bit makes the verdict "correctable", never "ok"."""
    data = forge.database(3)
    data[at(2) + 77] ^= 128
    assert check_database(data).verdict == "correctable"


@pytest.mark.rule("EXC-50")
@settings(max_examples=60)
@given(data=st.data())
def test_any_flipped_bit_of_any_page_is_found(forge, data):
    """A flipped bit in any page of a database, headers included, keeps the verdict from "ok"."""
    new = data.draw(st.booleans())
    file = forge.database(4, 2048, new)
    bit = data.draw(st.integers(0, 8 * len(file) - 1))
    file[bit // 8] ^= 1 << bit % 8
    report = check_database(file)
    assert report.verdict != "ok"
    assert report.damaged[0].page == bit // 8 // 2048 - 1


@pytest.mark.rule("FRS-08")
@settings(max_examples=60)
@given(place=st.integers(0, 6 * 4096 - 1), value=st.integers(1, 255))
def test_any_changed_byte_is_found(forge, place, value):
    """Changing any one byte of a database gives a verdict other than "ok"."""
    file = forge.database(4)
    file[place] ^= value
    assert check_database(file).verdict != "ok"


def test_one_bad_header_copy_is_counted_as_a_bad_page(forge):
    """Page -1 or 0 is listed; the header comes from the good copy."""
    for page, condition in ((-1, "primary bad"), (0, "secondary bad")):
        data = forge.database(3)
        data[at(page) + 9] ^= 1
        report = check_database(data)
        assert report.header_condition == condition
        assert [(each.page, each.status) for each in report.damaged] == [(page, "bad")]
        assert counts(report) == (5, 1, 0, 0, 0)


def test_both_headers_bad_is_an_error_unless_the_page_size_is_given(forge):
    """Without a header nothing is known (-1018); a given page size still checks the pages."""
    data = forge.database(3, 8192)
    data[9] ^= 1
    data[8192 + 9] ^= 1
    with pytest.raises(FormatError) as caught:
        check_database(data)
    assert caught.value.native == -1018
    report = check_database(data, page_size=8192)
    assert (report.header, report.header_condition) == (None, "both bad")
    assert report.state == "Unknown"
    assert counts(report) == (5, 2, 0, 0, 0)
    with pytest.raises(UsageError):
        check_database(data, page_size=5000)


def test_the_trailer_page_has_a_header_checksum(forge):
    """A last page with zero words 1, 2, 3 and 6 is the patch page of a streaming backup."""
    from frskit.ese.pages.checksums import seal_header

    trailer = forge.content(4096)
    trailer[4:16] = bytes(12)
    trailer[24:28] = bytes(4)
    seal_header(trailer)
    data = forge.database(3) + trailer
    assert counts(check_database(data)) == (6, 0, 0, 0, 0)
    data[-1] ^= 1
    report = check_database(data)
    assert [(each.page, each.status) for each in report.damaged] == [(4, "bad")]


def test_only_whole_pages_are_checked(forge):
    """A file may end inside a page; the rest is not seen."""
    assert counts(check_database(forge.database(3) + bytes(100))) == (5, 0, 0, 0, 0)


def test_header_only_files_are_checked(forge):
    """One header page, or two, are a small database."""
    header = forge.header()
    assert counts(check_database(header * 2)) == (2, 0, 0, 0, 0)
    single = check_database(header)
    assert counts(single) == (1, 0, 0, 0, 0)
    assert single.header_condition == "secondary bad"


def test_streaming_files_are_covered_by_their_headers_only(forge):
    """A .stm says coverage "headers"; its data pages are not judged."""
    data = forge.header(attribute=1, file_type=2) * 2 + b"\xaa" * 4096 * 3
    report = check_database(data)
    assert (report.coverage, counts(report), report.verdict) == ("headers", (2, 0, 0, 0, 0), "ok")


def test_checkpoints_are_checked_like_two_header_pages(forge):
    """A checkpoint has two copies; a damaged one is a bad page, both are an error."""
    data = bytearray(forge.checkpoint(5))
    assert (counts(check_database(data)), check_database(data).verdict) == ((2, 0, 0, 0, 0), "ok")
    data[4096 + 9] ^= 1
    report = check_database(data)
    assert (counts(report), report.header_condition) == ((2, 1, 0, 0, 0), "secondary bad")
    data[9] ^= 1
    with pytest.raises(FormatError):
        check_database(data)


def test_required_logs_come_from_the_header(forge):
    """A dirty database names the logs it needs; committed is at least the required maximum."""
    report = check_database(forge.database(2, state=2, gen_min_required=10, gen_max_required=12))
    assert report.state == "Dirty Shutdown"
    assert (report.required.first, report.required.last, report.required.committed) == (10, 12, 12)
    assert str(report.required) == "10-12"
    assert 11 in report.required
    assert 13 not in report.required


def test_the_list_of_damaged_pages_is_bounded_and_the_counts_are_not(forge):
    """Counts stay exact when the list is cut."""
    data = forge.database(20)
    for page in range(1, 21):
        data[at(page) + 100] ^= 3
    report = check_database(data, damaged_limit=5)
    assert report.pages_bad == 20
    assert [each.page for each in report.damaged] == [1, 2, 3, 4, 5]
    assert not report.damaged_is_complete
    assert check_database(data).damaged_is_complete


@pytest.mark.parametrize("kind", ["path", "text", "stream", "bytes", "readable", "reference"])
def test_every_kind_of_source_gives_the_same_report(forge, tmp_path, kind):
    """Paths, binary files, buffers, readable objects and file references are all accepted."""
    data = forge.database(6)
    data[at(3) + 1000] ^= 1
    path = tmp_path / "priv1.edb"
    path.write_bytes(data)
    if kind == "stream":
        with path.open("rb") as stream:
            report = check_database(stream)
    else:
        source = {
            "path": path,
            "text": str(path),
            "bytes": bytes(data),
            "readable": BytesFile(data),
            "reference": Reference(str(path)),
        }[kind]
        report = check_database(source)
    assert counts(report) == (8, 0, 1, 0, 0)
    if kind in ("path", "text", "stream"):
        assert report.name == str(path)


class Reference:
    """A picklable description of a file, as a presented copy hands out."""

    def __init__(self, path):
        self.path = path
        self.name = path

    def open(self):
        """A new reader."""
        return PathFile(self.path)


class Inline(Executor):
    """Runs at once; remembers what it was given."""

    def __init__(self):
        self.given = []

    def submit(self, function, /, *args, **kwargs):
        """Run now, after a trip through pickle, as a remote executor would."""
        self.given.append(pickle.loads(pickle.dumps((function, args, kwargs))))
        function, args, kwargs = self.given[-1]
        future = Future()
        future.set_result(function(*args, **kwargs))
        return future


@pytest.fixture
def parted(monkeypatch):
    """Small parts, so that small files have many of them."""
    monkeypatch.setattr(database, "_PART_BYTES", 5 * 4096)
    monkeypatch.setattr(database, "_SMALL_PART_BYTES", 5 * 4096)
    monkeypatch.setattr(database, "_INLINE_BYTES", 0)


@pytest.mark.parametrize("kind", ["own", "threads", "inline"])
def test_executors_give_the_same_report(forge, tmp_path, parted, kind):
    """Own threads, given threads and a pickling executor agree with a single pass."""
    data = forge.database(103)
    for page in (1, 50, 51, 103):
        data[at(page) + 40 * 8] ^= 3
    path = tmp_path / "a.edb"
    path.write_bytes(data)
    if kind == "threads":
        with ThreadPoolExecutor(3) as pool:
            report = check_database(path, executor=pool)
    else:
        report = check_database(path, executor=Inline() if kind == "inline" else None)
    assert counts(report) == (105, 4, 0, 0, 0)
    assert [each.page for each in report.damaged] == [1, 50, 51, 103]
    assert report.highest_dbtime_page == 102


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_process_pool_checks_a_path(forge, tmp_path):
    """Work for another process is a description of a few hundred bytes, not page content."""
    path = tmp_path / "a.edb"
    path.write_bytes(forge.database(40))
    with ProcessPoolExecutor(1) as pool:
        assert counts(check_database(path, executor=pool)) == (42, 0, 0, 0, 0)


def test_tasks_are_small_descriptions(forge, tmp_path, parted):
    """What an executor is given pickles to less than a kilobyte, whatever the file."""
    path = tmp_path / "a.edb"
    path.write_bytes(forge.database(60))
    executor = Inline()
    check_database(path, executor=executor)
    assert len(executor.given) == 12
    assert max(len(pickle.dumps(each)) for each in executor.given) < 1000


def test_progress_rises_to_the_end(forge, parted):
    """Progress is called in order and ends at the number of bytes in whole pages."""
    seen = []
    check_database(bytes(forge.database(60)), progress=lambda done, all_: seen.append((done, all_)))
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert seen[-1] == (62 * 4096, 62 * 4096)
    assert len(seen) > 10


def test_reading_is_paced_by_the_budgets_clock(forge, parted):
    """At a limit of 10 pages per second, 100 pages take ten seconds of the injected clock."""
    clock = VirtualClock()
    budget = Budget.of(clock)
    report = check_database(bytes(forge.database(100)), budget=budget, limit_bytes_per_s=10 * 4096)
    assert report.pages_seen == 102
    assert clock.monotonic() == pytest.approx(10, abs=1)


def test_a_limit_must_be_positive(forge):
    """Zero or negative limits are a usage error."""
    for limit in (0, -5, float("nan")):
        with pytest.raises(UsageError):
            check_database(forge.database(1), limit_bytes_per_s=limit)


@pytest.mark.parametrize("own", [True, False])
def test_a_cancelled_check_stops_between_parts(forge, parted, own):
    """The token is looked at between parts; nothing is left running."""
    token = CancelToken()
    budget = Budget.of(VirtualClock(), token=token)
    executor = None if own else Inline()
    seen = []

    def progress(done, _):
        seen.append(done)
        token.cancel()

    with pytest.raises(Cancelled):
        check_database(
            bytes(forge.database(100)), executor=executor, budget=budget, progress=progress
        )
    assert len(seen) == 1


def test_a_deadline_stops_a_paced_check(forge, parted):
    """A budget that runs out while waiting raises TimedOut."""
    budget = Budget.of(VirtualClock(), timeout_s=3)
    with pytest.raises(TimedOut):
        check_database(bytes(forge.database(100)), budget=budget, limit_bytes_per_s=10 * 4096)


class Shrinking(BytesFile):
    """A file that ends earlier than it said."""

    def read_at(self, offset, length, /):
        """Nothing behind the headers."""
        return super().read_at(offset, length) if offset < at(1) else b""


def test_a_shrinking_file_is_an_error(forge):
    """If pages vanish while being read the check fails instead of reporting fewer pages."""
    with pytest.raises(FormatError) as caught:
        check_database(Shrinking(forge.database(20)))
    assert caught.value.native == -4001


def test_missing_files_and_strange_objects(tmp_path):
    """A missing path is FileMissing, an object that is no file a usage error."""
    with pytest.raises(FileMissing):
        check_database(tmp_path / "none.edb")
    with pytest.raises(UsageError):
        check_database(42)


@pytest.mark.rule("EXC-56")
def test_checking_changes_nothing(forge, tmp_path):
    """The file's bytes and times are the same after a check, also of a dirty database."""
    path = tmp_path / "dirty.edb"
    path.write_bytes(forge.database(9, state=2, gen_min_required=1, gen_max_required=1))
    path.chmod(0o444)
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    assert check_database(path).verdict == "ok"
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


@given(st.binary(max_size=20_000))
def test_any_bytes_are_refused_or_reported(data):
    """Arbitrary bytes are FormatError; with a page size given they get a report."""
    with pytest.raises(FormatError):
        check_database(data)
    if len(data) >= 2048:
        assert check_database(data, page_size=2048).pages_seen == len(data) // 2048


@settings(max_examples=30)
@given(tail=st.binary(max_size=20_000), size=st.sampled_from(PAGE_SIZES))
def test_any_bytes_behind_a_good_header_get_a_report(forge, tail, size):
    """Whatever follows two good headers, every whole page is counted exactly once."""
    report = check_database(forge.header(size) * 2 + tail)
    assert report.pages_seen == 2 + len(tail) // size
    assert report.pages_bad + report.pages_correctable == len(report.damaged)


def test_memory_does_not_grow_with_the_file(tmp_path, forge):
    """A sparse file of half a gigabyte is checked in a few megabytes."""
    path = tmp_path / "sparse.edb"
    with path.open("wb") as file:
        file.write(forge.header() * 2)
        file.truncate(512 << 20)
    tracemalloc.start()
    try:
        report = check_database(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert report.pages_uninitialized == (512 << 20) // 4096 - 2
    assert peak < 48 << 20


def test_streams_may_be_shared_by_threads(forge, parted):
    """A binary file object has one position; reads by several threads take turns."""
    data = bytes(forge.database(100))
    assert counts(check_database(io.BytesIO(data))) == (102, 0, 0, 0, 0)
