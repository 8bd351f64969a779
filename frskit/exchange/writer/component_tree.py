"""The Exchange writer's metadata: the component tree, and which files a component means.

Pure functions of the settings. Shape and attributes: [exchange.md 2.1 to 2.3]; the upper levels
of the tree are inferred there, and the container of foreign databases is frskit's choice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from frskit.exchange.settings import DatabaseSettings, GroupSettings
from frskit.exchange.versions import WRITER_ID, ExchangeProfile
from frskit.model.components import Component, ComponentId, ComponentKind
from frskit.model.files import FileRole, FileSet
from frskit.model.server_paths import split_path

__all__ = [
    "FOREIGN_CONTAINER",
    "LOGS_NAME",
    "checkpoint_files",
    "component_tree",
    "database_files",
    "group_component",
    "is_foreign",
    "log_base",
    "log_files",
]

LOGS_NAME = "Logs"
"""Name of the one log component of a log stream [EXC-06]."""

FOREIGN_CONTAINER = "Foreign"
"""Container of page-only databases under a storage group (frskit's choice, R-22)."""


def log_files(group: GroupSettings) -> FileSet:
    """The logs: archived, current and temporary ones; reserve logs have other names."""
    return FileSet(path=group.log_path, pattern=f"{group.base}*.log", role=FileRole.LOG)


def checkpoint_files(group: GroupSettings) -> FileSet:
    """The checkpoint, in the system path, which may be another than the log path [EXC-06]."""
    return FileSet(path=group.system_path, pattern=f"{group.base}.chk", role=FileRole.CHECKPOINT)


def database_files(database: DatabaseSettings) -> tuple[FileSet, ...]:
    """The .edb and, if it has one, the .stm: always one unit [EXC-07]."""
    paths = (database.path, database.stream_path)
    return tuple(
        FileSet(path=directory, pattern=name, role=FileRole.DATABASE)
        for directory, name in map(split_path, paths)
        if name
    )


def group_component(server: str, profile: ExchangeProfile, group: GroupSettings) -> ComponentId:
    """Identity of a storage group: the only thing a 2003 backup may name [EXC-04]."""
    return ComponentId(
        writer_id=WRITER_ID, logical_path="\\".join((*profile.path_root, server)), name=group.guid
    )


def component_tree(
    server: str,
    profile: ExchangeProfile,
    groups: Iterable[tuple[GroupSettings, Collection[str]]],
) -> tuple[Component, ...]:
    """All components, ancestors first [exchange.md 2.3].

    Args:
        server: Name of the (virtual) server.
        profile: The version.
        groups: Storage groups with the names of their mounted databases; a group without any is
            left out, as is a database that is not mounted [EXC-03].
    """
    # A group without a mounted database is not listed [exchange.md 2.2].
    listed = [(group, mounted) for group, mounted in groups if mounted]
    tree = [*_containers(server, profile)] if listed else []
    for group, mounted in listed:
        tree.extend(_group_tree(group_component(server, profile, group), group, mounted))
    return tuple(tree)


def _containers(server: str, profile: ExchangeProfile) -> Iterable[Component]:
    """The file groups without files above the storage groups."""
    parts = (*profile.path_root, server)
    for depth, name in enumerate(parts):
        yield Component(
            id=ComponentId(writer_id=WRITER_ID, logical_path="\\".join(parts[:depth]), name=name)
        )


def _group_tree(
    component: ComponentId, group: GroupSettings, mounted: Collection[str]
) -> Iterable[Component]:
    yield Component(
        id=component,
        caption=group.name,
        kind=ComponentKind.FILE_GROUP,
        selectable=True,
        selectable_for_restore=True,
        notify_on_backup_complete=True,
    )
    below = component.full_path
    yield Component(
        id=ComponentId(writer_id=WRITER_ID, logical_path=below, name=LOGS_NAME),
        caption=LOGS_NAME,
        notify_on_backup_complete=True,
        files=(log_files(group), checkpoint_files(group)),
    )
    databases = [each for each in group.databases if each.name in mounted]
    for database in databases:
        if not database.foreign:
            yield _database_component(below, database)
    if any(each.foreign for each in databases):
        foreign = ComponentId(writer_id=WRITER_ID, logical_path=below, name=FOREIGN_CONTAINER)
        yield Component(id=foreign, caption="Foreign databases (pages only)")
        for database in databases:
            if database.foreign:
                yield _database_component(foreign.full_path, database)


def _database_component(below: str, database: DatabaseSettings) -> Component:
    return Component(
        id=ComponentId(writer_id=WRITER_ID, logical_path=below, name=database.guid),
        caption=database.name,
        selectable_for_restore=True,
        notify_on_backup_complete=True,
        files=database_files(database),
    )


def is_foreign(component: Component) -> bool:
    """Whether the component is a page-only database, whose logs are not judged [R-22]."""
    return component.id.logical_path.rsplit("\\", 1)[-1] == FOREIGN_CONTAINER


def log_base(files: FileSet) -> str:
    """The log prefix that a log file set stands for: ``E00`` of ``E00*.log``."""
    return files.pattern.split("*", 1)[0]
