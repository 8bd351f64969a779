"""The mount directory of a `LinuxServer`: symbolic links, and a durable table of what they are.

A record is durable before its link is made, and goes only after the link has gone: a link always
has a record. A record whose link is missing is a mount that was not finished; it is dropped by the
next change. Links replaced by somebody else are left alone and reported as taken mount points.
"""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from attrs import frozen

from frskit.clock import Budget
from frskit.errors import ConfigurationError, UsageError, VolumeBusy
from frskit.model.ids import StorageId, VolumeId
from frskit.model.json_records import dump, load
from frskit.storage import file_lock, replace_file, sync_directory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from frskit.clock import Clock

__all__ = ["MountRecord", "MountTable"]

SCHEMA: Final = "frskit.mounts"
# Names in the mount directory that are no mount points.
_OWN: Final = frozenset({".table.json", ".table.json.new", ".lock"})
# Seconds that another process may take for its change, at most (ours).
_PATIENCE_S: Final = 10.0


@frozen(kw_only=True)
class MountRecord:
    """One mounted directory.

    Attributes:
        storage: The array's id.
        volume: Volume id.
        point: Mount point, relative to the mount directory.
        path: The presented directory.
        identity: Inode number of that directory when it was mounted.
        read_only: Whether changes are refused.
    """

    storage: StorageId
    volume: VolumeId
    point: str
    path: str
    identity: int
    read_only: bool


class MountTable:
    """What is mounted in one mount directory; `records` is as of the last look."""

    def __init__(self, root: Path, clock: Clock) -> None:
        self.root: Path = Path(os.path.realpath(root))
        self._clock = clock
        self.root.mkdir(parents=True, exist_ok=True)
        self.records: tuple[MountRecord, ...] = ()
        self.load()

    def native(self, record: MountRecord) -> str:
        """The mount point as applications write it."""
        return str(self.root / record.point)

    def relative(self, point: str) -> str:
        """The part of a mount point inside the mount directory.

        Raises:
            UsageError: It is not inside.
        """
        inner = os.path.relpath(self.root / point, self.root)
        if inner in _OWN or inner == "." or inner.split("/")[0] == "..":
            raise UsageError(
                f"{point!r} is not a mount point below {self.root}", context={"mount_point": point}
            )
        return inner

    def check_free(self, point: str, online: Sequence[MountRecord]) -> None:
        """Refuse a mount point that is taken, or inside another, or holds something else.

        Raises:
            VolumeBusy: It is not free.
        """
        for other in online:
            if point == other.point or f"{point}/".startswith(f"{other.point}/"):
                raise VolumeBusy(f"{self.root / point} is taken by {other.storage}")
            if other.point.startswith(f"{point}/"):
                raise VolumeBusy(f"{self.root / other.point} is mounted below {point}")
        path = self.root / point
        if path.is_symlink() or (path.exists() and (not path.is_dir() or any(path.iterdir()))):
            raise VolumeBusy(f"{path} is there already and is not an empty directory")

    @contextmanager
    def change(self, budget: Budget) -> Iterator[None]:
        """Keep other processes out and look at the table anew.

        Raises:
            Busy: Another process did not let go of it in time.
        """
        waiting = Budget.of(self._clock, _PATIENCE_S, budget.token)
        with file_lock(
            self.root / ".lock",
            "changing mounts",
            budget=waiting.at_most(budget.remaining_s()),
        ):
            self.load()
            yield

    def load(self) -> None:
        """Read the table; records without their link are left out.

        Raises:
            ConfigurationError: It is damaged.
        """
        path = self.root / ".table.json"
        records: tuple[MountRecord, ...] = ()
        with suppress(FileNotFoundError):
            records = load(
                path.read_bytes(),
                tuple[MountRecord, ...],
                SCHEMA,
                under="mounts",
                what=str(path),
                error=ConfigurationError,
                hint="Detach what is mounted, remove the file, and attach it again.",
            )
        self.records = tuple(each for each in records if self._linked(each))

    def _linked(self, record: MountRecord) -> bool:
        try:
            return str((self.root / record.point).readlink()) == record.path
        except OSError:
            return False

    def _save(self, records: tuple[MountRecord, ...]) -> None:
        document = dump(records, SCHEMA, under="mounts", indent=1)
        replace_file(self.root / ".table.json", document.encode() + b"\n")

    def add(self, fresh: Sequence[MountRecord]) -> None:
        """Mount all or none.

        Raises:
            VolumeBusy: A link could not be made.
        """
        before, after = self.records, (*self.records, *fresh)
        if not fresh:
            return
        # The record before the links: a link without a record would be nobody's.
        self._save(after)
        try:
            for record in fresh:
                self._link(record)
        except OSError as error:
            # All of them, because those that were not made are left alone.
            for record in fresh:
                self._unlink(record)
            self._save(before)
            raise VolumeBusy(f"{error.filename} cannot be a mount point: {error}") from error
        self.records = after

    def _link(self, record: MountRecord) -> None:
        path = self.root / record.point
        path.parent.mkdir(parents=True, exist_ok=True)
        # An empty directory makes room, as the ones that are mounted over do elsewhere.
        if path.is_dir() and not path.is_symlink():
            path.rmdir()
        path.symlink_to(record.path)
        sync_directory(path.parent)

    def _unlink(self, record: MountRecord) -> None:
        """Take a link away, and directories above it that are empty now."""
        path = self.root / record.point
        if self._linked(record):
            path.unlink()
            sync_directory(path.parent)
        with suppress(OSError):
            while (path := path.parent) != self.root:
                path.rmdir()

    def remove(self, gone: Sequence[MountRecord]) -> None:
        """Dismount."""
        # The links before the record, for the same reason as in `add`.
        for record in gone:
            self._unlink(record)
        self.records = tuple(each for each in self.records if each not in gone)
        self._save(self.records)
