"""Errors of the engine and events of the server have names, and the names are used."""

from __future__ import annotations

import ast
import json
import pickle
from datetime import UTC, datetime
from pathlib import Path

import pytest

import frskit
from frskit.codes.ese import ESE_ERRORS, EseError, ese_text
from frskit.codes.exchange_events import is_recalled
from frskit.codes.explain import explain_code
from frskit.errors import StoreError
from frskit.exchange import EventId
from frskit.exchange.event_log import STORE, EventEntry
from frskit.model.reports import LogReport

PACKAGE = Path(frskit.__file__).parent
TABLES = {PACKAGE / "codes" / "ese.py", PACKAGE / "codes" / "exchange_events.py"}


def bare_numbers(source: str, numbers: set[int]):
    """Line and value of each number of `numbers` that stands in the source as such."""
    tree = ast.parse(source)
    negated = {id(node.operand) for node in ast.walk(tree) if is_minus(node)}
    for node in ast.walk(tree):
        operand = node.operand if is_minus(node) else node
        if not isinstance(operand, ast.Constant) or type(operand.value) is not int:
            continue
        if node is operand and id(operand) in negated:
            continue  # the 501 of -501
        value = operand.value if node is operand else -operand.value
        if value in numbers:
            yield node.lineno, value


def is_minus(node: ast.AST) -> bool:
    """Whether it is the minus before something."""
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub)


def offenders(folder: Path, numbers: set[int]):
    """Where a folder writes a number of the table instead of its name."""
    return [
        f"{path.relative_to(PACKAGE)}:{line}: {value}"
        for path in sorted(folder.rglob("*.py"))
        if path not in TABLES
        for line, value in bare_numbers(path.read_text(encoding="utf-8"), numbers)
    ]


def test_a_bare_number_is_found_wherever_it_stands():
    """The search sees arguments, defaults, tables and comparisons, and no other number."""
    source = "def f(x=-501): return x in {-528, 501, -7} or g(native=-1206) or (585 == x)\n"
    found = sorted(value for _, value in bare_numbers(source, {-501, -528, -1206, 585}))
    assert found == [-1206, -528, -501, 585]


def test_nobody_writes_an_error_of_the_engine_as_a_number():
    """In the whole package errors of the engine stand by name, outside their table."""
    assert offenders(PACKAGE, {each.value for each in EseError} - {0}) == []


def test_nobody_writes_an_event_as_a_number():
    """In the Exchange wing events stand by name, outside their table."""
    assert offenders(PACKAGE / "exchange", {each.value for each in EventId}) == []


def test_every_member_is_in_the_table_under_its_own_name():
    """No two names mean one number, and the name is the engine's in capitals."""
    assert len(EseError.__members__) == len(list(EseError)) == len(ESE_ERRORS)
    for each in EseError:
        assert ESE_ERRORS[each].name == each.jet_name
        bare = each.jet_name.removeprefix("JET_")[3:]
        assert each.name.replace("_", "") == bare.upper(), each.name
    assert len(EventId.__members__) == len(list(EventId))


@pytest.mark.parametrize("member", [EseError.MISSING_LOG_FILE, EventId.WRITER_FROZEN])
def test_a_member_reads_as_its_number(member):
    """In texts, in JSON, as a key, after a trip to another process."""
    number = member.value
    assert type(number) is int
    assert f"{member}" == str(member) == repr(member) == f"{member!r}" == str(number)
    assert f"{member:06d}" == f"{number:06d}"
    assert json.dumps({"error": member, "all": [member]}) == json.dumps(
        {"error": number, "all": [number]}
    )
    assert {number: 1}[member] == 1
    assert pickle.loads(pickle.dumps(member)) is member


def test_reports_with_members_are_what_they_were_with_numbers():
    """Values, their text and their JSON do not tell a member from its number."""
    named, bare = (
        LogReport(name="E00.log", size_bytes=0, problem="torn", error=error)
        for error in (EseError.LOG_FILE_CORRUPT, -501)
    )
    assert named == bare
    assert repr(named) == repr(bare)
    assert named.to_json() == bare.to_json()
    assert type(named.to_dict()["error"]) is int
    error = StoreError("no", native=EseError.DATABASE_DIRTY_SHUTDOWN)
    assert error.native == -550
    assert ese_text(error.native).startswith("-550 JET_errDatabaseDirtyShutdown: ")


def test_what_the_store_raises_can_be_explained():
    """Errors that only the simulated store raises are in the table as well."""
    for number in ("-510", "-1026", "-1805", "-1010"):
        assert explain_code(number).name.startswith("JET_err")


def test_events_from_memory_are_marked():
    """An event of the writer says whether its number was read or recalled."""
    entry = {"source": STORE, "text": "", "at": datetime(2005, 7, 15, tzinfo=UTC)}
    assert EventEntry(id=EventId.WRITER_FROZEN, **entry).recalled
    assert not EventEntry(id=EventId.WRITER_FREEZE_FAILED, **entry).recalled
    assert is_recalled(9610)
