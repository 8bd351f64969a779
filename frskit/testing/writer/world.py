"""The world that the kit for writers works in: a writer, and levers on its application."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from frskit.clock import Budget
from frskit.model.components import ComponentId
from frskit.model.ids import VolumeId
from frskit.protocols import Writer

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = ["WriterWorld"]


class WriterWorld(Protocol):
    """A fresh writer and its application; every call of ``make()`` gives another one."""

    @property
    def writer(self) -> Writer:
        """The writer."""
        ...

    @property
    def components(self) -> Sequence[ComponentId]:
        """Components that a backup can name explicitly."""
        ...

    @property
    def volumes(self) -> Collection[VolumeId]:
        """All volumes that hold their files."""
        ...

    def write(self) -> bool:
        """Let the application change something; False if it cannot now, because it is held."""
        ...

    def image(self) -> object:
        """Something that is equal exactly as long as the component files do not change."""
        ...

    def truncated(self) -> bool:
        """Whether logs were deleted since the world was made."""
        ...

    def truncates(self) -> bool:
        """Whether a successful FULL backup should have deleted logs by now."""
        ...

    def pass_window(self) -> bool:
        """Let more than the freeze window pass; False if this writer has no clock of its own."""
        ...

    def budget(self) -> Budget:
        """A budget on the world's clock."""
        ...
