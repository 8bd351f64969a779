"""Soft recovery of a storage group: plan, redo, undo, and everything clean afterwards.

Nothing on disk changes before redo has gone through, except that a database is made again where
the stream creates it. If a crash interrupts the rest, recovery simply runs again. Facts:
[ese.md 11.2], [exchange.md 5.5], [hazards.md HAZ-23].
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import evolve, frozen

from frskit.codes.ese import EseError
from frskit.codes.exchange_events import EventId
from frskit.errors import FrskitError, StoreError
from frskit.exchange.store.database import Database, DatabaseFiles
from frskit.exchange.store.log_records import Detach, encode_record
from frskit.exchange.store.log_writer import LogStream
from frskit.exchange.store.recovery_planning import (
    LogSet,
    SoftRecoveryPlan,
    missing_databases,
    plan_recovery,
    survey_logs,
)
from frskit.exchange.store.redo import Redo, RedoDatabase
from frskit.exchange.store.system_catalog import LAST_OBJID
from frskit.model.ese_files import DatabaseHeader, DatabaseState
from frskit.model.ese_structures import LgPos, Signature

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from frskit.exchange.store.engine_instance import Instance
    from frskit.exchange.store.log_directory import LogContent
    from frskit.exchange.store.log_records import CreateDatabase

__all__ = ["SoftRecoveryReport", "detach", "new_header", "recover"]


@frozen(kw_only=True)
class SoftRecoveryReport:
    """What soft recovery did.

    Attributes:
        generations: Logs that were replayed, in order.
        undone_transactions: Transactions without an end that were taken back.
        recovered: Names of the databases that were brought to a clean state.
        missing: Paths of databases that the stream attaches and that were left out on request.
        new_stream: Whether a new log stream was begun because there was no log at all.
    """

    generations: tuple[int, ...] = ()
    undone_transactions: int = 0
    recovered: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    new_stream: bool = False


def recover(
    instance: Instance, files: Sequence[DatabaseFiles], *, allow_missing: bool = False
) -> SoftRecoveryReport:
    """Bring the databases of a stopped group to a clean state and open its log stream.

    Args:
        instance: The group; its log stream is not open yet.
        files: Where its databases lie.
        allow_missing: Go on without databases that are missing; what the logs hold for them is
            lost [exchange.md 5.5, rule A4].

    Raises:
        StoreError: Recovery is impossible; `native` says why, nothing was changed.
    """
    try:
        return _recover(instance, files, allow_missing=allow_missing)
    except FrskitError as error:
        # Pages that were replayed half-way must not be taken for the databases.
        for database in instance.databases.values():
            database.close()
        instance.databases.clear()
        if instance.log is not None:
            instance.log.close()
            instance.log = None
        instance.report(
            EventId.RECOVERY_FAILED, f"recovery failed with error {error.native}: {error}"
        )
        raise


def _recover(
    instance: Instance, files: Sequence[DatabaseFiles], *, allow_missing: bool
) -> SoftRecoveryReport:
    logs = survey_logs(instance.directory)
    loaded, unreadable = _load_all(instance, files)
    if logs.is_empty:
        for error in unreadable.values():
            raise error
        return _new_stream(instance, files, loaded)
    instance.settings = evolve(instance.settings, signature=logs.signature)
    # A clean one of another stream may be attached later; a dirty one is not ours to recover.
    ours = [each for each in loaded if each.is_clean or _belongs(each, logs)]
    plan = plan_recovery(logs, ours, instance.checkpoint_file.read(), instance.profile)
    missing = _missing(instance, plan, files, ours)
    if not allow_missing:
        _require_complete(instance, missing, unreadable)
    _require_size(plan, instance)
    # Known to the instance before anything below can fail, so that `recover` closes them.
    instance.databases = {each.name: each for each in loaded}
    redo, last = _replay(instance, plan, files, ours)
    states = [each for each in redo.states() if redo.is_attached(each) or each.changed]
    for state in states:
        state.database.attached = redo.is_attached(state)
    _open_log(instance, plan, last)
    undone = redo.undo(instance)
    for state in states:
        _finish(instance, state)
    # The stream is told that they are given up, or each later recovery would miss them again.
    for dbid, (signature, _) in missing.items():
        record = Detach(dbid=dbid, signature=signature, abandoned=True)
        instance.stream.append(encode_record(record))
    instance.stream.flush()
    # The checkpoint last: up to here a crash only means to recover once more.
    instance.write_checkpoint(instance.stream.durable_position)
    instance.report(EventId.RECOVERY_COMPLETE, "recovery has been completed")
    return SoftRecoveryReport(
        generations=plan.generations,
        undone_transactions=undone,
        recovered=tuple(sorted(state.database.name for state in states)),
        missing=tuple(sorted(path for _, path in missing.values())),
    )


def _load_all(
    instance: Instance, files: Sequence[DatabaseFiles]
) -> tuple[list[Database], dict[str, StoreError]]:
    """The databases that are there, and by path those whose header cannot be read.

    A crash while a database is made leaves a file without a header; redo then makes it again.
    """
    loaded = []
    unreadable = {}
    for each in files:
        if not Database.exists(each):
            continue
        try:
            loaded.append(Database.load(each, cache_pages=instance.profile.cache_pages))
        except StoreError as error:
            unreadable[each.display_path.casefold()] = error
    return loaded, unreadable


def _require_size(plan: SoftRecoveryPlan, instance: Instance) -> None:
    if plan.last.file_sectors != instance.settings.sectors:
        raise StoreError(
            f"the logs have {plan.last.file_sectors} sectors, the engine is set up for "
            f"{instance.settings.sectors}",
            hint="Use the profile that the storage group was made with.",
            native=EseError.LOG_FILE_SIZE_MISMATCH,
        )


def _belongs(database: Database, logs: LogSet) -> bool:
    return database.header.log_signature == logs.signature


def _new_stream(
    instance: Instance, files: Sequence[DatabaseFiles], loaded: list[Database]
) -> SoftRecoveryReport:
    """No log at all: begin a new stream, but never under databases that need the old one."""
    dirty = sorted(each.name for each in loaded if not each.is_clean)
    if dirty:
        raise StoreError(
            f"the log directory is empty and {', '.join(dirty)} needs its logs",
            hint="Bring the logs; a new stream would make the databases unusable.",
            context={"databases": dirty},
            native=EseError.DATABASE_DIRTY_SHUTDOWN,
        )
    if len(loaded) < len(files):
        present = {each.name for each in loaded}
        absent = sorted(each.name for each in files if each.name not in present)
        raise StoreError(
            f"the files of {', '.join(absent)} are missing",
            context={"databases": absent},
            native=EseError.FILE_NOT_FOUND,
        )
    instance.databases = {each.name: each for each in loaded}
    # It would point into logs that do not exist.
    instance.checkpoint_file.remove()
    instance.log = LogStream.create(
        instance.directory, instance.settings, instance.clock, instance.attachments
    )
    instance.write_checkpoint(instance.stream.durable_position)
    return SoftRecoveryReport(new_stream=True)


def _contents(instance: Instance, plan: SoftRecoveryPlan) -> Iterator[LogContent]:
    for generation in plan.generations:
        yield instance.directory.content(plan.logs.paths[generation])


def _missing(
    instance: Instance,
    plan: SoftRecoveryPlan,
    files: Sequence[DatabaseFiles],
    ours: list[Database],
) -> dict[int, tuple[Signature, str]]:
    first = plan.logs.headers[plan.generations[0]]
    present = [each.header.db_signature for each in ours]
    return missing_databases(_contents(instance, plan), first, present, files)


def _require_complete(
    instance: Instance,
    missing: dict[int, tuple[Signature, str]],
    unreadable: dict[str, StoreError],
) -> None:
    paths = sorted(path for _, path in missing.values())
    for path in paths:
        if path.casefold() in unreadable:
            raise unreadable[path.casefold()]
    if not paths:
        return
    instance.report(
        EventId.ATTACHED_DATABASE_MISSING, f"the log refers to databases that are missing: {paths}"
    )
    raise StoreError(
        f"the log stream refers to databases that are not there: {', '.join(paths)}",
        hint="Bring the missing database; recovering without it strands its data.",
        context={"missing": paths},
        native=EseError.ATTACHED_DATABASE_MISMATCH,
    )


def _replay(
    instance: Instance, plan: SoftRecoveryPlan, files: Sequence[DatabaseFiles], ours: list[Database]
) -> tuple[Redo, LogContent]:
    """Redo all logs in memory; returns the state and the last log's content."""

    def create(record: CreateDatabase, position: LgPos) -> Database | None:
        return _create_again(instance, files, record, position)

    redo = Redo(ours, create)
    redo.begin(plan.logs.headers[plan.generations[0]])
    last = None
    # Read a second time; the first pass verified them and looked for databases.
    for content in _contents(instance, plan):
        for position, record in content.records():
            redo.apply(position, record)
        path = plan.logs.paths[content.header.generation]
        instance.report(EventId.LOG_REPLAYED, f"the database engine has replayed log {path}")
        last = content
    redo.require_whole()
    assert last is not None
    return redo, last


def _create_again(
    instance: Instance, files: Sequence[DatabaseFiles], record: CreateDatabase, position: LgPos
) -> Database | None:
    """Make a database that the stream creates; what lies at its place is lost (EXC-72)."""
    place = next(
        (each for each in files if each.display_path.casefold() == record.path.casefold()), None
    )
    if place is None:
        return None
    database = Database.create(
        place,
        new_header(instance, record, position),
        pages=record.pages,
        legacy=record.legacy,
        cache_pages=instance.profile.cache_pages,
    )
    replaced = instance.databases.get(place.name)
    if replaced is not None:
        replaced.close()
    instance.databases[place.name] = database
    return database


def new_header(instance: Instance, record: CreateDatabase, position: LgPos) -> DatabaseHeader:
    """The header of a database that `record` at `position` creates and attaches."""
    return DatabaseHeader(
        db_signature=record.signature,
        slv_signature=record.slv_signature,
        log_signature=instance.settings.signature,
        state=DatabaseState.DIRTY_SHUTDOWN.value,
        dbid=record.dbid,
        attach_position=position,
        attach_time=instance.log_time(),
        last_objid=LAST_OBJID,
        format_update_major=instance.profile.format_revision,
        created_version=0x620,
        created_update=instance.profile.format_revision,
        gen_min_required=position.generation,
        gen_max_required=position.generation,
    )


def _open_log(instance: Instance, plan: SoftRecoveryPlan, last: LogContent) -> None:
    """Go on in the current log, or begin a generation of our own after the last closed one.

    The prepared log of a copy is not used as it is: its creation time would make the new
    timeline look like the old one (EXC-73).
    """
    if plan.logs.current is not None:
        instance.log = LogStream.resume(
            instance.directory, instance.settings, instance.clock, instance.attachments, last
        )
        return
    prepared = plan.logs.prepared
    instance.log = LogStream.create(
        instance.directory,
        instance.settings,
        instance.clock,
        instance.attachments,
        previous=plan.last,
        not_before=prepared.created if prepared else None,
    )


def _finish(instance: Instance, state: RedoDatabase) -> None:
    """Write everything of one database and leave it clean."""
    database = state.database
    database.extend_file(database.owned_pages)
    if database.attached:
        detach(instance, database)
        return
    instance.flush_pages(only=database)
    database.header = evolve(
        database.clean_header(state.consistent), detach_time=instance.log_time()
    )
    database.write_header()
    database.write_stream_file()
    database.close()


def detach(instance: Instance, database: Database) -> None:
    """Write everything of an attached database, log its end, and make its header clean."""
    # The record says that every page has been written, so they come first.
    instance.flush_pages(only=database)
    record = Detach(dbid=database.dbid, signature=database.header.db_signature)
    position = instance.stream.append(encode_record(record))
    database.attached = False
    instance.stream.flush()
    now = instance.log_time()
    header = database.clean_header(position)
    database.header = evolve(header, consistent_time=now, detach_time=now)
    database.write_header()
    database.write_stream_file()
    database.close()
