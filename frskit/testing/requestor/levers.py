"""Levers that a requestor's world may offer beyond `RequestorWorld`; what lacks one is skipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["RequestorLevers"]


class RequestorLevers(Protocol):
    """All optional levers. A world needs none of them, and inherits from nothing."""

    def meddle(self, act: Callable[[str, bool], object] | None) -> None:
        """From now on call `act` around every call that reaches a party; None ends that.

        Parties are the writers, the array or its provider, the servers, the checker and the
        application. `act` is given the call, as in ``"array.commit_copies"``, and False before its
        effect, True between effect and answer; what it raises comes out of the party.
        """
        ...

    def unrest(self) -> Sequence[str]:
        """What must not be while nothing is under way, one text each; empty if all is well.

        Who is frozen, whose writes are held, what is staged, and copies on the array that no
        record of the requestor names, neither as its own nor as left over.
        """
        ...

    def wait(self, seconds: float) -> None:
        """Let so much time pass, on the clock of requestor and parties, from inside a call."""
        ...
