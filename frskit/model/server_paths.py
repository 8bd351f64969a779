r"""Server-native paths as text: prefixes, joining, and names that match a writer's pattern.

Production may be a Windows server (``M:\exchsrvr``, any case, ``/`` counts as ``\``) or a POSIX one
(exact). The requestor runs on either, so it never uses the running system's path rules. Names of a
Windows server are compared letter by letter in upper case, as its file system does: a letter whose
upper case is two letters stays as it is (recalled).
"""

from __future__ import annotations

import re
from functools import lru_cache

__all__ = [
    "as_relative",
    "inside",
    "is_windows",
    "join",
    "matches",
    "same_path",
    "separator",
    "split_path",
]


def is_windows(path: str) -> bool:
    r"""Whether a path is a Windows one: a drive, or a backslash in it."""
    return "\\" in path or path[1:2] == ":"


def separator(path: str) -> str:
    """The separator that a server-native path uses."""
    return "\\" if is_windows(path) else "/"


def _upper(text: str) -> str:
    """Upper case, letter by letter."""
    if text.isascii():
        return text.upper()
    return "".join(upper if len(upper := letter.upper()) == 1 else letter for letter in text)


def _parts(path: str, *, windows: bool) -> list[str]:
    whole = path.replace("\\", "/") if windows else path
    return [part for part in whole.split("/") if part]


def inside(mount_point: str, path: str) -> str | None:
    r"""The part of `path` below `mount_point`, with ``/``; None if it lies elsewhere.

    Example:
        >>> inside("M:\\", "m:\\exchsrvr\\mbx1.edb")
        'exchsrvr/mbx1.edb'
        >>> inside("C:\\a", "C:\\A\\\\b\\"), inside("C:\\a", "C:\\ab")
        ('b', None)
        >>> inside("/srv/a", "/srv/ab") is None, inside("/srv/a", "/srv/A/b") is None
        (True, True)
    """
    windows = is_windows(mount_point)
    if windows != is_windows(path):
        return None
    above = _parts(mount_point, windows=windows)
    whole = _parts(path, windows=windows)
    begin = whole[: len(above)]
    same = [_upper(each) for each in begin] == [_upper(each) for each in above]
    if not (same if windows else begin == above):
        return None
    return "/".join(whole[len(above) :])


def same_path(one: str, other: str) -> bool:
    r"""Whether two paths name the same place on their server.

    Example:
        >>> same_path("M:\\a\\B.edb", "m:/A/b.EDB"), same_path("/a/B", "/a/b")
        (True, False)
    """
    return inside(one, other) == ""


def as_relative(path: str) -> str:
    r"""A server-native path as one below some directory, with ``/``, the drive as a name.

    Example:
        >>> as_relative("M:\\exchsrvr\\mbx1.edb"), as_relative("/var/lib/app/x")
        ('M/exchsrvr/mbx1.edb', 'var/lib/app/x')
    """
    windows = is_windows(path)
    parts = _parts(path, windows=windows)
    if windows and parts and parts[0].endswith(":"):
        parts[0] = parts[0].removesuffix(":")
    return "/".join(parts)


def join(directory: str, *names: str) -> str:
    """Server-native path of something below a directory; `names` may hold ``/``."""
    mark = separator(directory)
    tail = mark.join(part for name in names for part in name.split("/") if part)
    if not tail:
        return directory
    return directory + tail if directory.endswith(mark) else directory + mark + tail


def split_path(path: str) -> tuple[str, str]:
    r"""Directory and name of a server-native path, whichever separator it uses.

    Example:
        >>> split_path("M:\\exchsrvr\\sg1\\mbx1.edb")
        ('M:\\exchsrvr\\sg1', 'mbx1.edb')
    """
    cut = max(path.rfind("\\"), path.rfind("/"))
    return path[:cut], path[cut + 1 :]


def matches(name: str, pattern: str) -> bool:
    r"""Whether a file name matches a writer's pattern, in any case.

    ``*`` and ``?`` are the only wildcards, so that brackets in a name mean themselves; ``*.*`` means
    every name, with a dot or without, as on Windows.

    Example:
        >>> matches("E0000001.LOG", "e00*.log"), matches("a[1].edb", "A[1].edb")
        (True, True)
        >>> matches("priv", "*.*"), matches("a.b", "a?b"), matches("ab", "a?b")
        (True, True, False)
    """
    return _wildcard(pattern).fullmatch(_upper(name)) is not None


@lru_cache(maxsize=256)
def _wildcard(pattern: str) -> re.Pattern[str]:
    text = "*" if pattern == "*.*" else _upper(pattern)
    wild = {"*": ".*", "?": "."}
    return re.compile("".join(wild.get(each, re.escape(each)) for each in text), re.DOTALL)
