"""Names and sentences of the EVA as data: copy rules, XML spellings, kinds of Vraid.

What it is: tables that ``explain`` and error messages draw on without loading the array. What it
is not: logic; the rules are applied in `frskit.eva.rules`.

Sources: [EVA 1.4] (spellings seen in real dumps), [EVA 1.6] (the rules). A spelling whose source
is "inferred" has never been seen in output of a real array.
"""

from __future__ import annotations

from typing import Final

from attrs import frozen

__all__ = ["ARRAY_RULES", "DISK_TYPES", "SHARING", "ArrayRule", "Spelling", "array_rule"]


@frozen(kw_only=True)
class ArrayRule:
    """One rule of the array about copies.

    Attributes:
        id: Number in the rule book, e.g. ``RULE-4``.
        text: The rule in one sentence.
        source: Where it was read, or "inferred".
    """

    id: str
    text: str
    source: str


@frozen(kw_only=True)
class Spelling:
    """How the array's XML spells a value, and how sure that is."""

    text: str
    source: str


ARRAY_RULES: Final = tuple(
    ArrayRule(id=number, text=text, source=source)
    for number, text, source in (
        ("RULE-1", "A snapshot cannot be copied.", "R08 p.441, R12U p.271, P6K p.35"),
        ("RULE-2", "A disk that is normalizing cannot have snapshots.", "R08 p.441"),
        (
            "RULE-3",
            "A disk that has snapshots, or is normalizing itself, cannot be snapcloned.",
            "R12U p.271, P6K p.35",
        ),
        (
            "RULE-4",
            "Until a snapclone is normalized, its source cannot be copied again.",
            "R12U p.271, P6K p.35; for snapshots ARM p.46",
        ),
        ("RULE-5", "A snapshot lives in the disk group of its source.", "R08 p.441"),
        (
            "RULE-6",
            "A snapshot's Vraid is that of its source or a lower one.",
            "R08 p.441, R12U p.271, P6K p.35; the order is inferred",
        ),
        (
            "RULE-7",
            "All snapshots of one disk have the same type and the same Vraid.",
            "R08 p.441, R12A p.11",
        ),
        ("RULE-8", "Snapshots count as virtual disks of the array.", "R08 p.441"),
        ("RULE-9", "The number of snapshots of one disk is limited.", "R08 p.441"),
        (
            "RULE-10",
            "A disk with snapshots or a normalizing snapclone cannot be deleted.",
            "R08 p.439 and p.151; the refusal for snapshots is inferred",
        ),
        ("RULE-11", "Snapshots of one disk are deleted in any order.", "inferred"),
        ("RULE-15", "A set is copied at one instant, all members or none.", "P6K p.40; inferred"),
        (
            "RULE-16",
            "A disk with snapshots, a snapshot, or a normalizing disk is not resized.",
            "inferred",
        ),
        (
            "RULE-17",
            "Only a valid, finished copy of the disk itself can be restored into it.",
            "inferred; R12A p.13 for mirrorclones",
        ),
    )
)
"""The rules that the simulated array applies [EVA 1.6]."""

DISK_TYPES: Final = {
    "original": Spelling(text="original", source="D-vd"),
    "vsnap": Spelling(text="demand_allocated_snapshot", source="D-sn"),
    "snapshot": Spelling(text="fully_allocated_snapshot", source="inferred"),
    "snapclone": Spelling(text="snapclone", source="inferred"),
}
"""``virtualdisktype`` by kind; a normalized snapclone is an original again [EVA 1.4]."""

SHARING: Final = {
    "parent": Spelling(text="snapshot_exists", source="D-vd"),
    "child": Spelling(text="snapshot", source="D-sn"),
    "none": Spelling(text="none", source="inferred"),
    "unsharing": Spelling(text="snapclone", source="inferred"),
}
"""``sharingrelationship`` by the part that a disk plays [EVA 1.4]."""

_BY_ID: Final = {rule.id: rule for rule in ARRAY_RULES}


def array_rule(number: str) -> ArrayRule:
    """The rule of this number.

    Example:
        >>> array_rule("RULE-1").text
        'A snapshot cannot be copied.'

    Raises:
        KeyError: There is no such rule.
    """
    return _BY_ID[number]
