"""A requestor on the site of small parties, with real files: on a real clock or a virtual one."""

from __future__ import annotations

from contextlib import suppress

from frskit import Policy, Production, Recovery, compose
from frskit.frs import Patience
from frskit.model.checks import CheckedFile, ComponentCheck, FileVerdict, IntegrityReport
from frskit.model.plans import ComponentInfo, ComponentStatus, OnlineReport
from frskit.storage import ArrayCopyStore, PathFileSystem
from frskit.testing.fakes.hardware import SmallServer
from frskit.testing.fakes.site import SmallSite
from frskit.vss import Coordinator

WAITS = ("answer", "closing")


class FilesServer(SmallServer):
    """A small server with the same few files on each of its volumes; every call is a step."""

    root = None

    def files(self, volume):
        """The site's directory, whatever the volume."""
        self.script.hit(f"{self.name}.files")
        return PathFileSystem(self.root)

    def attach(self, at, *, read_only, budget):
        """Mount."""
        self.script.hit(f"{self.name}.attach")
        return super().attach(at, read_only=read_only, budget=budget)

    def volumes(self):
        """Mounted volumes."""
        self.script.hit(f"{self.name}.volumes")
        return super().volumes()

    def resolve(self, path):
        """By mount point."""
        self.script.hit(f"{self.name}.resolve")
        return super().resolve(path)


class SmallChecker:
    """Says that every file is good."""

    name = "small checker"

    def __init__(self, script):
        self.script = script

    def available(self, server):
        """It is."""
        self.script.hit("checker.available")
        return True

    def check(self, target, *, executor, progress, budget):
        """Name every file."""
        self.script.hit("checker.check")
        files = tuple(
            CheckedFile(
                component=each.id,
                path=path,
                role=wanted.role,
                verdict=FileVerdict.OK,
                size_bytes=ref.size_bytes,
            )
            for each in target.components
            for wanted in each.files
            for path, ref in target.find(wanted)
        )
        return IntegrityReport(
            checker=self.name,
            files=files,
            components=tuple(
                ComponentCheck(component=each.id, image_ok=True, truncation_ok=True)
                for each in target.copy.selected
            ),
        )


class SmallApplication:
    """The components of all writers; there is nothing to recover."""

    name = "small application"

    def __init__(self, site):
        self.script, self._site = site.script, site

    def components(self, *, budget):
        """One for each of the writers' components."""
        self.script.hit("application.components")
        return tuple(
            ComponentInfo(name=each.caption, id=each.id, owner="evs1")
            for writer in self._site.writers
            for each in writer.metadata.components
        )

    def take_offline(self, component, *, for_restore, budget):
        """Nothing runs."""

    def bring_online(self, component, *, budget):
        """Nothing runs."""
        return OnlineReport(status=self.status(component, budget=budget))

    def status(self, component, *, budget):
        """Up."""
        return ComponentStatus(name=component, databases=())


class RequestorSite(SmallSite):
    """A `SmallSite` with a requestor.

    Args:
        root: Directory for the files.
        patience: Of the requestor.
        words: For `SmallSite`.

    Attributes:
        frs, parts: The requestor, and what it is made of.
        checker, application, store: The parties themselves.
    """

    def __init__(self, root, *, patience=None, verdict_s=None, **words):
        for name in ("data/a.edb", "other/b.edb"):
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_bytes(b"file")
        self._root = root
        self._far_waits = {f"{k}_timeout_s": words[f"{k}_s"] for k in WAITS if f"{k}_s" in words}
        super().__init__(**words)
        self.checker = SmallChecker(self.script)
        self.application = SmallApplication(self)
        self.store = StepStore(self.array, self.script)
        site = compose(
            productions=[
                Production(
                    server=self.production,
                    service=self.service,
                    application=self.application,
                    checker=self.checker,
                    store=self.store,
                )
            ],
            recovery=Recovery(server=self.recovery, service=self.far, mount_root="R:\\"),
            clock=self.clock,
            policy=Policy(
                patience=patience or Patience(),
                verdict_deadline_s=verdict_s,
                normalization_poll_s=0.01,
            ),
        )
        self.site, self.frs, self.parts = site, site.frs, site.parts
        self.script.steps.clear()
        self.script.hits.clear()

    def _server(self, name):
        server = FilesServer(self.script, name, [self.array], clock=self.clock)
        server.root = self._root
        return server

    def names(self):
        """Of all components, asked of nobody."""
        return [each.caption for one in self.writers for each in one.metadata.components]

    def _far_coordinator(self):
        return Coordinator(
            self.recovery,
            clock=self.clock,
            ids=self.ids,
            sink=self.sink,
            providers=[self.far_provider],
            **self._far_waits,
        )

    def attempt(self, budget=None):
        """One whole copy; the error, or None."""
        try:
            self.frs.create_copy("evs1", self.names(), backup_type="copy", budget=budget)
        except Exception as error:  # noqa: BLE001  the tests look at its type
            return error
        return None

    def close(self):
        """Close the catalog."""
        with suppress(Exception):
            self.site.close()


class StepStore(ArrayCopyStore):
    """The usual store; every call is a step."""

    def __init__(self, array, script):
        super().__init__(array)
        self.script = script

    def unpresent(self, storages, *, budget):
        """Hide."""
        self.script.hit("store.unpresent")
        super().unpresent(storages, budget=budget)

    def delete(self, storages, *, budget):
        """Delete."""
        self.script.hit("store.delete")
        super().delete(storages, budget=budget)

    def look(self, **words):
        """Look."""
        self.script.hit("store.look")
        return super().look(**words)
