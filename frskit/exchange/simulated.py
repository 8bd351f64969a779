"""A simulated Exchange server: storage groups, their service, and its two faces outwards.

Keeps real databases and logs on the volumes of a server through the store engine; nothing here
knows the array below. Restarting the service forgets what only memory held [EXC-14]. It is the
lab's Exchange and claims no more; facts: [exchange.md 1 to 3].
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from attrs import evolve

from frskit.codes.exchange_events import EventId
from frskit.errors import FrskitError, LimitExceeded, NameInUse, StorageGroupNotRecognized
from frskit.exchange.event_log import STORE, EventEntry
from frskit.exchange.recovery.application import ExchangeApplication
from frskit.exchange.settings import DatabaseSettings, ExchangeSettings, GroupSettings
from frskit.exchange.storage_group import GroupHost, StorageGroup
from frskit.exchange.store import StoreKind
from frskit.exchange.versions import EXCHANGE_2003, ExchangeProfile
from frskit.exchange.writer.writer import ExchangeWriter

if TYPE_CHECKING:
    from random import Random

    from frskit.clock import Clock
    from frskit.ese import Source
    from frskit.exchange.store import Message, StoredMessage
    from frskit.model.ids import IdFactory
    from frskit.protocols import Server

__all__ = ["SimulatedExchange"]


class SimulatedExchange:
    """The Exchange of one (virtual) server.

    Args:
        server: Where its volumes are mounted.
        clock: Time.
        rng: Randomness for signatures.
        ids: Makes GUIDs of groups, databases and service runs.
        profile: The version.
        name: Name of the (virtual) server, as in component paths and commands.

    Attributes:
        writer: Its writer for the shadow copy service.
        application: Its recovery side.
        events: Its application event log, oldest first.
        running: Whether the information store runs.
        instance_id: Changes with each start of the service [exchange.md 2.1].
    """

    def __init__(
        self,
        server: Server,
        *,
        clock: Clock,
        rng: Random,
        ids: IdFactory,
        profile: ExchangeProfile = EXCHANGE_2003,
        name: str = "evs1",
    ) -> None:
        self.name = name
        self.profile = profile
        self.events: list[EventEntry] = []
        self.running: bool = False
        self.instance_id: str = ""
        self._clock = clock
        self._ids = ids
        self._groups: dict[str, StorageGroup] = {}
        self._host = GroupHost(
            server=server, clock=clock, rng=rng, profile=profile, report=self.report
        )
        self.writer: ExchangeWriter = ExchangeWriter(self)
        self.application: ExchangeApplication = ExchangeApplication(self)

    @property
    def server(self) -> Server:
        """The server that runs it."""
        return self._host.server

    @property
    def groups(self) -> tuple[StorageGroup, ...]:
        """Its storage groups."""
        return tuple(self._groups.values())

    def group(self, name: str) -> StorageGroup:
        """A storage group by its display name or GUID, in any case.

        Raises:
            StorageGroupNotRecognized: There is none.
        """
        wanted = name.casefold()
        for group in self._groups.values():
            if wanted in (group.name.casefold(), group.settings.guid.casefold()):
                return group
        raise StorageGroupNotRecognized(
            f"{self.name} has no storage group {name!r}",
            hint=f"One of: {', '.join(self._groups) or 'none'}.",
            context={"server": self.name, "group": name},
        )

    # --- settings

    def add_storage_group(
        self,
        name: str,
        *,
        log_path: str,
        system_path: str | None = None,
        base: str | None = None,
        circular: bool = False,
    ) -> None:
        """Make a storage group with an empty log stream.

        Args:
            name: Display name.
            log_path: Directory of its logs, server-native; made if it is not there.
            system_path: Directory of its checkpoint; default: the log path.
            base: Log prefix; default: the first free one of E00, E01 ...
            circular: Circular logging.

        Raises:
            NameInUse: The name or prefix is taken.
            LimitExceeded: The version allows no more [exchange.md 1.1].
            FileExists: The directory holds logs of this prefix already.
        """
        if len(self._groups) >= self.profile.max_groups:
            raise LimitExceeded(f"{self.name} cannot have more storage groups")
        used = {each.settings.base for each in self._groups.values()}
        base = base or next(f"E{n:02}" for n in range(100) if f"E{n:02}" not in used)
        if name in self._groups or base in used:
            raise NameInUse(f"storage group {name} or prefix {base} exists already")
        settings = GroupSettings(
            name=name,
            guid=self._ids.guid(),
            base=base,
            log_path=log_path.rstrip("\\"),
            system_path=(system_path or log_path).rstrip("\\"),
            circular=circular,
        )
        group = StorageGroup(settings, self._host)
        group.create()
        # The stream is on disk now; the engine runs when the service does.
        group.close()
        self._groups[name] = group

    def add_database(
        self,
        group: str,
        name: str,
        *,
        path: str,
        kind: StoreKind | str = StoreKind.MAILBOX,
        adopt: Source | None = None,
    ) -> None:
        """Make a database, or adopt a foreign one as a page-only database [R-22].

        Args:
            group: Its storage group.
            name: Display name, unique on the server.
            path: Server-native path of the .edb; the .stm of a new database lies beside it.
            kind: Mailbox or public folder store.
            adopt: Content of a database of another engine: path, bytes or open file.

        Raises:
            NameInUse: The name is taken.
            LimitExceeded: The version allows no more databases in the group.
            FileExists: The file is there already.
            StoreError: `adopt` is not a database.
        """
        owner = self.group(group)
        if any(name == each.name for g in self.groups for each in g.settings.databases):
            raise NameInUse(f"{self.name} has a database {name} already")
        if len(owner.settings.databases) >= self.profile.max_databases:
            raise LimitExceeded(f"storage group {group} cannot have more databases")
        database = DatabaseSettings(
            name=name,
            guid=self._ids.guid(),
            path=path,
            kind=StoreKind(kind),
            foreign=adopt is not None,
        )
        owner.add(database, adopt)
        if not self.running:
            owner.close()

    @property
    def settings(self) -> ExchangeSettings:
        """What the server is told to run."""
        groups = tuple(each.settings for each in self._groups.values())
        return ExchangeSettings(groups=groups, running=self.running)

    def to_settings(self) -> dict[str, object]:
        """The settings as plain values for JSON."""
        return self.settings.to_json()

    @classmethod
    def from_settings(
        cls,
        data: Mapping[str, object],
        server: Server,
        *,
        clock: Clock,
        rng: Random,
        ids: IdFactory,
        profile: ExchangeProfile = EXCHANGE_2003,
        name: str = "evs1",
    ) -> SimulatedExchange:
        """An Exchange of stored settings, not started yet.

        Whoever boots the server starts it, after a look at what must stay offline: a store that
        is mounted on LUNs of a half-done recovery replays into them.

        Raises:
            ConfigurationError: The settings are damaged.
        """
        settings = ExchangeSettings.from_json(data)
        exchange = cls(server, clock=clock, rng=rng, ids=ids, profile=profile, name=name)
        for group in settings.groups:
            exchange._groups[group.name] = StorageGroup(group, exchange._host)
        return exchange

    def set_circular(self, group: str, circular: bool) -> None:
        """Switch circular logging; effective when the group starts next [KB296788]."""
        owner = self.group(group)
        owner.settings = evolve(owner.settings, circular=circular)

    # --- service

    def start(self, *, leave_offline: Collection[str] = ()) -> None:
        """Start the service and mount every database that should be mounted. Idempotent.

        What cannot be mounted stays down with its error (see `ExchangeApplication.status`); the
        others come up.

        Args:
            leave_offline: Storage groups that are not mounted this time, because a recovery of
                them was interrupted.
        """
        if self.running:
            return
        self.running = True
        # A new GUID at each start, by which requestors notice a restart [EXC-01, EXC-14].
        self.instance_id = self._ids.guid()
        offline = {each.casefold() for each in leave_offline}
        for group in self._groups.values():
            if group.name.casefold() not in offline:
                group.mount_all([each.name for each in group.settings.databases if each.mounted])

    def stop(self, *, clean: bool = True) -> None:
        """Stop the service; not clean is a crash. Every backup in progress is lost [EXC-14]."""
        if clean:
            # The writer hears it first, while its sessions still have an engine.
            self.writer.service_stopped()
        else:
            self.writer.service_crashed()
        for group in self._groups.values():
            group.close(clean=clean)
            group.forget_backup()
        self.running = False

    def mount(self, group: str, database: str) -> None:
        """Mount a database.

        Raises:
            StoreError: It cannot be mounted, or a shadow copy is being made (native -2403).
        """
        self.group(group).mount(database)

    def dismount(self, group: str, database: str) -> None:
        """Dismount a database; it stays dismounted over restarts.

        Raises:
            StoreError, Busy: A shadow copy is being made (native -2403) [EXC-16].
        """
        self.group(group).dismount(database)

    # --- messages

    def deliver(
        self, group: str, database: str | None = None, messages: Iterable[Message] = ()
    ) -> list[int]:
        """Store messages in one transaction; when this returns they are acknowledged.

        Args:
            group: Storage group.
            database: Database; default: the first that takes messages.
            messages: What to store.

        Raises:
            NotFound: No such database, or it is not mounted.
            Busy: The group is frozen for a copy.
            StoreError: The store failed; nothing of it stays.
        """
        return self.group(group).deliver(database, messages)

    def messages(self, group: str, database: str | None = None) -> Iterator[StoredMessage]:
        """The messages of a mounted database in the order of their ids."""
        return self.group(group).messages(database)

    # --- events

    def report(self, event_id: int, source: str, text: str) -> None:
        """Add an entry to the application event log."""
        entry = EventEntry(id=event_id, source=source, text=text, at=self._clock.now())
        self.events.append(entry)

    def report_failure(self, group: str, error: FrskitError) -> None:
        """Event 9518: a storage group did not start [KB975978]."""
        number = error.native if isinstance(error.native, int) else 0
        self.report(
            EventId.STORAGE_GROUP_NOT_STARTED,
            STORE,
            f"error 0x{number & 0xFFFFFFFF:x} starting {group}: {error}",
        )
