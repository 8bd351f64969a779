"""Fuzz target: any bytes as a checkpoint file.

    python tests/fuzz/fuzz_ese_checkpoints.py -max_total_time=60  (needs atheris)

The first byte says which of the two copies get a right checksum. Fails on any exception that is
not frskit's own, and on a checkpoint that is not read again as it was packed.
"""

from __future__ import annotations

import atheris

with atheris.instrument_imports(include=["frskit"]):
    from frskit import ese
    from frskit.errors import FrskitError
    from frskit.ese.eseutil import checkpoint_lines
    from frskit.ese.pages.checksums import seal_header
    from frskit.ese.recovery_facts import checkpoint_facts

    for name in ese.__all__:  # loaded on first use, which must be here
        getattr(ese, name)

import seeds


def one(data):
    """One input: a byte of choices, then up to two copies."""
    if not data:
        return
    first = bytearray(data[1:4097].ljust(4096, b"\0"))
    second = bytearray(data[4097:8193].ljust(4096, b"\0")) if len(data) > 4097 else first[:]
    for bit, copy in enumerate((first, second)):
        if data[0] >> bit & 1:
            seal_header(copy)
    file = bytes(first + second)[: None if data[0] & 4 == 0 else 4096]
    assert ese.identify(file) in ese.FileKind
    report = ese.check_logs({"E00.chk": file}, "E00")
    assert report.checkpoint is not None or report.checkpoint_error is not None
    for check in (ese.read_checkpoint, ese.check_database):
        try:
            found = check(file)
        except FrskitError:
            continue
        if check is ese.read_checkpoint:
            assert checkpoint_lines(found)
            assert checkpoint_facts(found, None)
            assert ese.read_checkpoint(ese.pack_checkpoint(found)) == found


def examples():
    """Checkpoints with and without attached databases, and two that differ."""
    make = seeds.forge()
    attached = ese.AttachInfo(dbid=1, names=b"M:\\mbx.edb\0")
    wide = ese.AttachInfo(dbid=2, flags=0x20, names="M:\\pub.edb\0".encode("utf-16-le"))
    plain = make.checkpoint(3)
    full = make.checkpoint(4, version=1, attachments=(attached, wide))
    for choice in range(8):
        yield bytes([choice]) + plain[:4096] + full[:4096]
    yield b"\3" + full[:4096]


if __name__ == "__main__":
    atheris.Setup(seeds.arguments(examples()), one)
    atheris.Fuzz()
