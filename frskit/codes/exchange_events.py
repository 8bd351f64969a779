"""Events of an Exchange server's application log by number [exchange.md 3.6], as data.

Numbers of the writer that no readable source gives are marked as recalled.
"""

from __future__ import annotations

from enum import IntEnum

__all__ = ["EventId", "is_recalled"]


class EventId(IntEnum):
    """Numbers of the entries [exchange.md 3.6]; a member is its number, also by ``repr``."""

    def __repr__(self) -> str:
        return int.__repr__(self)

    # Store engine, source ESE.
    MISSES_FULL_BACKUP = 206
    HEADER_NOT_UPDATED = 219
    LOGS_DELETED = 224
    NO_LOGS_DELETED = 225
    LOGS_TO_DELETE_MISSING = 227
    LOG_REPLAYED = 301
    RECOVERY_COMPLETE = 302
    RECOVERY_FAILED = 454
    FILE_TO_BACK_UP_MISSING = 459
    ATTACHED_DATABASE_MISSING = 494
    FREEZE_STARTED = 2001
    FREEZE_FAILED = 2002
    FREEZE_ENDED = 2003
    FREEZE_TIMED_OUT = 2004
    FULL_BACKUP_STARTED = 2005
    BACKUP_COMPLETED = 2006
    BACKUP_ABORTED = 2007
    INCREMENTAL_BACKUP_STARTED = 2008
    COPY_BACKUP_STARTED = 2009
    DIFFERENTIAL_BACKUP_STARTED = 2010

    # Information store and its writer, source MSExchangeIS; even = success, the next odd = error.
    STORAGE_GROUP_NOT_STARTED = 9518
    WRITER_ENGAGED = 9606
    WRITER_PREPARE_FAILED = 9607
    WRITER_PREPARED = 9608
    WRITER_FROZEN = 9610
    WRITER_FREEZE_FAILED = 9611
    WRITER_THAWED = 9612
    WRITER_ABORTED = 9614
    WRITER_ABORT_FAILED = 9615
    WRITER_BACKUP_COMPLETE = 9616
    WRITER_BACKUP_COMPLETE_FAILED = 9617
    WRITER_PRE_RESTORE = 9618
    WRITER_PRE_RESTORE_FAILED = 9619
    WRITER_POST_RESTORE = 9620
    WRITER_POST_RESTORE_FAILED = 9621
    WRITER_POST_SNAPSHOT = 9622
    WRITER_SHUTDOWN = 9648
    BACKED_UP_AND_TRUNCATED = 9780
    BACKED_UP_WITHOUT_TRUNCATION = 9781
    BACKED_UP_WITH_ERRORS = 9782


_RECALLED = frozenset(
    {
        EventId.WRITER_FROZEN,
        EventId.WRITER_THAWED,
        EventId.WRITER_ABORTED,
        EventId.WRITER_ABORT_FAILED,
        EventId.WRITER_BACKUP_COMPLETE,
        EventId.WRITER_BACKUP_COMPLETE_FAILED,
        EventId.WRITER_PRE_RESTORE,
        EventId.WRITER_PRE_RESTORE_FAILED,
        EventId.WRITER_POST_RESTORE,
        EventId.WRITER_POST_RESTORE_FAILED,
        EventId.WRITER_POST_SNAPSHOT,
        EventId.WRITER_SHUTDOWN,
        EventId.BACKED_UP_AND_TRUNCATED,
        EventId.BACKED_UP_WITHOUT_TRUNCATION,
        EventId.BACKED_UP_WITH_ERRORS,
    }
)
"""Numbers known from memory only [exchange.md 3.6, last rows but one]."""


def is_recalled(event_id: int) -> bool:
    """Whether the number is (recalled), that is, no source for it was read."""
    return event_id in _RECALLED
