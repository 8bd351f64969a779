"""A stranger's writer or array that breaks in any call of a copy, through the whole requestor.

Whatever it does: the error is typed or the copy is whole, the store writes, nobody has a copy that
no record names, and what was cut was cut after a verdict. Greedy writers are in `test_lost_logs`,
lying checkers in `test_strangers`.
"""

from __future__ import annotations

import pytest
from attrs import evolve
from support.kv_party import VAULT, KvWorld
from support.watched import methods

from frskit.errors import ArrayError, FrskitError
from frskit.model.ids import StorageId
from frskit.protocols import DiskArray, Writer


@pytest.fixture
def world(tmp_path):
    """A store with some logs."""
    with KvWorld(tmp_path) as made:
        made.store.fill(10, "before")
        yield made


def attempt(world):
    """One copy; the error, or None."""
    try:
        world.copy()
    except Exception as error:  # noqa: BLE001  the tests look at its type
        return error
    return None


def check(world, error, logs):
    """The promise, after whatever went wrong."""
    assert error is None or isinstance(error, FrskitError)
    world.store.put("on", "and on")
    copies = world.frs.copies()
    verified = [each for each in copies if each.recoverable]
    if not verified:
        assert set(logs) <= set(world.store.wals())
    named = {member.storage for each in copies for member in world.frs.copy(each.id).members}
    left = " ".join(left for each in copies for left in world.frs.copy(each.id).leftovers)
    for each in world.array.copies(budget=None):
        assert each.id in named or each.id in left or (each.key or "?") in left
    assert attempt(world) is None


def events(seam):
    """Methods of a seam that a copy has a use for."""
    return [each for each in methods(seam) if each not in ("pre_restore", "post_restore")]


@pytest.mark.faults
@pytest.mark.parametrize("event", events(Writer))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_writer_that_breaks_in_any_event_loses_nothing(world, monkeypatch, event, after):
    """Also if its effect happened: a hold ends with Abort, a truncation is told of."""
    real, logs = getattr(world.writer, event), world.store.wals()

    def broken(*words, **named):
        if after:
            real(*words, **named)
        raise OSError(f"{event} broke")

    with monkeypatch.context() as patch:
        patch.setattr(world.writer, event, broken)
        error = attempt(world)
        if event == "abort":
            assert error is None
    if event in ("prepare_backup", "prepare_snapshot", "freeze", "thaw", "post_snapshot"):
        assert f"{event} broke" in str(error)
    if event == "abort" or not after or event == "backup_shutdown":
        world.writer.abort(None)  # what it kept of the session that it could not end
    check(world, error, logs)


@pytest.mark.faults
@pytest.mark.parametrize("method", methods(DiskArray))
@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("lasting", [False, True], ids=["once", "lasting"])
def test_an_array_that_breaks_in_any_call_leaves_nothing_unnamed(
    world, monkeypatch, method, after, lasting
):
    """An `OSError`, which no seam allows: for one call, or for good while the copy is made."""
    real, logs, calls = getattr(world.array, method), world.store.wals(), []

    def broken(*words, **named):
        calls.append(method)
        if len(calls) > 1 and not lasting:
            return real(*words, **named)
        if after:
            real(*words, **named)
        raise OSError(f"{method} broke")

    with monkeypatch.context() as patch:
        patch.setattr(world.array, method, broken)
        error = attempt(world)
    world.frs.resume()
    check(world, error, logs)
    if method in ("stage_copies", "commit_copies"):
        assert f"{method} broke" in f"{error} {getattr(error, '__notes__', ())}"


def reordered(real, staged, budget):
    """The members in another order: each says what it is of."""
    return tuple(reversed(real(staged, budget=budget)))


def fewer(real, staged, budget):
    """One member of two."""
    return tuple(real(staged, budget=budget))[:1]


def twice(real, staged, budget):
    """One member as both."""
    made = tuple(real(staged, budget=budget))
    return made[0], made[0]


def stranger(real, staged, budget):
    """A copy of something that nobody asked for."""
    made = tuple(real(staged, budget=budget))
    return made[0], evolve(made[1], source=StorageId("x:y"))


@pytest.mark.rule("HAZ-09", "VSS-30")
@pytest.mark.parametrize("answer", [reordered, fewer, twice, stranger])
def test_an_answer_that_is_not_what_was_asked_for_is_no_copy(world, monkeypatch, answer):
    """Order does not count; whatever is not one copy of each member is taken back."""
    real, logs = world.array.commit_copies, world.store.wals()
    with monkeypatch.context() as patch:
        patch.setattr(
            world.array,
            "commit_copies",
            lambda staged, *, budget: answer(real, staged, budget),
        )
        error = attempt(world)
    if answer is reordered:
        assert error is None
    else:
        assert isinstance(error, FrskitError)
        assert "did not copy every LUN" in str(error)
        assert not list(world.array.copies(budget=None))
    check(world, error, logs)


def test_a_lost_answer_after_the_effect_leaves_no_copy(world, monkeypatch):
    """An `OSError` of the connection, and not what the seam has for it: looked for all the same."""
    real, logs = world.array.commit_copies, world.store.wals()

    def lost(staged, *, budget):
        real(staged, budget=budget)
        raise OSError("connection lost after the effect")

    with monkeypatch.context() as patch:
        patch.setattr(world.array, "commit_copies", lost)
        error = attempt(world)
    assert isinstance(error, FrskitError)
    assert "connection lost" in str(error)
    assert not list(world.array.copies(budget=None))
    assert not [each for each in world.array.presentations(budget=None) if each.host == VAULT]
    check(world, error, logs)


@pytest.mark.parametrize("kind", [OSError, ArrayError])
def test_a_broken_look_at_the_end_of_a_deletion_is_no_lost_copy(world, monkeypatch, kind):
    """`delete_copy` says so, and can be repeated."""
    copy = world.copy()
    with monkeypatch.context() as patch:

        def broken(*_, **__):
            raise kind("broke")

        patch.setattr(world.array, "delete_storage", broken)
        with pytest.raises(FrskitError, match="broke"):
            world.frs.delete_copy(copy.id)
    world.frs.delete_copy(copy.id)
    assert not list(world.array.copies(budget=None))
