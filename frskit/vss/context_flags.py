"""Contexts and attributes of shadow copies, as data [VSS 4.4].

A context says how long shadow copies live and whether writers take part; attributes refine it.
This module knows which combinations are legal; it does not know who supports them.
"""

from __future__ import annotations

from enum import IntFlag

from frskit.codes.hresult import hresult
from frskit.errors import BadState, ServiceError

__all__ = [
    "CTX_ALL",
    "CTX_APP_ROLLBACK",
    "CTX_BACKUP",
    "CTX_CLIENT_ACCESSIBLE",
    "CTX_CLIENT_ACCESSIBLE_WRITERS",
    "CTX_FILE_SHARE_BACKUP",
    "CTX_NAS_ROLLBACK",
    "MAX_VOLUMES",
    "SELECTABLE",
    "Attribute",
    "check_context",
    "creation_attributes",
]


class Attribute(IntFlag):
    """VSS_VOLUME_SNAPSHOT_ATTRIBUTES [VSS 4.4]; an IntFlag because documents carry the number."""

    PERSISTENT = 0x1
    NO_AUTORECOVERY = 0x2
    CLIENT_ACCESSIBLE = 0x4
    NO_AUTO_RELEASE = 0x8
    NO_WRITERS = 0x10
    TRANSPORTABLE = 0x20
    NOT_SURFACED = 0x40
    NOT_TRANSACTED = 0x80
    HARDWARE_ASSISTED = 0x10000
    DIFFERENTIAL = 0x20000
    PLEX = 0x40000
    IMPORTED = 0x80000
    EXPOSED_LOCALLY = 0x100000
    EXPOSED_REMOTELY = 0x200000
    AUTORECOVER = 0x400000
    ROLLBACK_RECOVERY = 0x800000
    DELAYED_POSTSNAPSHOT = 0x1000000
    TXF_RECOVERY = 0x2000000
    FILE_SHARE = 0x4000000


# The values of VSS_CTX_* [VSS 4.4].
CTX_BACKUP = 0x0
CTX_FILE_SHARE_BACKUP = 0x10
CTX_NAS_ROLLBACK = 0x19
CTX_APP_ROLLBACK = 0x9
CTX_CLIENT_ACCESSIBLE = 0x1D
CTX_CLIENT_ACCESSIBLE_WRITERS = 0xD
CTX_ALL = 0xFFFF_FFFF
"""Only for query, delete and break; never for creation."""

MAX_VOLUMES = 64
"""Volumes in one set [VSS 3]."""

SELECTABLE = (
    Attribute.TRANSPORTABLE
    | Attribute.DIFFERENTIAL
    | Attribute.PLEX
    | Attribute.NO_AUTORECOVERY
    | Attribute.ROLLBACK_RECOVERY
    | Attribute.NOT_TRANSACTED
    | Attribute.TXF_RECOVERY
)
"""What a requestor may add to a context; everything else is set by the service."""

_NAMED = frozenset(
    (
        CTX_BACKUP,
        CTX_FILE_SHARE_BACKUP,
        CTX_NAS_ROLLBACK,
        CTX_APP_ROLLBACK,
        CTX_CLIENT_ACCESSIBLE,
        CTX_CLIENT_ACCESSIBLE_WRITERS,
    )
)


def _refusal(context: int) -> str:
    """Why this context cannot be; empty if it can."""
    # Without what may be chosen freely, a context of the table must remain.
    base = context & ~int(SELECTABLE)
    chosen = Attribute(context & int(SELECTABLE))
    if base not in _NAMED:
        return f"0x{context:X} is not a known context with selectable attributes"
    if base & Attribute.CLIENT_ACCESSIBLE:
        return "client-accessible shadow copies belong to the system provider, which is not here"
    if Attribute.DIFFERENTIAL in chosen and Attribute.PLEX in chosen:
        return "DIFFERENTIAL and PLEX exclude each other"
    recovery = Attribute.ROLLBACK_RECOVERY | Attribute.TXF_RECOVERY
    if Attribute.NO_AUTORECOVERY in chosen and chosen & recovery:
        return "NO_AUTORECOVERY excludes ROLLBACK_RECOVERY and TXF_RECOVERY"
    return ""


def check_context(context: int) -> None:
    """Refuse a context that this engine cannot honor.

    Raises:
        ServiceError: With native VSS_E_UNSUPPORTED_CONTEXT.
    """
    if context == CTX_ALL:
        return
    why = _refusal(context)
    if why:
        raise ServiceError(
            f"unsupported context: {why}",
            context={"context": context},
            native=hresult("VSS_E_UNSUPPORTED_CONTEXT"),
            hint="Use a context of the table in the documentation.",
        )


def creation_attributes(context: int) -> Attribute:
    """The attributes a hardware shadow copy of this context is born with.

    Raises:
        BadState: The context is for queries only [VSS-22].
    """
    if context == CTX_ALL:
        raise BadState(
            "the context VSS_CTX_ALL is for queries, not for creation",
            native=hresult("VSS_E_BAD_STATE"),
        )
    return Attribute(context) | Attribute.HARDWARE_ASSISTED
