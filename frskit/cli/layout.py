"""How wide the columns of a table are, and whether a table is of use at all in so little room.

Three ways, the first that has the room: framed; with lines between the columns only; and one
block of ``name: value`` lines for each row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from frskit.cli.text import cell_width

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["Grid", "blocks", "fitted"]

_SHORT = 24
"""Cells up to this width are names, numbers and times; longer ones are read, or are paths."""

_READABLE = 20
"""Columns that a text needs at least; below that it is no text any more."""


@frozen(kw_only=True)
class Grid:
    """The columns of a table.

    Attributes:
        widths: Of each column, in terminal columns.
        framed: Whether there is a frame, and a blank beside each cell.
    """

    widths: tuple[int, ...]
    framed: bool


def fitted(
    headings: Sequence[str], rows: Sequence[Sequence[str]], width: int | None
) -> Grid | None:
    """The best table for these rows; None if there is no room for any.

    Args:
        headings: Of the columns; all empty if rows are names and values, whose words stay whole.
        rows: Cells of printable text.
        width: Columns there are; None = as many as it takes.
    """
    columns = [
        _Column(cells, breakable=any(headings)) for cells in zip(headings, *rows, strict=True)
    ]
    whole = [each.whole for each in columns]
    roomy = [each.roomy for each in columns]
    tight = [each.tight for each in columns]
    for framed, least in ((True, whole), (True, roomy), (False, whole), (False, tight)):
        # What frames and padding take, or the blanks between bare columns.
        lines = 3 * len(columns) + 1 if framed else len(columns) - 1
        spare = 0 if width is None else width - lines - sum(least)
        if spare >= 0:
            return Grid(widths=tuple(_spread(columns, least, spare)), framed=framed)
    return None


class _Column:
    """What a column needs.

    Attributes:
        word: Width of its longest word.
        whole: Width of its longest cell.
        roomy: Width with which it is read with pleasure.
        tight: Width with which it can be read.
    """

    def __init__(self, cells: Sequence[str], *, breakable: bool) -> None:
        self.word = max(map(cell_width, " ".join(cells).split()), default=1)
        self.whole = max(1, *map(cell_width, cells))
        unbroken = min(self.word, _SHORT) if breakable else self.word
        self.roomy = max(unbroken, min(self.whole, _SHORT))
        self.tight = self.word if self.is_short else max(unbroken, _READABLE)

    @property
    def is_short(self) -> bool:
        """Whether all cells are."""
        return self.whole <= _SHORT


def _spread(columns: Sequence[_Column], least: Sequence[int], spare: int) -> list[int]:
    """Widths with the spare room given away: to short cells, to long words, to what is read."""
    widths = list(least)

    def widen(number: int, wanted: int) -> None:
        nonlocal spare
        missing = wanted - widths[number]
        if 0 < missing <= spare:
            widths[number] += missing
            spare -= missing

    by_need = sorted(range(len(columns)), key=lambda each: columns[each].whole - widths[each])
    for number in by_need:
        if columns[number].is_short:
            widen(number, columns[number].whole)
    for number in by_need:
        widen(number, columns[number].word)
    # One at a time, to the column that lacks most of what it would like.
    while spare:
        neediest = max(by_need, key=lambda each: columns[each].whole / widths[each])
        if widths[neediest] >= columns[neediest].whole:
            break
        widen(neediest, widths[neediest] + 1)
    return widths


def blocks(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The rows as lines ``name: value``, a blank line between rows; empty cells are left out.

    Without headings the first cell of each row is the name of the second.
    """
    if not any(headings):
        yield from (f"{name}: {value}" for name, value in rows)
        return
    for number, row in enumerate(rows):
        if number:
            yield ""
        yield from (f"{name}: {value}" for name, value in zip(headings, row, strict=True) if value)
