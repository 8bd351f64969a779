"""One bad record, journal line or file never makes the others unusable."""

from __future__ import annotations

import json
import sqlite3

import pytest
from attrs import evolve

import frskit
from frskit import BackupType
from frskit.clock import Budget
from frskit.errors import CatalogError, RecoveryPrecondition
from frskit.events import Warned
from frskit.frs.late_collection import sweep
from frskit.frs.previous_stamps import previous_stamps
from frskit.frs.set_lookup import remove_unfinished_set, sets_on_record
from frskit.frs.state.journal import Journal
from frskit.frs.state.journal_words import RECOVERING
from frskit.model.copies import CopyFilter, CopyLife, MemberLife

PIT = "point-in-time"


def _newer(text):
    return text.replace("frskit.copy/2", "frskit.copy/99")


def _wrong_type(text):
    return json.dumps({**json.loads(text), "members": 7})


def _other(field, value):
    return lambda text: json.dumps({**json.loads(text), field: value}, separators=(",", ":"))


DAMAGE = {
    "newer": _newer,
    "not JSON": lambda text: "\x00garbage",
    "emptied": lambda text: "",
    "cut in half": lambda text: text[: len(text) // 2],
    "not an object": lambda text: "[]",
    "wrong types": _wrong_type,
    "a byte of its id": _other("id", "x" * 36),
    "a byte of its server": _other("server", "evs9"),
    "a byte of its life": _other("life", "deleting"),
    "a byte of its time": _other("created_at", "1999-01-01T00:00:00+00:00"),
    "no time zone": _other("created_at", "2005-07-15T12:00:00"),
    "no UTF-8": lambda text: text.encode().replace(b"evs1", b"ev\xff1", 1),
}


def spoil(site, copy, change, column="record"):
    """Change the text of a record behind the catalog's back."""
    with site.parts.catalog._transaction() as db:
        (text,) = db.execute(f"SELECT {column} FROM copies WHERE id=?", (copy,)).fetchone()
        made = change(text)
        raw = made if isinstance(made, bytes) else made.encode()
        db.execute(f"UPDATE copies SET {column}=CAST(? AS TEXT) WHERE id=?", (raw, copy))


class Seen:
    """Warnings that were given."""

    def __init__(self, site):
        self.texts = []
        site.subscribe(self)

    def emit(self, event):
        if isinstance(event, Warned):
            self.texts.append(event.text)


@pytest.fixture
def two(site):
    """The lab with another copy; the first one is the older one."""
    (older,) = site.frs.copies()
    newer = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
    return older, newer


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_leaves_the_others_usable(site, two, damage):
    """Listings skip it with a warning, and the other copy can be planned and recovered."""
    bad, good = two
    spoil(site, bad.id, DAMAGE[damage])
    seen = Seen(site)
    assert [each.id for each in site.frs.copies()] == [good.id]
    (damaged,) = site.frs.damaged_records(server="EVS1", component="SG1")
    assert (damaged.id, damaged.server) == (bad.id, "evs1")
    assert bad.id in damaged.problem
    assert "cannot be read" in damaged.problem
    assert "Restore" in damaged.hint or "restore" in damaged.hint
    assert seen.texts == [damaged.problem]
    assert site.frs.copy(good.id[:8]).id == good.id
    with pytest.raises(CatalogError) as caught:
        site.frs.copy(bad.id[:8])
    assert caught.value.context["copy"] == bad.id
    (left,) = site.frs.resume()
    assert (left.id, left.ended) == (bad.id, False)
    report = site.frs.recover(site.frs.plan_recovery(good.id, mode=PIT))
    assert all(each.state == "mounted" for each in report.after.databases)
    assert site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL).recoverable


def test_a_file_is_named(tmp_path):
    """The message of a durable catalog says which file it is."""
    with frskit.lab(tmp_path / "lab", seed=3) as site:
        copy = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
        spoil(site, copy.id, lambda text: "")
        (damaged,) = site.frs.damaged_records()
        assert str(tmp_path / "lab" / "state" / "catalog.sqlite") in damaged.problem
        assert site.frs.copies() == ()


def test_the_details_of_one_record_do_not_matter_to_others(site, two):
    """The heavy half is not read by listings; the copy itself cannot be used."""
    bad, good = two
    spoil(site, bad.id, lambda text: "", column="heavy")
    assert {each.id for each in site.frs.copies()} == {bad.id, good.id}
    with pytest.raises(CatalogError) as caught:
        site.frs.plan_recovery(bad.id, mode=PIT)
    assert bad.id in str(caught.value)
    assert site.frs.plan_recovery(good.id, mode=PIT).copy == good.id
    (left,) = site.frs.resume()
    assert left.id == bad.id


def test_who_has_to_know_all_of_them_is_stopped(site, two):
    """`find` leaves none out silently."""
    bad, _ = two
    spoil(site, bad.id, _newer)
    with pytest.raises(CatalogError):
        site.parts.catalog.find(CopyFilter())


def test_no_late_file_is_removed_while_a_record_cannot_be_read(site, two):
    """It may be the one that names it."""
    bad, _ = two

    class Late:
        gone = 0

        def is_empty(self):
            return False

        def alone(self, doing):
            from contextlib import nullcontext

            return nullcontext()

        def sweep(self, living):
            self.gone += 1

    late = Late()
    parts = evolve(site.parts, late=late)
    seen = Seen(site)
    spoil(site, bad.id, _newer)
    sweep(parts)
    assert late.gone == 0
    assert bad.id in seen.texts[0]


class _OwnIds:
    """A service that names its sets as it likes."""

    class capabilities:  # noqa: N801 - an attribute
        set_id_from_caller = False
        bounded = True

    def __init__(self, *shadows):
        self._shadows = shadows

    def shadows(self, *, budget):
        return self._shadows


class _Shadow:
    key = None
    set_id = "11111111-1111-1111-1111-111111111111"


def test_no_set_is_called_nobodys_while_a_record_cannot_be_read(site, two):
    """The advice to delete it by hand might hit that copy; what is not known is said."""
    bad, good = two
    budget = Budget.of(site.clock)

    def left():
        others = sets_on_record(site.parts.catalog)
        return remove_unfinished_set(_OwnIds(_Shadow()), good.key, (), budget, others)

    (text,) = left()
    assert _Shadow.set_id in text
    spoil(site, bad.id, _newer)
    (text,) = left()
    assert _Shadow.set_id not in text
    assert "cannot be read" in text


def test_no_older_stamp_stands_in_for_a_record_that_cannot_be_read(site, two):
    """An older one would claim that nothing had happened since."""
    older, newer = two
    found = previous_stamps(site.parts.catalog, "evs1")
    assert found
    spoil(site, older.id, _newer)
    assert previous_stamps(site.parts.catalog, "evs1") == found
    spoil(site, newer.id, _newer)
    assert previous_stamps(site.parts.catalog, "evs1") == {}


def test_a_stamp_that_cannot_be_read_is_none(site, two):
    """The newest copy's details are damaged."""
    _, newer = two
    spoil(site, newer.id, lambda text: "", column="heavy")
    assert previous_stamps(site.parts.catalog, "evs1") == {}


@pytest.mark.rule("FRS-31")
@pytest.mark.parametrize("knows", ["record", "journal"])
def test_a_recovery_of_a_damaged_record_keeps_others_out(site, two, knows):
    """P-11 needs one fact, which the torn record or the journal still tells."""
    bad, good = two
    if knows == "record":
        site.parts.catalog.update(bad.id, lambda now: evolve(now, stage=RECOVERING))
        spoil(site, bad.id, lambda text: text[:-2])
    else:
        site.parts.journal.begin("recovery", bad.id, component="sg1")
        spoil(site, bad.id, lambda text: "")
    with pytest.raises(RecoveryPrecondition, match="P-11") as caught:
        site.frs.plan_recovery(good.id, mode=PIT)
    assert bad.id in str(caught.value)


# --- a catalog that is gone --------------------------------------------------------------


def empty(site):
    """As if the file had been removed."""
    with site.parts.catalog._transaction() as db:
        db.execute("DELETE FROM copies")
        db.execute("DELETE FROM copy_components")


def test_an_emptied_catalog_beside_an_array_full_of_copies(site, two):
    """Resume names each copy as not ended; nothing is deleted."""
    before = {each.id for each in site.parties.store.look(budget=Budget.of(site.clock))}
    assert site.frs.unrecorded_copies() == ()
    empty(site)
    found = {each.id: each for each in site.frs.unrecorded_copies()}
    assert set(found) == {each.id for each in two}
    for copy in two:
        assert set(found[copy.id].storages) == {each.storage for each in copy.members}
    resumed = site.frs.resume()
    assert {each.id for each in resumed} == set(found)
    assert all(not each.ended and each.commands and each.copy is None for each in resumed)
    assert {each.id for each in site.parties.store.look(budget=Budget.of(site.clock))} == before


def test_the_copies_of_others_on_the_array_are_theirs(site, two):
    """Only copies of production's own LUNs are missed in the catalog."""
    from frskit.frs import damaged_state

    empty(site)
    production = site.parts.production("evs1")

    class Elsewhere:
        def look(self, *, budget):
            return [evolve(each, source="other") for each in production.store.look(budget=budget)]

    parts = evolve(site.parts, productions={"evs1": evolve(production, store=Elsewhere())})
    assert damaged_state.unrecorded(parts, Budget.of(site.clock)) == ()


def test_an_array_that_cannot_be_asked_is_a_warning(site):
    """Listing goes on; strangers' stores may know no keys, or not answer."""
    from frskit.frs import damaged_state

    class Dumb:
        def look(self, *, budget):
            raise ValueError("no such command")

    production = evolve(site.parts.production("evs1"), store=Dumb())
    parts = evolve(site.parts, productions={"evs1": production})
    seen = Seen(site)
    assert damaged_state.unrecorded(parts, Budget.of(site.clock)) == ()
    assert "no such command" in seen.texts[0]


# --- the journal -------------------------------------------------------------------------


@pytest.fixture
def written(tmp_path):
    """A journal with one interrupted recovery of five lines, and its file."""
    from frskit.clock import VirtualClock

    journal = Journal(tmp_path, VirtualClock())
    operation = journal.begin("recovery", "some-copy", component="sg1")
    for step in ("take offline", "swap"):
        operation.write("intent", step)
        operation.write("done", step)
    (path,) = tmp_path.glob("*.jsonl")
    return Journal(tmp_path, VirtualClock()), path


def _line(number, change):
    def changed(raw):
        lines = raw.split(b"\n")
        lines[number - 1] = change(lines[number - 1])
        return b"\n".join(lines)

    return changed


JOURNAL_DAMAGE = {
    "no UTF-8": (_line(3, lambda line: line.replace(b"take", b"t\xffke")), 3),
    "half a line": (_line(2, lambda line: line[:40]), 2),
    "garbage": (_line(4, lambda line: b"\x93\x01garbage"), 4),
    "first line": (_line(1, lambda line: b"{}"), 1),
    "first byte": (_line(1, lambda line: b"x" + line[1:]), 1),
    "last line": (_line(5, lambda line: line.replace(b"done", b"d\xffne")), 5),
    "last, no JSON": (_line(5, lambda line: line.replace(b'"n":', b"n:")), 5),
    "line is gone": (lambda raw: b"\n".join([*raw.split(b"\n")[:2], *raw.split(b"\n")[3:]]), 3),
    "all of it": (lambda raw: b"\x93garbage", 1),
    "garbage at the end": (lambda raw: raw + b"\x93garbage", 6),
}


@pytest.mark.parametrize("damage", JOURNAL_DAMAGE)
def test_a_damaged_line_is_named(written, damage):
    """File and number; the other operations can be read; the operation stays a recovery."""
    journal, path = written
    change, number = JOURNAL_DAMAGE[damage]
    journal.begin("copy", "other").end("parked")
    path.write_bytes(change(path.read_bytes()))
    (found,) = journal.unfinished()
    assert (found.kind, found.subject) == ("recovery", "some-copy")
    assert f"line {number} of {path}" in found.damage
    with pytest.raises(CatalogError, match=f"line {number} of .* cannot be read") as caught:
        found.check()
    assert caught.value.context["copy"] == "some-copy"
    assert [each.subject for each in journal.damaged()] == ["some-copy"]
    assert [lines[-1]["phase"] for lines in journal.entries() if lines][-1] == "end"


@pytest.mark.crash
@pytest.mark.parametrize("keep", [1, 20, 40, 90])
@pytest.mark.parametrize("tail", [b"", b"\0\0\0\0"])
def test_what_a_crash_tears_is_no_damage(written, keep, tail):
    """Neither at the end, nor behind it once a resume has written on."""
    journal, path = written
    raw = path.read_bytes()
    lines = raw.split(b"\n")
    path.write_bytes(b"\n".join([*lines[:4], lines[4][:keep]]) + tail)
    (found,) = journal.unfinished()
    assert (found.damage, len(found.lines)) == ("", 4)
    found.write("undo", "recovery")
    (found,) = journal.unfinished()
    assert (found.damage, len(found.lines)) == ("", 5)
    found.end("undone")
    assert list(journal.unfinished()) == []
    assert list(journal.damaged()) == []


@pytest.fixture
def cut(tmp_path):
    """A durable lab whose process died in a recovery; directory, copy, journal file."""
    place = tmp_path / "lab"

    with frskit.lab(place, seed=3) as site:
        site.deliver("evs1", "sg1", messages=10)
        copy = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
        other = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.COPY)
    with frskit.lab(place) as site:
        operation = site.parts.journal.begin("recovery", copy.id, component="sg1")
        site.parts.catalog.update(copy.id, lambda now: evolve(now, stage=RECOVERING))
        operation.write("intent", "take offline")
    (path,) = (place / "state" / "journal").glob("*recovery*")
    return place, copy, other, path


def states(site):
    """State of each store."""
    return {each.state for each in site.status("evs1", "sg1").databases}


@pytest.mark.crash
@pytest.mark.rule("FRS-49")
@pytest.mark.parametrize("how", ["emptied", "deleted"])
def test_a_lost_journal_of_a_recovery_is_noticed(cut, how):
    """Nothing is mounted; resume says what leads out, and with the stores up it ends."""
    place, copy, other, path = cut
    if how == "emptied":
        path.write_bytes(b"")
    else:
        path.unlink()
    with frskit.lab(place) as site:
        assert "mounted" not in states(site)
        (left,) = site.frs.resume()
        assert (left.id, left.ended) == (copy.id, False)
        assert "journal" in left.result
        assert left.commands
        with pytest.raises(RecoveryPrecondition, match="P-11"):
            site.frs.plan_recovery(other.id, mode=PIT)
        site.exchange.application.bring_online("sg1", budget=Budget.of(site.clock))
        (ended,) = site.frs.resume()
        assert ended.ended
        assert ended.copy.life is CopyLife.PARKED
        assert site.frs.resume() == ()
        site.frs.plan_recovery(other.id, mode=PIT)


@pytest.mark.crash
@pytest.mark.rule("FRS-49")
def test_members_that_production_runs_on_are_used_up_without_a_journal(site, two):
    """A lost journal does not make a copy whole again."""
    older, _ = two
    site.frs.recover(site.frs.plan_recovery(older.id, mode=PIT))

    def forgotten(now):
        held = tuple(evolve(each, life=MemberLife.HELD) for each in now.members)
        return evolve(now, life=CopyLife.PARKED, stage=RECOVERING, members=held)

    site.parts.catalog.update(older.id, forgotten)
    (ended,) = site.frs.resume()
    assert ended.ended
    assert ended.copy.life is CopyLife.CONSUMED
    assert not ended.copy.recoverable


@pytest.mark.crash
@pytest.mark.rule("FRS-49")
@pytest.mark.parametrize("line", [1, 2])
def test_a_damaged_journal_of_a_recovery_is_left_as_it_is(cut, line):
    """What was begun cannot be told, so nothing is undone or mounted; the others go on."""
    place, copy, other, path = cut
    lines = path.read_bytes().split(b"\n")
    lines[line - 1] = lines[line - 1].replace(b"recovery", b"rec\xffvery")
    path.write_bytes(b"\n".join(lines))
    before = path.read_bytes()
    with frskit.lab(place) as site:
        assert "mounted" not in states(site)
        (left,) = site.frs.resume()
        assert (left.id, left.ended) == (copy.id, False)
        assert f"line {line} of {path}" in left.result
        assert path.read_bytes() == before
        assert {each.id for each in site.frs.copies()} == {copy.id, other.id}


@pytest.mark.crash
@pytest.mark.rule("FRS-49")
@pytest.mark.parametrize("how", ["cut", "byte"])
def test_the_journal_of_an_ended_recovery_undoes_nothing(tmp_path, how):
    """Its end was lost: the copy's record says that nothing is left to do."""
    place = tmp_path / "lab"
    with frskit.lab(place, seed=3) as site:
        site.deliver("evs1", "sg1", messages=10)
        copy = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
        site.frs.recover(site.frs.plan_recovery(copy.id, mode=PIT, method="copy-back"))
        site.deliver("evs1", "sg1", messages=7)
    (path,) = (place / "state" / "journal").glob("*recovery*")
    raw = path.read_bytes()
    if how == "cut":
        path.write_bytes(raw[: len(raw) // 2])
    else:
        path.write_bytes(raw.replace(b'"phase":"end"', b'"phase":"\xffnd"'))
    with frskit.lab(place) as site:
        (ended,) = site.frs.resume()
        assert ended.ended
        assert "was undone" not in ended.result
        assert states(site) == {"mounted"}
        assert sum(each.items for each in site.status("evs1", "sg1").databases) == 17
        assert site.frs.resume() == ()


def test_a_journal_that_cannot_be_opened_is_a_typed_error(tmp_path, written):
    """A directory in the place of a file, for example."""
    journal, path = written
    path.unlink()
    path.mkdir()
    with pytest.raises(CatalogError) as caught:
        list(journal.unfinished())
    assert str(path) in str(caught.value)


def test_records_are_compared_with_their_rows(site, copy):
    """A row whose index was changed is damaged as well."""
    with site.parts.catalog._transaction() as db:
        db.execute("UPDATE copies SET server='evs2' WHERE id=?", (copy.id,))
    (damaged,) = site.frs.damaged_records()
    assert "server" in damaged.problem


def test_no_other_row_is_lost_to_a_byte_that_is_no_utf_8(tmp_path):
    """SQLite would fail the whole query."""
    from frskit.frs import SqliteCatalog

    file = tmp_path / "catalog.sqlite"
    with frskit.lab(seed=1) as site:
        made = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
    catalog = SqliteCatalog(file)
    catalog.put(made)
    catalog.put(evolve(made, id="0" * 36))
    catalog.close()
    db = sqlite3.connect(file)
    with db:
        db.execute("UPDATE copies SET record=CAST(x'7b22ff' AS TEXT) WHERE id=?", ("0" * 36,))
    db.close()
    catalog = SqliteCatalog(file)
    good, damaged = catalog.readable(CopyFilter())
    catalog.close()
    assert [each.id for each in good] == [made.id]
    assert [each.id for each in damaged] == ["0" * 36]
