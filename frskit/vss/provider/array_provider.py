"""`ArrayProvider`: a VSS hardware provider over any `DiskArray`.

It follows the table of [VSS 2.4]: BeginPrepareSnapshot collects, EndPrepareSnapshots stages on the
array, CommitSnapshots is one `commit_copies`. The set's GUID is the array's key, so that whatever
a lost answer leaves behind can be found. Nothing is cleaned up inside the hold: a failed commit
only remembers that something may exist, and AbortSnapshots looks, twice if the answer was lost,
the second time after the manager's own time-out [HAZ-09, HAZ-10].
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from frskit.clock import Budget, Clock, SystemClock
from frskit.codes.hresult import hresult
from frskit.errors import (
    ArrayError,
    FrskitError,
    LimitExceeded,
    ProviderError,
    ProviderVeto,
    Stopped,
    UnsupportedKind,
)
from frskit.model.ids import CopyKey, HostRef, SetId, ShadowId, StorageId
from frskit.model.shadows import LunInformation, ProviderInfo, ProviderKind
from frskit.model.storage import (
    LONGEST_COMMIT_S,
    ArrayCopy,
    CopyKind,
    CopyRequest,
    SetAtomicity,
    StagedCopies,
    Storage,
)
from frskit.protocols import DiskArray, HardwareProvider
from frskit.vss.provider.copy_names import copy_name
from frskit.vss.state_tables import PROVIDER_TABLE, ProviderAction, ProviderCall, ProviderState

__all__ = ["ArrayProvider"]

P = ParamSpec("P")
T = TypeVar("T")

# Best first: only a snapclone becomes independent and fit for recovery on the array [FRS 2.3].
_PREFERRED = (CopyKind.SNAPCLONE, CopyKind.SNAPSHOT, CopyKind.VSNAP)
_CALL_S = 300.0
"""Time for calls that VSS gives no budget; frskit's choice."""


def _typed(method: Callable[P, T]) -> Callable[P, T]:
    """Whatever the array raises that is not frskit's becomes an error of the provider [VSS-29]."""

    @wraps(method)
    def call(*args: P.args, **words: P.kwargs) -> T:
        try:
            return method(*args, **words)
        except FrskitError:
            raise
        except Exception as error:
            raise ProviderError(
                f"{method.__name__}: unexpected error of the array: {type(error).__name__}: {error}",
                native=hresult("VSS_E_UNEXPECTED_PROVIDER_ERROR"),
            ) from error

    return call


class ArrayProvider:
    """A hardware provider for one array and one host.

    The id is derived from the array's name: providers of one array on two hosts have one id, by
    which an import finds its provider.

    Args:
        array: The array.
        host: The array's host object of the server that this instance serves.
        clock: For waiting and for calls without a budget.
        settle_s: The array manager's own time-out; after a lost answer the provider looks again
            when it has passed, or the array's own ``late_effect_s`` if that is longer.
        disk_group: Pool for the copies; None = the array's default.
    """

    def __init__(
        self,
        array: DiskArray,
        host: HostRef,
        *,
        clock: Clock | None = None,
        settle_s: float = 0.0,
        disk_group: str | None = None,
    ) -> None:
        self._array = array
        self._host = host
        self._clock: Clock = clock or SystemClock()
        self._settle_s = settle_s
        self._disk_group = disk_group
        self._info = ProviderInfo(
            id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"urn:frskit:array-provider:{array.name}")),
            name=f"frskit array provider for {array.name}",
            kind=ProviderKind.HARDWARE,
            version="1.0",
        )
        self._state = ProviderState.UNKNOWN
        self._set_id: SetId | None = None
        self._requests: dict[StorageId, CopyRequest] = {}
        self._staged: StagedCopies | None = None
        self._copies: dict[StorageId, ArrayCopy] = {}
        # Tried: something may exist on the array. Unclear: a command may even be under way still.
        self._tried = False
        self._unclear = False

    @property
    def info(self) -> ProviderInfo:
        """Identity; constant."""
        return self._info

    @property
    def state(self) -> ProviderState:
        """Where it is in the table of [VSS 2.4]."""
        return self._state

    # -- what it can do ----------------------------------------------------------------------

    def are_luns_supported(
        self, luns: Sequence[LunInformation], kind: CopyKind | None, *, context: int
    ) -> bool:
        """All or nothing; False also for a temporary inability, never an error [VSS 2.4]."""
        try:
            wanted = {lun.storage for lun in luns}
            known = {each.id for each in self._array.storage(sorted(wanted), budget=self._call())}
            self._kind(kind)
            self._check_count(len(wanted))
        except Exception:  # noqa: BLE001 - never an error: what cannot be asked cannot copy
            return False
        return bool(wanted) and wanted <= known

    def _kind(self, kind: CopyKind | None) -> CopyKind:
        """The kind asked for, or the best that the array has.

        Raises:
            UnsupportedKind: The array does not have it.
        """
        have = self._array.capabilities.kinds
        wanted = kind or next((each for each in _PREFERRED if each in have), None)
        if wanted is None or wanted not in have:
            raise UnsupportedKind(
                f"array {self._array.name} cannot make this kind of copy",
                context={"array": self._array.name, "kind": kind.value if kind else None},
                native=hresult("VSS_E_VOLUME_NOT_SUPPORTED"),
            )
        return wanted

    @property
    def relies_on_hold(self) -> bool:
        """Whether its array copies members one after the other while writes are held [R-27]."""
        return self._array.capabilities.set_atomicity is SetAtomicity.WITHIN_HOLD

    def _check_count(self, count: int) -> None:
        """Whether the array can copy so many at once [R-23, R-27].

        Raises:
            LimitExceeded: It cannot.
        """
        capabilities = self._array.capabilities
        unit = capabilities.set_atomicity is SetAtomicity.UNIT
        limit = 1 if unit else capabilities.max_set_members
        if limit is not None and count > limit:
            raise LimitExceeded(
                f"array {self._array.name} copies at most {limit} LUNs at one instant",
                context={"array": self._array.name, "limit": limit, "asked": count},
                native=hresult("VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED"),
            )

    # -- creation ----------------------------------------------------------------------------

    @_typed
    def begin_prepare_snapshot(
        self,
        set_id: SetId,
        shadow_id: ShadowId,
        luns: Sequence[LunInformation],
        kind: CopyKind | None,
        *,
        context: int,
    ) -> None:
        """Add LUNs to the set; another set id starts afresh [VSS-33, VSS-34].

        Raises:
            ProviderVeto: Old uncommitted work could not be cleaned up.
            LimitExceeded: More LUNs than the array can copy at one instant; the set is unchanged.
            UnsupportedKind: The array does not have this kind; the set is unchanged.
        """
        same = set_id == self._set_id
        call = ProviderCall.BEGIN_SAME if same else ProviderCall.BEGIN_OTHER
        cell = PROVIDER_TABLE[call, self._state]
        append = cell.action is ProviderAction.APPEND
        # All refusals come before anything is dropped: a refused call leaves the set as it was.
        wanted = self._kind(kind)
        before = list(self._requests) if append else []
        self._check_count(len({*before, *(lun.storage for lun in luns)}))
        if cell.action is ProviderAction.RESTART:
            self._clean_up_or_veto()
        if not append:
            self._start(set_id)
        for lun in luns:
            if lun.storage not in self._requests:
                self._requests[lun.storage] = self._request(set_id, shadow_id, lun, wanted)
        self._state = cell.after

    def _start(self, set_id: SetId) -> None:
        self._set_id = set_id
        self._requests = {}
        self._staged = None
        self._copies = {}
        self._tried = self._unclear = False

    def _request(
        self, set_id: SetId, shadow_id: ShadowId, lun: LunInformation, kind: CopyKind
    ) -> CopyRequest:
        return CopyRequest(
            source=lun.storage,
            kind=kind,
            name=copy_name(set_id, len(self._requests)),
            comment=f"set {set_id} source {lun.storage} shadow {shadow_id}",
            disk_group=self._disk_group,
        )

    @_typed
    def end_prepare_snapshots(self, set_id: SetId, *, budget: Budget) -> None:
        """Stage the whole set on the array; everything slow is done here.

        Raises:
            LimitExceeded: The commit is expected to take longer than writes can be held [VSS-44].
        """
        with self._step(ProviderCall.END_PREPARE, set_id):
            self._staged = self._array.stage_copies(
                tuple(self._requests.values()), key=CopyKey(set_id), budget=budget
            )
            self._check_estimate(self._staged.estimate_commit_s)

    def _check_estimate(self, staged_s: float | None) -> None:
        """Refuse while nobody is frozen yet; what nobody knows is tried."""
        expected_s = self._array.capabilities.estimate_commit_s if staged_s is None else staged_s
        if expected_s is not None and expected_s > LONGEST_COMMIT_S:
            raise LimitExceeded(
                f"array {self._array.name} would need {expected_s:.1f} s for the copy, and writes "
                f"can be held for {LONGEST_COMMIT_S:.0f} s of it",
                hint="Copy fewer components at once, make the storage smaller, or use an array "
                "whose copies share data with their sources.",
                context={
                    "array": self._array.name,
                    "estimate_s": expected_s,
                    "limit_s": LONGEST_COMMIT_S,
                },
                native=hresult("VSS_E_HOLD_WRITES_TIMEOUT"),
            )

    def pre_commit_snapshots(self, set_id: SetId) -> None:
        """Nothing to do; the array is ready."""
        with self._step(ProviderCall.PRE_COMMIT, set_id):
            pass

    @_typed
    def commit_snapshots(self, set_id: SetId, *, budget: Budget) -> None:
        """The instant: one call for all LUNs of the set.

        Raises:
            OutcomeUnknown, TimedOut, Cancelled: Something may exist; AbortSnapshots will look.
            ArrayError: Nothing was made.
        """
        with self._step(ProviderCall.COMMIT, set_id):
            if self._staged is None:
                raise self._veto("nothing is staged")
            # Set before the call: whatever comes back, or does not, something may exist from here
            # on.
            self._tried = True
            try:
                made = self._array.commit_copies(self._staged, budget=budget)
            # No answer does not mean that nothing happened; AbortSnapshots looks, after the hold
            # [HAZ-09].
            except (Stopped, KeyboardInterrupt):
                self._unclear = True
                raise
            wanted = [each.source for each in self._staged.requests]
            # Where the array cannot tell what a copy is of, the order of the requests does.
            self._copies = {
                copy.source or source: copy for source, copy in zip(wanted, made, strict=False)
            }
            if len(made) != len(wanted) or set(self._copies) != set(wanted):
                raise self._veto("the array did not copy every LUN of the set")

    def post_commit_snapshots(self, set_id: SetId, count: int) -> None:
        """All providers committed: the set is created."""
        with self._step(ProviderCall.POST_COMMIT, set_id):
            # Several volumes may share one LUN and so one copy, hence "fewer" and not "other"
            # [VSS-34].
            if count < len(self._copies):
                raise self._veto(f"{len(self._copies)} copies for {count} volumes")

    def pre_final_commit_snapshots(self, set_id: SetId) -> None:
        """Nothing to do [VSS 2.4]."""

    def post_final_commit_snapshots(self, set_id: SetId) -> None:
        """Nothing to do [VSS 2.4]."""

    @contextmanager
    def _step(self, call: ProviderCall, set_id: SetId) -> Iterator[None]:
        """One step of the creation, by the table; a failure of the work leaves the state."""
        cell = PROVIDER_TABLE[call, self._state]
        if set_id != self._set_id or cell.action is ProviderAction.VETO:
            was = self._state
            # A created set is out of reach of late calls [VSS-32]; any other is thrown away.
            if was is not ProviderState.CREATED:
                self._state = ProviderState.ABORTED
                self._clean_up_or_veto()
            raise self._veto(f"{call.value} of set {set_id} is out of order in state {was.value}")
        yield
        self._state = cell.after

    def get_target_luns(self, luns: Sequence[LunInformation]) -> Sequence[LunInformation]:
        """The copies of these originals, same length and order; no signature [VSS-12].

        Raises:
            ProviderVeto: An original is not in the created set, or there is none.
        """
        if self._state is not ProviderState.CREATED:
            raise self._veto("there is no created set")
        missing = [lun.storage for lun in luns if lun.storage not in self._copies]
        if missing:
            raise self._veto(f"{', '.join(missing)} is not in the last created set")
        return tuple(self._target(self._copies[lun.storage]) for lun in luns)

    def _target(self, copy: ArrayCopy) -> LunInformation:
        return LunInformation(
            storage=copy.id, product=self._array.name, serial=copy.name or copy.id, signature=""
        )

    # -- cleaning up -------------------------------------------------------------------------

    @_typed
    def abort_snapshots(self, set_id: SetId) -> None:
        """Remove the uncommitted targets of this set; ignored once it is created [VSS-32].

        Raises:
            ProviderVeto: Something could not be removed; the error names it in ``leftovers``.
        """
        cell = PROVIDER_TABLE[ProviderCall.ABORT, self._state]
        if set_id != self._set_id or cell.action is ProviderAction.IGNORE:
            return
        self._state = cell.after
        self._clean_up_or_veto()

    @_typed
    def on_unload(self) -> None:
        """The coordinator lets go: clean up a creation under way [VSS 2.4]. Idempotent."""
        cell = PROVIDER_TABLE[ProviderCall.UNLOAD, self._state]
        self._state = cell.after
        if cell.action is ProviderAction.CLEAN_UP:
            self._clean_up_or_veto()

    def reconcile(self, set_id: SetId, *, budget: Budget) -> Sequence[str]:
        """Delete whatever exists of a set that was *not* created; names of what remains.

        Also after a restart, when this provider remembers nothing: the array is asked by key. The
        caller vouches that the set is not in use.
        """
        try:
            self._array.discard_staged(CopyKey(set_id), budget=budget)
        except Exception as error:  # noqa: BLE001 - arrays are strangers
            return (f"staging of set {set_id} on array {self._array.name}: {error}",)
        return self._sweep(set_id, budget)

    def _clean_up_or_veto(self) -> None:
        remains = self._clean_up()
        if remains:
            error = self._veto("not everything could be removed: " + "; ".join(remains))
            error.leftovers = remains
            raise error

    def _clean_up(self) -> tuple[str, ...]:
        """Discard what is staged and delete what a failed commit may have made."""
        set_id = self._set_id
        if set_id is None:
            return ()
        remains: tuple[str, ...] = ()
        if self._requests:
            remains = self._attempt(
                f"staging of set {set_id}",
                lambda: self._array.discard_staged(CopyKey(set_id), budget=self._call()),
            )
        if self._tried:
            remains += self._sweep(set_id, self._call())
            settle_s = max(self._settle_s, self._array.capabilities.late_effect_s)
            if self._unclear and settle_s > 0:
                # The lost command may still be on its way [HAZ-10].
                self._clock.sleep(settle_s)
                remains = self._sweep(set_id, self._call())
        return remains

    def _sweep(self, set_id: SetId, budget: Budget) -> tuple[str, ...]:
        """Delete every copy of this key; what remains, by name."""
        try:
            found = self._array.copies(key=CopyKey(set_id), budget=budget)
        # What the second look finds is what remains; the first was too early.
        except Exception as error:  # noqa: BLE001 - arrays are strangers
            names = [each.name for each in self._requests.values()] or [f"set {set_id}"]
            return tuple(f"{name} on array {self._array.name}, unknown: {error}" for name in names)
        remains: tuple[str, ...] = ()
        for copy in found:
            remains += self._attempt(copy.name or copy.id, partial(self._delete, copy.id, budget))
        return remains

    def _attempt(self, what: str, action: Callable[[], None]) -> tuple[str, ...]:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - arrays are strangers: the rest goes on
            return (f"{what} on array {self._array.name}: {error}",)
        return ()

    def _delete(self, storage: StorageId, budget: Budget) -> None:
        """Hide from every host, then delete."""
        for presentation in self._array.presentations(storage, budget=budget):
            self._array.unpresent(presentation, budget=budget)
        self._array.delete_storage(storage, budget=budget)

    # -- import and end of life --------------------------------------------------------------

    @_typed
    def locate_luns(self, luns: Sequence[LunInformation], *, budget: Budget) -> None:
        """Present these copies to this provider's host, read-only; each once.

        A set is imported once [VSS-48]. What the array can say of that is who sees a copy now: one
        that another host sees is refused, since two hosts would work on disks of one identity
        [HAZ-02]. A copy that was hidden again leaves no trace, and can be imported again.

        Raises:
            ProviderVeto: A copy is unknown, is seen by another host, or cannot be presented;
                ``context["presented"]`` names those that were, they stay so [VSS-50].
        """
        presented: list[StorageId] = []
        wanted = list(dict.fromkeys(lun.storage for lun in luns))
        try:
            self._check_known(wanted)
            self._check_unseen(wanted, budget)
            for storage in wanted:
                self._array.present(storage, self._host, read_only=True, budget=budget)
                presented.append(storage)
        except (ArrayError, Stopped, ProviderVeto) as error:
            veto = self._veto(f"cannot present to host {self._host}: {error}")
            veto.context["presented"] = self._presented(wanted, presented, error)
            raise veto from error

    def _presented(
        self, wanted: Sequence[StorageId], done: Sequence[StorageId], error: FrskitError
    ) -> list[StorageId]:
        """What the host sees now, as far as it can be known; in doubt it counts as seen."""
        # A call that timed out may have been carried out.
        doubtful = isinstance(error, Stopped) and len(done) < len(wanted)
        found = {*done, *([wanted[len(done)]] if doubtful else [])}
        try:
            shown = self._array.presentations(budget=self._call())
        except Exception:  # noqa: BLE001 - arrays are strangers
            # Unasked, all may be visible: better one clean-up too many than a LUN left presented.
            return list(wanted)
        found |= {each.storage for each in shown if each.host == self._host}
        return [each for each in wanted if each in found]

    def _check_unseen(self, storages: Sequence[StorageId], budget: Budget) -> None:
        """Refuse copies that another host sees."""
        for storage in storages:
            others = [
                each.host
                for each in self._array.presentations(storage, budget=budget)
                if each.host != self._host
            ]
            if others:
                raise self._veto(f"host {others[0]} sees {storage} already")

    def _check_known(self, storages: Sequence[StorageId]) -> None:
        known = {each.id for each in self._array.storage(storages, budget=self._call())}
        missing = [each for each in storages if each not in known]
        if missing:
            raise self._veto(f"the array has no {', '.join(missing)}")

    @_typed
    def fill_in_lun_info(self, lun: LunInformation) -> LunInformation | None:
        """The record of an arrived disk as the array knows it; None for foreign LUNs."""
        found: Sequence[Storage] = self._array.storage([lun.storage], budget=self._call())
        if not found:
            return None
        return LunInformation(
            storage=lun.storage,
            identifiers=lun.identifiers,
            product=self._array.name,
            serial=found[0].name or found[0].id,
            signature=lun.signature,
            bus=lun.bus,
        )

    @_typed
    def on_lun_empty(self, lun: LunInformation, *, budget: Budget) -> None:
        """The last shadow copy on this LUN is gone: hide it from every host and delete it."""
        self._delete(lun.storage, budget)

    @_typed
    def on_lun_state_change(self, luns: Sequence[LunInformation], *, mask: bool) -> None:
        """A set was broken; with `mask` hide its LUNs from this provider's host and keep them."""
        if not mask:
            return
        budget = self._call()
        for lun in luns:
            for presentation in self._array.presentations(lun.storage, budget=budget):
                if presentation.host == self._host:
                    self._array.unpresent(presentation, budget=budget)

    def _call(self) -> Budget:
        """For one call of the array where VSS gives the provider no time of its own."""
        return Budget.of(self._clock, _CALL_S)

    def _veto(self, why: str) -> ProviderVeto:
        return ProviderVeto(
            f"{self._info.name}: {why}",
            context={"provider": self._info.name, "array": self._array.name},
            native=hresult("VSS_E_PROVIDER_VETO"),
        )


if TYPE_CHECKING:
    _: type[HardwareProvider] = ArrayProvider
