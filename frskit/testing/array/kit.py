"""The conformance kit for disk arrays: is this a `DiskArray` that frskit can trust?

What it is: `check_disk_array`, a plain function that drives any array through fixed scenarios and
through random histories against a naive model of bytes, and says what it could not check. What it
is not: a test of one kind of array. It knows no blocks, LUNs or rules of its own: legality is the
array's business, and a refusal is fine as long as it changes nothing. What must hold is the
contract of `frskit.protocols.DiskArray`: the content of copies, sets as a whole, idempotency, and
space that comes back.

The caller provides an `ArrayWorld`: the array plus levers to write, read, let time pass and
restart. `ScsiWorld` is a ready-made one for arrays that are also `ScsiTarget`. For arrays that
present directories there are two levers more, see `frskit.testing.array.trees`.

Hypothesis is imported when the kit runs, not when this module is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.errors import FrskitError, MissingDependency
from frskit.testing.array.machine import run_histories
from frskit.testing.array.scenarios import run_scenarios
from frskit.testing.array.script import run_script
from frskit.testing.array.strangers import run_strangers
from frskit.testing.array.trees import run_tree_scenarios
from frskit.testing.report import KitReport
from frskit.testing.strangers import PATIENCE_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.testing.array.world import ArrayWorld

__all__ = ["check_disk_array"]


def check_disk_array(
    make: Callable[[], ArrayWorld],
    *,
    max_examples: int = 100,
    steps: int = 30,
    shrink: bool = True,
    patience_s: float = PATIENCE_S,
) -> KitReport:
    """Check an array against the contract of `DiskArray`.

    Args:
        make: Gives a fresh world at each call.
        max_examples: Random histories to try.
        steps: Longest history.
        shrink: Whether a failing history is made small before it is shown.
        patience_s: Real seconds until a call counts as one that never comes back.

    Returns:
        What was checked, and what was skipped because the array or world does not offer it.

    Raises:
        AssertionError: The array breaks the contract; the message says where, and for a random
            history the notes hold the smallest sequence of calls that shows it.
        MissingDependency: Hypothesis is not installed.
    """
    report = KitReport()
    try:
        run_scenarios(make, report)
        run_tree_scenarios(make, report)
        run_strangers(make, report, patience_s)
        run_script(make, report)
        run_histories(make, report, max_examples=max_examples, steps=steps, shrink=shrink)
    except MissingDependency:
        raise
    except FrskitError as error:
        raise AssertionError(
            f"{type(error).__name__} where the contract has no such error: {error}"
        ) from error
    missing = [part for part in ("copy", "read a copy", "delete a copy") if part in report.skipped]
    if missing:
        raise AssertionError(f"the array was never able to: {', '.join(missing)}\n{report}")
    return report
