"""What the faces of an Exchange server need of it: the seam between server, writer and application.

`SimulatedExchange` is one; the writer and the recovery side ask for no more than this, so that they
can be read and tested without it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence

    from frskit.errors import FrskitError
    from frskit.exchange.event_log import EventEntry
    from frskit.exchange.storage_group import StorageGroup
    from frskit.exchange.versions import ExchangeProfile
    from frskit.protocols import Server

__all__ = ["ExchangeHost"]


class ExchangeHost(Protocol):
    """One (virtual) Exchange server, as its writer and its recovery side see it.

    Attributes:
        name: Name of the server, as in component paths and commands.
        profile: The version.
        events: The application event log, oldest first.
        running: Whether the information store runs.
        instance_id: Changes with each start of the service [exchange.md 2.1].
    """

    name: str
    profile: ExchangeProfile
    events: list[EventEntry]
    running: bool
    instance_id: str

    @property
    def server(self) -> Server:
        """The server that runs it."""
        ...

    @property
    def groups(self) -> Sequence[StorageGroup]:
        """Its storage groups."""
        ...

    def group(self, name: str) -> StorageGroup:
        """A storage group by its display name or GUID, in any case.

        Raises:
            StorageGroupNotRecognized: There is none.
        """
        ...

    def report(self, event_id: int, source: str, text: str) -> None:
        """Add an entry to the application event log."""
        ...

    def report_failure(self, group: str, error: FrskitError) -> None:
        """Event 9518: a storage group did not start [KB975978]."""
        ...
