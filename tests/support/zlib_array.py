"""An array that was written from the contract in `frskit.protocols.array` alone.

Live directories; copies are compressed files and one JSON index. It inherits nothing from frskit,
so the kit and the flow prove on it that the prose of the contract is enough.
"""

from __future__ import annotations

import json
import os
import shutil
import stat
import threading
import uuid
import zlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from frskit import errors
from frskit.clock import Budget, Clock
from frskit.model.ids import CopyKey, HostRef, StorageId
from frskit.model.storage import (
    AccessKind,
    ArrayCapabilities,
    ArrayCopy,
    CopyKind,
    CopyRequest,
    CopyState,
    HostPath,
    Presentation,
    ReadOnlyScope,
    SetAtomicity,
    StagedCopies,
    Storage,
)


class ZlibArray:
    def __init__(self, root: Path, *, clock: Clock, hosts: Sequence[HostRef]) -> None:
        self.root = root.absolute()
        self.clock = clock
        self.known_hosts = tuple(hosts)
        self._lock = threading.RLock()
        for each in ("live", "z"):
            (self.root / each).mkdir(parents=True, exist_ok=True)
        self._index = self.root / "index.json"
        self._db: dict[str, Any] = {
            "disks": {},
            "copies": {},
            "sets": {},
            "shown": [],
            "staged": {},
        }
        if self._index.exists():
            self._db = json.loads(self._index.read_text())

    # -- facts
    @property
    def name(self) -> str:
        return "zlib"

    @property
    def capabilities(self) -> ArrayCapabilities:
        return ArrayCapabilities(
            kinds=frozenset({CopyKind.SNAPCLONE}),
            access=frozenset({AccessKind.HOST_PATH}),
            set_atomicity=SetAtomicity.WITHIN_HOLD,
            read_only=ReadOnlyScope.NONE,
            proven_on="the integrator's tests",
        )

    def storage(
        self, ids: Iterable[StorageId] | None = None, *, budget: Budget
    ) -> Sequence[Storage]:
        with self._lock:
            wanted = None if ids is None else set(ids)
            return [
                Storage(id=StorageId(each), name=facts["name"], size_bytes=self._size(each))
                for each, facts in self._db["disks"].items()
                if wanted is None or each in wanted
            ]

    def copies(self, *, key: CopyKey | None = None, budget: Budget) -> Sequence[ArrayCopy]:
        with self._lock:
            return [
                self._copy(each)
                for each, facts in self._db["copies"].items()
                if key is None or facts["key"] == key
            ]

    def presentations(
        self, storage: StorageId | None = None, *, budget: Budget
    ) -> Sequence[Presentation]:
        with self._lock:
            return [
                self._presentation(each)
                for each in self._db["shown"]
                if storage is None or each["storage"] == storage
            ]

    # -- copying
    def stage_copies(
        self, requests: Sequence[CopyRequest], *, key: CopyKey, budget: Budget
    ) -> StagedCopies:
        budget.check("staging")
        with self._lock:
            sources = [each.source for each in requests]
            if not sources or len(set(sources)) != len(sources):
                raise errors.UsageError("no members, or one source twice")
            staged = StagedCopies(key=key, requests=tuple(requests))
            wanted = [self._plain(each) for each in requests]
            for table in ("staged", "sets"):
                known = self._db[table].get(key)
                if known is not None:
                    if known["requests"] != wanted:
                        raise errors.CopyConflict(f"{key} is used for other requests")
                    return staged
            for each in requests:
                self._check(each)
            names = [each.name for each in requests if each.name]
            taken = {facts["name"] for facts in self._db["disks"].values()}
            if len(set(names)) != len(names) or taken & set(names):
                raise errors.NameInUse("a name is taken")
            self._db["staged"][key] = {"requests": wanted}
            self._save()
            return staged

    def commit_copies(self, staged: StagedCopies, *, budget: Budget) -> Sequence[ArrayCopy]:
        budget.check("committing")
        with self._lock:
            done = self._db["sets"].get(staged.key)
            wanted = [self._plain(each) for each in staged.requests]
            if done is not None:
                if done["requests"] != wanted:
                    raise errors.CopyConflict(f"{staged.key} was committed for other requests")
                left = [each for each in done["members"] if each in self._db["copies"]]
                return [self._copy(each) for each in left]
            known = self._db["staged"].get(staged.key)
            if known is None or known["requests"] != wanted:
                raise errors.CopyConflict(f"{staged.key} is not staged")
            members: list[str] = []
            made: dict[str, Any] = {}
            disks: dict[str, Any] = {}
            try:
                for number, request in enumerate(staged.requests):
                    self._check(request)
                    name = request.name or f"{staged.key}-{number}"
                    copy_id = f"zlib:{uuid.uuid4()}"
                    taken = [*self._db["disks"].values(), *disks.values()]
                    if name in [each["name"] for each in taken]:
                        raise errors.CopyConflict(f"{name} is taken")
                    size = self._size(request.source)
                    self._compress(request.source, copy_id)
                    members.append(copy_id)
                    made[copy_id] = {
                        "source": request.source,
                        "key": staged.key,
                        "kind": request.kind.value,
                        "size": size,
                        "at": self.clock.now().isoformat(),
                    }
                    disks[copy_id] = {"name": name, "comment": request.comment, "packed": True}
            except BaseException:
                for each in [*members, *disks]:
                    shutil.rmtree(self._packed(each), ignore_errors=True)
                raise
            self._db["copies"].update(made)
            self._db["disks"].update(disks)
            self._db["sets"][staged.key] = {"requests": wanted, "members": members}
            self._db["staged"].pop(staged.key, None)
            self._save()
            if budget.remaining_s() == 0:
                raise errors.OutcomeUnknown("too late", key=staged.key)
            return [self._copy(each) for each in members]

    def discard_staged(self, key: CopyKey, *, budget: Budget) -> None:
        with self._lock:
            if self._db["staged"].pop(key, None) is not None:
                self._save()

    def delete_storage(self, storage: StorageId, *, budget: Budget) -> None:
        with self._lock:
            if storage not in self._db["disks"]:
                return
            if self.presentations(storage, budget=budget):
                raise errors.StillPresented(f"{storage} is presented")
            self._db["disks"].pop(storage)
            copy = self._db["copies"].pop(storage, None)
            if copy is not None and not self.copies(key=copy["key"], budget=budget):
                self._db["sets"].pop(copy["key"], None)
            self._save()
            shutil.rmtree(self._live(storage), ignore_errors=True)
            shutil.rmtree(self._packed(storage), ignore_errors=True)

    # -- showing
    def present(
        self,
        storage: StorageId,
        host: HostRef,
        *,
        read_only: bool,
        access: str | None = None,
        number: int | None = None,
        budget: Budget,
    ) -> Presentation:
        with self._lock:
            if number is not None or access not in (None, AccessKind.HOST_PATH):
                raise errors.PresentationFailed("directories have paths only")
            if storage not in self._db["disks"] or host not in self.known_hosts:
                raise errors.StorageNotFound(f"no {storage} or no {host}")
            for each in self._db["shown"]:
                if each["storage"] == storage and each["host"] == host:
                    return self._presentation(each)
            # Nobody is kept from writing a path, so the directory counts from now on.
            if self._db["disks"][storage]["packed"]:
                self._expand(storage)
                self._db["disks"][storage]["packed"] = False
            entry = {"storage": storage, "host": host}
            self._db["shown"].append(entry)
            self._save()
            return self._presentation(entry)

    def unpresent(self, presentation: Presentation, *, budget: Budget) -> None:
        with self._lock:
            self._db["shown"] = [
                each
                for each in self._db["shown"]
                if (each["storage"], each["host"]) != (presentation.storage, presentation.host)
            ]
            self._save()

    # -- the vendor's own provisioning
    def directory(self, storage: StorageId) -> Path:
        return self._live(storage)

    def add_storage(self, name: str) -> StorageId:
        with self._lock:
            storage = StorageId(f"zlib:{uuid.uuid4()}")
            self._live(storage).mkdir(parents=True)
            self._db["disks"][storage] = {"name": name, "comment": "", "packed": False}
            self._save()
            return storage

    # -- inside
    def _live(self, storage: str) -> Path:
        return self.root / "live" / storage.removeprefix("zlib:")

    def _packed(self, storage: str) -> Path:
        return self.root / "z" / storage.removeprefix("zlib:")

    def _size(self, storage: str) -> int:
        copy = self._db["copies"].get(storage)
        if copy is not None:
            return int(copy["size"])
        return sum(each.stat().st_size for each in self._live(storage).rglob("*") if each.is_file())

    def _compress(self, source: str, target: str) -> None:
        if self._db["disks"][source]["packed"]:
            shutil.copytree(self._packed(source), self._packed(target))
            return
        top, out = self._live(source), self._packed(target)
        out.mkdir(parents=True)
        entries: list[dict[str, Any]] = []
        seen: dict[tuple[int, int], str] = {}
        for number, path in enumerate([top, *sorted(top.rglob("*"))]):
            facts, name = path.lstat(), str(path.relative_to(top))
            entry: dict[str, Any] = {
                "name": name,
                "mode": facts.st_mode,
                "owner": [facts.st_uid, facts.st_gid],
                "time": [facts.st_atime_ns, facts.st_mtime_ns],
            }
            if not stat.S_ISDIR(facts.st_mode):
                entry["same_as"] = seen.setdefault((facts.st_dev, facts.st_ino), name)
            if stat.S_ISLNK(facts.st_mode):
                entry["target"] = str(path.readlink())
            elif entry.get("same_as", name) == name:
                entry["attributes"] = {
                    each: os.getxattr(path, each).hex()
                    for each in os.listxattr(path)
                    if each.startswith("user.")
                }
                if stat.S_ISREG(facts.st_mode):
                    entry["data"] = f"{number}.z"
                    (out / entry["data"]).write_bytes(zlib.compress(path.read_bytes(), 1))
            entries.append(entry)
        (out / "names.json").write_text(json.dumps(entries))

    def _expand(self, storage: str) -> None:
        top, packed = self._live(storage), self._packed(storage)
        shutil.rmtree(top, ignore_errors=True)
        entries = json.loads((packed / "names.json").read_text())
        for entry in entries:
            self._make(top, packed, entry)
        # From below: what is made in a directory changes its time.
        for entry in reversed(entries):
            self._dress(top / entry["name"], entry)

    @staticmethod
    def _make(top: Path, packed: Path, entry: dict[str, Any]) -> None:
        path, mode = top / entry["name"], entry["mode"]
        if stat.S_ISDIR(mode):
            path.mkdir(parents=True)
        elif entry["same_as"] != entry["name"]:
            os.link(top / entry["same_as"], path, follow_symlinks=False)
        elif stat.S_ISLNK(mode):
            path.symlink_to(entry["target"])
        elif stat.S_ISREG(mode):
            data = zlib.decompress((packed / entry["data"]).read_bytes())
            with path.open("wb") as file:
                for at in range(0, len(data), 4096):
                    if any(data[at : at + 4096]):
                        file.seek(at)
                        file.write(data[at : at + 4096])
                file.truncate(len(data))
        else:
            os.mknod(path, stat.S_IFMT(mode) | 0o600)

    @staticmethod
    def _dress(path: Path, entry: dict[str, Any]) -> None:
        os.chown(path, *entry["owner"], follow_symlinks=False)
        if not stat.S_ISLNK(entry["mode"]):
            for name, value in entry.get("attributes", {}).items():
                os.setxattr(path, name, bytes.fromhex(value))
            path.chmod(stat.S_IMODE(entry["mode"]))
        os.utime(path, ns=tuple(entry["time"]), follow_symlinks=False)

    def _check(self, request: CopyRequest) -> None:
        if request.kind is not CopyKind.SNAPCLONE:
            raise errors.UnsupportedKind(f"no {request.kind.value} here")
        if request.source not in self._db["disks"]:
            raise errors.StorageNotFound(f"no {request.source}")

    def _plain(self, request: CopyRequest) -> dict[str, Any]:
        return {
            "source": request.source,
            "kind": request.kind.value,
            "name": request.name,
            "comment": request.comment,
            "disk_group": request.disk_group,
        }

    def _copy(self, storage: str) -> ArrayCopy:
        facts = self._db["copies"][storage]
        return ArrayCopy(
            id=StorageId(storage),
            source=StorageId(facts["source"]),
            key=CopyKey(facts["key"]),
            kind=CopyKind(facts["kind"]),
            state=CopyState.INDEPENDENT,
            size_bytes=facts["size"],
            name=self._db["disks"][storage]["name"],
            created_at=datetime.fromisoformat(facts["at"]).astimezone(UTC),
        )

    def _presentation(self, each: dict[str, Any]) -> Presentation:
        return Presentation(
            storage=StorageId(each["storage"]),
            host=HostRef(each["host"]),
            access=HostPath(path=str(self._live(each["storage"]))),
        )

    def _save(self) -> None:
        new = self._index.with_suffix(".new")
        with new.open("w") as file:
            json.dump(self._db, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._index)
