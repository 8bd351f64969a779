r"""Windows paths as the simulated server understands them: ``M:\``, ``C:\mnt\copy``.

Pure text; comparison ignores case, ``/`` counts as ``\``. Device paths of volumes
(``\\?\Volume{GUID}\``) are understood as well. Source: Windows naming conventions (recalled); what
is left out (UNC shares, relative paths, streams) is frskit's choice.
"""

from __future__ import annotations

import re
from typing import Final

from frskit.errors import UsageError
from frskit.model.ids import VolumeId, guid

__all__ = ["mount_point", "split_volume_path"]

_POINT: Final = re.compile(r'[A-Za-z]:(\\[^\\:*?"<>|\0-\x1f]+)*\\?')
_VOLUME: Final = re.compile(r"\\\\\?\\Volume(\{[0-9A-Fa-f-]{36}\})(?:\\(.*))?", re.DOTALL)


def mount_point(text: str) -> str:
    r"""The canonical spelling of a mount point: ``m:`` is ``M:\``; folders end without ``\``.

    Raises:
        UsageError: It is not an absolute Windows path.

    Example:
        >>> mount_point("c:/mnt/copy/")
        'C:\\mnt\\copy'
    """
    native = text.replace("/", "\\")
    if _POINT.fullmatch(native) is None:
        raise UsageError(
            f"{text!r} is not a drive or folder to mount at",
            hint=r"Use a path like M:\ or C:\mnt\copy.",
            context={"path": text},
        )
    drive, rest = native[0].upper() + ":", native[2:].strip("\\")
    return f"{drive}\\{rest}"


def split_volume_path(path: str) -> tuple[VolumeId, str] | None:
    r"""Volume id and inner path of ``\\?\Volume{GUID}\...``; None for other paths."""
    match = _VOLUME.fullmatch(path.replace("/", "\\"))
    if match is None:
        return None
    try:
        volume = VolumeId(guid(match[1]))
    except UsageError:
        return None
    return volume, "/".join(part for part in (match[2] or "").split("\\") if part)
