"""What a requestor is made of: the parties of one site, put together by `frskit.site`."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import field, frozen

from frskit.clock import Clock
from frskit.errors import ServerNotFound
from frskit.events import FanOut
from frskit.frs.state.catalog import SqliteCatalog
from frskit.frs.state.journal import Journal
from frskit.frs.state.locks import Locks
from frskit.model.ids import IdFactory

if TYPE_CHECKING:
    from frskit.protocols import (
        Application,
        CopyStore,
        DiskArray,
        IntegrityChecker,
        Server,
        ShadowCopyService,
    )

__all__ = ["Parts", "Policy", "Production", "Recovery"]


@frozen(kw_only=True)
class Production:
    """A production server with its shadow copy service and the application that runs there.

    Attributes:
        server: The host.
        service: Its shadow copy service.
        application: The application's recovery side.
        checker: Judges copies of this application.
        store: The copies on the array that holds the server's storage.
        array: That array, for what only some arrays can (`SupportsRestore`); None = not said, and
            a recovery by the array is refused.
    """

    server: Server
    service: ShadowCopyService
    application: Application
    checker: IntegrityChecker
    store: CopyStore
    array: DiskArray | None = None


@frozen(kw_only=True)
class Recovery:
    """The recovery server.

    Attributes:
        server: The host.
        service: Its shadow copy service.
        mount_root: Server-native directory under which copies are mounted.
    """

    server: Server
    service: ShadowCopyService
    mount_root: str


@frozen(kw_only=True)
class Policy:
    """Choices of the site; every number is frskit's own unless its line says otherwise.

    Attributes:
        normalization_timeout_s: Longest wait for normalization.
        normalization_poll_s: Time between two looks at the array.
        verdict_deadline_s: Time from the instant to the verdict; then the writer is told failure.
        accept_correctable: Whether a correctable page may pass [R-2].
        accept_partial_coverage: Whether files that can be checked only in part (``.stm``) may be
            followed by truncation [R-3].
    """

    normalization_timeout_s: float = 24 * 3600.0
    normalization_poll_s: float = 30.0
    verdict_deadline_s: float | None = 48 * 3600.0
    accept_correctable: bool = False
    accept_partial_coverage: bool = True


@frozen(kw_only=True)
class Parts:
    """All parties of a site.

    Attributes:
        productions: Production servers by name (casefolded).
        recovery: The recovery server.
        catalog, journal, locks: What the requestor keeps.
        clock, ids: Time and ids.
        sink: Where events go.
        policy: The site's choices.
        executor: Where checks run; None = the checker's own threads.
        state: Directory of catalog and journal; None = in memory.
    """

    productions: Mapping[str, Production]
    recovery: Recovery
    catalog: SqliteCatalog
    journal: Journal
    locks: Locks
    clock: Clock
    ids: IdFactory
    sink: FanOut = field(factory=FanOut)
    policy: Policy = field(factory=Policy)
    executor: Executor | None = None
    state: Path | None = None

    def production(self, server: str) -> Production:
        """The production server of this name, asked for anew at each step [FRS R-3.3].

        Raises:
            ServerNotFound: The site has none.
        """
        try:
            return self.productions[server.casefold()]
        except KeyError:
            known = ", ".join(sorted(self.productions)) or "none"
            raise ServerNotFound(
                f"there is no production server {server!r}",
                hint=f"The site has: {known}.",
                context={"server": server},
            ) from None
