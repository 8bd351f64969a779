"""The record of a copy that is being made: durable first, told to subscribers then."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from frskit.events import CopyStage, Progress, Warned
from frskit.model.copies import Copy

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from frskit.frs.copy_wish import CopyWish
    from frskit.frs.deployment import Parts
    from frskit.frs.state.journal import JournalOperation
    from frskit.frs.state.journal_words import CopyStep

__all__ = ["RecordedCopy"]


class RecordedCopy:
    """What a run knows of its copy, and where it writes that down."""

    _journal: JournalOperation

    def __init__(self, parts: Parts, wish: CopyWish) -> None:
        self._parts = parts
        self.wish = wish
        self.copy: Copy = Copy(
            id=wish.id,
            server=wish.server,
            components=wish.components,
            kind=wish.kind,
            backup_type=wish.backup_type,
            created_at=parts.clock.now(),
            recovery_host=parts.recovery.server.host,
            asked=wish.components,
            check_wanted=wish.check,
        )

    def _record(self, stage: str, detail: str = "") -> None:
        self.copy = self._parts.catalog.put(evolve(self.copy, stage=stage))
        self._emit_stage(stage, detail)

    def _stage(self, stage: str) -> None:
        self.copy = evolve(self.copy, stage=stage)
        self._emit_stage(stage, "")

    def _emit_stage(self, stage: str, detail: str) -> None:
        now = self._parts.clock.now()
        self._parts.sink.emit(CopyStage(at=now, copy=self.copy.id, stage=stage, detail=detail))

    def _warn(self, text: str) -> None:
        self._parts.sink.emit(Warned(at=self._parts.clock.now(), text=text))

    def _step(self, name: CopyStep, **facts: object) -> AbstractContextManager[None]:
        return self._journal.step(name, **facts)

    def _progress(self, operation: str) -> Callable[[int, int], None]:
        def report(done: int, total: int) -> None:
            now = self._parts.clock.now()
            self._parts.sink.emit(Progress(at=now, operation=operation, done=done, total=total))

        return report
