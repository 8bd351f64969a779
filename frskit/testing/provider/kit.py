"""The conformance kit for hardware providers: does it keep the contract of [VSS 2.4]?

What it is: `check_provider`, a plain function that drives any `HardwareProvider` through fixed
scenarios and through random orders of calls, compared with the state table. What it is not: a test
of one kind of array; it looks at bytes and at which targets exist, through levers of the caller.

A rule that is broken is an `AssertionError` that says which. Hypothesis is imported when the kit
runs, not when this module is.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

from frskit.errors import FrskitError, MissingDependency, ProviderVeto
from frskit.model.ids import SetId, ShadowId
from frskit.model.shadows import LunInformation
from frskit.testing.provider.strangers import stranger_cases
from frskit.testing.provider.world import ProviderWorld
from frskit.testing.report import KitReport
from frskit.testing.strangers import PATIENCE_S
from frskit.vss import PROVIDER_TABLE, ProviderAction, ProviderCall, ProviderState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["ProviderWorld", "check_provider"]

# Two, so that a call can belong to the wrong one.
_SETS = tuple(SetId(f"{digit * 8}-1111-4111-8111-111111111111") for digit in "12")
_CONTEXT = 0x29
"""Persistent, transportable, with writers [VSS 4.4]: what frskit asks for."""

_STEPS = ("begin", "end", "pre", "commit", "post")


def check_provider(
    make: Callable[[], ProviderWorld],
    *,
    max_examples: int = 60,
    steps: int = 12,
    patience_s: float = PATIENCE_S,
) -> KitReport:
    """Check a hardware provider.

    Args:
        make: Makes a fresh world, which may offer levers of `frskit.testing.ProviderLevers` too.
        max_examples: How many random orders of calls are tried.
        steps: Most calls in one of them.
        patience_s: Real seconds until a call counts as one that never comes back.

    Returns:
        What was checked, and what was skipped for lack of a lever.

    Raises:
        AssertionError: A rule is broken; the text names it.
        MissingDependency: The extra ``testing`` is not installed.
    """
    report = KitReport()
    for part, scenario in _SCENARIOS.items():
        with _unexpected(part):
            if scenario(make()) is False:
                report.skip(part, "the world has no lever for it")
            else:
                report.ran(part)
    for part, case in stranger_cases(patience_s).items():
        with _unexpected(part):
            if skipped := case(make):
                report.skip(part, skipped)
            else:
                report.ran(part)
    with _unexpected("random orders"):
        _random_orders(make, max_examples, steps)
    report.ran("random orders")
    return report


@contextmanager
def _unexpected(part: str) -> Iterator[None]:
    """An error where none belongs is a broken rule like any other."""
    try:
        yield
    except (AssertionError, MissingDependency):
        raise
    except Exception as error:
        raise AssertionError(f"{part}: a legal call raised {error!r}") from error


def _must(fine: object, rule: str, what: str) -> None:
    if not fine:
        raise AssertionError(f"{rule}: {what}")


def _refused(call: Callable[[], object], rule: str, what: str) -> None:
    """The call must be a veto."""
    try:
        call()
    except ProviderVeto:
        return
    except Exception as error:
        raise AssertionError(f"{rule}: {what} raised {error!r}, not a veto") from error
    raise AssertionError(f"{rule}: {what} was accepted")


def _begin(world: ProviderWorld, set_id: SetId, luns: Sequence[LunInformation]) -> None:
    for number, lun in enumerate(luns):
        shadow = ShadowId(f"{number:08d}-2222-4222-8222-222222222222")
        world.provider.begin_prepare_snapshot(set_id, shadow, [lun], None, context=_CONTEXT)


def _create(
    world: ProviderWorld,
    set_id: SetId,
    luns: Sequence[LunInformation] | None = None,
    upto: str = "post",
) -> None:
    """A creation, up to and including one step."""
    chosen = world.luns[:2] if luns is None else luns
    provider = world.provider
    _begin(world, set_id, chosen)
    if upto == "begin":
        return
    provider.end_prepare_snapshots(set_id, budget=world.budget())
    if upto == "end":
        return
    provider.pre_commit_snapshots(set_id)
    if upto == "pre":
        return
    provider.commit_snapshots(set_id, budget=world.budget())
    if upto == "post":
        provider.post_commit_snapshots(set_id, len(chosen))


def _support(world: ProviderWorld) -> None:
    provider = world.provider
    own, foreign = list(world.luns), world.foreign
    for luns, wanted in ((own[:1], True), ([foreign], False), ([own[0], foreign], False)):
        try:
            answer = provider.are_luns_supported(luns, None, context=_CONTEXT)
        except Exception as error:
            raise AssertionError(f"AreLunsSupported raised {error!r} instead of no") from error
        _must(answer is wanted, "VSS 2.4", f"AreLunsSupported must be {wanted} for {luns}")
    _must(world.far.fill_in_lun_info(foreign) is None, "VSS 2.4", "a foreign LUN was claimed")


def _targets(world: ProviderWorld) -> None:
    luns = list(world.luns[:2])
    for number, lun in enumerate(luns):
        world.write(lun.storage, b"old%d" % number)
    _create(world, _SETS[0], luns, upto="pre")
    for number, lun in enumerate(luns):
        world.write(lun.storage, b"now%d" % number)
    world.provider.commit_snapshots(_SETS[0], budget=world.budget())
    for lun in luns:
        world.write(lun.storage, b"late")
    world.provider.post_commit_snapshots(_SETS[0], len(luns))
    # Out of order and one of them twice: the answer has to follow the question.
    asked = [luns[1], luns[0], luns[1]]
    targets = world.provider.get_target_luns(asked)
    _must(len(targets) == len(asked), "VSS-12", "as many targets as originals were asked for")
    read = [world.read(each.storage) for each in targets]
    _must(
        read == [b"now1", b"now0", b"now1"],
        "VSS-12",
        f"targets hold {read}: not the originals, in order, at the instant of the commit",
    )
    _must(
        all((each.version, each.signature) == (1, "") for each in targets),
        "VSS 1.2",
        "a target has version 1 and no signature",
    )
    originals = {each.storage for each in world.luns}
    _must(not originals & {each.storage for each in targets}, "VSS-12", "a target is an original")
    _refused(
        lambda: world.provider.get_target_luns([world.foreign]), "VSS-12", "an unknown original"
    )


def _same_lun_twice(world: ProviderWorld) -> None:
    first, second = world.luns[:2]
    before = set(world.targets())
    _create(world, _SETS[0], [first, first, second])
    made = set(world.targets()) - before
    _must(len(made) == 2, "VSS-34", f"two originals gave {len(made)} targets")


def _new_set(world: ProviderWorld) -> None:
    for upto in _STEPS[:-1]:
        before = set(world.targets())
        _create(world, _SETS[0], upto=upto)
        _create(world, _SETS[1], world.luns[:1])
        made = set(world.targets()) - before
        _must(len(made) == 1, "VSS-33", f"after a new set {len(made)} targets exist instead of one")
        for each in made:
            world.provider.on_lun_empty(LunInformation(storage=each), budget=world.budget())


def _abort(world: ProviderWorld) -> None:
    for upto in _STEPS[:-1]:
        _create(world, _SETS[0], upto=upto)
        world.provider.abort_snapshots(_SETS[0])
        world.provider.abort_snapshots(_SETS[0])
        _must(not world.targets(), "VSS-30", f"a target is left after Abort at step {upto}")
    _create(world, _SETS[0])
    world.provider.abort_snapshots(_SETS[0])
    _must(len(world.targets()) == 2, "VSS-32", "Abort harmed a created set")


def _out_of_order(world: ProviderWorld) -> None:
    calls: dict[str, Callable[[SetId], None]] = {
        "end": lambda key: world.provider.end_prepare_snapshots(key, budget=world.budget()),
        "pre": world.provider.pre_commit_snapshots,
        "commit": lambda key: world.provider.commit_snapshots(key, budget=world.budget()),
        "post": lambda key: world.provider.post_commit_snapshots(key, 2),
    }
    for place, upto in enumerate(_STEPS[:-1]):
        for name, call in calls.items():
            for set_id in _SETS:
                # The one call that is in order.
                if set_id == _SETS[0] and name == _STEPS[place + 1]:
                    continue
                _create(world, _SETS[0], upto=upto)
                _refused(partial(call, set_id), "VSS-35", f"{name} after {upto}")
                _must(not world.targets(), "VSS-35", "a target is left after a veto")


def _failed_commit(world: ProviderWorld) -> bool:
    _create(world, _SETS[0], upto="pre")
    if not world.break_commit():
        return False
    try:
        world.provider.commit_snapshots(_SETS[0], budget=world.budget())
    except FrskitError:
        pass
    else:
        raise AssertionError("VSS-30: a commit that failed on the array was reported as done")
    world.provider.abort_snapshots(_SETS[0])
    _must(not world.targets(), "VSS-30", "a target is left after a failed commit and Abort")
    _create(world, _SETS[1])
    return True


def _import(world: ProviderWorld) -> None:
    _create(world, _SETS[0])
    targets = world.provider.get_target_luns(world.luns[:2])
    _must(
        all(not world.shown(each.storage) for each in targets),
        "VSS-14",
        "a target is visible before LocateLuns",
    )
    world.far.locate_luns([*targets, targets[0]], budget=world.budget())
    for each in targets:
        _must(world.shown(each.storage) == "ro", "VSS-51", "a target is not shown read-only")
        known = world.far.fill_in_lun_info(LunInformation(storage=each.storage))
        _must(
            known is not None and known.storage == each.storage, "VSS-13", "an own LUN is unknown"
        )
    _refused(
        lambda: world.far.locate_luns([world.foreign], budget=world.budget()),
        "VSS 2.4",
        "LocateLuns of a foreign LUN",
    )


def _end_of_life(world: ProviderWorld) -> None:
    _create(world, _SETS[0])
    one, two = world.provider.get_target_luns(world.luns[:2])
    world.far.locate_luns([one, two], budget=world.budget())
    world.far.on_lun_state_change([one], mask=False)
    _must(world.shown(one.storage), "VSS-52", "a break without mask hid a LUN")
    world.far.on_lun_state_change([one], mask=True)
    _must(not world.shown(one.storage), "VSS 1.3", "a mask did not hide a LUN")
    _must(one.storage in world.targets(), "VSS-54", "a mask deleted a LUN")
    world.far.on_lun_empty(two, budget=world.budget())
    _must(two.storage not in world.targets(), "VSS-54", "OnLunEmpty left the LUN")
    _must(one.storage in world.targets(), "VSS-54", "OnLunEmpty deleted another LUN")


def _unload(world: ProviderWorld) -> None:
    for upto in _STEPS[:-1]:
        _create(world, _SETS[0], upto=upto)
        world.provider.on_unload()
        world.provider.on_unload()
        _must(not world.targets(), "VSS 2.4", f"a target is left after OnUnload at step {upto}")
    _create(world, _SETS[0])
    world.provider.on_unload()
    _must(len(world.targets()) == 2, "VSS-54", "OnUnload deleted a created target")


_SCENARIOS: dict[str, Callable[[ProviderWorld], bool | None]] = {
    "support": _support,
    "targets": _targets,
    "same LUN twice": _same_lun_twice,
    "new set": _new_set,
    "abort": _abort,
    "out of order": _out_of_order,
    "failed commit": _failed_commit,
    "import": _import,
    "end of life": _end_of_life,
    "unload": _unload,
}


def _random_orders(make: Callable[[], ProviderWorld], max_examples: int, steps: int) -> None:
    try:
        from hypothesis import HealthCheck, given, settings
        from hypothesis import strategies as st
    except ImportError as error:
        raise MissingDependency("the kits need Hypothesis: install frskit[testing]") from error
    names = ("begin", "end", "pre", "commit", "post", "abort", "unload")
    orders = st.lists(
        st.tuples(st.sampled_from(names), st.sampled_from(_SETS)), min_size=1, max_size=steps
    )

    @settings(
        max_examples=max_examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(orders)
    def run(order: list[tuple[str, SetId]]) -> None:
        _follow(make(), order)

    run()


_CALLS = {
    "end": ProviderCall.END_PREPARE,
    "pre": ProviderCall.PRE_COMMIT,
    "commit": ProviderCall.COMMIT,
    "post": ProviderCall.POST_COMMIT,
    "abort": ProviderCall.ABORT,
    "unload": ProviderCall.UNLOAD,
}


def _follow(world: ProviderWorld, order: Sequence[tuple[str, SetId]]) -> None:
    """Play an order of calls beside the table; only created sets may have targets at the end."""
    state, current, kept = ProviderState.UNKNOWN, None, 0
    for name, set_id in order:
        same = set_id == current
        if name == "begin":
            call = ProviderCall.BEGIN_SAME if same else ProviderCall.BEGIN_OTHER
        else:
            call = _CALLS[name]
        cell = PROVIDER_TABLE[call, state]
        wrong = not same and name in ("end", "pre", "commit", "post")
        veto = wrong or cell.action is ProviderAction.VETO
        play = _player(world, name, set_id)
        if veto:
            _refused(play, "VSS-35", f"{name} in state {state.value}")
            # A created set is out of reach of calls that come out of order.
            if state is not ProviderState.CREATED:
                state = ProviderState.ABORTED
            continue
        play()
        # It speaks of another set and is ignored.
        if name == "abort" and not same:
            continue
        current = set_id if name == "begin" else current
        state = cell.after
        kept += name == "post"
    world.provider.on_unload()
    _must(
        len(world.targets()) == kept,
        "VSS-30",
        f"{kept} targets were created, {len(world.targets())} exist",
    )


def _player(world: ProviderWorld, name: str, set_id: SetId) -> Callable[[], None]:
    provider = world.provider
    calls: dict[str, Callable[[], None]] = {
        "begin": lambda: _begin(world, set_id, world.luns[:1]),
        "end": lambda: provider.end_prepare_snapshots(set_id, budget=world.budget()),
        "pre": lambda: provider.pre_commit_snapshots(set_id),
        "commit": lambda: provider.commit_snapshots(set_id, budget=world.budget()),
        "post": lambda: provider.post_commit_snapshots(set_id, 1),
        "abort": lambda: provider.abort_snapshots(set_id),
        "unload": provider.on_unload,
    }
    return calls[name]
