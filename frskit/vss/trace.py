"""The trace of one coordinator: rows of [VSS 1.1] as events, kept back while writers are frozen.

Between the first Freeze and the last Thaw no subscriber is called (design law 5): rows are
collected and handed on when the application writes again.

The wall clock may be set while a backup runs, by an hour inside of the hold as well. So it is read
once, when a requestor object is made and no other one is open, and every time of that backup is
the time that went by since then: rows never run backwards, and the instant of a set lies between
the rows around it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from frskit.clock import Clock
from frskit.events import EventBuffer, EventSink, ServiceTrace, Warned
from frskit.model.ids import SetId

__all__ = ["Tracer"]


class Tracer:
    """Emits rows with the time at which they happened.

    Args:
        sink: Where they go; one that raises is logged and never disturbs the service. None: nowhere,
            until somebody subscribes.
        clock: Tells the time of each row.
    """

    def __init__(self, sink: EventSink | None, clock: Clock) -> None:
        self._sinks = [] if sink is None else [sink]
        self._clock = clock
        self._buffer = EventBuffer()
        self._quiet = 0
        self.begin()

    def subscribe(self, sink: EventSink) -> None:
        """Hand rows to this sink as well, once."""
        if not any(each is sink for each in self._sinks):
            self._sinks.append(sink)

    def begin(self) -> None:
        """Read the wall clock; from now on its times are counted from here."""
        self._began, self._began_s = self._clock.now(), self._clock.monotonic()

    def now(self) -> datetime:
        """The time of what happens now, in order with all others of the same backup."""
        return self._began + timedelta(seconds=self._clock.monotonic() - self._began_s)

    def row(
        self, party: str, step: str, *, set_id: SetId | None, subject: str = "", outcome: str = ""
    ) -> None:
        """One row: who (R, W, P, K, C), what, about whom, and what went wrong."""
        self._emit(
            ServiceTrace(
                at=self.now(),
                set_id=set_id or "",
                party=party,
                step=step,
                subject=subject,
                outcome=outcome,
            )
        )

    def warn(self, text: str) -> None:
        """Something that should be known."""
        self._emit(Warned(at=self.now(), text=text))

    def _emit(self, event: ServiceTrace | Warned) -> None:
        self._buffer.emit(event)
        if not self._quiet:
            self._drain()

    def _drain(self) -> None:
        events, self._buffer.events = self._buffer.events, []
        for sink in self._sinks:
            try:
                for event in events:
                    sink.emit(event)
            # A subscriber's failure must not become the backup's.
            except Exception:
                logging.getLogger(__name__).exception("the event sink of a coordinator failed")

    @contextmanager
    def quiet(self) -> Iterator[None]:
        """Keep rows back for the length of the block, whatever happens in it."""
        # Counted, because a block may lie within another.
        self._quiet += 1
        try:
            yield
        finally:
            self._quiet -= 1
            if not self._quiet:
                self._drain()
