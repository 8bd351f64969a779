"""Changing production's files during a recovery, each change with its undo."""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.errors import FileExists, RecoveryFailed
from frskit.model.plans import FileAction, FileActionKind

if TYPE_CHECKING:
    from frskit.frs.target import MountedCopy
    from frskit.protocols import FileRef, FileSystem, Server
    from frskit.scopes import Releases

__all__ = ["action_facts", "drop_undo", "run_action", "undo_copy_in", "undo_move"]

_CHUNK_BYTES = 4 << 20
_ASIDE = ".frskit-undo"
_FRESH = ".frskit-new"


def action_facts(server: Server, action: FileAction) -> dict[str, object]:
    """What the journal must know to undo this action after a crash."""
    if action.kind is not FileActionKind.COPY_IN:
        return {"path": action.path, "target": action.target}
    place = server.resolve(action.path)
    return {"path": action.path, "existed": server.files(place.volume).exists(place.path)}


def run_action(
    server: Server, source: MountedCopy | None, action: FileAction, undo: Releases
) -> None:
    """Carry one action out and push its undo.

    Raises:
        RecoveryFailed: A copy is needed and none is mounted.
        FileSystemError: As the file system says.
    """
    if action.kind is FileActionKind.COPY_IN:
        if source is None:
            raise RecoveryFailed(f"{action.path} can be copied in only from a mounted copy")
        _copy_in(server, _find(source, action.path), action.path, undo)
    else:
        _move(server, action.path, action.target, undo)


def _find(source: MountedCopy, path: str) -> FileRef:
    tree, _, inner = source.locate(path)
    return tree.ref(inner)


def _move(server: Server, path: str, target: str, undo: Releases) -> None:
    """Rename inside one volume; a file that is not there any more is fine."""
    old, new = server.resolve(path), server.resolve(target)
    if old.volume != new.volume:
        raise RecoveryFailed(f"{path} and {target} lie on different volumes")
    tree = server.files(old.volume)
    if not tree.exists(old.path):
        return
    if tree.exists(new.path):
        raise FileExists(f"{target} exists already", context={"path": target})
    tree.makedirs(new.path.rpartition("/")[0])
    tree.rename(old.path, new.path)
    tree.sync()
    undo.push(f"name of {path}", lambda: _rename(server, target, path))


def _copy_in(server: Server, ref: FileRef, path: str, undo: Releases) -> None:
    """Copy a file beside its place, then let it change places with what is there."""
    place = server.resolve(path)
    tree = server.files(place.volume)
    tree.makedirs(place.path.rpartition("/")[0])
    fresh, aside = place.path + _FRESH, place.path + _ASIDE
    _copy(ref, tree, fresh)
    if tree.exists(place.path):
        tree.rename(place.path, aside, replace=True)
        undo.push(f"former {path}", lambda: _restore(server, path))
    else:
        undo.push(f"absence of {path}", lambda: _remove(server, path))
    tree.rename(fresh, place.path)
    tree.sync()


def undo_move(server: Server, path: str, target: str) -> None:
    """Give a file its name back; nothing happens if it was not renamed."""
    place = server.resolve(target)
    if server.files(place.volume).exists(place.path):
        _rename(server, target, path)


def undo_copy_in(server: Server, path: str, *, existed: bool, restore: bool) -> None:
    """Put back what was at `path` before a file was copied in, or only forget it.

    Args:
        server: Production.
        path: Where the file was copied to.
        existed: Whether there was a file before.
        restore: False removes what was kept for undo and leaves the new file.
    """
    place = server.resolve(path)
    tree = server.files(place.volume)
    if restore and tree.exists(place.path + _ASIDE):
        _restore(server, path)
    elif restore and not existed:
        _remove(server, path)
    for suffix in (_ASIDE, _FRESH):
        _remove(server, path + suffix)


def drop_undo(server: Server, actions: tuple[FileAction, ...]) -> None:
    """Remove the files that were kept for undo, once undo is over."""
    for action in actions:
        if action.kind is FileActionKind.COPY_IN:
            _remove(server, action.path + _ASIDE)


def _copy(ref: FileRef, tree: FileSystem, path: str) -> None:
    if tree.exists(path):
        tree.remove(path)
    with ref.open() as source, tree.create(path) as target:
        for offset in range(0, source.size_bytes, _CHUNK_BYTES):
            target.write_at(offset, source.read_at(offset, _CHUNK_BYTES))
        target.truncate(source.size_bytes)
        target.sync()


def _rename(server: Server, old: str, new: str) -> None:
    place, target = server.resolve(old), server.resolve(new)
    tree = server.files(place.volume)
    tree.rename(place.path, target.path, replace=True)
    tree.sync()


def _restore(server: Server, path: str) -> None:
    _rename(server, path + _ASIDE, path)


def _remove(server: Server, path: str) -> None:
    place = server.resolve(path)
    tree = server.files(place.volume)
    if tree.exists(place.path):
        tree.remove(place.path)
        tree.sync()
