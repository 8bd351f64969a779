"""Settings for all tests: Hypothesis profiles and the real files of other projects."""

from __future__ import annotations

import gzip
import importlib.util
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# On CI pytest explains a failed comparison by a full diff of both sides. Many tests here let broken
# implementations fail on whole disks: a diff of megabytes each time would take minutes.
for variable in ("CI", "BUILD_NUMBER"):
    os.environ.pop(variable, None)

REQUIRED = (
    ("FRSKIT_ORACLES", "oracles", ("pyesedb", "distributed")),
    ("FRSKIT_DOCS", "docs", ("sphinx", "myst_parser", "furo")),
)
"""Variable, dependency group, and the modules that must be there if the variable says so."""

settings.register_profile(
    "default",
    max_examples=60,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
settings.register_profile(
    "deep", parent=settings.get_profile("default"), max_examples=2000, derandomize=False
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "default"))


def pytest_configure(config: pytest.Config) -> None:
    """The rule marker also works where the plugin is not installed.

    With ``FRSKIT_ORACLES=required`` the independent readers and executors must be there, with
    ``FRSKIT_DOCS=required`` what builds the docs: tests that need them are not skipped silently.
    """
    for variable, group, names in REQUIRED:
        missing = [name for name in names if importlib.util.find_spec(name) is None]
        if missing and os.environ.get(variable) == "required":
            raise pytest.UsageError(f"not installed: {', '.join(missing)} (group {group!r})")
    if not config.pluginmanager.hasplugin("frskit"):
        from frskit.testing import pytest_plugin

        config.pluginmanager.register(pytest_plugin, "frskit")
        pytest_plugin.pytest_configure(config)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Fixtures make marks: independent readers ``oracle``, files of other projects ``real``."""
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "readers" in fixtures:
            item.add_marker("oracle")
        if "real_data" in fixtures:
            item.add_marker("real")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Directory with real files that are not part of the repository."""
    place = os.environ.get("FRSKIT_REAL_DATA")
    if not place:
        pytest.skip("FRSKIT_REAL_DATA is not set: real files are not available")
    if not Path(place).is_dir():
        pytest.fail(f"FRSKIT_REAL_DATA names {place}, which is not a directory")
    return Path(place)


@pytest.fixture(scope="session")
def unpack(real_data, tmp_path_factory):
    """Function: name of a real file below the data directory -> path of the unpacked file."""
    place = tmp_path_factory.mktemp("real")

    def unpacked(name: str) -> Path:
        source = real_data / name
        if source.suffix != ".gz":
            return source
        target = place / source.stem
        if not target.exists():
            target.write_bytes(gzip.decompress(source.read_bytes()))
        return target

    return unpacked
