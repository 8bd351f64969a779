"""A writer, an application and a checker for a program that keeps its data in SQLite.

The writer is the five methods that `WriterBase` asks for. Its hold is ``BEGIN IMMEDIATE``: readers
go on, writers wait, and no half-written transaction is in the file. POSIX record locks belong to a
*process* and vanish when that process closes any descriptor of the file, as a copying array does;
so the hold lives in a small process of its own. It lets go by itself when its window has passed or
when its parent dies.
"""

from __future__ import annotations

import contextlib
import select
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from frskit.spi import (
    ApplicationBase,
    BackupSchema,
    CheckedFile,
    Component,
    ComponentCheck,
    ComponentId,
    ComponentInfo,
    ComponentStatus,
    DatabaseStatus,
    FileRole,
    FileSet,
    FileVerdict,
    IdFactory,
    IntegrityReport,
    OnlineReport,
    StorageGroupNotRecognized,
    WriterBase,
    WriterFailure,
    WriterMetadata,
    WriterVeto,
)

if TYPE_CHECKING:
    from frskit.spi import Application, IntegrityChecker, Writer

WRITER_ID = "7ad9c0a1-5d0c-4f6b-9d58-3a3f6d1c2b10"
WINDOW_S = 20.0
HOLDER = """
import select, sqlite3, sys
database = sqlite3.connect(sys.argv[1], timeout=float(sys.argv[2]), isolation_level=None)
database.execute("BEGIN IMMEDIATE")
print("held", flush=True)
asked = bool(select.select([sys.stdin], [], [], float(sys.argv[2]))[0])
database.execute("ROLLBACK")
database.close()
print("released" if asked else "too late", flush=True)
"""


def component_of(path: Path) -> Component:
    """One database file, in the rollback-journal mode that SQLite has by default."""
    return Component(
        id=ComponentId(writer_id=WRITER_ID, logical_path="", name=path.stem),
        selectable=True,
        selectable_for_restore=True,
        notify_on_backup_complete=True,
        files=(FileSet(path=str(path.parent), pattern=path.name, role=FileRole.DATABASE),),
    )


class SqliteWriter(WriterBase):
    """Represents one database at the shadow copy service."""

    def __init__(self, path: Path, *, ids: IdFactory | None = None) -> None:
        self.path = path
        self._instance = (ids or IdFactory()).guid()
        self._holder: subprocess.Popen[str] | None = None

    def identify(self, *, budget) -> WriterMetadata:
        return WriterMetadata(
            writer_id=WRITER_ID,
            instance_id=self._instance,
            name="SQLite",
            components=(component_of(self.path),),
            schema=frozenset({BackupSchema.COPY}),
            freeze_timeout_s=WINDOW_S,
        )

    def prepare_snapshot(self, session, *, budget) -> None:
        if not session.covers(str(self.path)):
            raise WriterVeto(f"{self.path} is on no volume of the set", retryable=False)

    def freeze(self, session, *, budget) -> None:
        if self._holder is not None:
            raise WriterVeto(
                f"{self.path} is held for another backup",
                native=WriterFailure.RETRYABLE.value,
                retryable=True,
            )
        remaining_s = budget.at_most(WINDOW_S).remaining_s()
        command = [sys.executable, "-c", HOLDER, str(self.path), str(remaining_s)]
        pipe = subprocess.PIPE
        self._holder = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        if self._answer(remaining_s) != "held":
            self.abort(session)
            raise WriterVeto(f"{self.path} could not be locked", retryable=True)

    def thaw(self, session, *, budget) -> None:
        if self._holder is None or self._holder.stdin is None:
            raise self._lost()
        with contextlib.suppress(BrokenPipeError):
            self._holder.stdin.write("release\n")
            self._holder.stdin.flush()
        answer = self._answer(WINDOW_S)
        self.abort(session)
        if answer != "released":
            raise self._lost()

    def _lost(self) -> WriterVeto:
        return WriterVeto(
            f"the lock of {self.path} was lost; the copy must not be trusted",
            native=WriterFailure.TIMEOUT.value,
            retryable=True,
        )

    def abort(self, session) -> None:
        holder, self._holder = self._holder, None
        if holder is not None:
            holder.kill()
            holder.communicate()

    def _answer(self, timeout_s) -> str:
        pipe = self._holder.stdout if self._holder else None
        try:
            if pipe is None or not select.select([pipe], [], [], timeout_s)[0]:
                return ""
            return pipe.readline().strip()
        except ValueError:  # closed by an abort from another thread: there is no lock any more
            return ""


class SqliteApplication(ApplicationBase):
    """The recovery side: whole files, to the point in time of the copy."""

    def __init__(self, path: Path, *, server: str) -> None:
        self.path, self.server, self.name = path, server, "SQLite"

    def components(self, *, budget):
        database = str(self.path)
        return (
            ComponentInfo(
                name=self.path.stem,
                id=component_of(self.path).id,
                owner=self.server,
                databases=(self.path.name,),
                paths=((FileRole.DATABASE, database),),
            ),
        )

    def restorable(self, component, copy):
        files = component_of(self.path).files
        return [path for each in files for path, _ in copy.find(each)]

    def take_offline(self, component, *, for_restore, budget) -> None:
        """Nothing runs between statements: every connection of this program is short."""

    def bring_online(self, component, *, budget) -> OnlineReport:
        return OnlineReport(status=self.status(component, budget=budget))

    def status(self, component, *, budget) -> ComponentStatus:
        if component.casefold() != self.path.stem.casefold():
            raise StorageGroupNotRecognized(f"there is no {component!r} here")
        problem = damage(self.path)
        state = "damaged" if problem else "mounted"
        return ComponentStatus(
            name=component,
            databases=(DatabaseStatus(name=self.path.name, state=state, detail=problem),),
        )


class SqliteChecker:
    """Copies each database of the copy aside and lets SQLite look at every page."""

    name = f"sqlite {sqlite3.sqlite_version} integrity_check"

    def available(self, server) -> bool:
        return True

    def check(self, target, *, executor, progress, budget) -> IntegrityReport:
        files = []
        for each in target.components:
            for wanted in each.files:
                budget.check("checking")
                found = target.find(wanted)
                files += [self._judge(each.id, path, ref) for path, ref in found] or [
                    CheckedFile(
                        component=each.id,
                        path=f"{wanted.path}/{wanted.pattern}",
                        role=wanted.role,
                        verdict=FileVerdict.MISSING,
                    )
                ]
        return IntegrityReport(
            checker=self.name,
            components=tuple(self._verdict(each.id, files) for each in target.copy.selected),
            files=tuple(files),
        )

    def _judge(self, owner, path, ref) -> CheckedFile:
        with tempfile.TemporaryDirectory() as scratch, ref.open() as source:
            copy = Path(scratch) / "copy.db"
            with copy.open("wb") as file:
                for offset in range(0, source.size_bytes, 1 << 20):
                    file.write(source.read_at(offset, 1 << 20))
            problem = damage(copy)
        return CheckedFile(
            component=owner,
            path=path,
            role=FileRole.DATABASE,
            verdict=FileVerdict.DAMAGED if problem else FileVerdict.OK,
            detail=problem,
            size_bytes=source.size_bytes,
        )

    def _verdict(self, selected, files) -> ComponentCheck:
        mine = [each for each in files if each.component == selected]
        problems = [f"{x.path}: {x.detail}" for x in mine if x.verdict is not FileVerdict.OK]
        good = bool(mine) and not problems
        return ComponentCheck(
            component=selected, image_ok=good, truncation_ok=good, problems=tuple(problems)
        )


def damage(path: Path) -> str:
    """What SQLite finds wrong with a database; empty if nothing."""
    try:
        with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
            first = database.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if first == "ok" else str(first).splitlines()[-1]


if TYPE_CHECKING:
    _writer: type[Writer] = SqliteWriter
    _application: type[Application] = SqliteApplication
    _checker: type[IntegrityChecker] = SqliteChecker
