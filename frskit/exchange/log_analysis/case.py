"""One log analysis under way: the situation, and how its verdicts are worded as values.

Belongs to `frskit.exchange.log_analysis.decision_table`, which holds the rules.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, frozen

from frskit.ese import CheckpointFacts, DatabaseFacts
from frskit.exchange.log_analysis.group_facts import StorageGroupFacts, needed_logs
from frskit.exchange.log_analysis.places import LogPlaces, stream_of
from frskit.exchange.store.versions import StoreProfile
from frskit.model.plans import LogAnalysis, LogVerdict, RecoveryMode, RecoveryTarget

__all__ = ["AnalysisCase", "Decision"]

NEW_COPY = "use another copy; repair (eseutil /p) would lose data"


@frozen(kw_only=True)
class Decision:
    """The verdict of one analysis with what a planner needs beside it.

    Attributes:
        rule: Row of the decision table that decided.
        analysis: The verdict; `stale_checkpoint` says that the checkpoint must go.
        used: Generations that replay would read, ascending.
        promote: Archived log to be renamed to the current log's name [R-10]; None = no need.
        drop_temporary: Whether the prepared next log belongs behind a break and must go too.
    """

    rule: str
    analysis: LogAnalysis
    used: tuple[int, ...] = ()
    promote: int | None = None
    drop_temporary: bool = False


@define(kw_only=True)
class AnalysisCase:
    """One analysis under way."""

    facts: StorageGroupFacts
    mode: RecoveryMode
    profile: StoreProfile
    checkpoint_code: int = 0

    @property
    def judged(self) -> Sequence[DatabaseFacts]:
        """Databases whose logs matter."""
        return self.facts.judged

    @property
    def dirty(self) -> Sequence[DatabaseFacts]:
        """Databases that need logs."""
        return self.facts.dirty

    @property
    def need(self) -> int:
        """First generation that replay must read."""
        needed = needed_logs(self.dirty)
        if needed is not None:
            return needed.first
        return min((each.consistent.generation for each in self.judged), default=0)

    @property
    def required_last(self) -> int:
        """Highest Rmax."""
        needed = needed_logs(self.dirty)
        return self.need if needed is None else needed.last

    @property
    def committed_last(self) -> int:
        """Highest Cmax, never below the highest Rmax."""
        needed = needed_logs(self.dirty)
        return self.need if needed is None else max(needed.last, needed.committed)

    @property
    def places(self) -> LogPlaces:
        """The stream of the logs, for naming places in it."""
        return stream_of(self.facts, self.profile)

    @property
    def checkpoint(self) -> CheckpointFacts | None:
        """The checkpoint that replay would use; None if there is none or it must go."""
        return None if self.checkpoint_code else self.facts.checkpoint

    def decision(
        self,
        rule: str,
        verdict: LogVerdict,
        reason: str,
        *,
        code: int = 0,
        remedy: str = "",
        reaches: int | None = None,
        gap_at: int | None = None,
        set_aside: tuple[int, ...] = (),
        promote: int | None = None,
        drop_temporary: bool = False,
    ) -> Decision:
        """A verdict as a value; the checkpoint note and the logs used are filled in."""
        places = self.places
        analysis = LogAnalysis(
            target=RecoveryTarget(mode=self.mode),
            verdict=verdict,
            reaches=places.maybe(reaches),
            needed=places.stretch(self.need, self.required_last) if self.dirty else None,
            gap_at=places.maybe(gap_at),
            code=code,
            reason=reason,
            remedy=remedy,
            set_aside=tuple(map(places.at, set_aside)),
            stale_checkpoint=bool(self.checkpoint_code),
        )
        # Where nothing is reached, nothing is replayed.
        stops = reaches if reaches is not None else -1
        kept = (g for g in self.facts.stream if g <= stops and g not in set_aside)
        return Decision(
            rule=rule,
            analysis=analysis,
            used=tuple(kept) if verdict in (LogVerdict.OK, LogVerdict.PARTIAL) else (),
            promote=promote,
            drop_temporary=drop_temporary,
        )

    def impossible(
        self,
        rule: str,
        code: int,
        reason: str,
        remedy: str = NEW_COPY,
        *,
        reaches: int | None = None,
        gap_at: int | None = None,
        promote: int | None = None,
    ) -> Decision:
        """The verdict that nothing can be done with these files as they are."""
        return self.decision(
            rule,
            LogVerdict.IMPOSSIBLE,
            reason,
            code=code,
            remedy=remedy,
            reaches=reaches,
            gap_at=gap_at,
            promote=promote,
        )
