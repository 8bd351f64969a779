"""Opening a site: from a file or directory, through plugins, with errors that help."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import ModuleType

import pytest

import frskit
from frskit.errors import ConfigurationError
from frskit.site import opening


@pytest.fixture
def file(tmp_path):
    """A site file of a kind of its own."""
    path = tmp_path / "site.toml"
    path.write_text('kind = "mine"\nsize = 3\n')
    return path


def plugins(monkeypatch, **found):
    """Install these plugins, by kind; a list stands for several of one kind."""
    points = [
        EntryPoint(name=kind, value=value, group="frskit.sites")
        for kind, values in found.items()
        for value in (values if isinstance(values, list) else [values])
    ]
    monkeypatch.setattr(opening, "entry_points", lambda group: points)


def open_mine(directory, settings):
    """What a plugin does."""
    return ("mine", directory, settings)


def test_a_plugin_opens_its_kind_from_file_or_directory(monkeypatch, file, tmp_path):
    """It gets the directory and everything that the file says."""
    plugins(monkeypatch, mine="plugin:open_mine", other="nowhere:nothing")
    module = ModuleType("plugin")
    module.open_mine = open_mine
    monkeypatch.setitem(sys.modules, "plugin", module)
    wanted = ("mine", tmp_path, {"kind": "mine", "size": 3})
    assert frskit.open_site(file) == wanted
    assert frskit.open_site(tmp_path) == wanted


def test_the_lab_is_a_plugin_like_any_other(tmp_path, monkeypatch):
    """It is found by its entry point, and not at all if that is gone."""
    frskit.lab(tmp_path / "lab").close()
    frskit.open_site(tmp_path / "lab").close()
    plugins(monkeypatch)
    with pytest.raises(ConfigurationError, match="'lab' is not known"):
        frskit.open_site(tmp_path / "lab")


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ({"lab": "a:b"}, "'mine' is not known"),
        ({"mine": ["a:b", "c:d"]}, "several plugins offer"),
        ({"mine": "frskit_no_such_module:open"}, "does not load"),
        ({"mine": "frskit.site:no_such_name"}, "does not load"),
    ],
    ids=["unknown", "two", "no module", "no name"],
)
def test_a_plugin_that_is_not_there_or_not_whole(monkeypatch, file, found, said):
    """Typed, with the file's name; the hint says what is installed."""
    plugins(monkeypatch, **found)
    with pytest.raises(ConfigurationError, match=said) as caught:
        frskit.open_site(file)
    assert str(file) in str(caught.value)


def test_one_plugin_that_two_distributions_declare_is_one(monkeypatch, file):
    """An editable install beside a wheel declares the same function twice."""
    plugins(monkeypatch, mine=["tests_plugin:f", "tests_plugin:f"])
    with pytest.raises(ConfigurationError, match="does not load"):
        frskit.open_site(file)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("size = 3\n", "does not say its kind"),
        ("kind = 3\n", "does not say its kind"),
        ("kind = \n", "cannot be read"),
        (b"\xff\xfe", "cannot be read"),
    ],
    ids=["no kind", "number", "no TOML", "no text"],
)
def test_a_file_that_is_no_site_file(tmp_path, content, said):
    """Typed, with the reason."""
    path = tmp_path / "site.toml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigurationError, match=said):
        frskit.open_site(path)


def test_no_file_at_all(tmp_path):
    """The hint says how to make a lab."""
    with pytest.raises(ConfigurationError, match="no site at") as caught:
        frskit.open_site(tmp_path / "nothing")
    assert "frskit lab init" in caught.value.hint
