"""`check_requestor`: does a `Requestor` keep its contract?

Scenarios against a small world that the caller provides: plan, copy, list, delete, and what must
hold when a copy does not pass its check. Every scenario gets a fresh world. The kit knows nothing
of how copies are made; it looks at the records, and at production's logs through the world.
"""

from __future__ import annotations

from collections.abc import Callable

from frskit.errors import CopyNotFound, FrskitError, IntegrityError, NotFound
from frskit.model.components import BackupType
from frskit.model.copies import Copy, Verdict
from frskit.testing.report import KitReport, demand
from frskit.testing.requestor.strangers import stranger_cases
from frskit.testing.requestor.world import RequestorWorld
from frskit.testing.strangers import PATIENCE_S

__all__ = ["RequestorWorld", "check_requestor"]


def check_requestor(
    make: Callable[[], RequestorWorld],
    *,
    patience_s: float = PATIENCE_S,
    max_strikes: int | None = None,
) -> KitReport:
    """Check a requestor against the contract of `Requestor`.

    Args:
        make: Gives a fresh world at each call, which may offer levers of
            `frskit.testing.RequestorLevers` as well.
        patience_s: Real seconds until a look counts as one that never comes back.
        max_strikes: About how many calls of parties are made to fail in each of two ways; by
            default all that a copy needs, before and after their effect.

    Returns:
        What was checked, and what was skipped for lack of a lever.

    Raises:
        AssertionError: The requestor breaks the contract; the message says where.
    """
    report = KitReport()
    scenarios = {each.__name__.strip("_").replace("_", " "): each for each in _SCENARIOS}
    for part, scenario in {**scenarios, **stranger_cases(patience_s, max_strikes)}.items():
        world = make()
        try:
            skipped = scenario(world)
        except FrskitError as error:
            raise AssertionError(
                f"{type(error).__name__} where the contract has no such error: {error}"
            ) from error
        finally:
            world.close()
        if skipped:
            report.skip(part, skipped)
        else:
            report.ran(part)
    return report


def _full(world: RequestorWorld) -> Copy:
    world.work()
    return world.requestor.create_copy(world.server, [world.component], backup_type=BackupType.FULL)


def _listed(world: RequestorWorld) -> list[str]:
    found = world.requestor.copies(server=world.server, component=world.component)
    return [copy.id for copy in found]


def _planning_changes_nothing(world: RequestorWorld) -> None:
    world.work()
    before = dict(world.logs())
    plan = world.requestor.plan_copy(world.server, [world.component], backup_type=BackupType.FULL)
    demand(bool(plan.storages), "a plan names no storage")
    demand(not _listed(world), "planning made a copy [FRS-32]")
    demand(dict(world.logs()) == before, "planning changed production's logs")


def _copies_are_verified_and_listed(world: RequestorWorld) -> None:
    made = [_full(world), _full(world)]
    for copy in made:
        demand(copy.verdict is Verdict.VERIFIED, "a good copy is not VERIFIED")
        demand(copy.recoverable, "a good copy cannot be recovered from")
    demand(made[0].id != made[1].id, "two copies have one id")
    demand(_listed(world) == [made[1].id, made[0].id], "copies are not listed newest first")
    demand(not world.requestor.copies(server=world.server, component="no such"), "the filter leaks")


def _running_copies_can_be_waited_for(world: RequestorWorld) -> None:
    world.work()
    operation = world.requestor.start_copy(
        world.server, [world.component], backup_type=BackupType.FULL
    )
    # Seconds of real time, which only a requestor that hangs will use up (ours).
    done = operation.wait(120)
    demand(done.id == operation.id == operation.status().id, "an operation changes its id")
    operation.cancel()
    demand(done.id in _listed(world), "a finished copy is not listed, or a late cancel removed it")


def _unknown_names_are_told(world: RequestorWorld) -> None:
    for server, component in (("no such server", world.component), (world.server, "no such")):
        try:
            world.requestor.create_copy(server, [component], backup_type=BackupType.FULL)
        except NotFound:
            continue
        raise AssertionError(f"{component!r} on {server!r} was copied")
    demand(not any(copy.recoverable for copy in world.requestor.copies()), "a copy of nothing")


def _a_failed_check_costs_nothing_else(world: RequestorWorld) -> None:
    older = _full(world)
    world.work()
    before = dict(world.logs())
    with world.damaged():
        try:
            world.requestor.create_copy(
                world.server, [world.component], backup_type=BackupType.FULL
            )
        except IntegrityError as error:
            demand(isinstance(error.copy, Copy), "the error does not carry the copy's record")
            demand(bool(error.stage), "the error does not name the stage")
        else:
            raise AssertionError("a damaged copy passed")
    after = world.logs()
    lost = [name for name, data in before.items() if after.get(name) != data]
    demand(not lost, f"logs were touched after a failed check: {', '.join(lost)} [FRS-09]")
    good = [copy.id for copy in world.requestor.copies() if copy.recoverable]
    demand(good == [older.id], "the older copy was touched, or the failed one is offered")


def _a_copy_backup_truncates_nothing(world: RequestorWorld) -> None:
    world.work()
    before = dict(world.logs())
    world.requestor.create_copy(world.server, [world.component], backup_type=BackupType.COPY)
    after = world.logs()
    demand(all(after.get(name) == data for name, data in before.items()), "a log is gone [EXC-34]")


def _deleting_is_final_and_told(world: RequestorWorld) -> None:
    kept, doomed = _full(world), _full(world)
    world.requestor.delete_copy(doomed.id)
    demand(_listed(world) == [kept.id], "deleting removed the wrong copies from the list")
    demand(world.requestor.copies()[0].recoverable, "deleting one copy spoiled another")
    try:
        world.requestor.delete_copy(doomed.id)
    except CopyNotFound:
        return
    raise AssertionError("deleting a deleted copy is no error [R-24]")


_SCENARIOS: tuple[Callable[[RequestorWorld], None], ...] = (
    _planning_changes_nothing,
    _copies_are_verified_and_listed,
    _running_copies_can_be_waited_for,
    _unknown_names_are_told,
    _a_failed_check_costs_nothing_else,
    _a_copy_backup_truncates_nothing,
    _deleting_is_final_and_told,
)
