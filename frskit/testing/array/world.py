"""The worlds that the kit for disk arrays works in: an array, with levers to use it as hosts do."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from frskit.clock import Budget
from frskit.errors import DeviceError
from frskit.model.storage import ScsiLun
from frskit.protocols import DiskArray, ScsiTarget

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from frskit.model.ids import HostRef, StorageId
    from frskit.protocols import BlockDevice

__all__ = ["ArrayWorld", "LunArray", "ScsiWorld"]


class ArrayWorld(Protocol):
    """One fresh array with levers; every call of ``make()`` gives another one.

    The kit presents copies to `host` before it reads or writes them. The production storages can
    be written at any time through the levers, however the world does it.

    A world may also have ``copy_by_hand(storage)``, which makes a copy as an operator does, without
    a key, and returns its id.
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
        copy_by_hand: Makes a copy of a storage without frskit and returns its id; None = it cannot.
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
        copy_by_hand: Callable[[StorageId], StorageId] | None = None,
    ) -> None:
        self.array: LunArray = array
        self.host = host
        self.storages: tuple[StorageId, ...] = tuple(storages)
        self.size_bytes = size_bytes
        self._production = production
        self._advance = advance
        self._restart = restart
        self._close = close
        self.copy_by_hand = copy_by_hand
        for storage in self.storages:
            array.present(storage, production, read_only=False, budget=Budget.unlimited())

    def _device(self, storage: StorageId) -> BlockDevice:
        host = self._production if storage in self.storages else self.host
        for presentation in self.array.presentations(storage, budget=Budget.unlimited()):
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
