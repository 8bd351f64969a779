"""Cases of the writer kit: Freeze that hangs, fails or answers late, and other threads.

What it is: one function per case, each on fresh worlds; it returns why it could not run, or "".
What it is not: an entry point; see `frskit.testing.writer.kit.check_writer`.

How a case gets into the midst of Freeze: by the lever `WriterLevers.during_freeze`, or else by a
budget that acts when the writer looks at it. A writer that does neither is skipped by name.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from frskit.clock import Budget, CancelToken
from frskit.errors import Stopped, WriterError
from frskit.testing.report import demand
from frskit.testing.strangers import Beside, Meddler, beside, in_threads, lever, typed
from frskit.testing.writer.calls import SETS, STAGES, Backup, identify

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.testing.writer.world import WriterWorld

    Make = Callable[[], WriterWorld]

__all__ = ["stranger_cases"]

_LOOKS = 3  # into how many looks at the budget of one Freeze an Abort is put
_SHORT_S = 0.2  # budget of a freeze that takes twice as long, real or virtual
_OUTSIDE = "the writer does not look at its budget in Freeze, and the world has no during_freeze"


class _Inside:
    """Does something in the midst of the next Freeze."""

    def __init__(self, world: WriterWorld, act: Callable[[], object], at: int = 1) -> None:
        self.came = False
        self.budget: Budget | None = None
        self._act = act
        during = lever(world, "during_freeze")
        if during is None:
            meddler = Meddler(world.budget(), self._do, at=at)
            self.budget = meddler.budget
        elif at == 1:
            during(self._do)

    def _do(self) -> None:
        self.came = True
        self._act()


def _free(world: WriterWorld, after: str) -> None:
    """Nothing is held, nothing was truncated, and another backup can be made."""
    demand(world.write(), f"VSS-36: held after {after}")
    demand(not world.truncated(), f"VSS-64: truncated by {after}")
    following = Backup(world, SETS[1])
    error = typed(lambda: following.upto("post_snapshot"), f"the backup after {after}")
    demand(error is None, f"VSS-09: no new backup is possible after {after}: {error}")
    following.event("backup_shutdown")


def _ended_inside(make: Make, patience_s: float, ending: str) -> str:
    """The window passes while the writer is in Freeze: the end comes below it on the same stack."""
    world = make()
    for at in range(1, _LOOKS + 1):
        backup = Backup(world).upto("prepare_snapshot")
        errors: list[Exception] = []
        inside = _Inside(world, partial(_end, backup, ending, errors), at)
        freeze = partial(backup.event, "freeze", budget=inside.budget)
        complaint = f"VSS-36: {ending} inside of freeze does not come back"
        error = beside(lambda freeze=freeze: typed(freeze, "freeze"), patience_s, complaint)  # type: ignore[misc]
        if not inside.came:
            backup.event("abort")
            return _OUTSIDE if at == 1 else ""
        demand(not errors, f"VSS-36: {ending} inside of freeze raised {errors}")
        if error is not None:
            demand(world.write(), f"EXC-23: held although freeze failed: {error}")
        # Once more, as whoever waited for the freeze in vain does when it answers after all.
        backup.event("abort")
        _free(world, f"{ending} inside of freeze")
    return ""


def _end(backup: Backup, ending: str, errors: list[Exception]) -> None:
    """End it; what that raises must not pass for a failure of the freeze round it."""
    try:
        backup.event(ending)
    except Exception as error:  # noqa: BLE001  told by the case
        errors.append(error)


def _ended_beside(make: Make, patience_s: float, ending: str) -> str:
    """Freeze is stuck; the end comes from another thread and must not wait for it."""
    world = make()
    backup = Backup(world).upto("prepare_snapshot")
    entered, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        go_on.wait()

    inside = _Inside(world, hang)
    freeze = partial(backup.event, "freeze", budget=inside.budget)
    stuck = Beside(lambda: typed(freeze, "freeze"))
    try:
        while not entered.wait(0.001):
            if stuck.is_back(0.0):
                backup.event("abort")
                return _OUTSIDE
        waits = f"VSS-36: {ending} waits for a freeze that hangs"
        beside(partial(backup.event, ending), patience_s, waits)
        beside(partial(identify, world), patience_s, "VSS-11: identify waits for a freeze")
    finally:
        go_on.set()
    demand(stuck.is_back(patience_s), "freeze does not come back although nothing holds it")
    error = stuck.outcome()
    if error is not None:
        demand(world.write(), f"EXC-23: held although freeze failed: {error}")
    # A late answer to freeze is answered by another Abort, in whatever thread.
    beside(partial(backup.event, "abort"), patience_s, "VSS-36: abort after a late freeze hangs")
    _free(world, f"a freeze that answered after {ending}")
    return ""


def _failing_application(make: Make) -> str:
    """The application cannot do what Freeze wants, in words of its own."""
    world = make()
    if lever(world, "during_freeze") is None:
        return "the world has no during_freeze"
    backup = Backup(world).upto("prepare_snapshot")
    failure = OSError(28, "no space left on device")
    inside = _Inside(world, partial(_throw, failure))
    error = typed(partial(backup.event, "freeze"), "freeze of an application that fails")
    demand(inside.came, "during_freeze did nothing: fix the world")
    demand(error is not None, "EXC-23: freeze hid that the application failed")
    demand(isinstance(error, WriterError), f"VSS-38: {error!r} is no error of a writer")
    demand(world.write(), "EXC-23: held although freeze failed")
    backup.event("abort")
    backup.event("backup_shutdown")
    _free(world, "a freeze that failed")
    return ""


def _throw(error: BaseException) -> None:
    raise error


def _out_of_time(make: Make) -> str:
    """A budget that is spent or cancelled is refused in time, or the hold can be ended as ever."""
    cancelled = CancelToken()
    cancelled.cancel()
    world = make()
    for words in ("spent", "cancelled"):
        backup = Backup(world).upto("prepare_snapshot")
        base = world.budget()
        budget = (
            base.at_most(0.0) if words == "spent" else Budget(clock=base.clock, token=cancelled)
        )
        freeze = partial(backup.event, "freeze", budget=budget)
        error = typed(freeze, f"freeze with a budget that is {words}")
        if error is not None:
            demand(world.write(), f"EXC-23: held although freeze was refused: {error}")
        backup.event("abort")
        _free(world, f"a freeze whose budget is {words}")
    return ""


def _slow_application(make: Make) -> str:
    """The application takes longer than the budget: no result, and nothing held."""
    world = make()
    if lever(world, "during_freeze") is None:
        return "the world has no during_freeze"
    backup = Backup(world).upto("prepare_snapshot")
    inside = _Inside(world, partial(world.budget().clock.sleep, 2 * _SHORT_S))
    freeze = partial(backup.event, "freeze", budget=world.budget().at_most(_SHORT_S))
    error = typed(freeze, "freeze of a slow application")
    demand(inside.came, "during_freeze did nothing: fix the world")
    demand(error is not None, "freeze took longer than its budget, and came back as if it had not")
    demand(isinstance(error, WriterError | Stopped), f"VSS-38: {error!r} is no error of a writer")
    demand(world.write(), "EXC-23: held although freeze was out of time")
    backup.event("abort")
    _free(world, "a freeze that was out of time")
    return ""


def _other_threads(make: Make, patience_s: float) -> str:
    """One event at a time, but each from a thread of its own."""
    world = make()
    backup = Backup(world)
    events = (*STAGES, "backup_complete", "backup_shutdown")
    in_threads({each: partial(backup.event, each) for each in events}, patience_s)
    demand(world.write(), "VSS-07: held after a backup from several threads")
    return ""


def stranger_cases(patience_s: float) -> dict[str, Callable[[Make], str]]:
    """The cases by name.

    Args:
        patience_s: Real seconds until a call counts as one that hangs.
    """
    return {
        "abort inside freeze": partial(_ended_inside, patience_s=patience_s, ending="abort"),
        "shutdown inside freeze": partial(
            _ended_inside, patience_s=patience_s, ending="backup_shutdown"
        ),
        "abort beside freeze": partial(_ended_beside, patience_s=patience_s, ending="abort"),
        "shutdown beside freeze": partial(
            _ended_beside, patience_s=patience_s, ending="backup_shutdown"
        ),
        "failing application": _failing_application,
        "out of time": _out_of_time,
        "slow application": _slow_application,
        "other threads": partial(_other_threads, patience_s=patience_s),
    }
