"""A checker's report counts only as far as it names what the copy holds."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from attrs import evolve
from support.bench import Bench

import frskit
from frskit import BackupType, Completion, CopyLife, RecoveryMethod, RecoveryMode, Verdict
from frskit.errors import FrskitError, IntegrityError, VolumeNotFound
from frskit.frs.recovery.legality import table_rows
from frskit.frs.report_completeness import held_against_files
from frskit.model.checks import CheckedFile, ComponentCheck, FileVerdict, IntegrityReport
from frskit.model.components import Component, ComponentId
from frskit.model.files import FileRole, FileSet
from frskit.model.storage import CopyKind

ID = ComponentId(writer_id="w", logical_path="", name="kv")


class Liar:
    """The site's checker, with a report that a lie has been put into."""

    def __init__(self, honest, lie):
        self._honest, self._lie = honest, lie

    @property
    def name(self):
        """Its name."""
        return "liar 1.0"

    def available(self, server):
        """It is always there."""
        return self._honest.available(server)

    def check(self, target, **options):
        """The lie."""
        return self._lie(self._honest.check(target, **options))


def without(report, role):
    """The report without one file of this kind."""
    (gone, *_) = [each for each in report.files if each.role is role]
    return evolve(report, files=tuple(each for each in report.files if each is not gone))


def damaged(report, role):
    """The report with one needed file of this kind damaged, and the verdict left good."""
    (hit, *_) = [each for each in report.files if each.role is role]
    bad = evolve(hit, verdict=FileVerdict.DAMAGED, needed=True)
    return evolve(report, files=tuple(bad if each is hit else each for each in report.files))


def of_another(report):
    """A report about a component that nobody asked about."""
    other = ComponentId(writer_id="w", logical_path="", name="another")
    return evolve(report, components=(evolve(report.components[0], component=other),))


def twice(report):
    """Two verdicts on one component: the first one bad."""
    bad = evolve(report.components[0], image_ok=False)
    return evolve(report, components=(bad, *report.components))


def crash(report):
    """A defect of the checker."""
    raise ZeroDivisionError("vendor bug")


LIES = {
    "no files": lambda report: evolve(report, files=()),
    "no components": lambda report: evolve(report, components=()),
    "nothing at all": lambda report: evolve(report, files=(), components=()),
    "another component only": of_another,
    "two verdicts": twice,
    "one database left out": lambda report: without(report, FileRole.DATABASE),
    "one log left out": lambda report: without(report, FileRole.LOG),
    "the checkpoint left out": lambda report: without(report, FileRole.CHECKPOINT),
    "a damaged database passed": lambda report: damaged(report, FileRole.DATABASE),
    "None": lambda report: None,
    "a dictionary": lambda report: {"image_ok": True},
    "a crash": crash,
}


def logs(site):
    """Production's log files."""
    place = site.parties.production.resolve("L:\\exchsrvr\\sg1")
    return set(site.parties.production.files(place.volume).listdir(place.path))


def lying(site, lie):
    """The same site with a checker that lies."""
    production = site.parts.productions["evs1"]
    parts = evolve(
        site.parts,
        productions={"evs1": evolve(production, checker=Liar(production.checker, lie))},
    )
    return frskit.FastRecovery(parts)


@pytest.mark.rule("FRS-08", "HAZ-17")
@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
def test_no_lie_of_a_checker_verifies_a_copy_or_cuts_a_log(lie):
    """Typed, with a reason; nothing is truncated; the writer is told failure; production runs."""
    with frskit.lab(seed=8) as site:
        site.deliver("evs1", "sg1", messages=30)
        site.exchange.group("sg1").roll()
        before = logs(site)
        with pytest.raises(IntegrityError) as caught:
            lying(site, lie).create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
        assert len(str(caught.value)) > len("the copy did not pass its check: ")
        copy = caught.value.copy
        assert copy.life is CopyLife.FAILED
        assert copy.verdict in (Verdict.CORRUPT, Verdict.UNKNOWN)
        assert copy.completion is Completion.FAILED
        assert copy.truncated == () or not sum(each.count for each in copy.truncated)
        assert logs(site) >= before
        assert site.deliver("evs1", "sg1", messages=1) == 1
        assert site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL).recoverable


def test_the_honest_report_stays_as_it_is():
    """Nothing is added to a report that names everything."""
    seen = []
    with frskit.lab(seed=8) as site:
        copy = lying(site, lambda report: seen.append(report) or report).create_copy(
            "evs1", ["sg1"], backup_type=BackupType.FULL
        )
        assert [copy.report] == seen


def test_a_database_that_is_in_neither_copy_nor_report_fails_the_copy():
    """A store whose file the copy lacks is missed even if the checker forgets it too."""
    with frskit.lab(seed=8) as site:

        def forget(report):
            (store, *_) = [each for each in report.files if each.path.endswith("mbx-sg1.edb")]
            assert store.verdict is FileVerdict.MISSING
            kept = tuple(each for each in report.files if each is not store)
            good = tuple(
                evolve(each, image_ok=True, truncation_ok=True, problems=())
                for each in report.components
            )
            return evolve(report, files=kept, components=good)

        def remove():
            (member,) = [
                each.storage
                for each in site.frs.copy(site.frs.copies()[0].id).members
                if each.mount_point == "M:\\"
            ]
            Bench(site).remove(member, "exchsrvr/sg1/mbx-sg1.edb")

        site.frs.subscribe(_AtNormalized(remove))
        with pytest.raises(IntegrityError, match="mbx-sg1"):
            lying(site, forget).create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)


class _AtNormalized:
    def __init__(self, action):
        self._action = action

    def emit(self, event):
        if getattr(event, "stage", None) == "normalized":
            self._action()


def test_a_checker_that_times_out_stays_typed():
    """An error of frskit's own tree is not renamed."""

    def stop(report):
        raise frskit.errors.TimedOut("too slow")

    with frskit.lab(seed=8) as site, pytest.raises(FrskitError) as caught:
        lying(site, stop).create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
    assert isinstance(caught.value, frskit.errors.TimedOut)


def test_a_file_set_on_a_volume_that_was_not_copied_has_no_file():
    """It is no foreign error: the report has to name the set, or the copy does not pass."""

    class Target:
        components = (Component(id=ID, files=(FileSet(path="X:\\gone", pattern="*.log"),)),)
        copy = SimpleNamespace(selected=components, late=())

        def find(self, files):
            raise VolumeNotFound("X: is not part of the copy")

    report = IntegrityReport(
        checker="c",
        files=(),
        components=(ComponentCheck(component=ID, image_ok=True, truncation_ok=True),),
    )
    held = held_against_files(report, Target(), "c")
    assert not held.image_ok
    assert any("means no file" in text for each in held.components for text in each.problems)


@pytest.mark.parametrize("named", [False, True])
def test_a_component_that_nobody_selected_stands_against_all(named):
    """What lies in the copy above no selected component must be accounted for as well [EXC-53]."""
    other = ComponentId(writer_id="w", logical_path="", name="other")
    stray = FileSet(path="L:\\other", pattern="*.log")

    class Target:
        components = (Component(id=ID), Component(id=other, files=(stray,)))
        copy = SimpleNamespace(selected=(components[0],), late=())

        def find(self, files):
            return (("L:\\other\\1.log", SimpleNamespace(size_bytes=7)),)

    file = CheckedFile(
        component=other,
        path="L:\\other\\1.log",
        role=FileRole.LOG,
        verdict=FileVerdict.OK,
        size_bytes=7,
    )
    report = IntegrityReport(
        checker="c",
        files=(file,) if named else (),
        components=(ComponentCheck(component=ID, image_ok=True, truncation_ok=True),),
    )
    assert held_against_files(report, Target(), "c").image_ok is named


def test_the_table_of_what_is_legal_has_a_row_for_every_combination():
    """As the documentation shows it."""
    rows = table_rows()
    assert len(rows) == len(CopyKind) * len(RecoveryMode) * len(RecoveryMethod)
    assert ("snapclone", "point-in-time", "swap", "legal") in rows
    assert any(text != "legal" for *_, text in rows)
