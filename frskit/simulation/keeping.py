"""What a lab in a directory keeps beside its array: its settings, its time, its services' memory.

::

    DIR/site.toml       kind = "lab", seed, model, layout: written once
    DIR/lab.lock        held by the process that has the lab open
    DIR/lab.json        boots, mount points, Exchange's settings
    DIR/time            seconds of the lab's clock
    DIR/eva/            the array
    DIR/services.sqlite what the shadow copy services remember
    DIR/state/          catalog, journal and locks of the requestor
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, MutableMapping
from pathlib import Path
from typing import Any

from attrs import field, frozen

from frskit._typing import override
from frskit.clock import VirtualClock
from frskit.errors import ConfigurationError
from frskit.model.json_records import dump, load
from frskit.storage import make_private_file, replace_file

__all__ = ["LabClock", "LabRecord", "ServiceMemory", "load_record", "save_record", "toml_text"]

SCHEMA = "frskit.lab"


class LabClock(VirtualClock):
    """A virtual clock that survives the process: each move is written down."""

    def __init__(self, file: Path) -> None:
        self._file = file
        super().__init__(elapsed_s=_read_seconds(file))

    @override
    def advance(self, seconds: float) -> None:
        """Move forward, and remember it."""
        super().advance(seconds)
        if seconds > 0:
            _replace(self._file, repr(self.monotonic()))


class ServiceMemory(MutableMapping[str, bytes]):
    """A durable mapping in an SQLite file; every change is durable when it returns.

    Raises:
        ConfigurationError: The file is damaged.
    """

    def __init__(self, file: Path, name: str) -> None:
        self._table = f"memory_{name}"
        try:
            make_private_file(file)
            self._db = sqlite3.connect(file, check_same_thread=False)
        except (sqlite3.Error, OSError) as error:
            raise ConfigurationError(f"{file} cannot be opened: {error}") from error
        try:
            # The coordinator's records must survive a loss of power once they are written.
            self._db.execute("PRAGMA synchronous=FULL")
            self._db.execute(
                f"CREATE TABLE IF NOT EXISTS {self._table} (k TEXT PRIMARY KEY, v BLOB)"
            )
            self._db.commit()
        except BaseException as error:
            self._db.close()
            if isinstance(error, sqlite3.Error):
                raise ConfigurationError(f"{file} cannot be read: {error}") from error
            raise

    def __getitem__(self, key: str) -> bytes:
        row = self._db.execute(f"SELECT v FROM {self._table} WHERE k=?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        return bytes(row[0])

    def __setitem__(self, key: str, value: bytes) -> None:
        with self._db:
            self._db.execute(f"INSERT OR REPLACE INTO {self._table} VALUES (?,?)", (key, value))

    def __delitem__(self, key: str) -> None:
        with self._db:
            if not self._db.execute(f"DELETE FROM {self._table} WHERE k=?", (key,)).rowcount:
                raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        return iter([str(row[0]) for row in self._db.execute(f"SELECT k FROM {self._table}")])

    def __len__(self) -> int:
        (count,) = self._db.execute(f"SELECT count(*) FROM {self._table}").fetchone()
        return int(count)

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._db.close()


@frozen(kw_only=True)
class LabRecord:
    """What ``lab.json`` holds.

    Attributes:
        boots: How often the lab was opened.
        mounts: Mount points of production, by volume id.
        exchange: Exchange's settings, as it says them; None until it was made.
    """

    boots: int = 0
    mounts: dict[str, str] = field(factory=dict)
    exchange: dict[str, Any] | None = None


def save_record(file: Path, record: LabRecord) -> None:
    """Write ``lab.json``, atomically and durably."""
    _replace(file, dump(record, SCHEMA, indent=1))


def load_record(file: Path) -> LabRecord:
    """Read what `save_record` wrote.

    Raises:
        ConfigurationError: Missing, damaged, or of another schema.
    """
    try:
        text = file.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be read: {error}") from error
    return load(
        text,
        LabRecord,
        SCHEMA,
        what=str(file),
        error=ConfigurationError,
        hint="Restore the lab from a copy, or make a new one.",
    )


def toml_text(settings: Mapping[str, str | int]) -> str:
    """Settings as lines of a TOML file; a JSON string is a TOML string as well."""
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in settings.items()]
    return "\n".join(lines) + "\n"


def _replace(file: Path, text: str) -> None:
    replace_file(file, text.encode("utf-8"))


def _read_seconds(file: Path) -> float:
    try:
        return max(0.0, float(file.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return 0.0
    except ValueError as error:
        raise ConfigurationError(f"{file} does not hold a number of seconds") from error
