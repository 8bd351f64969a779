"""`ArrayCopyStore`: parked copies, managed straight on the array that holds them.

After the shadow copy service has broken a set, its copies are plain storage of the array. This is
what the requestor uses from then on: show, hide, delete, look, always by the ids of the members
[design 4]. It works over any `DiskArray` and keeps no state of its own, so every call
can be repeated by another process after a crash.

What it is not: a catalog. It does not know what a copy contains or whether it is any good.
"""

from __future__ import annotations

import warnings
from itertools import count
from typing import TYPE_CHECKING, Final, TypeVar

from frskit.clock import Budget
from frskit.errors import (
    ArrayError,
    FrskitError,
    PresentationFailed,
    StorageNotFound,
    UnsupportedKind,
    UsageError,
)
from frskit.model.ids import HostRef
from frskit.model.storage import ScsiLun
from frskit.scopes import told

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from frskit._typing import TypeIs
    from frskit.model.ids import CopyKey, StorageId
    from frskit.model.storage import ArrayCapabilities, ArrayCopy, Presentation
    from frskit.protocols import CopyStore, DiskArray, SupportsRestore

__all__ = ["ArrayCopyStore", "can_restore"]

_T = TypeVar("_T")
# How often a number that another process took first is replaced by the next one (ours).
_RACES: Final = 5


class ArrayCopyStore:
    """The copies on one array.

    It offers ``restore_storage`` (`SupportsRestore`) if and only if its array does; ask
    `can_restore`.

    Args:
        array: Where they are.
    """

    def __init__(self, array: DiskArray) -> None:
        self._array = array

    if not TYPE_CHECKING:
        # Not a method of the class: callers ask whether it is there, as they ask an array.
        def __getattr__(self, name: str) -> object:
            if name != "restore_storage":
                raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
            return self._array.restore_storage

    @property
    def capabilities(self) -> ArrayCapabilities:
        """What the array under it can do, for plans."""
        return self._array.capabilities

    def present(
        self,
        storages: Sequence[StorageId],
        hosts: Sequence[HostRef],
        *,
        read_only: bool,
        budget: Budget,
    ) -> Sequence[Presentation]:
        """Show the members to hosts, all or none; members shown already stay so on a failure.

        Several hosts see a member under one number, the lowest that is free on all of them.

        Raises:
            StorageNotFound: A member is gone; nothing was shown.
            CopyInvalid: A member holds no data any more.
            PresentationFailed: As `DiskArray.present`, or the hosts have no number in common.
            UsageError: There is no host.
        """
        hosts = _hosts(hosts)
        self._demand(storages, budget)
        # What was shown before may be somebody else's and stays.
        before = {(each.storage, each.host) for each in self._array.presentations(budget=budget)}
        shown: list[Presentation] = []
        try:
            for storage in storages:
                self._show(storage, hosts, shown, read_only=read_only, budget=budget)
        except BaseException as error:
            leftovers = _each(
                reversed([each for each in shown if (each.storage, each.host) not in before]),
                lambda each: self._array.unpresent(each, budget=budget),
                lambda each: f"presentation of {each.storage} to {each.host}",
            )
            if isinstance(error, FrskitError):
                error.leftovers = (*error.leftovers, *(text for text, _ in leftovers))
            raise
        return tuple(shown)

    def _show(
        self,
        storage: StorageId,
        hosts: Sequence[HostRef],
        shown: list[Presentation],
        *,
        read_only: bool,
        budget: Budget,
    ) -> None:
        """Show one member to every host; `shown` grows with each call, so that it can be undone."""
        taken: set[int] = set()
        while True:
            number, chosen = self._number_for(storage, hosts, taken, budget)
            try:
                for host in hosts:
                    made = self._array.present(
                        storage, host, read_only=read_only, number=number, budget=budget
                    )
                    shown.append(made)
                break
            except PresentationFailed:
                if number is None or not chosen or len(taken) >= _RACES:
                    raise
                if not self._is_taken(storage, hosts, number, budget):
                    raise
                taken.add(number)
                self._take_back(storage, hosts, shown, budget)
        if len({_number(each) for each in shown[-len(hosts) :]}) > 1:
            raise PresentationFailed(
                f"{storage} would have different numbers on {', '.join(hosts)}",
                hint="Nodes of a cluster need one number; free it on all of them.",
                context={"storage": storage, "hosts": list(hosts)},
            )

    def _number_for(
        self, storage: StorageId, hosts: Sequence[HostRef], taken: set[int], budget: Budget
    ) -> tuple[int | None, bool]:
        """The number of the storage on one of the hosts, else the lowest that is free on all.

        Args:
            storage: Of which.
            hosts: Who shall see it.
            taken: Numbers that somebody else took first.
            budget: Deadline and cancellation.

        Returns:
            The number, None to leave it to the array; and whether it was chosen here.
        """
        if len(hosts) < 2 or not self._array.capabilities.numbers:
            return None, False
        luns = self._luns(hosts, budget)
        known = next((number for owner, number in luns if owner == storage), None)
        if known is not None:
            return known, False
        used = taken | {number for _, number in luns}
        return next(each for each in count(1) if each not in used), True

    def _luns(self, hosts: Sequence[HostRef], budget: Budget) -> list[tuple[StorageId, int]]:
        """Who has which number on these hosts."""
        return [
            (each.storage, number)
            for each in self._array.presentations(budget=budget)
            if each.host in hosts and (number := _number(each)) is not None
        ]

    def _is_taken(
        self, storage: StorageId, hosts: Sequence[HostRef], number: int, budget: Budget
    ) -> bool:
        """Whether another process took the number between the look and the choice."""
        luns = self._luns(hosts, budget)
        return any(owner != storage and there == number for owner, there in luns)

    def _take_back(
        self,
        storage: StorageId,
        hosts: Sequence[HostRef],
        shown: list[Presentation],
        budget: Budget,
    ) -> None:
        """Hide a member again that got its number on some hosts only: it had none before."""
        for each in [each for each in shown if each.storage == storage and each.host in hosts]:
            self._array.unpresent(each, budget=budget)
            shown.remove(each)

    def _demand(self, storages: Sequence[StorageId], budget: Budget) -> None:
        there = {each.id for each in self._array.storage(storages, budget=budget)}
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
            [
                each
                for storage in storages
                for each in self._array.presentations(storage, budget=budget)
            ],
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

    def look(
        self,
        *,
        storages: Sequence[StorageId] | None = None,
        key: CopyKey | None = None,
        budget: Budget,
    ) -> Sequence[ArrayCopy]:
        """What exists now of these members, of this set, or at all; `storages` give the order."""
        found = self._array.copies(key=key, budget=budget)
        if storages is None:
            return tuple(found)
        known = {each.id: each for each in found}
        return tuple(known[storage] for storage in storages if storage in known)

    # -- the former methods ----------------------------------------------------------------------

    def states(self, storages: Sequence[StorageId]) -> Sequence[ArrayCopy]:
        """The former name of ``look(storages=...)``, with a warning."""
        _moved("states(storages)", "look(storages=storages, budget=budget)")
        return self.look(storages=storages, budget=Budget.unlimited())

    def find(self, key: CopyKey) -> Sequence[ArrayCopy]:
        """The former name of ``look(key=...)``, with a warning."""
        _moved("find(key)", "look(key=key, budget=budget)")
        return self.look(key=key, budget=Budget.unlimited())

    def restore(self, target: StorageId, source: StorageId, *, budget: Budget) -> None:
        """The former name of ``restore_storage``, with a warning.

        Raises:
            UnsupportedKind: The array has no `SupportsRestore`.
            CopyConflict, StillPresented: As `SupportsRestore.restore_storage`.
        """
        _moved("restore(target, source)", "restore_storage(target, source)")
        store: object = self
        if not can_restore(store):
            raise UnsupportedKind(
                f"{self._array.name} cannot restore storage from a copy",
                hint="Recover by swapping the LUNs, or copy the files back.",
                context={"target": target, "source": source},
            )
        store.restore_storage(target, source, budget=budget)


def can_restore(party: object) -> TypeIs[SupportsRestore]:
    """Whether an array, or the store over it, can copy a member back into its source by itself."""
    return hasattr(party, "restore_storage")


def _moved(old: str, new: str) -> None:
    warnings.warn(f"ArrayCopyStore.{old} is {new} now", DeprecationWarning, stacklevel=3)


def _hosts(hosts: Sequence[HostRef]) -> Sequence[HostRef]:
    if isinstance(hosts, str):  # one host, as it was: else each letter would be one
        _moved("present(storages, host)", "present(storages, [host])")
        return (HostRef(hosts),)
    if not hosts:
        raise UsageError("storage cannot be shown to no host")
    return tuple(dict.fromkeys(hosts))


def _number(presentation: Presentation) -> int | None:
    access = presentation.access
    return access.number if isinstance(access, ScsiLun) else None


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
