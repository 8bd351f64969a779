"""Levers that a writer's world may offer beyond `WriterWorld`; what lacks one is skipped by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from frskit.model.components import ComponentId

__all__ = ["WriterLevers"]


class WriterLevers(Protocol):
    """All optional levers. A world needs none of them, and inherits from nothing."""

    def logs(self, component: ComponentId) -> Collection[str]:
        """Names of the component's log files that exist now and are complete."""
        ...

    def close_log(self, component: ComponentId) -> None:
        """Let the application complete one more log file of the component."""
        ...

    def during_freeze(self, action: Callable[[], object]) -> None:
        """Let the application do this once, the next time it is brought to hold its writes.

        It happens in the midst of the writer's Freeze; what `action` raises is a failure of the
        application, such as a full disk.
        """
        ...

    def advance(self, seconds: float) -> None:
        """Let time pass for writer and application."""
        ...

    def replaceable(self, may: bool) -> None:
        """Bring the application to where its files may be replaced by a restore, or may not."""
        ...
