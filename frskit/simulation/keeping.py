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
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import field, frozen

from frskit._typing import override
from frskit.clock import VirtualClock
from frskit.errors import ConfigurationError
from frskit.model.json_records import dump, load
from frskit.storage import make_private_file, replace_file

__all__ = [
    "LabClock",
    "LabRecord",
    "ServiceMemory",
    "check_memory",
    "load_record",
    "save_record",
    "toml_text",
]

SCHEMA = "frskit.lab"
_RESTORE = "Restore the lab from a copy, or make a new one."
_LONGEST_S = 3e9
"""Seconds that a lab's clock may show, about a hundred years (ours): dates end at some time."""


class LabClock(VirtualClock):
    """A virtual clock that survives the process: each move is written down."""

    def __init__(self, file: Path, *, least_s: float | None = None) -> None:
        """Go on where the file says.

        Args:
            file: Where the seconds are kept.
            least_s: What they have been once; None for a lab that is being made.

        Raises:
            ConfigurationError: The file is gone, or does not hold seconds that can be.
        """
        self._file = file
        if least_s is None and not file.exists():
            # From the first moment on: a file that is gone is noticed.
            _replace(file, repr(0.0))
        super().__init__(elapsed_s=_read_seconds(file, least_s or 0.0))

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
        self._file = file
        with self._errors("opened"):
            make_private_file(file)
            self._db = sqlite3.connect(file, check_same_thread=False)
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
                raise _unusable(file, f"cannot be read: {error}") from error
            raise

    def __getitem__(self, key: str) -> bytes:
        with self._errors("read"):
            row = self._db.execute(f"SELECT v FROM {self._table} WHERE k=?", (key,)).fetchone()
        if row is None:
            raise KeyError(key)
        value = row[0]
        return value.encode() if isinstance(value, str) else bytes(value)

    def __setitem__(self, key: str, value: bytes) -> None:
        with self._errors("written"), self._db:
            self._db.execute(f"INSERT OR REPLACE INTO {self._table} VALUES (?,?)", (key, value))

    def __delitem__(self, key: str) -> None:
        with self._errors("written"), self._db:
            if not self._db.execute(f"DELETE FROM {self._table} WHERE k=?", (key,)).rowcount:
                raise KeyError(key)

    def __iter__(self) -> Iterator[str]:
        with self._errors("read"):
            return iter([str(row[0]) for row in self._db.execute(f"SELECT k FROM {self._table}")])

    def __len__(self) -> int:
        with self._errors("read"):
            (count,) = self._db.execute(f"SELECT count(*) FROM {self._table}").fetchone()
            return int(count)

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._db.close()

    @contextmanager
    def _errors(self, done: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise _unusable(self._file, f"cannot be {done}: {error}") from error


@frozen(kw_only=True)
class LabRecord:
    """What ``lab.json`` holds.

    Attributes:
        boots: How often the lab was opened.
        mounts: Mount points of production, by volume id.
        exchange: Exchange's settings, as it says them; None until it was made.
        elapsed_s: Seconds of the lab's clock when this was written; None in labs of 0.1.0. The
            clock never goes back.
    """

    boots: int = 0
    mounts: dict[str, str] = field(factory=dict)
    exchange: dict[str, Any] | None = None
    elapsed_s: float | None = None


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
        raise _unusable(file, f"cannot be read: {error}") from error
    return load(
        text,
        LabRecord,
        SCHEMA,
        what=str(file),
        error=ConfigurationError,
        hint=_RESTORE,
    )


def check_memory(file: Path) -> None:
    """See that a lab that was made has the file in which its services keep their memory.

    Raises:
        ConfigurationError: It is gone or empty; opening it would make a new one without a word.
    """
    try:
        empty = not file.stat().st_size
    except OSError as error:
        raise _unusable(file, f"cannot be read: {error}") from error
    if empty:
        raise _unusable(file, "is empty; it held what the shadow copy services remember")


def toml_text(settings: Mapping[str, str | int]) -> str:
    """Settings as lines of a TOML file; a JSON string is a TOML string as well."""
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in settings.items()]
    return "\n".join(lines) + "\n"


def _replace(file: Path, text: str) -> None:
    replace_file(file, text.encode("utf-8"))


def _unusable(file: Path, why: str) -> ConfigurationError:
    return ConfigurationError(f"{file} {why}", hint=_RESTORE, context={"path": str(file)})


def _read_seconds(file: Path, least_s: float) -> float:
    """What the clock showed last.

    Raises:
        ConfigurationError: The file is gone, or holds no such number.
    """
    hint = (
        "Put it back from a copy of the lab, or write into it how many seconds the lab's clock "
        f"shows: {least_s!r} or more, and later than the newest copy."
    )
    context = {"path": str(file)}
    try:
        seconds = float(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be read: {error}", hint=hint, context=context
        ) from error
    except ValueError as error:
        raise ConfigurationError(
            f"{file} does not hold a number of seconds", hint=hint, context=context
        ) from error
    if not 0 <= seconds <= _LONGEST_S:
        raise ConfigurationError(
            f"{file} says {seconds!r} seconds, which no lab's clock can show",
            hint=hint,
            context=context,
        )
    if seconds < least_s:
        raise ConfigurationError(
            f"{file} says {seconds!r} seconds, and the lab's clock has shown {least_s!r} before",
            hint=hint,
            context=context,
        )
    return seconds
