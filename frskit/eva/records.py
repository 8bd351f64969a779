"""The records of a simulated array, and the tables that keep them: all or nothing.

What it is: frozen records of virtual disks, groups, hosts, presentations and copy sets; tables
that undo every change of a failed command; and their JSON form, one record per object, committed
together with the block data it describes. What it is not: rules or behavior.

The layout of the records is frskit's choice. Every record carries a ``schema`` field; an unknown
one is refused, never guessed at.
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from attrs import define, field, frozen

from frskit.errors import ArrayDamaged
from frskit.eva.identifiers import Numbering, ObjectIdentity
from frskit.eva.models import ProtectionLevel, Vraid
from frskit.model.ids import CopyKey, HostRef, StorageId
from frskit.model.json_records import UPGRADES, dump, load
from frskit.model.storage import CopyKind, CopyRequest, CopyState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frskit.eva.blocks.store import BlockStore

__all__ = [
    "ArrayRecord",
    "ArrayTables",
    "CopySet",
    "EvaCopyRequest",
    "GroupRecord",
    "HostRecord",
    "LunRecord",
    "Table",
    "VirtualDisk",
]

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")


@frozen(kw_only=True)
class EvaCopyRequest(CopyRequest):
    """A `CopyRequest` with what only an EVA can be asked for.

    Attributes:
        vraid: Vraid of the copy; None = the source's [RULE-6].
        wwlun: World wide LUN name to force on the copy [EVA 1.2]; empty = a new one.
    """

    vraid: Vraid | None = None
    wwlun: str = ""


@frozen(kw_only=True)
class VirtualDisk:
    """A virtual disk, original or copy.

    Records of older versions have ids made of the world wide LUN name (``naa:...``) and keep them:
    ids are opaque, no new object ever gets one of that scheme, so such an id is not used again
    either, and a catalog that names it goes on to mean this object alone.

    Attributes:
        id: frskit's id, made of `identity`; never used again after deletion.
        identity: The object's number; never used again after deletion.
        name: Name, unique among disk-like objects [EVA-44].
        size_bytes: What hosts see.
        group: Name of its disk group.
        vraid: Redundancy.
        volume: Its volume in the block store; -1 while it holds no data.
        created_at: Creation, for a copy the instant; array time, aware UTC.
        comment: Free text.
        kind: Kind of copy; None = made as a virtual disk.
        source: What it was copied from; kept for information after independence.
        key: Key of its copy set.
        state: How it stands to its source; None for originals.
        copied_bytes: Progress of normalization.
        forced_wwlun: World wide LUN name that was asked for, 32 hex digits; empty = its own.
    """

    id: StorageId
    identity: ObjectIdentity
    name: str
    size_bytes: int
    group: str
    vraid: Vraid
    volume: int
    created_at: datetime
    comment: str = ""
    kind: CopyKind | None = None
    source: StorageId | None = None
    key: CopyKey | None = None
    state: CopyState | None = None
    copied_bytes: int = 0
    forced_wwlun: str = ""

    @property
    def wwlun(self) -> str:
        """World wide LUN name, 32 hex digits: what hosts see as page 83."""
        if self.id.startswith("naa:"):  # of an older version
            return self.id.removeprefix("naa:")
        return self.forced_wwlun or self.identity.hexuid

    @property
    def identifiers(self) -> tuple[str, ...]:
        """The page 83 names."""
        return (f"naa:{self.wwlun}",)

    @property
    def is_snapshot(self) -> bool:
        """Whether it is a snapshot of either kind, valid or not."""
        return self.kind is CopyKind.SNAPSHOT or self.kind is CopyKind.VSNAP

    @property
    def is_normalizing(self) -> bool:
        """Whether it is a snapclone that still shares data with its source."""
        return self.state is CopyState.NORMALIZING

    @property
    def depends(self) -> bool:
        """Whether its source must stay: a snapshot, even an invalid one, or normalizing."""
        return self.is_snapshot or self.is_normalizing


@frozen(kw_only=True)
class GroupRecord:
    """A disk group; sizes in raw PSEGs of 2 MiB."""

    name: str
    identity: ObjectIdentity
    total_psegs: int
    reserve_psegs: int
    protection: ProtectionLevel
    disks: int


@frozen(kw_only=True)
class HostRecord:
    """A host object: a name and its initiator ports."""

    name: HostRef
    identity: ObjectIdentity
    ports: tuple[str, ...]


@frozen(kw_only=True)
class LunRecord:
    """A presentation: this disk answers under this number on this host."""

    host: HostRef
    number: int
    storage: StorageId
    identity: ObjectIdentity
    read_only: bool


@frozen(kw_only=True)
class CopySet:
    """A copy set: staged while `prepared` holds its future disks, committed afterwards.

    Attributes:
        key: The caller's key.
        requests: What was asked for.
        members: Ids of the copies, in the order of the requests.
        prepared: The copies as they will be; empty once committed.
    """

    key: CopyKey
    requests: tuple[EvaCopyRequest, ...]
    members: tuple[StorageId, ...]
    prepared: tuple[VirtualDisk, ...] = ()

    @property
    def staged(self) -> bool:
        """Whether it still waits for its commit."""
        return bool(self.prepared)


@frozen(kw_only=True)
class ArrayRecord:
    """What belongs to the array as a whole.

    Attributes:
        name: Name of the array.
        cell: Identity of the storage cell.
        wwn: World wide name of the cell, 16 hex digits.
        numbering: Identities given so far.
        at: Highest time the array has seen [R-32].
        online_controller: Controller that owns the LUNs, "A" or "B".
    """

    name: str
    cell: ObjectIdentity
    wwn: str
    numbering: Numbering
    at: datetime
    online_controller: str = "A"


_SCHEMAS: Final = {
    "array": ("frskit.eva.array", 1, ArrayRecord),
    "group": ("frskit.eva.group", 1, GroupRecord),
    "host": ("frskit.eva.host", 1, HostRecord),
    "disk": ("frskit.eva.disk", 2, VirtualDisk),
    "lun": ("frskit.eva.lun", 1, LunRecord),
    "set": ("frskit.eva.set", 2, CopySet),
}
"""By table: name and version of the schema, and what the records are."""


def _unchanged(plain: dict[str, Any]) -> dict[str, Any]:
    """Version 2 only adds a field: a disk's world wide LUN name, where one was asked for."""
    return plain


UPGRADES["frskit.eva.disk"] = {1: _unchanged}
UPGRADES["frskit.eva.set"] = {1: _unchanged}


def _encode(table: str, value: object) -> bytes:
    schema, version, _ = _SCHEMAS[table]
    return dump(value, schema, version, under="record", sort_keys=True).encode()


def _decode(table: str, key: str, raw: bytes) -> Any:
    schema, version, kind = _SCHEMAS[table]
    return load(
        raw,
        kind,
        schema,
        version,
        under="record",
        strict=True,
        what=f"the record {key!r} of the array",
        error=ArrayDamaged,
        hint=None,
        context={"record": key},
    )


class Table(Generic[_Key, _Value]):
    """A dictionary whose changes can be undone; read it as ``table.rows``."""

    def __init__(self, name: str, log: list[tuple[Table[Any, Any], Any, Any]]) -> None:
        self.name = name
        self.rows: dict[_Key, _Value] = {}
        self._log = log

    def put(self, key: _Key, value: _Value) -> None:
        """Add or replace a row."""
        self._log.append((self, key, self.rows.get(key)))
        self.rows[key] = value

    def drop(self, key: _Key) -> None:
        """Remove a row that exists."""
        self._log.append((self, key, self.rows.pop(key)))

    def undo(self, key: _Key, old: _Value | None) -> None:
        """Put a former row back."""
        if old is None:
            self.rows.pop(key, None)
        else:
            self.rows[key] = old


@define(init=False)
class ArrayTables:
    """All records of one array, with indices, over the block store that makes them durable.

    Attributes:
        store: The block store.
        array: One row, key "array".
        disks, groups, hosts, luns, sets: Records by id, name, name, (host, number), key.
        names: Who holds a name: a disk id, or the key of a staged set.
        wwluns: Who holds a world wide LUN name, likewise.
        dependents: Copies that were made of a disk and still need it, oldest first.
        shown: Presentations of a disk.
        clones: Normalizing snapclones, oldest first.
        revision: Grows with every change; what was checked at a revision still holds at it.
    """

    store: BlockStore
    array: Table[str, ArrayRecord]
    disks: Table[StorageId, VirtualDisk]
    groups: Table[str, GroupRecord]
    hosts: Table[HostRef, HostRecord]
    luns: Table[tuple[HostRef, int], LunRecord]
    sets: Table[CopyKey, CopySet]
    names: Table[str, str]
    wwluns: Table[str, str]
    dependents: Table[StorageId, tuple[StorageId, ...]]
    shown: Table[StorageId, tuple[tuple[HostRef, int], ...]]
    clones: Table[StorageId, int]
    revision: int
    _log: list[tuple[Table[Any, Any], Any, Any]] = field()

    def __init__(self, store: BlockStore) -> None:
        self.store = store
        log: list[tuple[Table[Any, Any], Any, Any]] = []
        self._log = log
        self.array = Table("array", log)
        self.disks = Table("disk", log)
        self.groups = Table("group", log)
        self.hosts = Table("host", log)
        self.luns = Table("lun", log)
        self.sets = Table("set", log)
        self.names = Table("", log)
        self.wwluns = Table("", log)
        self.dependents = Table("", log)
        self.shown = Table("", log)
        self.clones = Table("", log)
        self.revision = 0

    @contextmanager
    def change(self) -> Iterator[None]:
        """One command: every change of tables and blocks inside it, or none [EVA-32]."""
        try:
            with self.store.transaction():
                yield
                if self.store.durable:
                    self._persist()
        except BaseException:
            for table, key, old in reversed(self._log):
                table.undo(key, old)
            raise
        else:
            self.revision += bool(self._log)
        finally:
            self._log.clear()

    def _persist(self) -> None:
        touched = {(table.name, key): table for table, key, _ in self._log if table.name}
        for (name, key), table in touched.items():
            value = table.rows.get(key)
            raw = None if value is None else _encode(name, value)
            self.store.set_meta(_meta_key(name, key), raw)

    def load(self) -> None:
        """Read every record back and rebuild the indices.

        Raises:
            ArrayDamaged: A record cannot be read, or refers to something that is not there.
        """
        for _, record in self._records("array"):
            self.array.rows["array"] = record
        for _, group in sorted(self._records("group"), key=_age_of_pair):
            self.groups.rows[group.name] = group
        for _, host in sorted(self._records("host"), key=_age_of_pair):
            self.hosts.rows[host.name] = host
        for _, disk in sorted(self._records("disk"), key=_age_of_pair):
            self._check_disk(disk)
            self.add_disk(disk)
        for key, lun in sorted(self._records("lun"), key=_age_of_pair):
            if lun.host not in self.hosts.rows or lun.storage not in self.disks.rows:
                raise ArrayDamaged(f"{key!r} refers to a host or disk that is not there")
            self.add_lun(lun)
        for _, copy_set in self._records("set"):
            self.add_set(copy_set)
        self._check_sets()
        self._log.clear()

    def _records(self, name: str) -> Iterator[tuple[str, Any]]:
        for key in self.store.meta_keys(f"{name}/"):
            raw = self.store.get_meta(key)
            if raw is None:
                raise ArrayDamaged(f"the record {key!r} of the array is gone")
            yield key, _decode(name, key, raw)

    def _check_disk(self, disk: VirtualDisk) -> None:
        if disk.group not in self.groups.rows:
            raise ArrayDamaged(f"the disk {disk.name!r} lies in a group that is not there")
        if disk.depends and disk.source not in self.disks.rows:
            raise ArrayDamaged(f"the source of the copy {disk.name!r} is not there")

    def _check_sets(self) -> None:
        for disk in self.disks.rows.values():
            if disk.key is not None:
                copy_set = self.sets.rows.get(disk.key)
                if copy_set is None or copy_set.staged or disk.id not in copy_set.members:
                    raise ArrayDamaged(f"the set of the copy {disk.name!r} is not there")
        if not self.array.rows and (self.store.volumes() or self.store.meta_keys()):
            raise ArrayDamaged("the array's first record is gone")

    def add_disk(self, disk: VirtualDisk) -> None:
        """Add a disk and its places in the indices."""
        self.disks.put(disk.id, disk)
        self.names.put(disk.name, disk.id)
        self.wwluns.put(disk.wwlun, disk.id)
        if disk.depends and disk.source is not None:
            known = self.dependents.rows.get(disk.source, ())
            self.dependents.put(disk.source, (*known, disk.id))
        if disk.is_normalizing:
            self.clones.put(disk.id, disk.volume)

    def drop_disk(self, disk: VirtualDisk) -> None:
        """Remove a disk from everywhere."""
        self.disks.drop(disk.id)
        self.names.drop(disk.name)
        self.wwluns.drop(disk.wwlun)
        self.release(disk)

    def release(self, disk: VirtualDisk) -> None:
        """The disk needs its source no longer."""
        if disk.source is not None and disk.id in self.dependents.rows.get(disk.source, ()):
            left = tuple(each for each in self.dependents.rows[disk.source] if each != disk.id)
            if left:
                self.dependents.put(disk.source, left)
            else:
                self.dependents.drop(disk.source)
        if disk.id in self.clones.rows:
            self.clones.drop(disk.id)

    def add_lun(self, lun: LunRecord) -> None:
        """Add a presentation."""
        self.luns.put((lun.host, lun.number), lun)
        known = self.shown.rows.get(lun.storage, ())
        self.shown.put(lun.storage, (*known, (lun.host, lun.number)))

    def drop_lun(self, lun: LunRecord) -> None:
        """Remove a presentation."""
        place = (lun.host, lun.number)
        self.luns.drop(place)
        left = tuple(each for each in self.shown.rows[lun.storage] if each != place)
        if left:
            self.shown.put(lun.storage, left)
        else:
            self.shown.drop(lun.storage)

    def add_set(self, copy_set: CopySet) -> None:
        """Add a set; a staged one holds the names of its future copies."""
        self.sets.put(copy_set.key, copy_set)
        for disk in copy_set.prepared:
            self.names.put(disk.name, copy_set.key)
            self.wwluns.put(disk.wwlun, copy_set.key)

    def drop_staged(self, copy_set: CopySet) -> None:
        """Remove a set that was not committed, and what it holds."""
        self.sets.drop(copy_set.key)
        for disk in copy_set.prepared:
            self.names.drop(disk.name)
            self.wwluns.drop(disk.wwlun)

    def dependents_of(self, storage: StorageId) -> tuple[VirtualDisk, ...]:
        """The copies that need this disk, oldest first."""
        return tuple(self.disks.rows[each] for each in self.dependents.rows.get(storage, ()))


def _age_of_pair(pair: tuple[str, Any]) -> tuple[int, int]:
    """Sorts records by the order in which their objects were numbered."""
    last = pair[1].identity.words[3]
    return last & 0xFFFF, last >> 16


def _meta_key(table: str, key: object) -> str:
    if isinstance(key, tuple):
        host, number = key
        return f"{table}/{number}/{host}"
    return f"{table}/{key}"
