"""A word where an enum is meant: taken for what it says, or refused with what there is."""

from __future__ import annotations

import pytest

import frskit
from frskit import BackupType, CopyKind, RecoveryMethod, RecoveryMode
from frskit.errors import UsageError
from frskit.model.choices import chosen


@pytest.mark.parametrize("kind", [BackupType, CopyKind, RecoveryMode, RecoveryMethod])
def test_every_member_answers_to_its_value_and_its_name(kind):
    """In any case, with hyphens or underscores."""
    for member in kind:
        for word in (member.value, member.value.upper(), member.name, member.name.lower()):
            assert chosen(kind, word, "it") is member
        assert chosen(kind, member, "it") is member


@pytest.mark.parametrize("value", ["", "swop", 3, None, BackupType.FULL])
def test_anything_else_is_refused_with_what_there_is(value):
    """Also a member of another enum."""
    with pytest.raises(UsageError, match="the method cannot be") as caught:
        chosen(RecoveryMethod, value, "the method")
    assert "copy-back" in caught.value.hint


def test_the_requestor_takes_words():
    """As a script or a notebook writes them; a wrong word disturbs nobody."""
    with frskit.lab(seed=2) as site:
        copy = site.frs.create_copy("evs1", ["sg1"], backup_type="full", kind="snapclone")
        assert (copy.backup_type, copy.kind) == (BackupType.FULL, CopyKind.SNAPCLONE)
        plan = site.frs.plan_recovery(copy.id, mode="point-in-time", method="COPY_BACK")
        assert (plan.mode, plan.method) == (RecoveryMode.POINT_IN_TIME, RecoveryMethod.COPY_BACK)
        for call in (
            lambda: site.frs.create_copy("evs1", ["sg1"], backup_type="ful"),
            lambda: site.frs.plan_copy("evs1", ["sg1"], backup_type="full", kind="clone"),
            lambda: site.frs.start_copy("evs1", ["sg1"], backup_type="everything"),
            lambda: site.frs.plan_recovery(copy.id, mode="backward"),
        ):
            with pytest.raises(UsageError):
                call()
        assert [each.id for each in site.frs.copies()] == [copy.id]
