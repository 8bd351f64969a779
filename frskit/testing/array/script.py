"""One fixed history of the array kit: every step at least once, whatever chance would choose.

What it is: the steps of `ArrayHistory` in an order written here. What it is not: a search; that is
`frskit.testing.array.machine`. What random histories reach depends on what the process has
imported, because Hypothesis takes constants from there; what the kit says that it checked must not.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from frskit.testing.array.history import ArrayHistory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from frskit.testing.array.world import ArrayWorld
    from frskit.testing.report import KitReport

__all__ = ["run_script"]


def run_script(make: Callable[[], ArrayWorld], report: KitReport) -> None:
    """Take the steps on a fresh world, and look at everything after each.

    Raises:
        AssertionError: The array broke the contract.
    """
    world = make()
    try:
        history = ArrayHistory(world, report)
        for step in _steps(history):
            step()
            history.check()
        history.end()
    finally:
        world.close()


def _steps(history: ArrayHistory) -> Iterator[Callable[[], None]]:
    """The steps, to be taken one after the other; the copies there are count when they are asked."""
    for kind in range(len(history.kinds)):
        yield partial(history.write, 0, 0, b"the instant")
        yield partial(history.copy, kind, [0])
        yield partial(history.write, 0, 0, b"later......")
        yield partial(history.commit_again, 0)
        yield partial(history.read_copy, 0)
        yield history.finish
        yield partial(history.write_copy, 0, 64, b"a copy's own")
        yield history.restart
        yield partial(history.restore, 0)
        yield history.finish
        # Two sets of one source: where the second has to wait, its commit is refused.
        yield partial(history.stage, kind, [0])
        yield partial(history.stage, kind, [0])
        yield partial(history.commit, 0)
        yield partial(history.commit, 0)
        yield partial(history.stage, kind, [0, 1])
        yield partial(history.discard, 0)
        yield partial(history.advance, 1000.0)
        yield history.finish
        for _ in range(len(history.copies)):
            yield partial(history.delete_copy, 0)
