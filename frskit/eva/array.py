"""The simulated disk array: an EVA's rules, capacity and presentations over real bytes.

What it is: `SimulatedEva`, which offers `DiskArray`, `SupportsProvisioning`, `SupportsRestore` and
`ScsiTarget`. It keeps virtual disks, snapshots of both kinds and snapclones by the rules of
[EVA 1.6], with capacity in segments of 2 MiB, and can live in a directory, where a killed process
loses no acknowledged command. What it is not: an emulation of timing, of controllers or of Command
View; and no EVA has seen it. Mirrorclones, containers and folders are not offered.

The parts: `profile` (limits as data), `rules` (what is allowed), `groups` and `demand` (capacity),
`identifiers`, `state` (records), `blocks` (the bytes), and the commands by theme in `provisioning`,
`copying` and `presenting`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from frskit.eva.copying import CopyingEva
from frskit.eva.models import EVA8000
from frskit.eva.presenting import PresentingEva
from frskit.eva.provisioning import ProvisioningEva
from frskit.model.storage import AccessKind, ArrayCapabilities, CopyKind, SetAtomicity
from frskit.storage import LABEL_BYTES

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence
    from pathlib import Path
    from types import TracebackType
    from typing import Self

    from frskit.clock import Clock
    from frskit.eva.event_log import ArrayOperation
    from frskit.eva.models import ModelProfile
    from frskit.protocols import DiskArray, ScsiTarget, SupportsProvisioning, SupportsRestore

__all__ = ["SimulatedEva"]


class SimulatedEva(ProvisioningEva, CopyingEva, PresentingEva):
    """A simulated Enterprise Virtual Array. Thread-safe; a context manager.

    A command that fails leaves everything as it was [EVA-32]. In a directory a command is durable
    when it returns, a write when its device was flushed; normalization goes on after reopening.

    Args:
        name: Name of the array; a directory knows the name it was made with.
        profile: Limits and policies of the model; not kept in the directory, pass the same again.
        clock: Source of time; normalization advances with it whenever the array is asked
            anything.
        rng: Source of the array's world wide name, asked only when the array is made.
        directory: Where the array lives; None = in memory.

    Raises:
        Busy: Another process has the directory open.
        ArrayDamaged: The directory's files are damaged.
        ConfigurationError: The directory holds an array of another name.

    Example:
        >>> import random
        >>> from frskit.clock import Budget, VirtualClock
        >>> from frskit.model.ids import CopyKey
        >>> from frskit.model.storage import CopyKind, CopyRequest
        >>> clock = VirtualClock()
        >>> eva = SimulatedEva(clock=clock, rng=random.Random(1))
        >>> _ = eva.create_disk_group("default", size_bytes=1 << 34)
        >>> disk = eva.create_storage("data", 1 << 30, disk_group="default")
        >>> request = CopyRequest(source=disk, kind=CopyKind.SNAPCLONE, name="copy")
        >>> budget = Budget.of(clock)
        >>> staged = eva.stage_copies([request], key=CopyKey("k"), budget=budget)
        >>> [copy] = eva.commit_copies(staged, budget=budget)
        >>> copy.state.value
        'normalizing'
        >>> clock.advance(3600)
        >>> eva.copies()[0].state.value
        'independent'
    """

    def __init__(
        self,
        name: str = "EVA1",
        *,
        profile: ModelProfile = EVA8000,
        clock: Clock,
        rng: random.Random,
        directory: Path | None = None,
    ) -> None:
        super().__init__(name, profile=profile, clock=clock, rng=rng, directory=directory)
        self._capabilities = ArrayCapabilities(
            kinds=frozenset(CopyKind),
            access=frozenset({AccessKind.SCSI_LUN}),
            set_atomicity=SetAtomicity.INSTANT,
            max_set_members=profile.max_set_members,
            label_bytes=LABEL_BYTES,
            estimate_commit_s=profile.commit_s,
        )

    @property
    def name(self) -> str:
        """Name of the array."""
        return self._record.name

    @property
    def profile(self) -> ModelProfile:
        """Limits and policies."""
        return self._profile

    @property
    def capabilities(self) -> ArrayCapabilities:
        """What this array can do; proven on the simulation only."""
        return self._capabilities

    @property
    def wwn(self) -> str:
        """World wide name of the storage cell, 16 hex digits [EVA 1.1]."""
        return self._record.wwn

    @property
    def history(self) -> Sequence[ArrayOperation]:
        """What the array did since it was opened, oldest first [EVA-65]."""
        with self._lock:
            return tuple(self._history)

    @property
    def online_controller(self) -> str:
        """The controller that owns the LUNs, "A" or "B" [EVA 1.5]."""
        with self._lock:
            return self._record.online_controller

    def fail_over(self) -> None:
        """Let the other controller take over: nothing else changes [EVA-62]."""
        with self._command():
            other = "B" if self._record.online_controller == "A" else "A"
            self._tables.array.put("array", evolve(self._record, online_controller=other))
            self._log("fail_over", self.name, other)

    def check(self) -> None:
        """Compare the block store's books with its tables; reads all of them.

        Raises:
            ArrayDamaged: They do not agree.
        """
        with self._query():
            self._store.check()

    def close(self) -> None:
        """Make everything durable and let go of the directory. Idempotent."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                self._keep()
            finally:
                self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


if TYPE_CHECKING:
    _disk_array: type[DiskArray] = SimulatedEva
    _provisioning: type[SupportsProvisioning] = SimulatedEva
    _restore: type[SupportsRestore] = SimulatedEva
    _target: type[ScsiTarget] = SimulatedEva
