"""Names of copies on an array: the whole GUID of the set, and a number [R-17].

``f-`` + 26 base32 characters + ``-nn``, 31 characters in all: an orphan tells by its name alone
which set it belongs to, also on arrays that keep no comments. The grammar is frskit's choice.
"""

from __future__ import annotations

import base64
import re
import uuid

from frskit.errors import LimitExceeded, UsageError
from frskit.model.ids import SetId, guid

__all__ = ["copy_name", "parse_copy_name"]

_NAME = re.compile(r"f-([a-z2-7]{26})-([0-9]{2})", re.IGNORECASE)


def copy_name(set_id: SetId, number: int) -> str:
    """The name of a member.

    Args:
        set_id: The set.
        number: Place in the set, from 0.

    Raises:
        LimitExceeded: The number has more than two digits; a set has 64 volumes at most.
        UsageError: The set id is not a GUID.
    """
    if not 0 <= number <= 99:
        raise LimitExceeded(f"a set has no member number {number}", context={"set": set_id})
    text = base64.b32encode(uuid.UUID(guid(set_id)).bytes).decode("ascii")
    return f"f-{text.rstrip('=').lower()}-{number:02d}"


def parse_copy_name(name: str) -> tuple[SetId, int] | None:
    """Set and number of a name made by `copy_name`, in any case; None for other names.

    Example:
        >>> parse_copy_name(copy_name(SetId("e109943b-232e-4b52-8dc4-62b7de94761b"), 3))
        ('e109943b-232e-4b52-8dc4-62b7de94761b', 3)
    """
    match = _NAME.fullmatch(name.strip())
    if match is None:
        return None
    # 16 bytes make 26 characters and 6 of padding, which the names leave out.
    raw = base64.b32decode(match[1].upper() + "======")
    try:
        set_id = SetId(str(uuid.UUID(bytes=raw)))
        canonical = copy_name(set_id, int(match[2]))
    except (UsageError, ValueError):
        return None
    # The last character has two bits to spare: only one spelling of each GUID is ours.
    return (set_id, int(match[2])) if canonical == name.strip().lower() else None
