"""The command `frskit`: options common to all commands, errors to exit statuses [FRS 6.2]."""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Concatenate, ParamSpec

import click

import frskit
from frskit._typing import override
from frskit.cli.output import Output, ProgressBars
from frskit.cli.sites import opened
from frskit.errors import Cancelled, FrskitError, UsageError

if TYPE_CHECKING:
    from frskit.site import Site

__all__ = ["Session", "command", "group", "main", "run"]

P = ParamSpec("P")


class Session:
    """What every command gets: where to print, and which site to open.

    Attributes:
        output: Where to print.
        place: The site named by ``--site``; None = the environment's.
    """

    def __init__(self, *, place: str | None, as_json: bool) -> None:
        self.place = place
        self.output: Output = Output(as_json=as_json)

    def site(self) -> Site:
        """The site, opened; use it as a context manager."""
        return opened(self.place)

    def progress(self) -> ProgressBars:
        """Progress bars for the length of a block."""
        return ProgressBars(self.output)


class LazyGroup(click.Group):
    """A group whose commands live in modules of their own, loaded when they are needed."""

    def __init__(self, *args: object, lazy: dict[str, str] | None = None, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self._lazy = lazy or {}

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands."""
        return sorted({*super().list_commands(ctx), *self._lazy})

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        import importlib

        module, _, name = self._lazy[cmd_name].partition(":")
        found: click.Command = getattr(importlib.import_module(module), name)
        return found


@click.group(
    cls=LazyGroup,
    lazy={
        "copy": "frskit.cli.copies:copies",
        "demo": "frskit.cli.demo:demo",
        "ese": "frskit.cli.ese:ese",
        "explain": "frskit.cli.explain:explain",
        "journal": "frskit.cli.journal:journal",
        "lab": "frskit.cli.lab:lab",
        "logs": "frskit.cli.recovery:logs",
        "recover": "frskit.cli.recovery:recover",
        "resume": "frskit.cli.recovery:resume",
        "show": "frskit.cli.overview:show",
        "tree": "frskit.cli.overview:tree",
    },
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(frskit.__version__, prog_name="frskit")
@click.option("--site", "place", metavar="DIR_OR_TOML", help="The site; else $FRSKIT_SITE.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON documents.")
@click.pass_context
def main(context: click.Context, place: str | None, *, as_json: bool) -> None:
    """Verified array-based copies and fast recovery.

    Start with 'frskit demo', or make a site of your own with 'frskit lab init DIR'.
    """
    context.obj = Session(place=place, as_json=as_json)


def group(name: str, text: str) -> Callable[[Callable[[], None]], click.Group]:
    """Decorator: a group of commands with its help text."""
    return lambda function: click.Group(name, help=text, callback=function)


def command(
    name: str, *, parent: click.Group | None = None, negative_numbers: bool = False
) -> Callable[[Callable[Concatenate[Session, P], int | None]], click.Command]:
    """Decorator: a command that takes ``--json`` itself and gets the session first.

    The function's return value is the exit status; None is 0. With `negative_numbers` an argument
    like ``-543`` is a value and not an option.
    """
    settings = {"ignore_unknown_options": True} if negative_numbers else {}

    def decorate(function: Callable[Concatenate[Session, P], int | None]) -> click.Command:
        @click.pass_obj
        @functools.wraps(function)
        def call(session: Session, /, *args: P.args, **kwargs: P.kwargs) -> int:
            if kwargs.pop("as_json_here", False):
                session.output.as_json = True
            return function(session, *args, **kwargs) or 0

        option = click.option("--json", "as_json_here", is_flag=True, help="Print JSON.")
        made = click.command(name, context_settings=settings)(option(call))
        if parent is not None:
            parent.add_command(made)
        return made

    return decorate


def run(arguments: Sequence[str]) -> int:
    """Run a command line and return its exit status; never a traceback for a user's mistake."""
    # The command line may be refused before click knows of ``--json``.
    output = Output(as_json="--json" in arguments)
    try:
        status = main.main(list(arguments), prog_name="frskit", standalone_mode=False)
    except FrskitError as error:
        output.error(error)
        return error.exit_status
    except click.exceptions.Abort:
        return _interrupted(output)
    except click.ClickException as error:
        return _usage(output, error)
    except KeyboardInterrupt:
        return _interrupted(output)
    except BrokenPipeError:
        # Else the interpreter's own last flush would complain once more.
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: PTH123, SIM115
        return 0
    except Exception as error:  # noqa: BLE001 - the last line of defence
        return _internal(output, error)
    return int(status or 0)


def _usage(output: Output, error: click.ClickException) -> int:
    if isinstance(error, click.exceptions.NoArgsIsHelpError) and not output.as_json:
        sys.stderr.write(f"{error.format_message()}\n")
        return UsageError.exit_status
    context = getattr(error, "ctx", None)
    path = context.command_path if context is not None else "frskit"
    output.error(UsageError(error.format_message(), hint=f"See '{path} --help'."))
    return UsageError.exit_status


def _interrupted(output: Output) -> int:
    error = Cancelled("interrupted", hint="'frskit resume' finishes or rolls back what was left.")
    output.error(error)
    return error.exit_status


def _internal(output: Output, error: Exception) -> int:
    """A defect of frskit itself: say so, keep the details for the report."""
    found = FrskitError(
        f"unexpected {type(error).__name__}: {error}",
        hint="This is a defect of frskit; set FRSKIT_TRACEBACK=1 and report the output.",
    )
    output.error(found)
    if os.environ.get("FRSKIT_TRACEBACK"):
        traceback.print_exception(error, file=sys.stderr)
    return found.exit_status
