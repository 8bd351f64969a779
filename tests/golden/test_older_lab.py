"""A durable lab that frskit 0.1.0 made, killed in the middle of a copy: it opens, resumes, recovers.

``lab-0.1.0.tar.xz`` holds such a directory: one verified copy of 20 messages, 10 messages since,
and a second copy whose process was killed while it normalized. It holds one record of every kind
that frskit keeps, in the form of that version.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from support.labs import mail

import frskit
from frskit import BackupType, RecoveryMode, Verdict

ARCHIVE = Path(__file__).with_name("lab-0.1.0.tar.xz")


@pytest.fixture
def place(tmp_path):
    """The directory, unpacked."""
    with tarfile.open(ARCHIVE) as archive:
        # Python 3.11.0 to 3.11.3 have no filters yet; 3.14 warns without one.
        safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(tmp_path, **safe)  # noqa: S202 - the repository's own
    return tmp_path / "lab"


@pytest.mark.crash
@pytest.mark.rule("FRS-48")
def test_a_lab_of_an_older_version_goes_on(place):
    """Catalog, journal, sessions of the dead process, mounts and the array's records are read."""
    with frskit.open_site(place) as site:
        (resumed,) = site.frs.resume()
        assert resumed.result == "rolled back"
        copies = site.frs.copies()
        (good,) = [each for each in copies if each.verdict is Verdict.VERIFIED]
        assert mail(site) == 30
        kept = {member.storage for member in good.members}
        assert {each.id for each in site.eva.copies()} == kept
    with frskit.open_site(place) as site:
        assert site.frs.resume() == ()
        site.frs.recover(site.frs.plan_recovery(good.id, mode=RecoveryMode.POINT_IN_TIME))
        assert mail(site) == 20
        site.deliver("evs1", "sg1", messages=5)
        again = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
        assert again.recoverable
    with frskit.open_site(place) as site:
        assert mail(site) == 25
        assert len(site.frs.copies()) == 3
