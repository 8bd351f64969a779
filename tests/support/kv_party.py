"""A key-value store of a stranger: writer, application and checker that share no code with frskit's.

Written from the protocols alone. One data file and write-ahead logs by generation; each line has its
own checksum. The writer holds the store while the copies are made; a *hot* one names what came after
the instant as late files: the log that was being written, and a label that a restored store needs.
"""

from __future__ import annotations

import json
import threading
import zlib
from pathlib import Path

from frskit import Budget, Production, Recovery, SystemClock, compose
from frskit.errors import StorageGroupNotRecognized, StoreError, WriterVeto
from frskit.hosts import LinuxServer
from frskit.local import DirectoryArray
from frskit.model.checks import CheckedFile, ComponentCheck, FileVerdict, IntegrityReport
from frskit.model.components import (
    BackupSchema,
    BackupType,
    Component,
    ComponentId,
    ComponentKind,
    LateFile,
    WriterFailure,
    WriterMetadata,
    WriterRecord,
)
from frskit.model.files import FileRole, FileSet
from frskit.model.ids import HostRef, IdFactory
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
from frskit.storage import ArrayCopyStore
from frskit.vss import ArrayProvider, Coordinator

WRITER_ID = "5b8f2c11-64c5-4f1e-8f0b-0d5b3f6b9a01"
WINDOW_S = 20.0
CLOCK = SystemClock()
PROD, VAULT = HostRef("prod"), HostRef("vault")
PIT = RecoveryMode.POINT_IN_TIME


class Held(Exception):
    """The store is frozen; the application must wait."""


def seal(text):
    """A line with its checksum."""
    return f"{zlib.crc32(text.encode()):08x} {text}\n"


def unseal(line):
    """The text of a line."""
    crc, _, text = line.rstrip("\n").partition(" ")
    if not crc or f"{zlib.crc32(text.encode()):08x}" != crc:
        raise ValueError("bad checksum")
    return text


def parse_store(data):
    """First log that is needed, and the content."""
    facts = json.loads(unseal(data.decode()))
    return int(facts["next"]), dict(facts["kv"])


def parse_wal(data):
    """The changes of a log."""
    return [tuple(json.loads(unseal(line))) for line in data.decode().splitlines(keepends=True)]


def generation(name):
    """The number of a log."""
    return int(Path(name).name.removeprefix("wal-").removesuffix(".log"))


def whole(ref):
    """All bytes of a file of the copy."""
    with ref.open() as file:
        return file.read_at(0, file.size_bytes)


class KvStore:
    """The application itself."""

    def __init__(self, data, logs, clock):
        self.data, self.logs, self.clock = data, logs, clock
        self._lock = threading.RLock()
        self.held_until = None
        self.lost_hold = False
        self.kv = {}
        self.online = False
        self.current = 1

    @property
    def path(self):
        """The data file."""
        return self.data / "store.kv"

    @property
    def label(self):
        """What a store that was restored from a hot copy finds, once."""
        return self.data / "label"

    def wals(self):
        """Generations on disk."""
        return sorted(generation(each.name) for each in self.logs.glob("wal-*.log"))

    def wal(self, number):
        """Path of a log."""
        return self.logs / f"wal-{number:08d}.log"

    def create(self):
        """A new store, started."""
        self.data.mkdir(exist_ok=True)
        self.logs.mkdir(exist_ok=True)
        self._write_store(1, {})
        self.wal(1).touch()
        self.start()

    def start(self):
        """Replay the logs; the first and last generation that was."""
        with self._lock:
            if self.online:
                return None
            first, kv = parse_store(self.path.read_bytes())
            have = [each for each in self.wals() if each >= first]
            if have and have != list(range(first, have[-1] + 1)):
                raise ValueError(f"logs {have} are not in sequence from {first}")
            if self.label.exists():
                last = json.loads(unseal(self.label.read_text()))["last"]
                if not have or have[-1] < last or not self.wal(last).read_bytes():
                    raise ValueError(f"log {last} ends the backup, and it is not there")
                self.label.unlink()
            for each in have:
                kv.update(parse_wal(self.wal(each).read_bytes()))
            self.kv, self.current = kv, (have[-1] if have else first)
            self.wal(self.current).touch()
            self.online, self.held_until, self.lost_hold = True, None, False
            return (have[0], have[-1]) if have else None

    def stop(self):
        """Close everything."""
        with self._lock:
            self.online = False

    def put(self, key, value):
        """One change."""
        with self._lock:
            if not self.online:
                raise RuntimeError("offline")
            if self.held_until is not None:
                if self.clock.monotonic() < self.held_until:
                    raise Held
                self.held_until, self.lost_hold = None, True
            with self.wal(self.current).open("a") as file:
                file.write(seal(json.dumps([key, value])))
            self.kv[key] = value

    def fill(self, count, prefix):
        """Many changes."""
        for number in range(count):
            self.put(f"{prefix}{number}", "x" * 20)

    def checkpoint(self):
        """Everything into the data file, and a new log."""
        with self._lock:
            self.switch()
            self._write_store(self.current, self.kv)

    def switch(self):
        """A new log."""
        with self._lock:
            self.current += 1
            self.wal(self.current).touch()

    def hold(self, seconds):
        """Let nobody write; ends by itself."""
        with self._lock:
            self.held_until, self.lost_hold = self.clock.monotonic() + seconds, False

    def release(self):
        """End the hold; whether it was kept until now."""
        with self._lock:
            kept = (
                self.held_until is not None
                and not self.lost_hold
                and self.clock.monotonic() < self.held_until
            )
            self.held_until, self.lost_hold = None, False
            return kept

    def truncate_below(self, bound):
        """Delete logs."""
        with self._lock:
            for each in self.wals():
                if each < bound:
                    self.wal(each).unlink()

    def _write_store(self, first, kv):
        new = self.path.with_suffix(".new")
        new.write_text(seal(json.dumps({"next": first, "kv": kv})))
        new.replace(self.path)


class KvWriter:
    """The store's writer; `hot` makes it name what came after the instant."""

    def __init__(self, store, *, hot=False, name="kv"):
        self.store, self.hot, self.name = store, hot, name
        self._instance = IdFactory().guid()
        self._session = self._bound = None
        self._frozen = False
        # What a test does to the records before they are handed over.
        self.twist = lambda records: records
        # What happens at production between the thaw and the end of the backup.
        self.meanwhile = lambda: None

    @property
    def component(self):
        """The one component."""
        late = (FileSet(path=str(self.store.data), pattern="label", role=FileRole.CONFIG),)
        return Component(
            id=ComponentId(writer_id=WRITER_ID, logical_path="", name=self.name),
            kind=ComponentKind.DATABASE,
            selectable=True,
            selectable_for_restore=True,
            notify_on_backup_complete=True,
            files=(
                FileSet(path=str(self.store.data), pattern="store.kv", role=FileRole.DATABASE),
                FileSet(path=str(self.store.logs), pattern="wal-*.log", role=FileRole.LOG),
                *(late if self.hot else ()),
            ),
        )

    def identify(self, **_):
        """Its description."""
        return WriterMetadata(
            writer_id=WRITER_ID,
            instance_id=self._instance,
            name="KV",
            components=(self.component,),
            schema=frozenset({BackupSchema.COPY}),
            freeze_timeout_s=WINDOW_S,
        )

    def prepare_backup(self, session, **_):
        """One backup at a time."""
        if self._session not in (None, session.session_id):
            raise WriterVeto(
                "another backup is in progress",
                retryable=True,
                native=WriterFailure.RETRYABLE.value,
            )
        self._session = session.session_id

    def prepare_snapshot(self, session, **_):
        """Little to replay."""
        self.store.checkpoint()

    def freeze(self, session, *, budget):
        """Hold the store."""
        self.store.switch()
        self._bound, _ = parse_store(self.store.path.read_bytes())
        self._frozen = True
        left = budget.at_most(WINDOW_S).remaining_s()
        self.store.hold(WINDOW_S if left is None else left)

    def thaw(self, session, **_):
        """Let it write."""
        if not self._frozen:
            return
        self._frozen = False
        if not self.store.release():
            raise WriterVeto("the hold was lost", native=WriterFailure.TIMEOUT.value)

    def post_snapshot(self, session, **_):
        """A stamp, and for a hot copy the log that ends it, and its label."""
        bound = self._bound or 1
        late = ()
        if self.hot:
            self.meanwhile()
            last = self.store.current
            self.store.switch()
            late = (
                LateFile(
                    component=self.component.id,
                    path=str(self.store.wal(last)),
                    role=FileRole.LOG,
                    source=str(self.store.wal(last)),
                ),
                LateFile(
                    component=self.component.id,
                    path=str(self.store.label),
                    content=seal(json.dumps({"last": last})).encode(),
                ),
            )
        return self.twist(
            [
                WriterRecord(component=each, stamp=f"gen-{bound}", late=late)
                for each in session.components
            ]
        )

    def backup_complete(self, session, **_):
        """Truncate after success."""
        if (
            session.backup_type in (BackupType.FULL, BackupType.INCREMENTAL)
            and all(session.succeeded.get(each, False) for each in session.components)
            and self._bound is not None
        ):
            self.store.truncate_below(self._bound)

    def backup_shutdown(self, session):
        """The end."""
        self.abort(session)

    def abort(self, session):
        """Let it write whatever was."""
        if self._frozen:
            self._frozen = False
            self.store.release()
        self._session = self._bound = None

    def pre_restore(self, session, **_):
        """Only while it is down."""
        if self.store.online:
            raise WriterVeto("the store is online", native=WriterFailure.NONRETRYABLE.value)

    def post_restore(self, session, **_):
        """The start replays."""


class KvApplication:
    """The recovery side."""

    name = "KV"

    def __init__(self, writer, server):
        self.writer, self.store, self.server = writer, writer.store, server

    def components(self, *, budget):
        """The one component."""
        return (
            ComponentInfo(
                name=self.writer.name,
                id=self.writer.component.id,
                owner=self.server,
                databases=("store.kv",),
                paths=(
                    (FileRole.DATABASE, str(self.store.path)),
                    (FileRole.LOG, str(self.store.logs)),
                ),
            ),
        )

    def analyze(self, component, copy, target, *, budget):
        """Whether the chain is whole."""
        _, logs, *_ = self.writer.component.files
        if copy is None:
            first, _ = parse_store(self.store.path.read_bytes())
        else:
            ((_, ref),) = copy.find(self.writer.component.files[0])
            first, _ = parse_store(whole(ref))
        ours = [generation(path) for path, _ in copy.find(logs)] if copy is not None else []
        have = sorted(ours if copy is not None and target.mode is PIT else self.store.wals())
        chain = [each for each in have if each >= first]
        if not chain or chain != list(range(first, chain[-1] + 1)):
            return LogAnalysis(
                target=target, verdict=LogVerdict.IMPOSSIBLE, reason=f"logs {chain} from {first}"
            )
        return LogAnalysis(target=target, verdict=LogVerdict.OK)

    def file_actions(self, component, copy, target, method, *, budget):
        """What moves, in order."""
        late = [each.path for each in copy.copy.late]
        if target.mode is not PIT:
            # Production's own logs have all that came later.
            late = [each for each in late if each == str(self.store.label)]
        if method is not RecoveryMethod.COPY_BACK:
            return tuple(FileAction(kind=FileActionKind.COPY_IN, path=each) for each in late)
        data, logs, *_ = self.writer.component.files
        actions = []
        paths = [path for path, _ in copy.find(data)]
        if target.mode is PIT:
            theirs = [path for path, _ in copy.find(logs)]
            actions += [
                FileAction(kind=FileActionKind.DELETE, path=str(self.store.wal(each)))
                for each in self.store.wals()
                if str(self.store.wal(each)) not in theirs
            ]
            paths += theirs
        paths = dict.fromkeys((*paths, *late))
        return (*actions, *(FileAction(kind=FileActionKind.COPY_IN, path=each) for each in paths))

    def take_offline(self, component, *, for_restore, budget):
        """No flag is needed."""
        self.store.stop()

    def bring_online(self, component, *, budget):
        """Replay."""
        try:
            self.store.start()
        except (ValueError, OSError) as error:
            raise StoreError(f"the store does not start: {error}") from error
        return OnlineReport(status=self.status(component, budget=budget))

    def status(self, component, *, budget):
        """Whatever it is."""
        if component.casefold() != self.writer.name.casefold():
            raise StorageGroupNotRecognized(f"no {component}")
        try:
            parse_store(self.store.path.read_bytes())
        except FileNotFoundError:
            state, detail = "missing", "no store.kv"
        except (ValueError, OSError) as error:
            state, detail = "damaged", str(error)
        else:
            state, detail = ("mounted" if self.store.online else "dismounted"), ""
        items = len(self.store.kv) if state == "mounted" else None
        store = DatabaseStatus(name="store.kv", state=state, items=items, detail=detail)
        return ComponentStatus(name=component, databases=(store,))


class KvChecker:
    """Reads every line of every file."""

    name = "kv checker 1"

    def available(self, server):
        """Always."""
        return True

    def check(self, target, *, executor, progress, budget):
        """Judge the one component."""
        files = []
        for component in target.components:
            for wanted in component.files:
                budget.check("checking")
                found = target.find(wanted)
                files += [self._judge(component.id, wanted.role, path, ref) for path, ref in found]
                if not found:
                    missing = f"{wanted.path}/{wanted.pattern}"
                    files.append(
                        CheckedFile(
                            component=component.id,
                            path=missing,
                            role=wanted.role,
                            verdict=FileVerdict.MISSING,
                        )
                    )
        return IntegrityReport(
            checker=self.name,
            components=tuple(self._verdict(each.id, files) for each in target.copy.selected),
            files=tuple(files),
        )

    def _judge(self, owner, role, path, ref):
        data = whole(ref)
        read = {FileRole.DATABASE: parse_store, FileRole.LOG: parse_wal}
        try:
            read.get(role, lambda raw: unseal(raw.decode()))(data)
            detail = ""
        except ValueError as error:
            detail = str(error)
        return CheckedFile(
            component=owner,
            path=path,
            role=role,
            verdict=FileVerdict.DAMAGED if detail else FileVerdict.OK,
            detail=detail,
            size_bytes=len(data),
        )

    def _verdict(self, selected, files):
        problems = [
            f"{x.path}: {x.verdict.value}" for x in files if x.verdict is not FileVerdict.OK
        ]
        return ComponentCheck(
            component=selected,
            image_ok=not problems,
            truncation_ok=not problems,
            problems=tuple(problems),
        )


class KvWorld:
    """A site of two servers of this machine, a directory array, and the store; a context manager."""

    def __init__(self, root, *, hot=False, checker=None, state=True, policy=None):
        array = DirectoryArray(root / "array", clock=CLOCK, hosts=(PROD, VAULT))
        machine, service = linux_server(PROD, root, array)
        vault, vault_service = linux_server(VAULT, root, array)
        budget, at = Budget.of(CLOCK), {}
        for name in ("data", "logs"):
            disk = array.add_storage(name)
            array.present(disk, PROD, read_only=False, budget=budget)
            at[disk] = name
        machine.rescan(budget=budget)
        machine.attach(at, read_only=False, budget=budget)
        self.root, self.array, self.machine = root, array, machine
        self.store = KvStore(machine.mounts / "data" / "kv", machine.mounts / "logs" / "kv", CLOCK)
        self.store.create()
        self.writer = KvWriter(self.store, hot=hot)
        service.register_writer(self.writer)
        production = Production(
            server=machine,
            service=service,
            application=KvApplication(self.writer, machine.name),
            checker=checker or KvChecker(),
            store=ArrayCopyStore(array),
        )
        self.site = compose(
            productions=[production],
            recovery=Recovery(server=vault, service=vault_service, mount_root=str(vault.mounts)),
            clock=CLOCK,
            state=root / "state" if state else None,
            policy=policy,
        )
        self.frs = self.site.frs

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.site.close()

    def copy(self, backup_type=BackupType.FULL):
        """A copy of the store."""
        return self.frs.create_copy(PROD, ["kv"], backup_type=backup_type)

    def blobs(self):
        """Names of the late files that the site keeps."""
        return {each.name for each in (self.root / "state" / "late").glob("??/*")}


def linux_server(host, root, array):
    """A server of this machine with its shadow copy service."""
    machine = LinuxServer(host, host, clock=CLOCK, arrays=[array], mounts=root / "mounts" / host)
    service = Coordinator(machine, clock=CLOCK, ids=IdFactory())
    service.register_provider(ArrayProvider(array, host))
    return machine, service
