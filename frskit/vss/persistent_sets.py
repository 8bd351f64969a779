"""What a coordinator remembers over a restart: its sets and its open sessions.

Records are JSON with a ``schema`` field in a mapping that the composition provides (a directory, a
table); without one they live as long as the process. They are never written between Freeze and
Thaw (design law 5): the record of a creation is durable before, its outcome after.
"""

from __future__ import annotations

from collections.abc import MutableMapping
from enum import Enum
from typing import TypeVar

from attrs import evolve, field, frozen

from frskit.model.components import BackupType, ComponentId
from frskit.model.ids import SetId, canonical_guid
from frskit.model.json_records import dump, load
from frskit.model.shadows import LunInformation, Shadow
from frskit.model.volumes import DiskFlags

__all__ = ["MemberRecord", "Records", "SessionRecord", "SetLife", "SetRecord", "WriterRole"]

R = TypeVar("R")

_SET, _SESSION = "set/", "session/"
_SCHEMAS = {_SET: "frskit.vss.set", _SESSION: "frskit.vss.session"}
_FIRST = b'"schema": 1'
"""How records said their schema before it had a name."""


class SetLife(Enum):
    """How far a set has come on *this* server.

    CREATING: durable before the flags of the originals change. CREATED: transportable, waiting to
    be imported elsewhere. IMPORTED: here, also by automatic import. BROKEN: let go of; remembered
    so that it is never imported twice [VSS-48].
    """

    CREATING = "creating"
    CREATED = "created"
    IMPORTED = "imported"
    BROKEN = "broken"


@frozen(kw_only=True)
class MemberRecord:
    """One shadow copy of a set.

    Attributes:
        shadow: The shadow copy.
        provider_id: Provider that made it.
        source: LUN record of the original.
        target: LUN record of the copy; None before it exists.
        source_flags: Flags that the original had before the copy was made.
    """

    shadow: Shadow
    provider_id: str
    source: LunInformation
    target: LunInformation | None = None
    source_flags: DiskFlags = field(factory=DiskFlags)


@frozen(kw_only=True)
class SetRecord:
    """One set."""

    id: SetId
    life: SetLife
    context: int
    members: tuple[MemberRecord, ...]

    def living(self, life: SetLife) -> SetRecord:
        """The same set, somewhere else in its life."""
        return evolve(self, life=life)


@frozen(kw_only=True)
class WriterRole:
    """A writer that was told of a session, with its explicit components."""

    writer_id: str
    components: tuple[ComponentId, ...]
    instance: str = ""


@frozen(kw_only=True)
class SessionRecord:
    """A backup session that writers know of; it is removed when they got BackupShutdown."""

    id: SetId
    backup_type: BackupType
    writers: tuple[WriterRole, ...]


class Records:
    """Sets and sessions in a mapping of bytes.

    Args:
        memory: Where records are kept; None for a plain dict.
    """

    def __init__(self, memory: MutableMapping[str, bytes] | None = None) -> None:
        self._memory: MutableMapping[str, bytes] = {} if memory is None else memory

    def put_set(self, record: SetRecord) -> None:
        """Store or replace."""
        self._memory[_set_key(record.id)] = _encoded(_SET, record)

    def get_set(self, set_id: SetId) -> SetRecord | None:
        """The set, or None; its id may be spelled in any way [VSS-68]."""
        key = _set_key(set_id)
        data = self._memory.get(key)
        return None if data is None else _decoded(_SET, key, data, SetRecord)

    def drop_set(self, set_id: SetId) -> None:
        """Forget; unknown is fine."""
        self._memory.pop(_set_key(set_id), None)

    def sets(self) -> tuple[SetRecord, ...]:
        """All sets, by id."""
        return tuple(
            _decoded(_SET, key, self._memory[key], SetRecord)
            for key in sorted(self._memory)
            if key.startswith(_SET)
        )

    def put_session(self, record: SessionRecord) -> None:
        """Store or replace."""
        self._memory[_SESSION + record.id] = _encoded(_SESSION, record)

    def drop_session(self, session_id: SetId) -> None:
        """Forget; unknown is fine."""
        self._memory.pop(_SESSION + session_id, None)

    def sessions(self) -> tuple[SessionRecord, ...]:
        """All sessions whose end is not on record, by id."""
        return tuple(
            _decoded(_SESSION, key, self._memory[key], SessionRecord)
            for key in sorted(self._memory)
            if key.startswith(_SESSION)
        )


def _set_key(set_id: SetId) -> str:
    return _SET + canonical_guid(set_id)


def _encoded(table: str, record: SetRecord | SessionRecord) -> bytes:
    return dump(record, _SCHEMAS[table], sort_keys=True).encode("utf-8")


def _decoded(table: str, key: str, data: bytes, kind: type[R]) -> R:
    schema = _SCHEMAS[table]
    # The first schema was a bare number; `load` knows names only.
    if _FIRST in data:
        data = data.replace(_FIRST, f'"schema": "{schema}/1"'.encode(), 1)
    return load(
        data,
        kind,
        schema,
        strict=True,
        what=f"the coordinator's record {key}",
        hint=None,
        context={"key": key},
    )
