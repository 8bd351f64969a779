"""Text for terminals: made harmless, measured and wrapped, nothing of it lost. Needs no extras.

Names come from servers, arrays and files of others: what they contain is shown, never obeyed.
"""

from __future__ import annotations

import os
import re
import unicodedata
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import TextIO

__all__ = ["beginnings", "cell_width", "printable", "terminal_width", "wrapped"]

# Nothing can be laid out in less; a smaller COLUMNS is taken for a mistake (ours).
_NARROWEST = 10
# Where the terminal does not say.
_USUAL = 80
# Enough for years of copies; longer where it is not (ours).
_SHORTEST_ID = 8
# Unicode's controls, formats, surrogates, and ends of lines and paragraphs.
_OBEYED = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Vowels and ends of Hangul syllables: drawn into the consonant before them.
_CONJOINED = re.compile("[\u1160-\u11ff\ud7b0-\ud7ff]")
_JOINERS = "\u200c\u200d"
"""Letters of some scripts, and pictures, are spelled with these; they move nothing."""


def printable(text: str) -> str:
    r"""The text with everything that a terminal obeys, instead of showing it, written as an escape.

    Control characters, line ends of all kinds, marks that turn the direction of writing, and bytes
    of a file's name that are no text.

    Example:
        >>> printable("sg1" + chr(27) + "[2J")
        'sg1\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(map(_shown, text))


def _shown(char: str) -> str:
    if unicodedata.category(char) not in _OBEYED or char in _JOINERS:
        return char
    return char.encode("unicode_escape").decode("ascii")


def cell_width(text: str) -> int:
    """Columns that printable text takes on a terminal: wide letters two, combining marks none.

    Measured by what draws the tables, where that is installed: two measures make crooked frames.
    """
    return len(text) if text.isascii() else _measure()(text)


@cache
def _measure() -> Callable[[str], int]:
    try:
        from rich.cells import cell_len  # loaded only when there is something to measure
    except ImportError:
        return lambda text: sum(map(_cells, text))
    return cell_len


def _cells(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me", "Cf") or _CONJOINED.match(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def terminal_width(stream: TextIO) -> int | None:
    """Columns that lines on this stream may have; None if nobody sets a limit.

    The variable ``COLUMNS`` counts first, then the terminal. What goes into a pipe or a file has
    no limit: whole lines are what programs like grep need.
    """
    wanted = os.environ.get("COLUMNS", "")
    if wanted.isdecimal() and int(wanted):
        return max(int(wanted), _NARROWEST)
    if not stream.isatty():
        return None
    try:
        found = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError):
        found = 0
    return max(found or _USUAL, _NARROWEST)


def wrapped(text: str, width: int | None) -> list[str]:
    """One line of printable text as lines of at most `width` columns.

    Lines end between words; only a word longer than a line is broken itself. Further lines are
    indented by two more than the first.
    """
    if width is None or cell_width(text) <= width:
        return [text]
    lead = text[: len(text) - len(text.lstrip(" "))][: width // 2]
    indent = (lead + "  ")[: width // 2]
    lines = [lead]
    for gap, word in re.findall(r"( *)([^ ]+)", text.lstrip(" ")):
        longer = lines[-1] + gap + word
        if cell_width(longer) <= width:
            lines[-1] = longer
            continue
        if lines[-1].strip():
            lines.append(indent)
        first, *others = _pieces(word, width, len(lines[-1]), len(indent))
        lines[-1] += first
        lines.extend(indent + each for each in others)
    return lines


def _pieces(word: str, width: int, used: int, indent: int) -> Iterator[str]:
    """A word in pieces: the first fits after `used` columns, the others after the indentation."""
    piece = ""
    for char in word:
        if piece and used + cell_width(piece + char) > width:
            yield piece
            piece, used = "", indent
        piece += char
    yield piece


def beginnings(ids: Iterable[str]) -> Mapping[str, str]:
    """For each id its shortest beginning, of eight characters or more, that no other begins with.

    Example:
        >>> beginnings(["62300728-33ca", "62300728-4fb0"])["62300728-33ca"]
        '62300728-3'
    """
    known = ["", *sorted(set(ids)), ""]
    shared = [_shared(*pair) for pair in pairwise(known)]
    return {
        each: each[: max(_SHORTEST_ID, before + 1, after + 1)]
        for each, (before, after) in zip(known[1:-1], pairwise(shared), strict=True)
    }


def _shared(one: str, other: str) -> int:
    """How many characters two texts have in common from the beginning."""
    pairs = zip(one, other, strict=False)
    return next(
        (number for number, (left, right) in enumerate(pairs) if left != right),
        min(len(one), len(other)),
    )
