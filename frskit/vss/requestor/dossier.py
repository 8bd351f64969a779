"""The documents of one backup session: what a `BackupComponents` object saves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from attrs import define, field

from frskit.model.components import (
    BackupType,
    Component,
    ComponentId,
    WriterMetadata,
    WriterRecord,
)
from frskit.model.ids import SetId
from frskit.model.shadows import ShadowDocuments
from frskit.vss.context_flags import Attribute
from frskit.vss.documents.backup_document import (
    BackupDocument,
    DocumentComponent,
    DocumentWriter,
    with_outcomes,
    write_backup_components,
)
from frskit.vss.documents.writer_metadata import write_writer_metadata
from frskit.vss.persistent_sets import SetRecord
from frskit.vss.requestor.import_break_delete import document_shadow

__all__ = ["Dossier"]


@define(eq=False)
class Dossier:
    """What is known of one backup, and its documents.

    The document is written once, when the set has been created; outcomes are amended in its text,
    so that everything else stays byte for byte [VSS-47, VSS-67].

    Attributes:
        backup_type, context, set_id: Of the backup, as far as they are known.
        explicit: Explicit components.
        stamps: What writers were told of their last backup.
        outcomes: Outcome per explicit component, as far as it is known.
        kept: What writers wanted kept.
        record: The created set.
        text: The document as it was saved or given.
    """

    backup_type: BackupType | None = None
    context: int = 0
    set_id: SetId | None = None
    explicit: dict[ComponentId, Component] = field(factory=dict)
    stamps: dict[ComponentId, str] = field(factory=dict)
    outcomes: dict[ComponentId, bool] = field(factory=dict)
    kept: tuple[WriterRecord, ...] = ()
    record: SetRecord | None = None
    text: bytes | None = None

    def xml(self, writers: Iterable[WriterMetadata]) -> bytes:
        """The backup components document as it stands."""
        if self.text is not None:
            return with_outcomes(self.text, self.outcomes) if self.outcomes else self.text
        text = write_backup_components(self._described(writers))
        # From here on the text itself is amended, so that a second save differs in outcomes only.
        if self.record is not None:
            self.text = text
        return text

    def documents(
        self, gathered: Sequence[WriterMetadata], taking_part: Iterable[WriterMetadata]
    ) -> ShadowDocuments:
        """That document, and the metadata of the writers that take part."""
        return ShadowDocuments(
            backup_components=self.xml(gathered),
            writers={each.instance_id: write_writer_metadata(each) for each in taking_part},
        )

    def _described(self, writers: Iterable[WriterMetadata]) -> BackupDocument:
        # LUN records are for a set that travels; one that stays is managed by its own service.
        moving = self.record is not None and bool(self.context & Attribute.TRANSPORTABLE)
        members = self.record.members if self.record is not None and moving else ()
        return BackupDocument(
            set_id=self.set_id,
            backup_type=self.backup_type,
            context=self.context,
            writers=tuple(self._writers(writers)),
            shadows=tuple(document_shadow(each) for each in members),
        )

    def _writers(self, writers: Iterable[WriterMetadata]) -> Iterable[DocumentWriter]:
        kept = {each.component: each for each in self.kept}
        for metadata in writers:
            mine = [
                _component(each, kept.get(each.id), self.stamps.get(each.id, ""))
                for each in metadata.components
                if each.id in self.explicit
            ]
            if mine:
                yield DocumentWriter(
                    writer_id=metadata.writer_id,
                    instance_id=metadata.instance_id,
                    instance=metadata.instance,
                    schema=metadata.schema,
                    components=tuple(mine),
                )


def _component(
    component: Component, kept: WriterRecord | None, previous_stamp: str
) -> DocumentComponent:
    return DocumentComponent(
        id=component.id,
        kind=component.kind,
        stamp=kept.stamp if kept else "",
        metadata=kept.metadata if kept else "",
        previous_stamp=previous_stamp,
    )
