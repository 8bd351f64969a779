"""Backup components and writer metadata documents, read and written byte by byte."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.vss.documents.backup_document import (
        NAMESPACE,
        BackupDocument,
        DocumentComponent,
        DocumentShadow,
        DocumentWriter,
        read_backup_components,
        schema_bits,
        schema_of,
        with_outcomes,
        write_backup_components,
    )
    from frskit.vss.documents.writer_metadata import read_writer_metadata, write_writer_metadata
    from frskit.vss.documents.xml import (
        MAX_BYTES,
        MAX_DEPTH,
        MAX_ELEMENTS,
        Element,
        XmlText,
        element_text,
        escape_attribute,
    )

__all__ = [
    "MAX_BYTES",
    "MAX_DEPTH",
    "MAX_ELEMENTS",
    "NAMESPACE",
    "BackupDocument",
    "DocumentComponent",
    "DocumentShadow",
    "DocumentWriter",
    "Element",
    "XmlText",
    "element_text",
    "escape_attribute",
    "read_backup_components",
    "read_writer_metadata",
    "schema_bits",
    "schema_of",
    "with_outcomes",
    "write_backup_components",
    "write_writer_metadata",
]

_HOMES = {
    "BackupDocument": "frskit.vss.documents.backup_document",
    "DocumentComponent": "frskit.vss.documents.backup_document",
    "DocumentShadow": "frskit.vss.documents.backup_document",
    "DocumentWriter": "frskit.vss.documents.backup_document",
    "Element": "frskit.vss.documents.xml",
    "MAX_BYTES": "frskit.vss.documents.xml",
    "MAX_DEPTH": "frskit.vss.documents.xml",
    "MAX_ELEMENTS": "frskit.vss.documents.xml",
    "NAMESPACE": "frskit.vss.documents.backup_document",
    "XmlText": "frskit.vss.documents.xml",
    "element_text": "frskit.vss.documents.xml",
    "escape_attribute": "frskit.vss.documents.xml",
    "read_backup_components": "frskit.vss.documents.backup_document",
    "read_writer_metadata": "frskit.vss.documents.writer_metadata",
    "schema_bits": "frskit.vss.documents.backup_document",
    "schema_of": "frskit.vss.documents.backup_document",
    "with_outcomes": "frskit.vss.documents.backup_document",
    "write_backup_components": "frskit.vss.documents.backup_document",
    "write_writer_metadata": "frskit.vss.documents.writer_metadata",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
