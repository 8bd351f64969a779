"""Cases of the writer kit: which logs go, whose session it is, restores, and what records say.

One function per case, each on fresh worlds; it returns why it could not run, or "".
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from attrs import evolve

from frskit.errors import FreezeTimeout, WriterVeto
from frskit.model.components import BackupType, WriterFailure
from frskit.testing.report import demand
from frskit.testing.strangers import lever, typed
from frskit.testing.writer.calls import SETS, STAGES, Backup, identify

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from frskit.model.components import ComponentId, WriterRecord
    from frskit.testing.writer.world import WriterWorld

    Make = Callable[[], WriterWorld]

__all__ = ["LOYALTY_CASES"]

_NEWER = 2  # logs that the application completes after the instant
_NO_LOGS = "the world has no logs and close_log"


class _Logs:
    """The log levers of a world."""

    def __init__(self, world: WriterWorld) -> None:
        self._logs, self._close = lever(world, "logs"), lever(world, "close_log")

    def __bool__(self) -> bool:
        return self._logs is not None and self._close is not None

    def of(self, component: ComponentId) -> frozenset[str]:
        """The logs of a component now."""
        found: Collection[str] = self._logs(component) if self._logs else ()  # type: ignore[assignment]
        return frozenset(found)

    def close(self, component: ComponentId) -> None:
        """One more is complete."""
        if self._close is not None:
            self._close(component)


def _which_logs(make: Make) -> str:
    """Only logs of the copy may go; what was written after the instant is in no copy."""
    world = make()
    logs = _Logs(world)
    if not logs:
        return _NO_LOGS
    backup = Backup(world).upto("freeze")
    copied = {each: logs.of(each) for each in backup.session.components}
    backup.event("thaw")
    for each in backup.session.components:
        for _ in range(_NEWER):
            logs.close(each)
    backup.event("post_snapshot")
    before = {each: logs.of(each) for each in backup.session.components}
    backup.complete(backup.all_good())
    gone = {each: before[each] - logs.of(each) for each in before}
    for each, were in before.items():
        demand(bool(were - copied[each]), "close_log makes no log: fix the world")
        newer = sorted(gone[each] - copied[each])
        demand(
            not newer,
            f"VSS-64: deleted logs that are in no copy: {', '.join(newer)} of {each.name}",
        )
    if world.truncates():
        demand(any(gone.values()), "VSS-64: no log was deleted after success")
    return ""


def _one_of_two(make: Make) -> str:
    """One component's success is none of the other's [VSS-64, EXC-33]."""
    world = make()
    logs = _Logs(world)
    if not logs:
        return _NO_LOGS
    if len(world.components) < 2:
        return "the writer has one component"
    for verdict, words in ((False, "failed"), (None, "has no verdict")):
        for each in world.components:
            logs.close(each)
        backup = Backup(world).upto("post_snapshot")
        good, bad = backup.session.components[:2]
        before = {each: logs.of(each) for each in (good, bad)}
        backup.complete({good: True} if verdict is None else {good: True, bad: verdict})
        lost = sorted(before[bad] - logs.of(bad))
        demand(not lost, f"EXC-33: deleted {', '.join(lost)} of a component that {words}")
    return ""


def _identify_changes_nothing(make: Make) -> str:
    """Identify only looks, in whatever state [VSS-11]."""
    world = make()
    backup = Backup(world)
    for stage in ("", *STAGES):
        if stage:
            backup.event(stage)
        before = world.image()
        for _ in range(2):
            identify(world)
        after = "before a backup" if not stage else f"after {stage}"
        demand(world.image() == before, f"VSS-11: Identify {after} changed a file")
    backup.event("backup_shutdown")
    demand(not world.truncated(), "VSS-11: Identify deleted logs")
    return ""


def _unknown_sessions(make: Make) -> str:
    """Events of a session that was never prepared are refused, or do nothing [EXC-11, EXC-12].

    What counts is the session that is in progress: it keeps its hold, or is told that it lost it.
    """
    world, backup = _frozen(make)
    holds = not world.write()  # a backup mode need not
    events = ("prepare_snapshot", "freeze", "post_snapshot", "backup_complete", "thaw")
    for event in (*events, "abort", "backup_shutdown"):
        stranger = Backup(world, SETS[2])
        stranger.session = evolve(stranger.session, succeeded=stranger.all_good())
        send = partial(stranger.event, event)
        error = typed(send, f"{event} of an unknown session")
        fine = error is None or isinstance(error, WriterVeto)
        demand(fine, f"VSS-38: {event} of an unknown session raised {error!r}, not a veto")
        demand(not world.truncated(), f"EXC-33: {event} of an unknown session deleted logs")
        if holds and world.write():
            lost = typed(partial(backup.event, "thaw"), "thaw")
            told = lost is not None
            demand(told, f"EXC-12: {event} of an unknown session ended the hold, and Thaw hid it")
            backup.event("backup_shutdown")
            world, backup = _frozen(make)
    backup.event("thaw")
    backup.event("post_snapshot")
    stranger = Backup(world, SETS[2])
    typed(partial(stranger.judge, stranger.all_good()), "backup_complete of an unknown session")
    demand(not world.truncated(), "EXC-12: an unknown session's success deleted logs")
    backup.complete(dict.fromkeys(backup.session.components, False))
    return ""


def _frozen(make: Make) -> tuple[WriterWorld, Backup]:
    world = make()
    return world, Backup(world).upto("freeze")


def _records(make: Make) -> str:
    """What a record says of itself can be true."""
    world = make()
    backup = Backup(world).upto("thaw")
    for each in backup.records():
        needed = _ends(each)
        demand(
            needed is None or needed[0] <= needed[1],
            f"VSS-66: {each.component.name} needs logs {needed}: the first comes after the last",
        )
    backup.event("backup_shutdown")
    return ""


def _ends(record: WriterRecord) -> tuple[int, int] | None:
    """First and last log that are needed, as numbers; written as a pair or as a range."""
    needed: Any = record.logs_needed
    if needed is None:
        return None
    if isinstance(needed, tuple):
        return needed[0], needed[1]
    first, last = needed.first, needed.last
    demand(first.stream == last.stream, "VSS-66: logs needed of two streams")
    return first.rank, last.rank


def _whole_window(make: Make) -> str:
    """It holds as long as it says; the service counts on it [EXC-21]."""
    world = make()
    advance = lever(world, "advance")
    if advance is None:
        return "the world has no advance"
    window_s = identify(world).freeze_timeout_s
    if not window_s:
        return "the writer does not know its window"
    backup = Backup(world).upto("freeze")
    if world.write():
        backup.event("abort")
        return "the writer does not hold"
    advance(0.9 * window_s)
    demand(not world.write(), f"EXC-21: let go before the {window_s} s that it says")
    error = typed(partial(backup.event, "thaw"), "thaw inside of the window")
    lost = isinstance(error, WriterVeto | FreezeTimeout)
    demand(not lost, f"EXC-21: lost its hold before the {window_s} s that it says: {error}")
    demand(error is None, f"EXC-21: thaw inside of the window raised {error!r}")
    backup.event("backup_shutdown")
    return ""


def _restores(make: Make) -> str:
    """PreRestore and PostRestore: accepted or vetoed, and nothing is touched before it is time."""
    world = make()
    replaceable = lever(world, "replaceable")
    before = world.image()
    error = _pre_restore(world)
    demand(world.image() == before, "EXC-58: PreRestore changed a file")
    if replaceable is not None:
        replaceable(False)
        error = _pre_restore(world)
        demand(error is not None, "EXC-58: PreRestore accepted that files in use are replaced")
        replaceable(True)
        error = _pre_restore(world)
        demand(error is None, f"EXC-58: PreRestore refuses what may be replaced: {error}")
    if error is None:
        _post_restore(world)
    demand(not world.truncated(), "R-4: a restore deleted logs")
    return ""


def _pre_restore(world: WriterWorld) -> WriterVeto | None:
    restore = Backup(world, SETS[2], backup_type=BackupType.COPY)
    error = typed(partial(restore.event, "pre_restore"), "pre_restore")
    if error is None:
        return None
    veto = error if isinstance(error, WriterVeto) else None
    demand(veto is not None, f"VSS-38: pre_restore raised {error!r}, not a veto")
    codes = {each.value for each in WriterFailure}
    demand(error.native in codes, f"VSS-38: a veto with the code {error.native!r}")
    return veto


def _post_restore(world: WriterWorld) -> None:
    restore = Backup(world, SETS[2], backup_type=BackupType.COPY)
    error = typed(partial(restore.event, "post_restore"), "post_restore")
    demand(error is None, f"VSS 2.1: files are as they were, and PostRestore failed: {error}")


LOYALTY_CASES: dict[str, Callable[[Make], str]] = {
    "which logs": _which_logs,
    "one of two components": _one_of_two,
    "identify changes nothing": _identify_changes_nothing,
    "unknown sessions": _unknown_sessions,
    "records": _records,
    "whole window": _whole_window,
    "restores": _restores,
}
