"""Each choice of the site has one owner, and does what it says."""

from __future__ import annotations

import pytest
from support.bench import Bench

import frskit
from frskit import BackupType, Policy, Verdict
from frskit.errors import IntegrityError
from frskit.model.checks import Coverage, FileVerdict


def with_one_bit(policy):
    """A lab whose mailbox store has a page with one correctable bit."""
    site = frskit.lab(seed=8, policy=policy)
    site.deliver("evs1", "sg1", messages=50)
    site.exchange.group("sg1").roll()
    site.advance(600)
    site.damage_database("evs1", "sg1", page=5)
    return site


@pytest.mark.rule("R-2")
def test_a_correctable_page_fails_a_copy_unless_the_site_accepts_it():
    """Not verified by default; `accept_correctable` alone lets it pass, and truncation follows."""
    with with_one_bit(Policy()) as site, pytest.raises(IntegrityError, match="correctable"):
        site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
    with with_one_bit(Policy(accept_correctable=True)) as site:
        copy = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
        assert copy.verdict is Verdict.VERIFIED
        assert {each.verdict for each in copy.report.damaged} == {FileVerdict.CORRECTABLE}
        assert sum(each.count for each in copy.truncated)


@pytest.mark.rule("R-3")
@pytest.mark.parametrize("accepted", [True, False])
def test_truncation_after_a_partial_check_is_the_sites_choice(accepted):
    """Streaming files are checked by their headers only: a site may keep its logs then."""
    with frskit.lab(seed=8, policy=Policy(accept_partial_coverage=accepted)) as site:
        site.deliver("evs1", "sg1", messages=30)
        site.exchange.group("sg1").roll()
        copy = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
        assert copy.verdict is Verdict.VERIFIED
        assert copy.report.coverage is Coverage.HEADERS
        assert bool(sum(each.count for each in copy.truncated)) is accepted


@pytest.mark.rule("EXC-51")
def test_a_damaged_checkpoint_does_not_fail_a_copy():
    """Recovery does without it: the report names it, the copy is verified."""

    class Damage:
        def emit(self, event):
            if getattr(event, "stage", None) == "imported":
                flip_checkpoint(site)

    with frskit.lab(seed=8) as site:
        site.deliver("evs1", "sg1", messages=10)
        site.frs.subscribe(Damage())
        copy = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.COPY)
        (file,) = copy.report.damaged
        assert file.path.endswith("E00.chk")
        assert copy.recoverable


def flip_checkpoint(site):
    """One bit of each copy of the checkpoint in the newest copy."""
    copy = site.frs.copy(site.frs.copies()[0].id)
    (storage,) = [each.storage for each in copy.members if each.mount_point == "L:\\"]
    bench = Bench(site)
    for offset in (40, 4096 + 40):
        bench.flip(storage, "exchsrvr/sg1/E00.chk", offset)
