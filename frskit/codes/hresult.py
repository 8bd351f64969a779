"""HRESULTs of the Volume Shadow Copy Service, as data: name, value, meaning, retry class.

Source: [VSS 6]; values from the public-domain headers named there, retry classes from the published
advice where there is any, otherwise inferred there. This is not an error tree: errors of frskit
carry such a value in ``native``, and `frskit explain` looks it up here.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

from attrs import frozen

__all__ = [
    "BY_NAME",
    "BY_VALUE",
    "HRESULTS",
    "HResult",
    "RetryClass",
    "describe",
    "hresult",
    "lookup",
]


class RetryClass(Enum):
    """Whether repeating the operation makes sense [VSS 6, VSS-46].

    TRANSIENT: wait 10 minutes, at most three times. LATER: as soon as the other operation ended.
    CONFIGURE: change the configuration first. NEVER: do not retry. SUCCESS: not a failure code.
    """

    TRANSIENT = "T"
    LATER = "L"
    CONFIGURE = "C"
    NEVER = "N"
    SUCCESS = "S"


@frozen(kw_only=True)
class HResult:
    """One code.

    Attributes:
        name: Symbolic name as in the headers.
        value: Unsigned 32-bit value.
        meaning: What it says, in our words.
        retry: Whether repeating makes sense.
    """

    name: str
    value: int
    meaning: str
    retry: RetryClass

    @property
    def failed(self) -> bool:
        """Whether the severity bit is set; some bad news comes as a success code [HAZ-11]."""
        return bool(self.value & 0x8000_0000)


_ASR = "only used by the disaster recovery writer (symbolic name recalled, value sourced)"

# fmt: off
_ROWS: tuple[tuple[str, int, str, str], ...] = (
    ("VSS_E_BAD_STATE", 0x80042301, "the call is out of sequence", "N"),
    ("VSS_E_UNEXPECTED", 0x80042302, "internal error; see the event log", "N"),
    ("VSS_E_PROVIDER_ALREADY_REGISTERED", 0x80042303, "the provider id is taken", "N"),
    ("VSS_E_PROVIDER_NOT_REGISTERED", 0x80042304, "the provider id is unknown", "C"),
    ("VSS_E_PROVIDER_VETO", 0x80042306, "the provider refused and logged why", "T"),
    ("VSS_E_PROVIDER_IN_USE", 0x80042307, "the provider cannot be unregistered now", "L"),
    ("VSS_E_OBJECT_NOT_FOUND", 0x80042308,
     "volume, set, shadow copy, writer or component is unknown", "N"),
    ("VSS_S_ASYNC_PENDING", 0x00042309, "the asynchronous operation is running", "S"),
    ("VSS_S_ASYNC_FINISHED", 0x0004230A, "the asynchronous operation is finished", "S"),
    ("VSS_S_ASYNC_CANCELLED", 0x0004230B, "the asynchronous operation was cancelled", "S"),
    ("VSS_E_VOLUME_NOT_SUPPORTED", 0x8004230C,
     "no provider supports the volume, or the attributes asked for", "C"),
    ("VSS_E_OBJECT_ALREADY_EXISTS", 0x8004230D, "the component or object is there already", "N"),
    ("VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER", 0x8004230E,
     "the chosen provider does not support the volume", "C"),
    ("VSS_E_UNEXPECTED_PROVIDER_ERROR", 0x8004230F, "the provider returned an undefined code", "T"),
    ("VSS_E_CORRUPT_XML_DOCUMENT", 0x80042310, "the document is damaged", "N"),
    ("VSS_E_INVALID_XML_DOCUMENT", 0x80042311, "the document does not load", "N"),
    ("VSS_E_MAXIMUM_NUMBER_OF_VOLUMES_REACHED", 0x80042312,
     "more than 64 volumes in the set, or the provider's limit", "C"),
    ("VSS_E_FLUSH_WRITES_TIMEOUT", 0x80042313, "flushing took too long", "T"),
    ("VSS_E_HOLD_WRITES_TIMEOUT", 0x80042314, "writes were held longer than 10 s", "T"),
    ("VSS_E_UNEXPECTED_WRITER_ERROR", 0x80042315, "communication with the writers failed", "T"),
    ("VSS_E_SNAPSHOT_SET_IN_PROGRESS", 0x80042316, "another set is being created", "L"),
    ("VSS_E_MAXIMUM_NUMBER_OF_SNAPSHOTS_REACHED", 0x80042317,
     "the maximum per volume or provider is reached", "C"),
    ("VSS_E_WRITER_INFRASTRUCTURE", 0x80042318, "the event system or VSS does not work", "C"),
    ("VSS_E_WRITER_NOT_RESPONDING", 0x80042319, "a writer hangs", "N"),
    ("VSS_E_WRITER_ALREADY_SUBSCRIBED", 0x8004231A, "the writer subscribed twice", "N"),
    ("VSS_E_UNSUPPORTED_CONTEXT", 0x8004231B, "this context is not possible here", "C"),
    ("VSS_E_VOLUME_IN_USE", 0x8004231D, "the volume cannot be locked", "L"),
    ("VSS_E_MAXIMUM_DIFFAREA_ASSOCIATIONS_REACHED", 0x8004231E,
     "too many difference areas", "C"),
    ("VSS_E_INSUFFICIENT_STORAGE", 0x8004231F, "no space in the pool or difference area", "C"),
    ("VSS_E_NO_SNAPSHOTS_IMPORTED", 0x80042320, "the import brought nothing", "C"),
    ("VSS_S_SOME_SNAPSHOTS_NOT_IMPORTED", 0x00042321,
     "the import brought only a part; a success code that means a failed copy", "S"),
    ("VSS_E_SOME_SNAPSHOTS_NOT_IMPORTED", 0x80042321, "the import brought only a part", "C"),
    ("VSS_E_MAXIMUM_NUMBER_OF_REMOTE_MACHINES_REACHED", 0x80042322,
     "too many remote machines", "C"),
    ("VSS_E_REMOTE_SERVER_UNAVAILABLE", 0x80042323, "the file server does not answer", "L"),
    ("VSS_E_REMOTE_SERVER_UNSUPPORTED", 0x80042324, "the file server cannot do it", "N"),
    ("VSS_E_REVERT_IN_PROGRESS", 0x80042325, "a revert is running", "L"),
    ("VSS_E_REVERT_VOLUME_LOST", 0x80042326, "the volume was lost during the revert", "N"),
    ("VSS_E_REBOOT_REQUIRED", 0x80042327, "the provider needs a reboot", "C"),
    ("VSS_E_TRANSACTION_FREEZE_TIMEOUT", 0x80042328, "transaction managers did not freeze", "T"),
    ("VSS_E_TRANSACTION_THAW_TIMEOUT", 0x80042329, "transaction managers did not thaw", "T"),
    ("VSS_E_UNSELECTED_VOLUME", 0x8004232A, "the resync target holds other volumes", "C"),
    ("VSS_E_SNAPSHOT_NOT_IN_SET", 0x8004232B, "the shadow copy is not in the document", "N"),
    ("VSS_E_NESTED_VOLUME_LIMIT", 0x8004232C, "virtual disks are nested too deeply", "N"),
    ("VSS_E_VOLUME_NOT_LOCAL", 0x8004232D, "the volume is on another cluster node", "C"),
    ("VSS_E_CLUSTER_TIMEOUT", 0x8004232E, "the cluster did not answer in time", "T"),
    ("VSS_E_NOT_SUPPORTED", 0x8004232F, "not supported", "N"),
    ("VSS_E_WRITERERROR_PARTIAL_FAILURE", 0x80042336,
     "some components failed; see each component", "C"),
    ("VSS_E_WRITERERROR_INCONSISTENTSNAPSHOT", 0x800423F0,
     "the set lacks volumes that the writer needs; add them", "C"),
    ("VSS_E_WRITERERROR_OUTOFRESOURCES", 0x800423F1, "the writer is out of resources", "T"),
    ("VSS_E_WRITERERROR_TIMEOUT", 0x800423F2, "the freeze-to-thaw window was exceeded", "T"),
    ("VSS_E_WRITERERROR_RETRYABLE", 0x800423F3, "the writer failed; start all over again", "T"),
    ("VSS_E_WRITERERROR_NONRETRYABLE", 0x800423F4, "the writer failed and would again", "N"),
    ("VSS_E_WRITERERROR_RECOVERY_FAILED", 0x800423F5, "the writer's auto-recovery failed", "N"),
    ("VSS_E_BREAK_REVERT_ID_FAILED", 0x800423F6,
     "disk ids could not be reverted; an original is still visible", "C"),
    ("VSS_E_LEGACY_PROVIDER", 0x800423F7, "the provider lacks the newer interface", "N"),
    ("VSS_E_MISSING_DISK", 0x800423F8, "a disk was not found", "C"),
    ("VSS_E_MISSING_HIDDEN_VOLUME", 0x800423F9, "a hidden volume was not found", "C"),
    ("VSS_E_MISSING_VOLUME", 0x800423FA, "a volume was not found", "C"),
    ("VSS_E_AUTORECOVERY_FAILED", 0x800423FB, "auto-recovery failed", "N"),
    ("VSS_E_DYNAMIC_DISK_ERROR", 0x800423FC, "an error on a dynamic disk", "C"),
    ("VSS_E_NONTRANSPORTABLE_BCD", 0x800423FD,
     "the document does not describe a transportable set", "N"),
    ("VSS_E_CANNOT_REVERT_DISKID", 0x800423FE, "the signature could not be set", "C"),
    ("VSS_E_RESYNC_IN_PROGRESS", 0x800423FF, "a resync is running", "L"),
    ("VSS_E_CLUSTER_ERROR", 0x80042400, "an error of the cluster", "C"),
    ("VSS_E_ASRERROR_DISK_ASSIGNMENT_FAILED", 0x80042401, _ASR, "N"),
    ("VSS_E_ASRERROR_DISK_RECREATION_FAILED", 0x80042402, _ASR, "N"),
    ("VSS_E_ASRERROR_NO_ARCPATH", 0x80042403, _ASR, "N"),
    ("VSS_E_ASRERROR_MISSING_DYNDISK", 0x80042404, _ASR, "N"),
    ("VSS_E_ASRERROR_SHARED_CRIDISK", 0x80042405, _ASR, "N"),
    ("VSS_E_ASRERROR_DATADISK_RDISK0", 0x80042406, _ASR, "N"),
    ("VSS_E_ASRERROR_RDISK0_TOOSMALL", 0x80042407, _ASR, "N"),
    ("VSS_E_ASRERROR_CRITICAL_DISKS_TOO_SMALL", 0x80042408, _ASR, "N"),
    ("VSS_E_WRITER_STATUS_NOT_AVAILABLE", 0x80042409, "the writers' session slots are used up", "L"),
    ("VSS_E_ASRERROR_DYNAMIC_VHD_NOT_SUPPORTED", 0x8004240A, _ASR, "N"),
    ("VSS_E_CRITICAL_VOLUME_ON_INVALID_DISK", 0x80042411,
     "only used by the disaster recovery writer", "N"),
    ("VSS_E_ASRERROR_RDISK_FOR_SYSTEM_DISK_NOT_FOUND", 0x80042412, _ASR, "N"),
    ("VSS_E_ASRERROR_NO_PHYSICAL_DISK_AVAILABLE", 0x80042413, _ASR, "N"),
    ("VSS_E_ASRERROR_FIXED_PHYSICAL_DISK_AVAILABLE_AFTER_DISK_EXCLUSION", 0x80042414, _ASR, "N"),
    ("VSS_E_ASRERROR_CRITICAL_DISK_CANNOT_BE_EXCLUDED", 0x80042415, _ASR, "N"),
    ("VSS_E_ASRERROR_SYSTEM_PARTITION_HIDDEN", 0x80042416, _ASR, "N"),
    ("VSS_E_FSS_TIMEOUT", 0x80042417, "a file share operation took too long", "T"),
    ("E_NOTIMPL", 0x80004001, "not implemented", "N"),
    ("E_UNEXPECTED", 0x8000FFFF, "unexpected", "N"),
    ("E_ACCESSDENIED", 0x80070005, "access denied", "N"),
    ("E_OUTOFMEMORY", 0x8007000E, "out of memory", "N"),
    ("E_INVALIDARG", 0x80070057, "an argument is not valid", "N"),
)
# fmt: on

HRESULTS: tuple[HResult, ...] = tuple(
    HResult(name=name, value=value, meaning=meaning, retry=RetryClass(retry))
    for name, value, meaning, retry in _ROWS
)
"""Every code of [VSS 6] with a name, in the order of the book."""

BY_NAME: Mapping[str, HResult] = MappingProxyType({each.name: each for each in HRESULTS})
"""Codes by symbolic name."""

BY_VALUE: Mapping[int, HResult] = MappingProxyType({each.value: each for each in HRESULTS})
"""Codes by unsigned value."""


def hresult(name: str) -> int:
    """The value of a code that is known to exist.

    Raises:
        KeyError: No such name; a mistake in the calling code.
    """
    return BY_NAME[name].value


def lookup(code: int | str) -> HResult | None:
    """The code for a name (any case), a value, a negative 32-bit value, or hexadecimal text."""
    if isinstance(code, int):
        return BY_VALUE.get(code & 0xFFFF_FFFF)
    text = code.strip()
    if text.upper() in BY_NAME:
        return BY_NAME[text.upper()]
    for base in (10, 16):
        try:
            number = int(text, base)
        except ValueError:
            continue
        if number & 0xFFFF_FFFF in BY_VALUE:
            return BY_VALUE[number & 0xFFFF_FFFF]
    return None


def describe(code: int) -> str:
    """``NAME (0x........): meaning``, or the bare number if it is not a known code."""
    found = lookup(code)
    if found is None:
        return f"0x{code & 0xFFFF_FFFF:08X}"
    return f"{found.name} (0x{found.value:08X}): {found.meaning}"
