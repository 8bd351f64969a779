"""The parts that an engine is put together from, each by itself."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from frskit.errors import Busy, FileExists, NotFound, StoreError
from frskit.exchange.store import DatabaseFiles, Message, Places, SnapshotKind
from frskit.exchange.store.engine_backups import BackupSessions
from frskit.exchange.store.engine_databases import DatabaseAdministration
from frskit.exchange.store.engine_gate import EngineGate
from frskit.exchange.store.message_store import MessageStore


class Session:
    """A backup session as the gate sees it."""

    def __init__(self, *, frozen=False, preparing=False):
        self.is_frozen = frozen
        self.blocks_administration = frozen or preparing
        self.polls = 0

    def poll(self):
        self.polls += 1


def running_gate():
    """The gate of an engine that does nothing else."""
    return EngineGate(SimpleNamespace(log=object(), stream=SimpleNamespace(is_broken=False)))


def refused(kind, work, native=None):
    with pytest.raises(kind) as caught:
        work()
    assert caught.value.native == native


def enter(context):
    with context:
        return True


def test_the_gate_lets_nobody_write_to_an_engine_that_is_down():
    """Not open, broken, closed: each has the engine's own number."""
    closed = EngineGate(SimpleNamespace(log=None, stream=None))
    refused(StoreError, lambda: enter(closed.writing()), -1029)
    gate = running_gate()
    assert enter(gate.writing())
    gate._instance.stream.is_broken = True
    refused(StoreError, lambda: enter(gate.writing()), -510)
    gate.closed = True
    refused(StoreError, lambda: enter(gate.writing()), -1029)


def test_the_gate_holds_writers_while_a_backup_has_frozen_the_group():
    """A frozen group refuses writing, not the calls of the backup; both let it notice the time."""
    gate = running_gate()
    gate.session = Session(frozen=True)
    refused(Busy, lambda: enter(gate.writing()))
    assert enter(gate.settled())
    assert gate.session.polls == 2
    gate.session.is_frozen = False
    assert enter(gate.writing())


def test_the_gate_keeps_databases_as_they_are_while_a_backup_is_prepared():
    """Mounting waits from prepare to thaw, writing does not."""
    gate = running_gate()
    gate.require_no_freeze("mount")
    gate.session = Session(preparing=True)
    refused(Busy, lambda: gate.require_no_freeze("mount"), -2403)
    assert enter(gate.writing())


@pytest.mark.parametrize("doomed", [False, True])
def test_the_gate_finishes_only_a_rollback_that_is_owed(doomed):
    """An open transaction is left alone; one that had no room for its rollback is ended."""
    gate = running_gate()
    gate.settle_doomed()
    ended = []
    gate.transaction = SimpleNamespace(is_doomed=doomed, rollback=lambda: ended.append(True))
    gate.settle_doomed()
    assert ended == [True] * doomed


@pytest.fixture
def parts(group):
    """The parts of an engine on the files of a new group, without the engine around them."""
    site = group()
    instance = site.engine._instance
    gate = EngineGate(instance)
    databases = DatabaseAdministration(instance, gate)
    return SimpleNamespace(
        site=site,
        gate=gate,
        databases=databases,
        messages=MessageStore(instance, gate, databases),
        backups=BackupSessions(instance, gate, databases),
    )


def test_databases_come_and_go(parts):
    """Made, dismounted, registered again, forgotten; a name is there once."""
    databases, files = parts.databases, parts.site.files("mb")
    databases.add(files)
    assert databases.is_mounted("mb")
    assert databases.all_attached()
    refused(FileExists, lambda: databases.register(files))
    refused(Busy, lambda: databases.forget("mb"))
    databases.dismount("mb")
    assert not databases.is_mounted("mb")
    assert not databases.all_attached()
    refused(NotFound, lambda: databases.mounted("mb"))
    databases.forget("mb")
    databases.register(files)
    databases.mount("mb")
    assert databases.mounted("mb").name == "mb"


def test_a_database_that_could_not_be_made_leaves_no_name(parts):
    """A path that no log header can list is refused, and the name stays free."""
    long = parts.site.files("mb", display_path="M:\\" + "x" * 2000)
    refused(StoreError, lambda: parts.databases.add(long), -1805)
    assert parts.databases.files == {}
    parts.databases.add(parts.site.files("mb"))


def test_message_numbers_go_up_and_on_after_a_mount(parts):
    """Numbers are given once, also over a dismount."""
    parts.databases.add(parts.site.files("mb"))
    assert parts.messages.deliver("mb", [Message(subject="a", body=b"")] * 2) == [1, 2]
    parts.databases.dismount("mb")
    parts.databases.mount("mb")
    assert parts.databases.allocate_id("mb") == 3
    assert parts.databases.allocate_id("mb") == 4


def test_messages_are_written_and_read_without_an_engine(parts):
    """Delivered, replaced, deleted, counted; a second transaction has to wait for the first."""
    messages = parts.messages
    parts.databases.add(parts.site.files("mb"))
    first, second = messages.deliver("mb", [Message(subject="a", body=bytes(5000))] * 2)
    messages.replace("mb", first, Message(subject="b", body=b"new"))
    messages.delete("mb", second)
    assert [(each.subject, each.body) for each in messages.read("mb")] == [("b", b"new")]
    assert messages.count("mb") == 1
    with messages.begin():
        refused(Busy, messages.begin)
    assert parts.gate.transaction is None


def test_backup_sessions_come_one_at_a_time(parts):
    """The second is refused until the first has ended, and the gate knows the one in progress."""
    parts.databases.add(parts.site.files("mb"))
    session = parts.backups.prepare(SnapshotKind.FULL)
    assert parts.backups.current is parts.gate.session is session
    refused(StoreError, lambda: parts.backups.prepare(SnapshotKind.COPY), -2403)
    session.freeze()
    assert parts.gate.is_frozen
    session.abort()
    assert parts.backups.current is None
    parts.backups.prepare(SnapshotKind.COPY).abort()


def test_places_make_their_directories(volume):
    """Both directories are there afterwards, and making them again is fine."""
    logs, system = volume(), volume()
    places = Places(logs.fs, "a/logs", system.fs, "b/system", "E00")
    places.make_directories()
    places.make_directories()
    assert logs.fs.listdir("a") == ["logs"]
    assert system.fs.listdir("b") == ["system"]


def test_files_of_a_database_have_the_usual_places(volume):
    """Without being told, a database is shown by its path and its streaming file lies beside it."""
    site = volume()
    bare = DatabaseFiles(name="mb", fs=site.fs, path="mb.edb")
    assert (bare.display_path, bare.stream_fs) == ("mb.edb", None)
    with_stream = DatabaseFiles(name="mb", fs=site.fs, path="mb.edb", stream_path="mb.stm")
    assert with_stream.stream_fs is site.fs
