"""Cases of the provider kit: an array that hangs, fails or answers late, and other threads.

What it is: one function per case, each on fresh worlds; it returns why it could not run, or "".
What it is not: an entry point; see `frskit.testing.provider.kit.check_provider`.

A case gets into the midst of a call by `ProviderLevers.during_array_call`, or else by a budget that
acts when the provider, or its array, looks at it.
"""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

from frskit.clock import Budget, CancelToken
from frskit.model.ids import SetId, ShadowId
from frskit.testing.report import demand
from frskit.testing.strangers import Beside, Meddler, beside, in_threads, lever, typed

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.testing.provider.world import ProviderWorld

    Make = Callable[[], ProviderWorld]

__all__ = ["stranger_cases"]

_SETS = tuple(SetId(f"{digit * 8}-1111-4111-8111-111111111111") for digit in "34")
_CONTEXT = 0x29  # persistent, transportable, with writers [VSS 4.4]
_STEPS = ("begin", "end", "pre", "commit", "post")
_MIDSTS = ("end", "commit")  # the calls that have a budget
_SHORT_S = 0.2  # budget of a commit that takes twice as long, real or virtual
_OUTSIDE = "nobody looks at the budget, and the world has no during_array_call"


class _Creation:
    """The creation of one set, step by step."""

    def __init__(self, world: ProviderWorld, set_id: SetId = _SETS[0]) -> None:
        self.world, self.set_id = world, set_id

    def step(self, name: str, *, budget: Budget | None = None) -> None:
        """One call of the creation; `begin` is one for each of two originals."""
        provider, key = self.world.provider, self.set_id
        given = budget or self.world.budget()
        if name == "begin":
            for number, lun in enumerate(self.world.luns[:2]):
                shadow = ShadowId(f"{number:08d}-2222-4222-8222-222222222222")
                provider.begin_prepare_snapshot(key, shadow, [lun], None, context=_CONTEXT)
        elif name == "end":
            provider.end_prepare_snapshots(key, budget=given)
        elif name == "pre":
            provider.pre_commit_snapshots(key)
        elif name == "commit":
            provider.commit_snapshots(key, budget=given)
        else:
            provider.post_commit_snapshots(key, 2)

    def before(self, name: str) -> _Creation:
        """The steps before one."""
        for each in _STEPS[: _STEPS.index(name)]:
            self.step(each)
        return self

    def abort(self) -> None:
        """AbortSnapshots."""
        self.world.provider.abort_snapshots(self.set_id)

    def ends(self) -> dict[str, Callable[[], None]]:
        """The calls that end it, by name."""
        return {"abort": self.abort, "unload": self.world.provider.on_unload}


class _Inside:
    """Does something in the midst of the next call that has a budget."""

    def __init__(self, world: ProviderWorld, act: Callable[[], object], *, after: bool) -> None:
        self.came = False
        self.budget: Budget | None = None
        self._act = act
        during = lever(world, "during_array_call")
        if during is not None:
            during(self._do, after=after)
        elif not after:
            self.budget = Meddler(world.budget(), self._do).budget

    def _do(self) -> None:
        self.came = True
        self._act()


def _gone(world: ProviderWorld, after: str) -> None:
    """Nothing of the set is left, and another set can be made."""
    left = len(world.targets())
    demand(not left, f"VSS-30: {left} targets are left after {after}")
    following = _Creation(world, _SETS[1])
    for each in _STEPS:
        error = typed(partial(following.step, each), f"{each} of the set after {after}")
        demand(error is None, f"VSS-33: no new set is possible after {after}: {error}")
    made = len(world.targets())
    demand(made == 2, f"VSS-33: the set after {after} has {made} targets instead of 2")


def _ended_inside(make: Make, patience_s: float) -> str:
    """Abort or OnUnload below a staging or a commit, on the same stack; then it answers late."""
    came = False
    for step in _MIDSTS:
        for end in ("abort", "unload"):
            for after in (False, True):
                came = _end_inside(make(), step, end, patience_s, after=after) or came
    return "" if came else _OUTSIDE


def _end_inside(
    world: ProviderWorld, step: str, end: str, patience_s: float, *, after: bool
) -> bool:
    creation = _Creation(world).before(step)
    errors: list[Exception] = []
    inside = _Inside(world, partial(_note, creation.ends()[end], errors), after=after)
    call = partial(creation.step, step, budget=inside.budget)
    hangs = f"VSS-30: {end} inside of {step} does not come back"
    beside(lambda: typed(call, step), patience_s, hangs)
    demand(not errors, f"VSS-30: {end} inside of {step} raised {errors}")
    # Whoever gave the call up ends it once more when it answers after all.
    creation.abort()
    if inside.came:
        _gone(world, f"a {step} that answered after {end}")
    return inside.came


def _note(call: Callable[[], object], errors: list[Exception]) -> None:
    """Call it; what it raises must not pass for a failure of the array round it."""
    try:
        call()
    except Exception as error:  # noqa: BLE001  told by the case
        errors.append(error)


def _ended_beside(make: Make, patience_s: float) -> str:
    """A staging or commit is stuck; its end comes from another thread and must not wait for it."""
    for step in _MIDSTS:
        for end in ("abort", "unload"):
            if not _end_beside(make(), step, end, patience_s):
                return _OUTSIDE
    return ""


def _end_beside(world: ProviderWorld, step: str, end: str, patience_s: float) -> bool:
    creation = _Creation(world).before(step)
    entered, go_on = threading.Event(), threading.Event()

    def hang() -> None:
        entered.set()
        go_on.wait()

    inside = _Inside(world, hang, after=False)
    call = partial(creation.step, step, budget=inside.budget)
    stuck = Beside(lambda: typed(call, step))
    try:
        while not entered.wait(0.001):
            if stuck.is_back(0.0):
                creation.abort()
                return False
        waits = f"VSS-30: {end} waits for {step}, which hangs"
        beside(creation.ends()[end], patience_s, waits)
    finally:
        go_on.set()
    demand(stuck.is_back(patience_s), f"{step} does not come back although nothing holds it")
    stuck.outcome()
    beside(creation.abort, patience_s, f"VSS-30: abort after a late {step} hangs")
    _gone(world, f"a {step} that answered after {end}")
    return True


def _failing_array(make: Make) -> str:
    """The array fails in words of its own, before its effect or after it."""
    for step in _MIDSTS:
        for after in (False, True):
            world = make()
            if lever(world, "during_array_call") is None:
                return "the world has no during_array_call"
            creation = _Creation(world).before(step)
            inside = _Inside(world, partial(_throw, ZeroDivisionError("vendor bug")), after=after)
            error = typed(partial(creation.step, step), f"{step} on an array that fails")
            demand(inside.came, "during_array_call did nothing: fix the world")
            demand(error is not None, f"VSS-29: {step} hid that the array failed")
            creation.abort()
            _gone(world, f"a {step} that failed")
    return ""


def _throw(error: BaseException) -> None:
    raise error


def _broken_array(make: Make) -> str:
    """While nothing answers: no support, typed errors, and nothing that is forgotten."""
    world = make()
    broken = lever(world, "broken")
    if broken is None:
        return "the world has no broken"
    creation = _Creation(world).before("post")
    lun = world.luns[0]
    calls: dict[str, Callable[[], object]] = {
        "LocateLuns": lambda: world.far.locate_luns([lun], budget=world.budget()),
        "FillInLunInfo": lambda: world.far.fill_in_lun_info(lun),
        "OnLunEmpty": lambda: world.far.on_lun_empty(lun, budget=world.budget()),
        "OnLunStateChange": lambda: world.far.on_lun_state_change([lun], mask=True),
        "AbortSnapshots": creation.abort,
    }
    with broken():  # type: ignore[attr-defined]  # as `ProviderLevers` says
        errors = {name: typed(call, f"{name} of a broken array") for name, call in calls.items()}
        _never_raises(world)
    error = errors["AbortSnapshots"]
    demand(error is not None, "VSS-30: AbortSnapshots hid that it could not look")
    named = error is not None and bool(error.leftovers)
    demand(named, f"VSS-30: AbortSnapshots does not name what is left: {error}")
    creation.abort()
    _gone(world, "an abort that failed at first")
    return ""


def _never_raises(world: ProviderWorld) -> None:
    try:
        answer = world.provider.are_luns_supported(world.luns[:1], None, context=_CONTEXT)
    except Exception as error:
        raise AssertionError(
            f"VSS 2.4: AreLunsSupported raised {error!r} of a broken array"
        ) from error
    demand(answer is False, "VSS 2.4: AreLunsSupported says yes for a broken array")


def _out_of_time(make: Make) -> str:
    """A budget that is spent, cancelled, or not enough: whatever is said, nothing stays."""
    cancelled = CancelToken()
    cancelled.cancel()
    for step in _MIDSTS:
        for words in ("spent", "cancelled", "short"):
            world = make()
            base = world.budget()
            creation = _Creation(world).before(step)
            budgets = {
                "spent": base.at_most(0.0),
                "cancelled": Budget(clock=base.clock, token=cancelled),
                "short": base.at_most(_SHORT_S),
            }
            if words == "short":
                slow = partial(base.clock.sleep, 2 * _SHORT_S)
                if lever(world, "during_array_call") is None:
                    continue
                _Inside(world, slow, after=True)
            typed(partial(creation.step, step, budget=budgets[words]), f"{step} out of time")
            creation.abort()
            _gone(world, f"a {step} whose budget is {words}")
    return ""


def _other_threads(make: Make, patience_s: float) -> str:
    """One call at a time, but each from a thread of its own."""
    world = make()
    creation = _Creation(world)
    calls: dict[str, Callable[[], object]] = {each: partial(creation.step, each) for each in _STEPS}
    calls["GetTargetLuns"] = lambda: world.provider.get_target_luns(world.luns[:2])
    in_threads(calls, patience_s)
    demand(len(world.targets()) == 2, "VSS-12: a set made from several threads is not whole")
    return ""


def stranger_cases(patience_s: float) -> dict[str, Callable[[Make], str]]:
    """The cases by name.

    Args:
        patience_s: Real seconds until a call counts as one that hangs.
    """
    return {
        "abort inside": partial(_ended_inside, patience_s=patience_s),
        "abort beside": partial(_ended_beside, patience_s=patience_s),
        "failing array": _failing_array,
        "broken array": _broken_array,
        "out of time": _out_of_time,
        "other threads": partial(_other_threads, patience_s=patience_s),
    }
