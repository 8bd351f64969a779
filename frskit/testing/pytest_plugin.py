"""Pytest plugin: the marker ``rule("EVA-17")`` and the report that ``--rules`` prints.

A rule of the reference books is held by the tests that carry its id. The plugin imports nothing
of frskit, so that loading it costs nothing.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["RuleReport"]

# From best to worst; a rule is as good as its worst test.
_WORST = ("passed", "not-applicable", "skipped", "failed")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--rules``."""
    parser.addoption("--rules", action="store_true", help="print one line per rule and its tests")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and the report if it is wanted."""
    config.addinivalue_line("markers", "rule(id, ...): the test proves these rules of the books")
    if config.getoption("--rules"):
        config.pluginmanager.register(RuleReport(), "frskit-rules")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the ids of each test where a report can find them, also through xdist."""
    for item in items:
        for rule in _rules_of(item):
            item.user_properties.append(("rule", rule))


def _rules_of(item: pytest.Item) -> Iterator[str]:
    for mark in item.iter_markers("rule"):
        for rule in mark.args:
            yield str(rule)


class RuleReport:
    """Collects outcomes by rule and prints them at the end."""

    def __init__(self) -> None:
        self._outcomes: dict[str, list[tuple[str, str]]] = defaultdict(list)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note the outcome of the call, or of a setup that did not get that far."""
        if report.when != "call" and report.outcome == "passed":
            return
        if report.when == "teardown" and report.outcome != "failed":
            return
        outcome = report.outcome
        if outcome == "skipped" and "not applicable" in str(report.longrepr):
            outcome = "not-applicable"  # type: ignore[assignment]
        for name, rule in report.user_properties:
            if name == "rule":
                self._outcomes[str(rule)].append((outcome, report.nodeid))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """One line per rule and test, then totals per book."""
        write = terminalreporter.write_line
        terminalreporter.section("rules")
        totals: dict[str, dict[str, int]] = defaultdict(lambda: dict.fromkeys(_WORST, 0))
        for rule in sorted(self._outcomes, key=_rule_order):
            outcomes = self._outcomes[rule]
            for outcome, test in outcomes:
                write(f"{rule}  {outcome}  {test}")
            worst = max((outcome for outcome, _ in outcomes), key=_WORST.index)
            totals[rule.partition("-")[0]][worst] += 1
        for book, counts in sorted(totals.items()):
            parts = ", ".join(f"{number} {word}" for word, number in counts.items() if number)
            write(f"{book}: {sum(counts.values())} rules: {parts}")


def _rule_order(rule: str) -> tuple[str, int, str]:
    book, _, number = rule.partition("-")
    digits = "".join(each for each in number if each.isdigit())
    return book, int(digits or 0), number
