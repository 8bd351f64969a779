"""`frskit explain CODE`: what a code of frskit, VSS or ESE means."""

from __future__ import annotations

import click

from frskit.cli.app import Session, command
from frskit.codes.explain import explain_code

__all__ = ["explain"]


@command("explain", negative_numbers=True)
@click.argument("code")
def explain(session: Session, code: str) -> None:
    """Explain an error code: frskit's own, an HRESULT (0x8004...), an ESE error (-543)."""
    found = explain_code(code)
    session.output.document(
        "frskit.explain/1",
        {"code": code, "name": found.name, "meaning": found.meaning, "advice": found.advice},
    )
    session.output.line(f"{code}: {found.name}")
    session.output.line(found.meaning)
    if found.advice:
        session.output.line(found.advice)
