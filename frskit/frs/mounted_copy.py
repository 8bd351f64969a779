"""A mounted copy as checkers and applications see it: its files under production's names."""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from frskit.clock import Budget, SystemClock
from frskit.errors import VolumeNotFound
from frskit.frs.file_sets import files_of, means
from frskit.model.ids import StorageId
from frskit.model.server_paths import as_relative, inside, join, same_path
from frskit.protocols import Workspace
from frskit.storage import PathFileSystem

if TYPE_CHECKING:
    from frskit.frs.state.late_files import LateRef
    from frskit.model.components import Component, ComponentId
    from frskit.model.copies import Copy, CopyMember
    from frskit.model.files import FileSet
    from frskit.model.volumes import Volume
    from frskit.protocols import CheckTarget, FileRef, FileSystem, FileTree, Server

__all__ = ["MountedCopy", "mount_points"]

# Bytes per read and write: bounds the memory (ours).
_CHUNK_BYTES = 4 << 20
_LOOK_S = 10.0
"""How long a server may take to read a file of 16 bytes (frskit's choice)."""


class MountedCopy:
    """The members of a copy that are mounted on the recovery server, as a `CheckTarget`."""

    def __init__(
        self,
        copy: Copy,
        server: Server,
        volumes: Sequence[Volume],
        *,
        late: Sequence[tuple[ComponentId, LateRef]] = (),
        budget: Budget | None = None,
    ) -> None:
        self._copy = copy
        self._late = {ref.name: ref for _, ref in late}
        self._budget = budget or Budget.of(SystemClock())
        self._server = server
        self._volumes: Mapping[StorageId, Volume] = {
            storage: volume for volume in volumes for storage in volume.storages
        }

    @property
    def components(self) -> Sequence[Component]:
        """Components with files."""
        return tuple(each for each in self._copy.files if each.files)

    @property
    def copy(self) -> Copy:
        """The copy's record."""
        return self._copy

    @property
    def selected(self) -> Sequence[Component]:
        """The explicitly selected components; deprecated, use ``copy.selected``."""
        text = "a check target's 'selected' is now 'copy.selected'"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
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
        """The matching files of the copy, under production's paths; a late one hides the image's."""
        late = {path: ref for path, ref in self._late.items() if means(files, path)}
        try:
            tree, member, directory = self.locate(files.path)
        except VolumeNotFound:
            if not late:
                raise
            return tuple(sorted(late.items()))
        image: dict[str, FileRef] = {
            join(member.mount_point, path): tree.ref(path)
            for path in files_of(tree, directory, files)
        }
        if not late:
            return tuple(image.items())
        hidden = [path for path in image if any(same_path(path, each) for each in late)]
        seen = {path: ref for path, ref in image.items() if path not in hidden}
        return tuple(sorted({**seen, **late}.items()))

    def ref(self, path: str) -> FileRef:
        """One file of the copy by its path on production: a late one, or one of the image.

        Raises:
            VolumeNotFound: No mounted member holds it.
        """
        for name, late in self._late.items():
            if same_path(name, path):
                return late
        tree, _, inner = self.locate(path)
        return tree.ref(inner)

    @contextmanager
    def scratch(self, *, with_copy: bool = False) -> Iterator[Workspace]:
        """A temporary directory of the machine that frskit runs on, with the copy in it or empty."""
        with TemporaryDirectory(prefix="frskit-scratch-") as directory:
            place = Path(directory)
            made = Workspace(
                files=PathFileSystem(place),
                server=self._server,
                path=_seen_by(self._server, place, self._budget),
            )
            if with_copy:
                self._copy_into(made)
            yield made

    def _copy_into(self, place: Workspace) -> None:
        """The files of the copy, and directories that a program may want although nothing is in."""
        for component in self.components:
            for files in component.files:
                tree, member, directory = self.locate(files.path)
                for inner in _directories(tree, directory) if files.recursive else ():
                    place.files.makedirs(as_relative(join(member.mount_point, inner)))
                for path, ref in self.find(files):
                    self._budget.check("copying files to a scratch place")
                    _write(ref, place.files, as_relative(path))
        # Also those that no file set means.
        for path, late in self._late.items():
            _write(late, place.files, as_relative(path))


def mount_points(root: str, copy: Copy, members: Sequence[CopyMember]) -> dict[StorageId, str]:
    """Where the members are mounted on the recovery server: root, copy, number."""
    return {
        member.storage: join(root, copy.id, str(copy.members.index(member))) for member in members
    }


def _directories(tree: FileTree, directory: str) -> Iterator[str]:
    """A directory and all below it; none if it is not there."""
    if not tree.exists(directory):
        return
    yield directory
    for name in tree.listdir(directory):
        path = f"{directory}/{name}" if directory else name
        if tree.stat(path).is_directory:
            yield from _directories(tree, path)


def _write(ref: FileRef, tree: FileSystem, path: str) -> None:
    tree.makedirs(path.rpartition("/")[0])
    # Several file sets may mean the same file.
    with ref.open() as source, tree.create(path, exclusive=False) as target:
        for offset in range(0, source.size_bytes, _CHUNK_BYTES):
            target.write_at(offset, source.read_at(offset, _CHUNK_BYTES))
        target.truncate(source.size_bytes)


def _seen_by(server: Server, place: Path, budget: Budget) -> str | None:
    """The place's path, if programs on the server find there what this process wrote."""
    if server.runner is None:
        return None
    mark = place / ".frskit-scratch"
    token = secrets.token_bytes(16)
    mark.write_bytes(token)
    try:
        seen = server.runner.get_file(str(mark), budget=budget.at_most(_LOOK_S))
    except Exception:  # noqa: BLE001 - parties are strangers; without an answer it is not seen
        return None
    finally:
        mark.unlink()
    return str(place) if seen == token else None


if TYPE_CHECKING:
    _: type[CheckTarget] = MountedCopy
