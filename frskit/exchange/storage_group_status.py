"""What state a storage group is in, running or not: by its engine, else by its files.

Only looks; nothing is opened for writing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, TypeAlias

from attrs import frozen

from frskit.errors import FormatError, FrskitError
from frskit.ese import (
    database_facts,
    parse_log_name,
    read_checkpoint,
    read_database_header,
    read_log_header,
)
from frskit.ese.logs import LogFileKind
from frskit.exchange.log_analysis.group_facts import needed_logs
from frskit.exchange.log_analysis.places import LogPlaces, stream_text
from frskit.model.plans import ComponentStatus, DatabaseStatus

if TYPE_CHECKING:
    from frskit.exchange.settings import DatabaseSettings, GroupSettings
    from frskit.exchange.store import StorageGroupEngine
    from frskit.exchange.store.versions import StoreProfile
    from frskit.model.ese_structures import Signature
    from frskit.protocols import FileSystem

__all__ = ["Locator", "group_status", "look_at_logs", "mounted_names", "required_on_disk"]

Locator: TypeAlias = "Callable[[str], tuple[FileSystem, str]]"
"""Finds file system and inner path of a server-native path, as the server is now."""


def mounted_names(settings: GroupSettings, engine: StorageGroupEngine | None) -> tuple[str, ...]:
    """Names of the mounted databases, foreign ones included."""
    if engine is None:
        return ()
    attached = {each.name for each in engine.databases.values() if each.attached}
    attached |= set(engine.adopted)
    return tuple(each.name for each in settings.databases if each.name in attached)


def group_status(
    locate: Locator,
    settings: GroupSettings,
    engine: StorageGroupEngine | None,
    errors: Mapping[str, FrskitError],
    profile: StoreProfile,
) -> ComponentStatus:
    """State of a group, whatever it is.

    Args:
        locate: Finds files.
        settings: The group.
        engine: Its engine; None if it does not run.
        errors: Why databases could not be mounted, by name.
        profile: Whose engine it is; it says how logs are named.
    """
    logs = _log_state(locate, settings, engine)
    places = LogPlaces(
        base=settings.base,
        stream=stream_text(logs.signature),
        digits=profile.generation_digits,
    )
    mounted = mounted_names(settings, engine)
    return ComponentStatus(
        name=settings.name,
        databases=tuple(
            _database_status(locate, each, engine, errors.get(each.name), mounted)
            for each in settings.databases
        ),
        lowest_log=places.maybe(logs.lowest),
        current_log=places.maybe(logs.current),
        checkpoint=places.maybe(logs.checkpoint),
        unit="messages",
    )


def _database_status(
    locate: Locator,
    database: DatabaseSettings,
    engine: StorageGroupEngine | None,
    error: FrskitError | None,
    mounted: tuple[str, ...],
) -> DatabaseStatus:
    name = database.name
    if engine is not None and name in mounted:
        if database.foreign:
            return DatabaseStatus(name=name, state="mounted", detail="foreign, pages only")
        try:
            return DatabaseStatus(name=name, state="mounted", items=engine.count(name))
        except FrskitError as failure:
            return DatabaseStatus(name=name, state="damaged", detail=str(failure))
    if not _is_there(locate, database.path):
        return DatabaseStatus(name=name, state="missing", detail=str(error or ""))
    if error is not None:
        # One bad database keeps the whole group down; the others are not damaged by that.
        culprit = error.context.get("database", name)
        state = "damaged" if culprit == name else "dismounted"
        return DatabaseStatus(name=name, state=state, detail=str(error))
    return DatabaseStatus(name=name, state="dismounted")


def _is_there(locate: Locator, path: str) -> bool:
    try:
        fs, inner = locate(path)
        return fs.exists(inner)
    except FrskitError:
        return False


def _log_state(
    locate: Locator, settings: GroupSettings, engine: StorageGroupEngine | None
) -> LogsSeen:
    """By the files if the engine is down."""
    if engine is not None:
        return LogsSeen(
            lowest=engine.lowest_generation,
            current=engine.current_generation,
            checkpoint=engine.checkpoint_generation,
            signature=engine.log_signature,
        )
    try:
        return look_at_logs(locate, settings)
    # A look at the state never fails; what cannot be read is unknown.
    except FrskitError:
        return LogsSeen()


@frozen(kw_only=True)
class LogsSeen:
    """Lowest and current generation, that of the checkpoint, and the stream; None if unknown."""

    lowest: int | None = None
    current: int | None = None
    checkpoint: int | None = None
    signature: Signature | None = None


def look_at_logs(locate: Locator, settings: GroupSettings) -> LogsSeen:
    """The logs by the files of a stopped group.

    Raises:
        HostError: The volumes are not there.
    """
    fs, directory = locate(settings.log_path)
    numbers: list[int] = []
    current = checkpoint = signature = None
    for name in fs.listdir(directory):
        parsed = parse_log_name(name, settings.base)
        if parsed is None:
            continue
        if parsed.generation is not None:
            numbers.append(parsed.generation)
        elif parsed.kind is LogFileKind.CURRENT:
            try:
                header = read_log_header(fs.ref(_below(directory, name)))
            except FormatError:
                continue
            current, signature = header.generation, header.log_signature
            numbers.append(current)
    fs, directory = locate(settings.system_path)
    path = _below(directory, f"{settings.base}.chk")
    if fs.exists(path):
        try:
            found = read_checkpoint(fs.ref(path))
        except FormatError:
            pass
        else:
            checkpoint, signature = found.generation, signature or found.log_signature
    return LogsSeen(
        lowest=min(numbers, default=None),
        current=current,
        checkpoint=checkpoint,
        signature=signature,
    )


def _below(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def required_on_disk(
    locate: Locator, databases: Iterable[DatabaseSettings]
) -> tuple[int, int] | None:
    """Lowest Rmin and highest Rmax of databases, by their headers on disk; None if all clean."""
    found = []
    for database in databases:
        if database.foreign:
            continue
        fs, path = locate(database.path)
        with fs.open(path) as file:
            found.append(database_facts(database.name, read_database_header(file)))
    needed = needed_logs(found)
    return None if needed is None else (needed.first, needed.last)
