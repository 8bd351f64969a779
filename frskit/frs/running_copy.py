"""The copies that this process is making: joined by key, or made in a thread of their own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from attrs import define, field

from frskit.errors import TimedOut
from frskit.frs.keys import check_same, recorded_failure

if TYPE_CHECKING:
    from frskit.clock import Budget, CancelToken
    from frskit.frs.copy_run import CopyRun
    from frskit.frs.copy_wish import CopyWish
    from frskit.model.copies import Copy
    from frskit.model.ids import CopyId
    from frskit.protocols import CopyOperation

__all__ = ["RunningCopy", "RunsUnderWay"]


# Seconds of real time between two looks at the budget of somebody who waits (ours).
_LOOK_S = 0.1


@define(eq=False)
class _Shared:
    """A run that others may wait for."""

    run: CopyRun
    done: threading.Event = field(factory=threading.Event)
    error: BaseException | None = None


class RunsUnderWay:
    """The copies that this process is making, by id; any thread may join one."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._runs: dict[CopyId, _Shared] = {}

    def record(self, copy: CopyId) -> Copy | None:
        """The record of a copy that is being made, as it stands."""
        with self._guard:
            found = self._runs.get(copy)
        return None if found is None else found.run.copy

    def make(self, run: CopyRun, budget: Budget) -> Copy:
        """Make a copy, or wait for the run of the same key that is under way."""
        with self._guard:
            other = self._runs.get(run.wish.id)
            if other is None:
                mine = self._runs[run.wish.id] = _Shared(run)
        if other is not None:
            return _joined(other, run.wish, budget)
        try:
            return run.run()
        except BaseException as error:
            mine.error = error
            raise
        finally:
            with self._guard:
                del self._runs[run.wish.id]
            mine.done.set()


def _joined(other: _Shared, wish: CopyWish, budget: Budget) -> Copy:
    check_same(other.run.copy, wish)
    while not other.done.wait(_LOOK_S):
        budget.check("waiting for the copy of this key; it goes on")
    if other.error is None:
        return other.run.copy
    # An interrupt was meant for the thread that got it.
    raise other.error if isinstance(other.error, Exception) else recorded_failure(other.run.copy)


class RunningCopy:
    """A `CopyOperation`; its methods may be called from any thread."""

    def __init__(
        self, runs: RunsUnderWay, run: CopyRun, budget: Budget, token: CancelToken
    ) -> None:
        self._runs = runs
        self._run = run
        self._budget = budget
        self._token = token
        self._error: BaseException | None = None
        self._made: Copy | None = None
        # A daemon, because the process may end at any time: a resume finishes what it leaves.
        self._thread = threading.Thread(target=self._work, name=f"copy-{self.id}", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        state = "running" if self._thread.is_alive() else "ended"
        return f"<RunningCopy {self.id[:8]} {state}: {self.status().stage}>"

    @property
    def id(self) -> CopyId:
        """Id of the copy to be."""
        return self._run.wish.id

    def status(self) -> Copy:
        """The record as it stands."""
        # The run of the key may be that of another operation.
        return self._made or self._runs.record(self.id) or self._run.copy

    def wait(self, timeout_s: float | None = None) -> Copy:
        """The finished copy; raises what made it fail, or `TimedOut` while it goes on."""
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise TimedOut(f"copy {self.id} is still being made", context={"copy": self.id})
        if self._error is not None:
            raise self._error
        return self.status()

    def cancel(self) -> None:
        """Stop at the next safe point, or stop waiting for somebody else's run. Idempotent."""
        self._token.cancel()

    def _work(self) -> None:
        try:
            self._made = self._runs.make(self._run, self._budget)
        except BaseException as error:  # noqa: BLE001 - handed to whoever waits
            self._error = error


if TYPE_CHECKING:
    _: type[CopyOperation] = RunningCopy
