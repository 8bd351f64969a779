"""Databases of a storage group: making, registering, mounting, dismounting, adopting.

A part of `StorageGroupEngine`. Every attachment and its end is a log record before it is a header.
Facts: [ese.md 2.1, 2.3], [exchange.md 1], resolutions R-6 and R-22.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve

from frskit.codes.ese import EseError
from frskit.errors import Busy, FileExists, FormatError, FrskitError, NotFound, StoreError
from frskit.ese import pack_attachments
from frskit.exchange.store.adopted_database import AdoptedDatabase
from frskit.exchange.store.btree import MessageTree
from frskit.exchange.store.database import Database, DatabaseFiles
from frskit.exchange.store.log_records import Attach, CreateDatabase, encode_record
from frskit.exchange.store.row_codec import decode_part
from frskit.exchange.store.soft_recovery import detach, new_header
from frskit.model.ese_files import DatabaseState
from frskit.model.ese_structures import AttachInfo, Signature

if TYPE_CHECKING:
    from frskit.ese import Readable
    from frskit.exchange.store.engine_gate import EngineGate
    from frskit.exchange.store.engine_instance import Instance
    from frskit.protocols.small import FileSystem

__all__ = ["DatabaseAdministration"]

# A dbid is one byte [ese.md 1]; the last few numbers stay free (ours).
_MAX_DBID = 250
# MsgId is a signed Long [lab-store.md 1].
_MAX_MESSAGE_ID = (1 << 31) - 1


class DatabaseAdministration:
    """The databases of an engine.

    Attributes:
        files: Where the registered databases lie, by name.
        adopted: The databases of other engines, by name.
        next_ids: The number of the next message, by name of a mounted database.
    """

    def __init__(self, instance: Instance, gate: EngineGate) -> None:
        self._instance = instance
        self._gate = gate
        self.files: dict[str, DatabaseFiles] = {}
        self.adopted: dict[str, AdoptedDatabase] = {}
        self.next_ids: dict[str, int] = {}

    # --- what there is

    def is_mounted(self, name: str) -> bool:
        """Whether a database is attached, so that messages can be read and written."""
        database = self._instance.databases.get(name)
        return database is not None and database.attached

    def mounted(self, name: str) -> Database:
        """A mounted database.

        Raises:
            NotFound: No such database, or it is not mounted.
        """
        database = self._instance.databases.get(name)
        if database is None or not database.attached:
            raise NotFound(
                f"{name} is not mounted",
                hint="Mount the database.",
                context={"database": name},
            )
        return database

    def all_attached(self) -> bool:
        """Whether every registered database is mounted."""
        mounted = {each.name for each in self._instance.attached()}
        return set(self.files) == mounted

    def allocate_id(self, name: str) -> int:
        """The number for the next message of a mounted database.

        Raises:
            StoreError: There is none left (native -1076).
        """
        found = self.next_ids[name]
        if found > _MAX_MESSAGE_ID:
            raise StoreError(
                f"{name} has no free message numbers", native=EseError.OUT_OF_AUTOINCREMENT_VALUES
            )
        self.next_ids[name] = found + 1
        return found

    # --- coming and going

    def register(self, files: DatabaseFiles) -> None:
        """Say where a database of the group lies; nothing is touched.

        Raises:
            FileExists: The group has a database of this name.
        """
        with self._gate.lock:
            self._require_new(files.name)
            self.files[files.name] = files

    def _require_new(self, name: str) -> None:
        if name in self.files or name in self.adopted:
            raise FileExists(f"the group has a database {name}", context={"database": name})

    def add(self, files: DatabaseFiles) -> Database:
        """Make a new, empty database and mount it.

        Raises:
            FileExists: The group has a database of this name, or the file is there.
            Busy: The group is frozen.
        """
        with self._gate.writing():
            if files.fs.exists(files.path):
                raise FileExists(f"{files.path} exists already", context={"path": files.path})
            self.register(files)
            try:
                return self._create_database(files)
            except FrskitError:
                del self.files[files.name]
                raise

    def _create_database(self, files: DatabaseFiles) -> Database:
        self._require_room(files)
        instance = self._instance
        record = CreateDatabase(
            dbid=self._free_dbid(),
            pages=instance.profile.initial_pages,
            legacy=instance.profile.legacy_initial_pages,
            signature=self._new_signature(),
            slv_signature=self._new_signature() if files.stream_fs is not None else Signature(),
            path=files.display_path,
        )
        position = instance.stream.append(encode_record(record))
        # Durable before there is a file: of the record recovery can make the file, not vice versa.
        instance.stream.flush()
        database = Database.create(
            files,
            new_header(instance, record, position),
            pages=record.pages,
            legacy=record.legacy,
            cache_pages=instance.profile.cache_pages,
        )
        instance.raise_required(database)
        database.attached = True
        instance.databases[files.name] = database
        self.next_ids[files.name] = 1
        return database

    def _new_signature(self) -> Signature:
        return Signature(
            random=self._instance.rng.getrandbits(32), created=self._instance.log_time()
        )

    def _free_dbid(self) -> int:
        used = {each.dbid for each in self._instance.databases.values()}
        dbid = max(used, default=0) + 1
        if dbid > _MAX_DBID:
            raise StoreError(
                "the group cannot hold another database",
                native=EseError.TOO_MANY_ATTACHED_DATABASES,
            )
        return dbid

    def _require_room(self, files: DatabaseFiles) -> None:
        """Log headers list all attached databases in 2048 bytes [ese.md 1]."""
        newcomer = AttachInfo(dbid=1, names=(files.display_path + "\0").encode("utf-16-le"))
        try:
            pack_attachments([*self._instance.attachments(), newcomer])
        except FormatError as error:
            raise StoreError(
                "no log header can list another database with so long a path",
                context={"database": files.name},
                native=EseError.TOO_MANY_ATTACHED_DATABASES,
            ) from error

    def mount(self, name: str) -> None:
        """Attach a clean database; does nothing if it is mounted.

        Raises:
            NotFound: No such database.
            StoreError: It is dirty (native -550), or a file is missing (-1811).
            Busy: The group is frozen, or a backup prevents it.
        """
        with self._gate.writing():
            database = self._loaded(name)
            if database.attached:
                return
            self._gate.require_no_freeze("mount")
            if not database.is_clean:
                raise StoreError(
                    f"{name} was not shut down cleanly",
                    hint="Recover the storage group first.",
                    context={"database": name},
                    native=EseError.DATABASE_DIRTY_SHUTDOWN,
                )
            database.check_stream_file()
            self._require_room(database.files)
            self._attach(database)
            # Looked up and not remembered: a recovery may have brought an older file.
            self.next_ids[name] = self._first_free_id(database)

    def _loaded(self, name: str) -> Database:
        """The database, its header read again from disk if it is not mounted."""
        database = self._instance.databases.get(name)
        if database is not None and database.attached:
            return database
        if name not in self.files:
            raise NotFound(f"the group has no database {name}", context={"database": name})
        if database is not None:
            # Read again, because a recovery may have changed the file meanwhile.
            database.close()
        database = Database.load(self.files[name], cache_pages=self._instance.profile.cache_pages)
        self._instance.databases[name] = database
        return database

    def _attach(self, database: Database) -> None:
        instance = self._instance
        others = {each.dbid for each in instance.databases.values() if each is not database}
        dbid = database.dbid
        # One that comes from another stream may carry a number that is taken here.
        if dbid == 0 or dbid in others:
            database.header = evolve(database.header, dbid=0)
            dbid = self._free_dbid()
        header = database.header
        record = Attach(
            dbid=dbid,
            consistent=header.consistent_position,
            signature=header.db_signature,
            path=database.files.display_path,
        )
        position = instance.stream.append(encode_record(record))
        instance.stream.flush()
        database.header = evolve(
            header,
            state=DatabaseState.DIRTY_SHUTDOWN.value,
            dbid=dbid,
            log_signature=instance.settings.signature,
            attach_position=position,
            attach_time=instance.log_time(),
            gen_min_required=position.generation,
            gen_max_required=position.generation,
        )
        instance.raise_required(database)
        database.attached = True
        # After the record: a dirty header without one could not be explained by any log.
        database.write_header()
        database.write_stream_file()

    def dismount(self, name: str) -> None:
        """Detach a database cleanly; does nothing if it is not mounted.

        Raises:
            NotFound: No such database.
            Busy: The group is frozen, a backup is about to freeze it, or a transaction is open.
        """
        with self._gate.writing():
            if name not in self.files:
                raise NotFound(f"the group has no database {name}", context={"database": name})
            database = self._instance.databases.get(name)
            if database is None or not database.attached:
                return
            self._gate.require_no_freeze("dismount")
            # A rollback that waits for room would keep the dismount out for ever.
            self._gate.settle_doomed()
            if self._gate.transaction is not None:
                raise Busy("a transaction is open", context={"database": name})
            detach(self._instance, database)

    def forget(self, name: str) -> None:
        """Take an unmounted database out of the group; its files stay.

        Raises:
            NotFound: No such database.
            Busy: It is mounted.
        """
        with self._gate.lock:
            database = self._instance.databases.get(name)
            if database is not None and database.attached:
                raise Busy(f"{name} is mounted", context={"database": name})
            if self.files.pop(name, None) is None and self.adopted.pop(name, None) is None:
                raise NotFound(f"the group has no database {name}", context={"database": name})
            self._instance.databases.pop(name, None)

    def adopt(
        self, name: str, fs: FileSystem, path: str, source: Readable | None = None
    ) -> AdoptedDatabase:
        """Take in a database of another engine, as it is and for good (R-22).

        Args:
            name: Its name in the group.
            fs: Volume.
            path: Where it is put.
            source: The file to copy; None if it was copied before.

        Raises:
            FileExists: The name or the path is taken.
            StoreError: The source is no database (native -1206).
        """
        with self._gate.writing():
            self._require_new(name)
            files = DatabaseFiles(name=name, fs=fs, path=path)
            adopted = (
                AdoptedDatabase.load(files)
                if source is None
                else AdoptedDatabase.adopt(files, source)
            )
            self.adopted[name] = adopted
            return adopted

    @staticmethod
    def _first_free_id(database: Database) -> int:
        tree = MessageTree(database)
        data = tree.get(tree.last_key())
        return decode_part(data).id + 1 if data is not None else 1
