"""Changing pages the logged way: record first, then the page in memory.

The only place where pages change at run time; redo applies the same records with
`apply_operation`. Facts: [lab-store.md 3].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.exchange.store.log_records import (
    NewPages,
    NodeChange,
    Operation,
    PageImage,
    TornPageImage,
    encode_record,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from frskit.exchange.store.database import Database
    from frskit.exchange.store.log_writer import LogStream
    from frskit.exchange.store.pages import Page

__all__ = ["PageChanges", "apply_operation"]


def apply_operation(page: Page, record: Operation) -> None:
    """Carry out an operation on the page it names, and give the page its new dbtime.

    Raises:
        StoreError: The page has no such slot or no room (native -1206).
    """
    if record.kind is NodeChange.INSERT:
        page.insert(record.slot, record.key, record.new)
    elif record.kind is NodeChange.DELETE:
        page.delete(record.slot)
    else:
        page.replace(record.slot, record.new)
    page.dbtime = record.after


class PageChanges:
    """Logs and applies changes of pages.

    Args:
        log: The group's log stream.
    """

    def __init__(self, log: LogStream) -> None:
        self._log = log

    def operate(
        self,
        database: Database,
        page: int,
        slot: int,
        change: Operation,
    ) -> None:
        """Carry out `change` at a place of a page; its place and dbtimes are filled in here."""
        cached = database.cached(page)
        # `page` refuses a torn one, which `cached` alone would hand out.
        content = database.page(page)
        # Its own number for each change: by it redo knows whether a page has the change.
        database.dbtime += 1
        record = Operation(
            kind=change.kind,
            txid=change.txid,
            dbid=database.dbid,
            page=page,
            before=content.dbtime,
            after=database.dbtime,
            slot=slot,
            compensation=change.compensation,
            key=change.key,
            old=change.old,
            new=change.new,
        )
        position = self._log.append(encode_record(record))
        apply_operation(content, record)
        database.mark(cached, position)

    def restructure(
        self, database: Database, pages: Mapping[int, Page], new: frozenset[int] = frozenset()
    ) -> None:
        """Replace whole pages in one atomic step: a split, a new level, an extension.

        Args:
            database: Which.
            pages: New content by page number.
            new: Those among them that were not in use; the others then depend on them.
        """
        images = []
        for number, page in pages.items():
            # A new page has no history: redo finds it blank, or as this record makes it.
            before = 0 if number in new else database.page(number).dbtime
            database.dbtime += 1
            page.dbtime = database.dbtime
            images.append(
                PageImage(page=number, before=before, after=page.dbtime, image=page.image())
            )
        record = NewPages(dbid=database.dbid, pages=tuple(images))
        position = self._log.append(encode_record(record))
        for number, page in pages.items():
            cached = database.install(number, page, position)
            # An old page may point to a new one and is written after it.
            if number not in new:
                cached.needs |= new

    def log_before_write(self, database: Database, pages: list[int]) -> None:
        """Log the content of pages that are about to be written, in case the write tears."""
        for number in pages:
            page = database.page(number)
            image = PageImage(
                page=number, before=page.dbtime, after=page.dbtime, image=page.image()
            )
            self._log.append(encode_record(TornPageImage(dbid=database.dbid, page=image)))
