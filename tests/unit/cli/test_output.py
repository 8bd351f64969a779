"""The output layer: tables and trees in any width, names of any kind, results beside bars.

Tables are read back from the text, and terminals are asked what they show in the end.
"""

from __future__ import annotations

import contextlib
import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path
from unittest import mock

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

import frskit
from frskit import BackupType, ese
from frskit.cli import hpfrscli
from frskit.cli import text as measured
from frskit.cli.app import main
from frskit.cli.output import Branch, Output
from frskit.cli.text import cell_width, printable
from frskit.errors import FrskitError, UsageError

FRAME = re.compile("[─━┃│┏┓┗┛┌┐└┘┡┩╇╈╋┳┻├┤┬┴┼╞╡]")
_SIGNS = re.compile("\x1b\\[([0-9;?]*)([A-Za-z])|([\r\n])|([^\x1b\r\n]+)")


def squeezed(text):
    """Text without blanks, line ends and frames."""
    return FRAME.sub("", "".join(text.split()))


def tables(text):
    """The columns of each table in a text: their headings and cells joined, without blanks."""
    found, current = [], []
    for line in [*text.splitlines(), ""]:
        if re.search("[┃│]", line) and not re.search("[─└├]", line):
            cells = re.split("[┃│]", line)
            current.append(cells[1:-1] if re.match("[┃│]", line) else cells)
        elif current and not FRAME.search(line):
            found.append(["".join(map(squeezed, column)) for column in zip(*current, strict=True)])
            current = []
    return found


def screen(data):
    """The lines that a terminal shows in the end, as it obeys what rich sends."""
    lines, row, column = [""], 0, 0
    for sign in _SIGNS.finditer(data):
        value, order, end, text = sign.groups()
        if end == "\r":
            column = 0
        elif end == "\n":
            row += 1
            lines.extend([""] * (row + 1 - len(lines)))
        elif order == "A":
            row = max(0, row - int(value or 1))
        elif order == "K":
            lines[row] = "" if value == "2" else lines[row][:column]
        elif text:
            lines[row] = lines[row].ljust(column)[:column] + text + lines[row][column + len(text) :]
            column += len(text)
        else:
            assert order in "mhl", sign[0]
    return [line.rstrip() for line in lines]


def on_terminal(arguments, *, results_too):
    """Run Python with its error output, or both outputs, on a terminal of 80 columns.

    Gives what the terminal got and what the standard output got if that is none.
    """
    main, worker = pty.openpty()
    hidden = ("COLUMNS", "NO_COLOR", "PYTHONPATH")
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=worker if results_too else subprocess.PIPE,
        stderr=worker,
        env={
            **{key: value for key, value in os.environ.items() if key not in hidden},
            "PYTHONPATH": str(Path(frskit.__file__).parent.parent),
            "PYTHONIOENCODING": "utf-8",
            "TERM": "xterm",
        },
    )
    os.close(worker)
    got = b""
    while True:
        try:
            part = os.read(main, 65536)
        except OSError:
            break
        if not part:
            break
        got += part
    out = process.communicate(timeout=60)[0] or b""
    os.close(main)
    assert process.returncode == 0, got
    return got.decode(), out.decode()


NASTY = ["\x1b]0;owned\x07", "[red]x[/red]", ":warning:", "a\nb", "\x9b2J"]


@pytest.fixture
def printed(capsys, monkeypatch):
    """Function: what a method of a new output prints at a width, on both outputs."""

    def done(width, method, *arguments):
        if width is not None:
            monkeypatch.setenv("COLUMNS", str(width))
        else:
            monkeypatch.delenv("COLUMNS", raising=False)
        capsys.readouterr()
        getattr(Output(), method)(*arguments)
        out = capsys.readouterr()
        return out.out + out.err

    return done


CELLS = st.text(
    st.characters(categories=("L", "N", "Zs"), exclude_characters="\u200b")
    | st.sampled_from(" ,-\\:[]日本\x1b\n"),
    max_size=60,
)
TABLES = st.integers(2, 7).flatmap(
    lambda count: st.tuples(
        st.lists(
            st.text("abcdefgh ", max_size=14).map("h".__add__), min_size=count, max_size=count
        ),
        st.lists(st.lists(CELLS, min_size=count, max_size=count), min_size=1, max_size=5),
    )
)


def check_table(text, headings, rows, width):
    """No line is too long, and each cell is there, in its column or after its name."""
    assert max(map(cell_width, text.splitlines()), default=0) <= (width or 1 << 20)
    shown = [[printable(cell) for cell in row] for row in rows]
    if found := tables(text):
        assert found == [
            ["".join(map(squeezed, column)) for column in zip(headings, *shown, strict=True)]
        ]
    else:
        pairs = (
            f"{name}: {cell}"
            for row in shown
            for name, cell in zip(headings, row, strict=True)
            if cell
        )
        assert squeezed(text) == "".join(map(squeezed, pairs))


@given(TABLES, st.sampled_from([10, 40, 80, 100, None]))
def test_tables_fit_and_lose_nothing(table, width):
    """Any cells at any width: no line is longer, and no cell's text is cut."""
    out = io.StringIO()
    environment = {} if width is None else {"COLUMNS": str(width)}
    with mock.patch.dict("os.environ", environment), contextlib.redirect_stdout(out):
        Output().table("", *table)
    check_table(out.getvalue(), *table, width)


@pytest.mark.parametrize("letter", ["\ud7b0", "\u093e", "\U0001d372", "\u1160"], ids=ascii)
def test_a_table_with_letters_of_unusual_width_stays_straight(letter):
    """What draws the frame measures the cells: marks and tallies have taken one column too many."""
    out = io.StringIO()
    rows = [["x", "0" * 43], [f"日本{letter}", ""]]
    with mock.patch.dict("os.environ", {"COLUMNS": "80"}), contextlib.redirect_stdout(out):
        Output().table("", ["h", "h"], rows)
    assert len({cell_len(line) for line in out.getvalue().splitlines()}) == 1


def test_without_the_library_that_draws_text_is_measured_all_the_same(monkeypatch):
    """A command for scripts needs no extras."""
    monkeypatch.setitem(sys.modules, "rich.cells", None)
    measured._measure.cache_clear()
    try:
        assert [cell_width(each) for each in ("ab", "日本", "e\u0301", "\uac00\ud7b0")] == [
            2,
            4,
            1,
            2,
        ]
    finally:
        measured._measure.cache_clear()


COPIES = (
    ("id", "server", "groups", "created (UTC)", "kind", "state", "verdict", "completion"),
    [("62300728", "evs1", "sg1", "2005-07-15 12:00:00", "snapclone", "parked", "verified", "done")],
)


def test_a_table_that_fits_without_its_frame_is_drawn_without(printed):
    """Eight columns on 80: one line for each copy, as on wider terminals."""
    assert printed(100, "table", "", *COPIES).splitlines()[3].startswith("│ 62300728 │ evs1   │")
    (row,) = printed(80, "table", "", *COPIES).splitlines()[2:]
    assert row.startswith("62300728│evs1  │sg1   │2005-07-15 12:00:00│snapclone│")


def test_a_narrow_terminal_gets_a_block_for_each_row(printed):
    """One ``name: value`` on a line, rows apart, empty cells left out, no frames."""
    rows = [*COPIES[1], ("4fb0a16c", "evs1", "", None, "snapshot", "failed", "corrupt", "failed")]
    assert printed(40, "table", "title", COPIES[0], rows).splitlines() == [
        "title",
        "id: 62300728",
        "server: evs1",
        "groups: sg1",
        "created (UTC): 2005-07-15 12:00:00",
        "kind: snapclone",
        "state: parked",
        "verdict: verified",
        "completion: done",
        "",
        "id: 4fb0a16c",
        "server: evs1",
        "kind: snapshot",
        "state: failed",
        "verdict: corrupt",
        "completion: failed",
    ]


def test_names_and_values_keep_their_words(printed):
    """A full id is never folded where a line can hold it."""
    full = "62300728-33ca-47f3-a1b4-767f21c0b7bb"
    rows = [("id", full), ("truncated (Logs)", "1-1 (1 files)")]
    for width in (40, 55, 60, 80, None):
        assert full in printed(width, "table", "", ("", ""), rows), width
    assert printed(40, "table", "", ("", ""), rows).splitlines()[0] == f"id: {full}"


def test_a_pipe_gets_one_line_for_each_row(printed):
    """However long the cells: grep finds a row whole."""
    rows = [("one", "word " * 100), ("two", "x" * 500)]
    lines = printed(None, "table", "", ("name", "text"), rows).splitlines()
    assert [line.count("word") for line in lines if "one" in line] == [100]
    assert ["x" * 500 in line for line in lines if "two" in line] == [True]


@pytest.mark.parametrize("width", [10, 20, 40, 80])
def test_trees_are_folded_and_not_cut(width, printed):
    """Labels go on in further lines beside their branch."""
    labels = ["a server with a long name", "m" * 60, "copy 62300728 2005-07-15 12:00 snapclone"]
    root = Branch(labels[0], [Branch(labels[1]), Branch(labels[2])])
    text = printed(width, "tree", root)
    assert max(map(len, text.splitlines())) <= width
    assert squeezed(text) == "".join(map(squeezed, labels))


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("width", [40, 80, None])
def test_names_are_shown_and_never_obeyed(name, width, printed):
    """Control characters as escapes; brackets and colons stay what they are."""
    error = UsageError(f"no {name}", hint=f"not {name}")
    error.leftovers = (f"LUN {name}",)
    for arguments in (
        ("line", name),
        ("table", name, (name, "b"), [(name, name)]),
        ("table", "", ("", ""), [("b", name)]),
        ("tree", Branch(name, [Branch(name)])),
        ("warning", name),
        ("error", error),
    ):
        text = printed(width, *arguments)
        assert not {"\x1b", "\x07", "\x9b"} & set(text), arguments
        assert squeezed(printable(name)) in squeezed(text), arguments


def test_errors_fit_as_well(printed):
    """Message, leftovers and hint on a narrow error output."""
    error = UsageError("word " * 30, hint="hint " * 30)
    error.leftovers = ("LUN " * 30,)
    text = printed(40, "error", error)
    assert max(map(len, text.splitlines())) <= 40
    assert [text.count(each) for each in ("word", "hint", "LUN")] == [30, 31, 30]


BESIDE = """
import sys
from frskit.cli.output import Branch, Output, ProgressBars
output = Output()
with ProgressBars(output) as bars:
    for number in range(3):
        bars.update("first [red]file", number, 4)
        bars._progress.refresh()
        output.line(f"result {number}")
    output.table("", ("name", "value"), [("a", 1)])
    output.tree(Branch("root", [Branch("leaf")]))
    output.warning("beware")
    output.line()
    output.line("x" * 70 + " and more words")
    bars.update("second" + chr(27) + "[2J", 1, 2)
    bars._progress.refresh()
assert output.live is None
output.line("the end")
"""
RESULTS = ["result 0", "result 1", "result 2", "│ a    │ 1     │", "└── leaf", "the end"]


def check_results(lines):
    """All results are there, in their order, and nothing of a bar stands beside them."""
    assert [line for line in lines if line in RESULTS] == RESULTS
    assert not [line for line in lines if "%" in line or "file" in line or "second" in line]
    assert " ".join(lines).count("x" * 70 + " ") == 1


def test_results_are_printed_above_bars_and_bars_vanish():
    """On a terminal for both outputs nothing of the bars is left, and nothing is overwritten."""
    drawn, _ = on_terminal(["-c", BESIDE], results_too=True)
    assert "first [red]file" in drawn
    lines = screen(drawn)
    check_results(lines)
    assert "warning: beware" in lines


def test_results_in_a_pipe_hold_nothing_of_the_bars():
    """With bars on the error output alone, results are plain lines in their own stream."""
    drawn, out = on_terminal(["-c", BESIDE], results_too=False)
    assert "first [red]file" in drawn
    assert [line for line in screen(drawn) if line] == ["warning: beware"]
    assert "\x1b" not in out
    check_results(out.splitlines())


def large_database(path, pages=4096):
    """A good database of many empty pages; its path."""
    header = ese.pack_database_header(ese.DatabaseHeader(state=3))
    with path.open("wb") as file:
        file.write(header * 2)
        file.truncate(2 * len(header) + pages * 4096)
    return path


def test_a_checked_file_leaves_its_result_and_no_bar(tmp_path):
    """`ese check` of large files on a terminal: one verdict for each, and no stale bar."""
    paths = [large_database(tmp_path / f"large{number}.edb") for number in (1, 2)]
    code = "from frskit.cli import main; main()"
    words = ["ese", "check", "--limit-mb", "100", *paths]
    drawn, _ = on_terminal(["-c", code, *words], results_too=True)
    assert "━" in drawn  # a bar was there; which of the two is a matter of time
    text = squeezed(" ".join(screen(drawn)))  # the paths may be longer than a line
    assert [text.count(f"large{number}.edb") for number in (1, 2)] == [1, 1]
    assert "%" not in text
    assert not any("━" in line for line in screen(drawn))


# --- every command at 40, 80 and 100 columns --------------------------------------------------

READING = {
    "copy list": "copy list",
    "copy show": "copy show {id}",
    "copy add": "copy add evs1 sg1 sg2 --plan",
    "show": "show evs1",
    "tree": "tree",
    "logs": "logs evs1 sg1 --copy {id}",
    "journal show": "journal show",
    "resume": "resume",
    "recover": "recover {id} --mode roll-forward --plan",
    "recover to a point": "recover {id} --mode point-in-time --method copy-back --plan",
    "explain": "explain -543",
    "ese check": "ese check --copy {id}",
    "ese check as eseutil": "ese check --copy {id} --like-eseutil",
    "ese header": "ese header --copy {id}",
    "ese logs": "ese logs --copy {id}",
    "ese checkpoint": "ese checkpoint --copy {id}",
    "an error": "copy show nosuch",
    "too little of an id": "copy rm {id:.1}",
}
DOING = {
    "demo": "demo",
    "copy add": "copy add evs1 sg1",
    "copy rm": "copy rm {id:.8}",
    "recover": "recover {id} --mode point-in-time",
    "lab deliver": "lab deliver evs1 sg1 --messages 5",
    "lab damage": "lab damage evs1 sg1",
}
WIDTHS = [40, 80, 100]


@pytest.fixture(scope="module")
def used():
    """A lab with good and bad copies, one of them of a name that no terminal should see."""
    with frskit.lab(groups=2, seed=5) as made:
        made.deliver("evs1", "sg1", messages=20)
        made.frs.create_copy("evs1", ["sg1", "sg2"], backup_type=BackupType.FULL)
        with pytest.raises(FrskitError):
            made.frs.create_copy("evs1", ["sg\x1b[2J"], backup_type=BackupType.FULL)
        made.deliver("evs1", "sg1", messages=5)
        made.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
        yield made


@pytest.fixture
def recorded(monkeypatch):
    """What commands give to the output layer: lines, tables, trees."""
    calls = []
    for method in ("line", "table", "tree", "aside"):
        real = getattr(Output, method)

        def call(self, *arguments, _real=real, _method=method, **more):
            calls.append((_method, *arguments))
            return _real(self, *arguments, **more)

        monkeypatch.setattr(Output, method, call)
    return calls


def check_command(ran, recorded, width):
    """No line is too long, and whatever the command had to say is there."""
    text = ran.out + ran.err
    assert "Traceback" not in text
    assert "\x1b" not in text
    assert max(map(cell_width, text.splitlines())) <= width
    all_of_it = squeezed(text)
    drawn = tables(text) if any(method == "table" for method, *_ in recorded) else []
    assert recorded
    for method, *given_ in recorded:
        if method == "tree":
            labels, left = [], [given_[0]]
            while left:
                branch = left.pop()
                labels.append(branch.label)
                left.extend(branch.branches)
            assert all(squeezed(printable(each)) in all_of_it for each in labels)
        elif method == "table" and given_[2]:
            _, headings, rows = given_
            rows = [["" if each is None else printable(str(each)) for each in row] for row in rows]
            columns = ["".join(map(squeezed, each)) for each in zip(headings, *rows, strict=True)]
            assert columns in drawn or squeezed(as_blocks(headings, rows)) in all_of_it
        else:
            assert squeezed(printable(given_[0] if given_ else "")) in all_of_it


def as_blocks(headings, rows):
    """What stands on a terminal that is too narrow for the table."""
    if not any(headings):
        return "".join(f"{name}: {value}" for name, value in rows)
    return "".join(
        f"{name}: {value}"
        for row in rows
        for name, value in zip(headings, row, strict=True)
        if value
    )


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", READING)
def test_what_commands_tell_fits(name, width, used, lend, frs, recorded, monkeypatch):
    """Nothing is longer than the terminal is wide, and no cell's text is lost."""
    monkeypatch.setenv("COLUMNS", str(width))
    lend(used)
    newest = used.frs.copies(component="sg1")[0]
    check_command(frs(*READING[name].format(id=newest.id).split()), recorded, width)


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("name", DOING)
def test_what_commands_report_fits(name, width, site, frs, recorded, monkeypatch):
    """The same for those that change something, each on a site of its own."""
    monkeypatch.setenv("COLUMNS", str(width))
    copy = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)
    ran = frs(*DOING[name].format(id=copy.id).split())
    assert ran.status == 0
    check_command(ran, recorded, width)


@pytest.mark.parametrize("width", WIDTHS)
def test_what_lab_init_tells_fits(width, tmp_path, frs, recorded, monkeypatch):
    """The path of the lab is long; it is there all the same."""
    monkeypatch.setenv("COLUMNS", str(width))
    place = tmp_path / ("a" * 60)
    check_command(frs("lab", "init", place), recorded, width)


def test_every_command_is_among_them():
    """A new command has to be looked at in all widths, too."""
    names = set()
    left = [((), main)]
    while left:
        words, found = left.pop()
        if isinstance(found, click.Group):
            context = click.Context(found)
            left += [
                ((*words, each), found.get_command(context, each))
                for each in found.list_commands(context)
            ]
        else:
            names.add(" ".join(words))
    assert names <= {*READING, *DOING, "lab init"}


def test_narrow_terminals_get_blocks_and_wide_ones_tables(used, lend, frs, monkeypatch):
    """`copy list`: eight lines for each of three copies at 40 columns, one at 80."""
    lend(used)
    monkeypatch.setenv("COLUMNS", "40")
    out = frs("copy", "list").out
    assert (tables(out), len(out.splitlines())) == ([], 3 * 8 + 2)
    monkeypatch.setenv("COLUMNS", "80")
    out = frs("copy", "list").out
    assert len(tables(out)) == 1
    assert [line[:8] for line in out.splitlines()[2:] if line[:8].strip()] == [
        copy.id[:8] for copy in used.frs.copies()
    ]


def test_ids_in_tables_are_beginnings_that_commands_take(used, lend, frs):
    """Eight characters, unique among all copies; the whole id by --json and `copy show`."""
    lend(used)
    for copy in used.frs.copies():
        short = copy.id[:8]
        for words in (("copy", "list"), ("journal", "show"), ("tree",)):
            out = frs(*words).out
            assert short in out or (words == ("tree",) and copy.verdict.value != "verified")
            assert copy.id not in out.replace(f"key {copy.id}", "")  # a fact of the journal
        assert copy.id in frs("copy", "show", short).out
        assert frs("--json", "copy", "show", short).document["copy"]["id"] == copy.id


def test_a_deleted_copy_makes_the_beginnings_of_others_longer(site, frs):
    """Commands search the deleted copies, too: what is shown must be no beginning of theirs."""
    first = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.COPY)
    twin = first.id[:12] + ("0" if first.id[12] != "0" else "1") + first.id[13:]
    site.frs.delete_copy(first.id)
    site.parts.ids.guid = lambda: twin
    site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.COPY)
    (row,) = [line for line in frs("copy", "list").out.splitlines() if first.id[:8] in line]
    assert row.split()[1] == twin[:13]
    assert frs("copy", "show", twin[:13]).status == 0


@pytest.mark.parametrize("words", [("copy", "rm", "{}"), ("delcopy", "/exchange", "/copy={}")])
def test_too_little_of_an_id_deletes_nothing(words, site, frs, capsys):
    """One character is refused, with what to do instead; six are enough."""
    copy = site.frs.create_copy("evs1", ["sg1"], backup_type=BackupType.FULL)

    def tried(text):
        typed = [each.format(text) for each in words]
        if typed[0] == "copy":
            ran = frs(*typed)
            return ran.status, ran.err
        return hpfrscli.run(typed), capsys.readouterr().err

    for length in (1, 5):
        status, error = tried(copy.id[:length])
        assert status == 2
        assert f"error: '{copy.id[:length]}' is too little of an id to delete a copy by" in error
        assert "hint: Give at least 6 characters: 'frskit copy list'." in error
    assert [each.id for each in site.frs.copies()] == [copy.id]
    assert tried(copy.id[:6])[0] == 0
    assert site.frs.copies() == ()


def test_facts_of_the_journal_are_names_and_values(used, lend, frs):
    """No representation of Python's stands in the table; --json has the facts as they are."""
    lend(used)
    out = frs("journal", "show").out
    assert "server evs1; components sg1" in out
    assert "success yes" in out
    assert not set("{}'") & set(out)
    lines = frs("--json", "journal", "show").document["lines"]
    assert {"success": True} in [line.get("facts") for line in lines]


@pytest.mark.parametrize("width", WIDTHS)
def test_the_listing_of_hpfrscli_fits(width, used, lend, capsys, monkeypatch):
    """Beginnings of ids where the whole ones do not fit; whole lines in a pipe."""
    lend(used)
    assert hpfrscli.run(["listcopy", "/exchange", "/server=evs1"]) == 0
    whole = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", str(width))
    assert hpfrscli.run(["listcopy", "/exchange", "/server=evs1"]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in whole + out
    assert max(map(len, out.splitlines())) <= width
    for copy in used.frs.copies():
        assert copy.id in whole
        assert copy.id[:8] in out
    assert len(out.splitlines()) == (len(whole.splitlines()) if width > 40 else 6)
    shortened = whole
    for copy in used.frs.copies():
        shortened = shortened.replace(copy.id, copy.id[:8])
    assert squeezed(out) in (squeezed(whole), squeezed(shortened))


@pytest.mark.parametrize("width", [20, *WIDTHS])
def test_warnings_in_the_words_of_eseutil_fit(width, tmp_path, frs, recorded, monkeypatch):
    """A page that is not what it should be: on the error output, as long as the lines may be."""
    monkeypatch.setenv("COLUMNS", str(width))
    path = large_database(tmp_path / "a.edb", pages=2)
    with path.open("r+b") as file:
        file.seek(3 * 4096)
        file.write(b"x" * 4096)
    ran = frs("ese", "check", "--like-eseutil", path)
    assert ran.err.startswith("ERROR: page 2")
    check_command(ran, recorded, width)


def test_errors_of_hpfrscli_fit_and_obey_nobody(capsys, monkeypatch):
    """What was typed is shown, and goes on in the next line."""
    monkeypatch.setenv("COLUMNS", "40")
    assert hpfrscli.run(["addcopy", "/exchange", "/\x1b[2J" + "word " * 20]) == 2
    error = capsys.readouterr().err
    assert "\\x1b[2J" in error
    assert "\x1b" not in error
    assert error.count("word") == 20
    assert max(map(len, error.splitlines())) <= 40


def test_names_are_escaped_wherever_they_are_told(used, lend, frs):
    """The group that a failed copy named is shown with its escape, by every command."""
    lend(used)
    bad = next(copy for copy in used.frs.copies() if "\x1b" in copy.components[0])
    for words in (("copy", "list"), ("copy", "show", bad.id), ("journal", "show"), ("tree",)):
        ran = frs(*words)
        assert "\x1b" not in ran.out + ran.err
    assert "sg\\x1b[2J" in frs("copy", "list").out
    assert "\x1b" not in frs("copy", "show", "\x1b[2J").err
    assert "\x1b" not in frs("--site", "\x1b[2J", "--nonsense").err
