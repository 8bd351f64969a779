"""Values of arrays: names, open ways of access, copies of which little is known."""

from __future__ import annotations

import pytest

from frskit.errors import LimitExceeded, UsageError
from frskit.model import (
    AccessKind,
    ArrayCapabilities,
    ArrayCopy,
    CopyKind,
    CopyState,
    NameRule,
    OtherAccess,
    StorageId,
    StorageState,
)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", UsageError),
        ("  ", UsageError),
        ("a ", UsageError),
        (" a", UsageError),
        ("a\nDEL b", UsageError),
        ("\ud800", UsageError),
        ("Active", UsageError),
        ("a/b", UsageError),
        ("x" * 9, LimitExceeded),
        ("\u00fc" * 5, LimitExceeded),
    ],
)
def test_names_that_are_none(name, error):
    """Blank, padded, over two lines, reserved, too long in bytes."""
    rule = NameRule(max_bytes=8, allowed=r"[^\x00-\x1f/]+", reserved=frozenset({"ACTIVE"}))
    assert rule.refusal(name)
    with pytest.raises(error):
        rule.check(name, "disk")


def test_names_that_are_fine():
    """Up to the limit, and everything that is not forbidden."""
    rule = NameRule(max_bytes=8)
    for name in ("a", "x" * 8, "\u00fc" * 4, "a b", "a=b,#"):
        assert rule.refusal(name) is None
        rule.check(name)


def test_names_that_are_the_same():
    """Case counts unless the array folds it."""
    assert not NameRule().same("db", "DB")
    assert NameRule(folds_case=True).same("db", "DB")
    assert NameRule().same("db", "db")


def test_the_ways_of_access_are_an_open_set():
    """Members are texts, so that capabilities can name ways that frskit does not know."""
    given = ArrayCapabilities(kinds=frozenset(), access=frozenset({"scsi-lun", "iscsi"}))
    assert AccessKind.SCSI_LUN in given.access
    assert AccessKind.HOST_PATH not in given.access
    assert sorted([AccessKind.SCSI_LUN, "iscsi"]) == ["iscsi", "scsi-lun"]
    other = OtherAccess(kind="iscsi", address=(("target", "iqn.2001-04.com.example"),))
    assert other.kind in given.access


@pytest.mark.parametrize("state", list(CopyState))
@pytest.mark.parametrize("storage_state", list(StorageState))
def test_what_a_copy_is_good_for(state, storage_state):
    """Lost: no data, or not for long. Busy: wait. Of an unknown state the checker decides."""
    copy = ArrayCopy(
        id=StorageId("x:1"),
        source=None,
        key=None,
        kind=None,
        state=state,
        size_bytes=None,
        storage_state=storage_state,
    )
    assert copy.is_lost == (
        state is CopyState.INVALID or storage_state.value in ("deleting", "failed")
    )
    assert copy.is_busy == (
        state is CopyState.NORMALIZING or storage_state.value in ("preparing", "restoring")
    )
    assert copy.to_dict()["source"] is None
    assert CopyKind.SNAPCLONE is not copy.kind
