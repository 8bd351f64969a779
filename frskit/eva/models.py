"""What one model of the array can do: limits, Vraids and policies as data.

What it is: a frozen record and presets. What it is not: logic; the rules in `frskit.eva.rules`
read their numbers from here.

Each attribute says where its value comes from: "read" = stated by a source of [EVA 1.9],
"recalled" = general product knowledge that no source confirms, "frskit's choice" = neither. Only
values that were read may be quoted as facts about the real array.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from attrs import evolve, frozen

from frskit.model.storage import NameRule

__all__ = [
    "EVA3000",
    "EVA4000",
    "EVA5000",
    "EVA6000",
    "EVA8000",
    "PROFILES",
    "PSEG_BYTES",
    "STRICT",
    "ExhaustionPolicy",
    "ModelProfile",
    "ProtectionLevel",
    "Vraid",
]

PSEG_BYTES: Final = 2 * 1024 * 1024
"""Unit of allocation: all block figures of the dump are multiples of it [EVA 1.3, measured]."""

_TIB: Final = 1024**4
_QUARTERS: Final = {"vraid0": 4, "vraid1": 8, "vraid5": 5, "vraid6": 6}
_RANKS: Final = {"vraid0": 0, "vraid5": 1, "vraid1": 2, "vraid6": 3}


class Vraid(Enum):
    """Redundancy of a virtual disk; the value is the array's spelling [EVA 1.4]."""

    VRAID0 = "vraid0"
    VRAID1 = "vraid1"
    VRAID5 = "vraid5"
    VRAID6 = "vraid6"

    @property
    def quarters(self) -> int:
        """Cost of one usable PSEG in quarters of a raw one.

        1, 2 and 1.25 follow from the dump; 1.5 for Vraid6 is recalled [EVA 1.3].
        """
        return _QUARTERS[self.value]

    @property
    def rank(self) -> int:
        """Place in the order of RULE-6; inferred, the place of Vraid6 is UNKNOWN [EVA 1.6]."""
        return _RANKS[self.value]


class ProtectionLevel(Enum):
    """How many disk failures a group keeps space for [EVA 1.3]."""

    NONE = "none"
    SINGLE = "single"
    DOUBLE = "double"

    @property
    def reserved_disks(self) -> int:
        """Disks' worth of space held back: 0, 2, 4 (recalled) [EVA 1.3]."""
        return {"none": 0, "single": 2, "double": 4}[self.value]


class ExhaustionPolicy(Enum):
    """What happens when a group is full and a demand-allocated snapshot must grow [EVA 1.7].

    INVALIDATE_SNAPSHOTS loses the copy and never production (read for 2012 firmware), BLOCK_WRITES
    refuses the write (read for 2008 firmware). For the FRS generation it is UNKNOWN.
    """

    INVALIDATE_SNAPSHOTS = "invalidate_snapshots"
    BLOCK_WRITES = "block_writes"


_SNAPSHOT_STEPS: Final = (
    # upper bound of the source size in hundredths of a TB, snapshots allowed [R08 p.441] (read)
    (94, 16),
    (100, 15),
    (107, 14),
    (115, 13),
    (125, 12),
    (136, 11),
    (150, 10),
    (167, 9),
    (188, 8),
    (200, 7),
)


@frozen(kw_only=True)
class ModelProfile:
    """The limits and policies of one array model [EVA 1.9].

    Attributes:
        model: Name for people.
        controller: ``systemtype`` of the controller (HSV110 = EVA5000 read, others recalled).
        vraids: Vraids offered (0, 1, 5 read).
        default_vraid: For new disks without a wish (frskit's choice).
        max_vdisk_bytes: Largest virtual disk: 2 TB (read, R08 p.441).
        min_vdisk_bytes: Smallest one: 1 GB recalled, so only the strict profile asks for it.
        max_vdisks: Virtual disks and snapshots together (recalled).
        max_disk_groups: Disk groups (recalled).
        max_hosts: Host objects (recalled).
        max_ports: Initiator ports in all (recalled).
        max_lun: Highest LUN number of a host (recalled); the lowest is 1 (read, SVC).
        max_name_chars: Longest name of any object, counted in bytes by `names` (recalled).
        snapshot_steps: Source size in hundredths of a TB -> snapshots allowed (read, R08 p.441).
        max_snapshots: Upper limit whatever the size; None = only the steps.
        max_clones_per_source: Snapclones of one source that normalize at once: 1 (read, RULE-4).
        source_busy_while_cloning: No copy of any kind while a source is cloned (read, ARM p.46).
        max_set_members: Disks of one multisnap; None = unlimited, about 10 recalled [R-23].
        exhaustion: Policy for a full group; default invalidate (frskit's choice).
        copy_bytes_per_s: Bandwidth of normalization, whole array (frskit's choice).
        licensed: Whether there is a licence for local replication (needed: read, R08 p.441).
        commit_s: Length of a commit on the array's clock, 0 in the presets (frskit's choice:
            "takes seconds" was read for the whole creation, which includes what staging does;
            VSS asks for less than one second).
    """

    model: str
    controller: str
    vraids: frozenset[Vraid] = frozenset({Vraid.VRAID0, Vraid.VRAID1, Vraid.VRAID5})
    default_vraid: Vraid = Vraid.VRAID1
    max_vdisk_bytes: int = 2 * _TIB
    min_vdisk_bytes: int = 512
    max_vdisks: int = 1024
    max_disk_groups: int = 16
    max_hosts: int = 256
    max_ports: int = 1024
    max_lun: int = 255
    max_name_chars: int = 32
    snapshot_steps: tuple[tuple[int, int], ...] = _SNAPSHOT_STEPS
    max_snapshots: int | None = None
    max_clones_per_source: int = 1
    source_busy_while_cloning: bool = True
    max_set_members: int | None = None
    exhaustion: ExhaustionPolicy = ExhaustionPolicy.INVALIDATE_SNAPSHOTS
    copy_bytes_per_s: int = 100_000_000
    licensed: bool = True
    commit_s: float = 0.0

    @property
    def names(self) -> NameRule:
        """What every object of the array may be called.

        The characters are recalled [EVA 1.4]. One grammar for all, case folded (frskit's choice:
        whether a real array tells "db" from "DB" is not known, so no plan may depend on it).
        ``ACTIVE`` is the last part of an original's own path [D-vd]: a snapshot of that name would
        have the path of its production disk.
        """
        return NameRule(
            max_bytes=self.max_name_chars,
            allowed=r'[^\x00-\x1f\x7f\\/:*?"<>|]+',
            folds_case=True,
            reserved=frozenset({"ACTIVE"}),
        )

    def snapshots_allowed(self, size_bytes: int) -> int:
        """Snapshots that a source of this size may have [RULE-9].

        Example:
            >>> EVA8000.snapshots_allowed(2 * 1024**4)
            7
        """
        allowed = 0
        for hundredths, count in self.snapshot_steps:
            if size_bytes * 100 <= hundredths * _TIB:
                allowed = count
                break
        return allowed if self.max_snapshots is None else min(allowed, self.max_snapshots)


EVA5000: Final = ModelProfile(model="EVA5000", controller="HSV110", max_vdisks=512, max_snapshots=7)
"""The 2002-2005 generation: 512 disks, 7 snapshots per source (recalled)."""

EVA3000: Final = evolve(EVA5000, model="EVA3000", controller="HSV100")
"""The small array of the same generation (recalled)."""

EVA8000: Final = ModelProfile(model="EVA8000", controller="HSV210")
"""The 2005-2008 generation: 1024 disks (recalled), up to 16 snapshots per source (read)."""

EVA6000: Final = evolve(EVA8000, model="EVA6000", controller="HSV200")
"""The middle array of the 2005 generation (recalled)."""

EVA4000: Final = evolve(EVA8000, model="EVA4000", controller="HSV200")
"""The small array of the 2005 generation (recalled)."""

STRICT: Final = evolve(
    EVA8000, model="EVA8000 strict", max_set_members=10, min_vdisk_bytes=1024**3, max_snapshots=7
)
"""Every limit at its narrowest value, recalled ones included; for plans that must always work."""

PROFILES: Final = {
    each.model: each for each in (EVA3000, EVA4000, EVA5000, EVA6000, EVA8000, STRICT)
}
"""The presets by name."""
