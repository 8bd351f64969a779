"""The conformance kit for disk arrays: is this a `DiskArray` that frskit can trust?

What it is: `check_disk_array`, a plain function that drives any array through fixed scenarios and
through random histories against a naive model of bytes, and says what it could not check. What it
is not: a test of one kind of array. It knows no blocks, LUNs or rules of its own: legality is the
array's business, and a refusal is fine as long as it changes nothing. What must hold is the
contract of `frskit.protocols.DiskArray`: the content of copies, sets as a whole, idempotency, and
space that comes back.

The caller provides an `ArrayWorld`: the array plus levers to write, read, let time pass and
restart. `ScsiWorld` is a ready-made one for arrays that are also `ScsiTarget`.

Hypothesis is imported when the kit runs, not when this module is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from attrs import define, field

from frskit.clock import Budget
from frskit.errors import DeviceError, FrskitError, MissingDependency
from frskit.model.storage import ScsiLun
from frskit.protocols import DiskArray, ScsiTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from frskit.model.ids import HostRef, StorageId
    from frskit.protocols import BlockDevice

__all__ = ["ArrayWorld", "KitReport", "LunArray", "ScsiWorld", "check_disk_array"]


class ArrayWorld(Protocol):
    """One fresh array with levers; every call of ``make()`` gives another one.

    The kit presents copies to `host` before it reads or writes them. The production storages can
    be written at any time through the levers, however the world does it.
    """

    @property
    def array(self) -> DiskArray:
        """The array; another object after `restart` is fine."""
        ...

    @property
    def host(self) -> HostRef:
        """A host that copies can be presented to."""
        ...

    @property
    def storages(self) -> Sequence[StorageId]:
        """At least two production storages that read as zeros."""
        ...

    @property
    def size_bytes(self) -> int:
        """Bytes of each storage that the levers reach; 4096 to about 1 MiB."""
        ...

    @property
    def concurrent(self) -> bool:
        """Whether the levers may be used by another thread during a commit."""
        ...

    def read(self, storage: StorageId, offset: int, length: int) -> bytes:
        """What the production server, or for copies `host`, reads now."""
        ...

    def write(self, storage: StorageId, offset: int, data: bytes) -> None:
        """Write as the production server, or for copies as `host`; returns when it is there."""
        ...

    def advance(self, seconds: float) -> None:
        """Let time pass for the array."""
        ...

    def restart(self) -> bool:
        """Close the array and open it again; False if this world cannot."""
        ...

    def close(self) -> None:
        """Give everything up."""
        ...


@define
class KitReport:
    """What a run of the kit checked, and what not and why.

    Attributes:
        executed: How often each part ran.
        skipped: Parts that did not run, with the reason.
    """

    executed: dict[str, int] = field(factory=dict)
    skipped: dict[str, str] = field(factory=dict)

    def ran(self, part: str) -> None:
        """Count a part."""
        self.executed[part] = self.executed.get(part, 0) + 1
        self.skipped.pop(part, None)

    def skip(self, part: str, reason: str) -> None:
        """Note why a part did not run; a part that ran elsewhere is not skipped."""
        if part not in self.executed:
            self.skipped.setdefault(part, reason)

    def __str__(self) -> str:
        lines = [f"{part}: {count} times" for part, count in sorted(self.executed.items())]
        lines += [f"{part}: SKIPPED, {reason}" for part, reason in sorted(self.skipped.items())]
        return "\n".join(lines)


class LunArray(DiskArray, ScsiTarget, Protocol):
    """An array that is also the block side of itself."""


class ScsiWorld:
    """A world made of an array that offers its storage as LUNs.

    Args:
        array: The array; its levers are its own block devices.
        host: Host for copies.
        production: Host that the production storages are presented to, writable.
        storages: The production storages.
        size_bytes: Reach of the levers.
        advance: Lets time pass.
        restart: Closes the array and returns it reopened; None if it cannot.
        close: Called at the end.
    """

    concurrent = True

    def __init__(
        self,
        array: LunArray,
        *,
        host: HostRef,
        production: HostRef,
        storages: Sequence[StorageId],
        size_bytes: int,
        advance: Callable[[float], None],
        restart: Callable[[], LunArray] | None = None,
        close: Callable[[], None] | None = None,
    ) -> None:
        self.array: LunArray = array
        self.host = host
        self.storages: tuple[StorageId, ...] = tuple(storages)
        self.size_bytes = size_bytes
        self._production = production
        self._advance = advance
        self._restart = restart
        self._close = close
        for storage in self.storages:
            array.present(storage, production, read_only=False, budget=Budget.unlimited())

    def _device(self, storage: StorageId) -> BlockDevice:
        host = self._production if storage in self.storages else self.host
        for presentation in self.array.presentations(storage):
            access = presentation.access
            if presentation.host == host and isinstance(access, ScsiLun):
                return self.array.open_lun(host, access.number)
        raise DeviceError(f"{storage!r} is not presented to {host!r}")

    def read(self, storage: StorageId, offset: int, length: int) -> bytes:
        """Read through the LUN."""
        return self._device(storage).read(offset, length)

    def write(self, storage: StorageId, offset: int, data: bytes) -> None:
        """Write through the LUN, and flush."""
        device = self._device(storage)
        device.write(offset, data)
        device.flush()

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self._advance(seconds)

    def restart(self) -> bool:
        """Reopen the array, if it can be."""
        if self._restart is None:
            return False
        self.array = self._restart()
        return True

    def close(self) -> None:
        """Give the array up."""
        if self._close is not None:
            self._close()


def check_disk_array(
    make: Callable[[], ArrayWorld],
    *,
    max_examples: int = 100,
    steps: int = 30,
    shrink: bool = True,
) -> KitReport:
    """Check an array against the contract of `DiskArray`.

    Args:
        make: Gives a fresh world at each call.
        max_examples: Random histories to try.
        steps: Longest history.
        shrink: Whether a failing history is made small before it is shown.

    Returns:
        What was checked, and what was skipped because the array or world does not offer it.

    Raises:
        AssertionError: The array breaks the contract; the message says where, and for a random
            history the notes hold the smallest sequence of calls that shows it.
        MissingDependency: Hypothesis is not installed.
    """
    from frskit.testing.array_machine import run_histories
    from frskit.testing.array_scenarios import run_scenarios

    report = KitReport()
    try:
        run_scenarios(make, report)
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
