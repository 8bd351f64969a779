"""`hpfrscli addcopy|listcopy|delcopy`: the guide's command forms, with a small parser of its own.

From the guide: the program's name, `addcopy` and `listcopy` with ``/exchange``, ``/server=`` and
``/sg=`` [FRS 6]. The form of deletion is not known; ``delcopy /copy=ID`` is frskit's own, and so
are the output and the exit statuses. Switches are compared without regard to case.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from frskit.cli import leave
from frskit.cli.damage import look_for_damage
from frskit.cli.render import verdict_text
from frskit.cli.sites import opened, short_ids
from frskit.cli.text import cell_width, printable, terminal_width, wrapped
from frskit.errors import Cancelled, FrskitError, UsageError
from frskit.model.components import BackupType

if TYPE_CHECKING:
    from typing import TextIO

    from frskit.model.copies import Copy

__all__ = ["main", "parse", "run"]

USAGE = """usage: hpfrscli addcopy  /exchange /server=NAME /sg=NAME[,NAME...]
       hpfrscli listcopy /exchange /server=NAME [/sg=NAME]
       hpfrscli delcopy  /exchange /copy=ID
The site is named by the environment variable FRSKIT_SITE.
"""
# Per command the switches that it needs, and those that it may have.
_SWITCHES = {
    "addcopy": ({"server", "sg"}, set[str]()),
    "listcopy": ({"server"}, {"sg"}),
    "delcopy": ({"copy"}, {"server", "sg"}),
}


def parse(arguments: Sequence[str]) -> tuple[str, dict[str, str]]:
    """Command and switches of a command line.

    Raises:
        UsageError: Anything that the grammar does not know.

    Example:
        >>> parse(["AddCopy", "/exchange", "/Server=evs1", "/sg=sg1"])
        ('addcopy', {'server': 'evs1', 'sg': 'sg1'})
    """
    hint = "hpfrscli /? shows the forms."
    if not arguments or arguments[0].casefold() not in _SWITCHES:
        raise UsageError("name a command: addcopy, listcopy or delcopy", hint=hint)
    name = arguments[0].casefold()
    required, optional = _SWITCHES[name]
    values: dict[str, str] = {}
    applications = 0
    for argument in arguments[1:]:
        switch, equals, value = argument.partition("=")
        key = switch[1:].casefold() if switch.startswith("/") else ""
        if key == "exchange" and not equals:
            applications += 1
        elif key in required | optional and equals and value and key not in values:
            values[key] = value.strip('"')
        else:
            raise UsageError(f"incorrect parameter: {argument}", hint=hint)
    if applications != 1:
        raise UsageError("say the application once: /exchange", hint=hint)
    missing = sorted(required - set(values))
    if missing:
        raise UsageError(f"missing: /{missing[0]}=", hint=hint)
    return name, values


def main() -> None:
    """Entry point of ``hpfrscli``."""
    leave(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit status [FRS 6.2]."""
    if any(each in ("/?", "/help", "--help", "-h") for each in arguments):
        sys.stdout.write(USAGE)
        return 0
    try:
        name, values = parse(arguments)
        return _COMMANDS[name](values)
    except FrskitError as error:
        _print(sys.stderr, f"error: {error.message}", f"hint: {error.hint}")
        _print(sys.stderr, *(f"left behind: {leftover}" for leftover in error.leftovers))
        return error.exit_status
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; 'frskit resume' finishes or rolls back what was left\n")
        return Cancelled.exit_status


def _add(values: dict[str, str]) -> int:
    groups = [name for name in values["sg"].split(",") if name]
    with opened(None) as site:
        copy = site.frs.create_copy(values["server"], groups, backup_type=BackupType.FULL)
    report = copy.report
    checked = "" if report is None else f", {report.pages} pages and {report.logs} logs checked"
    cut = sum(each.count for each in copy.truncated)
    _print(
        sys.stdout,
        f"copy {copy.id} of {', '.join(copy.components)} on {copy.server}: "
        f"{verdict_text(copy)}{checked}, {cut} logs truncated",
    )
    return 0


def _list(values: dict[str, str]) -> int:
    with opened(None) as site:
        site.parts.production(values["server"])
        found = site.frs.copies(server=values["server"], component=values.get("sg"))
        damage = look_for_damage(site, server=values["server"], component=values.get("sg"))
        short = short_ids(site)
    # Whole ids are what scripts need; they give way only where a terminal is too narrow.
    lines = _listed(found, {copy.id: copy.id for copy in found})
    width = terminal_width(sys.stdout)
    if width is not None and any(cell_width(line) > width for line in lines):
        lines = _listed(found, short)
    _print(sys.stderr, *(f"warning: {each}" for each in damage.lines))
    none = "no copies that can be shown" if damage.lines else "no copies"
    _print(sys.stdout, *lines or [none])
    return damage.status(shown=bool(found))


def _listed(copies: Sequence[Copy], ids: Mapping[str, str]) -> list[str]:
    """A line for each copy, with these ids."""
    return [
        printable(
            f"{ids[copy.id]}  {copy.created_at:%Y-%m-%d %H:%M:%S}  {','.join(copy.components)}  "
            f"{copy.kind.value}  {verdict_text(copy)}  {copy.life.value}"
        )
        for copy in copies
    ]


def _print(stream: TextIO, *texts: str) -> None:
    """Lines for people: what a terminal would obey is escaped, what does not fit is wrapped."""
    width = terminal_width(stream)
    for text in texts:
        stream.writelines(f"{line}\n" for line in wrapped(printable(text), width))


def _delete(values: dict[str, str]) -> int:
    with opened(None) as site:
        copy = site.frs.copy(values["copy"])
        site.frs.delete_copy(values["copy"])  # as it was given: too little of an id is refused
    _print(sys.stdout, f"deleted {copy.id}")
    return 0


_COMMANDS = {"addcopy": _add, "listcopy": _list, "delcopy": _delete}

if __name__ == "__main__":
    main()
