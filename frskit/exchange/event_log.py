"""The application event log of a simulated Exchange server [exchange.md 3.6].

Entries of the store engine (source ESE) and of the writer (source MSExchangeIS), in the order in
which they came; the numbers are in `frskit.codes.exchange_events`.
"""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from frskit.codes.exchange_events import is_recalled

__all__ = ["ESE", "STORE", "EventEntry"]

ESE = "ESE"
STORE = "MSExchangeIS"


@frozen(kw_only=True)
class EventEntry:
    """One entry.

    Attributes:
        id: Event number: one of `EventId`.
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
