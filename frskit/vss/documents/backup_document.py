"""The documents of the shadow copy service: what they say, and their XML.

Written and read are the backup components document (BCD) and writer metadata documents (WMD) as
far as [VSS 5.1, 5.2] knows them. What those sources do not know (LUN records, extents, outcomes,
file roles) stands in frskit's own namespace beside the public skeleton: documents made here are
read by frskit, and are *not* claimed to be importable by Windows. Documents made by Windows are
read tolerantly by local names; nothing unknown is ever dropped from a document that is amended.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from attrs import frozen

from frskit.errors import UsageError
from frskit.model.components import BackupSchema, BackupType, ComponentId, ComponentKind
from frskit.model.ids import SetId, ShadowId, StorageId, VolumeId, guid
from frskit.model.shadows import LunInformation
from frskit.vss.context_flags import Attribute
from frskit.vss.documents.xml import Element, XmlText, damaged, element_text

__all__ = [
    "NAMESPACE",
    "BackupDocument",
    "DocumentComponent",
    "DocumentShadow",
    "DocumentWriter",
    "read_backup_components",
    "schema_bits",
    "schema_of",
    "with_outcomes",
    "write_backup_components",
]

NAMESPACE = "urn:frskit:shadow-copy-set:1"
"""Namespace of frskit's own records in the documents."""

# Namespace of the document as the service writes it [VSS 5.2].
_BCD = "x-schema:#VssComponentMetadata"
_OWN = f"{{{NAMESPACE}}}"


@frozen(kw_only=True)
class DocumentComponent:
    """An explicit component in a BCD.

    Attributes:
        id, kind: Which.
        stamp: Backup stamp that the writer gave.
        metadata: Writer-private text.
        previous_stamp: The stamp of the backup before, as the writer was told [VSS-66].
        succeeded: Outcome; None before it is known.
    """

    id: ComponentId
    kind: ComponentKind = ComponentKind.FILE_GROUP
    stamp: str = ""
    metadata: str = ""
    succeeded: bool | None = None
    previous_stamp: str = ""


@frozen(kw_only=True)
class DocumentWriter:
    """A writer in a BCD with its explicit components; writers without any are absent.

    Attributes:
        writer_id, instance_id, schema: As in its metadata.
        components: The explicit ones.
        instance: The instance as its components' ids have it: its name; the GUID, in a document
            that has two nameless instances of one class; empty otherwise.
    """

    writer_id: str
    instance_id: str
    schema: frozenset[BackupSchema] = frozenset()
    components: tuple[DocumentComponent, ...] = ()
    instance: str = ""


@frozen(kw_only=True)
class DocumentShadow:
    """One shadow copy of a transportable set, as the receiving server needs it [VSS-47].

    Attributes:
        id: Shadow copy.
        volume: Original volume.
        mount_point: Where it was mounted.
        provider_id: Provider that made it.
        source, target: LUN records.
        offset_bytes, length_bytes: Extent of the volume on its LUN.
    """

    id: ShadowId
    volume: VolumeId
    mount_point: str
    provider_id: str
    source: LunInformation
    target: LunInformation
    offset_bytes: int = 0
    length_bytes: int = 0


@frozen(kw_only=True)
class BackupDocument:
    """What a BCD says.

    Attributes:
        set_id: Shadow copy set; None if there was none.
        backup_type: Type asked for; None for one that frskit does not use.
        context: Context and attributes of the set.
        writers: Writers with their explicit components.
        shadows: LUN records; only transportable sets have them.
    """

    set_id: SetId | None
    backup_type: BackupType | None
    context: int = 0
    writers: tuple[DocumentWriter, ...] = ()
    shadows: tuple[DocumentShadow, ...] = ()

    @property
    def transportable(self) -> bool:
        """Whether it describes a set that another server can import."""
        return bool(self.shadows) and bool(self.context & Attribute.TRANSPORTABLE)

    def explicit(self) -> tuple[ComponentId, ...]:
        """The explicit components of all writers."""
        return tuple(each.id for writer in self.writers for each in writer.components)


def schema_bits(schema: frozenset[BackupSchema]) -> int:
    """The mask as documents carry it [VSS 4.2]."""
    return sum(bit.value for bit in schema)


def schema_of(bits: int) -> frozenset[BackupSchema]:
    """The known bits of a mask; frskit does not use the others.

    Raises:
        DocumentError: The mask contradicts itself [VSS-63].
    """
    schema = frozenset(bit for bit in BackupSchema if bits & bit.value)
    # Bits that mean nothing without these make the document invalid [VSS-63].
    both = {BackupSchema.DIFFERENTIAL, BackupSchema.INCREMENTAL}
    if BackupSchema.EXCLUSIVE_INCREMENTAL_DIFFERENTIAL in schema and not both <= schema:
        raise damaged(f"schema {bits}: exclusive without incremental and differential")
    times = {BackupSchema.TIMESTAMPED, BackupSchema.LAST_MODIFY}
    if times & schema and not both & schema:
        raise damaged(f"schema {bits}: time stamps without incremental or differential")
    return schema


def _yes(value: object) -> str:
    return "yes" if value else "no"


def write_backup_components(document: BackupDocument) -> bytes:
    """The BCD as UTF-8 without prolog; the same values give the same bytes.

    Raises:
        DocumentError: A text holds a character that XML cannot carry.
    """
    children = "".join(_writer_text(writer) for writer in document.writers)
    if document.shadows:
        children += element_text(
            "SNAPSHOT_SET_DESCRIPTION",
            {"snapshotSetId": document.set_id, "frskit:context": str(document.context)},
            "".join(_shadow_text(shadow) for shadow in document.shadows),
        )
    attributes = {
        "xmlns": _BCD,
        "xmlns:frskit": NAMESPACE,
        "version": "1.2",
        "bootableSystemStateBackup": "no",
        "selectComponents": "yes",
        "backupType": document.backup_type.value if document.backup_type else "undefined",
        "partialFileSupport": "no",
        "snapshotSetId": document.set_id,
    }
    return element_text("BACKUP_COMPONENTS", attributes, children).encode("utf-8")


def _writer_text(writer: DocumentWriter) -> str:
    attributes = {
        "instanceId": writer.instance_id,
        "writerId": writer.writer_id,
        "instanceName": writer.instance or None,
        "backupSchema": str(schema_bits(writer.schema)),
    }
    children = "".join(_component_text(component) for component in writer.components)
    return element_text("WRITER_COMPONENTS", attributes, children)


def _component_text(component: DocumentComponent) -> str:
    outcome = component.succeeded
    attributes = {
        "componentName": component.id.name,
        "componentType": component.kind.value,
        "logicalPath": component.id.logical_path or None,
        "backupStamp": component.stamp or None,
        # Its public name is not known [VSS 5.2].
        "frskit:previousBackupStamp": component.previous_stamp or None,
        "frskit:succeeded": None if outcome is None else _yes(outcome),
    }
    if not component.metadata:
        return element_text("COMPONENT", attributes)
    private = element_text("BACKUP_METADATA", {"metadata": component.metadata})
    return element_text("COMPONENT", attributes, private)


def _shadow_text(shadow: DocumentShadow) -> str:
    attributes = {
        "snapshotId": shadow.id,
        "frskit:volume": shadow.volume,
        "frskit:mountPoint": shadow.mount_point,
        "frskit:providerId": shadow.provider_id,
    }
    extent = element_text(
        "frskit:EXTENT",
        {"offsetBytes": str(shadow.offset_bytes), "lengthBytes": str(shadow.length_bytes)},
    )
    luns = _lun_text("frskit:SOURCE_LUN", shadow.source)
    luns += _lun_text("frskit:TARGET_LUN", shadow.target)
    return element_text("SNAPSHOT_DESCRIPTION", attributes, luns + extent)


def _lun_text(name: str, lun: LunInformation) -> str:
    attributes = {
        "version": str(lun.version),
        "storage": lun.storage,
        "bus": lun.bus,
        "vendor": lun.vendor,
        "product": lun.product,
        "revision": lun.revision,
        "serial": lun.serial,
        "diskSignature": lun.signature,
    }
    if not lun.identifiers:
        return element_text(name, attributes)
    return element_text(
        name,
        attributes,
        "".join(element_text("frskit:IDENTIFIER", {"value": text}) for text in lun.identifiers),
    )


def read_backup_components(data: bytes) -> BackupDocument:
    """What a BCD says; unknown content is skipped here and kept by `with_outcomes`.

    Raises:
        DocumentError: It does not load, or contradicts itself.
    """
    root = XmlText(data, root="BACKUP_COMPONENTS").root
    description = root.find("SNAPSHOT_SET_DESCRIPTION")
    set_id = root.get("snapshotSetId")
    if description is not None:
        set_id = description.get("snapshotSetId") or set_id
    # Only `full` has been seen in a real document; an unknown word is no reason to refuse [VSS
    # 5.2].
    types = {each.value: each for each in BackupType}
    return BackupDocument(
        set_id=SetId(read_guid(set_id)) if set_id else None,
        backup_type=types.get(root.get("backupType").casefold()),
        context=0 if description is None else description.number(_OWN + "context", 0),
        writers=tuple(_read_writer(*each) for each in _writers_in(root)),
        shadows=() if description is None else _read_shadows(description),
    )


def read_guid(text: str) -> str:
    """A GUID of a document in canonical spelling [VSS-68].

    Raises:
        DocumentError: It is none.
    """
    try:
        return guid(text)
    except UsageError as error:
        raise damaged(f"{text!r} is not a GUID", name="VSS_E_CORRUPT_XML_DOCUMENT") from error


def _writers_in(root: Element) -> Sequence[tuple[Element, str, str]]:
    """The writers' elements with class id and instance, which tells two of one class apart."""
    found = [
        (each, read_guid(each.require("writerId")), each.get("instanceName"))
        for each in root.find_all("WRITER_COMPONENTS")
    ]
    known = Counter((writer_id, name) for _, writer_id, name in found)
    return [
        (each, writer_id, name)
        if known[writer_id, name] == 1
        else (each, writer_id, read_guid(each.require("instanceId")))
        for each, writer_id, name in found
    ]


def _read_writer(element: Element, writer_id: str, instance: str) -> DocumentWriter:
    return DocumentWriter(
        writer_id=writer_id,
        instance_id=read_guid(element.require("instanceId")),
        instance=instance,
        schema=schema_of(element.number("backupSchema", 0)),
        # Whatever has a component name is a component; not all element names are known [VSS 5.1].
        components=tuple(
            _read_component(writer_id, instance, each)
            for each in element.children
            if "componentName" in each.attributes
        ),
    )


def _read_component(writer_id: str, instance: str, element: Element) -> DocumentComponent:
    private = element.find("BACKUP_METADATA")
    outcome = element.get(_OWN + "succeeded")
    is_database = element.get("componentType").casefold() == ComponentKind.DATABASE.value
    return DocumentComponent(
        id=ComponentId(
            writer_id=writer_id,
            logical_path=element.get("logicalPath"),
            name=element.require("componentName"),
            instance=instance,
        ),
        kind=ComponentKind.DATABASE if is_database else ComponentKind.FILE_GROUP,
        stamp=element.get("backupStamp"),
        previous_stamp=element.get(_OWN + "previousBackupStamp"),
        metadata="" if private is None else private.get("metadata"),
        succeeded=None if not outcome else outcome == "yes",
    )


def _read_shadows(description: Element) -> tuple[DocumentShadow, ...]:
    """Shadow records that carry frskit's LUN records; others cannot be imported here."""
    found = []
    for element in description.descend():
        source, target = element.find("SOURCE_LUN"), element.find("TARGET_LUN")
        if element.name == "SNAPSHOT_DESCRIPTION" and source is not None and target is not None:
            found.append(_read_shadow(element, source, target))
    return tuple(found)


def _read_shadow(element: Element, source: Element, target: Element) -> DocumentShadow:
    extent = element.find("EXTENT")
    return DocumentShadow(
        id=ShadowId(read_guid(element.require("snapshotId"))),
        volume=VolumeId(element.require(_OWN + "volume")),
        mount_point=element.get(_OWN + "mountPoint"),
        provider_id=read_guid(element.require(_OWN + "providerId")),
        source=_read_lun(source),
        target=_read_lun(target),
        offset_bytes=0 if extent is None else extent.number("offsetBytes"),
        length_bytes=0 if extent is None else extent.number("lengthBytes"),
    )


def _read_lun(element: Element) -> LunInformation:
    return LunInformation(
        storage=StorageId(element.require("storage")),
        identifiers=tuple(each.require("value") for each in element.find_all("IDENTIFIER")),
        vendor=element.get("vendor"),
        product=element.get("product"),
        revision=element.get("revision"),
        serial=element.get("serial"),
        signature=element.get("diskSignature"),
        bus=element.get("bus"),
        version=element.number("version"),
    )


def with_outcomes(data: bytes, outcomes: Mapping[ComponentId, bool]) -> bytes:
    """The same document with the outcome at its components; every other byte stays.

    Raises:
        DocumentError: The document does not load, or does not name one of the components.
    """
    document = XmlText(data, root="BACKUP_COMPONENTS")
    places = dict(_component_places(document.root))
    for component, succeeded in outcomes.items():
        element = places.get(component)
        if element is None:
            raise damaged(f"component {component.full_path} is not in it")
        # The prefix is bound at the element itself unless the root of our own making binds it.
        if not (document.declares(document.root, "frskit") or document.declares(element, "frskit")):
            document.set_attribute(element, "xmlns:frskit", NAMESPACE)
        document.set_attribute(element, "frskit:succeeded", _yes(succeeded))
    return document.to_bytes()


def _component_places(root: Element) -> Sequence[tuple[ComponentId, Element]]:
    return [
        (_read_component(writer_id, instance, each).id, each)
        for writer, writer_id, instance in _writers_in(root)
        for each in writer.children
        if "componentName" in each.attributes
    ]
