"""Put the parties of a site together.

`compose` is the one place where servers, services, applications and stores become a
`FastRecovery`; the lab uses it, and so does everybody who brings parties of their own.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING

from frskit.clock import Clock, SystemClock
from frskit.events import FanOut, LogSink, Publisher
from frskit.frs import (
    FastRecovery,
    Journal,
    Locks,
    Parts,
    Policy,
    Production,
    Recovery,
    SqliteCatalog,
)
from frskit.model.ids import IdFactory
from frskit.storage import make_directory

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from frskit.events import EventSink
    from frskit.protocols import ShadowCopyService

__all__ = ["Site", "compose"]


class Site:
    """A site that is open: its requestor and its parts; a context manager.

    Attributes:
        frs: The requestor.
        parts: Everything that it is made of.
    """

    def __init__(self, parts: Parts, *, on_close: Callable[[], None] | None = None) -> None:
        self.parts = parts
        self.frs: FastRecovery = FastRecovery(parts)
        self._on_close = on_close
        self._closed = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        return f"<{type(self).__name__} {state}: {', '.join(self.servers)}>"

    @property
    def clock(self) -> Clock:
        """The site's clock."""
        return self.parts.clock

    @property
    def servers(self) -> tuple[str, ...]:
        """Names of the production servers."""
        return tuple(each.server.name for each in self.parts.productions.values())

    def subscribe(self, sink: EventSink) -> None:
        """Hand every later event of the requestor and the parties to `sink`."""
        self.frs.subscribe(sink)

    def close(self) -> None:
        """Release everything. Idempotent."""
        if self._closed:
            return
        # First, because a close that failed is not tried again.
        self._closed = True
        try:
            if self._on_close is not None:
                self._on_close()
        finally:
            self.parts.catalog.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def compose(
    *,
    productions: Iterable[Production],
    recovery: Recovery,
    clock: Clock | None = None,
    rng: random.Random | None = None,
    state: Path | None = None,
    policy: Policy | None = None,
    executor: Executor | None = None,
    sink: FanOut | None = None,
    on_close: Callable[[], None] | None = None,
) -> Site:
    """A site made of these parties.

    Args:
        productions: Production servers.
        recovery: The recovery server.
        clock: Time; the machine's by default.
        rng: Source of ids; the system's by default.
        state: Directory for catalog, journal and locks; None keeps them in memory.
        policy: The site's choices.
        executor: Where checks run; None = the checker's own threads.
        sink: Where events go. Those of services that publish them (`frskit.events.Publisher`) are
            handed to it as well.
        on_close: Called once when the site is closed.

    Raises:
        CatalogError: The state directory holds a damaged catalog.
    """
    time = clock or SystemClock()
    if state is not None:
        make_directory(state)
    parts = Parts(
        productions={each.server.name.casefold(): each for each in productions},
        recovery=recovery,
        journal=Journal(None if state is None else state / "journal", time),
        locks=Locks(None if state is None else state / "locks"),
        clock=time,
        ids=IdFactory(rng),
        sink=sink or FanOut([LogSink()]),
        policy=policy or Policy(),
        executor=executor,
        state=state,
        # Last: nothing that may fail comes after it, so that it is always closed.
        catalog=SqliteCatalog(None if state is None else state / "catalog.sqlite"),
    )
    for service in _services(parts):
        if isinstance(service, Publisher):
            service.subscribe(parts.sink)
    return Site(parts, on_close=on_close)


def _services(parts: Parts) -> Iterator[ShadowCopyService]:
    for each in parts.productions.values():
        yield each.service
    yield parts.recovery.service
