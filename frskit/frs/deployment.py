"""What a requestor is made of: the parties of one site, put together by `frskit.site`."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import evolve, field, frozen

from frskit.clock import Clock
from frskit.errors import ServerNotFound
from frskit.events import FanOut
from frskit.frs.guards import Patience, guard, guard_service
from frskit.frs.state.catalog import SqliteCatalog
from frskit.frs.state.journal import Journal
from frskit.frs.state.late_files import LateFiles
from frskit.frs.state.locks import Locks
from frskit.model.ids import IdFactory
from frskit.watchdog import pardon

if TYPE_CHECKING:
    from frskit.protocols import (
        Application,
        CopyStore,
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
    """

    server: Server
    service: ShadowCopyService
    application: Application
    checker: IntegrityChecker
    store: CopyStore

    def guarded(self, clock: Clock, patience: Patience) -> Production:
        """The same, each party behind its watchdog."""
        server = guard(self.server, "server", clock, patience)
        name = server.name
        return evolve(
            self,
            server=server,
            service=guard_service(self.service, clock, patience, name),
            application=guard(self.application, "application", clock, patience),
            checker=guard(self.checker, "checker", clock, patience),
            store=guard(self.store, "store", clock, patience, called=f"the copy store of {name}"),
        )


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

    def guarded(self, clock: Clock, patience: Patience) -> Recovery:
        """The same, each party behind its watchdog."""
        server = guard(self.server, "server", clock, patience)
        service = guard_service(self.service, clock, patience, server.name)
        return evolve(self, server=server, service=service)


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
        patience: How long parties may take over each call.
        late_limit_bytes: How much the late files of one copy may be, all together; from four fifths
            of it on the requestor warns.
    """

    normalization_timeout_s: float = 24 * 3600.0
    normalization_poll_s: float = 30.0
    verdict_deadline_s: float | None = 48 * 3600.0
    accept_correctable: bool = False
    accept_partial_coverage: bool = True
    patience: Patience = field(factory=Patience)
    late_limit_bytes: int = 1 << 30


@frozen(kw_only=True)
class Parts:
    """All parties of a site, each behind its watchdog (`frskit.frs.guards`).

    Attributes:
        productions: Production servers by name (casefolded).
        recovery: The recovery server.
        catalog, journal, locks: What the requestor keeps.
        clock, ids: Time and ids.
        sink: Where events go.
        policy: The site's choices.
        executor: Where checks run; None = the checker's own threads.
        state: Directory of catalog and journal; None = in memory.
        late: The late files of the copies; in the state directory unless given.
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
    late: LateFiles = field()

    @late.default
    def _beside_the_catalog(self) -> LateFiles:
        return LateFiles(None if self.state is None else self.state / "late")

    def __attrs_post_init__(self) -> None:
        clock, patience = self.clock, self.policy.patience
        known = self.productions.items()
        behind = {name: each.guarded(clock, patience) for name, each in known}
        object.__setattr__(self, "productions", behind)
        object.__setattr__(self, "recovery", self.recovery.guarded(clock, patience))

    def pardon(self) -> None:
        """Ask parties again that owe an answer to an earlier call."""
        parties: list[object] = [self.recovery.server, self.recovery.service]
        for each in self.productions.values():
            parties += [each.server, each.service, each.application, each.checker, each.store]
        for party in parties:
            pardon(party)

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
