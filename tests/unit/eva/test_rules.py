"""The copy rules as a table: every state of a source against every wish."""

from __future__ import annotations

from itertools import product

import attrs
import pytest

from frskit.codes.eva import ARRAY_RULES, array_rule
from frskit.errors import (
    CopyConflict,
    CopyInvalid,
    HasDependents,
    LimitExceeded,
    NotLicensed,
    StillPresented,
    UnsupportedKind,
)
from frskit.eva.models import EVA5000, EVA8000, STRICT, Vraid
from frskit.eva.rules import (
    COPY_RULES,
    DependentState,
    DiskState,
    RequestedCopy,
    check_copy,
    check_delete,
    check_resize,
    check_restore,
    check_set,
)
from frskit.model.storage import CopyKind, CopyState

SNAPCLONE, SNAPSHOT, VSNAP = CopyKind.SNAPCLONE, CopyKind.SNAPSHOT, CopyKind.VSNAP
RELAXED = attrs.evolve(EVA8000, source_busy_while_cloning=False)
TIB = 1024**4


def disk(*dependents, kind=None, state=None, vraid=Vraid.VRAID1, size=1 << 30, **more):
    """A source with dependents of these kinds, in its own Vraid."""
    states = tuple(DependentState(kind=each, vraid=vraid) for each in dependents)
    return DiskState(
        name="d", size_bytes=size, group="g", vraid=vraid, kind=kind, state=state,
        dependents=states, **more,
    )  # fmt: skip


def wish(kind, vraid=Vraid.VRAID1, group="g"):
    """A wish in the source's group and Vraid."""
    return RequestedCopy(kind=kind, group=group, vraid=vraid)


SOURCES = {
    "original": disk(),
    "snapshot": disk(kind=SNAPSHOT, state=CopyState.DEPENDENT),
    "vsnap": disk(kind=VSNAP, state=CopyState.DEPENDENT),
    "invalid vsnap": disk(kind=VSNAP, state=CopyState.INVALID),
    "normalizing": disk(kind=SNAPCLONE, state=CopyState.NORMALIZING),
    "independent": disk(kind=SNAPCLONE, state=CopyState.INDEPENDENT),
    "with snapshot": disk(SNAPSHOT),
    "with vsnap": disk(VSNAP),
    "being cloned": disk(SNAPCLONE),
}

# The rule that refuses, by source and wished kind; None = allowed [EVA 1.6].
EXPECTED = {
    ("original", SNAPCLONE): None,
    ("original", SNAPSHOT): None,
    ("original", VSNAP): None,
    ("snapshot", SNAPCLONE): "RULE-1",
    ("snapshot", SNAPSHOT): "RULE-1",
    ("snapshot", VSNAP): "RULE-1",
    ("vsnap", SNAPCLONE): "RULE-1",
    ("vsnap", SNAPSHOT): "RULE-1",
    ("vsnap", VSNAP): "RULE-1",
    ("invalid vsnap", SNAPCLONE): "RULE-1",
    ("invalid vsnap", SNAPSHOT): "RULE-1",
    ("invalid vsnap", VSNAP): "RULE-1",
    ("normalizing", SNAPCLONE): "RULE-3",
    ("normalizing", SNAPSHOT): "RULE-2",
    ("normalizing", VSNAP): "RULE-2",
    ("independent", SNAPCLONE): None,
    ("independent", SNAPSHOT): None,
    ("independent", VSNAP): None,
    ("with snapshot", SNAPCLONE): "RULE-3",
    ("with snapshot", SNAPSHOT): None,
    ("with snapshot", VSNAP): "RULE-7",
    ("with vsnap", SNAPCLONE): "RULE-3",
    ("with vsnap", SNAPSHOT): "RULE-7",
    ("with vsnap", VSNAP): None,
    ("being cloned", SNAPCLONE): "RULE-4",
    ("being cloned", SNAPSHOT): "RULE-4",
    ("being cloned", VSNAP): "RULE-4",
}


@pytest.mark.rule("EVA-09", "EVA-10", "EVA-11", "EVA-12", "EVA-13", "EVA-17")
@pytest.mark.parametrize(("name", "kind"), list(product(SOURCES, CopyKind)))
def test_copy_table(name, kind):
    """Each cell of source state x kind is allowed or refused by the rule of the book."""
    refusal = check_copy(SOURCES[name], wish(kind), EVA8000)
    assert (None if refusal is None else refusal.rule) == EXPECTED[name, kind]
    if refusal is not None:
        error = refusal.as_error(source="x")
        assert isinstance(error, CopyConflict)
        assert error.context == {"rule": refusal.rule, "source": "x"}
        assert refusal.rule in str(error)


@pytest.mark.rule("EVA-12", "EVA-13")
def test_newer_firmware_lets_a_source_that_is_cloned_have_snapshots():
    """Without the stricter rule a second snapclone is refused, a snapshot is not."""
    source = SOURCES["being cloned"]
    assert check_copy(source, wish(SNAPCLONE), RELAXED).rule == "RULE-4"
    assert check_copy(source, wish(SNAPSHOT), RELAXED) is None


@pytest.mark.rule("EVA-14", "EVA-15")
def test_only_snapclones_may_leave_the_group(kind):
    """A snapshot in another group is refused, a snapclone there is fine."""
    refusal = check_copy(disk(), wish(kind, group="other"), EVA8000)
    assert (refusal is None) == (kind is SNAPCLONE)
    assert refusal is None or refusal.rule == "RULE-5"


@pytest.mark.rule("EVA-16")
@pytest.mark.parametrize(("of", "to"), list(product(Vraid, Vraid)))
def test_snapshots_never_have_a_higher_vraid(of, to):
    """The Vraid of a snapshot is its source's or lower in the profile's order."""
    profile = attrs.evolve(EVA8000, vraids=frozenset(Vraid))
    order = [Vraid.VRAID0, Vraid.VRAID5, Vraid.VRAID1, Vraid.VRAID6]
    refusal = check_copy(disk(vraid=of), wish(VSNAP, to), profile)
    assert (refusal is None) == (order.index(to) <= order.index(of))
    assert refusal is None or refusal.rule == "RULE-6"
    assert check_copy(disk(vraid=of), wish(SNAPCLONE, to), profile) is None


@pytest.mark.rule("EVA-17")
def test_snapshots_of_one_disk_share_their_vraid():
    """A second snapshot in another Vraid is refused."""
    source = disk(SNAPSHOT)
    assert check_copy(source, wish(SNAPSHOT, Vraid.VRAID5), EVA8000).rule == "RULE-7"
    assert check_copy(source, wish(SNAPSHOT), EVA8000) is None


@pytest.mark.rule("EVA-18")
@pytest.mark.parametrize(
    ("hundredths", "allowed"),
    [(1, 16), (94, 16), (95, 15), (100, 15), (107, 14), (115, 13), (125, 12), (136, 11),
     (150, 10), (167, 9), (188, 8), (189, 7), (200, 7)],
)  # fmt: skip
def test_number_of_snapshots_falls_with_the_size(hundredths, allowed):
    """The read table of source size and snapshots, and no more than 15 TB by rounding."""
    size = hundredths * TIB // 100
    full, room = disk(*[VSNAP] * allowed, size=size), disk(*[VSNAP] * (allowed - 1), size=size)
    refusal = check_copy(full, wish(VSNAP), EVA8000)
    assert refusal.rule == "RULE-9"
    assert refusal.error is LimitExceeded
    assert check_copy(room, wish(VSNAP), EVA8000) is None
    assert EVA5000.snapshots_allowed(size) == 7


@pytest.mark.rule("EVA-58")
def test_without_a_licence_nothing_is_copied(kind):
    """Copy and restore are refused before any other rule is asked."""
    bare = attrs.evolve(EVA8000, licensed=False)
    assert check_copy(disk(), wish(kind), bare).error is NotLicensed
    assert check_copy(SOURCES["snapshot"], wish(kind), bare).error is NotLicensed
    copy = disk(kind=SNAPSHOT, state=CopyState.DEPENDENT)
    assert check_restore(disk(), copy, bare, related=True).error is NotLicensed


def test_a_vraid_that_the_model_lacks_is_refused():
    """Vraid 6 is not offered by the generation of the presets."""
    assert check_copy(disk(), wish(SNAPCLONE, Vraid.VRAID6), EVA8000).error is UnsupportedKind


@pytest.mark.rule("EVA-19")
def test_limits_of_sets():
    """A set counts against the model's virtual disks and its own limit."""
    assert check_set(24, 1000, EVA8000) is None
    assert check_set(25, 1000, EVA8000).rule == "RULE-8"
    assert check_set(10, 0, STRICT) is None
    assert check_set(11, 0, STRICT).error is LimitExceeded


@pytest.mark.rule("EVA-07", "EVA-08", "EVA-38")
@pytest.mark.parametrize(
    ("state", "error"),
    [
        (disk(), None),
        (disk(SNAPSHOT), HasDependents),
        (disk(VSNAP), HasDependents),
        (disk(SNAPCLONE), HasDependents),
        (disk(presented=True), StillPresented),
        (SOURCES["snapshot"], None),
        (SOURCES["normalizing"], None),
    ],
)
def test_delete_table(state, error):
    """Presented disks and those that others need stay; snapshots and clones may go."""
    refusal = check_delete(state)
    assert (None if refusal is None else refusal.error) is error


def test_resize_table():
    """Copies under way, sources of copies and sizes outside the model are refused."""
    assert check_resize(disk(), 2 << 30, EVA8000) is None
    assert check_resize(SOURCES["independent"], 2 << 30, EVA8000) is None
    assert check_resize(disk(presented=True), 2 << 30, EVA8000) is None
    assert check_resize(disk(presented=True), 1 << 20, EVA8000).error is StillPresented
    assert check_resize(disk(VSNAP), 2 << 30, EVA8000).error is HasDependents
    assert check_resize(disk(SNAPCLONE), 2 << 30, EVA8000).error is HasDependents
    assert check_resize(SOURCES["vsnap"], 2 << 30, EVA8000).error is CopyConflict
    assert check_resize(SOURCES["normalizing"], 2 << 30, EVA8000).error is CopyConflict
    for size in (0, 3 * TIB):
        assert check_resize(disk(), size, EVA8000).error is LimitExceeded


def test_restore_table():
    """Only a valid and finished copy of the hidden disk itself may be put back."""
    done = SOURCES["independent"]
    assert check_restore(disk(), done, EVA8000, related=True) is None
    assert check_restore(disk(VSNAP), SOURCES["vsnap"], EVA8000, related=True) is None
    refused = {
        (disk(), done, False): CopyConflict,
        (disk(size=1 << 31), done, True): CopyConflict,
        (disk(), SOURCES["normalizing"], True): CopyConflict,
        (disk(SNAPCLONE), done, True): CopyConflict,
        (SOURCES["vsnap"], done, True): CopyConflict,
        (disk(), SOURCES["invalid vsnap"], True): CopyInvalid,
        (disk(presented=True), done, True): StillPresented,
    }
    for (target, source, related), error in refused.items():
        assert check_restore(target, source, EVA8000, related=related).error is error


def test_every_rule_is_explained():
    """Each rule that can refuse has its sentence and source among the codes."""
    numbers = {rule.id for rule in ARRAY_RULES}
    assert {number for number, _, _ in COPY_RULES} <= numbers
    assert {"RULE-8", "RULE-10", "RULE-15", "RULE-16", "RULE-17"} <= numbers
    assert all(array_rule(number).source for number in numbers)
