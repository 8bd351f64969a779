"""`ArrayCopyStore`: parked copies, managed straight on the array that holds them.

After the shadow copy service has broken a set, its copies are plain storage of the array. This is
what the requestor uses from then on: show, hide, delete, look, restore, always by the identity of
the members [design 4]. It works over any `DiskArray` and keeps no state of its own, so every call
can be repeated by another process after a crash.

What it is not: a catalog. It does not know what a copy contains or whether it is any good.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from frskit.errors import ArrayError, FrskitError, StorageNotFound, UnsupportedKind
from frskit.scopes import told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from frskit._typing import TypeIs
    from frskit.clock import Budget
    from frskit.model.ids import CopyKey, HostRef, StorageId
    from frskit.model.storage import ArrayCopy, Presentation
    from frskit.protocols import CopyStore, DiskArray, SupportsRestore

__all__ = ["ArrayCopyStore"]

_T = TypeVar("_T")


class ArrayCopyStore:
    """The copies on one array.

    Args:
        array: Where they are.
    """

    def __init__(self, array: DiskArray) -> None:
        self._array = array

    def present(
        self, storages: Sequence[StorageId], host: HostRef, *, read_only: bool, budget: Budget
    ) -> Sequence[Presentation]:
        """Show the members to a host, all or none; members shown already stay so on a failure.

        Raises:
            StorageNotFound: A member is gone; nothing was shown.
            CopyInvalid: A member holds no data any more.
            PresentationFailed: As `DiskArray.present`.
        """
        self._demand(storages)
        # What was shown before may be somebody else's and stays.
        before = {each.storage for each in self._array.presentations() if each.host == host}
        shown: list[Presentation] = []
        try:
            for storage in storages:
                # Not one `extend`: after an error it must be known what was shown before.
                shown += [self._array.present(storage, host, read_only=read_only, budget=budget)]
        except BaseException as error:
            leftovers = _each(
                reversed([each for each in shown if each.storage not in before]),
                lambda each: self._array.unpresent(each, budget=budget),
                lambda each: f"presentation of {each.storage} to {each.host}",
            )
            if isinstance(error, FrskitError):
                error.leftovers = (*error.leftovers, *(text for text, _ in leftovers))
            raise
        return tuple(shown)

    def _demand(self, storages: Sequence[StorageId]) -> None:
        there = {each.id for each in self._array.storage(storages)}
        missing = [storage for storage in storages if storage not in there]
        if missing:
            raise StorageNotFound(
                f"{self._array.name} has no storage {', '.join(missing)}",
                hint="The copy is not complete any more; use another one.",
                context={"missing": missing},
            )

    def unpresent(self, storages: Sequence[StorageId], *, budget: Budget) -> None:
        """Hide the members from every host. Idempotent; one failure does not stop the others."""
        _raise_first(self._hide(storages, budget))

    def _hide(
        self, storages: Sequence[StorageId], budget: Budget
    ) -> Sequence[tuple[str, FrskitError]]:
        return _each(
            [each for storage in storages for each in self._array.presentations(storage)],
            lambda each: self._array.unpresent(each, budget=budget),
            lambda each: f"presentation of {each.storage} to {each.host}",
        )

    def delete(self, storages: Sequence[StorageId], *, budget: Budget) -> None:
        """Hide and delete the members; unknown ones are fine. Resumable after any failure.

        Raises:
            HasDependents: Something depends on a member; the others are deleted.
            StillPresented: A member could not be hidden.
        """
        failures = [*self._hide(storages, budget)]
        # Tried even where hiding failed: the array decides, and both failures are told.
        failures += _each(
            storages,
            lambda storage: self._array.delete_storage(storage, budget=budget),
            lambda storage: f"storage {storage}",
        )
        _raise_first(failures)

    def states(self, storages: Sequence[StorageId]) -> Sequence[ArrayCopy]:
        """The members that still exist, with their state now, in the order asked for."""
        known = {each.id: each for each in self._array.copies()}
        return tuple(known[storage] for storage in storages if storage in known)

    def find(self, key: CopyKey) -> Sequence[ArrayCopy]:
        """What the array has of a set, looked up by its key."""
        return self._array.copies(key=key)

    def restore(self, target: StorageId, source: StorageId, *, budget: Budget) -> None:
        """Let the array copy a member back into its source.

        Raises:
            UnsupportedKind: The array has no `SupportsRestore`.
            CopyConflict, StillPresented: As `SupportsRestore.restore_storage`.
        """
        array: object = self._array
        if not _restores(array):
            raise UnsupportedKind(
                f"{self._array.name} cannot restore storage from a copy",
                hint="Recover by swapping the LUNs, or copy the files back.",
                context={"target": target, "source": source},
            )
        array.restore_storage(target, source, budget=budget)


def _restores(array: object) -> TypeIs[SupportsRestore]:
    """Whether the array can copy a member back by itself."""
    return hasattr(array, "restore_storage")


def _each(
    objects: Iterable[_T], action: Callable[[_T], None], name: Callable[[_T], str]
) -> list[tuple[str, FrskitError]]:
    """Do something with every object; texts and errors of those that failed.

    Whatever the array raises, the other objects get their turn; what is foreign becomes an
    `ArrayError`.
    """
    failures: list[tuple[str, FrskitError]] = []
    for each in objects:
        try:
            action(each)
        except FrskitError as error:
            failures.append((f"{name(each)}: {error}", error))
        except Exception as error:  # noqa: BLE001 - parties are strangers: law 11
            typed = ArrayError(told(error))
            typed.__cause__ = error
            failures.append((f"{name(each)}: {typed}", typed))
    return failures


def _raise_first(failures: Sequence[tuple[str, FrskitError]]) -> None:
    if failures:
        error = failures[0][1]
        error.leftovers = (*error.leftovers, *(text for text, _ in failures))
        raise error


if TYPE_CHECKING:
    _: type[CopyStore] = ArrayCopyStore
