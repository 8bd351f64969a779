"""The examples in docstrings run and say the truth."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import frskit

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(frskit.__path__, "frskit.")
    if not info.name.endswith(("__main__", "pytest_plugin"))
)


@pytest.mark.parametrize("name", ["frskit", *MODULES])
def test_docstring_examples(name):
    """Every example of the module gives the output it shows."""
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.failed == 0


def test_there_are_examples():
    """The sweep above is not empty."""
    finder = doctest.DocTestFinder()
    count = sum(
        bool(test.examples)
        for name in ["frskit", *MODULES]
        for test in finder.find(importlib.import_module(name))
    )
    assert count >= 4
