"""What varies between stores: sizes, limits and habits of the simulated engine, as data.

Not behavior: no rule of recovery or backup hides here. Values that Microsoft published carry
their source; the others are frskit's choice and say so.
"""

from __future__ import annotations

from enum import Enum

from attrs import evolve, field, frozen

from frskit.codes.ese import EseError
from frskit.errors import UsageError

__all__ = ["SMALL_LOGS", "STORE_2003", "StoreKind", "StoreProfile"]

MIN_LOG_SECTORS = 192
"""Smallest log that still holds the largest record (frskit's choice)."""

MAX_LOG_SECTORS = 0xFFFF
"""The header's sector count has 16 bits [ese.md 6]."""


class StoreKind(Enum):
    """What a database serves; a storage group mixes both [exchange.md 1.1]."""

    MAILBOX = "mailbox"
    PUBLIC = "public"


@frozen(kw_only=True)
class StoreProfile:
    """Sizes and habits of one kind of store.

    Attributes:
        name: What the profile stands for.
        format_revision: Revision in the header: 0x0B = Exchange 2003 SP1 [ese.md 2.4].
        log_sectors: Sectors of 512 bytes per log file; 10240 = 5 MB [lab-store.md 4].
        generation_digits: Hex digits in the names of archived logs: 5 in 2003 [ese.md 10].
        freeze_timeout_s: After so long the engine thaws itself; 20 s observed [exchange.md 3.1].
        initial_pages: Pages of a new database (frskit's choice).
        growth_pages: Pages by which a full database grows (frskit's choice).
        dirty_page_limit: Dirty pages that make a commit flush some (frskit's choice).
        flush_batch_pages: How many it then flushes (frskit's choice).
        checkpoint_depth_logs: How many logs the checkpoint may lie behind (frskit's choice; the
            engine's default is 20 MB, four logs of 5 MB).
        cache_pages: Clean pages kept in memory per database (frskit's choice).
        legacy_initial_pages: Give the pages of a new database the old checksum; each changes to
            the new one when rewritten, so that both mix, as after an upgrade [ese.md 2.4].
        tracks_committed: Keep the committed generation in headers: from 2007 on [ese.md 2.1].
        stamps_copy_backups: Record copy and differential backups in headers; not in 2003
            [exchange.md 3.5, inferred].
        temporary_log_suffices: Recovery may start from the prepared next log alone [R-10].
        gap_code: Error for a gap with later logs present: -528, in older engines -543 [R-11].
    """

    name: str = "Exchange 2003 SP1"
    format_revision: int = 0x0B
    log_sectors: int = field(default=10_240)
    generation_digits: int = field(default=5)
    freeze_timeout_s: float = 20.0
    initial_pages: int = field(default=62)
    growth_pages: int = field(default=64)
    dirty_page_limit: int = 512
    flush_batch_pages: int = 64
    checkpoint_depth_logs: int = 4
    cache_pages: int = 4096
    legacy_initial_pages: bool = False
    tracks_committed: bool = False
    stamps_copy_backups: bool = False
    temporary_log_suffices: bool = True
    gap_code: int = EseError.MISSING_LOG_FILE

    @log_sectors.validator
    def _check_log_sectors(self, _: object, value: int) -> None:
        if not MIN_LOG_SECTORS <= value <= MAX_LOG_SECTORS:
            raise UsageError(f"a log of {value} sectors is not possible")

    @generation_digits.validator
    def _check_digits(self, _: object, value: int) -> None:
        if value not in (5, 8):
            raise UsageError(f"log names have 5 or 8 digits, not {value}")

    @initial_pages.validator
    def _check_initial_pages(self, _: object, value: int) -> None:
        # At least the catalog and one leaf, at most 4 GB (ours).
        if not 40 <= value <= 1 << 20:
            raise UsageError(f"a new database cannot have {value} pages")

    @growth_pages.validator
    def _check_growth_pages(self, _: object, value: int) -> None:
        if not 1 <= value <= 1 << 16:
            raise UsageError(f"a database cannot grow by {value} pages")


STORE_2003 = StoreProfile()
"""The shipped profile: Exchange 2003 SP1 with logs of 5 MB."""

SMALL_LOGS = evolve(STORE_2003, name="Exchange 2003 SP1, logs of 128 KB", log_sectors=256)
"""Small logs, for histories with many generations [lab-store.md 4]."""
