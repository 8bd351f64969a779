"""The shadow copy service: coordinator, requestor object, documents, and the array provider.

`Coordinator` implements the service of one server, `BackupComponents` is the fine-grained
requestor object behind its sessions, `ArrayProvider` is a hardware provider over any disk array.
The state machines are tables in `frskit.vss.state_tables`. Facts come from the rule book, rules VSS-01
to VSS-68; what is frskit's own choice says so where it stands.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit._lazy import face

if TYPE_CHECKING:
    from collections.abc import Callable

    from frskit.vss.coordinator import Coordinator
    from frskit.vss.documents.backup_document import (
        BackupDocument,
        read_backup_components,
        with_outcomes,
        write_backup_components,
    )
    from frskit.vss.documents.writer_metadata import read_writer_metadata, write_writer_metadata
    from frskit.vss.provider.array_provider import ArrayProvider
    from frskit.vss.requestor.backup_components import BackupComponents
    from frskit.vss.requestor.component_selection import Selection, select_components
    from frskit.vss.state_tables import (
        PROVIDER_TABLE,
        ProviderAction,
        ProviderCall,
        ProviderState,
        table_rows,
    )

__all__ = [
    "PROVIDER_TABLE",
    "ArrayProvider",
    "BackupComponents",
    "BackupDocument",
    "Coordinator",
    "ProviderAction",
    "ProviderCall",
    "ProviderState",
    "Selection",
    "read_backup_components",
    "read_writer_metadata",
    "select_components",
    "table_rows",
    "with_outcomes",
    "write_backup_components",
    "write_writer_metadata",
]

_HOMES = {
    "ArrayProvider": "frskit.vss.provider.array_provider",
    "BackupComponents": "frskit.vss.requestor.backup_components",
    "BackupDocument": "frskit.vss.documents.backup_document",
    "Coordinator": "frskit.vss.coordinator",
    "PROVIDER_TABLE": "frskit.vss.state_tables",
    "ProviderAction": "frskit.vss.state_tables",
    "ProviderCall": "frskit.vss.state_tables",
    "ProviderState": "frskit.vss.state_tables",
    "Selection": "frskit.vss.requestor.component_selection",
    "read_backup_components": "frskit.vss.documents.backup_document",
    "read_writer_metadata": "frskit.vss.documents.writer_metadata",
    "select_components": "frskit.vss.requestor.component_selection",
    "table_rows": "frskit.vss.state_tables",
    "with_outcomes": "frskit.vss.documents.backup_document",
    "write_backup_components": "frskit.vss.documents.backup_document",
    "write_writer_metadata": "frskit.vss.documents.writer_metadata",
}
__getattr__: Callable[[str], object]
__dir__: Callable[[], list[str]]
__getattr__, __dir__ = face(__name__, _HOMES)
