"""May logs be cut after this copy? The rule for each component, on reports made by hand."""

from __future__ import annotations

import pytest
from attrs import evolve

from frskit import BackupType, Policy
from frskit.frs.truncation_ledger import outcomes, truncated_since, truncations
from frskit.model.checks import (
    CheckedFile,
    ComponentCheck,
    Coverage,
    FileVerdict,
    IntegrityReport,
)
from frskit.model.components import ComponentId
from frskit.model.files import FileRole
from frskit.model.log_points import LogPoint, LogRange

GROUP = ComponentId(writer_id="w", logical_path="", name="sg1")


def place(number, *, stream="s"):
    """A log of the stream."""
    return LogPoint(rank=number, name=f"log {number}", stream=stream)


def stretch(first, last):
    """From log to log."""
    return LogRange(first=place(first), last=place(last))


LOGS = tuple(
    CheckedFile(
        component=GROUP,
        path=f"L:\\sg1\\E000000{number}.log",
        role=FileRole.LOG,
        verdict=FileVerdict.OK,
        log=place(number),
    )
    for number in range(1, 6)
)
GOOD = ComponentCheck(
    component=GROUP,
    image_ok=True,
    truncation_ok=True,
    logs_held=stretch(1, 5),
    truncation_bound=place(4),
)


def objection(copy, *, files=LOGS, policy=None, kind=BackupType.FULL, **changes):
    """What stands against success for the one component; empty if nothing does."""
    report = IntegrityReport(checker="c", components=(evolve(GOOD, **changes),), files=files)
    return outcomes(evolve(copy, backup_type=kind), report, policy or Policy())[GROUP]


def with_log(number, **changes):
    """The logs, one of them changed."""
    return tuple(evolve(each, **changes) if each.log == place(number) else each for each in LOGS)


def test_a_good_copy_may_cut(copy):
    """All that would go is held, undamaged and in sequence."""
    assert objection(copy) == ""
    assert objection(copy, truncation_bound=None) == ""


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"image_ok": False}, "the copy is not usable"),
        ({"image_ok": False, "problems": ("page 3",)}, "page 3"),
        ({"truncation_ok": False}, "a log of the copy is damaged"),
        ({"truncation_ok": False, "problems": ("a gap",)}, "a gap"),
        (
            {"files": with_log(3, verdict=FileVerdict.DAMAGED)},
            "E0000003.log would be deleted, and its copy is damaged",
        ),
        ({"logs_held": None}, "E0000001.log would be deleted, and the copy does not hold it"),
        (
            {"logs_held": stretch(2, 5)},
            "E0000001.log would be deleted, and the copy does not hold it",
        ),
        (
            {"logs_held": stretch(1, 2)},
            "E0000003.log would be deleted, and the copy does not hold it",
        ),
    ],
)
def test_what_stands_against_cutting_is_said(copy, changes, said):
    """One sentence with the file or the checker's own reason."""
    assert said in objection(copy, **changes)


def test_what_stays_need_not_be_held(copy):
    """Logs at and above the bound, and files of other kinds, are nobody's business here."""
    assert (
        objection(copy, files=with_log(4, verdict=FileVerdict.DAMAGED), logs_held=stretch(1, 3))
        == ""
    )
    other = evolve(LOGS[0], role=FileRole.DATABASE, log=None, verdict=FileVerdict.DAMAGED)
    assert objection(copy, files=(*LOGS, other, evolve(other, role=FileRole.LOG))) == ""


def test_a_backup_that_cuts_nothing_needs_a_usable_image_only(copy):
    """A copy backup is a success although its logs could not be cut."""
    assert objection(copy, kind=BackupType.COPY, truncation_ok=False) == ""
    assert objection(copy, kind=BackupType.COPY, image_ok=False)


def test_a_partial_check_cuts_if_the_site_accepts_it(copy):
    """Needed files only: what a recovery does not need may be checked in part."""
    partial = with_log(5, coverage=Coverage.HEADERS)
    strict = Policy(accept_partial_coverage=False)
    assert "only in part" in objection(copy, files=partial, policy=strict)
    assert objection(copy, files=partial, policy=Policy(accept_partial_coverage=True)) == ""
    unneeded = with_log(5, coverage=Coverage.HEADERS, needed=False)
    assert objection(copy, files=unneeded, policy=strict) == ""


def test_a_copy_without_a_report_has_truncated_nothing(site, copy):
    """Nobody predicted anything, so nothing is counted as cut."""
    assert truncated_since(site.parties.production, evolve(copy, report=None)) == ()


# --- streams and components ---------------------------------------------------------------------

OTHER = ComponentId(writer_id="w", logical_path="", name="sg2")


def test_a_place_that_cannot_be_compared_is_not_safe(copy):
    """A log of another stream may be deleted or not; nobody can say that it is held."""
    strange = with_log(5, log=place(5, stream="another"))
    assert "E0000005.log may be deleted: it is of another stream" in objection(copy, files=strange)


def test_each_component_has_its_own_stream(copy):
    """The bound of one says nothing of the logs of the other; logs of nobody count for both."""
    second = evolve(
        GOOD,
        component=OTHER,
        logs_held=LogRange(first=place(1, stream="t"), last=place(5, stream="t")),
        truncation_bound=place(2, stream="t"),
    )
    others = tuple(evolve(each, component=OTHER, log=evolve(each.log, stream="t")) for each in LOGS)
    report = IntegrityReport(checker="c", components=(GOOD, second), files=(*LOGS, *others))
    assert outcomes(copy, report, Policy()) == {GROUP: "", OTHER: ""}
    stray = evolve(LOGS[0], component=evolve(GROUP, name="nobody"), log=place(1, stream="u"))
    report = evolve(report, files=(*report.files, stray))
    assert all("another stream" in each for each in outcomes(copy, report, Policy()).values())


def gone(names, *, allowed, files=LOGS):
    """What is said of logs that disappeared from production."""
    report = IntegrityReport(checker="c", components=(GOOD,), files=files)
    before = {GROUP: {f"v:sg1/{name}" for name in names}}
    (found,) = truncations(report, before, {}, {GROUP: allowed})
    return found


@pytest.mark.parametrize(
    ("allowed", "beyond"),
    [
        (place(4), ("E0000004.log",)),
        (place(5), ()),
        (place(5, stream="another"), ("E0000003.log", "E0000004.log")),
        (None, ("E0000003.log", "E0000004.log")),
    ],
)
def test_what_went_is_held_against_what_was_allowed(allowed, beyond):
    """Strictly before the bound is fine; at it, in another stream or without one it is not."""
    found = gone(["E0000003.LOG", "E0000004.log"], allowed=allowed)
    assert (found.first, found.last, found.count) == (place(3), place(4), 2)
    assert tuple(each.replace(".LOG", ".log") for each in found.beyond) == beyond


def test_what_holds_no_transactions_may_come_and_go():
    """A file of the log directory without a place; one that the copy does not know may be a log."""
    prepared = evolve(LOGS[0], path="L:\\sg1\\E00tmp.log", log=None)
    found = gone(["E00tmp.log", "E0000009.log"], allowed=place(4), files=(*LOGS, prepared))
    assert found.files == ("E0000009.log", "E00tmp.log")
    assert (found.first, found.last, found.beyond) == (None, None, ("E0000009.log",))
