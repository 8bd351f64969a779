"""Parked copies over any array: all-or-none, idempotent, resumable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NoReturn

import pytest
from attrs import define, field

from frskit.clock import Budget, VirtualClock
from frskit.errors import (
    ArrayError,
    CopyInvalid,
    HasDependents,
    PresentationFailed,
    StillPresented,
    StorageNotFound,
    UnsupportedKind,
    UsageError,
)
from frskit.model.ids import CopyKey, HostRef, StorageId
from frskit.model.storage import (
    ArrayCapabilities,
    ArrayCopy,
    CopyKind,
    CopyRequest,
    CopyState,
    Presentation,
    ScsiLun,
    StagedCopies,
    Storage,
)
from frskit.storage.array_copy_store import ArrayCopyStore, can_restore
from frskit.watchdog import Watchdog, guarded

KEY = CopyKey("set-1")
FRS1, EVS1 = HostRef("frs1"), HostRef("evs1")
MEMBERS = [StorageId(f"naa:{name}") for name in "abc"]
BUDGET = Budget.of(VirtualClock())


@define
class Array:
    """An array that holds three members, with a list of storages whose commands fail."""

    name: str = "EVA1"
    held: list[StorageId] = field(factory=lambda: [*MEMBERS])
    shown: list[Presentation] = field(factory=list)
    broken: dict[str, Exception] = field(factory=dict)
    numbers: bool = True

    @property
    def capabilities(self) -> ArrayCapabilities:
        return ArrayCapabilities(kinds=frozenset(), access=frozenset(), numbers=self.numbers)

    def storage(self, ids: object = None, *, budget: Budget) -> list[Storage]:
        return [Storage(id=each, name=each, size_bytes=1) for each in self.held]

    def copies(self, *, key: CopyKey | None = None, budget: Budget) -> list[ArrayCopy]:
        if key not in (None, KEY):
            return []
        return [
            ArrayCopy(
                id=each,
                source=StorageId("naa:source"),
                key=KEY,
                kind=CopyKind.SNAPCLONE,
                state=CopyState.INDEPENDENT,
                size_bytes=1,
            )
            for each in self.held
        ]

    def stage_copies(self, requests: object, *, key: CopyKey, budget: Budget) -> StagedCopies:
        return StagedCopies(key=key, requests=tuple[CopyRequest]())

    def commit_copies(self, staged: StagedCopies, *, budget: Budget) -> NoReturn:
        raise NotImplementedError

    def discard_staged(self, key: CopyKey, *, budget: Budget) -> None:
        raise NotImplementedError

    def delete_storage(self, storage: StorageId, *, budget: Budget) -> None:
        self._maybe_fail(f"delete {storage}")
        if any(each.storage == storage for each in self.shown):
            raise StillPresented("still presented")
        if storage in self.held:
            self.held.remove(storage)

    def present(
        self,
        storage: StorageId,
        host: HostRef,
        *,
        read_only: bool,
        access: str | None = None,
        number: int | None = None,
        budget: Budget,
    ) -> Presentation:
        self._maybe_fail(f"present {storage}")
        for each in self.shown:
            if (each.storage, each.host) == (storage, host):
                return each
        lun = ScsiLun(host=host, number=number or len(self.shown) + 1)
        shown = Presentation(storage=storage, host=host, access=lun, read_only=read_only)
        self.shown.append(shown)
        return shown

    def unpresent(self, presentation: Presentation, *, budget: Budget) -> None:
        self._maybe_fail(f"unpresent {presentation.storage}")
        self.shown.remove(presentation)

    def presentations(
        self, storage: StorageId | None = None, *, budget: Budget
    ) -> list[Presentation]:
        return [each for each in self.shown if storage in (None, each.storage)]

    def _maybe_fail(self, what: str) -> None:
        if what in self.broken:
            raise self.broken[what]


@define
class RestoringArray(Array):
    """An array that can also restore."""

    restored: list[tuple[StorageId, StorageId]] = field(factory=list)

    def restore_storage(self, target: StorageId, source: StorageId, *, budget: Budget) -> None:
        self.restored.append((target, source))


def test_present_shows_all_members_in_order() -> None:
    """Every member is presented as asked; again gives the same presentations."""
    array = Array()
    store = ArrayCopyStore(array)
    shown = store.present(MEMBERS, [FRS1], read_only=True, budget=BUDGET)
    assert [(each.storage, each.host, each.read_only) for each in shown] == [
        (member, FRS1, True) for member in MEMBERS
    ]
    assert store.present(MEMBERS, [FRS1], read_only=True, budget=BUDGET) == shown
    assert len(array.shown) == 3


@pytest.mark.parametrize("error", [CopyInvalid("gone bad"), PresentationFailed("no LUN free")])
def test_failed_present_hides_what_it_showed_and_nothing_else(error: ArrayError) -> None:
    """A failing member takes the new presentations back; older ones and other hosts' stay."""
    array = Array(broken={f"present {MEMBERS[2]}": error})
    store = ArrayCopyStore(array)
    before = [
        *store.present(MEMBERS[:1], [FRS1], read_only=True, budget=BUDGET),
        *store.present(MEMBERS[1:2], [EVS1], read_only=True, budget=BUDGET),
    ]
    with pytest.raises(type(error)) as caught:
        store.present(MEMBERS, [FRS1], read_only=True, budget=BUDGET)
    assert array.shown == before
    assert caught.value.leftovers == ()


def test_failed_undo_is_a_leftover() -> None:
    """What could not be hidden again is named on the error."""
    array = Array(
        broken={
            f"present {MEMBERS[1]}": PresentationFailed("no LUN free"),
            f"unpresent {MEMBERS[0]}": ArrayError("timeout"),
        }
    )
    with pytest.raises(PresentationFailed) as caught:
        ArrayCopyStore(array).present(MEMBERS, [FRS1], read_only=True, budget=BUDGET)
    assert caught.value.leftovers == (f"presentation of {MEMBERS[0]} to frs1: timeout",)


def test_missing_members_are_noticed_before_anything_is_shown() -> None:
    """An incomplete copy is StorageNotFound, naming the member."""
    array = Array(held=MEMBERS[:2])
    with pytest.raises(StorageNotFound, match=MEMBERS[2]):
        ArrayCopyStore(array).present(MEMBERS, [FRS1], read_only=True, budget=BUDGET)
    assert array.shown == []


def test_unpresent_hides_from_every_host_and_goes_on_after_failures() -> None:
    """All presentations that can go are gone; the first failure is raised, all are named."""
    array = Array(broken={f"unpresent {MEMBERS[0]}": ArrayError("timeout")})
    store = ArrayCopyStore(array)
    for host in (FRS1, EVS1):
        store.present(MEMBERS, [host], read_only=True, budget=BUDGET)
    with pytest.raises(ArrayError, match="timeout") as caught:
        store.unpresent(MEMBERS, budget=BUDGET)
    assert {each.storage for each in array.shown} == {MEMBERS[0]}
    assert len(caught.value.leftovers) == 2
    array.broken.clear()
    store.unpresent([*MEMBERS, StorageId("naa:unknown")], budget=BUDGET)
    store.unpresent(MEMBERS, budget=BUDGET)
    assert array.shown == []


def test_delete_hides_deletes_and_can_be_resumed() -> None:
    """A failing member does not keep the others; repeating the call finishes."""
    array = Array(broken={f"delete {MEMBERS[0]}": HasDependents("a snapshot hangs on it")})
    store = ArrayCopyStore(array)
    store.present(MEMBERS, [FRS1], read_only=False, budget=BUDGET)
    with pytest.raises(HasDependents):
        store.delete(MEMBERS, budget=BUDGET)
    assert array.held == MEMBERS[:1]
    array.broken.clear()
    for _ in range(2):
        store.delete(MEMBERS, budget=BUDGET)
        assert array.held == []


def test_delete_tells_what_could_not_be_hidden() -> None:
    """The cause, not its consequence, is raised; both are in the leftovers."""
    array = Array(broken={f"unpresent {MEMBERS[1]}": ArrayError("timeout")})
    store = ArrayCopyStore(array)
    store.present(MEMBERS, [FRS1], read_only=False, budget=BUDGET)
    with pytest.raises(ArrayError, match="timeout") as caught:
        store.delete(MEMBERS, budget=BUDGET)
    assert caught.value.leftovers == (
        f"presentation of {MEMBERS[1]} to frs1: timeout",
        f"storage {MEMBERS[1]}: still presented",
    )
    assert array.held == [MEMBERS[1]]


@pytest.mark.parametrize("command", ["unpresent", "delete"])
def test_a_foreign_exception_of_the_array_stops_no_other_member(command: str) -> None:
    """The others are hidden and deleted; the error is typed, and its cause is kept."""
    odd = KeyError("lun")
    array = Array(broken={f"{command} {MEMBERS[0]}": odd})
    store = ArrayCopyStore(array)
    store.present(MEMBERS, [FRS1], read_only=True, budget=BUDGET)
    with pytest.raises(ArrayError, match="KeyError: 'lun'") as caught:
        store.delete(MEMBERS, budget=BUDGET)
    assert array.held == MEMBERS[:1]
    assert caught.value.__cause__ is odd
    assert any(MEMBERS[0] in text for text in caught.value.leftovers)


def test_look() -> None:
    """Members are looked up by id in the order asked for, or by key; missing ones are left out."""
    store = ArrayCopyStore(Array(held=MEMBERS[:2]))
    asked = [MEMBERS[2], MEMBERS[1], MEMBERS[0]]
    found = store.look(storages=asked, budget=BUDGET)
    assert [each.id for each in found] == [MEMBERS[1], MEMBERS[0]]
    assert [each.id for each in store.look(key=KEY, budget=BUDGET)] == MEMBERS[:2]
    assert [each.id for each in store.look(budget=BUDGET)] == MEMBERS[:2]
    assert list(store.look(key=CopyKey("other"), budget=BUDGET)) == []
    assert list(store.look(storages=asked, key=CopyKey("other"), budget=BUDGET)) == []


def test_restore_is_there_if_the_array_can() -> None:
    """The store offers what its array offers, also behind a watchdog, and nothing else."""
    array = RestoringArray()
    store: object = ArrayCopyStore(array)
    dog = Watchdog(party="store", clock=VirtualClock())
    for each in (store, guarded(store, dog)):
        assert can_restore(each)
        each.restore_storage(StorageId("naa:source"), MEMBERS[0], budget=BUDGET)
    assert array.restored == [(StorageId("naa:source"), MEMBERS[0])] * 2
    assert not can_restore(ArrayCopyStore(Array()))
    assert not hasattr(store, "anything_else")


def test_the_former_names_warn_and_work() -> None:
    """`states`, `find`, `restore` and one host by itself."""
    array = RestoringArray()
    store = ArrayCopyStore(array)
    with pytest.warns(DeprecationWarning, match="look"):
        assert [each.id for each in store.states(MEMBERS)] == MEMBERS
    with pytest.warns(DeprecationWarning, match="look"):
        assert [each.id for each in store.find(KEY)] == MEMBERS
    with pytest.warns(DeprecationWarning, match="restore_storage"):
        store.restore(StorageId("naa:source"), MEMBERS[0], budget=BUDGET)
    assert array.restored == [(StorageId("naa:source"), MEMBERS[0])]
    with (
        pytest.warns(DeprecationWarning, match="restore_storage"),
        pytest.raises(UnsupportedKind),
    ):
        ArrayCopyStore(Array()).restore(StorageId("naa:source"), MEMBERS[0], budget=BUDGET)
    with pytest.warns(DeprecationWarning, match=r"\[host\]"):
        shown = store.present(MEMBERS, FRS1, read_only=True, budget=BUDGET)
    assert {each.host for each in shown} == {FRS1}


def numbers(shown: Sequence[Presentation]) -> list[tuple[str, str, int]]:
    """Member, host and number of each presentation."""
    return [
        (each.storage, each.host, each.access.number)
        for each in shown
        if isinstance(each.access, ScsiLun)
    ]


@pytest.mark.rule("HAZ-18")
def test_all_nodes_get_one_number() -> None:
    """The lowest that is free on every node; what one node has already is kept."""
    array = Array()
    store = ArrayCopyStore(array)
    other = StorageId("naa:other")
    array.present(other, EVS1, read_only=False, number=1, budget=BUDGET)
    array.present(other, FRS1, read_only=False, number=3, budget=BUDGET)
    array.present(MEMBERS[1], EVS1, read_only=True, number=7, budget=BUDGET)
    shown = store.present(MEMBERS, [FRS1, EVS1], read_only=True, budget=BUDGET)
    assert numbers(shown) == [
        (MEMBERS[0], FRS1, 2),
        (MEMBERS[0], EVS1, 2),
        (MEMBERS[1], FRS1, 7),
        (MEMBERS[1], EVS1, 7),
        (MEMBERS[2], FRS1, 4),
        (MEMBERS[2], EVS1, 4),
    ]
    assert store.present(MEMBERS, [FRS1, EVS1], read_only=True, budget=BUDGET) == shown
    with pytest.raises(UsageError):
        store.present(MEMBERS, [], read_only=True, budget=BUDGET)


@define
class Contested(Array):
    """Another process takes numbers between the look and the choice, on the second node."""

    thefts: int = 1

    def present(
        self,
        storage: StorageId,
        host: HostRef,
        *,
        read_only: bool,
        access: str | None = None,
        number: int | None = None,
        budget: Budget,
    ) -> Presentation:
        if host == EVS1 and self.thefts:
            self.thefts -= 1
            lun = ScsiLun(host=host, number=number or 0)
            thief = StorageId(f"naa:thief{self.thefts}")
            self.shown.append(Presentation(storage=thief, host=host, access=lun))
            raise PresentationFailed(f"{number} is taken")
        return Array.present(self, storage, host, read_only=read_only, number=number, budget=budget)


@pytest.mark.rule("HAZ-18")
def test_a_number_that_somebody_took_first_is_replaced_by_the_next() -> None:
    """Nothing stays under the lost number; a race that is lost again and again is told."""
    array = Contested(thefts=2)
    shown = ArrayCopyStore(array).present(MEMBERS[:1], [FRS1, EVS1], read_only=True, budget=BUDGET)
    assert numbers(shown) == [(MEMBERS[0], FRS1, 3), (MEMBERS[0], EVS1, 3)]
    mine = [each for each in array.shown if each.storage in MEMBERS]
    assert mine == list(shown)
    endless = Contested(thefts=1000)
    with pytest.raises(PresentationFailed, match="is taken"):
        ArrayCopyStore(endless).present(MEMBERS[:1], [FRS1, EVS1], read_only=True, budget=BUDGET)
    assert not [each for each in endless.shown if each.storage in MEMBERS]
    assert endless.thefts > 900


@pytest.mark.rule("HAZ-18")
def test_a_refusal_for_another_reason_is_no_race() -> None:
    """It is told at once."""
    array = Array(broken={f"present {MEMBERS[0]}": PresentationFailed("no way")})
    with pytest.raises(PresentationFailed, match="no way"):
        ArrayCopyStore(array).present(MEMBERS[:1], [FRS1, EVS1], read_only=True, budget=BUDGET)


@pytest.mark.rule("HAZ-18")
def test_different_numbers_are_a_failure() -> None:
    """An array that chooses by itself, differently for each node: nothing stays shown."""
    array = Array(numbers=False)
    with pytest.raises(PresentationFailed, match="different numbers"):
        ArrayCopyStore(array).present(MEMBERS[:1], [FRS1, EVS1], read_only=True, budget=BUDGET)
    assert array.shown == []
