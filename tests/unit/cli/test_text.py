"""Text for terminals: nothing that a terminal obeys, no line too long, no character lost."""

from __future__ import annotations

import io
import os
import pty
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from frskit.cli.text import beginnings, cell_width, printable, terminal_width, wrapped

OBEYED = {
    "\x1b[2J": "\\x1b[2J",
    "\x9b31m": "\\x9b31m",
    "a\rb": "a\\rb",
    "a\nb": "a\\nb",
    "a\tb": "a\\tb",
    "\x07\x7f\x00": "\\x07\\x7f\\x00",
    "\u202egpj.exe": "\\u202egpj.exe",
    "a\u2028b": "a\\u2028b",
    "\udc80": "\\udc80",
}


@pytest.mark.parametrize("text", OBEYED)
def test_what_a_terminal_obeys_is_written_as_an_escape(text):
    """Control characters, line ends, turned writing, and bytes that are no text."""
    assert printable(text) == OBEYED[text]


@pytest.mark.parametrize("text", ["M:\\exchsrvr\\sg1", "Müller", "日本", "क्‍ष", "a\u00a0b", "👩‍🔬"])
def test_what_is_only_shown_stays(text):
    """Paths, and letters of all scripts."""
    assert printable(text) == text


@given(st.text())
def test_nothing_obeyed_is_left(text):
    """Whatever the text: no control character, and what has none is not changed."""
    shown = printable(text)
    categories = {unicodedata.category(each) for each in shown}
    assert not categories & {"Cc", "Cs", "Zl", "Zp"}
    assert printable(shown) == shown


WORDS = st.text(st.characters(categories=("L", "N", "P")) | st.sampled_from("  日本"), max_size=300)


@given(WORDS, st.integers(10, 120))
@example("x" * 300, 10)
@example(" " * 40 + "x", 10)
@example("日" * 50, 11)
def test_wrapped_lines_fit_and_lose_nothing(text, width):
    """Each line has at most so many columns; without the blanks they are the text."""
    lines = wrapped(text, width)
    assert max(map(cell_width, lines)) <= width
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_lines_end_between_words_and_further_ones_are_indented():
    """A word is broken only if no line can hold it."""
    assert wrapped("  one two three", 10) == ["  one two", "    three"]
    assert wrapped("id: 0123456789abcdef", 10) == ["id:", "  01234567", "  89abcdef"]
    assert wrapped("(a,   b)", 10) == ["(a,   b)"]
    assert wrapped("as long as it likes", None) == ["as long as it likes"]


def test_wide_letters_take_two_columns_and_marks_none():
    """Columns, not characters."""
    assert [cell_width(each) for each in ("abc", "日本", "e\u0301", "")] == [3, 4, 1, 0]


def test_the_variable_sets_the_width_before_the_terminal_does(monkeypatch):
    """COLUMNS counts for pipes too; nonsense in it does not count."""
    assert terminal_width(io.StringIO()) is None
    for text, width in {"40": 40, "100": 100, "1": 10, "0": None, "wide": None, "": None}.items():
        monkeypatch.setenv("COLUMNS", text)
        assert terminal_width(io.StringIO()) == width, text


def test_a_terminal_tells_its_width(monkeypatch):
    """80 if it tells none."""
    main, worker = pty.openpty()
    with open(worker, "w", encoding="utf-8") as stream:  # noqa: PTH123
        assert terminal_width(stream) == 80
        monkeypatch.setattr(os, "get_terminal_size", lambda _: os.terminal_size((57, 24)))
        assert terminal_width(stream) == 57
    os.close(main)


@given(st.sets(st.text("0123456789abcdef-", min_size=36, max_size=36), max_size=30))
@example({"6" * 36, "6" * 35 + "7", "6" * 9 + "a" * 27})
def test_each_beginning_is_that_of_one_id_only(ids):
    """Eight characters or as many as it takes, and not one more."""
    found = beginnings(ids)
    assert set(found) == ids
    for full, short in found.items():
        assert [each for each in ids if each.startswith(short)] == [full]
        others = [each for each in ids if each.startswith(short[:-1])]
        assert len(short) == 8 or len(others) > 1
