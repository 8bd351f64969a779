"""Changing production's files during a recovery, each change with its undo.

Every change is durable when its function returns, for the journal then says that it was made. What
was touched is made durable, not the volume: with a thousand files to copy back, a thousand times
the whole volume would take hours of production's standstill.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from frskit.clock import Budget
from frskit.errors import FileExists, RecoveryFailed
from frskit.model.plans import FileAction, FileActionKind

if TYPE_CHECKING:
    from frskit.frs.mounted_copy import MountedCopy
    from frskit.model.ids import VolumeId
    from frskit.protocols import FileRef, FileSystem, Server
    from frskit.scopes import Releases

__all__ = ["action_facts", "drop_undo", "run_action", "undo_copy_in", "undo_move"]

# Endings of what is kept for undo and of what is not in its place yet (ours). A resume finds them
# by these, so they never change.
_ASIDE = ".frskit-undo"
_FRESH = ".frskit-new"


def action_facts(server: Server, action: FileAction) -> dict[str, object]:
    """What the journal must know to undo this action after a crash."""
    if action.kind is not FileActionKind.COPY_IN:
        return {"path": action.path, "target": action.target}
    place = server.resolve(action.path)
    return {"path": action.path, "existed": server.files(place.volume).exists(place.path)}


def run_action(
    server: Server,
    source: MountedCopy | None,
    action: FileAction,
    undo: Releases,
    *,
    budget: Budget | None = None,
) -> None:
    """Carry one action out and push its undo.

    Args:
        server: Production.
        source: The mounted copy, where files are copied in.
        action: What to do.
        undo: Where its undo goes.
        budget: How long copying may take; an undo has none. None: no limit.

    Raises:
        RecoveryFailed: A copy is needed and none is mounted.
        FileSystemError: As the file system says.
    """
    if action.kind is FileActionKind.COPY_IN:
        if source is None:
            raise RecoveryFailed(f"{action.path} can be copied in only from a mounted copy")
        unlimited = Budget.unlimited()
        _copy_in(server, _find(source, action.path), action.path, undo, budget or unlimited)
    else:
        _move(server, action.path, action.target, undo)


def _find(source: MountedCopy, path: str) -> FileRef:
    tree, _, inner = source.locate(path)
    return tree.ref(inner)


def _move(server: Server, path: str, target: str, undo: Releases) -> None:
    """Rename inside one volume; a file that is not there any more is fine."""
    old, new = server.resolve(path), server.resolve(target)
    # A rename is one step and is undone by one; a copy between volumes is neither.
    if old.volume != new.volume:
        raise RecoveryFailed(f"{path} and {target} lie on different volumes")
    tree = server.files(old.volume)
    if not tree.exists(old.path):
        return
    if tree.exists(new.path):
        raise FileExists(f"{target} exists already", context={"path": target})
    tree.makedirs(new.path.rpartition("/")[0])
    tree.rename(old.path, new.path)
    _sync_names(tree, old.path, new.path)
    undo.push(f"name of {path}", lambda: _rename(server, target, path))


def _copy_in(server: Server, ref: FileRef, path: str, undo: Releases, budget: Budget) -> None:
    """Copy a file beside its place, then let it change places with what is there."""
    place = server.resolve(path)
    tree = server.files(place.volume)
    tree.makedirs(place.path.rpartition("/")[0])
    fresh, aside = place.path + _FRESH, place.path + _ASIDE
    # Whole and durable under another name before anything in its place is touched.
    if tree.exists(fresh):
        tree.remove(fresh)
    tree.take(fresh, ref, budget=budget)
    tree.sync([fresh])
    if tree.exists(place.path):
        # What an earlier recovery left there must not be taken for what this one sets aside.
        _remove(server, path + _ASIDE)
        undo.push(f"former {path}", lambda: undo_copy_in(server, path, existed=True, restore=True))
        tree.rename(place.path, aside)
    else:
        undo.push(f"absence of {path}", lambda: _remove(server, path))
    tree.rename(fresh, place.path)
    _sync_names(tree, place.path)


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
    removed: dict[VolumeId, list[str]] = {}
    for action in actions:
        if action.kind is not FileActionKind.COPY_IN:
            continue
        place = server.resolve(action.path + _ASIDE)
        tree = server.files(place.volume)
        if tree.exists(place.path):
            tree.remove(place.path)
            removed.setdefault(place.volume, []).append(place.path)
    for volume, paths in removed.items():
        _sync_names(server.files(volume), *paths)


def _rename(server: Server, old: str, new: str) -> None:
    place, target = server.resolve(old), server.resolve(new)
    tree = server.files(place.volume)
    tree.rename(place.path, target.path, replace=True)
    _sync_names(tree, place.path, target.path)


def _restore(server: Server, path: str) -> None:
    _rename(server, path + _ASIDE, path)


def _remove(server: Server, path: str) -> None:
    place = server.resolve(path)
    tree = server.files(place.volume)
    if tree.exists(place.path):
        tree.remove(place.path)
        _sync_names(tree, place.path)


def _sync_names(tree: FileSystem, *paths: str) -> None:
    """Make durable that names came, went or changed places; files' bytes are synced already."""
    tree.sync({path.rpartition("/")[0] for path in paths})
