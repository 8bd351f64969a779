"""The part of the array kit for storage that is a directory: does a tree survive being copied?

Databases refuse files of another owner or mode, and their trees have empty directories, links and
holes. What it checks is what `frskit.model.storage.HostPath` promises. It needs two levers beyond
those of `ArrayWorld`, see `TreeWorld`; for a world on this machine they are one line each,
`plant_tree` and `read_tree`. A world without them is skipped by name.
"""

from __future__ import annotations

import hashlib
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from attrs import asdict, frozen

from frskit.clock import Budget
from frskit.errors import ArrayError
from frskit.model.storage import AccessKind, CopyKind
from frskit.testing.array.scenarios import kit_key, take_set
from frskit.testing.report import demand

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from frskit.model.ids import StorageId
    from frskit.testing.array.world import ArrayWorld
    from frskit.testing.report import KitReport

__all__ = ["TreeEntry", "TreeWorld", "plant_tree", "read_tree", "run_tree_scenarios"]

_BUDGET: Final = Budget.unlimited()
_PART, _SPECIAL = "a tree as it was", "pipes and sockets"
# Room for what file systems allocate beyond the data: a hole that was filled is far larger.
_HOLE_BYTES: Final = 4 << 20
_SLACK_BYTES: Final = 256 << 10
# 2001: in the past, with nanoseconds that a careless copy rounds away.
_THEN_NS: Final = 10**18 + 123_456_789
_OWNER: Final = (33, 44)
_ATTRIBUTE: Final = ("user.frskit-kit", b"\0value")


@frozen(kw_only=True)
class TreeEntry:
    """One name of a tree.

    Attributes:
        kind: ``directory``, ``file``, ``link``, ``pipe``, ``socket`` or ``device``.
        mode: Permission bits; None for links, which have none.
        owner: User and group, as numbers.
        modified_ns: Last change, nanoseconds since 1970; None for the root of the tree, whose own
            time may change when it is mounted.
        target: Where a symbolic link leads.
        names: All names of the same file, sorted: hard links.
        content: SHA-256 of a file's bytes, and their number.
        allocated_bytes: What a file takes on the disk.
        xattrs: Extended attributes by name; None where the file system has none.
    """

    kind: str
    mode: int | None
    owner: tuple[int, int]
    modified_ns: int | None
    target: str | None = None
    names: tuple[str, ...] = ()
    content: tuple[str, int] | None = None
    allocated_bytes: int = 0
    xattrs: tuple[tuple[str, bytes], ...] | None = None


class TreeWorld(Protocol):
    """An `ArrayWorld` with two levers more, for arrays that present directories (HOST_PATH)."""

    def plant_tree(self, storage: StorageId, *, special: bool) -> None:
        """Let the production server make the kit's tree in a production storage.

        `special` adds a pipe and a socket; see the function of the same name.
        """
        ...

    def snapshot_tree(self, storage: StorageId) -> Mapping[str, TreeEntry]:
        """All names that the production server, or for copies `host`, sees now.

        Paths are relative, with ``/``; ``""`` is the directory itself. See `read_tree`.
        """
        ...


# --- levers for worlds on this machine ------------------------------------------------------


def plant_tree(directory: Path, *, special: bool = False) -> None:
    """Make a tree of everything that applications put into their directories.

    Owners only if this process may give files away, attributes only where there are any.

    Args:
        directory: Where; what is there stays.
        special: With a pipe and a socket, which may be refused.
    """
    deep = directory / "deep" / "er"
    for each in (directory / "empty", deep):
        each.mkdir(parents=True)
    plain = directory / "plain"
    plain.write_bytes(b"plain")
    (deep / "file\n\u00fc").write_bytes(b"deep")
    (directory / "secret").write_bytes(b"")
    for name in (directory / "also-plain", deep / "plain-too"):
        name.hardlink_to(plain)
    (directory / "link").symlink_to("plain")
    (deep / "dangling").symlink_to("/no/such/place")
    with (directory / "sparse").open("wb") as file:
        file.seek(_HOLE_BYTES)
        file.write(b"end")
    with suppress(AttributeError, OSError):
        os.setxattr(plain, *_ATTRIBUTE)
        os.setxattr(directory / "empty", *_ATTRIBUTE)
    if special:
        os.mkfifo(directory / "pipe")
        os.mknod(deep / "socket", stat.S_IFSOCK | 0o600)
    modes = {"empty": 0o700, "secret": 0o400, "deep/er": 0o2750, "plain": 0o604, "pipe": 0o620}
    _dress(directory, modes)


def _dress(directory: Path, modes: Mapping[str, int]) -> None:
    """Owners, modes and times; from below, because each change of a directory sets its time."""
    for root, directories, files in os.walk(directory, topdown=False):
        for name in (*files, *directories):
            path = Path(root, name)
            if name == "plain" or name.startswith("file"):
                with suppress(PermissionError):
                    os.chown(path, *_OWNER)
            inner = path.relative_to(directory).as_posix()
            if inner in modes:
                path.chmod(modes[inner])
            os.utime(path, ns=(_THEN_NS, _THEN_NS + len(inner)), follow_symlinks=False)
    with suppress(PermissionError):
        os.chown(directory, *_OWNER)
    directory.chmod(0o750)


def read_tree(directory: Path) -> dict[str, TreeEntry]:
    """What there is below a directory of this machine, itself included; nothing is followed."""
    paths = [Path(root, name) for root, ds, fs in os.walk(directory) for name in (*ds, *fs)]
    facts = {each.relative_to(directory).as_posix(): each.lstat() for each in paths}
    names: dict[tuple[int, int], list[str]] = {}
    for name, each in sorted(facts.items()):
        names.setdefault((each.st_dev, each.st_ino), []).append(name)
    found = {
        name: _entry(directory / name, each, tuple(names[each.st_dev, each.st_ino]))
        for name, each in facts.items()
    }
    return {"": _entry(directory, directory.lstat(), ("",)), **found}


def _entry(path: Path, facts: os.stat_result, names: tuple[str, ...]) -> TreeEntry:
    kind = _kind(facts.st_mode)
    is_file, is_link = kind == "file", kind == "link"
    return TreeEntry(
        kind=kind,
        mode=None if is_link else stat.S_IMODE(facts.st_mode),
        owner=(facts.st_uid, facts.st_gid),
        modified_ns=None if names == ("",) else facts.st_mtime_ns,
        target=str(path.readlink()) if is_link else None,
        names=names,
        content=(_digest(path), facts.st_size) if is_file else None,
        allocated_bytes=facts.st_blocks * 512 if is_file else 0,
        xattrs=_xattrs(path) if is_file or kind == "directory" else None,
    )


def _kind(mode: int) -> str:
    kinds = {
        stat.S_IFDIR: "directory",
        stat.S_IFREG: "file",
        stat.S_IFLNK: "link",
        stat.S_IFIFO: "pipe",
        stat.S_IFSOCK: "socket",
    }
    return kinds.get(stat.S_IFMT(mode), "device")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _xattrs(path: Path) -> tuple[tuple[str, bytes], ...] | None:
    try:
        # Only those that belong to users: the system has its own, of which it takes care.
        names = [each for each in os.listxattr(path) if each.startswith("user.")]
        return tuple(sorted((each, os.getxattr(path, each)) for each in names))
    except (AttributeError, OSError):
        return None


# --- the scenarios --------------------------------------------------------------------------


_ASPECTS: Final = {
    "kind": "is something else",
    "mode": "has another mode",
    "owner": "has another owner or group",
    "modified_ns": "has another time of change",
    "target": "leads elsewhere",
    "names": "is not one file under the same names (hard links)",
    "content": "has other bytes",
    "xattrs": "has other extended attributes",
}


def _compare(before: Mapping[str, TreeEntry], after: Mapping[str, TreeEntry], what: str) -> None:
    # Names first: one that is lost changes the time of its directory, too.
    for name in sorted(before.keys() - after.keys()):
        raise AssertionError(f"{what}: the {before[name].kind} {name!r} is lost")
    for name in sorted(after):
        demand(name in before, f"{what}: {name!r} was not in the source")
        one, two = asdict(before[name], recurse=False), asdict(after[name], recurse=False)
        for aspect, text in _ASPECTS.items():
            demand(
                one[aspect] == two[aspect],
                f"{what}: {name!r} {text}: {two[aspect]}, not {one[aspect]}",
            )
        grown = after[name].allocated_bytes - before[name].allocated_bytes
        demand(grown <= _SLACK_BYTES, f"{what}: the holes of {name!r} are filled")


def _tree(world: ArrayWorld, trees: TreeWorld, report: KitReport) -> None:
    """What a tree is survives the copy, each presentation, and a copy of the copy."""
    array, source = world.array, world.storages[0]
    trees.plant_tree(source, special=False)
    before = trees.snapshot_tree(source)
    demand(not {"empty", "link", "sparse"} - before.keys(), "plant_tree did not plant the tree")
    kind = next(each for each in CopyKind if each in array.capabilities.kinds)
    [copy] = take_set(array, kit_key(1), [source], kind)
    _compare(before, trees.snapshot_tree(source), "the source after it was copied")
    _shown(world, trees, before, copy.id, "the copy")
    try:
        [second] = take_set(array, kit_key(2), [copy.id], kind)
    except ArrayError as error:
        report.skip("copy of a tree's copy", f"refused: {error}")
    else:
        _shown(world, trees, before, second.id, "the copy of the copy")
        report.ran("copy of a tree's copy")
    if before["plain"].owner == before["sparse"].owner:
        report.skip("owners of a tree", "the world cannot give files away")
    if not before["plain"].xattrs:
        report.skip("attributes of a tree", "the world has no extended attributes")
    report.ran(_PART)


def _shown(
    world: ArrayWorld,
    trees: TreeWorld,
    before: Mapping[str, TreeEntry],
    storage: StorageId,
    what: str,
) -> None:
    """Read-only, then for writing, which an array may have to prepare in another way."""
    for read_only in (True, False):
        shown = world.array.present(storage, world.host, read_only=read_only, budget=_BUDGET)
        _compare(before, trees.snapshot_tree(storage), what)
        world.array.unpresent(shown, budget=_BUDGET)


def _special(world: ArrayWorld, trees: TreeWorld, report: KitReport) -> None:
    """A pipe or socket is copied, or the copy is refused with its name; it is never left out."""
    array, source = world.array, world.storages[0]
    trees.plant_tree(source, special=True)
    before = trees.snapshot_tree(source)
    kind = next(each for each in CopyKind if each in array.capabilities.kinds)
    try:
        [copy] = take_set(array, kit_key(1), [source], kind)
    except ArrayError as error:
        named = any(each in str(error) for each in ("pipe", "socket"))
        demand(named, f"a refused copy does not say what it cannot copy: {error}")
        demand(not array.copies(budget=Budget.unlimited()), "a refused copy was made [EVA-34]")
    else:
        _shown(world, trees, before, copy.id, "the copy")
    report.ran(_SPECIAL)


def run_tree_scenarios(make: Callable[[], ArrayWorld], report: KitReport) -> None:
    """Run both scenarios, each on a world of its own, if the array presents directories."""
    for part, scenario in ((_PART, _tree), (_SPECIAL, _special)):
        world = make()
        try:
            if AccessKind.HOST_PATH not in world.array.capabilities.access:
                return
            trees = _levers(world)
            if trees is None:
                report.skip(part, "the world has no plant_tree and snapshot_tree")
                continue
            scenario(world, trees, report)
        finally:
            world.close()


def _levers(world: object) -> TreeWorld | None:
    has = all(hasattr(world, each) for each in ("plant_tree", "snapshot_tree"))
    return world if has else None  # type: ignore[return-value]
