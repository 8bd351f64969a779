"""The hardware provider: the calls of VSS by their names, in snake case [VSS 2.4].

One instance serves one array and one host. This is VSS's own interface and follows it call by
call; an array that implements `DiskArray` needs none of it, `frskit.vss.ArrayProvider` speaks it on
the array's behalf.

The coordinator calls in the order of ``frskit.vss.state_tables.PROVIDER_TABLE``, which the
documentation shows with the other state tables: `begin_prepare_snapshot` once per shadow copy, then
`end_prepare_snapshots`, `pre_commit_snapshots`, `commit_snapshots`, `post_commit_snapshots`,
`pre_final_commit_snapshots`, `post_final_commit_snapshots`, `get_target_luns`. A provider that is
called out of order vetoes and cleans up. `abort_snapshots` and `on_unload` may come after any of
them, and while one runs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frskit.clock import Budget
    from frskit.model.ids import SetId, ShadowId
    from frskit.model.shadows import LunInformation, ProviderInfo
    from frskit.model.storage import CopyKind

__all__ = ["HardwareProvider"]


class HardwareProvider(Protocol):
    """A VSS hardware snapshot provider.

    A refusal is a `ProviderVeto`; any other exception counts as an unexpected provider error and
    fails the set [VSS-29]. Nobody repeats a call of this seam: after a failure the coordinator
    aborts the set, and the requestor begins anew with another set id. A constructor takes the place
    of OnLoad. Nothing of an uncommitted
    set survives a restart of the provider; the targets of a created one do.
    """

    @property
    def info(self) -> ProviderInfo:
        """Identity; constant."""
        ...

    def are_luns_supported(
        self, luns: Sequence[LunInformation], kind: CopyKind | None, *, context: int
    ) -> bool:
        """Whether this provider can copy *all* these LUNs in this way, now; never raises.

        Args:
            luns: The originals, with the names of their devices on this host.
            kind: Kind of copy; None leaves it to the provider.
            context: What kind of shadow copies they will be, VSS_VOLUME_SNAPSHOT_ATTRIBUTES [VSS
                4.4]: whether they outlive the session, whether they can be moved.
        """
        ...

    def begin_prepare_snapshot(
        self,
        set_id: SetId,
        shadow_id: ShadowId,
        luns: Sequence[LunInformation],
        kind: CopyKind | None,
        *,
        context: int,
    ) -> None:
        """Add LUNs to the set. A new set id discards uncommitted work of an older one [VSS-33].

        The same LUN named twice yields one target [VSS-34]. Arguments are as for
        `are_luns_supported`.
        """
        ...

    def end_prepare_snapshots(self, set_id: SetId, *, budget: Budget) -> None:
        """Finish everything slow; may take long. Precedes every Freeze [VSS-02].

        Raises:
            ProviderVeto: The set cannot be made. The coordinator aborts it; no application was
                disturbed.
        """
        ...

    def pre_commit_snapshots(self, set_id: SetId) -> None:
        """Applications are frozen, writes are not held yet; 1-2 s at most.

        Raises:
            ProviderVeto: The coordinator thaws, then aborts the set.
        """
        ...

    def commit_snapshots(self, set_id: SetId, *, budget: Budget) -> None:
        """The instant: all targets of the set, or none. No I/O to the originals.

        An answer that comes after the budget's deadline is not believed, whatever it says: the
        copy may be from after the hold.

        Raises:
            ProviderVeto: None was made. The coordinator releases writes, thaws, aborts the set.
            OutcomeUnknown: The array did not answer. The same, and the requestor looks by key
                what there is, once everybody is thawed [HAZ-09].
        """
        ...

    def post_commit_snapshots(self, set_id: SetId, count: int) -> None:
        """All providers committed; writes are released, applications still frozen.

        Raises:
            ProviderVeto: The coordinator thaws, then aborts the set.
        """
        ...

    def pre_final_commit_snapshots(self, set_id: SetId) -> None:
        """Before writers may change the copy (auto-recovery); normally nothing to do."""
        ...

    def post_final_commit_snapshots(self, set_id: SetId) -> None:
        """After it; normally nothing to do."""
        ...

    def get_target_luns(self, luns: Sequence[LunInformation]) -> Sequence[LunInformation]:
        """The targets of these originals, same length and order, signature empty [VSS-12].

        Raises:
            ProviderVeto: An original is not in the last created set.
        """
        ...

    def abort_snapshots(self, set_id: SetId) -> None:
        """Clean up the uncommitted targets; ignored after creation [VSS-32].

        Idempotent, also for a set that is not known; may come while another call runs, and again
        when that call answers late.

        Raises:
            ProviderVeto: Something is left; the coordinator names it in ``leftovers``.
        """
        ...

    def locate_luns(self, luns: Sequence[LunInformation], *, budget: Budget) -> None:
        """Present these targets to this provider's host; the coordinator rescans.

        Raises:
            ProviderVeto: A target is unknown, is seen by another host (it was imported there
                [VSS-48]), or cannot be presented.
        """
        ...

    def fill_in_lun_info(self, lun: LunInformation) -> LunInformation | None:
        """Complete the record of an arrived disk; None for foreign LUNs."""
        ...

    def on_lun_empty(self, lun: LunInformation, *, budget: Budget) -> None:
        """The last shadow copy on this target is gone: hide and delete it [VSS-54]. Idempotent.

        Raises:
            ProviderVeto: It is still there. The shadow copies stay listed and can be deleted again.
        """
        ...

    def on_lun_state_change(self, luns: Sequence[LunInformation], *, mask: bool) -> None:
        """Break notification; with `mask` hide the targets from this host and keep them.

        Idempotent.

        Raises:
            ProviderVeto: The set stays imported. The caller may break it again.
        """
        ...

    def on_unload(self) -> None:
        """The coordinator lets go: clean up a creation under way [VSS 2.4]. Idempotent."""
        ...
