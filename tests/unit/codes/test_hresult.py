"""The table of HRESULTs against the rule book's own figures."""

from __future__ import annotations

import pytest

from frskit.codes.hresult import BY_NAME, HRESULTS, RetryClass, describe, hresult, lookup
from frskit.model.components import WriterFailure


def test_values_are_unique():
    """No name and no value appears twice."""
    assert len({each.name for each in HRESULTS}) == len({each.value for each in HRESULTS})
    assert len(BY_NAME) == len(HRESULTS) > 80


@pytest.mark.parametrize(
    ("name", "value", "retry"),
    [
        ("VSS_E_BAD_STATE", 0x80042301, "N"),
        ("VSS_E_PROVIDER_VETO", 0x80042306, "T"),
        ("VSS_E_OBJECT_NOT_FOUND", 0x80042308, "N"),
        ("VSS_S_ASYNC_FINISHED", 0x0004230A, "S"),
        ("VSS_E_VOLUME_NOT_SUPPORTED_BY_PROVIDER", 0x8004230E, "C"),
        ("VSS_E_HOLD_WRITES_TIMEOUT", 0x80042314, "T"),
        ("VSS_E_SNAPSHOT_SET_IN_PROGRESS", 0x80042316, "L"),
        ("VSS_S_SOME_SNAPSHOTS_NOT_IMPORTED", 0x00042321, "S"),
        ("VSS_E_WRITERERROR_TIMEOUT", 0x800423F2, "T"),
        ("VSS_E_NONTRANSPORTABLE_BCD", 0x800423FD, "N"),
        ("VSS_E_WRITER_STATUS_NOT_AVAILABLE", 0x80042409, "L"),
        ("E_NOTIMPL", 0x80004001, "N"),
    ],
)
def test_figures(name, value, retry):
    """Values and retry classes are those of the book."""
    assert hresult(name) == value
    assert BY_NAME[name].retry is RetryClass(retry)
    assert BY_NAME[name].failed is (retry != "S")


@pytest.mark.parametrize(
    "code",
    [0x80042314, 0x80042314 - 2**32, "0x80042314", "80042314", "vss_e_hold_writes_timeout"],
)
def test_lookup(code):
    """A code is found by value, signed value, hexadecimal text or name."""
    found = lookup(code)
    assert found is not None
    assert found.name == "VSS_E_HOLD_WRITES_TIMEOUT"


def test_unknown():
    """Unknown codes are not guessed."""
    assert lookup(12345) is None
    assert lookup("nonsense") is None
    assert describe(0x80049999) == "0x80049999"
    assert "held" in describe(0x80042314)


def test_writer_failures_are_in_the_table():
    """The five codes of a writer's veto are those of the table."""
    for code in WriterFailure:
        assert lookup(code.value) is not None
