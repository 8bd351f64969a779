"""Replaying logs into databases in memory: redo of everything, then undo of what is open.

A record changes a page only if the page has exactly the dbtime that the record found; a page at or
past its result is left alone, anything else is an error: too old (-566) means that an earlier
write was lost, too new (-567) that log and database do not belong together [lab-store.md 3].
Nothing reaches the disk here, except that a database is created again where the stream creates it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, evolve, field

from frskit.codes.ese import EseError
from frskit.errors import StoreError
from frskit.exchange.store.btree import MessageTree
from frskit.exchange.store.database import CachedPage, Database
from frskit.exchange.store.log_records import (
    Attach,
    Commit,
    CreateDatabase,
    Detach,
    NewPages,
    Operation,
    PageImage,
    Record,
    Rollback,
    TornPageImage,
    encode_record,
)
from frskit.exchange.store.logged_changes import apply_operation
from frskit.exchange.store.pages import Page
from frskit.exchange.store.transaction import inverse
from frskit.model.ese_files import DatabaseHeader, DatabaseState, LogHeader
from frskit.model.ese_structures import LgPos

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from frskit.exchange.store.engine_instance import Instance
    from frskit.model.ese_structures import Signature

__all__ = ["Redo", "RedoDatabase"]


@define(kw_only=True)
class RedoDatabase:
    """How far replay has come with one database.

    Attributes:
        database: The database.
        consistent: Where it was last consistent, by its header and by the log so far.
        changed: Whether its header must be written at the end.
        skipped: Broken pages for which records were passed over, waiting for an image.
    """

    database: Database
    consistent: LgPos
    changed: bool = False
    skipped: set[int] = field(factory=set)


class Redo:
    """The state of one replay.

    Args:
        databases: Those of this stream that are at hand.
        create: Makes a database that the stream creates; None if nobody knows its place.
    """

    def __init__(
        self,
        databases: Iterable[Database],
        create: Callable[[CreateDatabase, LgPos], Database | None],
    ) -> None:
        self._create = create
        self._known: dict[Signature, RedoDatabase] = {}
        for database in databases:
            self._learn(database)
        # By dbid, which is good for one attachment only; signatures are for ever.
        self._bound: dict[int, RedoDatabase] = {}
        self._open: dict[int, list[Operation]] = {}

    # --- results

    @property
    def unfinished(self) -> dict[int, list[Operation]]:
        """Operations still to be taken back, by transaction."""
        return {txid: each for txid, each in self._open.items() if each}

    def states(self) -> list[RedoDatabase]:
        """All databases that took part."""
        return list(self._known.values())

    def is_attached(self, state: RedoDatabase) -> bool:
        """Whether the stream leaves the database attached."""
        return any(each is state for each in self._bound.values())

    def require_whole(self) -> None:
        """Make sure that no broken page is left.

        Raises:
            StoreError: A page is broken and no image of it was in the logs (native -1018).
        """
        for state in self._known.values():
            for page in sorted(state.skipped):
                raise StoreError(
                    f"page {page} of {state.database.name} has a bad checksum and no log "
                    "holds its image",
                    context={"database": state.database.name, "page": page},
                    native=EseError.READ_VERIFY_FAILURE,
                )

    # --- redo

    def begin(self, first: LogHeader) -> None:
        """Take over what was attached when the first log was begun.

        Raises:
            StoreError: A database is older than that (native -551).
        """
        for info in first.attachments:
            state = self._known.get(info.db_signature)
            if state is not None and self._continues(state, info.attach):
                self._bound[info.dbid] = state

    def apply(self, position: LgPos, record: Record) -> None:
        """Carry out one record.

        Raises:
            StoreError: Log and databases do not fit together (native -551, -566, -567).
        """
        match record:
            case Operation():
                self._note(record)
                self._operation(position, record)
            case NewPages():
                for image in record.pages:
                    self._image(position, record.dbid, image)
            case TornPageImage():
                self._torn_image(position, record)
            case Commit(txid=txid) | Rollback(txid=txid):
                self._open.pop(txid, None)
            case CreateDatabase():
                self._create_database(position, record)
            case Attach():
                self._attach(position, record)
            case Detach():
                self._detach(position, record)
            case _:
                pass

    def _learn(self, database: Database) -> RedoDatabase:
        state = RedoDatabase(
            database=database,
            consistent=database.header.consistent_position if database.is_clean else LgPos(),
        )
        self._known[database.header.db_signature] = state
        return state

    def _note(self, record: Operation) -> None:
        """Keep what undo would need; compensation takes the latest entry away."""
        operations = self._open.setdefault(record.txid, [])
        if not record.compensation:
            operations.append(record)
        elif operations:
            operations.pop()

    def _operation(self, position: LgPos, record: Operation) -> None:
        state = self._bound.get(record.dbid)
        if state is None:
            return
        database = state.database
        # Even if the page has the change already: no later number may repeat.
        database.dbtime = max(database.dbtime, record.after)
        cached = database.cached(record.page)
        if cached.torn:
            # For now: an image further on may heal it.
            state.skipped.add(record.page)
            return
        if _wanted(database, record.page, cached.page.dbtime, record.before, record.after):
            self._carry_out(state, cached, position, record)

    @staticmethod
    def _carry_out(
        state: RedoDatabase, cached: CachedPage, position: LgPos, record: Operation
    ) -> None:
        try:
            apply_operation(cached.page, record)
        except StoreError:
            # A torn write that no checksum shows: wait for the image, as for one that it shows.
            state.database.tear(cached)
            state.skipped.add(record.page)
            return
        state.database.mark(cached, position)

    def _image(self, position: LgPos, dbid: int, image: PageImage) -> None:
        state = self._bound.get(dbid)
        if state is None:
            return
        database = state.database
        database.dbtime = max(database.dbtime, image.after)
        cached = database.cached(image.page)
        # A whole image heals whatever the page has become.
        if cached.torn or _wanted(
            database, image.page, cached.page.dbtime, image.before, image.after
        ):
            database.install(image.page, Page.from_image(image.image), position)
            state.skipped.discard(image.page)

    def _torn_image(self, position: LgPos, record: TornPageImage) -> None:
        """Put the page as it was written in place of what a torn write may have left.

        At this point of the log a sound page has the image's very dbtime, so a lost flush cannot
        hide behind it. The content is replaced even if the checksum is good: sectors full of one
        repeated byte leave XOR and ECC alone, and their loss goes unnoticed.
        """
        state = self._bound.get(record.dbid)
        if state is None:
            return
        image, database = record.page, state.database
        cached = database.cached(image.page)
        found = cached.page.dbtime
        if cached.torn or found == image.after:
            database.install(image.page, Page.from_image(image.image), position)
            state.skipped.discard(image.page)
        # An earlier write was lost, which the image must not paper over.
        elif found < image.after:
            raise _unfit(database, image.page, found, image.after)

    # --- attaching and detaching

    def _continues(self, state: RedoDatabase, attach: LgPos) -> bool:
        """Whether the session attached at `attach` is the one the header is in.

        False: the database is past it already. A database before it does not fit.
        """
        header = state.database.header
        reached = state.consistent if header.is_clean else header.attach_position
        if header.is_clean and reached > attach:
            return False
        if not header.is_clean and reached >= attach:
            return reached == attach
        raise _too_old(state, attach)

    def _create_database(self, position: LgPos, record: CreateDatabase) -> None:
        state = self._known.get(record.signature)
        if state is not None:
            if self._continues(state, position):
                self._bound[record.dbid] = state
            return
        database = self._create(record, position)
        if database is None:
            return
        # A database made anew takes the place of the one of its name, whose signature is void.
        for signature, other in list(self._known.items()):
            if other.database.name == database.name:
                del self._known[signature]
        self._bound[record.dbid] = self._learn(database)

    def _attach(self, position: LgPos, record: Attach) -> None:
        state = self._known.get(record.signature)
        if state is None:
            return
        header = state.database.header
        in_session = not header.is_clean and not state.consistent.is_set
        # Its session began later, so that this attachment is behind it.
        if in_session and header.attach_position >= position:
            if header.attach_position == position:
                self._bound[record.dbid] = state
            return
        # It was detached after the state in which this attachment found it: the file is ahead.
        if state.consistent > record.consistent:
            return
        if state.consistent < record.consistent:
            raise _too_old(state, position)
        state.database.header = _attached(state.database, position, record.dbid)
        state.consistent = LgPos()
        state.changed = True
        self._bound[record.dbid] = state

    def _detach(self, position: LgPos, record: Detach) -> None:
        state = self._bound.pop(record.dbid, None)
        if state is not None and not record.abandoned:
            state.consistent = position
            state.changed = True

    # --- undo

    def undo(self, instance: Instance) -> int:
        """Take back every transaction that has no end; returns how many there were."""
        unfinished = self.unfinished
        for txid, operations in unfinished.items():
            for operation in reversed(operations):
                state = self._bound.get(operation.dbid)
                # Missing, and recovery was told to go on without it.
                if state is None:
                    continue
                growth = instance.profile.growth_pages
                tree = MessageTree(state.database, instance.changes, growth)
                tree.change(inverse(operation))
            instance.stream.append(encode_record(Rollback(txid=txid)))
        return len(unfinished)


def _wanted(database: Database, page: int, found: int, before: int, after: int) -> bool:
    """Whether a page with dbtime `found` is to be changed from `before` to `after`."""
    if found >= after:
        return False
    if found == before:
        return True
    raise _unfit(database, page, found, before)


def _unfit(database: Database, page: int, found: int, expected: int) -> StoreError:
    old = found < expected
    return StoreError(
        f"page {page} of {database.name} has dbtime {found}, the log expects {expected}",
        hint="An earlier write of the page was lost; recover from a verified copy."
        if old
        else "Database and log are of different histories.",
        context={"database": database.name, "page": page},
        native=EseError.DB_TIME_TOO_OLD if old else EseError.DB_TIME_TOO_NEW,
    )


def _attached(database: Database, position: LgPos, dbid: int) -> DatabaseHeader:
    """The header in the session that begins at `position`; what it needed stays needed."""
    header = database.header
    return evolve(
        header,
        state=DatabaseState.DIRTY_SHUTDOWN.value,
        dbid=dbid,
        attach_position=position,
        gen_min_required=header.gen_min_required or position.generation,
        gen_max_required=max(header.gen_max_required, position.generation),
    )


def _too_old(state: RedoDatabase, attach: LgPos) -> StoreError:
    return StoreError(
        f"{state.database.name} is older than its attachment at {attach} in the log",
        hint="Bring the logs from the time of the database, or a newer database.",
        context={"database": state.database.name},
        native=EseError.CONSISTENT_TIME_MISMATCH,
    )
