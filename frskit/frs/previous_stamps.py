"""What writers are told of their last backup [VSS-66]."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from frskit.errors import CatalogError
from frskit.model.components import BackupType
from frskit.model.copies import Completion, Verdict

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from frskit.frs.state.catalog import SqliteCatalog
    from frskit.model.components import ComponentId, WriterRecord
    from frskit.model.copies import Copy

__all__ = ["previous_stamps"]


def previous_stamps(
    catalog: SqliteCatalog, server: str, asked: Collection[str] = ()
) -> dict[ComponentId, str]:
    """The stamp of each component from the last backup that it can build upon; no more than that.

    That is the newest copy which is VERIFIED, was completed, and names the component. Copies of
    the type COPY are no part of a component's history [VSS 4.1], and neither are deleted ones,
    since nothing can be recovered from those (frskit's choice). If that copy has no stamp there is
    none: an older one would claim that nothing had happened since. So it is behind a record that
    cannot be read, which may be of that copy.

    Args:
        catalog: Where the copies are.
        server: Whose components.
        asked: What the caller calls the components that matter; of others there may be stamps or
            not. Empty: all matter.
    """
    stamps: dict[ComponentId, str] = {}
    seen: set[ComponentId] = set()
    wanted = {each.casefold() for each in asked}
    for copy in _readable(catalog.ended(server)):
        counts = copy.verdict is Verdict.VERIFIED and copy.completion is Completion.DONE
        if not counts or copy.backup_type is BackupType.COPY:
            continue
        new = {each.id for each in copy.selected} - seen
        seen |= new
        # A listing leaves the records out.
        for record in _records(catalog, copy) if new else ():
            if record.component in new and record.stamp:
                stamps[record.component] = record.stamp
        # The same names select the same components, and all of them have been seen now.
        if wanted and wanted <= {each.casefold() for each in copy.asked}:
            break
    return stamps


def _readable(copies: Iterator[Copy]) -> Iterator[Copy]:
    """The copies up to the first one whose record cannot be read."""
    with suppress(CatalogError):
        yield from copies


def _records(catalog: SqliteCatalog, copy: Copy) -> tuple[WriterRecord, ...]:
    """What the writers wanted kept; nothing if it cannot be read."""
    try:
        return catalog.get(copy.id).records
    except CatalogError:
        return ()
