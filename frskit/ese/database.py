"""Checking a whole database file: every page, both headers, the trailer page.

What ``eseutil /k`` does [ese.md 5], without running recovery and without writing. Parts of the
file are handed to an executor; the caller's thread does the headers, the pacing, the progress
calls and the adding up. Logs are for `frskit.ese.logs.log_set`.
"""

from __future__ import annotations

import os
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TYPE_CHECKING

from attrs import frozen

from frskit.clock import Budget
from frskit.errors import FormatError, UsageError
from frskit.ese.checkpoint import CHECKPOINT_COPY_SIZE, load_checkpoint
from frskit.ese.header import identify, read_header_copies
from frskit.ese.pages.checksums import PAGE_SIZES
from frskit.ese.pages.verify import is_trailer_page, verify_header_page
from frskit.ese.pages.verify_many import PIECE_BYTES
from frskit.ese.pages.worker import Part, PartResult, check_part
from frskit.ese.recovery_facts import required_range_of
from frskit.ese.sources import opened, read_exactly, source_name
from frskit.ese.space_trees import load_owned_pages, locate
from frskit.model.ese_files import FileKind
from frskit.model.reports import DamagedPage, DatabaseReport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Executor
    from typing import TypeAlias

    from frskit.ese.sources import Readable, Source
    from frskit.model.ese_files import DatabaseHeader
    from frskit.model.reports import DatabaseVerdict, PageVerdict

__all__ = ["DAMAGED_LIMIT", "Progress", "check_database"]

Progress: TypeAlias = "Callable[[int, int], None]"
"""Called with (bytes checked, bytes in all), in the caller's thread, never going back."""

DAMAGED_LIMIT = 10_000
"""Default for the most damaged pages named in one report (frskit's choice)."""

# Bytes. Ours: a smaller file is read before threads would be of use.
_INLINE_BYTES = 8 << 20
# Bytes per task of a foreign executor, which may be far away: few large ones (ours).
_PART_BYTES = 64 << 20
# Bytes per task of our own threads, at least; smaller ones would be mostly turns (ours).
_SMALL_PART_BYTES = 4 << 20
# Parts handed out at once: bounds what is held, and what a cancellation has to wait for (ours).
_IN_FLIGHT = 8
# Parts per second under a limit, so that the disk is read evenly and not in bursts (ours).
_PACES_PER_S = 8
# Seconds between two looks at the budget while a part is awaited (ours).
_POLL_S = 0.1


@frozen(kw_only=True)
class _Job:
    """One check: what is read, and how."""

    source: Source
    name: str
    size_bytes: int
    page_size: int
    damaged_limit: int
    budget: Budget
    limit_bytes_per_s: float | None
    progress: Progress | None

    @property
    def pages(self) -> int:
        return self.size_bytes // self.page_size

    def report(self, done: int) -> None:
        if self.progress is not None:
            self.progress(done, self.pages * self.page_size)


def check_database(
    path_or_file: Source,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
    budget: Budget | None = None,
    limit_bytes_per_s: float | None = None,
    page_size: int | None = None,
    damaged_limit: int = DAMAGED_LIMIT,
    owned_space: bool = False,
) -> DatabaseReport:
    """Check every page of a database, and say what its header says.

    A checkpoint is checked like a database of two header pages, as eseutil does [ese.md 5.1].

    Args:
        path_or_file: A path, a binary file object, an object with ``size_bytes`` and ``read_at``,
            or one with ``open()`` returning such (a file reference).
        executor: Any `concurrent.futures.Executor`. Paths and picklable file references suit
            process pools and remote executors; open files only suit threads. Default: a few
            threads of its own for larger files.
        progress: Called after each part.
        budget: Deadline and cancel token, looked at between parts; its clock paces the reading.
        limit_bytes_per_s: Most bytes read per second; default: no limit.
        page_size: To be used if neither header copy is good; default: that is an error.
        damaged_limit: Most damaged pages named in the report; counts stay exact.
        owned_space: Read how many pages the database owns even if nothing is damaged: a few pages
            more to read. If something is, that is always read, to say where it lies.

    Returns:
        The report, also if pages are bad: a verdict is not an exception.

    Raises:
        FormatError: No readable database header (native -1018), another kind of file (-1812), or
            the file shrank while being read (-4001).
        FileMissing, HostError: It cannot be opened or read.
        Cancelled, TimedOut: The budget said so.
        UsageError: An impossible limit or page size.
    """
    if limit_bytes_per_s is not None and not limit_bytes_per_s > 0:
        raise UsageError("the limit must be more than zero bytes per second")
    with opened(path_or_file) as file:
        name = source_name(path_or_file)
        header, condition, size = _header(file, name, page_size)
        job = _Job(
            # A worker opens what can be opened again: an open file cannot go to another process.
            source=path_or_file if _reopens(path_or_file) else file,
            name=name,
            size_bytes=file.size_bytes,
            page_size=size,
            damaged_limit=max(0, damaged_limit),
            budget=budget or Budget.unlimited(),
            limit_bytes_per_s=limit_bytes_per_s,
            progress=progress,
        )
        streaming = header is not None and header.is_streaming_file
        totals, owned = _check_file(file, job, streaming, owned_space, executor)
    return _report(job, header, condition, totals, owned)


def _check_file(
    file: Readable, job: _Job, streaming: bool, owned_space: bool, executor: Executor | None
) -> tuple[PartResult, int | None]:
    """Headers, pages, and the number of pages that the database owns, if it was read."""
    totals = _check_headers(file, job)
    # The data of a streaming file has no checksums of its own [ese.md 5.4].
    if streaming:
        return totals, None
    totals = _check_body(file, job, totals, executor)
    if owned_space or totals.bad or totals.correctable:
        return totals, load_owned_pages(file, job.page_size)
    return totals, None


def _report(
    job: _Job,
    header: DatabaseHeader | None,
    condition: str,
    totals: PartResult,
    owned: int | None,
) -> DatabaseReport:
    clean = header is not None and header.is_clean
    streaming = header is not None and header.is_streaming_file
    return DatabaseReport(
        name=job.name,
        size_bytes=job.size_bytes,
        page_size=job.page_size,
        header=header,
        header_condition=condition,
        pages_seen=totals.pages,
        pages_bad=totals.bad,
        pages_correctable=totals.correctable,
        pages_uninitialized=totals.uninitialized,
        damaged=locate(totals.damaged, owned, clean=clean),
        damaged_limit=job.damaged_limit,
        highest_dbtime=totals.highest_dbtime,
        highest_dbtime_page=totals.highest_page,
        verdict=_verdict(totals),
        coverage="headers" if streaming else "full",
        required=None if header is None else required_range_of(header),
        owned_pages=owned,
    )


def _reopens(source: Source) -> bool:
    """Whether a worker can open the source by itself."""
    if isinstance(source, (str, os.PathLike, bytes, bytearray)):
        return True
    return hasattr(source, "open") and not hasattr(source, "read_at")


def _header(
    file: Readable, name: str, page_size: int | None
) -> tuple[DatabaseHeader | None, str, int]:
    if page_size is not None and page_size not in PAGE_SIZES:
        raise UsageError(f"there are no pages of {page_size} bytes")
    try:
        copies = read_header_copies(file, name)
    except FormatError:
        if page_size is None and identify(file) is FileKind.CHECKPOINT:
            return None, load_checkpoint(file, name)[1], CHECKPOINT_COPY_SIZE
        if page_size is None or file.size_bytes < page_size:
            raise
        return None, "both bad", page_size
    return copies.header, copies.condition, copies.page_size


def _check_headers(file: Readable, job: _Job) -> PartResult:
    """Pages -1 and 0 [ese.md 5.2]."""
    result = PartResult()
    for physical in range(min(2, job.pages)):
        data = read_exactly(file, physical * job.page_size, job.page_size)
        single = _single(verify_header_page(data), physical - 1)
        result = result.plus(single, job.damaged_limit)
    return result


def _single(verdict: PageVerdict, number: int) -> PartResult:
    """One page with a header checksum, as counts."""
    bad = verdict.status == "bad"
    return PartResult(
        pages=1,
        bad=int(bad),
        uninitialized=int(verdict.status == "uninitialized"),
        damaged=(DamagedPage(page=number, status="bad"),) if bad else (),
    )


def _check_body(
    file: Readable, job: _Job, totals: PartResult, executor: Executor | None
) -> PartResult:
    last = job.pages - 1
    data = read_exactly(file, last * job.page_size, job.page_size) if last >= 2 else b""
    # A page of zeros would pass for a trailer, but was only never used.
    trailer = bool(data) and any(data) and is_trailer_page(data)
    end = last - 1 if trailer else last
    parts = list(_parts(job, end - 1, own_threads=executor is None)) if end >= 2 else []
    with _workers(job, len(parts), executor) as workers:
        for result in _results(parts, job, workers):
            totals = totals.plus(result, job.damaged_limit)
    if trailer:
        totals = totals.plus(_single(verify_header_page(data), last - 1), job.damaged_limit)
    job.report(job.pages * job.page_size)
    return totals


def _parts(job: _Job, last_page: int, *, own_threads: bool) -> Iterable[Part]:
    """The file cut into parts: large ones for a foreign executor, which may be far away."""
    size = _PART_BYTES
    if own_threads:
        size = min(size, max(_SMALL_PART_BYTES, job.size_bytes // _IN_FLIGHT))
    if job.limit_bytes_per_s is not None:
        size = min(size, int(job.limit_bytes_per_s / _PACES_PER_S))
    step = max(1, size // job.page_size)
    for first in range(1, last_page + 1, step):
        yield Part(
            source=job.source,
            page_size=job.page_size,
            first_page=first,
            pages=min(step, last_page + 1 - first),
            damaged_limit=job.damaged_limit,
            piece_bytes=PIECE_BYTES,
        )


@contextmanager
def _workers(job: _Job, parts: int, executor: Executor | None) -> Iterator[Executor | None]:
    """The caller's executor, or threads of our own, or none for a small file."""
    if executor is not None or parts < 2 or job.size_bytes <= _INLINE_BYTES:
        yield executor
        return
    with ThreadPoolExecutor(min(4, max(2, os.cpu_count() or 2)), "frskit-ese") as pool:
        yield pool


def _results(parts: Iterable[Part], job: _Job, executor: Executor | None) -> Iterator[PartResult]:
    """The parts' results in file order; never more than a few parts under way."""
    started_s = job.budget.clock.monotonic()
    asked = 0
    waiting: deque[Future[PartResult]] = deque()
    # The two header pages are done already.
    done = 2 * job.page_size
    try:
        for part in parts:
            _pace(job, started_s, asked)
            asked += part.size_bytes
            waiting.append(_submit(part, executor))
            if executor is None or len(waiting) >= _IN_FLIGHT:
                yield (result := _first(waiting, job))
                done += result.pages * job.page_size
                job.report(done)
        while waiting:
            yield (result := _first(waiting, job))
            done += result.pages * job.page_size
            job.report(done)
    finally:
        # Nothing may read the file once the caller has closed it: what has begun is awaited.
        for future in waiting:
            future.cancel()
        wait(waiting)


def _submit(part: Part, executor: Executor | None) -> Future[PartResult]:
    if executor is not None:
        return executor.submit(check_part, part)
    future: Future[PartResult] = Future()
    future.set_result(check_part(part))
    return future


def _first(waiting: deque[Future[PartResult]], job: _Job) -> PartResult:
    """The result of the oldest part; the budget is looked at while waiting for it."""
    while not wait([waiting[0]], timeout=_POLL_S).done:
        job.budget.check(f"checking {job.name}")
    return waiting.popleft().result()


def _pace(job: _Job, started_s: float, asked: int) -> None:
    """Wait until another part may be read."""
    doing = f"checking {job.name}"
    job.budget.check(doing)
    if job.limit_bytes_per_s is not None:
        due_s = started_s + asked / job.limit_bytes_per_s
        early_s = due_s - job.budget.clock.monotonic()
        if early_s > 0:
            job.budget.wait(early_s, doing)


def _verdict(totals: PartResult) -> DatabaseVerdict:
    if totals.bad or not totals.pages:
        return "damaged"
    return "correctable" if totals.correctable else "ok"
