"""Random histories of the array kit, drawn by Hypothesis from the steps of `ArrayHistory`.

Hypothesis is imported when histories are run, not when this module is. What it is not: an entry
point; see `frskit.testing.array.kit.check_disk_array`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from frskit._typing import override
from frskit.errors import MissingDependency
from frskit.testing.array.machine import ArrayHistory

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.testing.array.world import ArrayWorld
    from frskit.testing.report import KitReport

__all__ = ["run_histories"]

# What some history must have come to; the rest is reported as skipped.
_PARTS: Final = (
    "copy",
    "copy after refusal",
    "repeat a commit",
    "read a copy",
    "write a copy",
    "delete a copy",
    "normalization",
    "restore",
    "restart",
    "space comes back",
)


def run_histories(
    make: Callable[[], ArrayWorld],
    report: KitReport,
    *,
    max_examples: int,
    steps: int,
    shrink: bool,
) -> None:
    """Run random histories; what never happened is noted as skipped.

    Raises:
        AssertionError: A history broke the contract.
        MissingDependency: Hypothesis is not installed.
    """
    try:
        from hypothesis import HealthCheck, Phase, settings
        from hypothesis.stateful import run_state_machine_as_test
    except ImportError as error:
        raise MissingDependency(
            "the conformance kits need Hypothesis: install frskit[testing]"
        ) from error
    # The same histories every time (derandomize), so that a failure can be shown again.
    phases = (Phase.generate, Phase.shrink) if shrink else (Phase.generate,)
    run_state_machine_as_test(
        _machine(make, report),
        settings=settings(
            max_examples=max_examples,
            stateful_step_count=steps,
            deadline=None,
            derandomize=True,
            database=None,
            phases=phases,
            report_multiple_bugs=False,
            suppress_health_check=[
                HealthCheck.too_slow,
                HealthCheck.data_too_large,
                HealthCheck.filter_too_much,
            ],
        ),
    )
    for part in _PARTS:
        report.skip(part, "no history came there")


def _machine(  # noqa: C901  # a class body of rules, each of one line
    make: Callable[[], ArrayWorld], report: KitReport
) -> type[Any]:
    """The state machine class: `ArrayHistory` behind Hypothesis' decorators."""
    from hypothesis import strategies as st
    from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

    pick = st.integers(0, 15)
    offset = st.integers(0, 1 << 20)
    data = st.binary(min_size=1, max_size=64)
    members = st.lists(pick, min_size=1, max_size=4)
    with_copies = precondition(lambda machine: bool(machine.history.copies))
    with_staged = precondition(lambda machine: bool(machine.history.staged))

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.world = make()
            self.history = ArrayHistory(self.world, report)

        @rule(pick=pick, offset=offset, data=data)
        def write(self, pick: int, offset: int, data: bytes) -> None:
            self.history.write(pick, offset, data)

        @rule(kind=pick, members=members)
        def stage(self, kind: int, members: list[int]) -> None:
            self.history.stage(kind, members)

        @rule(kind=pick, members=members)
        def copy(self, kind: int, members: list[int]) -> None:
            self.history.stage(kind, members)
            self.history.commit(-1)

        @with_staged
        @rule(pick=pick)
        def commit(self, pick: int) -> None:
            self.history.commit(pick)

        @rule(pick=pick)
        def discard(self, pick: int) -> None:
            self.history.discard(pick)

        @with_copies
        @rule(pick=pick)
        def commit_again(self, pick: int) -> None:
            self.history.commit_again(pick)

        @with_copies
        @rule(pick=pick)
        def read_copy(self, pick: int) -> None:
            self.history.read_copy(pick)

        @with_copies
        @rule(pick=pick, offset=offset, data=data)
        def write_copy(self, pick: int, offset: int, data: bytes) -> None:
            self.history.write_copy(pick, offset, data)

        @with_copies
        @rule(pick=pick)
        def delete_copy(self, pick: int) -> None:
            self.history.delete_copy(pick)

        @rule(seconds=st.sampled_from([0.0, 0.001, 1.0, 60.0, 1000.0]))
        def advance(self, seconds: float) -> None:
            self.history.advance(seconds)

        @with_copies
        @rule()
        def finish(self) -> None:
            self.history.finish()

        @rule()
        def restart(self) -> None:
            self.history.restart()

        @with_copies
        @rule(pick=pick)
        def restore(self, pick: int) -> None:
            self.history.restore(pick)

        @invariant()
        def lists_agree(self) -> None:
            self.history.check()

        @override
        def teardown(self) -> None:
            try:
                self.history.end()
            finally:
                self.world.close()

    return Machine
