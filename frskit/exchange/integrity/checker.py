"""The integrity check of Exchange copies: every page of every database, every log, the checkpoint.

Runs on the recovery side against the presented copy, reads only, needs no Exchange and no
recovery [EXC-56]. Order and obligations of CHKSGFILES [exchange.md 4.4]: headers before pages and
logs, everything checked or the copy fails [EXC-53]. What damage means is in
`frskit.exchange.integrity.verdicts`; where the books disagree: [resolutions R-1, R-2, R-3, R-22].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

from frskit.codes.ese import EseError
from frskit.errors import FormatError, VolumeNotFound
from frskit.ese import check_database, log_facts, read_checkpoint, read_database_header
from frskit.ese.logs import LogFileKind, check_log, parse_log_name
from frskit.exchange.integrity.inspection import Inspection, Item
from frskit.exchange.integrity.verdicts import CheckPolicy, judge
from frskit.exchange.versions import EXCHANGE_2003, ExchangeProfile
from frskit.exchange.writer.component_tree import is_foreign, log_base
from frskit.model.checks import Coverage, FileVerdict, IntegrityReport
from frskit.model.files import FileRole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from concurrent.futures import Executor

    from frskit.clock import Budget
    from frskit.model.components import Component
    from frskit.model.files import FileSet
    from frskit.model.reports import DatabaseReport, LogReport
    from frskit.protocols import CheckTarget, FileRef, IntegrityChecker, Server

__all__ = ["ExchangeChecker"]

# Bytes per read of a log's blank rest (ours).
_TAIL_BYTES = 1 << 20

_VERDICTS = {
    "ok": FileVerdict.OK,
    "correctable": FileVerdict.CORRECTABLE,
    "damaged": FileVerdict.DAMAGED,
}


class ExchangeChecker:
    """Checks copies of Exchange storage groups with `frskit.ese`.

    A page with one correctable bit, and files that could be checked by their headers only, are
    facts of its report and warnings; whether they may pass is the requestor's choice alone
    (`frskit.Policy`) [R-2, R-3].

    Args:
        accept_unneeded_log_damage: Whether a truncation may follow although a log that recovery
            does not need is damaged in the copy [R-1].
        every_log_needed: Whether any damaged log fails the copy, as for an incremental or
            differential backup [EXC-52].
        profile: The version.
    """

    def __init__(
        self,
        *,
        accept_unneeded_log_damage: bool = False,
        every_log_needed: bool = False,
        profile: ExchangeProfile = EXCHANGE_2003,
    ) -> None:
        self._policy = CheckPolicy(
            accept_unneeded_log_damage=accept_unneeded_log_damage,
            every_log_needed=every_log_needed,
            blank_log_tail=profile.blank_log_tail,
            store=profile.store,
        )

    @property
    def name(self) -> str:
        """Name for the report."""
        return "frskit Exchange checker"

    def available(self, server: Server) -> bool:
        """Always: it needs nothing but the files, whatever the server runs [FRS-46]."""
        return True

    def check(
        self,
        target: CheckTarget,
        *,
        executor: Executor | None,
        progress: Callable[[int, int], None] | None,
        budget: Budget,
    ) -> IntegrityReport:
        """Read every page and every log of the copy and judge [EXC-50 to EXC-57].

        Raises:
            Cancelled, TimedOut: The copy stays unverified.
            HostError: A file could not be read at all.
        """
        units = list(_units(target))
        meter = _Meter(
            total=sum(item.size_bytes for unit in units for item in unit.items),
            progress=progress,
        )
        for unit in units:
            _check_unit(unit, self._policy, meter, executor, budget)
        strays = [unit for unit in units if unit.selected is None]
        checks = tuple(
            judge(unit, strays, self._policy) for unit in units if unit.selected is not None
        )
        files = tuple(item.checked() for unit in units for item in unit.items)
        return IntegrityReport(checker=self.name, components=checks, files=files)


@define(kw_only=True)
class _Meter:
    """Bytes done over all files, for the progress callback."""

    total: int
    progress: Callable[[int, int], None] | None
    done: int = 0
    _file: int = field(default=0, init=False)

    def within(self, done: int, _: int) -> None:
        """Progress inside the file under way."""
        self._file = done
        self._tell()

    def finished(self, size_bytes: int) -> None:
        """One file is done."""
        self.done += size_bytes
        self._file = 0
        self._tell()

    def _tell(self) -> None:
        if self.progress is not None:
            self.progress(min(self.total, self.done + self._file), self.total)


# --- what there is ------------------------------------------------------------------------------


def _units(target: CheckTarget) -> Iterator[Inspection]:
    """One inspection per selected component, and one for components under none of them."""
    # What lies under no selected component is checked as well: all of it, or the copy fails
    # [EXC-53].
    left = list(target.components)
    for selected in target.copy.selected:
        mine = [
            each
            for each in target.components
            if each.id == selected.id or selected.id.is_ancestor_of(each.id)
        ]
        left = [each for each in left if each not in mine]
        yield _inspection(target, selected, mine)
    if left:
        yield _inspection(target, None, left)


def _inspection(
    target: CheckTarget, selected: Component | None, components: Sequence[Component]
) -> Inspection:
    unit = Inspection(selected=None if selected is None else selected.id)
    for component in components:
        for files in component.files:
            if files.role is FileRole.LOG:
                unit.base = log_base(files)
            unit.items.extend(_items(target, component, files))
    return unit


def _items(target: CheckTarget, component: Component, files: FileSet) -> Iterator[Item]:
    """The files of a file set; one that must exist and does not is an item without a file."""
    try:
        found: Sequence[tuple[str, FileRef]] = target.find(files)
    # The copy lacks the volume: that is a verdict on the file, not a failure of the check.
    except VolumeNotFound:
        found = ()
    for path, ref in found:
        yield Item(
            component=component,
            role=files.role,
            path=path,
            ref=ref,
            foreign=is_foreign(component),
        )
    # Named, because a missing file must be a failed check and not a shorter list [HAZ-17].
    if not found:
        yield Item(
            component=component,
            role=files.role,
            path=_join(files.path, files.pattern),
            ref=None,
            foreign=is_foreign(component),
            verdict=FileVerdict.MISSING,
            detail="the file is not in the copy",
        )


def _join(directory: str, name: str) -> str:
    separator = "/" if "/" in directory and "\\" not in directory else "\\"
    return directory.rstrip("\\/") + separator + name


# --- looking at it ------------------------------------------------------------------------------


def _check_unit(
    unit: Inspection,
    policy: CheckPolicy,
    meter: _Meter,
    executor: Executor | None,
    budget: Budget,
) -> None:
    """Headers of all databases, then their pages, then the logs, then the checkpoint."""
    databases = [each for each in unit.items if each.role is FileRole.DATABASE]
    for item in databases:
        _read_header(item)
    for item in databases:
        _check_pages(item, meter, executor, budget)
    for item in unit.items:
        if item.role is FileRole.LOG:
            _check_log(item, unit.base, policy, meter, budget)
    for item in unit.items:
        if item.role is FileRole.CHECKPOINT:
            _check_checkpoint(item, meter, budget)
        # Configuration files carry no checksum; there is nothing to verify in them.
        elif item.role is FileRole.CONFIG and item.ref is not None:
            meter.finished(item.size_bytes)


def _read_header(item: Item) -> None:
    if item.ref is None:
        return
    try:
        item.header = read_database_header(item.ref)
    except FormatError as error:
        item.damage(f"no readable header: {error}", error.native)


def _check_pages(item: Item, meter: _Meter, executor: Executor | None, budget: Budget) -> None:
    """Every page of a database; the headers of a streaming file [R-3]."""
    if item.ref is None:
        return
    budget.check(f"checking {item.path}")
    if item.header is None:
        meter.finished(item.size_bytes)
        return
    try:
        report = check_database(
            item.ref,
            executor=executor,
            progress=meter.within,
            budget=budget,
            damaged_limit=100,  # the report names the first one; the counts stay exact (ours)
            owned_space=True,  # also of a sound file: nothing else can tell that its tail is lost
        )
    except FormatError as error:
        item.damage(str(error), error.native)
    else:
        _note_pages(item, report)
    meter.finished(item.size_bytes)


def _note_pages(item: Item, report: DatabaseReport) -> None:
    item.pages = report.pages_seen
    item.counts = {
        "seen": report.pages_seen,
        "bad": report.pages_bad,
        "correctable": report.pages_correctable,
        "uninitialized": report.pages_uninitialized,
    }
    item.verdict = _VERDICTS[report.verdict]
    item.coverage = Coverage.HEADERS if report.coverage == "headers" else Coverage.FULL
    if report.damaged:
        first = report.damaged[0]
        item.detail = (
            f"{report.pages_bad} bad and {report.pages_correctable} correctable pages, "
            f"the first is page {first.page} ({first.status})"
        )
    if report.missing_pages:
        # Checksums cannot see a lost tail; the database's own space tree can.
        item.damage(
            f"the file ends {report.missing_pages} pages before the end of what it owns",
            EseError.FILE_IO_BEYOND_EOF,
        )
        item.code = EseError.READ_VERIFY_FAILURE
    # Only whole pages were checked, so that something of the file was not.
    elif report.size_bytes % report.page_size:
        item.damage("the file does not end on a page boundary", EseError.FILE_IO_BEYOND_EOF)
    # One bad copy is what the engine itself repairs on opening [ese.md 2.2].
    elif report.header_condition not in ("ok", "copies differ"):
        item.warning = f"{item.path}: header {report.header_condition}"


def _check_log(item: Item, base: str, policy: CheckPolicy, meter: _Meter, budget: Budget) -> None:
    if item.ref is None:
        return
    budget.check(f"checking {item.path}")
    name = parse_log_name(item.file_name, base)
    item.log_kind = None if name is None else name.kind
    item.generation = None if name is None else name.generation
    report = check_log(item.ref)
    _note_log(item, report)
    if policy.blank_log_tail and item.verdict is FileVerdict.OK:
        _check_tail(item, report)
    meter.finished(item.size_bytes)


def _note_log(item: Item, report: LogReport) -> None:
    item.log = report
    item.pages = report.records or report.segments_used
    # The current log's name has no number.
    if item.log_kind is LogFileKind.CURRENT and report.header is not None:
        item.generation = report.header.generation
    archived = item.generation if item.log_kind is LogFileKind.ARCHIVED else None
    error = log_facts(report, archived).error
    if error is not None:
        item.damage(report.problem or "the log is damaged", error)
    elif report.segments_correctable:
        item.verdict = FileVerdict.CORRECTABLE
        item.detail = f"{report.segments_correctable} segments have one flipped bit"
    elif report.problem:
        item.warning = f"{item.path}: {report.problem}"


def _check_tail(item: Item, report: LogReport) -> None:
    """What follows the last record of an old log: no checksum covers it, but it is blank."""
    header, end = report.header, report.end
    # Logs of segments were walked to their last one; only the old chain ends somewhere [ese.md 7,
    # 8].
    if item.ref is None or header is None or end is None or header.has_segments:
        return
    offset = end.sector * header.sector_size + end.offset
    with item.ref.open() as file:
        while offset < file.size_bytes:
            data = file.read_at(offset, _TAIL_BYTES)
            # The lab's engine leaves zeros there. A real one leaves a fill pattern: hence the
            # profile.
            if not data or data.strip(b"\0"):
                item.damage(
                    "something was written behind the last record", EseError.LOG_FILE_CORRUPT
                )
                return
            offset += len(data)


def _check_checkpoint(item: Item, meter: _Meter, budget: Budget) -> None:
    if item.ref is None:
        return
    budget.check(f"checking {item.path}")
    try:
        item.checkpoint = read_checkpoint(item.ref)
    except FormatError as error:
        item.damage(str(error), error.native)
    meter.finished(item.size_bytes)


if TYPE_CHECKING:
    _: type[IntegrityChecker] = ExchangeChecker
