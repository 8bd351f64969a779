"""A stranger's store end to end: late files in both methods, lying checkers, what a writer names."""

from __future__ import annotations

import hashlib

import pytest
from attrs import evolve
from support.faults import Fault
from support.kv_party import KvChecker, KvWorld, seal

from frskit import Completion, CopyLife, Policy, RecoveryMethod, RecoveryMode, Verdict
from frskit.errors import (
    CatalogError,
    FrskitError,
    IntegrityError,
    NoSpace,
    RecoveryFailed,
    RecoveryPrecondition,
    StoreError,
    WriterError,
)
from frskit.frs import copy_run
from frskit.frs import requestor as requestor_module
from frskit.frs.state.late_files import LateFiles
from frskit.model.checks import ComponentCheck, FileVerdict, IntegrityReport
from frskit.model.plans import FileAction, FileActionKind
from frskit.watchdog import unguarded

PIT, RF = RecoveryMode.POINT_IN_TIME, RecoveryMode.ROLL_FORWARD
SWAP, COPY_BACK = RecoveryMethod.SWAP, RecoveryMethod.COPY_BACK


@pytest.fixture
def hot(tmp_path):
    """A site whose writer names late files; 10 changes come between the thaw and the end."""
    with KvWorld(tmp_path, hot=True) as world:
        world.store.fill(50, "before")
        world.writer.meanwhile = lambda: world.store.fill(10, "while")
        yield world


def recover(world, copy, mode, method):
    """Plan and recover."""
    return world.frs.recover(world.frs.plan_recovery(copy.id, mode=mode, method=method))


# --- the whole way


@pytest.mark.parametrize("is_hot", [False, True], ids=["held", "hot"])
@pytest.mark.parametrize("method", [SWAP, COPY_BACK], ids=lambda each: each.value)
@pytest.mark.parametrize(("mode", "after"), [(PIT, 0), (RF, 30)], ids=["instant", "forward"])
def test_a_strangers_store_is_copied_and_recovered(tmp_path, is_hot, method, mode, after):
    """A hot copy ends where its late log ends: after the instant; the label was needed, and used."""
    with KvWorld(tmp_path, hot=is_hot) as world:
        world.store.fill(50, "before")
        world.writer.meanwhile = lambda: world.store.fill(10, "while")
        copy = world.copy()
        assert copy.recoverable
        assert len(copy.late) == (2 if is_hot else 0)
        world.store.fill(30, "after")
        if method is COPY_BACK:
            # A restored store would take it for its own.
            world.store.path.write_bytes(b"damage")
        recover(world, copy, mode, method)
        assert len(world.store.kv) == 50 + (10 if is_hot else 0) + after
        assert not world.store.label.exists()
        assert not [each for each in world.store.data.iterdir() if ".frskit" in each.name]
        world.store.put("on", "and on")


def test_without_its_late_files_a_hot_copy_would_not_start(hot):
    """The image alone is good, page by page, and worth nothing: that is what they are for."""
    copy = hot.copy()
    application = unguarded(hot.site.parts.productions["prod"].application)
    real = application.file_actions
    application.file_actions = lambda *a, **k: [
        each for each in real(*a, **k) if "wal-" not in each.path
    ]
    with pytest.raises(RecoveryFailed, match="ends the backup, and it is not there"):
        recover(hot, copy, PIT, SWAP)
    assert len(hot.store.kv) == 60


def test_the_manifest_names_what_came_later_and_holds_no_bytes(hot):
    """Path, length and hash in the record; the bytes beside it, once for copies that share them."""
    copy = hot.frs.copy(hot.copy().id)
    assert [each.content for each in copy.late] == [None, None]
    assert copy.records[0].late == copy.late
    log, label = copy.late
    kept = hot.root / "state" / "late" / log.sha256[:2] / log.sha256
    assert hashlib.sha256(kept.read_bytes()).hexdigest() == log.sha256
    assert len(kept.read_bytes()) == log.size_bytes > 0
    assert label.path == str(hot.store.label)
    assert hot.blobs() == {log.sha256, label.sha256}
    assert kept.stat().st_mode & 0o077 == 0
    # The checker saw them where a restore puts them, the log in place of the image's empty one.
    seen = {each.path: each.size_bytes for each in copy.report.files}
    assert seen[log.path] == log.size_bytes
    assert seen[label.path] == label.size_bytes


def test_a_site_in_memory_keeps_late_files_there(tmp_path):
    """And recovers from them."""
    with KvWorld(tmp_path, hot=True, state=False) as world:
        world.store.fill(5, "before")
        world.writer.meanwhile = lambda: world.store.fill(3, "while")
        copy = world.copy()
        world.store.fill(7, "after")
        recover(world, copy, PIT, COPY_BACK)
        assert len(world.store.kv) == 8
        world.frs.delete_copy(copy.id)
        assert world.site.parts.late.is_empty()
    assert not (tmp_path / "state").exists()


# --- what a writer names


def twisted(change):
    """The records with the first late file changed; the second one is at hand."""

    def twist(records):
        (record,) = records
        first, *rest = record.late
        return [evolve(record, late=(change(first, *rest), *rest))]

    return twist


BAD = {
    "no source there": (lambda late, _: evolve(late, source=late.source + "x"), "cannot be read"),
    "source on no volume": (lambda late, _: evolve(late, source="/no/x"), "cannot be read"),
    "neither content nor source": (lambda late, _: evolve(late, source=""), "either its content"),
    "both": (lambda late, _: evolve(late, content=b"x"), "either its content"),
    "no path": (lambda late, _: evolve(late, path=""), "needs a path"),
    "another length": (lambda late, _: evolve(late, size_bytes=7), "not what its writer said"),
    "another hash": (lambda late, _: evolve(late, sha256="0" * 64), "not what its writer said"),
    "twice": (lambda late, other: evolve(late, path=other.path), "named twice"),
}


@pytest.mark.parametrize(("change", "said"), BAD.values(), ids=BAD)
def test_a_late_file_that_cannot_be_taken_as_named_fails_the_copy(hot, change, said):
    """Typed; nothing is left on the array or in the state directory; the next copy is good."""
    hot.writer.twist = twisted(change)
    before = hot.store.wals()
    with pytest.raises(WriterError, match=said) as caught:
        hot.copy()
    failed = caught.value.copy
    assert failed.life is CopyLife.FAILED
    assert failed.completion is Completion.FAILED
    assert failed.late == ()
    assert hot.array.copies() == ()
    assert hot.blobs() == set()
    assert set(before) <= set(hot.store.wals())
    hot.writer.twist = lambda records: records
    assert hot.copy().recoverable


@pytest.mark.parametrize(("limit", "fails"), [(60, True), (900, False)])
def test_the_limit_is_told_before_it_is_hit(tmp_path, limit, fails):
    """Nothing is read when it would be too much; close to it is said."""
    warned = []
    with KvWorld(tmp_path, hot=True, policy=Policy(late_limit_bytes=limit)) as world:
        world.frs.subscribe(type("Sink", (), {"emit": lambda _, event: warned.append(event)})())
        world.writer.meanwhile = lambda: world.store.fill(16, "while")
        if fails:
            with pytest.raises(WriterError, match="the site allows 60") as caught:
                world.copy()
            assert caught.value.context["limit_bytes"] == limit
            assert world.blobs() == set()
        else:
            assert world.copy().recoverable
            assert any("close to the 900" in str(each) for each in warned)


def test_the_limit_itself_is_allowed(tmp_path):
    """As much as the site allows is not more than it allows."""
    with KvWorld(tmp_path / "one", hot=True) as world:
        size = sum(late.size_bytes for late in world.copy().late)
    with KvWorld(tmp_path / "two", hot=True, policy=Policy(late_limit_bytes=size)) as world:
        assert sum(late.size_bytes for late in world.copy().late) == size


def test_a_full_state_directory_fails_the_copy_and_nobody_stays_frozen(hot, monkeypatch):
    """Typed, cleaned up, and the application writes."""
    with monkeypatch.context() as patch:
        Fault(LateFiles, "put", NoSpace("full"), patch=patch)
        with pytest.raises(NoSpace):
            hot.copy()
    assert hot.array.copies() == ()
    hot.store.put("on", "and on")
    assert hot.copy().recoverable


# --- decay


def lose(world, copy, how):
    """Damage the label among the late files."""
    label = copy.late[1]
    path = world.root / "state" / "late" / label.sha256[:2] / label.sha256
    if how == "gone":
        path.unlink()
    elif how == "shorter":
        path.write_bytes(path.read_bytes()[:-1])
    else:
        data = bytearray(path.read_bytes())
        data[0] ^= 1
        path.write_bytes(data)


@pytest.mark.rule("HAZ-04")
@pytest.mark.parametrize("how", ["gone", "shorter"])
def test_a_copy_whose_late_file_is_gone_is_seen_to_have_decayed(hot, how):
    """Listing looks, without reading."""
    copy = hot.copy()
    assert hot.frs.copies()[0].verdict is Verdict.VERIFIED
    lose(hot, copy, how)
    (listed,) = hot.frs.copies()
    assert listed.verdict is Verdict.DECAYED
    assert f"late file {hot.store.label} is gone or changed" in listed.failure
    with pytest.raises(RecoveryPrecondition):
        hot.frs.plan_recovery(copy.id, mode=PIT)
    hot.frs.delete_copy(copy.id)
    assert hot.blobs() == set()


@pytest.mark.parametrize("method", [SWAP, COPY_BACK], ids=lambda each: each.value)
@pytest.mark.parametrize("planned", [False, True], ids=["before the plan", "after it"])
def test_a_late_file_that_changed_is_found_before_anything_moves(hot, method, planned):
    """Other bytes of the same length show when they are opened; the record decays; nothing moved."""
    copy = hot.copy()
    hot.store.fill(3, "after")
    if planned:
        plan = hot.frs.plan_recovery(copy.id, mode=PIT, method=method)
    lose(hot, copy, "flipped")
    with pytest.raises(IntegrityError, match="gone or changed") as caught:
        if planned:
            hot.frs.recover(plan)
        else:
            hot.frs.plan_recovery(copy.id, mode=PIT, method=method)
    assert caught.value.context["late"] == str(hot.store.label)
    assert hot.frs.copies()[0].verdict is Verdict.DECAYED
    assert hot.store.online
    assert len(hot.store.kv) == 63


# --- retention, and crashes in it


class Killed(BaseException):
    """The process dies here."""


def test_late_files_go_with_the_last_copy_that_names_them(hot):
    """The same log in two copies is kept for the second."""
    records = []
    hot.writer.twist = lambda made: records.extend(made) or made
    first = hot.copy()
    same = evolve(records[0].late[1], path=str(hot.store.data / "extra"))
    hot.writer.twist = lambda made: [evolve(made[0], late=(*made[0].late, same))]
    with pytest.raises(IntegrityError, match="extra is part of the copy"):
        hot.copy()
    corrupt = hot.frs.copies()[0]
    assert corrupt.life is CopyLife.FAILED
    hot.writer.twist = lambda made: made
    hot.frs.delete_copy(first.id)
    # The label of the first copy is named by the corrupt one, which is kept for a look.
    assert hot.blobs() == {each.sha256 for each in corrupt.late}
    hot.frs.delete_copy(corrupt.id)
    assert hot.blobs() == set()


DEATHS = {
    "before the LUNs go": (lambda world: world.array, "delete_storage", False),
    "after one LUN went": (lambda world: world.array, "delete_storage", True),
    "before the record": (lambda world: world.site.parts.catalog, "update", False),
    "before the sweep": (lambda _: requestor_module, "sweep", False),
    "in the sweep": (lambda world: world.site.parts.late, "sweep", False),
}


@pytest.mark.crash
@pytest.mark.parametrize(("party", "method", "after"), DEATHS.values(), ids=DEATHS)
def test_a_deletion_that_dies_anywhere_loses_nothing_and_orphans_nothing(
    hot, monkeypatch, party, method, after
):
    """The other copy opens; a resume or the next deletion takes what is left."""
    doomed, kept = hot.copy(), hot.copy()
    with monkeypatch.context() as patch:
        at = 2 if method == "update" else 1
        Fault(party(hot), method, Killed, at=at, after=after, patch=patch)
        with pytest.raises(Killed):
            hot.frs.delete_copy(doomed.id)
    hot.frs.resume()
    assert hot.frs.copy(doomed.id).life is CopyLife.DELETED
    assert hot.blobs() == {each.sha256 for each in kept.late}
    recover(hot, kept, PIT, COPY_BACK)


@pytest.mark.crash
@pytest.mark.parametrize("at", [1, 2, 3])
def test_a_collection_that_dies_leaves_what_a_resume_takes(hot, monkeypatch, at):
    """Before the first, between the files, and between the last one and the record."""
    with monkeypatch.context() as patch:
        # The process dies: nothing cleans up after it.
        patch.setattr(copy_run.CopyRun, "_failed", lambda *_: None)
        patch.setattr(copy_run.CopyRun, "_tell", lambda *_: None)
        patch.setattr(copy_run.CopyRun, "_discard", lambda *_: None)
        if at < 3:
            Fault(LateFiles, "put", Killed, at=at, patch=patch)
        else:
            real = copy_run.CopyRun._record

            def record(self, stage, detail=""):
                if stage == "collected":
                    raise Killed
                real(self, stage, detail)

            patch.setattr(copy_run.CopyRun, "_record", record)
        with pytest.raises(Killed):
            hot.copy()
    assert len(hot.blobs()) == at - 1
    hot.frs.resume()
    assert hot.blobs() == set()
    assert hot.array.copies() == ()
    hot.store.put("on", "and on")


def test_a_sweep_that_fails_fails_no_deletion(hot, monkeypatch):
    """It is said, and the next one does it."""
    warned = []
    hot.frs.subscribe(type("Sink", (), {"emit": lambda _, event: warned.append(event)})())
    copy = hot.copy()
    with monkeypatch.context() as patch:
        Fault(LateFiles, "sweep", CatalogError("read-only"), patch=patch)
        hot.frs.delete_copy(copy.id)
    assert any("are still there" in str(each) for each in warned)
    assert len(hot.blobs()) == 2
    hot.frs.resume()
    assert hot.blobs() == set()


def test_what_a_running_collection_holds_is_not_swept(hot):
    """Its blobs are named by no record yet; a deletion meanwhile leaves them to the next one."""
    doomed = hot.copy()
    late = hot.site.parts.late
    with late.alone("collecting"):
        hot.frs.delete_copy(doomed.id)
        assert len(hot.blobs()) == 2
    hot.frs.resume()
    assert hot.blobs() == set()


# --- recovery


@pytest.mark.parametrize("method", [SWAP, COPY_BACK], ids=lambda each: each.value)
def test_a_failed_recovery_takes_the_late_files_back(hot, monkeypatch, method):
    """Production is as before, without a label that would lead its next start astray."""
    copy = hot.copy()
    hot.store.fill(3, "after")
    application = unguarded(hot.site.parts.productions["prod"].application)
    with monkeypatch.context() as patch:
        Fault(application, "bring_online", StoreError("no"), patch=patch)
        with pytest.raises(RecoveryFailed) as caught:
            recover(hot, copy, PIT, method)
    assert caught.value.context["undone"]
    assert not hot.store.label.exists()
    assert len(hot.store.kv) == 63


def test_a_swap_copies_in_nothing_but_late_files(hot):
    """Such a plan is refused: it would take a file from a copy that is not mounted any more."""
    copy = hot.copy()
    application = unguarded(hot.site.parts.productions["prod"].application)
    wrong = FileAction(kind=FileActionKind.COPY_IN, path=str(hot.store.path))
    application.file_actions = lambda *_, **__: [wrong]
    with pytest.raises(RecoveryPrecondition, match="all but the late files"):
        hot.frs.plan_recovery(copy.id, mode=PIT, method=SWAP)


# --- lying checkers


def claims(target, files=()):
    """All is well."""
    good = [
        ComponentCheck(component=each.id, image_ok=True, truncation_ok=True)
        for each in target.copy.selected
    ]
    return IntegrityReport(checker="liar", components=tuple(good), files=tuple(files))


def dropped(word):
    """An honest report without the files of this name."""

    def lie(honest, target):
        return claims(target, [each for each in honest.files if word not in each.path])

    return lie


def lengths(honest, target):
    """Names every file, and has read none."""
    return claims(target, [evolve(each, size_bytes=0) for each in honest.files])


def missing(honest, target):
    """Calls a file that is there missing, and not needed."""
    made = [evolve(each, verdict=FileVerdict.MISSING, needed=False) for each in honest.files]
    return claims(target, made)


LIES = {
    "no files": (lambda honest, target: claims(target), "does not name it"),
    "no components": (lambda honest, _: evolve(honest, components=()), "was not judged"),
    "nothing": (lambda honest, _: evolve(honest, components=(), files=()), "was not judged"),
    "None": (lambda *_: None, "returned NoneType, not a report"),
    "a crash": (lambda *_: 1 // 0, "ZeroDivisionError"),
    "late log skipped": (dropped("wal-00000003"), "wal-00000003.log is in the copy"),
    "label skipped": (dropped("label"), "label is in the copy"),
    "data file skipped": (dropped("store.kv"), "store.kv is in the copy"),
    "nothing was read": (lengths, "and 0 in the report"),
    "what is there is missing": (missing, "missing"),
}


class Liar(KvChecker):
    """The honest checker with a lie put into its report."""

    def __init__(self, lie):
        self.lie = lie

    def check(self, target, **given):
        return self.lie(super().check(target, **given), target)


@pytest.mark.rule("HAZ-17", "FRS-08")
@pytest.mark.parametrize(("lie", "said"), LIES.values(), ids=LIES)
def test_no_lie_of_a_strangers_checker_gets_a_verdict_or_cuts_a_log(tmp_path, lie, said):
    """The reason is said; every log is still there; the store writes."""
    with KvWorld(tmp_path, hot=True, checker=Liar(lie)) as world:
        world.store.fill(20, "before")
        world.writer.meanwhile = lambda: world.store.fill(2, "while")
        before = world.store.wals()
        with pytest.raises(FrskitError, match=said) as caught:
            world.copy()
        assert isinstance(caught.value, IntegrityError)
        assert caught.value.copy.verdict in (Verdict.CORRUPT, Verdict.UNKNOWN)
        assert caught.value.copy.completion is Completion.FAILED
        assert set(before) <= set(world.store.wals())
        # A corrupt copy is kept for a look, with all of it; of any other nothing is left.
        gone = caught.value.copy.verdict is Verdict.UNKNOWN
        assert (world.blobs() == set()) is gone
        world.store.put("on", "and on")


def without_logs_at_the_instant(world):
    """The copy has no log; production has them all again before anybody looks."""
    store, writer = world.store, world.writer
    away = {}
    thaw = writer.thaw

    def freeze(session, *, budget):
        store.hold(20.0)
        for path in [store.wal(each) for each in store.wals()]:
            away[path] = path.read_bytes()
            path.unlink()
        writer._frozen = True

    def thaw_with_logs(session, *, budget):
        for path, content in away.items():
            path.write_bytes(content)
        thaw(session, budget=budget)

    writer.freeze, writer.thaw = freeze, thaw_with_logs


def test_a_file_set_without_any_file_is_no_quiet_matter(tmp_path):
    """Unless the report names it: then the checker has judged that it may be empty."""

    def forget(honest, target):
        return claims(target, [each for each in honest.files if "*" not in each.path])

    def accept(honest, target):
        return claims(target, [evolve(e, needed=e.verdict is FileVerdict.OK) for e in honest.files])

    for lie, passes in ((forget, False), (accept, True)):
        root = tmp_path / lie.__name__
        root.mkdir()
        with KvWorld(root, checker=Liar(lie)) as world:
            without_logs_at_the_instant(world)
            if passes:
                assert world.copy().recoverable
            else:
                with pytest.raises(IntegrityError, match=r"wal-\*\.log means no file"):
                    world.copy()


def test_the_seal_finds_damage():
    """The stranger's own checksum bites, so that its checker can."""
    assert KvChecker()._judge(None, None, "x", _Bytes(seal("a").encode())).detail == ""
    assert KvChecker()._judge(None, None, "x", _Bytes(b"00000000 a\n")).detail


class _Bytes:
    def __init__(self, data):
        self.data, self.size_bytes = data, len(data)

    def open(self):
        return self

    def read_at(self, offset, length):
        return self.data[offset : offset + length]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass
