"""A mounted copy as checkers and applications see it: its files under production's names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from frskit.errors import VolumeNotFound
from frskit.frs.file_sets import files_of
from frskit.model.ids import StorageId
from frskit.model.server_paths import inside, join
from frskit.storage import PathFileSystem

if TYPE_CHECKING:
    from frskit.model.components import Component
    from frskit.model.copies import Copy, CopyMember
    from frskit.model.files import FileSet
    from frskit.model.volumes import Volume
    from frskit.protocols import CheckTarget, FileRef, FileSystem, FileTree, Server

__all__ = ["MountedCopy", "mount_points"]


class MountedCopy:
    """The members of a copy that are mounted on the recovery server, as a `CheckTarget`."""

    def __init__(self, copy: Copy, server: Server, volumes: Sequence[Volume]) -> None:
        self._copy = copy
        self._server = server
        self._volumes: Mapping[StorageId, Volume] = {
            storage: volume for volume in volumes for storage in volume.storages
        }

    @property
    def components(self) -> Sequence[Component]:
        """Components with files."""
        return tuple(each for each in self._copy.files if each.files)

    @property
    def selected(self) -> Sequence[Component]:
        """The explicitly selected components."""
        return self._copy.selected

    def locate(self, path: str) -> tuple[FileTree, CopyMember, str]:
        """Tree, member and inner path of a production path.

        Raises:
            VolumeNotFound: No mounted member holds it.
        """
        # The longest mount point wins, because a member may be mounted below another.
        best: tuple[int, CopyMember, str] | None = None
        for member in self._copy.members:
            inner = inside(member.mount_point, path)
            if inner is not None and (best is None or len(member.mount_point) > best[0]):
                best = (len(member.mount_point), member, inner)
        if best is None or best[1].storage not in self._volumes:
            raise VolumeNotFound(
                f"{path} is not on any mounted member of the copy",
                hint="The writer named a file outside the volumes of the set.",
                context={"copy": self._copy.id, "path": path},
            )
        _, member, inner = best
        return self._server.files(self._volumes[member.storage].id), member, inner

    def find(self, files: FileSet) -> Sequence[tuple[str, FileRef]]:
        """The matching files of the copy, under production's paths."""
        tree, member, directory = self.locate(files.path)
        return tuple(
            (join(member.mount_point, path), tree.ref(path))
            for path in files_of(tree, directory, files)
        )

    @contextmanager
    def scratch(self) -> Iterator[FileSystem]:
        """A temporary directory of the machine that frskit runs on."""
        with TemporaryDirectory(prefix="frskit-scratch-") as directory:
            yield PathFileSystem(Path(directory))


def mount_points(root: str, copy: Copy, members: Sequence[CopyMember]) -> dict[StorageId, str]:
    """Where the members are mounted on the recovery server: root, copy, number."""
    return {
        member.storage: join(root, copy.id, str(copy.members.index(member))) for member in members
    }


if TYPE_CHECKING:
    _: type[CheckTarget] = MountedCopy
