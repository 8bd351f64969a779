"""Context managers round the acquire/release pairs of the seams.

Release always runs, in reverse order, on every path; failures of a release are collected and
never hide the error that caused the release (design law 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from attrs import define, field

from frskit.clock import Budget
from frskit.errors import FrskitError

if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Self

    from frskit.model.ids import HostRef, StorageId
    from frskit.model.storage import Presentation
    from frskit.model.volumes import Volume
    from frskit.protocols import CopyStore, Server

__all__ = ["Releases", "attached", "presented", "told", "unswallowed"]

T = TypeVar("T")


def told(error: BaseException) -> str:
    """An error as one line for a leftover; a foreign one with its kind, which says more."""
    return str(error) if isinstance(error, FrskitError) else f"{type(error).__name__}: {error}"


@define
class Releases:
    """What has to be released, newest first; a context manager.

    Unlike `contextlib.ExitStack` every release runs whatever the others raise, and the failures
    are kept as texts in `leftovers` instead of replacing the error that is under way. An interrupt
    (`KeyboardInterrupt`, `SystemExit`) in a release is no failure of that release's party: it is
    noted as well, the other releases run, and then it goes on.

    Attributes:
        leftovers: One text per release that failed.
    """

    leftovers: list[str] = field(factory=list)
    _actions: list[tuple[str, Callable[[], None]]] = field(factory=list, init=False, repr=False)

    def push(self, what: str, action: Callable[[], None]) -> None:
        """Remember how to release `what`."""
        self._actions.append((what, action))

    def keep(self) -> None:
        """Release nothing: everything acquired now belongs to somebody else."""
        self._actions.clear()

    def unwind(self) -> Sequence[str]:
        """Release everything, newest first; return what could not be released.

        Raises:
            BaseException: The first interrupt, once everything else was released.
        """
        interrupt: BaseException | None = None
        while self._actions:
            what, action = self._actions.pop()
            try:
                action()
            except BaseException as error:  # noqa: BLE001 - parties are strangers: law 11
                self.leftovers.append(f"{what}: {told(error)}")
                if interrupt is None and not isinstance(error, Exception):
                    interrupt = error
        if interrupt is not None:
            raise interrupt
        return tuple(self.leftovers)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            self.unwind()
        finally:
            if isinstance(error, FrskitError):
                error.leftovers = (*error.leftovers, *self.leftovers)
        if error is None and self.leftovers:
            failed = FrskitError(
                "not everything could be released: " + "; ".join(self.leftovers),
                hint="Release the named objects by hand or with the doctor.",
            )
            failed.leftovers = tuple(self.leftovers)
            raise failed


@contextmanager
def unswallowed(context: AbstractContextManager[T]) -> Iterator[T]:
    """A stranger's context, in which what its block raises always goes on.

    An exit that says "handled" calls nothing off, and one that fails as well is a note.
    """
    entered = context.__enter__()
    try:
        yield entered
    except BaseException as error:
        try:
            context.__exit__(type(error), error, error.__traceback__)
        except Exception as trouble:  # noqa: BLE001 - parties are strangers: law 11
            error.add_note(f"while it was ended: {told(trouble)}")
        raise
    context.__exit__(None, None, None)


@contextmanager
def presented(
    store: CopyStore,
    storages: Sequence[StorageId],
    host: HostRef,
    *,
    read_only: bool,
    budget: Budget,
) -> Iterator[Sequence[Presentation]]:
    """The members of a copy, shown to a host for the length of the block.

    They are hidden again also if showing them fails: it may have failed after it took effect; and
    with time of their own, for the budget may be what ends the block.
    """
    with Releases() as releases:
        releases.push(
            "presentation of " + ", ".join(storages),
            lambda: store.unpresent(storages, budget=Budget.of(budget.clock)),
        )
        yield store.present(storages, [host], read_only=read_only, budget=budget)


@contextmanager
def attached(
    server: Server, at: dict[StorageId, str], *, read_only: bool, budget: Budget
) -> Iterator[Sequence[Volume]]:
    """The volumes of some disks, mounted for the length of the block, or for none of it."""
    with Releases() as releases:
        releases.push(
            "mount of " + ", ".join(at.values()),
            lambda: server.detach(list(at), budget=Budget.of(budget.clock)),
        )
        yield server.attach(at, read_only=read_only, budget=budget)
