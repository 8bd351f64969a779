"""The files of a storage group, on production and in a copy, under production's names.

Reads headers and directory listings only, and only through the server as it is now.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Protocol

from attrs import frozen

from frskit.errors import VolumeNotFound
from frskit.exchange.log_analysis.reading import DatabaseSource, gather
from frskit.exchange.settings import DatabaseSettings, GroupSettings
from frskit.exchange.writer.component_tree import checkpoint_files, database_files, log_files
from frskit.model.plans import RecoveryMode
from frskit.model.server_paths import split_path

if TYPE_CHECKING:
    from frskit.exchange.log_analysis.group_facts import StorageGroupFacts
    from frskit.model.files import FileSet
    from frskit.model.ids import VolumeId
    from frskit.protocols import CopyFiles, FileRef, Server

__all__ = ["FileSource", "Found", "GroupFiles", "below"]

Found = tuple[str, "FileRef"]
"""A file: server-native path on production, and how to read it."""


class FileSource(Protocol):
    """Where files of a group are found: in a copy, or on production."""

    def find(self, files: FileSet) -> Sequence[Found]:
        """The files that match, under production's paths."""
        ...


@frozen(kw_only=True)
class _ProductionFiles:
    """Production itself in the form of a copy's files."""

    server: Server

    def find(self, files: FileSet) -> Sequence[Found]:
        """The matching files.

        Raises:
            VolumeNotFound: The volume is not mounted.
        """
        place = self.server.resolve(files.path)
        tree = self.server.files(place.volume)
        if not tree.exists(place.path):
            return ()
        found = []
        for name in tree.listdir(place.path):
            inner = f"{place.path}/{name}" if place.path else name
            # As Windows compares names, on whatever system this runs.
            if not fnmatchcase(name.casefold(), files.pattern.casefold()):
                continue
            if not tree.stat(inner).is_directory:
                found.append((below(files.path, name), tree.ref(inner)))
        return tuple(found)


def below(directory: str, name: str) -> str:
    """Server-native path of a file in a directory."""
    separator = "/" if "/" in directory and "\\" not in directory else "\\"
    return directory.rstrip("\\/") + separator + name


@frozen(kw_only=True)
class GroupFiles:
    """Where the files of one storage group are.

    Attributes:
        settings: The group.
        server: Production.
    """

    settings: GroupSettings
    server: Server

    @property
    def production(self) -> FileSource:
        """Production's files."""
        return _ProductionFiles(server=self.server)

    def logs(self, source: FileSource) -> Sequence[Found]:
        """Log files in a source; none if it does not have the volume."""
        return _find(source, log_files(self.settings))

    def checkpoint(self, source: FileSource) -> Found | None:
        """The checkpoint in a source."""
        return next(iter(_find(source, checkpoint_files(self.settings))), None)

    def databases(self, source: FileSource) -> Sequence[Found]:
        """Files of all databases in a source, streaming files included."""
        return tuple(
            found
            for database in self.settings.databases
            for files in database_files(database)
            for found in _find(source, files)
        )

    def has_volume(self, source: FileSource, files: FileSet) -> bool:
        """Whether a source covers the volume of a file set."""
        try:
            source.find(files)
        except VolumeNotFound:
            return False
        return True

    def volume(self, path: str) -> VolumeId | None:
        """Production's volume of a path; None if it is not mounted."""
        try:
            return self.server.resolve(path).volume
        except VolumeNotFound:
            return None

    def comes_along(self, copy: FileSource) -> bool:
        """Whether a swap brings the copy's checkpoint: it lies on a volume of the copy's databases.

        Databases that the copy does not hold stay where they are, whatever volume that is.
        """
        volumes = {
            self.volume(each.path)
            for each in self.settings.databases
            if _find(copy, database_files(each)[0])
        }
        return self.volume(self.settings.system_path) in volumes

    def facts(
        self, copy: CopyFiles | None, mode: RecoveryMode, *, swap: bool = True
    ) -> StorageGroupFacts:
        """The situation of a recovery [exchange.md 5.1].

        Args:
            copy: The copy; None = production as it is.
            mode: Point in time: everything of the copy; roll forward: its databases only.
            swap: Whether a checkpoint that shares a volume with databases comes with them.
        """
        databases: FileSource = self.production if copy is None else copy
        logs = databases if mode is RecoveryMode.POINT_IN_TIME else self.production
        along = swap and copy is not None and self.comes_along(copy)
        checkpoint = self.checkpoint(databases if along else logs)
        return gather(
            self.settings.base,
            [self._source(databases, each) for each in self.settings.databases],
            [(split_path(path)[1], ref) for path, ref in self.logs(logs)],
            None if checkpoint is None else checkpoint[1],
        )

    def _source(self, source: FileSource, database: DatabaseSettings) -> DatabaseSource:
        """A database of the source; of production if the source does not have its volume."""
        files = database_files(database)[0]
        # A copy of one database leaves the others where they are.
        if not self.has_volume(source, files):
            source = self.production
        found = _find(source, files)
        return DatabaseSource(
            name=database.name,
            path=database.path,
            source=found[0][1] if found else None,
            foreign=database.foreign,
        )


def _find(source: FileSource, files: FileSet) -> Sequence[Found]:
    try:
        return source.find(files)
    except VolumeNotFound:
        return ()
