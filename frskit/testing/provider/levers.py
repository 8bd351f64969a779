"""Levers that a provider's world may offer beyond `ProviderWorld`; what lacks one is skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

__all__ = ["ProviderLevers"]


class ProviderLevers(Protocol):
    """All optional levers. A world needs none of them, and inherits from nothing."""

    def during_array_call(self, action: Callable[[], object], *, after: bool) -> None:
        """Let the array do this once, in its next staging or commit.

        It happens before the effect, or with `after` between effect and answer; what `action`
        raises is the array's failure.
        """
        ...

    def broken(self) -> AbstractContextManager[None]:
        """While it is open, every call of the array raises an error that is not frskit's."""
        ...
