"""Cases of the array kit: calls that hang or answer late, budgets that are spent, other threads.

What it is: one function per case, each on a fresh world. What it is not: an entry point; see
`frskit.testing.array.kit.check_disk_array`.

A case gets into the midst of a call by a budget that acts when the array looks at it; an array that
never does is skipped by name.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING, cast

from frskit.clock import Budget, CancelToken, SystemClock
from frskit.errors import OutcomeUnknown
from frskit.model.ids import CopyKey
from frskit.model.storage import CopyKind, CopyRequest, StagedCopies
from frskit.protocols import DiskArray
from frskit.testing.report import demand
from frskit.testing.strangers import Beside, Meddler, beside, call, in_threads, typed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from frskit.model.ids import StorageId
    from frskit.model.storage import ArrayCopy, Presentation
    from frskit.testing.array.world import ArrayWorld
    from frskit.testing.report import KitReport

__all__ = ["run_strangers"]

_BUDGET = Budget.unlimited()
_KEYS = tuple(CopyKey(f"00000000-0000-4000-9000-{number:012d}") for number in range(3))
_OUTSIDE = "the array does not look at the budget of {}"
_POLLS = 8  # of 1000 s each, until a deletion must have ended
_MIDSTS = ("stage", "commit")


class _Set:
    """One copy set of an array, step by step."""

    def __init__(self, world: ArrayWorld, key: CopyKey = _KEYS[0]) -> None:
        self.world, self.key = world, key
        array = world.array
        kind = next(each for each in CopyKind if each in array.capabilities.kinds)
        limit = array.capabilities.max_set_members
        self.requests = [
            CopyRequest(source=each, kind=kind, name=f"kit-{key[-2:]}-{number}")
            for number, each in enumerate(world.storages[: min(2, limit or 2)])
        ]
        self.staged: StagedCopies | None = None

    def ask(self, name: str, *args: object, budget: Budget = _BUDGET, **words: object) -> object:
        """Call the array."""
        return call(DiskArray, self.world.array, name, *args, budget=budget, **words)

    def stage(self, *, budget: Budget = _BUDGET) -> None:
        """Prepare the set."""
        made = self.ask("stage_copies", self.requests, key=self.key, budget=budget)
        self.staged = cast("StagedCopies", made)

    def commit(self, *, budget: Budget = _BUDGET) -> None:
        """The instant."""
        self.ask("commit_copies", self.staged, budget=budget)

    def before(self, step: str) -> Callable[..., None]:
        """Do what comes before a step, and give the step itself."""
        if step == "stage":
            return self.stage
        self.stage()
        return self.commit

    def members(self) -> Sequence[ArrayCopy]:
        """What the array lists for this key."""
        return cast("Sequence[ArrayCopy]", self.ask("copies", key=self.key))

    def look(self) -> None:
        """Ask what a caller asks that had no answer: the set is whole or not there."""
        self.ask("storage")
        self.ask("presentations")
        found = len(self.members())
        demand(found in (0, len(self.requests)), f"a set shows {found} of its members [EVA-34]")

    def clean(self) -> None:
        """Reconcile by key: forget the staging, delete what there is."""
        self.ask("discard_staged", self.key)
        for each in self.members():
            for shown in cast("Sequence[Presentation]", self.ask("presentations", each.id)):
                self.ask("unpresent", shown)
            self._delete(each.id)

    def _delete(self, storage: StorageId) -> None:
        """Delete it; an array may take a while, and has no answer until then."""
        for _ in range(_POLLS):
            try:
                self.ask("delete_storage", storage)
            except OutcomeUnknown:
                self.world.advance(1000)
            else:
                return

    def gone(self, after: str) -> None:
        """Nothing is left, and key and names can be used for another set."""
        known = {each.id for each in cast("Sequence[ArrayCopy]", self.ask("copies"))}
        demand(not known, f"copies that no key finds are left after {after} [HAZ-09]")
        following = _Set(self.world, self.key)
        following.requests = following.requests[::-1]
        error = typed(following.stage, f"a set after {after}")
        demand(error is None, f"no set can be staged after {after}: {error}")
        following.clean()


def _looks_inside(world: ArrayWorld, report: KitReport, patience_s: float) -> None:
    """Look-ups below a staging or commit, on the same stack; then it goes on."""
    for step in _MIDSTS:
        errors: list[Exception] = []
        one = _Set(world)
        work = one.before(step)
        meddler = Meddler(_BUDGET, partial(_note, one.look, errors))
        hangs = f"look-ups inside of a {step} do not come back"
        beside(partial(typed, partial(work, budget=meddler.budget), step), patience_s, hangs)
        demand(not errors, f"look-ups inside of a {step} raised {errors}")
        one.clean()
        one.gone(f"a {step} with look-ups inside")
        if meddler.acted:
            report.ran("looks inside")
        else:
            report.skip("looks inside", _OUTSIDE.format(step))


def _note(what: Callable[[], object], errors: list[Exception]) -> None:
    """Do it; what it raises must not pass for a failure of the call round it."""
    try:
        what()
    except Exception as error:  # noqa: BLE001  told by the case
        errors.append(error)


def _hang(entered: threading.Event, go_on: threading.Event) -> None:
    entered.set()
    go_on.wait()


def _looks_beside(world: ArrayWorld, report: KitReport, patience_s: float) -> None:
    """A staging or commit is stuck: look-ups from another thread; then it answers late."""
    for step in _MIDSTS:
        one = _Set(world)
        work = one.before(step)
        entered, go_on = threading.Event(), threading.Event()
        meddler = Meddler(_BUDGET, partial(_hang, entered, go_on))
        stuck = Beside(partial(typed, partial(work, budget=meddler.budget), step))
        try:
            while not entered.wait(0.001) and not stuck.is_back(0.0):
                pass
            if entered.is_set():
                beside(one.look, patience_s, f"look-ups wait for a {step} that hangs")
        finally:
            go_on.set()
        demand(stuck.is_back(patience_s), f"a {step} does not come back although nothing holds it")
        error = stuck.outcome()
        if error is None and step == "commit":
            demand(len(one.members()) == len(one.requests), "a late commit is not found by its key")
        # Whoever gave it up looks by key when it answers after all [HAZ-10].
        one.clean()
        one.gone(f"a {step} that answered late")
        if entered.is_set():
            report.ran("looks beside")
        else:
            report.skip("looks beside", _OUTSIDE.format(step))


def _out_of_time(world: ArrayWorld, report: KitReport) -> None:
    """A budget that is spent or cancelled: whatever is said, a caller can reconcile by key."""
    token = CancelToken()
    token.cancel()
    clock = SystemClock()
    budgets = {
        "spent": Budget.of(clock, 0.0),
        "cancelled": Budget(clock=clock, token=token),
    }
    for words, budget in budgets.items():
        for step in _MIDSTS:
            one = _Set(world)
            work = one.before(step)
            typed(partial(work, budget=budget), f"a {step} whose budget is {words}")
            one.look()
            one.clean()
            one.gone(f"a {step} whose budget is {words}")
    report.ran("out of time")


def _other_threads(world: ArrayWorld, report: KitReport, patience_s: float) -> None:
    """One call at a time, but each from a thread of its own."""
    one = _Set(world)
    shown: list[Presentation] = []

    def present() -> None:
        made = one.ask("present", one.members()[0].id, world.host, read_only=True)
        shown.append(cast("Presentation", made))

    calls: dict[str, Callable[[], object]] = {
        "stage_copies": one.stage,
        "commit_copies": one.commit,
        "look-ups": one.look,
        "present": present,
        "unpresent": lambda: one.ask("unpresent", shown[0]),
        "delete_storage": one.clean,
    }
    in_threads(calls, patience_s)
    demand(not one.members(), "a set that several threads made and deleted is still there")
    report.ran("other threads")


def run_strangers(make: Callable[[], ArrayWorld], report: KitReport, patience_s: float) -> None:
    """Run every case on a world of its own.

    Args:
        make: Gives a fresh world.
        report: Where it is noted what ran.
        patience_s: Real seconds until a call counts as one that hangs.
    """
    for case in (
        partial(_looks_inside, patience_s=patience_s),
        partial(_looks_beside, patience_s=patience_s),
        _out_of_time,
        partial(_other_threads, patience_s=patience_s),
    ):
        world = make()
        try:
            case(world, report)
        finally:
            world.close()
