"""Which recovery is legal: one pure table of kind, mode and method [design 4, R-20].

A swap needs a copy that can stand alone: a normalized snapclone, alone on its LUN. Files can be
copied back from any verified copy, and an array that can copy back by itself does so from any kind
of copy [EVA RULE-17]; whether this one can is asked of the array, not of the table.
"""

from __future__ import annotations

from collections.abc import Mapping

from frskit.model.plans import RecoveryMethod, RecoveryMode
from frskit.model.storage import CopyKind

__all__ = ["LEGALITY", "objection", "table_rows"]

_STANDS_ALONE = "a swap needs a snapclone: a snapshot depends on the LUN it would replace"


def _reason(kind: CopyKind, method: RecoveryMethod) -> str:
    if method is RecoveryMethod.SWAP and kind is not CopyKind.SNAPCLONE:
        return _STANDS_ALONE
    return ""


LEGALITY: Mapping[tuple[CopyKind, RecoveryMode, RecoveryMethod], str] = {
    (kind, mode, method): _reason(kind, method)
    for kind in CopyKind
    for mode in RecoveryMode
    for method in RecoveryMethod
}
"""Empty text: legal. Otherwise the reason why it is not."""


def objection(kind: CopyKind, mode: RecoveryMode, method: RecoveryMethod) -> str:
    """Why this recovery is not legal; empty if it is."""
    return LEGALITY[kind, mode, method]


def table_rows() -> list[tuple[str, str, str, str]]:
    """The table for people: kind, mode, method, verdict."""
    return [
        (kind.value, mode.value, method.value, text or "legal")
        for (kind, mode, method), text in LEGALITY.items()
    ]
