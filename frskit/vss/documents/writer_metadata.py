"""Writer metadata documents (WMD): writing ours, reading anybody's [VSS 5.1].

The freeze level, the freeze window and the role of files are not part of the public format; they
stand in frskit's own namespace, so that a document read back is the metadata it was made of.
"""

from __future__ import annotations

from frskit.model.components import (
    Component,
    ComponentId,
    ComponentKind,
    Quiesce,
    WriterLevel,
    WriterMetadata,
)
from frskit.model.files import FileRole, FileSet
from frskit.vss.documents.backup_document import NAMESPACE, read_guid, schema_bits, schema_of
from frskit.vss.documents.xml import Element, XmlText, damaged, element_text

__all__ = ["read_writer_metadata", "write_writer_metadata"]

# Namespace of the document as the service writes it [VSS 5.1].
_WMD = "x-schema:#VssWriterMetadataInfo"
_OWN = f"{{{NAMESPACE}}}"
_ALL_BACKUPS = "3855"  # 0xF0F, the default mask of a file set [VSS 4.2]


def write_writer_metadata(metadata: WriterMetadata) -> bytes:
    """The WMD as UTF-8 without prolog; the same values give the same bytes.

    Raises:
        DocumentError: A text holds a character that XML cannot carry.
    """
    window_s = metadata.freeze_timeout_s
    identification = element_text(
        "IDENTIFICATION",
        {
            "writerId": metadata.writer_id,
            "instanceId": metadata.instance_id,
            "instanceName": metadata.instance or None,
            "friendlyName": metadata.name,
            "usage": "USER_DATA",
            "dataSource": "TRANSACTION_DB",
            "majorVersion": "0",
            "minorVersion": "0",
            "frskit:level": metadata.level.name,
            # Written with repr, so that reading gives back the very same float.
            "frskit:freezeTimeout": None if window_s is None else repr(float(window_s)),
            # Left out where it is what every writer of VSS does.
            "frskit:quiesce": None if metadata.quiesce is Quiesce.HOLDS else metadata.quiesce.name,
        },
    )
    method = element_text(
        "RESTORE_METHOD",
        {"method": "RESTORE_IF_CAN_BE_REPLACED", "writerRestore": "always", "rebootRequired": "no"},
    )
    locations = "".join(_files_text("EXCLUDE_FILES", files) for files in metadata.excluded)
    locations += "".join(_component_text(component) for component in metadata.components)
    attributes = {
        "xmlns": _WMD,
        "xmlns:frskit": NAMESPACE,
        "version": "1.2",
        "backupSchema": str(schema_bits(metadata.schema)),
    }
    inner = identification + method + element_text("BACKUP_LOCATIONS", {}, locations)
    return element_text("WRITER_METADATA", attributes, inner).encode("utf-8")


def _component_text(component: Component) -> str:
    attributes = {
        "logicalPath": component.id.logical_path or None,
        "componentName": component.id.name,
        "caption": component.caption or None,
        "restoreMetadata": "no",
        "notifyOnBackupComplete": _yes(component.notify_on_backup_complete),
        "selectable": _yes(component.selectable),
        "selectableForRestore": _yes(component.selectable_for_restore),
        "componentFlags": "0",
        # The public name of a database element is not known [VSS 5.1].
        "frskit:kind": component.kind.value,
    }
    files = "".join(_files_text("FILE_LIST", each) for each in component.files)
    return element_text("FILE_GROUP", attributes, files or None)


def _files_text(name: str, files: FileSet) -> str:
    attributes = {
        "path": files.path,
        "filespec": files.pattern,
        "recursive": _yes(files.recursive),
        "filespecBackupType": _ALL_BACKUPS if name == "FILE_LIST" else None,
        "frskit:role": files.role.value,
    }
    return element_text(name, attributes)


def _yes(value: object) -> str:
    return "yes" if value else "no"


def read_writer_metadata(data: bytes) -> WriterMetadata:
    """What a WMD says, whoever wrote it.

    Any element with a component name counts as a component, any of its children with a path and
    a file specification as a file set, because the names of some are not known [VSS 5.1].

    Raises:
        DocumentError: It does not load, or contradicts itself [VSS-63].
    """
    root = XmlText(data, root="WRITER_METADATA").root
    who = root.find("IDENTIFICATION")
    if who is None:
        raise damaged("it does not say whose it is", name="VSS_E_CORRUPT_XML_DOCUMENT")
    writer_id = read_guid(who.require("writerId"))
    instance = who.get("instanceName")
    places = [each for where in root.find_all("BACKUP_LOCATIONS") for each in where.children]
    return WriterMetadata(
        writer_id=writer_id,
        instance_id=read_guid(who.require("instanceId")),
        name=who.get("friendlyName"),
        components=tuple(
            _read_component(writer_id, instance, each)
            for each in places
            if "componentName" in each.attributes
        ),
        schema=schema_of(root.number("backupSchema", 0)),
        level=_read_level(who),
        freeze_timeout_s=_read_seconds(who),
        quiesce=_read_quiesce(who),
        excluded=tuple(_read_files(each) for each in places if each.name == "EXCLUDE_FILES"),
        instance=instance,
    )


def _read_level(who: Element) -> WriterLevel:
    name = who.get(_OWN + "level", WriterLevel.FRONT_END.name)
    if name not in WriterLevel.__members__:
        raise damaged(f"freeze level {name!r} is not known", name="VSS_E_CORRUPT_XML_DOCUMENT")
    return WriterLevel[name]


def _read_quiesce(who: Element) -> Quiesce:
    name = who.get(_OWN + "quiesce", Quiesce.HOLDS.name)
    if name not in Quiesce.__members__:
        raise damaged(f"quiesce {name!r} is not known", name="VSS_E_CORRUPT_XML_DOCUMENT")
    return Quiesce[name]


def _read_seconds(who: Element) -> float | None:
    text = who.get(_OWN + "freezeTimeout")
    if not text:
        return None  # a foreign document does not say
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    # Ours: bounds how long a document can make anybody wait; NaN fails both comparisons.
    if not 0.0 < seconds < 1e9:
        raise damaged(f"freeze window {text!r} is not valid", name="VSS_E_CORRUPT_XML_DOCUMENT")
    return seconds


def _read_component(writer_id: str, instance: str, element: Element) -> Component:
    is_database = element.name == "DATABASE" or element.get(_OWN + "kind") == "database"
    return Component(
        id=ComponentId(
            writer_id=writer_id,
            logical_path=element.get("logicalPath"),
            name=element.require("componentName"),
            instance=instance,
        ),
        caption=element.get("caption"),
        kind=ComponentKind.DATABASE if is_database else ComponentKind.FILE_GROUP,
        selectable=element.get("selectable") == "yes",
        selectable_for_restore=element.get("selectableForRestore") == "yes",
        notify_on_backup_complete=element.get("notifyOnBackupComplete") == "yes",
        files=tuple(
            _read_files(each)
            for each in element.children
            if "path" in each.attributes and "filespec" in each.attributes
        ),
    )


def _read_files(element: Element) -> FileSet:
    roles = {role.value: role for role in FileRole}
    return FileSet(
        path=element.require("path"),
        pattern=element.require("filespec"),
        recursive=element.get("recursive") == "yes",
        role=roles.get(element.get(_OWN + "role"), FileRole.DATABASE),
    )
