"""What every kit gives back, and how it fails.

A kit is a plain function; it needs no test runner, and a deviation is an `AssertionError`.
"""

from __future__ import annotations

from attrs import define, field

__all__ = ["KitReport", "demand"]


@define
class KitReport:
    """What a run of the kit checked, and what not and why.

    Attributes:
        executed: How often each part ran.
        skipped: Parts that did not run, with the reason.
    """

    executed: dict[str, int] = field(factory=dict)
    skipped: dict[str, str] = field(factory=dict)

    def ran(self, part: str) -> None:
        """Count a part."""
        self.executed[part] = self.executed.get(part, 0) + 1
        self.skipped.pop(part, None)

    def skip(self, part: str, reason: str) -> None:
        """Note why a part did not run; a part that ran elsewhere is not skipped."""
        if part not in self.executed:
            self.skipped.setdefault(part, reason)

    def __str__(self) -> str:
        lines = [f"{part}: {count} times" for part, count in sorted(self.executed.items())]
        lines += [f"{part}: SKIPPED, {reason}" for part, reason in sorted(self.skipped.items())]
        return "\n".join(lines)


def demand(condition: bool, text: str) -> None:
    """Fail the kit."""
    if not condition:
        raise AssertionError(text)
