"""Which files the `frskit ese` commands work on: named ones, those of directories, a copy's.

Reads nothing but names, and headers where a name says too little. A copy's files are read where
its LUNs are: presented to the recovery server and mounted read-only for as long as the block lasts.
"""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import frozen

from frskit.errors import CopyNotFound, FileMissing, UsageError, VolumeNotFound
from frskit.ese import identify, parse_log_name
from frskit.ese.logs import LogFileKind, check_base
from frskit.model.ese_files import FileKind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from frskit.cli.app import Session
    from frskit.ese import Source

__all__ = [
    "CHECKPOINTS",
    "DATABASES",
    "LOGS",
    "Found",
    "base_names",
    "directories",
    "found_files",
    "has_logs",
    "is_archived",
    "split_base",
]

CHECKPOINTS = frozenset({".chk", ".jcp"})
DATABASES = frozenset({".edb", ".stm", ".jfm", ".mdb", ".dat", ".db"})
LOGS = frozenset({".log", ".jtx", ".jrs"})
# Endings that others use, too: there the header decides.
_AMBIGUOUS = frozenset({".mdb", ".dat", ".db"})
# Three characters, as Exchange names its streams [ese.md 10].
_LOG = re.compile(r"(...)(?:[0-9a-f]{5}|[0-9a-f]{8})?\.(?:log|jtx)", re.IGNORECASE)
_BASE = re.compile(r"[A-Za-z0-9_]{1,16}")


@frozen(kw_only=True)
class Found:
    """A file to work on.

    Attributes:
        path: Its path, as people know it; production's path if it is a copy's.
        source: Its bytes.
    """

    path: str
    source: Source

    @property
    def name(self) -> str:
        """The last part of the path."""
        return re.split(r"[\\/]", self.path)[-1]

    @property
    def directory(self) -> str:
        """The rest."""
        return self.path[: -len(self.name)].rstrip("\\/") or "."

    @property
    def suffix(self) -> str:
        """Ending of the name, in small letters."""
        return Path(self.name).suffix.casefold()


@contextmanager
def found_files(
    session: Session,
    words: Sequence[str],
    copy: str | None,
    suffixes: Iterable[str],
    *,
    spare: bool = False,
) -> Iterator[list[Found]]:
    """The files meant by the command line, for the length of the block.

    Args:
        session: The command's session.
        words: Files and directories; with a copy, patterns of names.
        copy: Id of a copy, or the beginning of one.
        suffixes: What counts in directories and copies; a file that is named counts anyway.
        spare: Whether reserve logs and the log under construction count too.

    Raises:
        FileMissing: A file is not there, or nothing was found.
        CopyNotFound: No such copy, or it holds nothing any more.
        UsageError: Nothing was named.
    """
    wanted = frozenset(suffixes)
    if copy is not None:
        with _copied(session, copy) as files:
            chosen = [
                each
                for each in files
                if _matches(each.name, words) and _counts(each, wanted, spare=spare)
            ]
            yield _required(chosen, f"copy {copy} has no such file")
        return
    if not words:
        raise UsageError("name a file or directory, or a copy with --copy")
    files = [each for word in words for each in _on_disk(word, wanted, spare=spare)]
    yield _required(files, f"no such file in {', '.join(words)}")


def _required(files: list[Found], text: str) -> list[Found]:
    if not files:
        raise FileMissing(text, hint="See 'frskit ese --help' for the names that count.")
    return files


def _on_disk(word: str, suffixes: frozenset[str], *, spare: bool) -> Iterator[Found]:
    """The file of this name, or the files below the directory of this name."""
    path = Path(word)
    if path.is_dir():
        for inside in sorted(path.rglob("*")):
            each = Found(path=str(inside), source=inside)
            if inside.is_file() and _counts(each, suffixes, spare=spare):
                yield each
        return
    if not path.exists():
        raise FileMissing(
            f"there is no file {word}",
            hint="Look at the name; 'frskit ese' also takes directories.",
            context={"path": word},
        )
    yield Found(path=word, source=path)


def _counts(file: Found, suffixes: frozenset[str], *, spare: bool) -> bool:
    """Whether a file that nobody named is meant: by its name, then by its header."""
    if file.suffix not in suffixes or (not spare and _is_spare(file.name)):
        return False
    return file.suffix not in _AMBIGUOUS or identify(file.source) is not FileKind.UNKNOWN


def _is_spare(name: str) -> bool:
    """Whether a log is no part of the stream yet: reserve logs, and the one being prepared."""
    parsed = parse_log_name(name, name[:3])
    return parsed is not None and parsed.kind in (LogFileKind.RESERVE, LogFileKind.TEMPORARY)


def is_archived(name: str) -> bool:
    """Whether a log's name says that it is complete: ``E0000001.log``."""
    parsed = parse_log_name(name, name[:3])
    return parsed is not None and parsed.kind is LogFileKind.ARCHIVED


@contextmanager
def _copied(session: Session, copy: str) -> Iterator[list[Found]]:
    """All files of a copy, read from its presented LUNs."""
    from frskit.clock import Budget
    from frskit.frs.recovery import mounted
    from frskit.model.copies import MemberLife

    with session.site() as site:
        record = site.frs.copy(copy)
        if not any(member.life is MemberLife.HELD for member in record.members):
            raise CopyNotFound(
                f"copy {record.id} is {record.life.value}: it holds no LUN any more",
                context={"copy": record.id},
            )
        parts = site.parts
        production = parts.production(record.server)
        with mounted(parts, production, record, Budget.of(parts.clock)) as target:
            files: dict[str, Found] = {}
            for component in target.components:
                for each in component.files:
                    try:
                        found = target.find(each)
                    except VolumeNotFound as error:
                        session.output.warning(error.message)
                        continue
                    files.update((path, Found(path=path, source=ref)) for path, ref in found)
            yield [files[path] for path in sorted(files)]


def _matches(name: str, patterns: Sequence[str]) -> bool:
    from frskit.model.server_paths import matches

    return not patterns or any(matches(name, each) for each in patterns)


def directories(files: Iterable[Found]) -> Mapping[str, Mapping[str, Source]]:
    """Directory -> name -> file."""
    found: dict[str, dict[str, Source]] = {}
    for each in files:
        found.setdefault(each.directory, {})[each.name] = each.source
    return found


def base_names(names: Iterable[str]) -> list[str]:
    """The streams that some file names belong to, as ``E00``."""
    found = {match[1].upper(): match[1] for name in names if (match := _LOG.fullmatch(name))}
    return [found[key] for key in sorted(found)]


def has_logs(names: Iterable[str], base: str) -> bool:
    """Whether one of the names is that of a log of the stream."""
    kinds = (LogFileKind.ARCHIVED, LogFileKind.CURRENT)
    parsed = (parse_log_name(name, check_base(base)) for name in names)
    return any(each is not None and each.kind in kinds for each in parsed)


def split_base(words: Sequence[str]) -> tuple[tuple[str, ...], str | None]:
    """Files and base name: the last word, if it names no file and can be a base name."""
    if len(words) > 1 and _BASE.fullmatch(words[-1]) and not Path(words[-1]).exists():
        return tuple(words[:-1]), words[-1]
    return tuple(words), None
