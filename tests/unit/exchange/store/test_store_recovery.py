"""Soft recovery of crashed groups, point in time and roll-forward from copies, and refusals."""

from __future__ import annotations

import random

import pytest
from attrs import evolve

from frskit.errors import StoreError
from frskit.ese import (
    pack_checkpoint,
    pack_log_header,
    read_checkpoint,
    read_database_header,
    seal_page,
)
from frskit.ese.logs.header import read_log_header
from frskit.exchange.store import SMALL_LOGS, Message
from frskit.exchange.store.btree import MessageTree
from frskit.exchange.store.row_codec import part_key
from frskit.exchange.store.system_catalog import MESSAGES_ROOT


def refused(site, **options):
    """The engine's number for a recovery that must fail."""
    site.open()
    with pytest.raises(StoreError) as caught:
        site.engine.recover(**options)
    return caught.value.native


def contents(volume):
    return {path: volume.read(path) for path in volume.fs.walk("")}


def settle(site):
    """Let the checkpoint leave the logs in which the stores were made."""
    site.engine.roll_log()
    site.engine.idle()


def frozen_image(site):
    """Copies of both volumes, taken while the group is frozen."""
    session = site.engine.snapshot_prepare()
    session.freeze()
    image = site.image()
    session.thaw()
    return session, image


def copied(group):
    """A group with a frozen image in its past and more logs since."""
    site = group().with_stores()
    site.engine.roll_log()
    site.engine.idle()
    site.fill_logs(3)
    site.fill(5, prefix="early")
    site.engine.flush_pages(6)
    session, image = frozen_image(site)
    session.end()
    early = site.subjects()
    site.fill(5, prefix="late", body=bytes(900))
    site.fill_logs(2)
    site.fill(3, prefix="last")
    return site, session, image, early


@pytest.mark.rule("EXC-62")
@pytest.mark.rule("EXC-63")
def test_point_in_time_reaches_exactly_the_freeze(group):
    """Databases and logs of one image: everything before the freeze, nothing after it."""
    site, session, (logs, stores), early = copied(group)
    copy = site.at(logs, stores)
    report = copy.start()
    assert copy.subjects() == early
    assert report.generations[-1] == session.copy_max
    assert set(report.recovered) == {"mb", "pub"}
    copy.engine.close()
    for name in ("mb", "pub"):
        header = read_database_header(copy.stores.fs.open(f"{name}.edb"))
        assert header.is_clean
        assert (header.gen_min_required, header.gen_max_required) == (0, 0)


@pytest.mark.rule("EXC-64")
@pytest.mark.rule("EXC-65")
def test_roll_forward_shows_every_committed_transaction(group):
    """Databases of an old image and the production logs end in the state of the crash."""
    site, _, (_, stores), _ = copied(group)
    everything = {name: list(site.engine.messages(name)) for name in ("mb", "pub")}
    site.stop()
    logs = site.logs.copy()
    logs.fs.remove("system/E00.chk")
    rolled = site.at(logs, stores)
    rolled.start()
    assert {name: list(rolled.engine.messages(name)) for name in ("mb", "pub")} == everything


@pytest.mark.rule("EXC-71")
def test_one_store_rolls_forward_beside_the_others(group):
    """A single old store joins the current other one only by rolling forward."""
    site, _, (_, old), _ = copied(group)
    everything = site.subjects()
    site.engine.close()
    stores, logs = site.stores.copy(), site.logs.copy()
    for name in ("mb.edb", "mb.stm"):
        stores.write(name, old.read(name))
    logs.fs.remove("system/E00.chk")
    rolled = site.at(logs, stores)
    rolled.start()
    assert rolled.subjects() == everything


@pytest.mark.rule("EXC-66")
def test_a_checkpoint_ahead_of_the_headers_is_stale(group):
    """The production checkpoint over old databases: -543 although the logs are there.

    Without it the same set recovers.
    """
    site, _, (_, stores), _ = copied(group)
    site.engine.idle()
    site.stop()
    logs = site.logs.copy()
    rolled = site.at(logs, stores)
    before = contents(stores)
    assert refused(rolled) == -543
    assert contents(stores) == before
    logs.fs.remove("system/E00.chk")
    rolled.start()


@pytest.mark.rule("EXC-66")
def test_a_checkpoint_that_names_an_absent_log_is_refused(group):
    """All stores clean, but the checkpoint's log is gone: -528."""
    site = group().with_stores()
    site.fill_logs(2)
    site.engine.close()
    checkpoint = read_checkpoint(site.logs.fs.open("system/E00.chk"))
    beyond = evolve(checkpoint.position, generation=checkpoint.generation + 7)
    site.logs.write("system/E00.chk", pack_checkpoint(evolve(checkpoint, position=beyond)))
    assert refused(site) == -528


def test_unusable_checkpoints_are_ignored(group):
    """A torn, foreign or missing checkpoint means that replay begins at the lowest log."""
    site = group().with_stores()
    site.fill_logs(2)
    site.fill(3)
    site.stop()
    expected = None
    checkpoint = read_checkpoint(site.logs.fs.open("system/E00.chk"))
    foreign = evolve(checkpoint, log_signature=evolve(checkpoint.log_signature, random=99))
    for raw in (bytes(8192), pack_checkpoint(foreign), None):
        logs, stores = site.image()
        if raw is None:
            logs.fs.remove("system/E00.chk")
        else:
            logs.write("system/E00.chk", raw)
        copy = site.at(logs, stores)
        report = copy.start()
        assert report.generations[0] == 1
        expected = expected or copy.subjects()
        assert copy.subjects() == expected
        assert expected[-3:] == ["m0", "m1", "m2"]


@pytest.mark.rule("EXC-66b")
@pytest.mark.rule("HAZ-23")
def test_an_empty_log_directory_is_refused_under_dirty_databases(group):
    """No logs at all: never a new stream under a dirty database; with clean ones a new stream."""
    site = group().with_stores()
    site.fill(3)
    logs, stores = site.image()
    for name in logs.fs.listdir("logs"):
        logs.fs.remove(f"logs/{name}")
    assert refused(site.at(logs, stores)) == -550
    assert logs.fs.listdir("logs") == []
    site.engine.close()
    logs, stores = site.image()
    for name in logs.fs.listdir("logs"):
        logs.fs.remove(f"logs/{name}")
    clean = site.at(logs, stores)
    report = clean.start()
    assert report.new_stream
    assert clean.engine.current_generation == 1
    assert clean.engine.log_signature != site.engine.log_signature
    assert clean.subjects() == ["m0", "m1", "m2"]
    clean.fill(1, prefix="n")
    clean.stop()
    clean.start()
    assert clean.subjects() == ["m0", "m1", "m2", "n0"]


def test_an_empty_log_directory_without_the_stores_is_refused(group):
    """A group whose logs and stores are all gone does not start as if nothing had been."""
    site = group()
    site.engine.close()
    for name in site.logs.fs.listdir("logs"):
        site.logs.fs.remove(f"logs/{name}")
    assert refused(site) == -1811


@pytest.mark.rule("EXC-67")
def test_missing_logs(group):
    """The first required log missing: -543; a hole with later logs: -528; the last ones: -543."""
    site, session, image, _ = copied(group)
    first = read_database_header(image[1].fs.open("mb.edb")).gen_min_required
    path = site.engine.log_directory.archive_path

    def without(*generations):
        logs, stores = image[0].copy(), image[1].copy()
        for generation in generations:
            logs.fs.remove(path(generation))
        return site.at(logs, stores)

    assert session.copy_max > first + 1
    assert refused(without(first)) == -543
    assert refused(without(first + 1)) == -528
    headers = [read_database_header(image[1].fs.open(f"{each}.edb")) for each in ("mb", "pub")]
    last = max(header.gen_max_required for header in headers)
    assert refused(without(*range(last, session.copy_max + 1))) == -543


@pytest.mark.rule("EXC-67")
def test_the_gap_code_is_a_matter_of_the_profile(group):
    """Older engines call a hole with later logs "required logs missing" (R-11)."""
    site = group(profile=evolve(SMALL_LOGS, gap_code=-543)).with_stores()
    site.fill_logs(3)
    site.stop()
    generation = site.engine.checkpoint_generation + 1
    site.logs.fs.remove(site.engine.log_directory.archive_path(generation))
    assert refused(site) == -543


@pytest.mark.rule("EXC-68")
def test_without_current_and_prepared_log_recovery_is_refused(group):
    """Neither Enn.log nor Enntmp.log: -528 before anything is replayed.

    So where the profile does not let the prepared log suffice.
    """
    site, _, (logs, stores), early = copied(group)
    strict = site.at(logs.copy(), stores.copy())
    strict.profile = evolve(SMALL_LOGS, temporary_log_suffices=False)
    assert refused(strict) == -528
    logs.fs.remove("logs/E00tmp.log")
    bare = site.at(logs, stores)
    assert refused(bare) == -528
    highest = bare.engine.log_directory.archived()
    last = highest[max(highest)]
    logs.fs.rename(last, "logs/E00.log")
    bare.start()
    assert bare.subjects() == early


@pytest.mark.rule("EXC-68")
def test_a_half_made_prepared_log_does_not_count(group):
    """A prepared log without a valid header is no log to go on in."""
    site, _, (logs, stores), _ = copied(group)
    logs.write("logs/E00tmp.log", bytes(512 * 256))
    assert refused(site.at(logs, stores)) == -528


@pytest.mark.rule("EXC-69")
def test_foreign_logs_and_broken_timelines(group):
    """A log of another stream: -530; of another timeline: -515; under a wrong name: -513."""
    site, _, image, _ = copied(group)
    archived = sorted(site.at(*image).open().log_directory.archived().items())
    generation, path = archived[-1]
    header = read_log_header(image[0].fs.open(path))

    def with_header(changed, at=path):
        logs = image[0].copy()
        logs.patch(at, 0, pack_log_header(changed))
        return site.at(logs, image[1].copy())

    foreign = evolve(header, log_signature=evolve(header.log_signature, random=5))
    assert refused(with_header(foreign)) == -530
    broken = evolve(header, previous_created=evolve(header.created, raw=b"\1" * 8))
    assert refused(with_header(broken)) == -515
    renamed = evolve(header, generation=generation + 30)
    assert refused(with_header(renamed)) == -513


def test_damaged_logs_are_refused_only_where_they_are_read(group):
    """A flipped bit in a log of the range: -501; below the checkpoint nobody looks."""
    site, _, image, early = copied(group)
    archived = sorted(site.at(*image).open().log_directory.archived().items())
    checkpoint = read_checkpoint(image[0].fs.open("system/E00.chk")).generation
    assert archived[0][0] < checkpoint

    def damaged(path, offset):
        logs = image[0].copy()
        old = logs.fs.open(path).read_at(offset, 1)
        logs.patch(path, offset, bytes([old[0] ^ 4]))
        return site.at(logs, image[1].copy())

    for offset in (100, 4096 + 50):
        assert refused(damaged(archived[-1][1], offset)) == -501
        fine = damaged(archived[0][1], offset)
        fine.start()
        assert fine.subjects() == early


def test_logs_of_another_size_are_refused(group):
    """An engine set up for other log sizes does not go on in these logs: -541."""
    site = group().with_stores()
    site.stop()
    site.profile = evolve(SMALL_LOGS, log_sectors=512)
    assert refused(site) == -541


@pytest.mark.rule("EXC-70")
def test_a_missing_store_stops_recovery_unless_overridden(group):
    """-1216, event 494, nothing changed; the override recovers the rest and strands the store."""
    site = group().with_stores()
    site.fill(4)
    site.fill(4, store="pub")
    settle(site)
    site.stop()
    logs, stores = site.image()
    for name in ("pub.edb", "pub.stm"):
        stores.fs.remove(name)
    before = contents(logs), contents(stores)
    copy = site.at(logs, stores)
    assert refused(copy) == -1216
    assert 494 in copy.event_ids()
    assert (contents(logs), contents(stores)) == before
    report = copy.start(allow_missing=True)
    assert report.missing == ("M:\\pub.edb",)
    assert copy.subjects() == ["m0", "m1", "m2", "m3"]
    copy.engine.close()
    for name in ("pub.edb", "pub.stm"):
        stores.write(name, site.stores.read(name))
    copy.open()
    copy.engine.recover()
    with pytest.raises(StoreError) as caught:
        copy.engine.mount("pub")
    assert caught.value.native == -550


def test_a_store_with_an_unreadable_header_stops_recovery(group):
    """Both header copies gone: the store's own error, not a silent loss."""
    site = group().with_stores()
    site.fill(1)
    settle(site)
    site.stop()
    site.stores.patch("mb.edb", 0, bytes(8192))
    assert refused(site) == -1018


def test_a_store_whose_making_was_interrupted_is_made_again(group):
    """While the logs hold a store's creation, its files may be lost altogether."""
    site = group().with_stores()
    site.fill(2)
    site.stop()
    site.stores.patch("mb.edb", 0, bytes(8192))
    site.stores.fs.remove("mb.stm")
    site.stores.fs.remove("pub.edb")
    site.start()
    assert site.subjects() == ["m0", "m1"]
    assert site.subjects("pub") == []


@pytest.mark.rule("EXC-72")
def test_a_create_record_after_the_copy_wipes_the_store(group):
    """Rolling an old store forward over a dial-tone database in its place empties it."""
    site = group().with_stores("mb")
    site.fill(60, prefix="precious", body=bytes(1000))
    _, (_, old) = frozen_image(site)
    site.engine.snapshot_session.abort()
    site.engine.dismount("mb")
    site.engine.forget_database("mb")
    for name in ("mb.edb", "mb.stm"):
        site.stores.fs.remove(name)
    site.with_stores("mb")
    site.fill(2, prefix="dialtone")
    site.stop()
    logs = site.logs.copy()
    logs.fs.remove("system/E00.chk")
    rolled = site.at(logs, old)
    report = rolled.start("mb")
    assert report.recovered == ("mb",)
    assert rolled.subjects() == ["dialtone0", "dialtone1"]
    rolled.engine.close()
    assert not any(rolled.stores.read("mb.edb")[40 * 4096 :])


@pytest.mark.rule("EXC-73")
def test_two_timelines_after_a_point_in_time_recovery(group):
    """After point in time and new activity, generation G+1 exists twice.

    The two are told apart by creation time; the old timeline's logs do not join the new one.
    """
    site, session, (logs, stores), _ = copied(group)
    following = session.copy_max + 1
    path = site.engine.log_directory.archive_path(following)
    old = read_log_header(site.logs.fs.open(path))
    copy = site.at(logs, stores)
    copy.start()
    copy.fill_logs(2)
    new = read_log_header(logs.fs.open(path))
    assert new.previous_created == old.previous_created
    assert new.created != old.created
    copy.stop()
    logs.fs.remove("system/E00.chk")
    logs.write(path, site.logs.read(path))
    assert refused(copy) == -515


@pytest.mark.rule("EXC-73")
def test_the_right_number_of_another_timeline_is_not_the_required_log(group):
    """A store that needs log G+1 of one timeline refuses the other timeline's G+1: -543."""
    site = group().with_stores()
    session, (logs, stores) = frozen_image(site)
    site.fill(2)
    site.engine.flush_pages()
    site.stop()
    copy = site.at(logs, stores)
    copy.start()
    copy.stop()
    logs.fs.remove("system/E00.chk")
    header = read_database_header(site.stores.fs.open("mb.edb"))
    assert header.gen_max_required == session.copy_max + 1
    assert refused(site.at(logs, site.stores)) == -543


def test_point_in_time_without_any_time_passing_still_makes_a_timeline_of_its_own(group):
    """Even if the clock stands still, the recovered stream's next log is a different one."""
    site = group().with_stores()
    session, (logs, stores) = frozen_image(site)
    copy = site.at(logs, stores)
    copy.open()
    copy.engine.recover()
    ours = read_log_header(site.logs.fs.open("logs/E00.log"))
    theirs = read_log_header(logs.fs.open("logs/E00.log"))
    assert ours.generation == theirs.generation == session.copy_max + 1
    assert ours.created != theirs.created


def lost_flush(site):
    """A crashed group in which an old version of a leaf has come back after a checkpoint."""
    site.fill(2, body=bytes(300))
    site.engine.idle()
    at = (MESSAGES_ROOT + 1) * 4096
    old = site.stores.read("mb.edb")[at : at + 4096]
    site.fill(2, body=bytes(300))
    site.engine.idle()
    site.engine.roll_log()
    site.engine.advance_checkpoint()
    site.fill(1, body=bytes(300))
    return at, old


def test_a_lost_flush_is_found_by_redo(group):
    """A page older than the log expects is -566, whether or not its image was logged later."""
    for flush_again in (False, True):
        site = group().with_stores("mb")
        at, old = lost_flush(site)
        if flush_again:
            site.engine.flush_pages()
        site.stop()
        site.stores.patch("mb.edb", at, old)
        assert refused(site.at()) == -566


def test_a_page_of_another_history_is_found_by_redo(group):
    """A page whose dbtime lies between two the log knows is -567."""
    site = group().with_stores("mb")
    ids = site.fill(8, body=bytes(1000))
    settle(site)
    number, _ = _leaf_of(site, ids[0])
    for index in range(3):
        site.engine.replace_message("mb", ids[0], Message(subject=f"{index}", body=bytes(1000)))
        site.engine.replace_message("mb", ids[-1], Message(subject=f"{index}", body=bytes(1000)))
    site.stop()
    at = (number + 1) * 4096
    page = bytearray(site.stores.read("mb.edb")[at : at + 4096])
    header = read_database_header(site.stores.fs.open("mb.edb"))
    page[8:16] = (header.dbtime_dirtied + 2).to_bytes(8, "little")
    seal_page(page, number)
    site.stores.patch("mb.edb", at, page)
    site.open("mb")
    with pytest.raises(StoreError) as caught:
        site.engine.recover()
    assert caught.value.native == -567


def _leaf_of(site, message_id):
    tree = MessageTree(site.engine.databases["mb"])
    path = tree._path(part_key(message_id, 0))
    return path[-1], tree


def test_a_torn_page_is_rebuilt_from_the_image_before_its_write(group):
    """A page whose write tore at the crash comes back from the log.

    One that never was written since the checkpoint cannot, and is -1018.
    """
    site = group().with_stores("mb")
    site.fill(3, body=bytes(300))
    site.engine.flush_pages()
    expected = site.subjects()
    site.stop()
    at = (MESSAGES_ROOT + 1) * 4096
    torn = site.stores.copy()
    torn.patch("mb.edb", at + 2048, random.Random(5).randbytes(512))
    copy = site.at(site.logs.copy(), torn)
    copy.start("mb")
    assert copy.subjects() == expected
    site.start("mb")
    site.engine.roll_log()
    site.engine.idle()
    site.fill(1)
    site.stop()
    site.stores.patch("mb.edb", at + 2048, random.Random(5).randbytes(512))
    site.open("mb")
    with pytest.raises(StoreError) as caught:
        site.engine.recover()
    assert caught.value.native == -1018


def test_an_old_clean_store_does_not_fit_newer_logs(group):
    """A cleanly dismounted old file under logs that begin after its time: -551."""
    site = group().with_stores("mb")
    site.engine.dismount("mb")
    old = site.stores.read("mb.edb")
    site.engine.mount("mb")
    site.fill(1)
    site.engine.dismount("mb")
    site.engine.mount("mb")
    site.engine.roll_log()
    site.engine.idle()
    site.fill(1)
    site.stop()
    site.stores.write("mb.edb", old)
    site.open("mb")
    with pytest.raises(StoreError) as caught:
        site.engine.recover()
    assert caught.value.native == -551


def test_an_old_clean_store_does_not_fit_a_later_attachment(group):
    """The log attaches the store as it was after a session that the file has not seen: -551."""
    site = group().with_stores("mb")
    site.engine.dismount("mb")
    old = site.stores.read("mb.edb")
    site.engine.mount("mb")
    site.fill(1)
    site.engine.dismount("mb")
    settle(site)
    site.engine.mount("mb")
    site.fill(1)
    site.stop()
    site.stores.write("mb.edb", old)
    site.open("mb")
    with pytest.raises(StoreError) as caught:
        site.engine.recover()
    assert caught.value.native == -551


def test_a_clean_store_rolls_forward_through_later_sessions(group):
    """A clean old file and all logs since: every later session is replayed into it."""
    site = group().with_stores("mb")
    site.fill(1, prefix="a")
    site.engine.dismount("mb")
    old = {name: site.stores.read(name) for name in ("mb.edb", "mb.stm")}
    site.engine.mount("mb")
    site.fill(2, prefix="b")
    site.engine.dismount("mb")
    site.engine.mount("mb")
    site.fill(2, prefix="c")
    site.stop()
    for name, raw in old.items():
        site.stores.write(name, raw)
    site.logs.fs.remove("system/E00.chk")
    site.start("mb")
    assert site.subjects() == ["a0", "b0", "b1", "c0", "c1"]


def test_a_dirty_store_rolls_forward_through_its_dismount(group):
    """An old dirty copy passes the clean end of its session and the sessions after it."""
    site = group().with_stores("mb")
    site.fill(2, prefix="a")
    _, (_, old) = frozen_image(site)
    site.engine.snapshot_session.abort()
    site.fill(1, prefix="b")
    site.engine.dismount("mb")
    site.engine.mount("mb")
    site.fill(1, prefix="c")
    site.engine.dismount("mb")
    expected = ["a0", "a1", "b0", "c0"]
    site.stop()
    logs = site.logs.copy()
    logs.fs.remove("system/E00.chk")
    rolled = site.at(logs, old)
    report = rolled.start("mb")
    assert rolled.subjects() == expected
    assert report.recovered == ("mb",)


@pytest.mark.rule("EXC-76")
def test_recovery_of_a_clone_leaves_the_image_alone(group):
    """Replay on a copy of the copy changes no byte of the copy itself."""
    site, _, (logs, stores), _ = copied(group)
    before = contents(logs), contents(stores)
    site.at(logs.copy(), stores.copy()).start()
    assert (contents(logs), contents(stores)) == before


def test_an_open_transaction_is_taken_back(group):
    """A transaction without an end, its pages on disk, is gone after recovery."""
    site = group().with_stores("mb")
    ids = site.fill(3)
    transaction = site.engine.begin()
    transaction.delete("mb", ids[0])
    transaction.replace("mb", ids[1], Message(subject="changed", body=bytes(2500)))
    transaction.insert("mb", Message(subject="new", body=bytes(1500)))
    site.engine.flush_pages()
    site.stop()
    report = site.start("mb")
    assert report.undone_transactions == 1
    assert site.subjects() == ["m0", "m1", "m2"]


def test_a_half_finished_rollback_is_gone_on_with(group):
    """What a rollback had taken back before the crash is not taken back twice."""
    site = group().with_stores("mb")
    ids = site.fill(2)
    transaction = site.engine.begin()
    transaction.delete("mb", ids[0])
    transaction.insert("mb", Message(subject="new"))
    transaction.delete("mb", ids[1])
    transaction._undo_to(1)
    site.engine.flush_pages()
    site.stop()
    site.start("mb")
    assert site.subjects() == ["m0", "m1"]


def test_recovery_reports_what_it_replayed(group):
    """One event 301 per log and 302 at the end; a failure is 454."""
    site = group().with_stores("mb")
    site.fill_logs(2)
    site.stop()
    report = site.start("mb")
    assert site.event_ids() == [301] * len(report.generations) + [302]
    site.stop()
    site.logs.fs.remove("logs/E00.log")
    site.open("mb")
    with pytest.raises(StoreError):
        site.engine.recover()
    assert site.event_ids() == [454]
