"""Paths of two kinds of server as text: one module, one answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frskit.model.server_paths import inside, join, matches, same_path, split_path


@pytest.mark.parametrize(
    ("point", "path", "inner"),
    [
        ("M:\\", "m:\\Exchsrvr\\a.edb", "Exchsrvr/a.edb"),
        ("M:\\", "M:/a/b", "a/b"),
        ("C:\\mnt\\copy", "c:\\MNT\\copy\\", ""),
        ("C:\\a", "C:\\a\\\\b", "b"),
        ("C:\\a", "C:\\ab", None),
        ("M:\\straße", "M:\\STRASSE\\a.edb", None),
        ("M:\\ÄÖ", "m:\\äö\\a", "a"),
        ("M:\\", "/srv/a", None),
        ("/srv", "M:\\a", None),
        ("/srv/a", "/srv/a/b c/d", "b c/d"),
        ("/srv/a", "/srv/A/b", None),
        ("/srv/a", "/srv/ab", None),
        ("/", "/etc/x", "etc/x"),
    ],
)
def test_inside(point, path, inner):
    """By parts, in upper case letter by letter on Windows, exactly on POSIX."""
    assert inside(point, path) == inner


@given(st.lists(st.text("abß ä.", min_size=1), max_size=4))
def test_what_is_joined_is_inside(names):
    """On both kinds of server."""
    for point in ("M:\\", "C:\\mnt\\x", "/srv/a"):
        assert inside(point, join(point, *names)) == "/".join(names)
        assert same_path(join(point, *names), join(point, *names))


def test_mount_points_of_a_posix_server_that_differ_in_case_are_two():
    """A swap must not take the LUN of the other one."""
    assert not same_path("/data/A", "/data/a")
    assert same_path("D:\\Data", "d:/DATA/")


@pytest.mark.parametrize(
    ("name", "pattern", "wanted"),
    [
        ("E0000001.log", "e00*.LOG", True),
        ("data[1].edb", "data[1].edb", True),
        ("data1.edb", "data[1].edb", False),
        ("priv", "*.*", True),
        ("a\nb", "a*", True),
        ("a", "a?", False),
        ("a.b", "a+b", False),
    ],
)
def test_only_two_signs_are_wild(name, pattern, wanted):
    """Brackets and dots mean themselves: a database called ``data[1].edb`` is found."""
    assert matches(name, pattern) is wanted


def test_a_path_is_split_at_its_last_separator():
    """Whichever it uses."""
    assert split_path("M:\\a\\b.edb") == ("M:\\a", "b.edb")
    assert split_path("/a/b") == ("/a", "b")
    assert split_path("b") == ("", "b")
