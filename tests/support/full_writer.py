"""A writer and an application that do everything right, with every lever that the writer kit knows."""

from __future__ import annotations

from frskit.bases import WriterBase
from frskit.clock import Budget, VirtualClock
from frskit.errors import FrskitError, WriterVeto
from frskit.model.components import (
    BackupSchema,
    BackupType,
    Component,
    ComponentId,
    WriterFailure,
    WriterMetadata,
    WriterRecord,
)
from frskit.model.files import FileSet

WRITER = "76fe1ac4-15f7-4bcd-987e-8e1acb462fb7"
NAMES = tuple(ComponentId(writer_id=WRITER, logical_path="", name=each) for each in ("one", "two"))
INSTANCE = "11111111-1111-4111-8111-111111111111"


class FullStore:
    """Two databases with a log stream each, and a hold for `window_s` seconds of the clock."""

    window_s = 20.0

    def __init__(self, clock):
        self.clock = clock
        self.data = 0
        self.last = 3
        self.logs = {each: [1, 2, 3] for each in NAMES}
        self.held_since = None
        self.mounted = True
        self.during = []

    @property
    def held(self):
        since = self.held_since
        if since is not None and self.clock.monotonic() - since >= self.window_s:
            self.held_since = None
        return self.held_since is not None

    def hold(self):
        """Flush, which may take its time or fail, and stand still."""
        while self.during:
            self.during.pop()()
        self.held_since = self.clock.monotonic()


class FullWriter(WriterBase):
    """Holds, lets go, knows its session, and truncates by component what is in the copy."""

    keeps_window = False

    def __init__(self, store):
        self.store = store
        self.running = None
        self.marks = {}

    def identify(self, **words):
        return WriterMetadata(
            writer_id=WRITER,
            instance_id=INSTANCE,
            name="full",
            components=tuple(
                Component(id=each, selectable=True, files=(FileSet(path="M:\\", pattern="*"),))
                for each in NAMES
            ),
            schema=frozenset({BackupSchema.COPY}),
            freeze_timeout_s=self.store.window_s,
        )

    def known(self, session):
        if self.running != session.session_id:
            raise WriterVeto("not in progress", native=WriterFailure.NONRETRYABLE.value)

    def prepare_backup(self, session, **words):
        if self.running not in (None, session.session_id):
            raise WriterVeto("busy", native=WriterFailure.RETRYABLE.value, retryable=True)
        self.running = session.session_id

    def prepare_snapshot(self, session, **words):
        self.known(session)

    def freeze(self, session, *, budget):
        self.known(session)
        try:
            budget.check("freezing")
            self.hold_store(session)
            budget.check("freezing")
        except BaseException as error:
            self.release(session)
            if isinstance(error, FrskitError) or not isinstance(error, Exception):
                raise
            raise WriterVeto(str(error), native=WriterFailure.OUT_OF_RESOURCES.value) from error
        if self.running != session.session_id:  # aborted meanwhile
            self.store.held_since = None
            raise WriterVeto("aborted", native=WriterFailure.RETRYABLE.value, retryable=True)

    def hold_store(self, session):
        self.store.hold()
        self.marks = {each: logs[-1] for each, logs in self.store.logs.items()}

    def release(self, session):
        self.store.held_since = None

    def thaw(self, session, **words):
        self.known(session)
        if not self.store.held:
            raise WriterVeto("lost", native=WriterFailure.TIMEOUT.value)
        self.store.held_since = None

    def post_snapshot(self, session, **words):
        self.known(session)
        return [WriterRecord(component=each, stamp="s") for each in session.components]

    def backup_complete(self, session, **words):
        self.known(session)
        if session.backup_type is BackupType.FULL:
            for each in self.good(session):
                self.truncate(each)

    def good(self, session):
        return [each for each in session.components if session.succeeded.get(each)]

    def truncate(self, component):
        logs = self.store.logs[component]
        logs[:] = [each for each in logs if each >= self.marks[component]]

    def abort(self, session):
        if session.session_id == self.running:
            self.store.held_since = None
            self.running = None

    def pre_restore(self, session, **words):
        if self.store.mounted:
            raise WriterVeto("mounted", native=WriterFailure.NONRETRYABLE.value)


class FullWorld:
    """All levers on it.

    Args:
        kind: Class of the writer.
        without: Names of levers that this world does not have.
        clock: Of store and budgets.
    """

    components = NAMES
    volumes = ("volume-1",)

    def __init__(self, kind=FullWriter, *, without=(), clock=None):
        self.clock = clock or VirtualClock()
        self.store = FullStore(self.clock)
        self.writer = kind(self.store)
        for name in without:
            setattr(self, name, None)

    def write(self):
        if self.store.held:
            return False
        self.store.data += 1
        return True

    def image(self):
        return self.store.data, str(self.store.logs)

    def truncated(self):
        return any(1 not in logs for logs in self.store.logs.values())

    def truncates(self):
        return True

    def pass_window(self):
        if self.advance is not None:
            self.advance(self.store.window_s)
        return self.advance is not None

    def budget(self):
        return Budget.of(self.clock)

    def logs(self, component):
        return [f"{each}.log" for each in self.store.logs[component]]

    def close_log(self, component):
        self.store.last += 1
        self.store.logs[component].append(self.store.last)

    def during_freeze(self, action):
        self.store.during.append(action)

    def advance(self, seconds):
        self.clock.advance(seconds)

    def replaceable(self, may):
        self.store.mounted = not may
