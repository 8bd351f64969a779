"""The small parties: one script for all that happens, and for what shall go wrong."""

from __future__ import annotations

import pytest

from frskit.errors import CopyConflict
from frskit.testing.fakes.parties import Script


def test_steps_are_noted_when_they_begin():
    """In order, and once: the hit after the effect is no step of its own."""
    script = Script()
    with script.around("writer-1.freeze"):
        assert script.steps == ["writer-1.freeze"]
    script.hit("array.commit_copies")
    assert script.steps == ["writer-1.freeze", "array.commit_copies"]


def test_a_fault_comes_once_before_or_after_the_effect():
    """The name alone is before, with ``!`` after."""
    script, effects = Script(), []
    script.on("array.commit_copies", CopyConflict("before"))
    script.on("array.commit_copies!", CopyConflict("after"))

    def commit():
        with script.around("array.commit_copies"):
            effects.append("done")

    with pytest.raises(CopyConflict, match="before"):
        commit()
    assert effects == []
    with pytest.raises(CopyConflict, match="after"):
        commit()
    assert effects == ["done"]
    commit()
    assert script.faults == {}


def test_an_action_may_do_anything_at_a_step():
    """Let time pass, look around: not only errors can be planned."""
    script, seen = Script(), []
    script.on("writer-1.thaw", lambda: seen.append(list(script.steps)))
    script.hit("writer-1.thaw")
    assert seen == [["writer-1.thaw"]]
