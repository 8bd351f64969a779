"""The conformance kit for writers: does it hold, let go, and truncate only when told?

What it is: `check_writer`, a plain function that plays backups, refusals and accidents to any
`Writer`, and looks at its application through levers of the caller. What it is not: a test of an
application's files; whether a copy can be recovered is the application's own business.

A rule that is broken is an `AssertionError` that says which. Only the standard library is needed.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from frskit.errors import FreezeTimeout, WriterVeto
from frskit.model.components import (
    BackupType,
    Quiesce,
    WriterFailure,
    WriterMetadata,
)
from frskit.model.ids import SetId
from frskit.testing.report import KitReport
from frskit.testing.strangers import PATIENCE_S
from frskit.testing.writer.calls import STAGES, Backup
from frskit.testing.writer.loyalty import LOYALTY_CASES
from frskit.testing.writer.strangers import stranger_cases
from frskit.testing.writer.world import WriterWorld
from frskit.vss.documents import read_writer_metadata, schema_bits, schema_of, write_writer_metadata
from frskit.vss.requestor import supports_type

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["WriterWorld", "check_writer"]

# Two, so that one backup can meet another.
_SETS = tuple(SetId(f"{digit * 8}-1111-4111-8111-111111111111") for digit in "12")


def check_writer(make: Callable[[], WriterWorld], *, patience_s: float = PATIENCE_S) -> KitReport:
    """Check a writer.

    Args:
        make: Makes a fresh world, which may offer levers of `frskit.testing.WriterLevers` as well.
        patience_s: Real seconds until a call counts as one that never comes back.

    Returns:
        What was checked, and what was skipped for lack of a lever.

    Raises:
        AssertionError: A rule is broken; the text names it.
    """
    report = KitReport()
    for part, scenario in {**_SCENARIOS, **LOYALTY_CASES, **stranger_cases(patience_s)}.items():
        with _unexpected(part):
            skipped = scenario(make)
            if skipped:
                report.skip(part, skipped)
            else:
                report.ran(part)
    return report


@contextmanager
def _unexpected(part: str) -> Iterator[None]:
    try:
        yield
    except AssertionError:
        raise
    except Exception as error:
        raise AssertionError(f"{part}: a legal event raised {error!r}") from error


def _must(fine: object, rule: str, what: str) -> None:
    if not fine:
        raise AssertionError(f"{rule}: {what}")


def _metadata(make: Callable[[], WriterWorld]) -> str:
    world = make()
    said = world.writer.identify(budget=world.budget())
    _must(
        said == world.writer.identify(budget=world.budget()),
        "VSS-11",
        "two Identify say different things",
    )
    ids = [each.id for each in said.components]
    _must(len(set(ids)) == len(ids), "VSS 4.3", "a component is named twice")
    _must(all(each.writer_id == said.writer_id for each in ids), "VSS 4.3", "a foreign class id")
    for place, each in enumerate(ids):
        later = any(other.is_ancestor_of(each) for other in ids[place + 1 :])
        _must(not later, "EXC 2.2", f"{each.full_path} comes before its ancestor")
    window_s = said.freeze_timeout_s
    _must(window_s is None or window_s > 0, "VSS 3", "the freeze window is not positive")
    schema_of(schema_bits(said.schema))
    _must(
        read_writer_metadata(write_writer_metadata(said)) == said,
        "VSS 5.1",
        "the metadata does not survive its document",
    )
    _must(set(world.components) <= set(ids), "VSS 4.3", "an explicit component is unknown")
    return ""


def _hold(make: Callable[[], WriterWorld]) -> str:
    world = make()
    quiesce = world.writer.identify(budget=world.budget()).quiesce
    if quiesce is not Quiesce.HOLDS:
        return f"EXC-17: the writer says that it does not hold ({quiesce.value})"
    _must(world.write(), "EXC-17", "the application does not write before a backup")
    play = Backup(world).upto("freeze")
    image = world.image()
    _must(not world.write(), "EXC-17", "the application writes while it is frozen")
    identity = _identity(world.writer.identify(budget=world.budget()))
    _must(world.image() == image, "EXC-17", "a file changed while the writer was frozen")
    play.event("thaw")
    _must(world.write(), "VSS-07", "the application does not write after Thaw")
    _must(world.image() != image, "EXC-17", "the lever does not show changes: fix the world")
    records = play.records()
    known = set(play.session.components)
    strangers = [each for each in records if each.component not in known]
    _must(not strangers, "VSS-66", "a record for a component that is not in the backup")
    _must(
        _identity(world.writer.identify(budget=world.budget())) == identity,
        "VSS-11",
        "the instance changed",
    )
    play.told(succeeded=False)
    return ""


def _identity(metadata: WriterMetadata) -> tuple[str, str]:
    return metadata.writer_id, metadata.instance_id


def _abort_anywhere(make: Callable[[], WriterWorld]) -> str:
    for stage in ("", *STAGES):
        world = make()
        play = Backup(world)
        if stage:
            play.upto(stage)
        # Twice, because Abort may come more than once [VSS-36].
        for _ in range(2):
            world.writer.abort(play.session)
            _must(world.write(), "VSS-36", f"held after Abort in stage {stage or 'none'}")
        if stage:
            world.writer.backup_shutdown(play.session)
        _must(not world.truncated(), "VSS-64", f"truncated by Abort after {stage or 'nothing'}")
        _next_backup(world, f"Abort after {stage or 'nothing'}")
    return ""


def _shutdown_anywhere(make: Callable[[], WriterWorld]) -> str:
    for stage in STAGES:
        world = make()
        play = Backup(world).upto(stage)
        world.writer.backup_shutdown(play.session)
        _must(world.write(), "VSS-09", f"held after BackupShutdown in stage {stage}")
        _must(not world.truncated(), "R-4", f"truncated by BackupShutdown after {stage}")
        _next_backup(world, f"BackupShutdown after {stage}")
    return ""


def _next_backup(world: WriterWorld, after: str) -> None:
    """The next session must be possible: nothing stays in progress."""
    try:
        play = Backup(world, _SETS[1]).upto("post_snapshot")
    except WriterVeto as error:
        raise AssertionError(f"VSS-09: no new backup is possible after {after}: {error}") from error
    world.writer.backup_shutdown(play.session)
    _must(world.write(), "VSS-07", f"held after the backup that followed {after}")


def _truncation(make: Callable[[], WriterWorld]) -> str:
    world = make()
    Backup(world).upto("post_snapshot").told(succeeded=False)
    _must(not world.truncated(), "EXC-33", "logs were deleted although the backup failed")
    silent = make()
    play = Backup(silent).upto("post_snapshot")
    silent.writer.backup_complete(play.session, budget=silent.budget())
    _must(not silent.truncated(), "EXC-33", "logs were deleted without any verdict")
    copying = make()
    if supports_type(copying.writer.identify(budget=copying.budget()), BackupType.COPY):
        play = Backup(copying, backup_type=BackupType.COPY).upto("post_snapshot")
        play.told(succeeded=True)
        _must(not copying.truncated(), "VSS 4.1", "a copy backup deleted logs")
    good = make()
    Backup(good).upto("post_snapshot").told(succeeded=True)
    wanted = good.truncates()
    _must(good.truncated() is wanted, "VSS-64", f"after success truncated must be {wanted}")
    _must(good.write(), "VSS-07", "held after a complete backup")
    return ""


def _window(make: Callable[[], WriterWorld]) -> str:
    world = make()
    if world.writer.identify(budget=world.budget()).quiesce is not Quiesce.HOLDS:
        return "EXC-21: the writer says that it does not hold, so it has nothing to let go"
    play = Backup(world).upto("freeze")
    if not world.pass_window():
        world.writer.abort(play.session)
        return "the writer has no clock of its own; the coordinator's window must do"
    _must(world.write(), "EXC-21", "still held after its own freeze window has passed")
    try:
        play.event("thaw")
    except (WriterVeto, FreezeTimeout) as error:
        _must(error.native == WriterFailure.TIMEOUT.value, "VSS-42", f"{error!r} is no timeout")
    else:
        raise AssertionError("VSS-42: Thaw after the window was accepted")
    world.writer.abort(play.session)
    world.writer.backup_shutdown(play.session)
    _must(not world.truncated(), "EXC-22", "truncated after a lost freeze")
    _next_backup(world, "a lost freeze")
    return ""


def _second_backup(make: Callable[[], WriterWorld]) -> str:
    world = make()
    first = Backup(world).upto("prepare_backup")
    second = Backup(world, _SETS[1])
    try:
        second.event("prepare_backup")
    except WriterVeto as error:
        codes = {each.value for each in WriterFailure}
        _must(error.native in codes, "VSS-38", f"a veto with the code {error.native!r}")
        _must(error.retryable, "EXC-12", "a backup in progress is a reason to try again later")
    # As a coordinator ends a session that was refused.
    world.writer.backup_shutdown(second.session)
    for stage in STAGES[1:]:
        first.event(stage)
    first.told(succeeded=False)
    _must(world.write(), "VSS-07", "held after two overlapping sessions")
    return ""


_SCENARIOS: dict[str, Callable[[Callable[[], WriterWorld]], str]] = {
    "metadata": _metadata,
    "hold": _hold,
    "abort anywhere": _abort_anywhere,
    "shutdown anywhere": _shutdown_anywhere,
    "truncation": _truncation,
    "window": _window,
    "second backup": _second_backup,
}
