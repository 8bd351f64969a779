"""An array that a stranger wrote: copies are lists of SHA-256 names, equal bytes are stored once.

It knows frskit's protocols, values and errors and nothing else of it. A storage object is a
directory; a copy is a manifest (path -> SHA-256) in ``index.json`` over a pool of blobs, and
becomes a directory again when it is presented. One process at a time.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from frskit import errors
from frskit.bases import ArrayBase
from frskit.model.ids import CopyKey, StorageId
from frskit.model.storage import (
    AccessKind,
    ArrayCapabilities,
    ArrayCopy,
    CopyKind,
    CopyState,
    HostPath,
    Presentation,
    SetAtomicity,
    Storage,
)

if TYPE_CHECKING:
    from frskit.protocols import DiskArray


class BlobArray(ArrayBase):
    """A content-addressed store as a disk array; `_index` is its whole memory."""

    name = "blobs"
    capabilities = ArrayCapabilities(
        kinds=frozenset({CopyKind.SNAPCLONE}),
        access=frozenset({AccessKind.HOST_PATH}),
        set_atomicity=SetAtomicity.WITHIN_HOLD,
        proven_on="directories of a Linux host",
    )

    def __init__(self, root: Path, *, clock) -> None:
        super().__init__()
        self.root, self._clock = root.absolute(), clock
        for folder in ("live", "blobs"):
            (self.root / folder).mkdir(parents=True, exist_ok=True)
        path = self.root / "index.json"
        empty = {"disks": {}, "requests": {}, "shown": []}
        self._index: dict[str, Any] = json.loads(path.read_bytes()) if path.exists() else empty

    def _save(self) -> None:
        _write(self.root / "index.json", json.dumps(self._index).encode())

    def _disk(self, storage) -> dict[str, Any]:
        if storage not in self._index["disks"]:
            raise errors.StorageNotFound(f"no {storage} here", context={"storage": storage})
        return self._index["disks"][storage]

    def live(self, storage) -> Path:
        """The directory of a storage object, while it has one."""
        return self.root / "live" / quote(storage, safe="")

    def add_storage(self, name: str) -> StorageId:
        storage = StorageId(f"blob:{name}")
        self.live(storage).mkdir(exist_ok=True)
        self._index["disks"][storage] = {"name": name, "size": 0}
        self._save()
        return storage

    def storage(self, ids=None):
        wanted = self._index["disks"] if ids is None else set(ids)
        return [
            Storage(id=StorageId(each), name=disk["name"], size_bytes=disk["size"])
            for each, disk in self._index["disks"].items()
            if each in wanted
        ]

    def copies(self, *, key=None):
        return [
            ArrayCopy(
                id=StorageId(each),
                source=StorageId(disk["source"]),
                key=CopyKey(disk["key"]),
                kind=CopyKind.SNAPCLONE,
                state=CopyState.INDEPENDENT,
                size_bytes=disk["size"],
                copied_bytes=disk["size"],
                name=disk["name"],
                created_at=datetime.fromisoformat(disk["at"]),
            )
            for each, disk in self._index["disks"].items()
            if "key" in disk and key in (None, disk["key"])
        ]

    def check_request(self, request) -> None:
        self._disk(request.source)
        if request.kind is not CopyKind.SNAPCLONE:
            raise errors.UnsupportedKind(f"{request.kind.value} is not for a content store")
        if f"blob:{request.name}" in self._index["disks"]:
            raise errors.NameInUse(f"there is a {request.name!r} already")

    def stage_copies(self, requests, *, key, budget):
        if self._index["requests"].get(key, repr(tuple(requests))) != repr(tuple(requests)):
            raise errors.CopyConflict(f"key {key} was used for other requests")
        if key in self._index["requests"]:  # committed: nothing to check any more
            return super().stage_copies((), key=key, budget=budget)
        return super().stage_copies(requests, key=key, budget=budget)

    def commit_copies(self, staged, *, budget):
        if staged.key not in self._index["requests"]:
            if self._staged.get(staged.key) != staged:
                raise errors.CopyConflict(f"{staged.key} is not staged")
            made = {}
            for number, request in enumerate(staged.requests):
                budget.check("hashing")
                made |= self._manifest(staged.key, number, request)
            self._index["disks"] |= made
            self._index["requests"][staged.key] = repr(staged.requests)
            self._save()  # the instant: all members or none
            self.discard_staged(staged.key)
        return self.copies(key=staged.key)
