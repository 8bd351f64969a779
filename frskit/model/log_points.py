"""Places in an application's log: ordered, and named in the application's own words.

A log is a stream that grows. Where one place comes before another is a number, `LogPoint.rank`;
what people call it is text, `LogPoint.name`. Exchange counts generations and names files
(``E0000012.log``), PostgreSQL counts bytes and writes ``0/1A2B3C``; a requestor orders ranks and
never takes a name apart.
"""

from __future__ import annotations

from attrs import frozen

from frskit.model.values import Value

__all__ = ["LogPoint", "LogRange"]


@frozen(kw_only=True)
class LogPoint(Value):
    """A place in one log stream.

    Attributes:
        rank: Orders places inside their stream; of any size. There need not be a place at every
            number: whether a chain has a gap is for the application to say.
        name: What people call it; empty if the rank says it all.
        stream: Where ranks can be compared: a log signature, a timeline. A recovery that makes
            history anew begins a new stream [HAZ-07].
    """

    rank: int
    name: str = ""
    stream: str = ""

    def before(self, other: LogPoint) -> bool | None:
        """Whether it comes before the other; None: of another stream, which nobody can compare.

        A caller that deletes or skips something takes None as unsafe.
        """
        return None if self.stream != other.stream else self.rank < other.rank

    def __str__(self) -> str:
        return self.name or str(self.rank)


@frozen(kw_only=True)
class LogRange(Value):
    """A stretch of one log stream, both ends included."""

    first: LogPoint
    last: LogPoint

    def __contains__(self, place: object) -> bool:
        """Whether a place is in it; one of another stream is not."""
        return (
            isinstance(place, LogPoint)
            and place.before(self.first) is False
            and self.last.before(place) is False
        )

    def __str__(self) -> str:
        return f"{self.first} to {self.last}"
