"""What a backup session of the engine is of, where it stands, and what it deleted."""

from __future__ import annotations

from enum import Enum

from attrs import frozen

__all__ = ["SnapshotKind", "SnapshotState", "TruncationReport"]


class SnapshotKind(Enum):
    """Type of backup [exchange.md 3.7]."""

    FULL = "full"
    INCREMENTAL = "incremental"
    COPY = "copy"
    DIFFERENTIAL = "differential"

    @property
    def truncates(self) -> bool:
        """Whether logs are deleted after success."""
        return self in (SnapshotKind.FULL, SnapshotKind.INCREMENTAL)

    @property
    def needs_full(self) -> bool:
        """Whether a previous full backup of the snapshot type is required."""
        return self in (SnapshotKind.INCREMENTAL, SnapshotKind.DIFFERENTIAL)


class SnapshotState(Enum):
    """Where a session stands [exchange.md 3.1]."""

    PREPARED = "prepared"
    FROZEN = "frozen"
    THAWED = "thawed"
    TRUNCATED = "truncated"
    TIMED_OUT = "timed out"
    ENDED = "ended"
    ABORTED = "aborted"


@frozen(kw_only=True)
class TruncationReport:
    """What truncation did.

    Attributes:
        deleted: Generations deleted, ascending.
        missing: Generations of the range that were gone already.
        limit: First generation that had to stay.
        event: The event logged: 224 something deleted, 225 nothing.
        failed: Generation whose deletion failed, which stopped the rest; None if none did.
    """

    deleted: tuple[int, ...]
    missing: tuple[int, ...]
    limit: int
    event: int
    failed: int | None = None
