"""The provider over a disk array, apart from any coordinator."""

from __future__ import annotations

from functools import partial

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from frskit.errors import (
    CopyConflict,
    LimitExceeded,
    OutcomeUnknown,
    ProviderVeto,
    UnsupportedKind,
)
from frskit.model.ids import HostRef
from frskit.model.shadows import LunInformation
from frskit.model.storage import CopyKind, SetAtomicity
from frskit.vss import ArrayProvider
from frskit.vss.provider.copy_names import copy_name, parse_copy_name
from frskit.vss.state_tables import ProviderState

ONE, TWO = "e109943b-232e-4b52-8dc4-62b7de94761b", "11111111-1111-4111-8111-111111111111"
LOGS, MAIL = LunInformation(storage="naa:logs"), LunInformation(storage="naa:mail")


def run(site, set_id=ONE, luns=(LOGS, MAIL), upto="post_commit"):
    """The calls of a creation, up to one of them."""
    provider, budget = site.provider, site.budget()
    for number, lun in enumerate(luns):
        provider.begin_prepare_snapshot(
            set_id, f"shadow-{number}", [lun], CopyKind.SNAPCLONE, context=0x29
        )
    steps = {
        "end_prepare": lambda: provider.end_prepare_snapshots(set_id, budget=budget),
        "pre_commit": lambda: provider.pre_commit_snapshots(set_id),
        "commit": lambda: provider.commit_snapshots(set_id, budget=budget),
        "post_commit": lambda: provider.post_commit_snapshots(set_id, len(luns)),
    }
    if upto != "begin":
        for name, step in steps.items():
            step()
            if name == upto:
                return


def test_names_and_comments(site):
    """A copy's name tells its set: 31 characters, parsed back; the comment has the source."""
    run(site, upto="end_prepare")
    requests = site.array._staged[ONE].requests
    assert [each.name for each in requests] == [copy_name(ONE, 0), copy_name(ONE, 1)]
    assert all(len(each.name) == 31 for each in requests)
    assert requests[0].comment.startswith(f"set {ONE} source naa:logs")


@pytest.mark.rule("R-17")
@given(st.uuids().map(str), st.integers(0, 99))
def test_names_round_trip(set_id, number):
    """Every GUID and number comes back from the name, in any case; other names are not ours."""
    name = copy_name(set_id, number)
    assert len(name) == 31
    assert parse_copy_name(name) == (set_id, number)
    assert parse_copy_name(name.upper()) == (set_id, number)
    assert parse_copy_name(name + "x") is None
    assert parse_copy_name(name[:-1]) is None


def test_bad_names():
    """Names beyond two digits are refused; padding bits that are not zero are not ours."""
    with pytest.raises(LimitExceeded):
        copy_name(ONE, 100)
    assert parse_copy_name("f-" + "a" * 25 + "b-00") is None


@pytest.mark.rule("VSS-34")
def test_the_same_lun_twice_is_one_target(site):
    """An original named in two calls gives one copy."""
    run(site, luns=(LOGS, LOGS, MAIL))
    targets = site.provider.get_target_luns([LOGS, MAIL, LOGS])
    assert len({each.storage for each in targets}) == 2
    assert targets[0] == targets[2]
    assert len(site.copies()) == 2


@pytest.mark.rule("VSS-12")
def test_targets(site):
    """Targets are in order, have version 1, the copy's identity, and no signature."""
    run(site)
    targets = site.provider.get_target_luns([MAIL, LOGS])
    sources = [site.array.luns[each.storage].copy.source for each in targets]
    assert sources == ["naa:mail", "naa:logs"]
    assert all((each.version, each.signature) == (1, "") for each in targets)
    with pytest.raises(ProviderVeto):
        site.provider.get_target_luns([LunInformation(storage="naa:other")])


@pytest.mark.rule("VSS-33")
@pytest.mark.parametrize("upto", ["begin", "end_prepare", "pre_commit", "commit", "post_commit"])
def test_new_set_discards_uncommitted_work(site, upto):
    """A new set id starts afresh in any state; only a created set keeps its copies."""
    run(site, upto=upto)
    run(site, TWO, [MAIL])
    kept = 2 if upto == "post_commit" else 0
    assert [lun.copy.key for lun in site.array.luns.values() if lun.copy] == [ONE] * kept + [TWO]
    assert site.array.staged_keys() == []
    with pytest.raises(ProviderVeto):
        site.provider.get_target_luns([LOGS])


ORDER = ["begin", "end_prepare", "pre_commit", "commit", "post_commit"]
OUT_OF_ORDER = [
    (upto, call, set_id)
    for upto in ORDER[:-1]
    for call in ORDER[1:]
    for set_id in (ONE, TWO)
    if set_id == TWO or ORDER.index(call) != ORDER.index(upto) + 1
]


@pytest.mark.rule("VSS-35")
@pytest.mark.parametrize(("upto", "call", "set_id"), OUT_OF_ORDER)
def test_out_of_order(site, upto, call, set_id):
    """A call out of order or of another set is a veto; the provider is clean and aborted."""
    run(site, upto=upto)
    calls = {
        "end_prepare": lambda: site.provider.end_prepare_snapshots(set_id, budget=site.budget()),
        "pre_commit": lambda: site.provider.pre_commit_snapshots(set_id),
        "commit": lambda: site.provider.commit_snapshots(set_id, budget=site.budget()),
        "post_commit": lambda: site.provider.post_commit_snapshots(set_id, 2),
    }
    with pytest.raises(ProviderVeto) as caught:
        calls[call]()
    assert caught.value.native == 0x80042306
    assert site.provider.state is ProviderState.ABORTED
    assert site.copies() == []
    assert site.array.staged_keys() == []


@pytest.mark.rule("VSS-32", "VSS-54")
def test_abort(site):
    """Abort cleans up at any step, repeatedly; a created set and foreign sets are left alone."""
    for upto in ("begin", "end_prepare", "pre_commit", "commit"):
        run(site, upto=upto)
        site.provider.abort_snapshots(TWO)
        assert site.provider.state is not ProviderState.ABORTED
        for _ in range(2):
            site.provider.abort_snapshots(ONE)
            assert site.provider.state is ProviderState.ABORTED
        assert (site.copies(), site.array.staged_keys()) == ([], [])
    run(site)
    site.provider.abort_snapshots(ONE)
    assert site.provider.state is ProviderState.CREATED
    assert len(site.copies()) == 2
    with pytest.raises(ProviderVeto):
        site.provider.end_prepare_snapshots(TWO, budget=site.budget())
    assert len(site.copies()) == 2


def test_unload(site):
    """Unloading cleans up a creation under way, and leaves created copies alone."""
    run(site, upto="commit")
    site.provider.on_unload()
    site.provider.on_unload()
    assert site.copies() == []
    run(site)
    site.provider.on_unload()
    assert len(site.copies()) == 2
    assert site.provider.state is ProviderState.UNKNOWN


@pytest.mark.rule("HAZ-09")
def test_no_array_call_after_a_failed_commit_inside_the_hold(site):
    """A failed commit makes no further call to the array; only Abort looks."""
    run(site, upto="pre_commit")
    site.script.on("array.commit_copies!", OutcomeUnknown("lost", key=ONE))
    site.script.steps.clear()
    with pytest.raises(OutcomeUnknown):
        site.provider.commit_snapshots(ONE, budget=site.budget())
    assert site.script.steps == ["array.commit_copies"]
    site.provider.abort_snapshots(ONE)
    assert site.copies() == []


def test_support(make_site):
    """All or nothing: unknown LUNs, missing kinds, too many LUNs, array errors are a no."""
    site = make_site(kinds=[CopyKind.SNAPSHOT], limit=1)
    supports = partial(site.provider.are_luns_supported, context=0x29)
    assert supports([LOGS], CopyKind.SNAPSHOT)
    assert supports([LOGS, LOGS], None)
    assert not supports([LOGS, MAIL], None)
    assert not supports([LOGS], CopyKind.SNAPCLONE)
    assert not supports([LunInformation(storage="naa:other")], None)
    assert not supports([], None)
    site.array.storage = lambda ids=None, **_words: (_ for _ in ()).throw(CopyConflict("down"))
    assert not supports([LOGS], None)


@pytest.mark.rule("R-23", "R-27")
def test_limits(make_site):
    """A set that is too large, or more than one LUN without a common instant, is refused."""
    site = make_site(limit=1)
    run(site, luns=[LOGS], upto="begin")
    with pytest.raises(LimitExceeded) as caught:
        site.provider.begin_prepare_snapshot(ONE, "s", [MAIL], None, context=0x29)
    assert caught.value.native == 0x80042317
    assert site.provider.state is ProviderState.PREPARING
    with pytest.raises(UnsupportedKind):
        make_site(kinds=[]).provider.begin_prepare_snapshot(ONE, "s", [MAIL], None, context=0x29)
    unit = make_site()
    import attrs

    capabilities = attrs.evolve(unit.array.capabilities, set_atomicity=SetAtomicity.UNIT)
    type(unit.array).capabilities, saved = capabilities, type(unit.array).capabilities
    try:
        assert unit.provider.are_luns_supported([LOGS], None, context=0x29)
        assert not unit.provider.are_luns_supported([LOGS, MAIL], None, context=0x29)
    finally:
        type(unit.array).capabilities = saved


@pytest.mark.rule("VSS-44")
@pytest.mark.parametrize(
    ("staged_s", "said_s", "refused"),
    [
        (None, None, False),
        (9.0, None, False),
        (9.1, None, True),
        (None, 9.1, True),
        (1.0, 100.0, False),  # what was found while staging counts
        (100.0, 1.0, True),
    ],
)
def test_what_takes_longer_than_the_hold_is_refused_before_it(
    site, monkeypatch, staged_s, said_s, refused
):
    """The last moment is EndPrepareSnapshots: nobody is frozen then, and nothing stays staged."""
    kind, real = type(site.array), site.array.stage_copies
    said = evolve(site.array.capabilities, estimate_commit_s=said_s)
    monkeypatch.setattr(kind, "capabilities", said)
    monkeypatch.setattr(
        site.array,
        "stage_copies",
        lambda *args, **words: evolve(real(*args, **words), estimate_commit_s=staged_s),
    )
    if not refused:
        run(site)
        assert site.provider.state is ProviderState.CREATED
        return
    with pytest.raises(LimitExceeded) as caught:
        run(site)
    assert caught.value.context["estimate_s"] == max(staged_s or 0, said_s or 0)
    assert caught.value.hint
    assert caught.value.native == 0x80042314
    site.provider.abort_snapshots(ONE)
    assert not site.array._staged


def test_locate_and_fill_in(site):
    """Copies are presented read-only and once; foreign disks are not known; unknown ones vetoed."""
    run(site)
    targets = site.provider.get_target_luns([LOGS, MAIL])
    site.far_provider.locate_luns([*targets, targets[0]], budget=site.budget())
    shown = [each for each in site.array.presentations() if each.host == "frs1"]
    assert len(shown) == 2
    assert all(each.read_only for each in shown)
    filled = site.far_provider.fill_in_lun_info(LunInformation(storage=targets[0].storage))
    assert filled is not None
    assert filled.storage == targets[0].storage
    assert site.far_provider.fill_in_lun_info(LunInformation(storage="naa:foreign")) is None
    with pytest.raises(ProviderVeto) as caught:
        site.far_provider.locate_luns([LunInformation(storage="naa:x")], budget=site.budget())
    assert caught.value.context["presented"] == []


@pytest.mark.rule("VSS-54")
def test_end_of_a_lun(site):
    """OnLunEmpty hides from every host and deletes; a state change with mask only hides here."""
    run(site)
    (target,) = site.provider.get_target_luns([LOGS])
    for host in ("frs1", "evs1"):
        site.array.present(target.storage, HostRef(host), read_only=True, budget=site.budget())
    site.far_provider.on_lun_state_change([target], mask=False)
    assert len(site.array.presentations(target.storage)) == 2
    site.far_provider.on_lun_state_change([target], mask=True)
    assert [each.host for each in site.array.presentations(target.storage)] == ["evs1"]
    site.provider.on_lun_empty(target, budget=site.budget())
    site.provider.on_lun_empty(target, budget=site.budget())
    assert target.storage not in site.array.luns


def test_one_identity_per_array(site):
    """Providers of one array have one id on every host, those of another array another one."""
    from frskit.testing.fakes.hardware import SmallArray

    assert site.provider.info == site.far_provider.info
    other = ArrayProvider(SmallArray(site.script, ("x",), name="EVA2"), HostRef("evs1"))
    assert other.info.id != site.provider.info.id


@pytest.mark.rule("HAZ-10")
def test_the_array_says_how_late_its_commands_may_act(site):
    """After a lost answer the provider waits as long as the array says, and looks again."""
    told = evolve(site.array.capabilities, late_effect_s=90.0)
    provider = ArrayProvider(Telling(site.array, told), site.production.host, clock=site.clock)
    site.script.on("array.commit_copies", OutcomeUnknown("lost", key=ONE))
    provider.begin_prepare_snapshot(ONE, "shadow", [LOGS], CopyKind.SNAPCLONE, context=0x29)
    provider.end_prepare_snapshots(ONE, budget=site.budget())
    provider.pre_commit_snapshots(ONE)
    with pytest.raises(OutcomeUnknown):
        provider.commit_snapshots(ONE, budget=site.budget())
    before_s = site.clock.monotonic()
    provider.abort_snapshots(ONE)
    assert site.clock.monotonic() - before_s == 90.0


def test_copies_of_unknown_source_are_taken_in_the_order_of_the_requests(site, monkeypatch):
    """An array that cannot tell what a copy is of keeps the order, as every array has to."""
    real = site.array.commit_copies

    def commit_copies(staged, *, budget):
        return [evolve(each, source=None) for each in real(staged, budget=budget)]

    monkeypatch.setattr(site.array, "commit_copies", commit_copies)
    run(site)
    targets = site.provider.get_target_luns([MAIL, LOGS])
    assert [site.array.read(each.storage) for each in targets] == [b"mail", b"logs"]


class Telling:
    """An array with other capabilities."""

    def __init__(self, array, capabilities):
        self._array, self.capabilities = array, capabilities

    def __getattr__(self, name):
        return getattr(self._array, name)
