"""An array that a stranger wrote: a copy is a list of SHA-256 names, equal bytes are stored once.

It knows frskit's protocols, values and errors. A storage is a directory; a copy is a manifest over
a pool of blobs, made into a directory when presented; replacing ``index.json`` is every instant.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from urllib.parse import quote

from attrs import define, evolve, field
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
    Presentation,
    PresentationFailed,
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
class Index:
    disks: dict[StorageId, ArrayCopy | None] = field(factory=dict)  # None: not a copy
    manifests: dict[StorageId, dict[str, str]] = field(factory=dict)  # absent: the directory counts
    sets: dict[CopyKey, tuple[CopyRequest, ...]] = field(factory=dict)
    shown: list[Presentation] = field(factory=list)


class BlobArray(ArrayBase):
    name = "blobs"
    capabilities = ArrayCapabilities(
        kinds=frozenset({KIND}),
        access=frozenset({AccessKind.HOST_PATH}),
        set_atomicity=SetAtomicity.WITHIN_HOLD,
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
        return [each for each in self.directory(storage).rglob("*") if each.is_file()]

    def add_storage(self, name: str) -> StorageId:
        storage = StorageId(f"blob:{name}")
        self.directory(storage).mkdir(parents=True)
        self.index.disks[storage] = None
        self.save()
        return storage

    def size(self, storage) -> int:
        copy = self.index.disks[storage] if storage in self.index.manifests else None
        return copy.size_bytes if copy else sum(each.stat().st_size for each in self.files(storage))

    def storage(self, ids=None, *, budget=None):
        wanted = [each for each in self.index.disks if ids is None or each in set(ids)]
        return [Storage(id=x, name=x[5:], size_bytes=self.size(x)) for x in wanted]

    def copies(self, *, key=None, budget=None):
        return [each for each in self.index.disks.values() if each and key in (None, each.key)]

    def check_request(self, request) -> None:
        if request.kind is not KIND:
            raise UnsupportedKind(f"{request.kind.value} is not for a content store")
        if request.source not in self.index.disks:
            raise StorageNotFound(f"there is no {request.source}")

    def commit_copies(self, staged, *, budget):
        budget.check("committing copies")
        if staged.key not in self.index.sets:
            if self._staged.get(staged.key) != staged:
                raise CopyConflict(f"{staged.key} is not staged")
            made = [self.make(staged.key, *each) for each in enumerate(staged.requests)]
            if any(copy.id in self.index.disks for copy, _ in made):
                raise CopyConflict("a name is taken")
            self.index.disks |= {copy.id: copy for copy, _ in made}
            self.index.manifests |= {copy.id: manifest for copy, manifest in made}
            self.index.sets[staged.key] = staged.requests
            self.save()  # all members or none
        self.check_in_time(staged.key, budget)
        return self.copies(key=staged.key)

    def make(self, key, number, request):
        self.check_request(request)  # again: time has passed since staging
        name, source = request.name or f"{key}-{number}", request.source
        manifest = dict(self.index.manifests.get(source, {}))
        for path in () if source in self.index.manifests else self.files(source):
            blob = hashlib.sha256(data := path.read_bytes()).hexdigest()
            (self.root / "blobs" / blob).write_bytes(data)
            manifest[str(path.relative_to(self.directory(source)))] = blob
        facts = {"kind": KIND, "state": CopyState.INDEPENDENT, "created_at": self.clock.now()}
        facts |= {"id": StorageId(f"blob:{name}"), "size_bytes": self.size(source)}
        return ArrayCopy(source=source, key=key, name=name, **facts), manifest

    def delete_storage(self, storage, *, budget) -> None:
        if self.presentations(storage):
            raise StillPresented(f"{storage} is presented")
        self.index.disks.pop(storage, None)
        self.index.manifests.pop(storage, None)
        self.index.sets = {k: each for k, each in self.index.sets.items() if self.copies(key=k)}
        self.save()
        shutil.rmtree(self.directory(storage), ignore_errors=True)
        used = {blob for each in self.index.manifests.values() for blob in each.values()}
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
        wanted = Presentation(storage=storage, host=host, access=place, read_only=read_only)
        if evolve(wanted, read_only=not read_only) in shown:
            raise PresentationFailed(f"{storage} is presented to {host} in another way")
        if storage in self.index.manifests and not shown:
            shutil.rmtree(top, ignore_errors=True)  # left from an earlier presentation
            top.mkdir(parents=True)
            for path, blob in self.index.manifests[storage].items():
                (top / path).parent.mkdir(parents=True, exist_ok=True)
                (top / path).write_bytes((self.root / "blobs" / blob).read_bytes())
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
