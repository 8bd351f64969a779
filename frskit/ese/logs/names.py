"""Names of the files of one log stream.

Archived logs end in 5 or 8 hexadecimal digits, and a directory may change from 5 to 8 once; names
compare case-insensitively. Facts: [ese.md 10].
"""

from __future__ import annotations

import re
from enum import Enum

from attrs import frozen

from frskit.errors import UsageError

__all__ = ["LogFileKind", "LogName", "archived_log_name", "check_base", "parse_log_name"]

# Ours: up to 16 characters where Exchange has 3 [ese.md 10], none that means something in a path.
_BASE = re.compile(r"[A-Za-z0-9_]{1,16}")
# Five digits, then eight; .jtx and .jrs are the newer endings [ese.md 10].
_ARCHIVED = re.compile(r"([0-9a-f]{5}|[0-9a-f]{8})\.(?:log|jtx)")
_RESERVE = re.compile(r"res[0-9a-f]{1,8}\.(?:log|jrs)")
_MAX_FIVE_DIGITS = 0xFFFFF
MAX_GENERATION = 0x7FFFFA00
"""Highest generation of a stream [ese.md 10]."""


class LogFileKind(Enum):
    """What a file of a log directory is, by its name."""

    ARCHIVED = "archived"
    CURRENT = "current"
    TEMPORARY = "temporary"
    RESERVE = "reserve"
    CHECKPOINT = "checkpoint"


@frozen(kw_only=True)
class LogName:
    """A file name of a log stream, understood.

    Attributes:
        name: As spelled.
        kind: What the file is.
        generation: Of an archived log; else None.
    """

    name: str
    kind: LogFileKind
    generation: int | None = None


def check_base(base: str) -> str:
    """`base` if it can be the base name of a stream (``E00``, ``edb``).

    Raises:
        UsageError: It cannot.
    """
    if not _BASE.fullmatch(base):
        raise UsageError(
            f"{base!r} is not the base name of a log stream",
            hint="The base name is what the logs' names begin with, as E00.",
        )
    return base


def parse_log_name(name: str, base: str) -> LogName | None:
    """What a file is by its name; None if it does not belong to the stream.

    ``res1.log`` and ``res2.log`` belong to every stream of their directory.
    """
    lowered, prefix = name.lower(), base.lower()
    if lowered in ("res1.log", "res2.log"):
        return LogName(name=name, kind=LogFileKind.RESERVE)
    if not lowered.startswith(prefix):
        return None
    rest = lowered[len(prefix) :]
    if rest in (".log", ".jtx"):
        return LogName(name=name, kind=LogFileKind.CURRENT)
    if rest in ("tmp.log", "tmp.jtx"):
        return LogName(name=name, kind=LogFileKind.TEMPORARY)
    if rest in (".chk", ".jcp"):
        return LogName(name=name, kind=LogFileKind.CHECKPOINT)
    if _RESERVE.fullmatch(rest):
        return LogName(name=name, kind=LogFileKind.RESERVE)
    match = _ARCHIVED.fullmatch(rest)
    if match is None:
        return None
    return LogName(name=name, kind=LogFileKind.ARCHIVED, generation=int(match[1], 16))


def archived_log_name(base: str, generation: int, *, digits: int | None = None) -> str:
    """The name of an archived log.

    Args:
        base: Base name.
        generation: Its number.
        digits: 5 (Exchange 2000/2003) or 8; default: 5 as long as that suffices.

    Raises:
        UsageError: The generation is none, or does not fit into the digits.
    """
    if digits is None:
        digits = 5 if generation <= _MAX_FIVE_DIGITS else 8
    if digits not in (5, 8) or not 0 < generation <= min(MAX_GENERATION, 16**digits - 1):
        raise UsageError(f"there is no log {generation} with {digits} digits")
    return f"{check_base(base)}{generation:0{digits}x}.log"
