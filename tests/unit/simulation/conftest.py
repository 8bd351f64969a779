"""Looking at LUNs from outside, and acting in the middle of a copy."""

from __future__ import annotations

import io

import pytest
from support.bench import Bench
from support.labs import mail

import frskit
from frskit import BackupType


class At:
    """An event sink that acts once, when a copy or a recovery enters a stage."""

    def __init__(self, stage, action):
        self._stage, self._action, self.seen = stage, action, 0

    def emit(self, event):
        if self._stage in (getattr(event, "stage", None), getattr(event, "step", None)):
            self.seen += 1
            if self.seen == 1:
                self._action()


class Scene:
    """A lab with a bench, and shortcuts for what tests say often."""

    def __init__(self, site):
        self.site = site
        self.bench = Bench(site)

    def copy(self, *groups, **wishes):
        """A full copy."""
        wishes.setdefault("backup_type", BackupType.FULL)
        return self.site.frs.create_copy("evs1", list(groups) or ["sg1"], **wishes)

    def at(self, stage, action):
        """Act once when this stage comes."""
        sink = At(stage, action)
        self.site.frs.subscribe(sink)
        return sink

    def forget(self, sink):
        """Act no more."""
        self.site.parts.sink.unsubscribe(sink)

    def newest(self):
        """The newest record, with everything in it."""
        return self.site.frs.copy(self.site.frs.copies()[0].id)

    def members(self, copy=None):
        """Members of a copy by mount point; without one, of the newest record."""
        found = copy or self.newest()
        return {member.mount_point: member.storage for member in found.members}

    def mail(self, group="sg1"):
        """Number of messages in all stores of a group."""
        return mail(self.site, group)

    def states(self, group="sg1"):
        """State of each store."""
        return {each.name: each.state for each in self.site.status("evs1", group).databases}

    def read(self, path):
        """A file of the production server."""
        production = self.site.parties.production
        place = production.resolve(path)
        with production.files(place.volume).open(place.path) as file:
            return file.read_at(0, file.size_bytes)

    def names(self, directory):
        """Names in a directory of the production server."""
        production = self.site.parties.production
        place = production.resolve(directory)
        return list(production.files(place.volume).listdir(place.path))

    def closed_logs(self, directory="L:\\exchsrvr\\sg1", base="E00"):
        """Production's closed logs and their bytes."""
        return {
            name: self.read(f"{directory}\\{name}")
            for name in self.names(directory)
            if name.endswith(".log") and name not in (f"{base}.log", f"{base}tmp.log")
            if not name.startswith("res")
        }

    def luns(self):
        """Production's LUNs by mount point."""
        return {
            volume.mount_points[0]: next(iter(volume.storages))
            for volume in self.site.parties.production.volumes()
        }

    def rows(self, path="M:\\exchsrvr\\sg1\\mbx-sg1.edb"):
        """All rows of a store of a stopped server, as another reader sees them."""
        dissect = pytest.importorskip("dissect.esedb")
        (table,) = [
            each
            for each in dissect.EseDB(io.BytesIO(self.read(path))).tables()
            if each.name == "Messages"
        ]
        return sorted(
            tuple(str(value) for value in record.as_dict().values()) for record in table.records()
        )


@pytest.fixture
def scene():
    """A lab in memory with 40 messages."""
    with frskit.lab(seed=11) as site:
        site.deliver("evs1", "sg1", messages=40)
        yield Scene(site)


@pytest.fixture(scope="module")
def lasting_scene():
    """A small lab for many short copies."""
    with frskit.lab(seed=12) as site:
        site.deliver("evs1", "sg1", messages=12)
        yield Scene(site)


@pytest.fixture
def make_scene():
    """Function: a scene on a lab with other arguments; closed after the test."""
    made = []

    def make(**arguments):
        site = frskit.lab(**arguments)
        made.append(site)
        return Scene(site)

    yield make
    for site in made:
        site.close()
