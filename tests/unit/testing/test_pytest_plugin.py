"""The marker ``rule`` and what ``--rules`` prints."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import frskit

TESTS = """
import pytest

@pytest.mark.rule("EVA-2", "EVA-10")
def test_good():
    pass

@pytest.mark.rule("EVA-10")
@pytest.mark.parametrize("good", [True, False])
def test_half(good):
    assert good

@pytest.mark.rule("VSS-01")
def test_elsewhere():
    pytest.skip("no such party")

@pytest.mark.rule("VSS-02")
def test_foreign():
    pytest.skip("not applicable: no such array")

@pytest.mark.rule("VSS-03")
def test_closing(request):
    request.addfinalizer(lambda: 1 / 0)

def test_of_no_rule():
    pass
"""


def run(tmp_path, *words):
    """Run those tests with the plugin, whether frskit is installed or not."""
    file = tmp_path / "test_rules.py"
    file.write_text(TESTS, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-p", "frskit.testing.pytest_plugin", *words]
    ended = subprocess.run(
        [*command, "-p", "no:cacheprovider", "--strict-markers", "-q", str(file)],
        cwd=tmp_path,
        env={
            **os.environ,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": str(Path(frskit.__file__).parents[1]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.stdout


def test_each_rule_is_listed_with_its_tests(tmp_path):
    """In the order of their numbers, with what became of each test, and totals by the worst."""
    lines = run(tmp_path, "--rules").partition("= rules =")[2].splitlines()
    listed = [line.split() for line in lines if "test_rules.py::" in line and "  " in line]
    told = [(rule, outcome, name.partition("::")[2]) for rule, outcome, name in listed]
    assert told == [
        ("EVA-2", "passed", "test_good"),
        ("EVA-10", "passed", "test_good"),
        ("EVA-10", "passed", "test_half[True]"),
        ("EVA-10", "failed", "test_half[False]"),
        ("VSS-01", "skipped", "test_elsewhere"),
        ("VSS-02", "not-applicable", "test_foreign"),
        ("VSS-03", "passed", "test_closing"),
        ("VSS-03", "failed", "test_closing"),
    ]
    assert "EVA: 2 rules: 1 passed, 1 failed" in lines
    assert "VSS: 3 rules: 1 not-applicable, 1 skipped, 1 failed" in lines


def test_without_the_option_nothing_is_printed(tmp_path):
    """The marker is known all the same."""
    out = run(tmp_path)
    assert "= rules =" not in out
    assert "3 passed" in out or "4 passed" in out


def test_rules_of_workers_arrive(tmp_path):
    """The ids travel with the reports, so that tests in parallel are told as well."""
    out = run(tmp_path, "--rules", "-p", "xdist", "-n", "2")
    assert "EVA: 2 rules: 1 passed, 1 failed" in out
