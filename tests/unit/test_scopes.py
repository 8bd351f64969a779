"""Releases: every one runs, whatever the others raise, and nothing that happened is hidden."""

from __future__ import annotations

import pytest

from frskit.errors import ArrayError, FrskitError
from frskit.scopes import Releases


def failing(error):
    """A release that raises."""

    def release():
        raise error

    return release


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ArrayError("busy"), "second: busy"),
        (OSError("gone"), "second: OSError: gone"),
        (ZeroDivisionError("vendor bug"), "second: ZeroDivisionError: vendor bug"),
        (KeyError("lun"), "second: KeyError: 'lun'"),
    ],
    ids=lambda each: type(each).__name__,
)
def test_every_release_runs_whatever_one_of_them_raises(error, text):
    """A party's error, typed or foreign, is noted; the releases before and after it run."""
    ran = []
    releases = Releases()
    releases.push("first", lambda: ran.append("first"))
    releases.push("second", failing(error))
    releases.push("third", lambda: ran.append("third"))
    assert releases.unwind() == (text,)
    assert ran == ["third", "first"]


@pytest.mark.parametrize("interrupt", [KeyboardInterrupt(), SystemExit(3)], ids=["int", "exit"])
def test_an_interrupt_goes_on_once_everything_was_released(interrupt):
    """Ctrl-C in a release is not swallowed, and what is left is released all the same."""
    ran = []
    releases = Releases()
    releases.push("first", lambda: ran.append("first"))
    releases.push("second", failing(interrupt))
    with pytest.raises(type(interrupt)):
        releases.unwind()
    assert ran == ["first"]
    assert len(releases.leftovers) == 1


def test_the_error_under_way_learns_what_was_left_and_is_not_replaced():
    """A foreign error in a release does not hide why the block failed."""
    with pytest.raises(ArrayError) as caught, Releases() as releases:
        releases.push("mount", failing(RuntimeError("odd")))
        raise ArrayError("no space")
    assert str(caught.value) == "no space"
    assert caught.value.leftovers == ("mount: RuntimeError: odd",)


def test_a_block_that_went_well_fails_if_something_stays():
    """What could not be released is an error of its own, with the texts."""
    with pytest.raises(FrskitError) as caught, Releases() as releases:
        releases.push("mount", failing(RuntimeError("odd")))
    assert caught.value.leftovers == ("mount: RuntimeError: odd",)
