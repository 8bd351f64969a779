"""A database of a stranger with hot backup and a write-ahead log by bytes, as PostgreSQL has them.

Written from the protocols alone. It never holds its writes: while the array copies, pages are half
written, members of the set are of different times, and old log segments vanish. What makes the
image whole are a label and the log from the beginning to the end of the backup, both late files.
Places in its log are bytes, there is none at every number, and each recovery opens a new timeline.
"""

from __future__ import annotations

import json
import re
import struct
import threading
import zlib
from pathlib import Path

from attrs import frozen

from frskit import Budget, Production, Recovery, compose
from frskit.errors import RecoveryPrecondition, StorageGroupNotRecognized, StoreError, WriterVeto
from frskit.local import DirectoryArray
from frskit.model.checks import CheckedFile, ComponentCheck, FileVerdict, IntegrityReport
from frskit.model.components import (
    BackupSchema,
    BackupType,
    Component,
    ComponentId,
    ComponentKind,
    LateFile,
    Quiesce,
    WriterFailure,
    WriterMetadata,
    WriterRecord,
)
from frskit.model.files import FileRole, FileSet
from frskit.model.ids import IdFactory
from frskit.model.log_points import LogPoint, LogRange
from frskit.model.plans import (
    ComponentInfo,
    ComponentStatus,
    DatabaseStatus,
    FileAction,
    FileActionKind,
    LogAnalysis,
    LogVerdict,
    OnlineReport,
    RecoveryMethod,
    RecoveryMode,
)
from frskit.model.server_paths import as_relative
from frskit.storage import ArrayCopyStore
from support.kv_party import CLOCK, PROD, VAULT, linux_server

WRITER_ID = "c1c7a8b0-1111-4a4a-9b9b-0d5b3f6b9a02"
PIT = RecoveryMode.POINT_IN_TIME
PAGE_BYTES, SEGMENT_BYTES, ROWS_PER_PAGE = 1024, 4096, 10
STOP_KINDS = frozenset({"time", "lsn", "name"})
_RECORD, _PAGE = struct.Struct(">QII"), struct.Struct(">IQI")
_TIME = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\+01")


def told(lsn):
    """A place as people write it."""
    return f"{lsn >> 32:X}/{lsn & 0xFFFFFFFF:X}"


def place(timeline, lsn):
    """A place in one timeline."""
    return LogPoint(rank=lsn, name=told(lsn), stream=f"timeline {timeline}")


def segment(timeline, lsn):
    """Name of the file that holds this byte of the log."""
    return f"{timeline:08X}{lsn // SEGMENT_BYTES:08X}"


def boundary(lsn):
    """Where the next segment begins, if this is not the beginning of one."""
    return -(-lsn // SEGMENT_BYTES) * SEGMENT_BYTES


def seal(facts):
    """A small file with its checksum."""
    text = json.dumps(facts)
    return f"{zlib.crc32(text.encode()):08x} {text}\n".encode()


def unseal(data):
    """What was sealed."""
    crc, _, text = data.decode().rstrip("\n").partition(" ")
    if not crc or f"{zlib.crc32(text.encode()):08x}" != crc:
        raise ValueError("bad checksum")
    return json.loads(text)


def pack_page(lsn, rows):
    """A page; the place of its last change stands at both ends, so that half a page shows."""
    body = json.dumps(rows).encode()
    rest = struct.pack(">QI", lsn, len(body)) + body
    rest = rest.ljust(PAGE_BYTES - 12, b"\0") + struct.pack(">Q", lsn)
    return struct.pack(">I", zlib.crc32(rest)) + rest


def unpack_page(data, name):
    """Place of the last change, and the rows."""
    if len(data) != PAGE_BYTES or zlib.crc32(data[4:]) != int.from_bytes(data[:4]):
        raise ValueError(f"page {name} is torn")
    _, lsn, length = _PAGE.unpack_from(data)
    rows = json.loads(data[_PAGE.size : _PAGE.size + length])
    return lsn, {int(key): value for key, value in rows.items()}


@frozen
class Target:
    """What a recovery signal says: where to stop, and whether the archive is asked."""

    kind: str = ""
    stop: str = ""
    archive: bool = True

    def before(self, lsn, kind, body):
        """Whether replay stops before this record."""
        if self.kind == "time":
            return kind == "row" and body["at"] > self.stop
        return self.kind == "lsn" and lsn > parse_lsn(self.stop)

    def after(self, kind, body, *, consistent):
        """Whether replay stops after this record."""
        if self.kind == "name":
            return kind == "name" and body["name"] == self.stop
        return self.kind == "immediate" and consistent


def parse_lsn(text):
    """The number of a place."""
    high, low = text.split("/")
    return (int(high, 16) << 32) + int(low, 16)


@frozen
class Walk:
    """Where a walk through the log ended, whether there the backup is whole, and why it ended."""

    end: int
    consistent: bool
    stopped: bool


def records(read, timeline, start):
    """The records of a timeline: place, place behind it, kind and body; up to the first hole."""
    lsn = start
    while (data := read(segment(timeline, lsn))) is not None:
        at = lsn % SEGMENT_BYTES
        if len(data) < at + _RECORD.size:
            if not at:
                return
            lsn = boundary(lsn + 1)
            continue
        told_lsn, length, crc = _RECORD.unpack_from(data, at)
        raw = data[at + _RECORD.size : at + _RECORD.size + length]
        if told_lsn != lsn or zlib.crc32(raw) != crc:
            return
        body = json.loads(raw)
        end = lsn + _RECORD.size + length
        yield lsn, end, body.pop("kind"), body
        lsn = end


def walk(read, timeline, start, target, label, apply=lambda *_: None):
    """Replay, or only look, from a place to the target or to the end."""
    end, consistent = start, label is None
    for lsn, behind, kind, body in records(read, timeline, start):
        if target.before(lsn, kind, body):
            return Walk(end, consistent, stopped=True)
        apply(lsn, kind, body)
        end = behind
        consistent = consistent or (kind == "end of backup" and body["start"] == label["start"])
        if target.after(kind, body, consistent=consistent):
            return Walk(end, consistent, stopped=True)
    return Walk(end, consistent, stopped=False)


def why_not(found, target):
    """What stands against a walk as a recovery; empty if nothing does."""
    if found.stopped and not found.consistent:
        return f"{target.kind} {target.stop} comes before the end of the backup"
    if not found.consistent:
        return f"the log ends at {told(found.end)}, before the end of the backup"
    if target.kind and not found.stopped:
        return f"the log ends at {told(found.end)}, before {target.kind} {target.stop}"
    return ""


class HotStore:
    """The database itself; it writes whenever it likes."""

    def __init__(self, data, wal, archive=None):
        self.data, self.wal, self.archive = Path(data), Path(wal), archive and Path(archive)
        self._lock = threading.RLock()
        self.online = False
        # Without it, pages that are torn in a copy stay so: for the test of the tests.
        self.full_pages = True
        self._seconds = 0
        self._clear()

    def _clear(self):
        self.pages, self.halves, self.imaged = {}, {}, set()
        self.dirty, self.backup = set(), None
        self.timeline, self.lsn, self.redo = 1, SEGMENT_BYTES, SEGMENT_BYTES

    @property
    def label(self):
        """Where a restored store begins."""
        return self.data / "label"

    @property
    def signal(self):
        """That it is restored, and where to stop."""
        return self.data / "recovery.signal"

    def now(self):
        """The application's own time; each row has a second of its own."""
        return f"2026-01-31 12:{self._seconds // 60:02}:{self._seconds % 60:02}+01"

    def page_path(self, number):
        """Where a page lies."""
        return self.data / "heap" / f"{number:04d}"

    def heap(self):
        """The files of pages; what a recovery keeps beside them for its undo is none of them."""
        return sorted(each for each in (self.data / "heap").iterdir() if each.name.isdigit())

    def rows(self):
        """All of them."""
        return {key: value for _, rows in self.pages.values() for key, value in rows.items()}

    # --- writing

    def create(self):
        """A new database, started."""
        for each in (self.data / "heap", self.wal, self.archive):
            each.mkdir(parents=True, exist_ok=True)
        self._write_control()
        self.start()

    def put(self, key, value):
        """One row."""
        with self._lock:
            if not self.online:
                raise RuntimeError("offline")
            self._seconds += 1
            number = key // ROWS_PER_PAGE
            lsn, rows = self.pages.get(number, (0, {}))
            if self.backup is not None and self.full_pages and number not in self.imaged:
                self._append("page", number=number, rows=rows)
                self.imaged.add(number)
            lsn = self._append("row", key=key, value=value, at=self.now())
            self.pages[number] = (lsn, {**rows, key: value})
            self.dirty.add(number)
            return lsn

    def fill(self, first, last, value="v"):
        """Rows of these keys."""
        for key in range(first, last):
            self.put(key, value)

    def restore_point(self, name):
        """A name in the log."""
        with self._lock:
            self._append("name", name=name)

    def checkpoint(self):
        """All pages to the disk; segments that nobody here needs any more are recycled."""
        with self._lock:
            self.start_flush()
            self.end_flush()
            self.redo = self.lsn
            self._append("checkpoint")
            self._write_control()
            for each in self.wal.iterdir():
                old = re.fullmatch(r"[0-9A-F]{16}", each.name) and (
                    each.name[:8] == f"{self.timeline:08X}"
                    and int(each.name[8:], 16) < self.redo // SEGMENT_BYTES
                )
                if old and self._archived(each.name):
                    each.unlink()

    def start_flush(self):
        """The first half of each page that has to be written; whoever copies now copies it torn."""
        with self._lock:
            self.end_flush()
            for number in sorted(self.dirty):
                data = pack_page(*self.pages[number])
                path = self.page_path(number)
                with path.open("r+b" if path.exists() else "wb") as file:
                    file.write(data[: PAGE_BYTES // 2])
                self.halves[number] = data[PAGE_BYTES // 2 :]
            self.dirty.clear()

    def end_flush(self):
        """And the other half."""
        with self._lock:
            for number, rest in self.halves.items():
                with self.page_path(number).open("r+b") as file:
                    file.seek(PAGE_BYTES // 2)
                    file.write(rest)
            self.halves.clear()

    def switch(self):
        """Close the segment; a closed one goes to the archive."""
        with self._lock:
            name = segment(self.timeline, self.lsn)
            if self.lsn % SEGMENT_BYTES:
                self._archive(name, (self.wal / name).read_bytes())
            self.lsn = boundary(self.lsn)

    def _append(self, kind, **body):
        raw = json.dumps({"kind": kind, **body}).encode()
        size = _RECORD.size + len(raw)
        # No record lies in two segments: there is no place at every number.
        if self.lsn % SEGMENT_BYTES + size > SEGMENT_BYTES:
            self.switch()
        lsn = self.lsn
        with (self.wal / segment(self.timeline, lsn)).open("ab") as file:
            file.write(_RECORD.pack(lsn, len(raw), zlib.crc32(raw)) + raw)
        self.lsn += size
        if self.lsn % SEGMENT_BYTES == 0:
            name = segment(self.timeline, lsn)
            self._archive(name, (self.wal / name).read_bytes())
        return lsn

    def _archive(self, name, data):
        if self.archive is not None:
            new = self.archive / f"{name}.new"
            new.write_bytes(data)
            new.replace(self.archive / name)

    def _archived(self, name):
        return self.archive is not None and (self.archive / name).exists()

    def _write_control(self):
        new = self.data / "control.new"
        new.write_bytes(seal({"timeline": self.timeline, "redo": self.redo}))
        new.replace(self.data / "control")

    # --- backup

    def start_backup(self):
        """From here on the first change of each page goes into the log as a whole page."""
        with self._lock:
            self.checkpoint()
            self.backup, self.imaged = self.redo, set()

    def stop_backup(self):
        """Label, first and last place; the log between them is in the archive."""
        with self._lock:
            start = self.backup
            self._append("end of backup", start=start)
            end = self.lsn
            self.cancel_backup()
            self.switch()
            return seal({"start": start, "timeline": self.timeline}), start, end

    def cancel_backup(self):
        """No backup any more."""
        with self._lock:
            self.end_flush()
            self.backup, self.imaged = None, set()

    # --- starting

    def stop(self):
        """Everything to the disk, as far as there is one."""
        with self._lock:
            if self.online:
                self.online = False
                self.backup = None
                self.checkpoint()

    def start(self):
        """Recover if there is something to recover; first and last place that was replayed."""
        with self._lock:
            if self.online:
                return None
            seconds, self._seconds = self._seconds, 0
            self._clear()
            try:
                found = self._recover()
            except BaseException:
                self._seconds = seconds
                raise
            self._seconds = max(seconds, self._seconds)
            self.online = True
            return found

    def _recover(self):
        control = unseal((self.data / "control").read_bytes())
        restored = self.label.exists() or self.signal.exists()
        label = unseal(self.label.read_bytes()) if self.label.exists() else None
        target = Target(archive=restored)
        if self.signal.exists():
            target = Target(**json.loads(self.signal.read_bytes()))
        start = control["redo"] if label is None else label["start"]
        self.timeline = (label or control)["timeline"]
        read = self.reader(archive=target.archive)
        found = walk(read, self.timeline, start, target, label, self._apply)
        problem = why_not(found, target)
        if problem:
            raise ValueError(problem)
        for path in self.heap():
            if int(path.name) not in self.pages:
                self.pages[int(path.name)] = unpack_page(path.read_bytes(), path.name)
        replayed = (place(self.timeline, start), place(self.timeline, found.end))
        # A segment that was closed stays closed.
        closed = self._archived(segment(self.timeline, found.end))
        self.lsn = boundary(found.end) if closed else found.end
        if restored:
            self._new_timeline(found.end)
        self.checkpoint()
        # The last thing: until then the same start can be made again.
        self.signal.unlink(missing_ok=True)
        self.label.unlink(missing_ok=True)
        return replayed

    def _apply(self, lsn, kind, body):
        if kind == "page":
            rows = {int(key): value for key, value in body["rows"].items()}
            self.pages[body["number"]] = (lsn, rows)
        elif kind == "row":
            self._seconds = max(self._seconds, int(body["at"][14:16]) * 60 + int(body["at"][17:19]))
            number = body["key"] // ROWS_PER_PAGE
            if number not in self.pages and self.page_path(number).exists():
                data = self.page_path(number).read_bytes()
                self.pages[number] = unpack_page(data, number)
            changed, rows = self.pages.get(number, (0, {}))
            if changed < lsn:
                self.pages[number] = (lsn, {**rows, body["key"]: body["value"]})
                self.dirty.add(number)
        self.dirty.update([body["number"]] if kind == "page" else [])

    def reader(self, *, archive=True, other=lambda _: None):
        """Finds segments: in the archive, in the log's directory, elsewhere."""

        def read(name):
            for where in (self.archive if archive else None, self.wal):
                if where is not None and (where / name).exists():
                    return (where / name).read_bytes()
            return other(name)

        return read

    def _new_timeline(self, end):
        parent = self.timeline
        self.timeline = max(self.timelines() | {parent}) + 1
        history = seal({"parent": parent, "end": end})
        (self.wal / f"{self.timeline:08X}.history").write_bytes(history)
        self._archive(f"{self.timeline:08X}.history", history)
        self.lsn = boundary(end)

    def timelines(self):
        """All that were begun by a recovery."""
        return {
            int(path.stem, 16)
            for where in (self.archive, self.wal)
            if where is not None and where.exists()
            for path in where.glob("*.history")
        }


class HotWriter:
    """The backup mode as a writer: begun long before the instant, ended long after."""

    name = "ledger"

    def __init__(self, store, quiesce=Quiesce.ANY_ORDER):
        self.store, self.quiesce = store, quiesce
        self._instance = IdFactory().guid()
        self._session = None
        # What the application does between the beginning of the mode and the freeze, and while the
        # array copies, and after it.
        self.before = self.meanwhile = self.after = lambda: None

    @property
    def component(self):
        """The one component."""
        return Component(
            id=ComponentId(writer_id=WRITER_ID, logical_path="", name=self.name),
            kind=ComponentKind.DATABASE,
            selectable=True,
            selectable_for_restore=True,
            notify_on_backup_complete=True,
            files=(
                FileSet(path=str(self.store.data), pattern="*", recursive=True),
                FileSet(path=str(self.store.wal), pattern="*", role=FileRole.LOG),
            ),
        )

    def identify(self, **_):
        """Its description."""
        return WriterMetadata(
            writer_id=WRITER_ID,
            instance_id=self._instance,
            name="Ledger",
            components=(self.component,),
            schema=frozenset({BackupSchema.COPY}),
            freeze_timeout_s=20.0,
            quiesce=self.quiesce,
        )

    def prepare_backup(self, session, **_):
        """One backup at a time."""
        if self._session not in (None, session.session_id):
            raise WriterVeto(
                "a backup is in progress", retryable=True, native=WriterFailure.RETRYABLE.value
            )
        self._session = session.session_id

    def _mine(self, session):
        """Events of a session that was never prepared are refused."""
        if self._session != session.session_id:
            raise WriterVeto(
                "no backup of this session is in progress", native=WriterFailure.NONRETRYABLE.value
            )

    def prepare_snapshot(self, session, **_):
        """The backup mode begins."""
        self._mine(session)
        for each in self.component.files:
            if not session.covers(each.path):
                raise WriterVeto(
                    f"{each.path} is not in the set", native=WriterFailure.NONRETRYABLE.value
                )
        self.store.start_backup()
        self.before()

    def freeze(self, session, *, budget):
        """Nothing is held: the store is in the middle of writing its pages."""
        self._mine(session)
        self.store.start_flush()

    def thaw(self, session, **_):
        """The mode must have lasted."""
        self._mine(session)
        self.store.end_flush()
        if self.store.backup is None:
            raise WriterVeto("the backup mode ended", native=WriterFailure.NONRETRYABLE.value)

    def post_snapshot(self, session, **_):
        """The label as content, and every segment from beginning to end out of the archive."""
        self._mine(session)
        self.after()
        label, start, end = self.store.stop_backup()
        owner, line = self.component.id, self.store.timeline
        late = [LateFile(component=owner, path=str(self.store.label), content=label)]
        for number in range(start // SEGMENT_BYTES, (end - 1) // SEGMENT_BYTES + 1):
            name = segment(line, number * SEGMENT_BYTES)
            late.append(
                LateFile(
                    component=owner,
                    path=str(self.store.wal / name),
                    role=FileRole.LOG,
                    source=str(self.store.archive / name),
                    log=place(line, number * SEGMENT_BYTES),
                )
            )
        needed = LogRange(first=place(line, start), last=place(line, end))
        return [
            WriterRecord(component=each, stamp=told(end), late=tuple(late), logs_needed=needed)
            for each in session.components
        ]

    def backup_complete(self, session, **_):
        """It recycles its log by itself."""

    def backup_shutdown(self, session):
        """The end."""
        self.abort(session)

    def abort(self, session):
        """No backup of this session any more; one of another session goes on."""
        if self._session != session.session_id:
            return
        self._session = None
        self.store.cancel_backup()

    def pre_restore(self, session, **_):
        """Only while it is down."""
        if self.store.online:
            raise WriterVeto("the store is online", native=WriterFailure.NONRETRYABLE.value)

    def post_restore(self, session, **_):
        """The start recovers."""


class HotApplication:
    """The recovery side: point in time, forward, and forward to a time, a place or a name."""

    name = "Ledger"

    def __init__(self, writer, server):
        self.writer, self.store, self.server = writer, writer.store, server

    def components(self, *, budget):
        """The one component."""
        return (
            ComponentInfo(
                name=self.writer.name,
                id=self.writer.component.id,
                owner=self.server,
                databases=("rows",),
                paths=(
                    (FileRole.DATABASE, str(self.store.data)),
                    (FileRole.LOG, str(self.store.wal)),
                ),
                stop_kinds=STOP_KINDS,
            ),
        )

    def analyze(self, component, copy, target, **_):
        """What a walk through the log finds, as the recovery will make it."""
        wanted = self._target(target)
        if copy is None:
            store = self.store
            return LogAnalysis(
                target=target, verdict=LogVerdict.OK, reaches=place(store.timeline, store.lsn)
            )
        label = self._label(copy)
        line, start = label["timeline"], label["start"]
        read = self.store.reader(archive=wanted.archive, other=self._in_copy(copy))
        if target.mode is PIT:
            read = self._in_copy(copy)
        found = walk(read, line, start, wanted, label)
        (record,) = copy.copy.records
        problem, ends = why_not(found, wanted), place(line, found.end)
        if problem:
            return LogAnalysis(
                target=target,
                verdict=LogVerdict.IMPOSSIBLE,
                needed=record.logs_needed,
                gap_at=None if found.stopped else ends,
                reason=problem,
            )
        newest = max(self.store.timelines(), default=1)
        forked = newest > line and not found.stopped
        return LogAnalysis(
            target=target,
            verdict=LogVerdict.PARTIAL if forked else LogVerdict.OK,
            reaches=ends,
            needed=record.logs_needed,
            gap_at=place(newest, boundary(found.end)) if forked else None,
            reason=f"timeline {newest} was begun since by a recovery" if forked else "",
        )

    def file_actions(self, component, copy, target, method, **_):
        """Late files, the signal, and for a copy back the image and what it does not have."""
        kinds = FileActionKind
        late = [each.path for each in copy.copy.late]
        signal = json.dumps(
            {
                "kind": "immediate" if target.mode is PIT else target.stop_kind,
                "stop": target.stop,
                "archive": target.mode is not PIT,
            }
        )
        paths, stale = [], []
        if method is RecoveryMethod.COPY_BACK:
            data, logs = self.writer.component.files
            paths = [path for path, _ in copy.find(data)]
            # Pages that are not on the disk yet will be, once the store has gone offline.
            pages = [self.store.page_path(each) for each in self.store.pages]
            stale = [*_files(self.store.data), *map(str, pages)]
            if target.mode is PIT:
                paths += [path for path, _ in copy.find(logs)]
                stale += _files(self.store.wal)
                # A store that is up writes one more record as it goes down, perhaps in a new file.
                ahead = (0, SEGMENT_BYTES) if self.store.online else ()
                names = (segment(self.store.timeline, self.store.lsn + each) for each in ahead)
                stale += [str(self.store.wal / each) for each in names]
        paths = dict.fromkeys((*paths, *late))
        stale = sorted({each for each in stale if each not in paths})
        return (
            *(FileAction(kind=kinds.DELETE, path=each) for each in stale),
            *(FileAction(kind=kinds.COPY_IN, path=each) for each in paths),
            FileAction(
                kind=kinds.CREATE,
                path=str(self.store.signal),
                content=signal.encode(),
                mode=0o600,
            ),
        )

    def take_offline(self, component, *, for_restore, budget):
        """No flag is needed."""
        self.store.stop()

    def bring_online(self, component, *, budget):
        """Replay."""
        try:
            replayed = self.store.start()
        except (ValueError, OSError) as error:
            raise StoreError(f"the store does not start: {error}") from error
        return OnlineReport(
            status=self.status(component, budget=budget),
            replayed=replayed and LogRange(first=replayed[0], last=replayed[1]),
        )

    def status(self, component, *, budget):
        """Whatever it is."""
        if component.casefold() != self.writer.name:
            raise StorageGroupNotRecognized(f"no {component}")
        up = self.store.online
        rows = DatabaseStatus(
            name="rows",
            state="mounted" if up else "dismounted",
            items=len(self.store.rows()) if up else None,
        )
        current = place(self.store.timeline, self.store.lsn) if up else None
        return ComponentStatus(
            name=component, databases=(rows,), current_log=current, lowest_log=current, unit="rows"
        )

    def _target(self, target):
        """The application's own form of a target."""
        if target.mode is PIT:
            return Target("immediate", archive=False)
        if target.stop and target.stop_kind not in STOP_KINDS:
            raise RecoveryPrecondition(f"{self.name} knows no {target.stop_kind}")
        form = {"time": _TIME, "lsn": re.compile("[0-9A-F]+/[0-9A-F]+")}.get(target.stop_kind)
        if form is not None and not form.fullmatch(target.stop):
            raise RecoveryPrecondition(f"{target.stop} is no {target.stop_kind}")
        return Target(target.stop_kind, target.stop)

    def _label(self, copy):
        path = str(self.store.label)
        found = copy.find(FileSet(path=str(self.store.data), pattern="label"))
        if [each for each, _ in found] != [path]:
            raise RecoveryPrecondition(f"the copy has no {path}")
        return unseal(_whole(found[0][1]))

    def _in_copy(self, copy):
        held = {Path(path).name: ref for path, ref in copy.find(self.writer.component.files[1])}
        return lambda name: _whole(held[name]) if name in held else None


class HotChecker:
    """Lets a throw-away store recover from the copy alone, and then reads every page."""

    name = "ledger checker 1"

    def available(self, server):
        """It must see files: only on this machine."""
        return server.runner is not None

    def check(self, target, *, executor, progress, budget):
        """Judge the one component."""
        (component,) = target.components
        (record,) = target.copy.records
        problem = self._rehearse(target, component)
        files = []
        for wanted in component.files:
            for path, ref in target.find(wanted):
                name = Path(path).name
                is_segment = wanted.role is FileRole.LOG and re.fullmatch(r"[0-9A-F]{16}", name)
                begins = int(name[8:], 16) * SEGMENT_BYTES if is_segment else 0
                files.append(
                    CheckedFile(
                        component=component.id,
                        path=path,
                        role=wanted.role,
                        verdict=FileVerdict.OK,
                        size_bytes=ref.size_bytes,
                        log=place(int(name[:8], 16), begins) if is_segment else None,
                    )
                )
        check = ComponentCheck(
            component=component.id,
            image_ok=not problem,
            truncation_ok=False,
            problems=(problem,) if problem else (),
            logs_held=record.logs_needed,
            logs_needed=record.logs_needed,
            recycles_logs=True,
        )
        return IntegrityReport(checker=self.name, components=(check,), files=tuple(files))

    def _rehearse(self, target, component):
        with target.scratch(with_copy=True) as place:
            data, wal = (Path(place.path) / as_relative(each.path) for each in component.files)
            clone = HotStore(data, wal)
            signal = {"kind": "immediate", "stop": "", "archive": False}
            clone.signal.write_text(json.dumps(signal))
            try:
                clone.start()
                for each in clone.heap():
                    unpack_page(each.read_bytes(), each.name)
            except (ValueError, OSError) as error:
                return str(error)
        return ""


class BusyArray(DirectoryArray):
    """Copies one member after the other, and somebody writes in between."""

    between = staticmethod(lambda number: None)

    def _make_member(self, records, staged, number, now, budget):
        made = super()._make_member(records, staged, number, now, budget)
        self.between(number)
        return made


class HotWorld:
    """A site of two servers of this machine, three volumes, and the database; a context manager.

    The archive has a volume of its own and is in no copy.
    """

    def __init__(self, root, *, quiesce=Quiesce.ANY_ORDER):
        self.root, self.quiesce = root, quiesce
        self.array = BusyArray(root / "array", clock=CLOCK, hosts=(PROD, VAULT))
        self.machine, service = linux_server(PROD, root, self.array)
        budget, at = Budget.of(CLOCK), {}
        for name in ("data", "wal", "archive"):
            disk = self.array.add_storage(name)
            self.array.present(disk, PROD, read_only=False, budget=budget)
            at[disk] = name
        self.machine.rescan(budget=budget)
        self.machine.attach(at, read_only=False, budget=budget)
        mounts = self.machine.mounts
        self.store = HotStore(*(mounts / name / "ledger" for name in ("data", "wal", "archive")))
        self.store.create()
        self.writer = HotWriter(self.store, quiesce)
        self.array.between = lambda _: self.writer.meanwhile()
        service.register_writer(self.writer)
        vault, vault_service = linux_server(VAULT, root, self.array)
        self.application = HotApplication(self.writer, self.machine.name)
        production = Production(
            server=self.machine,
            service=service,
            application=self.application,
            checker=HotChecker(),
            store=ArrayCopyStore(self.array),
        )
        self.site = compose(
            productions=[production],
            recovery=Recovery(server=vault, service=vault_service, mount_root=str(vault.mounts)),
            clock=CLOCK,
            state=root / "state",
        )
        self.frs = self.site.frs

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.site.close()

    def copy(self, backup_type=BackupType.COPY):
        """A copy of the database."""
        return self.frs.create_copy(PROD, ["ledger"], backup_type=backup_type)

    def recover(self, copy, mode=PIT, method=RecoveryMethod.SWAP, **stop):
        """Plan and recover."""
        return self.frs.recover(self.frs.plan_recovery(copy.id, mode=mode, method=method, **stop))

    def files(self):
        """Every file of production with its bytes, but for the archive."""
        return {
            each: Path(each).read_bytes()
            for where in (self.store.data, self.store.wal)
            for each in _files(where)
        }

    def blobs(self):
        """Names of the late files that the site keeps."""
        return {each.name for each in (self.root / "state" / "late").glob("??/*")}


def _files(where):
    return sorted(str(each) for each in where.rglob("*") if each.is_file())


def _whole(ref):
    with ref.open() as file:
        return file.read_at(0, file.size_bytes)
