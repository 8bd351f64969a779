"""The watchdog: a party that hangs, answers late or raises anything is bounded and named."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time

import pytest

from frskit.clock import Budget, SystemClock, VirtualClock
from frskit.errors import ArrayError, HostError, NoAnswer, WriterVeto
from frskit.watchdog import Manners, Watchdog, guarded, silent_parties

WINDOW_S = 0.2


class Stuck:
    """A call that hangs until the test lets it go; it counts how often it was made."""

    def __init__(self):
        self.calls, self.let_go = 0, threading.Event()

    def __call__(self):
        self.calls += 1
        self.let_go.wait(20)
        return "late"


@pytest.fixture
def stuck():
    party = Stuck()
    yield party
    party.let_go.set()


def until(condition):
    """Wait for what another thread does."""
    end_s = time.monotonic() + 10
    while not condition() and time.monotonic() < end_s:
        time.sleep(0.005)
    assert condition()


def test_who_hangs_is_left_at_the_deadline_while_it_hangs(stuck):
    """The caller is back, and what must happen at the deadline has happened, with the party still stuck."""
    clock = SystemClock()
    dog, rang = Watchdog("the array", clock), []
    began = clock.monotonic()
    with pytest.raises(NoAnswer, match="the array did not answer commit in time"):
        dog.call(
            "commit",
            stuck,
            deadline_s=began + WINDOW_S,
            on_expiry=lambda: rang.append((clock.monotonic(), stuck.let_go.is_set())),
        )
    assert WINDOW_S <= rang[0][0] - began < 5
    assert [each[1] for each in rang] == [False]
    assert dog.owes == ("commit",)


def test_a_late_answer_is_no_result_and_is_undone_once(stuck):
    """It came back after the deadline: dropped, undone in its own thread, and nothing is owed any more."""
    clock = SystemClock()
    dog, undone = Watchdog("the array", clock), []
    with pytest.raises(NoAnswer):
        dog.call(
            "commit",
            stuck,
            deadline_s=clock.monotonic() + WINDOW_S,
            on_late=lambda: undone.append(threading.current_thread().name),
        )
    assert not undone
    stuck.let_go.set()
    until(lambda: undone and not dog.owes)
    assert undone == ["the array: commit"]


def test_who_owes_an_answer_is_not_asked_again_but_may_be_ended(stuck):
    """No second ordinary call, one closing call; after a pardon it is tried again."""
    clock = SystemClock()
    dog = Watchdog("writer mail", clock, closing_s=WINDOW_S)
    with pytest.raises(NoAnswer):
        dog.call("Freeze", stuck, deadline_s=clock.monotonic() + WINDOW_S)
    asked = []
    with pytest.raises(NoAnswer, match="still owes an answer to Freeze"):
        dog.call("Thaw", lambda: asked.append("Thaw"), deadline_s=None)
    assert dog.call("Abort", lambda: "ended", deadline_s=None, closing=True) == "ended"
    assert asked == []
    assert [each for each in silent_parties() if "mail" in each] == ["writer mail: Freeze"]
    dog.pardon()
    assert dog.call("Freeze", lambda: "frozen", deadline_s=None) == "frozen"


def test_no_more_than_one_thread_hangs_for_each_kind_of_call(stuck):
    """Abort that hangs as well is not repeated: two threads, however often it is asked."""
    clock = SystemClock()
    dog = Watchdog("writer mail", clock, closing_s=0.05)
    with pytest.raises(NoAnswer):
        dog.call("Freeze", stuck, deadline_s=clock.monotonic() + 0.05)
    for what in ("Abort", "Abort", "BackupShutdown"):
        with pytest.raises(NoAnswer):
            dog.call(what, stuck, deadline_s=None, closing=True)
    assert stuck.calls == 2
    hanging = [each.name for each in threading.enumerate() if each.name.startswith("writer mail")]
    assert sorted(hanging) == ["writer mail: Abort", "writer mail: Freeze"]


def test_a_virtual_deadline_rings_while_the_party_waits():
    """Inline: the alarm rings at exactly the deadline, inside the wait; the answer is late."""
    clock = VirtualClock()
    dog, seen = Watchdog("writer mail", clock), []
    with pytest.raises(NoAnswer, match="did not answer Freeze in time"):
        dog.call(
            "Freeze",
            lambda: clock.sleep(50),
            deadline_s=10.0,
            on_expiry=lambda: seen.append(("expired", clock.monotonic())),
            on_late=lambda: seen.append(("late", clock.monotonic())),
        )
    assert seen == [("expired", 10.0), ("late", 50.0)]
    assert dog.owes == ()


def test_who_answers_in_time_is_not_disturbed():
    """On both clocks: the answer, nothing else; an alarm that was set does not ring later."""
    rang = []
    for clock in (VirtualClock(), SystemClock()):
        dog = Watchdog("p", clock)
        deadline_s = clock.monotonic() + WINDOW_S
        assert (
            dog.call("x", lambda: 7, deadline_s=deadline_s, on_expiry=lambda: rang.append(1)) == 7
        )
        clock.sleep(2 * WINDOW_S)
    assert rang == []


def test_without_time_left_nobody_is_asked():
    """The deadline has passed: what must happen then happens, the party hears nothing."""
    clock, asked, rang = VirtualClock(), [], []
    clock.advance(5)
    with pytest.raises(NoAnswer, match="no time was left"):
        Watchdog("p", clock).call(
            "x", lambda: asked.append(1), deadline_s=5.0, on_expiry=lambda: rang.append(1)
        )
    assert (asked, rang) == ([], [1])


def test_a_foreign_exception_becomes_the_partys_own_error():
    """With type, text and number; typed errors and interrupts pass as they are."""

    def raises(error):
        def call():
            raise error

        return call

    dog = Watchdog("the array", VirtualClock(), wrap=ArrayError)
    with pytest.raises(ArrayError, match=r"the array failed in stage: KeyError: 'lun'"):
        dog.call("stage", raises(KeyError("lun")), deadline_s=None)
    with pytest.raises(ArrayError) as caught:
        dog.call("stage", raises(OSError(28, "No space left on device")), deadline_s=9.0)
    assert caught.value.native == 28
    assert isinstance(caught.value.__cause__, OSError)
    veto = WriterVeto("no")
    with pytest.raises(WriterVeto) as same:
        dog.call("stage", raises(veto), deadline_s=9.0)
    assert same.value is veto
    with pytest.raises(KeyboardInterrupt):
        dog.call("stage", raises(KeyboardInterrupt()), deadline_s=9.0)


def test_what_fails_at_the_deadline_is_noted_and_interrupts_go_on():
    """The action at the deadline is ours: its failure is a note, an interrupt in it is not lost."""

    def fails(error):
        def action():
            raise error

        return action

    clock = VirtualClock()
    dog = Watchdog("p", clock)
    with pytest.raises(NoAnswer) as caught:
        dog.call(
            "x", lambda: clock.sleep(9), deadline_s=1.0, on_expiry=fails(RuntimeError("broken"))
        )
    assert caught.value.__notes__ == ["while giving up: RuntimeError: broken"]
    with pytest.raises(KeyboardInterrupt):
        dog.call("x", lambda: clock.sleep(9), deadline_s=11.0, on_expiry=fails(KeyboardInterrupt()))


def test_an_interrupt_gets_through_while_the_party_hangs(tmp_path):
    """Ctrl-C: the action of the deadline runs at once, the interrupt goes on; the thread holds nobody."""
    code = """if True:
        import signal, threading
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it
        from frskit.clock import SystemClock
        from frskit.watchdog import Watchdog
        clock = SystemClock()
        print("ready", flush=True)
        try:
            Watchdog("p", clock).call(
                "x", threading.Event().wait, deadline_s=clock.monotonic() + 60,
                on_expiry=lambda: print("expired", flush=True),
            )
        except KeyboardInterrupt:
            print("interrupted", flush=True)
    """
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "ready\n"
        time.sleep(0.3)
        began = time.monotonic()
        child.send_signal(signal.SIGINT)
        assert child.stdout.read() == "expired\ninterrupted\n"
        assert child.wait(20) == 0
    assert time.monotonic() - began < 20


def test_a_machine_without_threads_still_ends_what_was_begun(monkeypatch):
    """An ordinary call fails, a closing one runs in the caller's own thread."""

    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    clock = SystemClock()
    dog = Watchdog("writer mail", clock, wrap=WriterVeto)
    with pytest.raises(WriterVeto, match="can't start new thread"):
        dog.call("Freeze", lambda: 1, deadline_s=clock.monotonic() + 5)
    assert dog.call("Abort", lambda: "ended", deadline_s=None, closing=True) == "ended"
    assert dog.owes == ()


class Server:
    """A stranger's party with a property, a method and a budget."""

    @property
    def name(self):
        raise KeyError("vendor bug")

    def rescan(self, *, budget):
        budget.clock.sleep(50)
        return "late"

    def volumes(self):
        raise ZeroDivisionError("1/0")


def test_a_guarded_party_looks_like_itself_and_is_bounded_and_typed():
    """Methods and properties alike; what it does not have it does not get."""
    clock = VirtualClock()
    bare = Server()
    server = guarded(bare, Watchdog("server x", clock, wrap=HostError), Manners(answer_s=7.0))
    assert isinstance(server, Server)
    assert not hasattr(server, "no_such_call")
    with pytest.raises(HostError, match="server x failed in name: KeyError"):
        _ = server.name
    with pytest.raises(HostError, match="server x failed in volumes: ZeroDivisionError: 1/0"):
        server.volumes()
    with pytest.raises(NoAnswer, match="did not answer rescan"):
        server.rescan(budget=Budget.of(clock, 3.0))
    server.extra = 1
    assert bare.extra == 1


class Context:
    """A party that is a context manager; it may fail to be left, and it swallows errors."""

    def __init__(self, trouble=None):
        self._trouble = trouble

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._trouble is not None:
            raise self._trouble
        return True


def guarded_context(trouble=None):
    """Behind its watchdog."""
    return guarded(Context(trouble), Watchdog("party x", VirtualClock(), wrap=HostError))


def test_a_guarded_context_never_hides_the_error_of_its_block():
    """Neither by swallowing it, nor by an error of its own, which becomes a note."""
    with pytest.raises(ZeroDivisionError), guarded_context():
        _ = 1 / 0
    with pytest.raises(ZeroDivisionError) as caught, guarded_context(KeyError("vendor bug")):
        _ = 1 / 0
    assert "KeyError: 'vendor bug'" in " ".join(caught.value.__notes__)


def test_a_guarded_context_that_cannot_be_left_says_so():
    """Without another error it is one, and typed."""
    message = "party x failed in __exit__: KeyError: 'vendor bug'"
    with pytest.raises(HostError, match=message), guarded_context(KeyError("vendor bug")):
        pass


def test_a_guarded_context_gives_out_itself():
    """What is entered is behind the watchdog, too; another object than the party is the party's."""
    context = guarded_context()
    with context as entered:
        assert entered is context
    plain = object()

    class Other(Context):
        def __enter__(self):
            return plain

    with guarded(Other(), Watchdog("party x", VirtualClock())) as entered:
        assert entered is plain


def test_what_is_called_constant_is_asked_once():
    """Names are in every message; a party that hangs later is still called by its own."""
    asked = []

    class Named:
        @property
        def name(self):
            asked.append("name")
            return "x"

        @property
        def held_s(self):
            asked.append("held_s")
            return 1.0

    party = guarded(Named(), Watchdog("party x", VirtualClock()))
    assert [party.name, party.name, party.held_s, party.held_s] == ["x", "x", 1.0, 1.0]
    assert asked == ["name", "held_s", "held_s"]
