"""A host that frskit does not know: it sees any LUN of a lab's array, and changes what it likes."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager

from frskit.clock import Budget
from frskit.storage import LABEL_BYTES, read_label
from frskit.storage.simfs import SimFs

CHUNK = 4 << 20


class Bench:
    """A host of its own that may see any LUN of the lab's array, and hands for the test.

    Nothing of frskit knows about this host: what it reads are the bytes that are there, and what
    it changes has been changed by nobody that the flow could have noticed.
    """

    def __init__(self, site):
        self.site = site
        self.host = site.eva.add_host("bench", ports=["1000-0000-C9F0-00FF"])

    def _device(self, storage, read_only):
        budget = Budget.of(self.site.clock)
        shown = self.site.eva.present(storage, self.host, read_only=read_only, budget=budget)
        return shown, self.site.eva.open_lun(self.host, shown.access.number)

    def fingerprint(self, storage):
        """Hashes of all pieces of the volume area that are not zero; the label area is left out."""
        shown, device = self._device(storage, read_only=True)
        found = {}
        for offset in range(LABEL_BYTES, device.size_bytes, CHUNK):
            piece = device.read(offset, min(CHUNK, device.size_bytes - offset))
            if piece.count(0) != len(piece):
                found[offset] = hashlib.sha256(piece).hexdigest()
        self.site.eva.unpresent(shown, budget=Budget.of(self.site.clock))
        return found

    @contextmanager
    def volume(self, storage, *, read_only=True):
        """The file system on a LUN."""
        shown, device = self._device(storage, read_only)
        volume = SimFs.mount(read_label(device).volume(device), read_only=read_only)
        yield volume
        if not read_only:
            volume.sync()
            device.flush()
        self.site.eva.unpresent(shown, budget=Budget.of(self.site.clock))

    def read(self, storage, path):
        """A file on a LUN, by its path inside the volume."""
        with self.volume(storage) as volume, volume.open(path) as file:
            return file.read_at(0, file.size_bytes)

    def names(self, storage, path):
        """Names in a directory on a LUN."""
        with self.volume(storage) as volume:
            return list(volume.listdir(path))

    def flip(self, storage, path, offset, bit=4):
        """One bit of a file on a LUN."""
        with self.volume(storage, read_only=False) as volume, volume.edit(path) as file:
            byte = file.read_at(offset, 1)[0]
            file.write_at(offset, bytes([byte ^ (1 << bit)]))
            file.sync()

    def remove(self, storage, path):
        """Delete a file on a LUN."""
        with self.volume(storage, read_only=False) as volume:
            volume.remove(path)
