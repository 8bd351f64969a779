"""An array that a stranger wrote: a copy is a list of SHA-256 names, equal bytes are stored once.

It knows frskit's protocols, values and errors. A storage is a directory; a copy is a manifest over
a pool of blobs, made into a directory when presented; replacing ``index.json`` is every instant.
A manifest has every name, not only files, with owner, mode, times and all: databases ask for it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
import uuid
from pathlib import Path
from urllib.parse import quote

from attrs import define, field
from cattrs.preconf.json import make_converter

from frskit.spi import (
    AccessKind,
    ArrayBase,
    ArrayCapabilities,
    ArrayCopy,
    CopyConflict,
    CopyKey,
    CopyKind,
    CopyRequest,
    CopyState,
    HostPath,
    NameInUse,
    Presentation,
    PresentationFailed,
    ReadOnlyScope,
    SetAtomicity,
    StagedCopies,
    StillPresented,
    Storage,
    StorageId,
    StorageNotFound,
    UnsupportedKind,
)

KIND, JSON = CopyKind.SNAPCLONE, make_converter()


@define
class Entry:
    mode: int  # kind and permissions
    owner: int
    group: int
    modified_ns: int
    data: str = ""  # the blob of a file, the target of a link
    same_as: str | None = None  # another name of this file: a hard link
    xattrs: dict[str, str] = field(factory=dict)  # values in hexadecimal


@define
class Index:
    disks: dict[StorageId, ArrayCopy | None] = field(factory=dict)  # None: not a copy
    names: dict[StorageId, str] = field(factory=dict)
    manifests: dict[StorageId, dict[str, Entry]] = field(
        factory=dict
    )  # absent: the directory counts
    sets: dict[CopyKey, tuple[CopyRequest, ...]] = field(factory=dict)
    shown: list[Presentation] = field(factory=list)


class BlobArray(ArrayBase):
    name = "blobs"
    capabilities = ArrayCapabilities(
        kinds=frozenset({KIND}),
        access=frozenset({AccessKind.HOST_PATH}),
        set_atomicity=SetAtomicity.WITHIN_HOLD,
        read_only=ReadOnlyScope.NONE,  # a path is a path: servers have to mount it read-only
    )

    def __init__(self, root: Path, *, clock, hosts) -> None:
        super().__init__()
        self.root, self.clock, self.hosts, self.index = root.absolute(), clock, hosts, Index()
        if (self.root / "index.json").exists():
            self.index = JSON.loads((self.root / "index.json").read_bytes(), Index)
        (self.root / "blobs").mkdir(parents=True, exist_ok=True)
        sets = self.index.sets.items()
        self._staged |= {key: StagedCopies(key=key, requests=each) for key, each in sets}

    def save(self) -> None:
        (self.root / "index.new").write_text(JSON.dumps(self.index))
        (self.root / "index.new").replace(self.root / "index.json")

    def directory(self, storage) -> Path:
        return self.root / "live" / quote(storage, safe="")

    def files(self, storage) -> list[Path]:
        found = self.directory(storage).rglob("*")
        return [x for x in found if x.is_file() and not x.is_symlink()]

    @staticmethod
    def new_id() -> StorageId:
        return StorageId(f"blob:{uuid.uuid4()}")  # never of a name: names come again, ids must not

    def add_storage(self, name: str) -> StorageId:
        storage = self.new_id()
        self.directory(storage).mkdir(parents=True)
        self.index.disks[storage], self.index.names[storage] = None, name
        self.save()
        return storage

    def size(self, storage) -> int:
        copy = self.index.disks[storage] if storage in self.index.manifests else None
        return copy.size_bytes if copy else sum(each.stat().st_size for each in self.files(storage))

    def storage(self, ids=None, *, budget=None):
        wanted = [each for each in self.index.disks if ids is None or each in set(ids)]
        names = self.index.names
        return [Storage(id=x, name=names[x], size_bytes=self.size(x)) for x in wanted]

    def copies(self, *, key=None, budget=None):
        return [each for each in self.index.disks.values() if each and key in (None, each.key)]

    def check_request(self, request) -> None:
        if request.kind is not KIND:
            raise UnsupportedKind(f"{request.kind.value} is not for a content store")
        if request.source not in self.index.disks:
            raise StorageNotFound(f"there is no {request.source}")
        if request.name in self.index.names.values():
            raise NameInUse(f"the name {request.name} is taken")
        if request.source not in self.index.manifests:  # else it was scanned, and is no device
            for path in self.directory(request.source).rglob("*"):
                self.check_kind(path, path.lstat())

    @staticmethod
    def check_kind(path, facts) -> None:
        if stat.S_ISBLK(facts.st_mode) or stat.S_ISCHR(facts.st_mode):
            raise UnsupportedKind(f"{path} is a device: a content store cannot keep it")

    def commit_copies(self, staged, *, budget):
        budget.check("committing copies")
        if staged.key not in self.index.sets:
            if self._staged.get(staged.key) != staged:
                raise CopyConflict(f"{staged.key} is not staged")
            made = [self.make(staged.key, *each) for each in enumerate(staged.requests)]
            self.index.disks |= {copy.id: copy for copy, _ in made}
            self.index.names |= {copy.id: copy.name for copy, _ in made}
            self.index.manifests |= {copy.id: manifest for copy, manifest in made}
            self.index.sets[staged.key] = staged.requests
            self.save()  # all members or none
        self.check_in_time(staged.key, budget)
        return self.copies(key=staged.key)

    def make(self, key, number, request):
        self.check_request(request)  # again: time has passed since staging
        name, source = request.name or f"{key}-{number}", request.source
        manifest = self.index.manifests.get(source) or self.scan(self.directory(source))
        facts = {"kind": KIND, "state": CopyState.INDEPENDENT, "created_at": self.clock.now()}
        facts |= {"id": self.new_id(), "size_bytes": self.size(source)}
        return ArrayCopy(source=source, key=key, name=name, **facts), manifest

    def scan(self, top: Path) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        first: dict[tuple[int, int], str] = {}
        for path in [top, *sorted(top.rglob("*"))]:
            facts, name = path.lstat(), str(path.relative_to(top))
            entry = Entry(facts.st_mode, facts.st_uid, facts.st_gid, facts.st_mtime_ns)
            self.check_kind(path, facts)
            if stat.S_ISDIR(facts.st_mode) or stat.S_ISREG(facts.st_mode):
                keys = [each for each in os.listxattr(path) if each.startswith("user.")]
                entry.xattrs = {key: os.getxattr(path, key).hex() for key in keys}
            elif stat.S_ISLNK(facts.st_mode):
                entry.data = str(path.readlink())
            if stat.S_ISREG(facts.st_mode):
                entry.data = hashlib.sha256(data := path.read_bytes()).hexdigest()
                (self.root / "blobs" / entry.data).write_bytes(data)
            if not stat.S_ISDIR(facts.st_mode):
                other = first.setdefault((facts.st_dev, facts.st_ino), name)
                entry.same_as = None if other == name else other
            found[name] = entry
        return found

    def lay_out(self, manifest: dict[str, Entry], top: Path) -> None:
        for name, entry in manifest.items():  # a directory comes before what is in it
            path = top / name
            if entry.same_as is not None:
                os.link(top / entry.same_as, path, follow_symlinks=False)
            elif stat.S_ISDIR(entry.mode):
                path.mkdir(parents=True, exist_ok=True)
            elif stat.S_ISLNK(entry.mode):
                path.symlink_to(entry.data)
            elif stat.S_ISREG(entry.mode):
                self.fill(path, (self.root / "blobs" / entry.data).read_bytes())
            else:
                os.mknod(path, entry.mode)  # a pipe or a socket
        for name, entry in reversed(manifest.items()):  # and is done after it: its time changes
            path = top / name
            if entry.same_as is not None:
                continue
            os.chown(path, entry.owner, entry.group, follow_symlinks=False)
            for key, value in entry.xattrs.items():
                os.setxattr(path, key, bytes.fromhex(value))
            if not stat.S_ISLNK(entry.mode):
                path.chmod(stat.S_IMODE(entry.mode))
            os.utime(path, ns=(entry.modified_ns,) * 2, follow_symlinks=False)

    @staticmethod
    def fill(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            for at in range(0, len(data), 4096):
                if (piece := data[at : at + 4096]).strip(b"\0"):  # zeros stay holes
                    file.seek(at)
                    file.write(piece)
            file.truncate(len(data))

    def delete_storage(self, storage, *, budget) -> None:
        if self.presentations(storage):
            raise StillPresented(f"{storage} is presented")
        self.index.disks.pop(storage, None)
        self.index.names.pop(storage, None)
        self.index.manifests.pop(storage, None)
        self.index.sets = {k: each for k, each in self.index.sets.items() if self.copies(key=k)}
        self.save()
        shutil.rmtree(self.directory(storage), ignore_errors=True)
        used = {entry.data for each in self.index.manifests.values() for entry in each.values()}
        for path in (self.root / "blobs").glob("*"):
            if path.name not in used:
                path.unlink()

    def present(self, storage, host, *, read_only, access=None, number=None, budget):
        if number is not None or access not in self.capabilities.access | {None}:
            raise PresentationFailed("storage is shown as a path, without a number")
        if storage not in self.index.disks or host not in self.hosts:
            raise StorageNotFound(f"there is no {storage} or no host {host}")
        top, shown = self.directory(storage), self.presentations(storage)
        place = HostPath(path=str(top))
        wanted = Presentation(
            storage=storage, host=host, access=place
        )  # nobody is kept from writing
        if storage in self.index.manifests and not shown:
            shutil.rmtree(top, ignore_errors=True)  # left from an earlier presentation
            self.lay_out(self.index.manifests[storage], top)
        if wanted not in shown:
            self.index.shown.append(wanted)
        if not read_only:
            self.index.manifests.pop(storage, None)  # from now on the directory counts
        self.save()
        return wanted

    def unpresent(self, presentation, *, budget) -> None:
        gone = (presentation.storage, presentation.host)
        self.index.shown = [x for x in self.index.shown if (x.storage, x.host) != gone]
        self.save()

    def presentations(self, storage=None, *, budget=None):
        return [each for each in self.index.shown if storage in (None, each.storage)]
