"""Shadow copies: requests, sets, documents and LUN records of the shadow copy service."""

from __future__ import annotations

from datetime import datetime
from enum import Enum
from typing import ClassVar

from attrs import field, frozen

from frskit.model.components import (
    BackupType,
    Component,
    ComponentId,
    WriterMetadata,
    WriterRecord,
    WriterStatus,
)
from frskit.model.ids import CopyKey, SetId, ShadowId, StorageId, VolumeId, canonical_guid
from frskit.model.storage import CopyKind
from frskit.model.values import Value

__all__ = [
    "CompletionReport",
    "ExcludedComponent",
    "ImportedSet",
    "LunInformation",
    "ProviderInfo",
    "ProviderKind",
    "RestoreRequest",
    "ServiceCapabilities",
    "SetPlan",
    "Shadow",
    "ShadowDocuments",
    "ShadowRequest",
    "ShadowSet",
    "ShadowState",
]


def _canonical(set_id: SetId) -> SetId:
    """A set's id in the one spelling in which ids are compared [VSS-68]."""
    return SetId(canonical_guid(set_id))


class ShadowState(Enum):
    """VSS_SNAPSHOT_STATE [VSS 2.3]; the numbers are not in temporal order."""

    UNKNOWN = 0
    PREPARING = 1
    PROCESSING_PREPARE = 2
    PREPARED = 3
    PROCESSING_PRECOMMIT = 4
    PRECOMMITTED = 5
    PROCESSING_COMMIT = 6
    COMMITTED = 7
    PROCESSING_POSTCOMMIT = 8
    PROCESSING_PREFINALCOMMIT = 9
    PREFINALCOMMITTED = 10
    PROCESSING_POSTFINALCOMMIT = 11
    CREATED = 12
    ABORTED = 13
    DELETED = 14
    POSTCOMMITTED = 15


class ProviderKind(Enum):
    """Provider types, in the order in which the service prefers them [VSS-28]."""

    HARDWARE = 1
    SOFTWARE = 2
    SYSTEM = 3


@frozen(kw_only=True)
class ProviderInfo(Value):
    """A registered provider."""

    id: str = field(converter=canonical_guid)
    name: str
    kind: ProviderKind
    version: str = ""


@frozen(kw_only=True)
class LunInformation(Value):
    """A LUN as the service and a hardware provider speak of it (VDS_LUN_INFORMATION [VSS 5.2]).

    Attributes:
        storage: The array's id; the page 83 identifier of the LUN.
        identifiers: Further page 83 identifiers.
        vendor, product, revision, serial: SCSI inquiry strings.
        signature: Disk signature; empty in the records of get_target_luns [VSS 1.2].
        bus: Bus type; ignored in matching [VSS-49].
        device: Name of the original's device on the host that asks; empty if it has none, and in
            records that travel to another host.
        version: Record version, always 1.
    """

    storage: StorageId
    identifiers: tuple[str, ...] = ()
    vendor: str = ""
    product: str = ""
    revision: str = ""
    serial: str = ""
    signature: str = ""
    bus: str = "fibre"
    device: str = ""
    version: int = 1


@frozen(kw_only=True)
class ShadowRequest(Value):
    """What a requestor wants of one shadow copy session.

    Attributes:
        key: The caller's name for what will come of it, so that intent is durable before effect.
            The set gets an id of its own, which comes out of `ShadowSession.create`; frskit's
            service needs a GUID as the key, and uses it as that id.
        components: Names, captions or full paths of the components to select.
        backup_type: VSS backup type; required, there is no sensible default [VSS 8.8].
        kind: Kind of array copy; None = the provider decides.
        transportable: Whether the set will be imported on another server.
        persistent: Whether the copies outlive the session.
        previous_stamps: Stamps of the previous backup, by component; those of components that are
            not in this backup do no harm [VSS-66].
    """

    key: CopyKey
    components: tuple[str, ...]
    backup_type: BackupType
    kind: CopyKind | None = None
    transportable: bool = True
    persistent: bool = True
    previous_stamps: dict[ComponentId, str] = field(factory=dict, hash=False)


@frozen(kw_only=True)
class ExcludedComponent(Value):
    """A component that will not be in the backup, and why (never silently) [VSS-61]."""

    component: ComponentId
    reason: str


@frozen(kw_only=True)
class SetPlan(Value):
    """What a session would copy.

    Attributes:
        writers: Metadata of the writers that take part.
        explicit: Components that are named in the backup.
        components: Those and everything below them, with files.
        volumes: Volumes of the set, in order.
        storages: Distinct LUNs under them, in order; None: the service cannot tell, and the
            requestor asks the server.
        excluded: What is left out and why.
    """

    writers: tuple[WriterMetadata, ...]
    explicit: tuple[Component, ...]
    components: tuple[Component, ...]
    volumes: tuple[VolumeId, ...]
    storages: tuple[StorageId, ...] | None
    excluded: tuple[ExcludedComponent, ...] = ()


@frozen(kw_only=True)
class Shadow(Value):
    """One shadow copy of one volume.

    Attributes:
        id, set_id: Identity.
        volume: The original volume.
        mount_point: Where the original was mounted, server-native.
        source: LUN of the original; None: the service cannot tell.
        storage: LUN of the copy, or what the receiving server knows it by.
        offset_bytes, length_bytes: Where the volume lies on its LUN.
        state: Only CREATED ones are shown by queries.
        attributes: VSS attribute bits [VSS 4.4].
        key: The requestor's key of the set; None: made by somebody who gave none, or the service
            does not remember it.
    """

    id: ShadowId
    set_id: SetId = field(converter=_canonical)
    volume: VolumeId
    mount_point: str
    source: StorageId | None
    storage: StorageId
    offset_bytes: int = 0
    length_bytes: int = 0
    state: ShadowState = ShadowState.CREATED
    attributes: int = 0
    key: CopyKey | None = None


@frozen(kw_only=True)
class ShadowDocuments(Value):
    """The XML documents that a restore needs, kept byte-exact with the copy.

    Attributes:
        backup_components: The backup components document.
        writers: Writer metadata documents by instance id.
        opaque: Whatever else the service needs to import or restore the set, by a name of its own
            choice (for example the one file that a tool wrote). Nobody but the service reads it;
            it comes back to `import_set` and `restore_session` byte for byte.
    """

    backup_components: bytes
    writers: dict[str, bytes] = field(factory=dict, hash=False)
    opaque: dict[str, bytes] = field(factory=dict, hash=False)

    def __repr__(self) -> str:
        others = f", {len(self.opaque)} opaque parts" if self.opaque else ""
        return (
            f"<ShadowDocuments: {len(self.backup_components)} bytes, "
            f"{len(self.writers)} writers{others}>"
        )


@frozen(kw_only=True)
class ShadowSet(Value):
    """A created set: the application is thawed, the copies exist.

    Attributes:
        id: GUID of the set, the service's own.
        shadows: One per volume.
        documents: Documents as they stand after creation.
        created_at: The instant, aware UTC.
        freeze_s: Longest freeze-to-thaw of any writer; None: the service cannot tell.
        hold_s: How long writes were held; None: the service cannot tell.
        records: What writers want kept.
        writers: Status of the writers after creation.
    """

    schema_version: ClassVar[int] = 2

    id: SetId = field(converter=_canonical)
    shadows: tuple[Shadow, ...]
    documents: ShadowDocuments
    created_at: datetime
    freeze_s: float | None
    hold_s: float | None
    records: tuple[WriterRecord, ...] = ()
    writers: tuple[WriterStatus, ...] = ()


@frozen(kw_only=True)
class CompletionReport(Value):
    """What came of telling the writers the outcome.

    Attributes:
        completed: Whether BackupComplete was delivered and every taking-part writer is stable.
        writers: Status of the writers afterwards.
        documents: Final documents, with the outcome in them; None: they are as after creation.
    """

    completed: bool
    writers: tuple[WriterStatus, ...]
    documents: ShadowDocuments | None


@frozen(kw_only=True)
class ImportedSet(Value):
    """A transported set on the receiving server.

    Attributes:
        id: GUID of the set.
        shadows: The shadows that arrived.
        missing: Those that did not; a copy with missing members is a failure [HAZ-11].
    """

    id: SetId = field(converter=_canonical)
    shadows: tuple[Shadow, ...]
    missing: tuple[Shadow, ...] = ()


@frozen(kw_only=True)
class RestoreRequest(Value):
    """What a requestor wants of one restore session.

    Attributes:
        documents: Documents saved with the copy.
        components: Components to restore (explicit ones of the backup).
        additional_restores: Whether the writer must not run its final recovery yet.
    """

    documents: ShadowDocuments
    components: tuple[ComponentId, ...]
    additional_restores: bool = False


@frozen(kw_only=True)
class ServiceCapabilities(Value):
    """What a shadow copy service can do; what it cannot is refused when a session is planned.

    Attributes:
        per_component_outcome: Whether failure can be reported per component; without it writers
            hear success only if every component succeeded.
        backup_types: Types it can ask writers for.
        transportable: Whether sets can be moved to another server.
        proven_on: What this back end has been run against.
        set_id_from_caller: Whether the set gets the requestor's key as its id. Without it the
            requestor finds a set whose creation was cut off by its key, or by comparing lists.
        writer_records: Whether `ShadowSet.records` has what writers want kept.
        cancels_create: Whether a spent budget or `abandon` ends a creation before its commit;
            without it `create` takes as long as it takes.
        previous_stamps: Whether writers can be told the stamps of their last backup [VSS-66].
        bounded: Whether every call ends by itself, whatever writers, providers and servers do: by
            its budget, its window or the service's own patience. The requestor then calls it in
            its own thread, and puts a watchdog before any other.
    """

    per_component_outcome: bool
    backup_types: frozenset[BackupType]
    transportable: bool
    proven_on: str
    set_id_from_caller: bool = True
    writer_records: bool = True
    cancels_create: bool = True
    previous_stamps: bool = True
    bounded: bool = False
