"""Parts for the tests of the shadow copy service."""

from __future__ import annotations

import pytest

from frskit.testing.fakes.site import SmallSite


@pytest.fixture
def site():
    """A site of small parties."""
    return SmallSite()


@pytest.fixture
def make_site():
    """Function: keyword arguments of a site -> the site."""
    return SmallSite
