"""The error tree: one root, one code per class, exit statuses, the picture in the docstring."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import pytest

import frskit
from frskit import errors
from frskit.codes.exits import EXIT_STATUSES

CLASSES = sorted(
    (value for value in vars(errors).values() if inspect.isclass(value)), key=lambda c: c.__name__
)


def test_every_exception_of_the_package_is_in_the_tree():
    """No class anywhere in frskit is an exception outside the tree."""
    for info in pkgutil.walk_packages(frskit.__path__, "frskit."):
        if info.name.endswith("__main__"):
            continue
        for value in vars(importlib.import_module(info.name)).values():
            raised = inspect.isclass(value) and issubclass(value, BaseException)
            if raised and value.__module__.startswith("frskit"):
                assert issubclass(value, errors.FrskitError), value
                assert value.__module__ == "frskit.errors", f"{value} is defined elsewhere"


def test_codes_are_unique():
    """Each class has a code of its own."""
    codes = [each.code for each in CLASSES]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_class_is_complete(kind):
    """Each class has a docstring, a hint, an exit status of the table, and is exported and drawn."""
    assert kind.__doc__
    assert kind.default_hint
    assert kind.exit_status in EXIT_STATUSES
    assert kind.__name__ in errors.__all__
    assert kind.__name__ in (errors.__doc__ or "")


def test_picture_shows_the_real_tree():
    """The indentation of the picture is the inheritance of the classes."""
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        if "+-- " not in line and line.strip() != "FrskitError":
            continue
        name = line.split("+-- ")[-1].split()[0]
        depth = 0 if "+-- " not in line else (line.index("+-- ") // 4)
        path[depth:] = [name]
        if depth:
            kind = getattr(errors, name)
            assert kind.__mro__[1].__name__ == path[depth - 1], name


def test_errors_carry_their_facts():
    """Message, hint, context, retryability and native code travel with the error."""
    error = errors.CopyConflict("no", context={"storage": "x"}, native=5, hint="wait")
    assert (str(error), error.hint, error.context, error.native) == (
        "no",
        "wait",
        {"storage": "x"},
        5,
    )
    assert error.retryable
    assert not errors.NameInUse("no").retryable
    assert errors.OutcomeUnknown("?", key="k").context["key"] == "k"
