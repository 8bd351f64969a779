"""Cases of the requestor kit: parties that raise, hang and answer late, and callers in threads.

What it is: one function per case; it returns why it could not run, or "". What it is not: an entry
point; see `frskit.testing.requestor.kit.check_requestor`.

A sweep strikes once at every call of a party that a copy needs, first before its effect, then
between effect and answer. All strikes of a sweep meet the same requestor, so what one leaves
behind the next one finds.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from frskit.errors import CopyNotFound, FrskitError
from frskit.model.components import BackupType
from frskit.model.copies import Copy
from frskit.testing.report import demand
from frskit.testing.strangers import Beside, beside, lever, typed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from frskit.testing.requestor.world import RequestorWorld

    Make = Callable[[], RequestorWorld]

__all__ = ["stranger_cases"]

_AGES_S = 365 * 86400.0  # of a party that hangs, by a clock that only the world moves
_LONG_S = 120.0  # real seconds for a whole copy, which only a requestor that hangs uses up
_NO_LEVERS = "the world has no meddle and unrest"


class _Strike:
    """Acts once at one call, and remembers which calls came."""

    def __init__(self, act: Callable[[], object], step: str = "", *, done: bool = False) -> None:
        self.came = False
        self.steps: dict[str, None] = {}
        self._act, self._at = act, (step, done)
        self._lock = threading.Lock()

    def __call__(self, step: str, done: bool) -> None:
        with self._lock:
            self.steps.setdefault(step)
            if self.came or (step, done) != self._at:
                return
            self.came = True
        self._act()


class _Struck:
    """A world with its optional levers."""

    def __init__(self, world: RequestorWorld) -> None:
        self.world = world
        self._meddle, self._unrest = lever(world, "meddle"), lever(world, "unrest")

    def __bool__(self) -> bool:
        return self._meddle is not None and self._unrest is not None

    def copy(self) -> Copy:
        """One copy; of a type that truncates nothing, so that the next one finds the same."""
        world = self.world
        return world.requestor.create_copy(
            world.server, [world.component], backup_type=BackupType.COPY
        )

    def unrest(self) -> Sequence[str]:
        """What must not be."""
        return list(self._unrest()) if self._unrest else []  # type: ignore[call-overload]

    def meddle(self, act: Callable[[str, bool], object] | None) -> None:
        """From now on."""
        if self._meddle is not None:
            self._meddle(act)

    def steps(self) -> list[str]:
        """The calls of parties that one good copy needs."""
        seen = _Strike(lambda: None)
        self.meddle(seen)
        self.copy()
        self.meddle(None)
        demand(bool(seen.steps), "meddle shows no call: fix the world")
        return list(seen.steps)

    def hit(self, act: Callable[[], object], step: str, *, done: bool, words: str) -> None:
        """Strike at one call of a copy; it may succeed all the same, or fail as it should."""
        strike = _Strike(act, step, done=done)
        self.meddle(strike)
        what = f"a copy whose {step} {words}{' after its effect' if done else ''}"
        made: list[Copy] = []
        error = typed(lambda: made.append(self.copy()), what)
        self.meddle(None)
        if error is not None:
            _told(error, what)
        good = {each.id for each in self.world.requestor.copies() if each.recoverable}
        late = [each.id for each in made if each.id not in good]
        demand(not late, f"{what} is returned, and cannot be recovered from")
        bad = self.unrest()
        demand(not bad, f"after {what}: {'; '.join(bad)}")

    def sweep(self, act: Callable[[], object], words: str, most: int | None) -> None:
        """Strike everywhere, or at so many places; then a copy must succeed."""
        places = [(step, done) for step in self.steps() for done in (False, True)]
        stride = 1 if most is None else max(1, len(places) // most)
        if stride % 2 == 0:
            stride += 1  # so that both moments are met
        for step, done in places[::stride]:
            self.hit(act, step, done=done, words=words)
        error = typed(self.copy, "a copy after all that")
        demand(error is None, f"no copy is possible after parties that {words}: {error}")


def _told(error: FrskitError, what: str) -> None:
    """The error has what the contract of `create_copy` promises."""
    demand(bool(error.stage), f"the error of {what} does not name the stage: {error!r}")
    demand(isinstance(error.copy, Copy), f"the error of {what} carries no record: {error!r}")


def _raising_parties(world: RequestorWorld, most: int | None) -> str:
    struck = _Struck(world)
    if not struck:
        return _NO_LEVERS
    struck.sweep(partial(_throw, ZeroDivisionError("vendor bug")), "raises a foreign error", most)
    return ""


def _throw(error: BaseException) -> None:
    raise error


def _hanging_parties(world: RequestorWorld, most: int | None) -> str:
    struck, wait = _Struck(world), lever(world, "wait")
    if not struck or wait is None:
        return f"{_NO_LEVERS}, or no wait"
    struck.sweep(partial(wait, _AGES_S), "takes a year", most)
    return ""


def _two_callers(world: RequestorWorld) -> str:
    """Two copies at once, looked at by a third: each ends as a copy, or as an error that says why."""
    world.work()
    struck = _Struck(world)
    calls = [Beside(lambda: typed(struck.copy, "one of two copies at once")) for _ in range(2)]
    looked = 0
    while not all(each.is_back(0.01) for each in calls) and looked < _LONG_S * 50:
        world.requestor.copies()
        looked += 1
    demand(all(each.is_back(0.0) for each in calls), "two copies at once hang")
    errors = [each.outcome() for each in calls]
    demand(None in errors, f"of two copies at once none succeeded: {errors}")
    good = [each for each in world.requestor.copies() if each.recoverable]
    made = errors.count(None)
    demand(len(good) == made, f"{made} copies succeeded and {len(good)} can be recovered from")
    _rest(struck, "two copies at once")
    return ""


def _rest(struck: _Struck, after: str) -> None:
    bad = struck.unrest()
    demand(not bad, f"after {after}: {'; '.join(bad)}")
    error = typed(struck.copy, f"a copy after {after}")
    demand(error is None, f"no copy is possible after {after}: {error}")


def _looks_beside(world: RequestorWorld, patience_s: float) -> str:
    """While a party is at it, the list answers: on the same stack, and to another thread."""
    struck = _Struck(world)
    if not struck:
        return _NO_LEVERS
    older = struck.copy()
    looks = _Looks(world, older, patience_s)
    struck.meddle(looks)
    struck.copy()
    struck.meddle(None)
    for each in looks.complaints:
        raise AssertionError(each)
    demand(bool(looks.seen), "meddle shows no call: fix the world")
    return ""


class _Looks:
    """Looks at the list during every call, once each; what was wrong is told afterwards."""

    def __init__(self, world: RequestorWorld, older: Copy, patience_s: float) -> None:
        self.seen: set[str] = set()
        self.complaints: list[str] = []
        self._world, self._older, self._patience_s = world, older, patience_s

    def __call__(self, step: str, done: bool) -> None:
        if done or step in self.seen or self.complaints:
            return
        self.seen.add(step)
        self._look(step)
        try:
            waits = f"copies() waits for {step} of a copy that is under way"
            beside(partial(self._look, step), self._patience_s, waits)
        except AssertionError as error:
            self.complaints.append(str(error))

    def _look(self, step: str) -> None:
        try:
            listed = [each.id for each in self._world.requestor.copies() if each.recoverable]
        except Exception as error:  # noqa: BLE001  told by the case, not by the party that looks
            self.complaints.append(f"copies() during {step} raised {error!r}")
            return
        if self._older.id not in listed:
            self.complaints.append(f"copies() during {step} hides what can be recovered from")


def _cancelling(world: RequestorWorld) -> str:
    """A copy that is cancelled from another thread ends typed, and leaves nothing."""
    struck = _Struck(world)
    if not struck:
        return _NO_LEVERS
    steps = struck.steps()
    for step in (steps[0], steps[len(steps) // 2], steps[-1]):
        entered, go_on = threading.Event(), threading.Event()
        struck.meddle(_Strike(lambda e=entered, g=go_on: (e.set(), g.wait(_LONG_S)), step))  # type: ignore[misc]
        operation = world.requestor.start_copy(
            world.server, [world.component], backup_type=BackupType.COPY
        )
        try:
            demand(entered.wait(_LONG_S), f"a copy that was started does not come to {step}")
            operation.cancel()
            operation.cancel()
        finally:
            go_on.set()
        typed(partial(operation.wait, _LONG_S), f"a copy that was cancelled during {step}")
        struck.meddle(None)
        _rest(struck, f"a copy that was cancelled during {step}")
    return ""


def _deleting_beside(world: RequestorWorld) -> str:
    """One copy deleted by two callers at once: one does it, the other is told."""
    struck = _Struck(world)
    doomed = struck.copy()
    calls = [
        Beside(lambda: typed(partial(world.requestor.delete_copy, doomed.id), "delete_copy"))
        for _ in range(2)
    ]
    demand(all(each.is_back(_LONG_S) for each in calls), "two deletions at once hang")
    errors = [each.outcome() for each in calls]
    demand(None in errors, f"a copy that two callers delete at once stays: {errors}")
    error = typed(partial(world.requestor.delete_copy, doomed.id), "delete_copy")
    demand(isinstance(error, CopyNotFound), f"R-24: deleting it once more gives {error!r}")
    _rest(struck, "two deletions at once")
    return ""


def stranger_cases(
    patience_s: float, most: int | None
) -> dict[str, Callable[[RequestorWorld], str]]:
    """The cases by name.

    Args:
        patience_s: Real seconds until a look counts as one that hangs.
        most: About how many strikes a sweep makes; None = one at every place.
    """
    return {
        "parties that raise": partial(_raising_parties, most=most),
        "parties that hang": partial(_hanging_parties, most=most),
        "two callers": _two_callers,
        "looks beside a copy": partial(_looks_beside, patience_s=patience_s),
        "cancelling from another thread": _cancelling,
        "two deletions": _deleting_beside,
    }
