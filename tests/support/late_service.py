"""A shadow copy service that learns late: ids, LUNs and times, as a tool with a command line does.

Written from the protocols alone, in the manner of DiskShadow: the set's id comes out of `create`,
in braces and capitals; what was made is called by handles (``vss:{...}``) and by nothing that an
array would know; nobody says how long anything was frozen; and what an import needs is one file,
which the tool wrote. Real directories under it, copied while its own writers hold.

The key of a requestor is remembered as the name of that file, so that a set whose creation was cut
off before the file was written carries none.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import zlib
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from attrs import define, field

from frskit import BackupType, Budget, Policy, Production, Recovery, SystemClock, compose
from frskit.errors import (
    BadState,
    DocumentError,
    ImportFailed,
    StorageGroupNotRecognized,
    StorageNotFound,
    UsageError,
    WriterNotFound,
    WriterVeto,
)
from frskit.hosts import LinuxServer
from frskit.model.components import WriterState, WriterStatus
from frskit.model.ids import HostRef, IdFactory, guid
from frskit.model.plans import (
    FileAction,
    FileActionKind,
    LogAnalysis,
    LogVerdict,
    RecoveryMethod,
    RecoveryMode,
)
from frskit.model.shadows import (
    CompletionReport,
    ExcludedComponent,
    ImportedSet,
    ServiceCapabilities,
    SetPlan,
    Shadow,
    ShadowDocuments,
    ShadowSet,
)
from frskit.model.storage import ArrayCopy, CopyState, HostPath, Presentation, Storage
from support.kv_party import (
    KvApplication,
    KvChecker,
    KvStore,
    KvWriter,
    generation,
    parse_store,
    whole,
)

CLOCK = SystemClock()
PROD, VAULT = HostRef("prod"), HostRef("vault")
MAGIC = b"MSCF\x00\xff\r\n"


def braces(text):
    """A GUID as the tool prints it."""
    return "{" + guid(text).upper() + "}"


class LateApplication(KvApplication):
    """The store's recovery side, for copies that were made while it held."""

    def analyze(self, component, copy, target, **_):
        """Whether the chain is whole."""
        data, logs = self.writer.component.files
        if copy is None:
            first, _ = parse_store(self.store.path.read_bytes())
        else:
            ((_, ref),) = copy.find(data)
            first, _ = parse_store(whole(ref))
        instant = copy is not None and target.mode is RecoveryMode.POINT_IN_TIME
        have = [generation(path) for path, _ in copy.find(logs)] if instant else self.store.wals()
        chain = sorted(each for each in have if each >= first)
        good = chain and chain == list(range(first, chain[-1] + 1))
        return LogAnalysis(
            target=target,
            verdict=LogVerdict.OK if good else LogVerdict.IMPOSSIBLE,
            reason="" if good else f"logs {chain} from {first}",
        )

    def file_actions(self, component, copy, target, method, **_):
        """What moves when nothing is swapped."""
        if method is not RecoveryMethod.COPY_BACK:
            return ()
        data, logs = self.writer.component.files
        paths, actions = [path for path, _ in copy.find(data)], []
        if target.mode is RecoveryMode.POINT_IN_TIME:
            theirs = [path for path, _ in copy.find(logs)]
            mine = [str(self.store.wal(each)) for each in self.store.wals()]
            actions = [
                FileAction(kind=FileActionKind.DELETE, path=path)
                for path in mine
                if path not in theirs
            ]
            paths += theirs
        return (*actions, *(FileAction(kind=FileActionKind.COPY_IN, path=each) for each in paths))


# --- the directories


class Shelf:
    """Directories of volumes and shadows, and who sees which; a face for `LinuxServer`.

    Everything is in a file, so that it survives the death of whoever uses it.
    """

    name = "shelf"

    def __init__(self, root):
        self.root = Path(root)
        self._file = self.root / "index.json"
        self._lock = threading.RLock()
        if not self._file.exists():
            self.root.mkdir(parents=True)
            empty = {"places": {}, "shown": [], "sets": {}, "imported": []}
            self._file.write_text(json.dumps(empty))

    def index(self):
        """All there is."""
        with self._lock:
            return json.loads(self._file.read_text())

    @contextmanager
    def change(self):
        """All there is, written down when the block ends well."""
        with self._lock:
            index = self.index()
            yield index
            new = self._file.with_suffix(".new")
            new.write_text(json.dumps(index))
            new.replace(self._file)

    def add(self, storage):
        """A directory under this id."""
        place = self.root / hashlib.sha256(storage.encode()).hexdigest()[:16]
        place.mkdir(exist_ok=True)
        with self.change() as index:
            index["places"][storage] = str(place)
        return place

    def place(self, storage):
        """The directory of a storage."""
        return Path(self.index()["places"][storage])

    def presentations(self, storage=None, *, budget):
        """Who sees what."""
        index = self.index()
        return tuple(
            Presentation(
                storage=each, host=host, access=HostPath(path=index["places"][each]), read_only=ro
            )
            for each, host, ro in index["shown"]
            if storage in (None, each)
        )

    def storage(self, ids=None, *, budget):
        """Those that are there."""
        places = self.index()["places"]
        wanted = places if ids is None else ids
        return tuple(Storage(id=each, name=each, size_bytes=0) for each in wanted if each in places)


class HandleStore:
    """The copies, by the handles of the service; knows no key, no source, no kind and no size."""

    def __init__(self, shelf):
        self.shelf = shelf

    def present(self, storages, hosts, *, read_only, budget):
        """Show directories."""
        with self.shelf.change() as index:
            missing = [each for each in storages if each not in index["places"]]
            if missing:
                raise StorageNotFound(f"the tool knows no {', '.join(missing)}")
            kept = [e for e in index["shown"] if e[0] not in storages or e[1] not in hosts]
            new = [[each, host, read_only] for each in storages for host in hosts]
            index["shown"] = [*kept, *new]
        return tuple(
            each
            for storage in storages
            for each in self.shelf.presentations(storage, budget=budget)
            if each.host in hosts
        )

    def unpresent(self, storages, *, budget):
        """Hide them."""
        with self.shelf.change() as index:
            index["shown"] = [each for each in index["shown"] if each[0] not in storages]

    def delete(self, storages, *, budget):
        """Hide and delete them; a set without shadows is none."""
        self.unpresent(storages, budget=budget)
        with self.shelf.change() as index:
            for each in storages:
                place = index["places"].pop(each, None)
                if place is not None:
                    shutil.rmtree(place)
            for made in index["sets"].values():
                made["shadows"] = [e for e in made["shadows"] if e["storage"] not in storages]
            index["sets"] = {name: made for name, made in index["sets"].items() if made["shadows"]}

    def look(self, *, storages=None, key=None, budget):
        """What there is; of a key it has never heard."""
        if key is not None:
            return ()
        places = [each for each in self.shelf.index()["places"] if each.startswith("vss:")]
        return tuple(
            ArrayCopy(
                id=each, source=None, key=None, kind=None, state=CopyState.UNKNOWN, size_bytes=None
            )
            for each in (places if storages is None else storages)
            if each in places
        )


# --- the service


@define
class OwnWriter:
    """What the service calls at an application: plain functions, and a description."""

    describe: object
    freeze: object
    thaw: object
    completed: object = lambda: None
    pre_restore: object = lambda: None
    post_restore: object = lambda: None
    state: WriterState = field(default=WriterState.STABLE)


def kv_writer(store):
    """The writer of a key-value store; it deletes logs when it is told of success."""
    description = KvWriter(store)
    bound = []

    def freeze():
        store.checkpoint()
        store.switch()
        bound[:] = [parse_store(store.path.read_bytes())[0]]
        store.hold(20.0)

    def thaw():
        if store.held_until is not None and not store.release():
            raise WriterVeto("the hold was lost")

    def pre_restore():
        if store.online:
            raise WriterVeto("the store is online")

    return OwnWriter(
        describe=description.identify,
        freeze=freeze,
        thaw=thaw,
        completed=lambda: store.truncate_below(bound[0]),
        pre_restore=pre_restore,
    )


def write_cab(facts):
    """The file that an import needs; text would not survive in it."""
    body = MAGIC + zlib.compress(json.dumps(facts).encode())
    return body + hashlib.sha256(body).digest()


def read_cab(documents):
    """What is in the file; nobody may have touched a byte of it.

    Raises:
        DocumentError: Somebody has, or it is not there.
    """
    if len(documents.opaque) != 1:
        raise DocumentError(f"one .cab is needed, {len(documents.opaque)} files were given")
    ((name, data),) = documents.opaque.items()
    body, digest = data[:-32], data[-32:]
    if not name.endswith(".cab") or hashlib.sha256(body).digest() != digest:
        raise DocumentError(f"{name} is damaged")
    return json.loads(zlib.decompress(body.removeprefix(MAGIC)))


class LateSession:
    """One backup: a run of the tool."""

    def __init__(self, service, request):
        self.service, self.request = service, request
        self.state = "open"
        self._lock = threading.Lock()
        self._held = []
        self._explicit = ()

    def __enter__(self):
        self.service.open.append(self)
        return self

    def __exit__(self, *_):
        self.abandon()

    def abandon(self):
        """The tool ends without END BACKUP."""
        self.state = "over"
        self._thaw()
        with suppress(ValueError):
            self.service.open.remove(self)

    def plan(self, *, budget):
        """What the tool would copy; on which LUN it lies it cannot say."""
        writers = self.service.writers(budget=budget)
        if not writers:
            raise WriterNotFound("no writer answered")
        every = [each for writer in writers for each in writer.components]
        wanted = {each.casefold() for each in self.request.components}
        names = {each.id: {each.id.name, each.caption, each.id.full_path} for each in every}
        chosen = [e for e in every if wanted & {name.casefold() for name in names[e.id]}]
        if not chosen:
            raise StorageGroupNotRecognized(f"no writer knows {', '.join(sorted(wanted))}")
        self._explicit = tuple(each.id for each in chosen)
        machine = self.service.machine
        paths = [files.path for each in chosen for files in each.files]
        volumes = dict.fromkeys(machine.resolve(path).volume for path in paths)
        return SetPlan(
            writers=tuple(writers),
            explicit=tuple(chosen),
            components=tuple(chosen),
            volumes=tuple(self.service.spell(each) for each in volumes),
            storages=None,
            excluded=tuple(
                ExcludedComponent(component=each.id, reason="not asked for")
                for each in every
                if each not in chosen
            ),
        )

    def create(self, *, budget):
        """Make the set; only now it has a name."""
        if self.state != "open":
            raise BadState(f"CREATE is not possible: {self.state}")
        self.state = "creating"
        plan = self.plan(budget=budget)
        service = self.service
        set_id = guid(self.request.key) if service.obeys else service.ids.guid()
        try:
            self._copy(set_id, plan)
            service.fault("before the cab")
            made = service.finish(set_id, self.request.key)
            service.fault("after the cab")
        except Exception:
            service.delete_set(set_id, budget=budget)
            raise
        self.state = "created"
        service.fault("made")
        return made

    def _copy(self, set_id, plan):
        """Freeze, copy, thaw; whatever happens, thaw."""
        service = self.service
        try:
            for writer in service.own:
                self._held.append(writer)
                writer.freeze()
            service.fault("frozen")
            for volume in plan.volumes:
                service.copy(set_id, volume)
                service.fault("one copied")
        except BaseException:
            self._thaw()
            raise
        # Also with a writer that lost its hold, which spoils the set.
        self._thaw(loud=True)

    def _thaw(self, *, loud=False):
        with self._lock:
            held, self._held = self._held, []
        errors = []
        for writer in held:
            try:
                writer.thaw()
            except WriterVeto as error:
                errors.append(error)
        if loud and errors:
            raise errors[0]

    def complete(self, outcomes, *, budget):
        """END BACKUP for all, or nothing for anybody."""
        if self.state != "created":
            raise BadState(f"END BACKUP is not possible: {self.state}")
        self.state = "completed"
        good = all(outcomes.get(each, False) for each in self._explicit)
        self.service.fault("completing")
        for writer in self.service.own if good else ():
            writer.completed()
        return CompletionReport(completed=good, writers=(), documents=None)


class LateRestore:
    """One restore: the tool reads its file and tells the writers."""

    def __init__(self, service, request):
        self.service, self.request = service, request

    def __enter__(self):
        read_cab(self.request.documents)
        for writer in self.service.own:
            writer.pre_restore()
        return self

    def __exit__(self, *_):
        for writer in self.service.own:
            writer.post_restore()


class LateService:
    """The service of one machine.

    Args:
        machine: The machine.
        shelf: Its directories.
        own: Its writers.
        remembers: Whether it names its file by the requestor's key, and so finds a set by it.
        document: What it gives as the backup components document.
        spell: How it spells the ids of volumes.
        obeys: Whether a set gets the requestor's key as its id.
    """

    def __init__(
        self, machine, shelf, own=(), *, remembers=True, document=b"", spell=braces, obeys=False
    ):
        self.obeys = obeys
        self.machine, self.shelf, self.own = machine, shelf, tuple(own)
        self.remembers, self.document, self.spell = remembers, document, spell
        self.ids = IdFactory()
        self.open = []
        self.requests = []
        self.faults = {}

    def fault(self, place):
        """What a test wants to happen here, once."""
        action = self.faults.pop(place, None)
        if action is not None:
            action()

    @property
    def capabilities(self):
        """Little."""
        return ServiceCapabilities(
            per_component_outcome=False,
            backup_types=frozenset({BackupType.FULL, BackupType.COPY}),
            transportable=True,
            proven_on="this machine's directories",
            set_id_from_caller=self.obeys,
            writer_records=False,
            cancels_create=False,
            previous_stamps=False,
        )

    def writers(self, *, budget):
        """As they describe themselves."""
        return tuple(each.describe() for each in self.own)

    def writer_states(self, *, budget):
        """As the tool prints them."""
        return tuple(
            WriterStatus(
                writer_id=braces(known.writer_id),
                instance_id=braces(known.instance_id),
                name=known.name,
                state=each.state,
            )
            for each in self.own
            if (known := each.describe())
        )

    def session(self, request):
        """A run of the tool, unless it cannot do what is asked."""
        self.requests.append(request)
        if request.previous_stamps:
            raise UsageError("the tool cannot tell writers a stamp")
        if request.backup_type not in self.capabilities.backup_types:
            raise UsageError(f"the tool cannot make {request.backup_type.value} backups")
        return LateSession(self, request)

    def restore_session(self, request):
        """A run of the tool for a restore."""
        return LateRestore(self, request)

    def copy(self, set_id, volume):
        """The shadow of one volume."""
        known = {each.id: each for each in self.machine.volumes()}[guid(volume)]
        (extent,) = known.extents
        handle = f"vss:{braces(self.ids.guid())}"
        place = self.shelf.add(handle)
        shadow = {"storage": handle, "volume": volume, "point": known.mount_points[0]}
        with self.shelf.change() as index:
            now = CLOCK.now().isoformat()
            made = index["sets"].setdefault(set_id, {"key": None, "at": now, "shadows": []})
            made["shadows"].append(shadow)
        shutil.copytree(self.shelf.place(extent.storage), place, symlinks=True, dirs_exist_ok=True)

    def finish(self, set_id, key):
        """Write the file; from here on the set carries the key, if the tool was told a name."""
        if self.remembers:
            with self.shelf.change() as index:
                index["sets"][set_id]["key"] = key
        made = self.shelf.index()["sets"][set_id]
        cab = write_cab({"set": set_id, "shadows": made["shadows"]})
        return ShadowSet(
            id=braces(set_id),
            shadows=tuple(_shadow(set_id, each, made["key"]) for each in made["shadows"]),
            documents=ShadowDocuments(backup_components=self.document, opaque={f"{key}.cab": cab}),
            created_at=datetime.fromisoformat(made["at"]),
            freeze_s=None,
            hold_s=None,
        )

    def import_set(self, documents, *, budget):
        """Show the directories to this machine; once."""
        facts = read_cab(documents)
        set_id = facts["set"]
        index = self.shelf.index()
        if [self.machine.host, set_id] in index["imported"]:
            raise ImportFailed(f"set {braces(set_id)} is imported")
        handles = [each["storage"] for each in facts["shadows"]]
        if missing := [each for each in handles if each not in index["places"]]:
            raise ImportFailed(f"{', '.join(missing)} did not arrive", context={"presented": []})
        HandleStore(self.shelf).present(handles, [self.machine.host], read_only=True, budget=budget)
        with self.shelf.change() as index:
            index["imported"].append([self.machine.host, set_id])
        self.machine.rescan(budget=budget)
        return ImportedSet(
            id=braces(set_id),
            shadows=tuple(_shadow(set_id, each, None) for each in facts["shadows"]),
        )

    def break_set(self, set_id, *, budget):
        """Let go of an imported set."""
        with self.shelf.change() as index:
            try:
                index["imported"].remove([self.machine.host, guid(set_id)])
            except ValueError:
                raise BadState(f"set {set_id} is not imported") from None

    def delete_set(self, set_id, *, budget):
        """Delete its shadows."""
        index = self.shelf.index()
        mine = index["sets"].get(guid(set_id), {"shadows": []})
        HandleStore(self.shelf).delete([each["storage"] for each in mine["shadows"]], budget=budget)
        with self.shelf.change() as index:
            index["imported"] = [each for each in index["imported"] if each[1] != guid(set_id)]

    def abort_all(self, *, budget):
        """End every run of the tool."""
        ended = [f"the run for {each.request.key}" for each in self.open]
        for each in tuple(self.open):
            each.abandon()
        return tuple(ended)

    def shadows(self, *, budget):
        """Where sets are made: all that were, also half of them; else the imported ones."""
        index = self.shelf.index()
        here = {name for host, name in index["imported"] if host == self.machine.host}
        return tuple(
            _shadow(set_id, each, made["key"])
            for set_id, made in index["sets"].items()
            if self.own or set_id in here
            for each in made["shadows"]
        )


def _shadow(set_id, facts, key):
    handle = facts["storage"]
    return Shadow(
        id=handle.removeprefix("vss:"),
        set_id=braces(set_id),
        volume=facts["volume"],
        mount_point=facts["point"],
        source=None,
        storage=handle,
        key=key,
    )


class LateWorld:
    """A site whose production and recovery servers have such a service, and the key-value store.

    Made again under the same root it is the site after the requestor's process has died.
    """

    def __init__(self, root, *, checker=None, state=None, policy=None, **service):
        self.root, self.shelf = root, Shelf(root / "shelf") if (root / "shelf").exists() else None
        fresh = self.shelf is None
        self.shelf = self.shelf or Shelf(root / "shelf")
        handles = HandleStore(self.shelf)
        budget = Budget.of(CLOCK)
        disks = {f"disk:{name}": name for name in ("data", "logs")}
        if fresh:
            for disk in disks:
                self.shelf.add(disk)
            handles.present(list(disks), [PROD], read_only=False, budget=budget)
        self.machine = self._server(PROD)
        self.vault = self._server(VAULT)
        if fresh:
            self.machine.attach(disks, read_only=False, budget=budget)
        self.store = KvStore(
            self.machine.mounts / "data" / "kv", self.machine.mounts / "logs" / "kv", CLOCK
        )
        (self.store.create if fresh else self.store.start)()
        self.service = LateService(self.machine, self.shelf, [kv_writer(self.store)], **service)
        self.receiver = LateService(self.vault, self.shelf)
        self.site = compose(
            productions=[
                Production(
                    server=self.machine,
                    service=self.service,
                    application=LateApplication(KvWriter(self.store), self.machine.name),
                    checker=checker or KvChecker(),
                    store=handles,
                )
            ],
            recovery=Recovery(
                server=self.vault, service=self.receiver, mount_root=str(self.vault.mounts)
            ),
            clock=CLOCK,
            state=state or root / "state",
            policy=policy or Policy(),
        )
        self.frs = self.site.frs

    def _server(self, host):
        mounts = self.root / "mounts" / host
        return LinuxServer(host, host, clock=CLOCK, arrays=[self.shelf], mounts=mounts)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.site.close()

    def copy(self, backup_type=BackupType.FULL, **more):
        """A copy of the store."""
        return self.frs.create_copy(PROD, ["kv"], backup_type=backup_type, **more)

    def sets(self):
        """Every set that the service has, canonical; some may be nobody's."""
        return set(self.shelf.index()["sets"])

    def handles(self):
        """Every shadow's directory that is still there."""
        return {each for each in self.shelf.index()["places"] if each.startswith("vss:")}
