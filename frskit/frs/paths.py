r"""Server-native paths as text: prefixes, joining, and names that match a pattern.

Production may be a Windows server (``M:\exchsrvr``, case-insensitive) or a POSIX one; the
requestor runs on either, so it never uses the running system's path rules.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from frskit.model.files import FileSet
    from frskit.protocols import FileTree

__all__ = ["files_of", "inside", "join", "matches", "separator"]


def separator(path: str) -> str:
    """The separator that a server-native path uses: backslash for Windows paths."""
    return "\\" if "\\" in path or path[1:2] == ":" else "/"


def inside(mount_point: str, path: str) -> str | None:
    r"""The part of `path` below `mount_point`, with ``/``; None if it lies elsewhere.

    Example:
        >>> inside("M:\\", "m:\\exchsrvr\\mbx1.edb")
        'exchsrvr/mbx1.edb'
        >>> inside("/srv/a", "/srv/ab") is None
        True
    """
    windows = separator(mount_point) == "\\"
    prefix = mount_point.replace("\\", "/") if windows else mount_point
    whole = path.replace("\\", "/") if windows else path
    prefix = prefix.rstrip("/")
    folded, wanted = (whole.casefold(), prefix.casefold()) if windows else (whole, prefix)
    if folded.rstrip("/") == wanted:
        return ""
    if not folded.startswith(wanted + "/"):
        return None
    return whole[len(prefix) + 1 :].rstrip("/")


def join(directory: str, *names: str) -> str:
    """Server-native path of something below a directory; `names` may hold ``/``."""
    mark = separator(directory)
    tail = mark.join(part for name in names for part in name.split("/") if part)
    if not tail:
        return directory
    return directory + tail if directory.endswith(mark) else directory + mark + tail


def matches(name: str, pattern: str) -> bool:
    """Whether a file name matches a writer's pattern (``*``, ``?``), in any case."""
    return fnmatchcase(name.casefold(), pattern.casefold())


def files_of(tree: FileTree, directory: str, files: FileSet) -> Iterator[str]:
    """Paths inside `tree` of the files that a file set means, sorted; none if it is not there."""
    if not tree.exists(directory):
        return
    if files.recursive:
        for path in tree.walk(directory):
            if matches(path.rsplit("/", 1)[-1], files.pattern):
                yield path
        return
    for name in tree.listdir(directory):
        path = f"{directory}/{name}" if directory else name
        if matches(name, files.pattern) and not tree.stat(path).is_directory:
            yield path
