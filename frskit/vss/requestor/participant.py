"""One writer in one backup session: what it said, and what it has been told."""

from __future__ import annotations

from attrs import define

from frskit.model.components import FREEZE_WINDOW_S, WriterMetadata, WriterSession
from frskit.vss.writers import Enrolled

__all__ = ["Participant"]


@define(eq=False)
class Participant:
    """One writer in one session.

    Attributes:
        member: The writer.
        metadata: What it said when the session gathered metadata; never changes [EXC-09].
        session: What it is told.
        prepared: PrepareForBackup was sent, whatever came of it.
        vetoed: It refused an event; a requestor that goes on all the same goes on without it.
        in_snapshot: PrepareForSnapshot was sent, so a failure has to be followed by Abort.
        frozen_at: Clock reading when Freeze was sent; None before.
        thawed_at: Clock reading when Thaw or Abort had been delivered after Freeze.
        aborts: How often Abort was sent.
        ended: It has answered Abort, and was told nothing since.
        completed: BackupComplete was sent.
        shut_down: BackupShutdown was sent.
    """

    member: Enrolled
    metadata: WriterMetadata
    session: WriterSession
    prepared: bool = False
    vetoed: bool = False
    in_snapshot: bool = False
    frozen_at: float | None = None
    thawed_at: float | None = None
    aborts: int = 0
    ended: bool = False
    completed: bool = False
    shut_down: bool = False

    @property
    def window_s(self) -> float:
        """How long it may be frozen: as it says, or else the service's default [VSS-42]."""
        said_s = self.metadata.freeze_timeout_s
        return FREEZE_WINDOW_S if said_s is None else said_s

    @property
    def frozen(self) -> bool:
        """Whether it got Freeze and neither Thaw nor Abort yet."""
        return self.frozen_at is not None and self.thawed_at is None

    def remaining_s(self, now_s: float) -> float | None:
        """Rest of its freeze window, None if it is not frozen; 0 counts as exceeded [R-7]."""
        if self.frozen_at is None or not self.frozen:
            return None
        return max(0.0, self.window_s - (now_s - self.frozen_at))

    def held_s(self) -> float:
        """How long it was frozen."""
        if self.frozen_at is None or self.thawed_at is None:
            return 0.0
        return self.thawed_at - self.frozen_at
