"""Events: frozen records of what happened, and the sinks that want to know.

Progress bars, JSON lines, the journal's display and timelines are all subscribers. Event names
are constants, facts are fields. Between Freeze and Thaw no subscriber is called: the engine
collects events in an `EventBuffer` and hands them on afterwards (design law 5).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import ClassVar, Protocol, runtime_checkable

from attrs import asdict, frozen

__all__ = [
    "CallableSink",
    "CopyStage",
    "Event",
    "EventBuffer",
    "EventSink",
    "FanOut",
    "LogSink",
    "NullSink",
    "Progress",
    "Publisher",
    "RecoveryStage",
    "ServiceTrace",
    "Warned",
]


@frozen(kw_only=True)
class Event:
    """Base of all events.

    Attributes:
        at: When it happened, aware UTC, on the clock of the party that saw it.
    """

    name: ClassVar[str] = "event"
    at: datetime

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON: the name, the time in ISO 8601, and the fields."""
        fields = {key: value for key, value in asdict(self).items() if key != "at"}
        return {"event": self.name, "at": self.at.isoformat(), **fields}


@frozen(kw_only=True)
class CopyStage(Event):
    """A copy entered a stage: requested, planned, created, imported, ..., parked, failed."""

    name = "copy.stage"
    copy: str
    stage: str
    detail: str = ""


@frozen(kw_only=True)
class RecoveryStage(Event):
    """A recovery entered a step of its plan."""

    name = "recovery.stage"
    copy: str
    step: str
    detail: str = ""


@frozen(kw_only=True)
class ServiceTrace(Event):
    """One row of the shadow copy service's trace [VSS 1.1].

    Attributes:
        set_id: The set, empty before there is one.
        party: R requestor, W writer, P provider, K kernel, C coordinator.
        step: Name of the call or event (``Freeze``, ``CommitSnapshots`` ...).
        subject: Writer, provider or volume concerned.
        outcome: Empty if fine, else what went wrong.
    """

    name = "service.trace"
    set_id: str
    party: str
    step: str
    subject: str = ""
    outcome: str = ""


@frozen(kw_only=True)
class Progress(Event):
    """Work that can be measured: normalization, checking, copying back."""

    name = "progress"
    operation: str
    done: int
    total: int
    unit: str = "bytes"


@frozen(kw_only=True)
class Warned(Event):
    """Something that does not stop the work but should be known."""

    name = "warning"
    text: str


class EventSink(Protocol):
    """Takes events; must be quick and must not raise."""

    def emit(self, event: Event) -> None:
        """Take one event."""
        ...


class NullSink:
    """Takes events and forgets them."""

    def emit(self, event: Event) -> None:
        """Do nothing."""


class CallableSink:
    """Hands every event to a function."""

    def __init__(self, function: Callable[[Event], None]) -> None:
        self._function = function

    def emit(self, event: Event) -> None:
        """Call the function."""
        self._function(event)


class LogSink:
    """Writes events to the standard logger ``frskit.events`` with structured extras."""

    def __init__(self) -> None:
        self._logger = logging.getLogger("frskit.events")

    def emit(self, event: Event) -> None:
        """Log at INFO, warnings at WARNING."""
        level = logging.WARNING if isinstance(event, Warned) else logging.INFO
        self._logger.log(level, event.name, extra={"frskit": event.to_dict()})


@runtime_checkable
class Publisher(Protocol):
    """A party that has events of its own; `frskit.compose` hands them to the site's subscribers."""

    def subscribe(self, sink: EventSink) -> None:
        """Hand every later event to `sink`, too; one that has them already gets them once."""
        ...


class EventBuffer:
    """Keeps events, in order, until somebody drains it."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, event: Event) -> None:
        """Append."""
        self.events.append(event)

    def drain(self, into: EventSink) -> None:
        """Hand everything on, oldest first, and forget it."""
        events, self.events = self.events, []
        for event in events:
            into.emit(event)


class FanOut:
    """Hands every event to several sinks; a sink that raises is dropped with a log line."""

    def __init__(self, sinks: Iterable[EventSink] = ()) -> None:
        self._sinks = list(sinks)

    def subscribe(self, sink: EventSink) -> None:
        """Add a sink."""
        self._sinks.append(sink)

    def unsubscribe(self, sink: EventSink) -> None:
        """Remove a sink; unknown ones are fine."""
        if sink in self._sinks:
            self._sinks.remove(sink)

    def emit(self, event: Event) -> None:
        """Hand the event to every sink."""
        for sink in list(self._sinks):
            try:
                sink.emit(event)
            except Exception:
                logging.getLogger(__name__).exception("an event sink failed and was dropped")
                self.unsubscribe(sink)
