"""The array's own log of what it was told to do: typed events, oldest first.

What it is: one event per completed operation and per thing that the array did by itself
(normalization ended, snapshot invalidated). The same seed, clock and operations give the same log,
byte for byte [EVA-65]. What it is not: durable, or complete beyond the last ten thousand events.
"""

from __future__ import annotations

from attrs import frozen

from frskit.events import Event

__all__ = ["ArrayOperation"]


@frozen(kw_only=True)
class ArrayOperation(Event):
    """The array did something.

    Attributes:
        operation: What: ``create_storage``, ``commit``, ``normalized``, ``invalidated`` ...
        subject: Name or key of what it was done to.
        detail: What came of it: ids, numbers.
    """

    name = "array.operation"
    operation: str
    subject: str
    detail: str = ""
