"""The demo: one verified copy and two recoveries on a lab in memory, with proof in numbers.

Mail is delivered, the storage group is copied and checked, the store is damaged. Rolling forward
brings every message back; recovering to the point in time of a copy brings back exactly those
that the copy has. Databases of the user's own are adopted, copied, and checked page by page from
the presented copy; their verdict is told apart from that of the lab's own copy [R-22].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import frozen

from frskit.errors import IntegrityError
from frskit.events import EventSink
from frskit.model.checks import CheckedFile
from frskit.model.components import BackupType
from frskit.model.copies import Copy
from frskit.model.log_points import LogRange
from frskit.model.plans import RecoveryMode, RecoveryReport
from frskit.simulation.lab import Lab, lab

__all__ = ["AdoptedFile", "DemoResult", "Recovered", "run_demo"]

SERVER, GROUP = "evs1", "sg1"
FOREIGN = "foreign"


@frozen(kw_only=True)
class Recovered:
    """What one recovery proved.

    Attributes:
        mode: The mode.
        at_copy: Messages when the copy was made.
        before: Messages when the damage was done.
        after: Messages after the recovery.
        promised: Messages that the mode promises.
        replayed: The logs that were replayed.
    """

    mode: RecoveryMode
    at_copy: int
    before: int
    after: int
    promised: int
    replayed: LogRange | None

    @property
    def lost(self) -> int:
        """Messages that are not there any more."""
        return self.before - self.after

    @property
    def kept_promise(self) -> bool:
        """Whether the mode did what it says."""
        return self.after == self.promised


@frozen(kw_only=True)
class AdoptedFile:
    """The verdict on a file of the user's, read from the presented copy."""

    name: str
    checked: CheckedFile


@frozen(kw_only=True)
class DemoResult:
    """What the demo proved.

    Attributes:
        copies: The copies that were made of the lab's own group.
        recoveries: The two recoveries.
        adopted: Verdicts on files of the user's.
    """

    copies: tuple[Copy, ...]
    recoveries: tuple[Recovered, ...]
    adopted: tuple[AdoptedFile, ...]

    @property
    def ok(self) -> bool:
        """Whether every recovery kept the promise of its mode."""
        return all(each.kept_promise for each in self.recoveries)


def run_demo(
    *,
    edbs: Sequence[Path] = (),
    seed: int = 0,
    tell: Callable[[str], None] = lambda _: None,
    sink: EventSink | None = None,
) -> DemoResult:
    """Run the demo.

    Args:
        edbs: ESE databases to adopt and check.
        seed: Fixes everything.
        tell: Called with a line before each step.
        sink: Gets the events of the requestor.

    Raises:
        FormatError, FileMissing: A file is no ESE database, or is not there.
    """
    with lab(seed=seed, edbs=edbs) as site:
        if sink is not None:
            site.frs.subscribe(sink)
        tell("deliver 2000 messages")
        site.deliver(SERVER, GROUP, messages=2000)
        tell("copy sg1, wait for normalization, check every page and log, truncate")
        first = _copy(site)
        at_first = _messages(site)
        tell("deliver 800 more; then the mailbox store is damaged and cannot be mounted")
        site.deliver(SERVER, GROUP, messages=800)
        before = _messages(site)
        site.damage_database(SERVER, GROUP)
        tell("roll forward: swap in the copy of the store, replay production's logs")
        forward = _recover(
            site, first, mode=RecoveryMode.ROLL_FORWARD, at_copy=at_first, before=before
        )
        tell("take a new copy, as the plan demands")
        second = _copy(site)
        at_second = _messages(site)
        tell("deliver 800 more; then everything newer than the copy is unwanted")
        site.deliver(SERVER, GROUP, messages=800)
        unwanted = _messages(site)
        tell("point in time: swap in databases and logs of the copy")
        back = _recover(
            site, second, mode=RecoveryMode.POINT_IN_TIME, at_copy=at_second, before=unwanted
        )
        adopted: tuple[AdoptedFile, ...] = ()
        if edbs:
            tell("copy the adopted files and check them from the presented copy")
            adopted = _check_adopted(site, edbs)
        return DemoResult(copies=(first, second), recoveries=(forward, back), adopted=adopted)


def _copy(site: Lab) -> Copy:
    return site.frs.create_copy(SERVER, [GROUP], backup_type=BackupType.FULL)


def _messages(site: Lab) -> int:
    return sum(each.items or 0 for each in site.status(SERVER, GROUP).databases)


def _recover(site: Lab, copy: Copy, *, mode: RecoveryMode, at_copy: int, before: int) -> Recovered:
    plan = site.frs.plan_recovery(copy.id, mode=mode)
    report: RecoveryReport = site.frs.recover(plan)
    return Recovered(
        mode=mode,
        at_copy=at_copy,
        before=before,
        after=sum(each.items or 0 for each in report.after.databases),
        promised=before if mode is RecoveryMode.ROLL_FORWARD else at_copy,
        replayed=report.replayed,
    )


def _check_adopted(site: Lab, edbs: Sequence[Path]) -> tuple[AdoptedFile, ...]:
    """A copy of the adopted files; a verdict against one of them is what was asked for."""
    try:
        copy = site.frs.create_copy(SERVER, [FOREIGN], backup_type=BackupType.COPY)
    except IntegrityError as error:
        if not isinstance(error.copy, Copy):
            raise
        copy = error.copy
    files = () if copy.report is None else copy.report.files
    found: list[AdoptedFile] = []
    for number, path in enumerate(edbs, 1):
        # The lab numbers the files that it adopts, so that two may have one name.
        wanted = f"{number}-{path.name}".casefold()
        found += [
            AdoptedFile(name=str(path), checked=file)
            for file in files
            if file.path.casefold().endswith("\\" + wanted)
        ]
    return tuple(found)
