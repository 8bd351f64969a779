"""Exceptions that nobody knows, out of every call of the server and of the array in a backup.

Whatever comes, the error is typed, with the text of the stranger in it, nobody stays frozen or
held, nothing is left unnamed, and the next backup works.
"""

from __future__ import annotations

import pytest
from support.watched import Watched, names

from frskit.errors import ArrayError, FrskitError, HostError
from frskit.protocols import DiskArray, Server
from frskit.testing.fakes.site import SmallSite

KEYS = [f"{number:08d}-1111-4111-8111-111111111111" for number in range(3)]


class Foreign(Exception):
    """Of no library."""


def breaks(error=Foreign):
    """What a use does: raise this."""

    def act(name):
        raise error(f"{name} broke")

    return act


class ServerSite(SmallSite):
    """A site whose production server is watched."""

    def __init__(self, **words):
        self._words = words
        super().__init__()

    def _server(self, name):
        server = super()._server(name)
        if name != "evs1":
            return server
        self.watch = Watched(server, **self._words)
        return self.watch


def backup(site, key, **wish):
    """One backup, told success; what it raised."""
    try:
        with site.service.session(site.request(key=key, **wish)) as session:
            session.create(budget=site.budget())
            outcomes = {each.id: True for each in session.plan(budget=site.budget()).explicit}
            session.complete(outcomes, budget=site.budget())
    except Exception as error:  # noqa: BLE001  the tests look at its type
        return error
    return None


def uses(transportable):
    """Every use of the server in a good backup, in order."""
    site = ServerSite()
    site.watch.on = True
    assert backup(site, KEYS[0], transportable=transportable) is None
    return list(site.watch.uses)


SWEEP = [
    pytest.param(transportable, number, after, id=f"{number}-{name}-{transportable}-{after}")
    for transportable in (True, False)
    for number, name in enumerate(uses(transportable))
    for after in (False, True)
]


def test_the_sweep_has_every_call_of_a_server_in_a_backup():
    """Named are those that a backup has no need of."""
    reached = {*uses(True), *uses(False)}
    # Its name is asked for when the service is made, so that nobody has to be inside of a window.
    not_needed = {"files", "attach", "detach", "runner", "host", "name"}
    assert set(names(Server)) - not_needed <= reached
    assert {"hold: enter", "hold: exit", "hold: held_s"} <= reached


@pytest.mark.rule("VSS-07", "VSS-30")
@pytest.mark.parametrize(("transportable", "number", "after"), SWEEP)
def test_a_foreign_exception_of_the_server_is_typed(transportable, number, after):
    """Also of its hold: everybody writes again, and the next backup works."""
    site = ServerSite(at=number, after=after, act=breaks())
    site.watch.on = True
    error = backup(site, KEYS[1], transportable=transportable)
    site.watch.on = False
    if error is not None:
        assert isinstance(error, HostError), error
        assert "Foreign" in str(error)
        assert "broke" in str(error)
        left = [each for each in site.copies() if each not in " ".join(error.leftovers)]
        assert left == []
    assert site.unrest() == []
    for writer in site.writers:
        told = [event for event, _ in writer.sessions]
        assert ("prepare_backup" in told) == ("backup_shutdown" in told)
    assert backup(site, KEYS[2], transportable=transportable) is None


# --- the array behind the provider ---------------------------------------------------------------


class ArraySite(SmallSite):
    """A site whose array is watched where the production provider calls it."""

    def __init__(self, **words):
        self._words = words
        super().__init__()

    def coordinator(self, *, strict=False):
        """With the watched array behind the provider."""
        self.watch = Watched(self.array, **self._words)
        self.provider._array = self.watch
        return super().coordinator(strict=strict)


def array_uses(*, failing):
    """Every use of the array in a backup that works, or in one that is taken back."""
    site = ArraySite()
    site.watch.on = True
    if failing:
        site.script.on("writer-2.post_snapshot", ValueError("no"))
    assert (backup(site, KEYS[0], transportable=False) is None) is not failing
    if not failing:
        site.service.delete_set(KEYS[0], budget=site.budget())
    return list(site.watch.uses)


ARRAY_SWEEP = [
    pytest.param(failing, number, after, id=f"{number}-{name}-{failing}-{after}")
    for failing in (False, True)
    for number, name in enumerate(array_uses(failing=failing))
    for after in (False, True)
]


def test_the_sweep_has_every_call_of_an_array():
    """Derived from the seam: a new method is either reached or named here."""
    reached = {*array_uses(failing=False), *array_uses(failing=True)}
    assert set(names(DiskArray)) <= reached


@pytest.mark.rule("VSS-29", "VSS-30", "HAZ-09")
@pytest.mark.parametrize(("failing", "number", "after"), ARRAY_SWEEP)
@pytest.mark.parametrize("kind", [Foreign, OSError, ArrayError])
def test_an_exception_of_the_array_is_typed_and_leaves_nothing_unnamed(
    failing, number, after, kind
):
    """In each call, before and after its effect: a copy that exists is told of, or is none."""
    site = ArraySite(at=number, after=after, act=breaks(kind))
    site.watch.on = True
    if failing:
        site.script.on("writer-2.post_snapshot", ValueError("no"))
    error = backup(site, KEYS[1], transportable=False)
    try:
        site.service.delete_set(KEYS[1], budget=site.budget())
    except Exception as late:  # noqa: BLE001  the tests look at its type
        error = error or late
    site.watch.on = False
    assert error is None or isinstance(error, FrskitError)
    assert site.unrest() == []
    site.script.faults.clear()
    if site.copies():
        told = f"{error} {error.leftovers} {getattr(error, '__notes__', ())}"
        assert KEYS[1] in told or "copy-" in told or "undeleted" in error.context
        site.service.recover(budget=site.budget())
        site.service.delete_set(KEYS[1], budget=site.budget())
        assert site.copies() == []
    assert backup(site, KEYS[2], transportable=False) is None
