"""What a code means: frskit's own, an HRESULT of VSS, an ESE error."""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from frskit import errors
from frskit.codes.ese import ESE_ERRORS
from frskit.codes.hresult import HRESULTS, RetryClass
from frskit.errors import FrskitError, NotFound

__all__ = ["Explanation", "error_classes", "explain_code"]

_RETRY = {
    RetryClass.TRANSIENT: "Wait and try again (Microsoft: ten minutes, at most three times).",
    RetryClass.LATER: "Try again when the other operation has ended.",
    RetryClass.CONFIGURE: "Change the configuration first.",
    RetryClass.NEVER: "Trying again does not help.",
    RetryClass.SUCCESS: "A success code.",
}


@frozen(kw_only=True)
class Explanation:
    """What a code means and what to do."""

    name: str
    meaning: str
    advice: str = ""


def error_classes() -> Iterator[type[FrskitError]]:
    """Every class of the error tree, root first, in the order of `frskit.errors`."""
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, FrskitError):
            yield value


def explain_code(text: str) -> Explanation:
    """The meaning of a code.

    Raises:
        NotFound: Nobody knows it.

    Example:
        >>> explain_code("-543").name
        'JET_errRequiredLogFilesMissing'
        >>> explain_code("0x80042314").name
        'VSS_E_HOLD_WRITES_TIMEOUT'
        >>> explain_code("array.copy-conflict").name
        'CopyConflict'
    """
    wanted = text.strip()
    for kind in error_classes():
        if wanted.casefold() in (kind.code.casefold(), kind.__name__.casefold()):
            status = f"Exit status {kind.exit_status}."
            meaning = (kind.__doc__ or "").strip().splitlines()[0]
            return Explanation(
                name=kind.__name__, meaning=f"{meaning} {status}", advice=kind.default_hint
            )
    number = _number(wanted)
    for each in HRESULTS:
        if number == each.value or wanted.casefold() == each.name.casefold():
            return Explanation(name=each.name, meaning=each.meaning, advice=_RETRY[each.retry])
    for code in ESE_ERRORS.values():
        if number is not None and _signed(number) == code.number:
            return Explanation(name=code.name, meaning=code.meaning)
        if wanted.casefold() in (code.name.casefold(), code.name.removeprefix("JET_").casefold()):
            return Explanation(name=code.name, meaning=f"{code.number}: {code.meaning}")
    raise NotFound(
        f"nothing is known about {text!r}",
        hint="Give a code as it was printed: array.copy-conflict, 0x80042314, -543.",
    )


def _number(text: str) -> int | None:
    try:
        return int(text, 0)
    except ValueError:
        return None


def _signed(number: int) -> int:
    """ESE errors are printed as 32-bit words as well: 0xfffffde1 is -543."""
    return number - (1 << 32) if number >= 1 << 31 else number
