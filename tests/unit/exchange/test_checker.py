"""The integrity checker on real images of a frozen storage group."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from attrs import evolve
from support.places import rank, ranks

from frskit.clock import Budget, CancelToken, VirtualClock
from frskit.errors import Cancelled
from frskit.ese import (
    LogStatus,
    check_log,
    pack_database_header,
    pack_log_header,
    read_checkpoint,
    read_database_header,
    read_log_header,
)
from frskit.exchange import EXCHANGE_2003, ExchangeChecker
from frskit.model.checks import Coverage, FileVerdict
from frskit.model.ese_structures import Signature
from frskit.model.files import FileRole

if TYPE_CHECKING:
    from frskit.model.checks import ComponentCheck, IntegrityReport

LOGS = "L:\\exchsrvr\\sg1"
MBX = "M:\\exchsrvr\\sg1\\mbx1.edb"
STM = "M:\\exchsrvr\\sg1\\mbx1.stm"
PUB = "P:\\exchsrvr\\sg1\\pub1.edb"
PAGE = 4096


def check(target, **options: bool) -> IntegrityReport:
    """The report on a copy."""
    checker = ExchangeChecker(**options)
    budget = Budget.of(VirtualClock())
    return checker.check(target, executor=None, progress=None, budget=budget)


def verdict(target, **options: bool) -> ComponentCheck:
    """The verdict on the one storage group of a copy."""
    (found,) = check(target, **options).components
    return found


def used_page(server, path: str = MBX, first: int = 40) -> int:
    """Number of an initialized page behind the catalog."""
    data = server.read(path)
    for number in range(first, len(data) // PAGE - 2):
        page = data[(number + 1) * PAGE : (number + 2) * PAGE]
        if any(page):
            return number
    raise AssertionError("the database has no used page")


@pytest.fixture
def image(world):
    """A copy with logs below and above what recovery needs."""
    world.fill_logs(4)
    world.exchange.group("sg1").idle()
    world.fill_logs(3)
    target, _, _ = world.copy()
    return target


@pytest.mark.rule("FRS-08")
def test_good_copy(image) -> None:
    """Image and truncation are fine; the numbers agree with headers, logs and checkpoint."""
    report = check(image)
    (found,) = report.components
    assert (report.image_ok, report.truncation_ok, found.problems) == (True, True, ())
    headers = [read_database_header(image.server.read(path)) for path in (MBX, PUB)]
    needed = (
        min(each.gen_min_required for each in headers),
        max(each.gen_max_required for each in headers),
    )
    generations = [each.log.rank for each in report.files if each.log is not None]
    assert ranks(found.logs_needed) == needed
    assert ranks(found.logs_held) == (min(generations), max(generations))
    checkpoint = read_checkpoint(image.server.read(f"{LOGS}\\E00.chk")).generation
    assert rank(found.truncation_bound) == min(checkpoint, needed[0], max(generations))
    assert rank(found.truncation_bound) > min(generations)


@pytest.mark.rule("FRS-12")
def test_every_file_of_the_component_list_is_in_the_report(image) -> None:
    """Databases, streaming files, logs and checkpoint: all of them, each once."""
    report = check(image)
    paths = [each.path for each in report.files]
    listed = [
        f"{drive}:\\exchsrvr\\sg1\\{name}"
        for drive in "LMP"
        for name in image.server.names(f"{drive}:\\exchsrvr\\sg1")
    ]
    assert sorted(paths) == sorted(listed)
    assert {each.role for each in report.files} == {
        FileRole.DATABASE,
        FileRole.LOG,
        FileRole.CHECKPOINT,
    }
    assert report.pages == sum(len(image.server.read(path)) // PAGE for path in (MBX, PUB)) + 2 * 2


@pytest.mark.rule("EXC-56")
def test_check_changes_nothing(image) -> None:
    """Not one byte of the copy is different afterwards."""
    before = {k: d.read(0, d.size_bytes) for k, d in image.server.devices.items()}
    check(image)
    assert {k: d.read(0, d.size_bytes) for k, d in image.server.devices.items()} == before


@pytest.mark.rule("EXC-50")
@pytest.mark.rule("EXC-57")
@pytest.mark.parametrize("path", [MBX, PUB])
def test_two_flipped_bits_fail_the_copy(image, path: str) -> None:
    """A damaged page of any database is found and named."""
    number = used_page(image.server, path) if path == MBX else 4
    image.server.flip(path, (number + 1) * PAGE + 700, 0x03)
    image.server.flip(path, (number + 1) * PAGE + 2700, 0x41)
    report = check(image)
    assert not report.image_ok
    assert not report.truncation_ok
    (damaged,) = report.damaged
    assert (damaged.path, damaged.verdict) == (path, FileVerdict.DAMAGED)
    assert f"page {number}" in damaged.detail


@pytest.mark.rule("FRS-08")
def test_any_flipped_byte_is_found(image) -> None:
    """Random bytes of used pages and of log records, one at a time: the copy never passes."""
    rng = random.Random(5)
    server = image.server
    number = used_page(server)
    places = [(MBX, (number + 1) * PAGE + rng.randrange(PAGE)) for _ in range(6)]
    needed = ranks(verdict(image).logs_needed)
    assert needed is not None
    places += [(f"{LOGS}\\E00{needed[0]:05x}.log", 4096 + rng.randrange(2000)) for _ in range(6)]
    for path, offset in places:
        original = server.read(path)[offset]
        server.write(path, bytes([original ^ 0x5A]), offset=offset)
        assert not check(image).image_ok, (path, offset)
        server.write(path, bytes([original]), offset=offset)
    assert check(image).image_ok


def test_correctable_page(image) -> None:
    """One flipped bit is a fact and a warning; whether it may pass is not the checker's [R-2]."""
    number = used_page(image.server)
    image.server.flip(MBX, (number + 1) * PAGE + 700, 0x10)
    report = check(image)
    (component,) = report.components
    assert (component.image_ok, component.truncation_ok) == (True, True)
    assert any("correctable" in each for each in component.warnings)
    (file,) = report.damaged
    assert (file.verdict, file.needed) == (FileVerdict.CORRECTABLE, True)


@pytest.mark.rule("EXC-51")
def test_damage_in_a_needed_log_fails_the_copy(image) -> None:
    """A log from the checkpoint on: nothing may follow from this copy."""
    needed = ranks(verdict(image).logs_needed)
    assert needed is not None
    image.server.flip(f"{LOGS}\\E00{needed[0]:05x}.log", 4096 + 300)
    found = verdict(image)
    assert (found.image_ok, found.truncation_ok) == (False, False)
    assert any("-501" in each for each in found.problems)


@pytest.mark.rule("EXC-51")
def test_damage_above_the_required_range_fails_the_copy(image) -> None:
    """Transactions after clean shutdown would be lost, so a later log counts as well."""
    top = max(each.log.rank for each in check(image).files if each.log)
    needed = ranks(verdict(image).logs_needed)
    assert needed is not None
    assert needed[1] <= top
    image.server.flip(f"{LOGS}\\E00{top:05x}.log", 4096 + 300)
    assert not verdict(image).image_ok


@pytest.mark.rule("EXC-51")
def test_damage_below_the_checkpoint_is_two_verdicts(image) -> None:
    """R-1: the image can be restored, but production's good log must not be cut after it."""
    image.server.flip(f"{LOGS}\\E0000002.log", 4096 + 300)
    found = verdict(image)
    assert (found.image_ok, found.truncation_ok) == (True, False)
    assert found.warnings
    assert found.problems
    assert found.logs_held is not None
    assert found.logs_held.first.rank == 3
    assert verdict(image, accept_unneeded_log_damage=True).truncation_ok
    (damaged,) = check(image).damaged
    assert not damaged.needed


@pytest.mark.rule("EXC-52")
def test_incremental_needs_every_log(image) -> None:
    """For an incremental or differential backup any damaged log fails."""
    image.server.flip(f"{LOGS}\\E0000002.log", 4096 + 300)
    assert not verdict(image, every_log_needed=True).image_ok


@pytest.mark.rule("HAZ-17")
@pytest.mark.rule("EXC-53")
@pytest.mark.parametrize("path", [MBX, STM, PUB, f"{LOGS}\\E00.chk"])
def test_missing_file_fails_the_copy(image, path: str) -> None:
    """A file of the component list that is not there is a failed check, not a shorter list."""
    image.server.remove(path)
    report = check(image)
    assert not report.image_ok
    assert [each.path for each in report.damaged] == [path]
    assert report.damaged[0].verdict is FileVerdict.MISSING


@pytest.mark.rule("HAZ-17")
def test_missing_volume_fails_the_copy(image) -> None:
    """A volume that never arrived: all its files are missing."""
    image.server.take_drive("P")
    report = check(image)
    assert not report.image_ok
    assert sum(each.verdict is FileVerdict.MISSING for each in report.files) == 2


@pytest.mark.rule("EXC-55")
def test_missing_required_log_is_543(image) -> None:
    """A generation between Rmin and Rmax that is absent: -543."""
    needed = ranks(verdict(image).logs_needed)
    assert needed is not None
    image.server.remove(f"{LOGS}\\E00{needed[0]:05x}.log")
    found = verdict(image)
    assert not found.image_ok
    assert any("-543" in each for each in found.problems)


@pytest.mark.rule("HAZ-17")
def test_missing_temporary_log_fails_the_copy(image) -> None:
    """The wildcard cannot miss it, but recovery would: -528."""
    image.server.remove(f"{LOGS}\\E00tmp.log")
    found = verdict(image)
    assert not found.image_ok
    assert any("-528" in each for each in found.problems)


def test_gap_below_what_recovery_needs(image) -> None:
    """A hole among old logs leaves the image usable and forbids truncation."""
    image.server.remove(f"{LOGS}\\E0000002.log")
    found = verdict(image)
    assert (found.image_ok, found.truncation_ok) == (True, False)


def test_gap_above_what_recovery_needs(image) -> None:
    """A hole behind the required range would lose transactions."""
    good = verdict(image)
    assert good.logs_needed is not None
    assert good.logs_held is not None
    hole = good.logs_needed.last.rank + 1
    assert hole < good.logs_held.last.rank
    image.server.remove(f"{LOGS}\\E00{hole:05x}.log")
    assert not verdict(image).image_ok


def remember_another_content(server, generation: int) -> None:
    """Let a log say that it was begun after another content of the log before."""
    path = f"{LOGS}\\E00{generation:05x}.log"
    header = read_log_header(server.read(path))
    server.write(path, pack_log_header(evolve(header, previous_checksum=4711)))


def test_a_broken_checksum_chain_above_what_recovery_needs(image) -> None:
    """Names and creation times fit, but a log saw another content of the log before: -590."""
    good = verdict(image)
    assert good.logs_needed is not None
    assert good.logs_held is not None
    broken = good.logs_needed.last.rank + 1
    assert broken < good.logs_held.last.rank
    remember_another_content(image.server, broken)
    found = verdict(image)
    assert not found.image_ok
    assert ranks(found.logs_held) == (good.logs_held.first.rank, broken - 1)
    assert any("-590" in each for each in found.problems)


def test_a_broken_checksum_chain_below_what_recovery_needs(image) -> None:
    """Old logs that do not hang together leave the image usable and forbid truncation."""
    remember_another_content(image.server, 3)
    found = verdict(image)
    assert (found.image_ok, found.truncation_ok) == (True, False)
    assert found.logs_held is not None
    assert found.logs_held.first.rank == 3


def tear(monkeypatch, name: str) -> None:
    """Let the last write of a log be broken, with a good shadow behind it."""

    def look(source):
        report = check_log(source)
        if not report.name.endswith(name):
            return report
        return evolve(report, status=LogStatus.TORN, problem="the last write is torn")

    monkeypatch.setattr("frskit.exchange.integrity.checker.check_log", look)


def test_a_torn_end_is_damage_in_an_archived_log(image, monkeypatch) -> None:
    """The engine patches the last write of the current log only; elsewhere it is -501."""
    needed = ranks(verdict(image).logs_needed)
    assert needed is not None
    tear(monkeypatch, f"E00{needed[0]:05x}.log")
    report = check(image)
    assert not report.image_ok
    assert [each.verdict for each in report.damaged] == [FileVerdict.DAMAGED]
    assert any("-501" in each for each in report.components[0].problems)


def test_a_torn_end_is_a_warning_in_the_current_log(circular_world, monkeypatch) -> None:
    """Recovery patches it."""
    circular_world.deliver(100, size=2000)
    target, _, _ = circular_world.copy()
    tear(monkeypatch, "E00.log")
    found = verdict(target)
    assert found.image_ok
    assert any("torn" in each for each in found.warnings)


@pytest.mark.rule("EXC-54")
def test_databases_of_different_streams_fail(image) -> None:
    """One database with another log signature fails at the header stage."""
    header = read_database_header(image.server.read(PUB))
    other = pack_database_header(evolve(header, log_signature=Signature(random=99)))
    image.server.write(PUB, other + other)
    found = verdict(image)
    assert not found.image_ok
    assert any("different log streams" in each for each in found.problems)


def test_checkpoint_ahead_of_the_headers_fails(world, image) -> None:
    """Such a checkpoint proves that files of different times were mixed."""
    world.exchange.group("sg1").idle()
    newer = world.server.read(f"{LOGS}\\E00.chk")
    image.server.write(f"{LOGS}\\E00.chk", newer)
    found = verdict(image)
    assert not found.image_ok
    assert any("different times" in each for each in found.problems)


def test_damaged_checkpoint_forbids_truncation(image) -> None:
    """Replay can do without it; a prediction of what will be deleted cannot."""
    for offset in (100, 4096 + 100):
        image.server.flip(f"{LOGS}\\E00.chk", offset)
    found = verdict(image)
    assert (found.image_ok, found.truncation_ok) == (True, False)
    assert found.truncation_bound is None
    assert not found.recycles_logs


@pytest.mark.rule("EXC-50")
def test_streaming_file_headers_are_checked(image) -> None:
    """Both header copies damaged, or the file of another database: the copy fails."""
    header = read_database_header(image.server.read(STM))
    other = pack_database_header(evolve(header, slv_signature=Signature(random=5)))
    original = image.server.read(STM)[: 2 * PAGE]
    image.server.write(STM, other + other)
    assert not verdict(image).image_ok
    image.server.write(STM, original)
    assert verdict(image).image_ok
    image.server.flip(STM, 60)
    image.server.flip(STM, PAGE + 60)
    assert not verdict(image).image_ok


def test_partial_coverage_is_said(image) -> None:
    """R-3: streaming files are covered by headers only; what follows is the requestor's choice."""
    report = check(image)
    assert report.coverage is Coverage.HEADERS
    assert any("headers only" in each for each in report.components[0].warnings)


@pytest.mark.rule("FRS-08")
def test_one_damaged_header_copy_fails(image) -> None:
    """The database would still open from the other copy, but a byte of a page is wrong."""
    image.server.flip(MBX, 60)
    found = verdict(image)
    assert (found.image_ok, found.truncation_ok) == (False, False)


@pytest.mark.rule("FRS-08")
def test_bytes_behind_the_last_record_count(image) -> None:
    """No checksum covers them, but they are blank; a profile of real servers may ignore them."""
    top = max(each.log.rank for each in check(image).files if each.log)
    path = f"{LOGS}\\E00{top:05x}.log"
    image.server.flip(path, len(image.server.read(path)) - 10)
    assert not verdict(image).image_ok
    real = evolve(EXCHANGE_2003, blank_log_tail=False)
    (found,) = (
        ExchangeChecker(profile=real)
        .check(image, executor=None, progress=None, budget=Budget.of(VirtualClock()))
        .components
    )
    assert found.image_ok


def test_bytes_behind_the_last_record_break_the_chain(image) -> None:
    """The run of logs that a copy holds begins above a log that was written behind its end."""
    path = f"{LOGS}\\E0000002.log"
    image.server.flip(path, len(image.server.read(path)) - 10)
    found = verdict(image)
    assert found.logs_held is not None
    assert (found.image_ok, found.truncation_ok, found.logs_held.first.rank) == (True, False, 3)


def test_a_database_without_a_readable_header_says_nothing_about_logs(image) -> None:
    """What is needed is then what the others need; the copy fails for the header itself."""
    header = read_database_header(image.server.read(MBX))
    for offset in (60, PAGE + 60):
        image.server.flip(PUB, offset)
    found = verdict(image)
    assert not found.image_ok
    assert ranks(found.logs_needed) == (header.gen_min_required, header.gen_max_required)


def test_circular_image(circular_world) -> None:
    """The current log is part of the image; nothing may be deleted."""
    circular_world.deliver(100, size=2000)
    target, _, _ = circular_world.copy()
    found = verdict(target)
    assert found.image_ok
    assert found.recycles_logs
    assert found.truncation_bound is None


def test_foreign_database_is_judged_by_its_pages_only(world) -> None:
    """R-22: pages yes, logs no, and the report says so."""
    other = make_foreign(world)
    world.exchange.add_database("sg1", "adopted", path="M:\\adopted\\a.edb", adopt=other)
    target, _, _ = world.copy()
    found = verdict(target)
    assert found.image_ok
    assert any("foreign: not judged" in each for each in found.warnings)
    number = used_page(target.server, "M:\\adopted\\a.edb", 4)
    target.server.flip("M:\\adopted\\a.edb", (number + 1) * PAGE + 700, 0x03)
    target.server.flip("M:\\adopted\\a.edb", (number + 1) * PAGE + 1701, 0x41)
    assert not verdict(target).image_ok


def make_foreign(world) -> bytes:
    """The bytes of a dirty database of another log stream."""
    world.server.add_drive("N")
    world.exchange.add_storage_group("sg9", log_path="N:\\sg9")
    world.exchange.add_database("sg9", "mbx9", path="N:\\sg9\\mbx9.edb")
    data: bytes = world.server.read("N:\\sg9\\mbx9.edb")
    return data


def test_progress_and_executor(image) -> None:
    """Progress ends at the total and never goes back; any executor will do."""
    steps: list[tuple[int, int]] = []
    with ThreadPoolExecutor(2) as executor:
        report = ExchangeChecker().check(
            image,
            executor=executor,
            progress=lambda done, total: steps.append((done, total)),
            budget=Budget.of(VirtualClock()),
        )
    total = sum(each.size_bytes for each in report.files)
    assert steps[-1] == (total, total)
    assert [done for done, _ in steps] == sorted(done for done, _ in steps)


def test_cancelled(image) -> None:
    """A cancelled check gives no verdict at all."""
    token = CancelToken()
    token.cancel()
    with pytest.raises(Cancelled):
        ExchangeChecker().check(
            image,
            executor=None,
            progress=None,
            budget=Budget.of(VirtualClock(), token=token),
        )


@pytest.mark.rule("FRS-46")
def test_always_available(image) -> None:
    """The checker needs nothing installed on the recovery server."""
    assert ExchangeChecker().available(image.server)


def test_files_of_no_selected_component_count(image) -> None:
    """Whatever is in the copy is judged, also if no selected component covers it."""
    stray = evolve(
        next(each for each in image.components if each.caption == "pub1"),
        id=evolve(image.components[0].id, logical_path="elsewhere", name="stray"),
    )
    target = evolve(
        image,
        components=(*(each for each in image.components if each.caption != "pub1"), stray),
    )
    assert verdict(target).image_ok
    image.server.flip(PUB, 5 * PAGE + 700, 0x03)
    image.server.flip(PUB, 5 * PAGE + 1701, 0x41)
    assert not verdict(target).image_ok
