"""A lab with a copy, for whatever is recovered from."""

from __future__ import annotations

import pytest

import frskit
from frskit import BackupType


@pytest.fixture
def site():
    """A lab with 50 messages, a copy of them, and 20 messages since."""
    with frskit.lab(seed=3) as made:
        made.deliver("evs1", "sg1", messages=50)
        made.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
        made.deliver("evs1", "sg1", messages=20)
        yield made


@pytest.fixture
def copy(site):
    """The whole record of the one copy."""
    (found,) = site.frs.copies()
    return site.frs.copy(found.id)
