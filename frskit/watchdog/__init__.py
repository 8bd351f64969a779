"""Watchdogs before parties: every call of theirs is bounded, and late answers count for nothing."""

from frskit.watchdog.bounded_calls import (
    ANSWER_S,
    CLOSING_S,
    Watchdog,
    foreign,
    silent_parties,
    together,
    watchdog_of,
)
from frskit.watchdog.guarded_parties import Manners, guarded, name_of, pardon, unguarded

__all__ = [
    "ANSWER_S",
    "CLOSING_S",
    "Manners",
    "Watchdog",
    "foreign",
    "guarded",
    "name_of",
    "pardon",
    "silent_parties",
    "together",
    "unguarded",
    "watchdog_of",
]
