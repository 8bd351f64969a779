"""Changing production's files during a recovery, each change with its undo.

Every change is durable when its function returns, for the journal then says that it was made. What
was touched is made durable, not the volume: with a thousand files to copy back, a thousand times
the whole volume would take hours of production's standstill.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

from frskit.clock import Budget
from frskit.errors import FileExists, RecoveryFailed
from frskit.frs.state.late_files import LateRef
from frskit.model.plans import FileAction, FileActionKind
from frskit.model.server_paths import same_path

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from frskit.model.components import ComponentId
    from frskit.model.ids import VolumeId
    from frskit.protocols import FileRef, FileSystem, Server
    from frskit.scopes import Releases

__all__ = [
    "CopySource",
    "LateOnly",
    "action_facts",
    "clear_stale",
    "drop_undo",
    "run_action",
    "twice_named",
    "undo_copy_in",
    "undo_move",
]

# Endings of what is kept for undo and of what is not in its place yet (ours). A resume finds them
# by these, so they never change.
_ASIDE = ".frskit-undo"
_FRESH = ".frskit-new"


# Kinds that keep what was at their path until the recovery has succeeded.
_KEEPING = frozenset({FileActionKind.COPY_IN, FileActionKind.CREATE, FileActionKind.DELETE})


class CopySource(Protocol):
    """What files are copied in from."""

    def ref(self, path: str) -> FileRef:
        """A file of the copy by its path on production.

        Raises:
            RecoveryFailed, VolumeNotFound: It has none.
        """
        ...


class LateOnly:
    """The late files of a copy alone: all that is copied in after a swap."""

    def __init__(self, late: Sequence[tuple[ComponentId, LateRef]]) -> None:
        self._late = [ref for _, ref in late]

    def ref(self, path: str) -> FileRef:
        """A late file by its path.

        Raises:
            RecoveryFailed: There is none.
        """
        for each in self._late:
            if same_path(each.name, path):
                return each
        raise RecoveryFailed(f"{path} can be copied in only from a mounted copy")


def action_facts(server: Server, action: FileAction) -> dict[str, object]:
    """What the journal must know to undo this action after a crash."""
    if action.kind not in _KEEPING:
        return {"path": action.path, "target": action.target}
    place = server.resolve(action.path)
    return {"path": action.path, "existed": server.files(place.volume).exists(place.path)}


def clear_stale(server: Server, action: FileAction) -> None:
    """Remove what an earlier recovery left under the name that this one keeps a file by.

    Before the journal says that the action was begun: from then on a resume takes that file for
    what this action has kept, and would put it back.
    """
    if action.kind in _KEEPING:
        _remove(server, action.path + _ASIDE)


def twice_named(actions: Sequence[FileAction]) -> str | None:
    """A path of which two actions would keep the former file: the second would lose the first's."""
    seen: list[str] = []
    for action in actions:
        if action.kind not in _KEEPING:
            continue
        if any(same_path(action.path, each) for each in seen):
            return action.path
        seen.append(action.path)
    return None


def run_action(
    server: Server,
    source: CopySource | None,
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
        ref, limit = source.ref(action.path), budget or Budget.unlimited()
        _put_in_place(server, action.path, lambda tree, fresh: _copy(ref, tree, fresh, limit), undo)
    elif action.kind is FileActionKind.CREATE:
        made, limit = _made(action), budget or Budget.unlimited()
        _put_in_place(
            server,
            action.path,
            lambda tree, fresh: _copy(made, tree, fresh, limit, action.mode),
            undo,
        )
    elif action.kind is FileActionKind.DELETE:
        _delete(server, action.path, undo)
    else:
        _move(server, action.path, action.target, undo)


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


def _put_in_place(
    server: Server, path: str, make: Callable[[FileSystem, str], None], undo: Releases
) -> None:
    """Make a file beside its place, then let it change places with what is there."""
    place = server.resolve(path)
    tree = server.files(place.volume)
    tree.makedirs(place.path.rpartition("/")[0])
    fresh, aside = place.path + _FRESH, place.path + _ASIDE
    # Whole and durable under another name before anything in its place is touched.
    make(tree, fresh)
    if tree.exists(place.path):
        # What an earlier recovery left there must not be taken for what this one sets aside.
        _remove(server, path + _ASIDE)
        undo.push(f"former {path}", lambda: undo_copy_in(server, path, existed=True, restore=True))
        tree.rename(place.path, aside)
    else:
        undo.push(f"absence of {path}", lambda: _remove(server, path))
    tree.rename(fresh, place.path)
    _sync_names(tree, place.path)


def _delete(server: Server, path: str, undo: Releases) -> None:
    """Take a file away under another name; it is dropped with what else was kept for undo."""
    place = server.resolve(path)
    tree = server.files(place.volume)
    if not tree.exists(place.path):
        return
    if tree.stat(place.path).is_directory:
        raise RecoveryFailed(f"{path} is a directory; only files are deleted")
    _remove(server, path + _ASIDE)
    undo.push(f"former {path}", lambda: undo_copy_in(server, path, existed=True, restore=True))
    tree.rename(place.path, place.path + _ASIDE)
    _sync_names(tree, place.path)


def undo_move(server: Server, path: str, target: str) -> None:
    """Give a file its name back; nothing happens if it was not renamed."""
    place = server.resolve(target)
    if server.files(place.volume).exists(place.path):
        _rename(server, target, path)


def undo_copy_in(server: Server, path: str, *, existed: bool, restore: bool) -> None:
    """Put back what was at `path` before a file was put there or deleted, or only forget it.

    Args:
        server: Production.
        path: Where the file was put, or what was deleted.
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
        if action.kind not in _KEEPING:
            continue
        place = server.resolve(action.path + _ASIDE)
        tree = server.files(place.volume)
        if tree.exists(place.path):
            tree.remove(place.path)
            removed.setdefault(place.volume, []).append(place.path)
    for volume, paths in removed.items():
        _sync_names(server.files(volume), *paths)


def _copy(
    ref: FileRef, tree: FileSystem, path: str, budget: Budget, mode: int | None = None
) -> None:
    """A file with all that belongs to it, durable."""
    if tree.exists(path):
        tree.remove(path)
    tree.take(path, ref, mode=mode, budget=budget)
    tree.sync([path])


def _made(action: FileAction) -> LateRef:
    """The bytes of a CREATE as a file that nobody owns yet."""
    content = action.content
    return LateRef(
        name=action.path,
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        content=content,
    )


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
