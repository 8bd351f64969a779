"""The words of the journal: kinds of operations, phases of a line, steps, stages of a record.

They are written to disk and drive decisions after a crash, so that a word, once used, keeps its
meaning: never change a value, only add. All are frskit's choice; PreRestore is the writer's event.
"""

from __future__ import annotations

from enum import StrEnum

__all__ = [
    "RECOVERING",
    "WITHDRAWN",
    "CopyStep",
    "DeletionStep",
    "Phase",
    "RecoveryStep",
    "RequestorOperation",
]

RECOVERING = "recovering"
"""Stage of a copy's record while a recovery uses it, durable before the first step."""

WITHDRAWN = "withdrawn"
"""Stage of a copy that was lost after its verdict and before any writer was told success."""


class RequestorOperation(StrEnum):
    """What an operation does."""

    COPY = "copy"
    DELETION = "delete"
    RECOVERY = "recovery"


class Phase(StrEnum):
    """What a line of the journal says.

    INTENT comes before an outside call, DONE or FAILED after it. UNDO: from here on every step is
    undone, whatever was begun; UNDONE: that was tried. END: nothing is left to do.
    """

    BEGIN = "begin"
    INTENT = "intent"
    DONE = "done"
    FAILED = "failed"
    UNDO = "undo"
    UNDONE = "undone"
    END = "end"


class CopyStep(StrEnum):
    """Outside calls of a copy."""

    CREATE = "create"
    IMPORT = "import"
    COMPLETE = "complete"
    BREAK = "break"
    HIDE = "hide"


class DeletionStep(StrEnum):
    """Outside calls of a deletion."""

    DELETE = "delete"


class RecoveryStep(StrEnum):
    """Outside calls of a recovery; those that move files are named as in `FileActionKind`.

    From the intent to REPLAY on a swapped copy is used up. From the intent to RESTORE on the
    array may have overwritten production's LUN, unless it refused.
    """

    TAKE_OFFLINE = "take offline"
    PRE_RESTORE = "PreRestore"
    SWAP = "swap"
    HIDE = "hide"
    RESTORE = "array-restore"
    SHOW = "show"
    COPY_IN = "copy-in"
    SET_ASIDE = "set-aside"
    RENAME = "rename"
    CREATE = "create"
    DELETE = "delete"
    REPLAY = "mount and replay"
