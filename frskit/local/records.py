"""What a `DirectoryArray` remembers, in one JSON file that is replaced as a whole.

The file is the truth: a directory that it does not name is no copy, whatever it looks like. One
replacement of the file is therefore the instant at which all members of a copy set come into being.
Layout and names are frskit's choice; the file carries ``schema`` and is refused if it says another.

The file is on the disk when it says that there is a copy; the copy itself may not be yet (version 2
of the schema). Until it is, the record names the start of the machine in which the copy was made:
as long as that one runs, the system has every byte, whatever becomes of the process; once another
one runs nobody can know, and the copy is invalid.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from attrs import evolve, field, frozen

from frskit.errors import ArrayDamaged
from frskit.local.identity import directory_identity, is_same_directory
from frskit.local.reflink import remove_tree
from frskit.model.ids import CopyKey, HostRef, StorageId
from frskit.model.json_records import UPGRADES, dump, load
from frskit.model.storage import CopyKind, CopyRequest
from frskit.storage import replace_file

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "LOST",
    "NEW",
    "ArrayRecords",
    "CopyRecord",
    "PresentationRecord",
    "RecordsFile",
    "StorageRecord",
    "boot_id",
    "file_name",
    "load_records",
    "save_records",
]

SCHEMA: Final = "frskit.directory-array"
NEW: Final = ".new-"
"""Prefix of directories whose copying is not recorded yet."""
LOST: Final = "lost"
"""In the place of a start of the machine: the disk refused the copy."""
# Version 2 knows copies that are not on the disk yet.
_VERSION: Final = 2

UPGRADES[SCHEMA] = {1: lambda plain: plain}  # all copies of version 1 are on the disk


def boot_id() -> str | None:
    """Which start of this machine runs; None where the system does not say: only Linux does."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return None


@frozen(kw_only=True)
class CopyRecord:
    """Where a copy comes from.

    Attributes:
        source: What it is a copy of.
        key: Key of its set.
        kind: Kind of copy.
        size_bytes: Size of the source at the instant of the copy.
        unsynced: The start of the machine in which it was made, or `LOST`, while it is not known
            to be on the disk; None: it is.
    """

    source: StorageId
    key: CopyKey
    kind: CopyKind
    size_bytes: int
    unsynced: str | None = None


@frozen(kw_only=True)
class StorageRecord:
    """One storage object: its directory is `directory`, relative to the array's root.

    `identity` tells that directory from another one under its name; None in records from before
    they had it, until an array is opened on them.
    """

    id: StorageId
    name: str
    directory: str
    created_at: datetime
    comment: str = ""
    copy: CopyRecord | None = None
    identity: str | None = None

    @property
    def is_unsynced(self) -> bool:
        """Whether it is not known to be on the disk, sound or lost."""
        return self.copy is not None and self.copy.unsynced is not None

    @property
    def is_lost(self) -> bool:
        """Whether the machine, or the disk, failed before the copy was on the disk."""
        return (
            self.copy is not None
            and self.copy.unsynced is not None
            and self.copy.unsynced != boot_id()
        )

    def synced(self, *, as_lost: bool) -> StorageRecord:
        """The record when the copy is on the disk, or when the disk refused it."""
        assert self.copy is not None
        return evolve(self, copy=evolve(self.copy, unsynced=LOST if as_lost else None))

    def identified(self, root: Path, *, again: bool) -> StorageRecord:
        """The record with the identity of its directory as it is, if it has none or anew."""
        if self.identity is not None and not again:
            return self
        bare = evolve(self, identity=None)
        path = bare.locate(root)
        return bare if path is None else evolve(bare, identity=directory_identity(path))

    def locate(self, root: Path) -> Path | None:
        """Where the files are; a copy just recorded may still have its temporary name.

        None if they are gone or lost, or another directory has taken their place.
        """
        if self.is_lost:
            return None
        path = root / self.directory
        places = (path, path.with_name(NEW + path.name))
        return next((each for each in places if is_same_directory(each, self.identity)), None)


@frozen(kw_only=True)
class PresentationRecord:
    """One storage object shown to one host."""

    storage: StorageId
    host: HostRef
    read_only: bool


@frozen(kw_only=True)
class ArrayRecords:
    """Everything that the array remembers; a value, changed by making a new one.

    Attributes:
        storages: Storage objects, copies included, in the order of making.
        presentations: Who sees what.
        sets: The requests of every committed set that still has members.
        doomed: Directories, relative to the root, whose removal has begun.
        doomed_identities: Who they are, where that is known: what somebody makes in their place is
            not removed.
        home: Who the root was when the identities were taken; an array that was moved to another
            disk, or came back from a backup, has new ones.
        last_time: Highest time that was given out; the array's clock never goes back [R-32].
    """

    storages: tuple[StorageRecord, ...] = ()
    presentations: tuple[PresentationRecord, ...] = ()
    sets: dict[CopyKey, tuple[CopyRequest, ...]] = field(factory=dict, hash=False)
    doomed: tuple[str, ...] = ()
    doomed_identities: dict[str, str] = field(factory=dict, hash=False)
    home: str | None = None
    last_time: datetime | None = None

    def find(self, storage: StorageId) -> StorageRecord | None:
        """The record of this storage, or None."""
        return next((each for each in self.storages if each.id == storage), None)

    def members(self, key: CopyKey) -> tuple[StorageRecord, ...]:
        """The copies of one set, in the order of its requests."""
        return tuple(each for each in self.storages if each.copy and each.copy.key == key)

    def replacing(self, changes: Iterable[tuple[StorageRecord, StorageRecord]]) -> ArrayRecords:
        """The records with some of them, if they are still these, in another form."""
        changed = {before.id: (before, after) for before, after in changes}
        storages = tuple(
            changed[each.id][1] if each == changed.get(each.id, (None,))[0] else each
            for each in self.storages
        )
        return evolve(self, storages=storages)

    def without(self, record: StorageRecord) -> ArrayRecords:
        """The records after the removal of a storage object has begun."""
        storages = tuple(each for each in self.storages if each.id != record.id)
        # A key is forgotten with its last copy and may then be used again.
        held = {each.copy.key for each in storages if each.copy}
        return evolve(
            self,
            storages=storages,
            sets={key: requests for key, requests in self.sets.items() if key in held},
            doomed=(*self.doomed, record.directory),
            doomed_identities=self.doomed_identities
            | ({} if record.identity is None else {record.directory: record.identity}),
        )

    def identified(self, root: Path) -> ArrayRecords:
        """The records with the identities of all directories, if they are not known.

        Those of an array that was moved as a whole are taken anew: its directories are copies of
        what they were, and nobody exchanged one of them alone.
        """
        home = directory_identity(root)
        moved = self.home is not None and not is_same_directory(root, self.home)
        storages = tuple(each.identified(root, again=moved) for each in self.storages)
        if storages == self.storages and not moved:
            return self
        return evolve(
            self,
            storages=storages,
            home=home,
            doomed_identities={} if moved else self.doomed_identities,
        )


def load_records(path: Path) -> ArrayRecords:
    """Read the file; one that is not there is an empty array.

    Raises:
        ArrayDamaged: It is not what `save_records` wrote.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return ArrayRecords()
    return load(
        data,
        ArrayRecords,
        SCHEMA,
        _VERSION,
        under="records",
        what=str(path),
        error=ArrayDamaged,
        hint="Restore the file from a copy; it says which directories are copies.",
        context={"path": str(path)},
    )


def save_records(path: Path, records: ArrayRecords) -> None:
    """Replace the file, durably and at one instant.

    Raises:
        OSError: It is not known which content the file has.
    """
    replace_file(path, dump(records, SCHEMA, _VERSION, under="records", indent=1).encode() + b"\n")


class RecordsFile:
    """The records while the lock is held, and the repair of what they do not agree with."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._path = root / "array.json"
        self.records: ArrayRecords = load_records(self._path)

    def save(self, records: ArrayRecords) -> None:
        """The instant of the change."""
        if records.home is None:
            records = evolve(records, home=directory_identity(self._root))
        save_records(self._path, records)
        self.records = records

    def identify(self) -> None:
        """Take the identities that are not on record yet."""
        known = self.records.identified(self._root)
        if known is not self.records:
            self.save(known)

    def settle(self) -> None:
        """Finish what was recorded: removals, and the naming of new copies; then sweep."""
        # The trees first: removing once more what is gone already does no harm.
        for directory in self.records.doomed:
            place = self._root / directory
            identity = self.records.doomed_identities.get(directory)
            if identity is None or is_same_directory(place, identity):
                remove_tree(place)
        if self.records.doomed:
            self.save(evolve(self.records, doomed=(), doomed_identities={}))
        for new in (self._root / "copies").glob(NEW + "*"):
            final = new.with_name(new.name.removeprefix(NEW))
            if self._is_recorded(new) and not final.exists():
                new.rename(final)  # not synced: both names are good, see `StorageRecord.locate`
        self.sweep()

    def _is_recorded(self, new: Path) -> bool:
        """Whether a directory with a temporary name is a copy on record."""
        directory = f"copies/{new.name.removeprefix(NEW)}"
        # Who has no identity is what has the final name.
        return any(
            is_same_directory(new, each.identity)
            for each in self.records.storages
            if each.directory == directory
            and (each.identity is not None or not (self._root / directory).exists())
        )

    def sweep(self) -> None:
        """Remove the copies that nobody recorded."""
        for new in (self._root / "copies").glob(NEW + "*"):
            # One that is recorded keeps this name while somebody's directory is in its place.
            if not self._is_recorded(new):
                remove_tree(new)


def file_name(name: str) -> str:
    """A name that is safe in a directory and cannot begin with a dot."""
    quoted = quote(name, safe=" +,=@{}")
    return "%2E" + quoted[1:] if quoted.startswith(".") else quoted
