"""How many random examples a test tries that has a number of its own."""

from __future__ import annotations

from hypothesis import settings

USUAL = settings.get_profile("default").max_examples


def examples(usual: int) -> int:
    """So many by default, and in another profile as many times more as the profile has more."""
    return max(1, usual * settings.default.max_examples // USUAL)
