"""Places in a storage group's log stream, in the words of every application.

Inside this package a log is its generation; outside it is a `LogPoint`: rank the generation, name
the file, stream the log signature. The name is that of the archived log, which a log keeps for
good: the current one is called ``E00.log`` only until it is full [exchange.md 1.2].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from frskit.errors import UsageError
from frskit.ese.logs import archived_log_name
from frskit.model.log_points import LogPoint, LogRange

if TYPE_CHECKING:
    from frskit.exchange.log_analysis.group_facts import StorageGroupFacts
    from frskit.exchange.store.versions import StoreProfile
    from frskit.model.ese_structures import Signature

__all__ = ["LogPlaces", "stream_of", "stream_text"]


def stream_text(signature: Signature | None) -> str:
    """The stream of a log signature; empty if it is unknown or was never set."""
    return "" if signature is None or not signature.is_set else str(signature)


@frozen(kw_only=True)
class LogPlaces:
    """One log stream, for naming places in it.

    Attributes:
        base: Log prefix.
        stream: Its log signature as text; empty if unknown.
        digits: Digits of the generation in file names.
    """

    base: str
    stream: str = ""
    digits: int | None = None

    def at(self, generation: int) -> LogPoint:
        """The place of one log."""
        return LogPoint(rank=generation, name=self._name(generation), stream=self.stream)

    def maybe(self, generation: int | None) -> LogPoint | None:
        """The place of one log, if there is one."""
        return None if generation is None else self.at(generation)

    def stretch(self, first: int, last: int) -> LogRange:
        """From one log to another."""
        return LogRange(first=self.at(first), last=self.at(last))

    def _name(self, generation: int) -> str:
        try:
            return archived_log_name(self.base, generation, digits=self.digits)
        # Generation 0 is no log, and neither is one of a damaged header that no name can hold.
        except UsageError:
            return ""


def stream_of(facts: StorageGroupFacts, profile: StoreProfile) -> LogPlaces:
    """The stream that a storage group's files belong to: its logs say so first."""
    known = [log.signature for log in facts.stream.values()]
    if facts.checkpoint is not None and facts.checkpoint.usable:
        known.append(facts.checkpoint.signature)
    known += [each.log_signature for each in facts.judged]
    texts = (text for each in known if (text := stream_text(each)))
    return LogPlaces(base=facts.base, stream=next(texts, ""), digits=profile.generation_digits)
