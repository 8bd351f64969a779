"""The world that the kit for providers works in: a provider on two hosts, and levers on its array."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from frskit.clock import Budget
from frskit.model.ids import StorageId
from frskit.model.shadows import LunInformation
from frskit.protocols import HardwareProvider

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["ProviderWorld"]


class ProviderWorld(Protocol):
    """A fresh provider with levers; every call of ``make()`` gives another one."""

    @property
    def provider(self) -> HardwareProvider:
        """The provider of the host that owns the originals."""
        ...

    @property
    def far(self) -> HardwareProvider:
        """The same array's provider on the host that imports."""
        ...

    @property
    def luns(self) -> Sequence[LunInformation]:
        """At least two originals that the provider supports."""
        ...

    @property
    def foreign(self) -> LunInformation:
        """A LUN that does not belong to the array."""
        ...

    def write(self, storage: StorageId, data: bytes) -> None:
        """Write four bytes to the beginning of an original."""
        ...

    def read(self, storage: StorageId) -> bytes:
        """The first four bytes of an original or a target."""
        ...

    def targets(self) -> Sequence[StorageId]:
        """Every target that exists on the array now."""
        ...

    def shown(self, storage: StorageId) -> str:
        """How the importing host sees a target: ``""`` not at all, ``"ro"`` or ``"rw"``."""
        ...

    def break_commit(self) -> bool:
        """Let the next commit fail; False if this world cannot."""
        ...

    def budget(self) -> Budget:
        """A budget on the world's clock."""
        ...
