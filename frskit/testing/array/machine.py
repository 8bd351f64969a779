"""Random histories of the array kit: the state machine that chooses the steps, and its run.

What it is: `frskit.testing.array.history.ArrayHistory` behind the decorators of Hypothesis, which
is loaded when histories are run. What it is not: an entry point; see
`frskit.testing.array.kit.check_disk_array`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from frskit._typing import override
from frskit.errors import MissingDependency
from frskit.testing.array.history import ArrayHistory

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.testing.array.world import ArrayWorld
    from frskit.testing.report import KitReport

__all__ = ["run_histories"]

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


@frozen
class _Step:
    """A rule of the machine: which step, with what, and when.

    Attributes:
        name: Method of `ArrayHistory`.
        arguments: Names of the step's arguments, and of the strategies that draw them.
        when: Name of what the history has to have; empty = always.
    """

    name: str
    arguments: tuple[str, ...] = ()
    when: str = ""


_STEPS: Final = (
    _Step("write", ("pick", "offset", "data")),
    _Step("stage", ("kind", "members")),
    _Step("copy", ("kind", "members")),
    _Step("commit", ("pick",), when="staged"),
    _Step("discard", ("pick",)),
    _Step("commit_again", ("pick",), when="copies"),
    _Step("read_copy", ("pick",), when="copies"),
    _Step("write_copy", ("pick", "offset", "data"), when="copies"),
    _Step("delete_copy", ("pick",), when="copies"),
    _Step("advance", ("seconds",)),
    _Step("finish", when="copies"),
    _Step("restart"),
    _Step("restore", ("pick",), when="copies"),
)


def _machine(make: Callable[[], ArrayWorld], report: KitReport) -> type[Any]:
    """The state machine class: `ArrayHistory` behind Hypothesis' decorators."""
    from hypothesis.stateful import RuleBasedStateMachine, invariant

    class Machine(RuleBasedStateMachine):
        def __init__(self) -> None:
            super().__init__()
            self.world = make()
            self.history = ArrayHistory(self.world, report)

        @invariant()
        def lists_agree(self) -> None:
            self.history.check()

        @override
        def teardown(self) -> None:
            try:
                self.history.end()
            finally:
                self.world.close()

    # Hypothesis looks at the class when its first machine is made, so rules may come afterwards.
    for step in _STEPS:
        setattr(Machine, step.name, _rule(step))
    return Machine


def _rule(step: _Step) -> object:
    """One step as Hypothesis takes it."""
    from hypothesis import strategies as st
    from hypothesis.stateful import precondition, rule

    typed_rule: Any = rule
    pick = st.integers(0, 15)
    drawn: dict[str, Any] = {
        "pick": pick,
        "kind": pick,
        "members": st.lists(pick, min_size=1, max_size=4),
        "offset": st.integers(0, 1 << 20),
        "data": st.binary(min_size=1, max_size=64),
        "seconds": st.sampled_from([0.0, 0.001, 1.0, 60.0, 1000.0]),
    }

    def take(self: Any, **arguments: Any) -> None:
        getattr(self.history, step.name)(**arguments)

    take.__name__ = step.name
    made: Any = typed_rule(**{name: drawn[name] for name in step.arguments})(take)
    if step.when:
        made = precondition(lambda machine: bool(getattr(machine.history, step.when)))(made)
    return made
