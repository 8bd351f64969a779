"""One storage group of a running server: its engine, its databases, and who may touch them.

Opens the store engine on files of the server's volumes, which are found anew each time, because
LUNs change places under a dismounted group. Knows nothing of VSS. Facts: [exchange.md 1, 3.2].
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from attrs import evolve, frozen

from frskit.codes.ese import EseError
from frskit.errors import FrskitError, NotFound, StoreError, VolumeNotFound
from frskit.ese import opened
from frskit.exchange.event_log import ESE
from frskit.exchange.log_analysis.places import LogPlaces, stream_text
from frskit.exchange.settings import DatabaseSettings, GroupSettings
from frskit.exchange.storage_group_status import group_status, mounted_names, required_on_disk
from frskit.exchange.store import DatabaseFiles, Places, StorageGroupEngine

if TYPE_CHECKING:
    from collections.abc import Iterator
    from random import Random

    from frskit.clock import Clock
    from frskit.ese import Source
    from frskit.exchange.store import (
        Message,
        SnapshotKind,
        SnapshotSession,
        SoftRecoveryReport,
        StoredMessage,
    )
    from frskit.exchange.versions import ExchangeProfile
    from frskit.model.ids import SetId, VolumeId
    from frskit.model.plans import ComponentStatus
    from frskit.protocols import FileSystem, Server

__all__ = ["GroupHost", "StorageGroup"]


@frozen(kw_only=True)
class GroupHost:
    """What a storage group needs of its server.

    Attributes:
        server: Where the volumes are.
        clock, rng: Time and randomness.
        profile: The version.
        report: Takes an event: number, source, text.
    """

    server: Server
    clock: Clock
    rng: Random
    profile: ExchangeProfile
    report: Callable[[int, str, str], None]

    def place(self, path: str) -> tuple[FileSystem, str]:
        """File system and inner path of a server-native path, as the server is now.

        Raises:
            VolumeNotFound: No mounted volume holds it.
        """
        found = self.server.resolve(path)
        return self.server.files(found.volume), found.path


class StorageGroup:
    """A storage group; its engine runs while at least one database is to be mounted.

    Attributes:
        settings: What it is told to be; replaced when something changes.
        backup: The backup in progress, if any [EXC-12].
    """

    def __init__(self, settings: GroupSettings, host: GroupHost) -> None:
        self.settings: GroupSettings = settings
        self.backup: SetId | None = None
        self._held_by: SetId | None = None
        self._host = host
        self._engine: StorageGroupEngine | None = None
        self._seen_events = 0
        self._errors: dict[str, FrskitError] = {}

    @property
    def name(self) -> str:
        """Display name."""
        return self.settings.name

    @property
    def is_open(self) -> bool:
        """Whether the engine runs."""
        return self._engine is not None

    @property
    def is_circular(self) -> bool:
        """Whether logs go as the checkpoint passes them; what is set counts from the next start."""
        return self._engine is not None and self._engine.circular

    @property
    def mounted(self) -> tuple[str, ...]:
        """Names of the mounted databases."""
        return mounted_names(self.settings, self._engine)

    def database(self, name: str | None) -> DatabaseSettings:
        """The settings of a database; None = the first one that takes messages.

        Raises:
            NotFound: No such database.
        """
        for each in self.settings.databases:
            if (name is None and not each.foreign) or each.name == name:
                return each
        raise NotFound(
            f"storage group {self.name} has no database {name or 'that takes messages'}",
            context={"group": self.name, "database": name},
        )

    def change(self, name: str, **changes: object) -> None:
        """Change settings of one database."""
        databases = tuple(
            evolve(each, **changes) if each.name == name else each  # type: ignore[arg-type]
            for each in self.settings.databases
        )
        self.settings = evolve(self.settings, databases=databases)

    @property
    def busy(self) -> bool:
        """Whether a backup is in progress; one whose freeze timed out is not [EXC-13, EXC-22]."""
        if self.backup is None:
            return False
        # Without an engine nobody can say, so the mark counts until the job ends [EXC-13].
        return self._engine is None or self._engine.snapshot_session is not None

    # --- starting and stopping

    def create(self) -> None:
        """Make a new, empty log stream; the engine runs afterwards.

        Raises:
            FileExists: The log directory holds logs of this base already.
        """
        self._engine = self._new_engine(StorageGroupEngine.create)
        self.collect_events()

    def add(self, database: DatabaseSettings, source: Source | None) -> None:
        """Make a new database, or adopt a foreign one, and mount it.

        Args:
            database: What it shall be.
            source: Content of a foreign database; None = make a new one.

        Raises:
            FileExists: The file is there already.
            StoreError: The source is not a database.
        """
        # Making a database is a log record first, and only a running engine writes one.
        self.open()
        engine = self._running()
        fs, path = self._host.place(database.path)
        fs.makedirs(path.rpartition("/")[0])
        if source is not None:
            with opened(source) as file:
                engine.adopt_database(database.name, fs, path, file)
        else:
            engine.add_database(self._files(database))
        self.settings = evolve(self.settings, databases=(*self.settings.databases, database))
        self.collect_events()

    def open(self) -> SoftRecoveryReport | None:
        """Start the engine with soft recovery; None if it runs already.

        Raises:
            StoreError: Recovery is impossible; nothing was changed and the group stays down.
            VolumeNotFound: The volume of the logs is not mounted.
        """
        if self._engine is not None:
            return None
        engine: StorageGroupEngine | None = None
        try:
            engine = self._new_engine(StorageGroupEngine.open)
            self._errors = self._register(engine)
            report = engine.recover()
        except FrskitError as error:
            # None of them can be mounted, and each shows why.
            self._errors = {each.name: error for each in self.settings.databases}
            self._report_events(engine)
            raise
        self._engine = engine
        self.collect_events()
        return report

    def close(self, *, clean: bool = True) -> None:
        """Stop the engine; a clean stop dismounts every database. Idempotent.

        A backup in progress loses its state and cannot be completed any more [EXC-14].
        """
        # Taken away first: a close that fails must not leave half an engine behind.
        engine, self._engine = self._engine, None
        self._held_by = None
        if engine is None:
            return
        try:
            engine.close(clean=clean)
        finally:
            self._report_events(engine)

    def mount(self, name: str) -> None:
        """Mount a database from where its file is now; starts the engine if need be.

        Raises:
            StoreError: It cannot be mounted, or a backup forbids it (native -2403).
        """
        self._require_free("mount")
        database = self.database(name)
        if name in self.mounted:
            return
        try:
            self.open()
            self._mount(self._running(), database)
        except FrskitError as error:
            self._errors[name] = error
            raise
        finally:
            self.collect_events()
        self._errors.pop(name, None)
        self.change(name, mounted=True)

    def _mount(self, engine: StorageGroupEngine, database: DatabaseSettings) -> None:
        fs, path = self._host.place(database.path)
        if database.foreign:
            engine.adopt_database(database.name, fs, path)
            return
        # Registered anew, because its file may lie on another volume by now.
        if database.name in engine.database_files:
            engine.forget_database(database.name)
        engine.register_database(self._files(database))
        engine.mount(database.name)

    def dismount(self, name: str) -> None:
        """Dismount a database; the engine stops with the last one. Not mounted is fine.

        Raises:
            StoreError, Busy: A shadow copy is being made (native -2403) [EXC-16, R-6].
        """
        self._require_free("dismount")
        database = self.database(name)
        if name in self.mounted:
            if database.foreign:
                self._running().forget_database(name)
            else:
                self._running().dismount(name)
            self.collect_events()
        self.change(name, mounted=False)
        self._errors.pop(name, None)
        # A backup in progress needs the engine to hear its end.
        if not self.mounted and not self.busy:
            self.close()

    def take_offline(self) -> None:
        """Dismount everything and stop the engine, if it must be without a clean dismount.

        Raises:
            StoreError, Busy: A shadow copy is being made (native -2403).
        """
        self._require_free("dismount")
        clean = True
        for database in self.settings.databases:
            try:
                self.dismount(database.name)
            except FrskitError as error:
                # A shadow copy being made is no damage: refuse, and crash nothing.
                if error.native == EseError.OS_SNAPSHOT_NOT_ALLOWED:
                    raise
                clean = False
                self.change(database.name, mounted=False)
        self.close(clean=clean)

    def mount_all(self, names: Iterable[str]) -> None:
        """Mount what can be mounted; what cannot is remembered with its error."""
        for name in names:
            try:
                self.mount(name)
            # `mount` has remembered the reason.
            except FrskitError:
                continue

    def _require_free(self, what: str) -> None:
        if self._held_by is not None and self.busy:
            raise StoreError(
                f"{what} is not possible in {self.name}: a shadow copy is being made",
                hint="Wait until the copy has been made.",
                context={"group": self.name, "session": self._held_by},
                native=EseError.OS_SNAPSHOT_NOT_ALLOWED,
            )

    def _running(self) -> StorageGroupEngine:
        if self._engine is None:
            raise StoreError(
                f"storage group {self.name} is not running",
                hint="Mount one of its databases.",
                context={"group": self.name},
                native=EseError.NOT_INITIALIZED,
            )
        return self._engine

    def _new_engine(self, make: Callable[..., StorageGroupEngine]) -> StorageGroupEngine:
        host, settings = self._host, self.settings
        places = Places(
            *host.place(settings.log_path), *host.place(settings.system_path), settings.base
        )
        # A new engine counts its events from zero.
        self._seen_events = 0
        return make(
            places,
            clock=host.clock,
            rng=host.rng,
            profile=host.profile.store,
            circular=settings.circular,
        )

    def _register(self, engine: StorageGroupEngine) -> dict[str, FrskitError]:
        """Tell the engine where the databases lie; those on no volume are left out."""
        errors: dict[str, FrskitError] = {}
        for database in self.settings.databases:
            if database.foreign:
                continue
            try:
                engine.register_database(self._files(database))
            except VolumeNotFound as error:
                errors[database.name] = error
        return errors

    def _files(self, database: DatabaseSettings) -> DatabaseFiles:
        fs, path = self._host.place(database.path)
        stream_fs, stream_path = None, ""
        if database.stream_path:
            stream_fs, stream_path = self._host.place(database.stream_path)
        return DatabaseFiles(
            name=database.name,
            fs=fs,
            path=path,
            display_path=database.path,
            kind=database.kind,
            stream_path=stream_path,
            stream_fs=stream_fs,
            stream_display_path=database.stream_path,
        )

    # --- messages

    def deliver(self, database: str | None, messages: Iterable[Message]) -> list[int]:
        """Store messages in one transaction; returns their ids.

        Raises:
            NotFound: No such database, or it is not mounted.
            Busy: The group is frozen.
        """
        try:
            return self._running().deliver(self.database(database).name, messages)
        finally:
            self.collect_events()

    def messages(self, database: str | None) -> Iterator[StoredMessage]:
        """The messages of a mounted database, in order."""
        return self._running().messages(self.database(database).name)

    def idle(self) -> None:
        """What a quiet engine does: write everything, move the checkpoint.

        Nothing happens if the engine does not run or is frozen.
        """
        if self._engine is not None and not self._engine.is_frozen:
            self._engine.idle()
            self.collect_events()

    def roll(self) -> None:
        """Close the current generation and move the checkpoint into the next one."""
        self._running().roll_log()
        self.idle()

    # --- backup

    def begin_backup(self, session: SetId, kind: SnapshotKind) -> SnapshotSession:
        """Start an engine session and mark the group as being backed up [EXC-27].

        Raises:
            StoreError: The engine has a session already (native -2403).
        """
        prepared = self._running().snapshot_prepare(kind)
        self.backup = session
        self.collect_events()
        return prepared

    def hold(self, session: SetId) -> None:
        """Block administration for a backup: no mount, no dismount until `let_go` [EXC-16]."""
        self._held_by = session

    def let_go(self) -> None:
        """Allow administration again. Idempotent."""
        self._held_by = None

    def forget_backup(self) -> None:
        """The service stops: whatever backup was in progress is lost [EXC-14]."""
        self.backup = None

    def end_backup(self, session: SetId) -> None:
        """Forget a backup; another one's marks stay."""
        if self.backup == session:
            self.backup = None
        if self._held_by == session:
            self._held_by = None

    def required_range(self) -> tuple[int, int] | None:
        """Rmin and Rmax of the mounted databases, by their headers on disk."""
        mounted = [each for each in self.settings.databases if each.name in self.mounted]
        return required_on_disk(self._host.place, mounted)

    def stamp(self, session: SnapshotSession) -> str:
        """The backup stamp: stream, kind, generations and mark of a backup, opaque [VSS-66]."""
        return (
            f"{self.settings.guid} {session.kind.value} "
            f"{session.copy_min:x}-{session.copy_max:x} {session.mark}"
        )

    def volumes(self) -> frozenset[VolumeId]:
        """Volumes of all files that a backup of the group means [EXC-10]."""
        paths = [self.settings.log_path, self.settings.system_path]
        for database in self.settings.databases:
            if database.name in self.mounted:
                paths += [path for path in (database.path, database.stream_path) if path]
        return frozenset(self._host.server.resolve(path).volume for path in paths)

    # --- state

    def status(self) -> ComponentStatus:
        """State of the group, whatever it is."""
        return group_status(
            self._host.place,
            self.settings,
            self._engine,
            self._errors,
            self._host.profile.store,
        )

    def places(self) -> LogPlaces:
        """The log stream, for naming places in it; of no stream while the engine is down."""
        return LogPlaces(
            base=self.settings.base,
            stream="" if self._engine is None else stream_text(self._engine.log_signature),
            digits=self._host.profile.store.generation_digits,
        )

    # --- events

    def collect_events(self) -> None:
        """Hand new entries of the engine on to the server's event log."""
        self._report_events(self._engine)

    def _report_events(self, engine: StorageGroupEngine | None) -> None:
        if engine is None:
            return
        events = engine.events
        fresh, self._seen_events = events[self._seen_events :], len(events)
        for event in fresh:
            self._host.report(event.id, ESE, f"{self.name}: {event.text}")
