"""Enums where people may say a word: `chosen` turns it into the member, or says what there is."""

from __future__ import annotations

from enum import Enum
from typing import TypeVar

from frskit.errors import UsageError

__all__ = ["chosen"]

E = TypeVar("E", bound=Enum)


def chosen(kind: type[E], value: E | str, what: str) -> E:
    """The member that a value or word means: its value or its name, in any case.

    Args:
        kind: The enum.
        value: A member, or a word for one.
        what: What is being chosen, for the message.

    Raises:
        UsageError: There is no such member, or it is one of another enum.

    Example:
        >>> from frskit.model import RecoveryMode
        >>> chosen(RecoveryMode, "Roll-Forward", "the mode")
        <RecoveryMode.ROLL_FORWARD: 'roll-forward'>
    """
    if isinstance(value, kind):
        return value
    if isinstance(value, str):
        wanted = value.casefold().replace("_", "-")
        for each in kind:
            if wanted in (str(each.value).casefold(), each.name.casefold().replace("_", "-")):
                return each
    raise UsageError(
        f"{what} cannot be {value!r}",
        hint=f"One of: {', '.join(str(each.value) for each in kind)}.",
    )
