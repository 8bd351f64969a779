"""The application event log of a simulated Exchange server [exchange.md 3.6].

Entries of the store engine (source ESE) and of the writer (source MSExchangeIS), in the order in
which they came. Numbers of the writer that no readable source gives are marked as recalled.
"""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

__all__ = ["ESE", "STORE", "EventEntry", "is_recalled"]

ESE = "ESE"
STORE = "MSExchangeIS"

_RECALLED = frozenset(
    {9610, 9612, 9614, 9615, 9616, 9617, 9618, 9619, 9620, 9621, 9622, 9648, 9780, 9781, 9782}
)
"""Numbers known from memory only [exchange.md 3.6, last rows but one]."""


def is_recalled(event_id: int) -> bool:
    """Whether the number is (recalled), that is, no source for it was read."""
    return event_id in _RECALLED


@frozen(kw_only=True)
class EventEntry:
    """One entry.

    Attributes:
        id: Event number.
        source: Who wrote it.
        text: What happened.
        at: When, aware UTC.
    """

    id: int
    source: str
    text: str
    at: datetime

    @property
    def recalled(self) -> bool:
        """Whether the number is known from memory only."""
        return self.source == STORE and is_recalled(self.id)
