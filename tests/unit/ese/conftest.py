"""Makers of ESE files, and a slow oracle that shares no code with the library."""

from __future__ import annotations

import random
import struct
from datetime import UTC, datetime, timedelta

import pytest

from frskit import ese
from frskit.ese.logs.format7_chain import build_checksum_record, shadow_sector

SECTOR = 512
START = datetime(2005, 7, 15, 12, 0, tzinfo=UTC)


class Oracle:
    """Checksums by the book, one bit at a time (ese.md 4); words and positions, no folding."""

    @staticmethod
    def xor32(data):
        result = 0
        for at in range(0, len(data), 4):
            result ^= int.from_bytes(data[at : at + 4], "little")
        return result

    def header(self, page):
        return self.xor32(page[4:]) ^ 0x89ABCDEF

    def block(self, data, number, first):
        data = bytes(8) + data[8:] if first else bytes(data)
        low = high = 0
        last = 8 * len(data) - 1
        for index, byte in enumerate(data):
            for bit in range(8):
                if byte >> bit & 1:
                    low ^= 8 * index + bit
                    high ^= last - (8 * index + bit)
        return (high << 16 | low) << 32 | (self.xor32(data) ^ number)

    def computed(self, page, number):
        size = len(page) if len(page) <= 8192 else len(page) // 4
        return [
            self.block(page[at : at + size], number, at == 0) for at in range(0, len(page), size)
        ]

    @staticmethod
    def stored(page):
        first = struct.unpack_from("<Q", page)[0]
        return [first] if len(page) <= 8192 else [first, *struct.unpack_from("<3Q", page, 40)]

    def verdict(self, page, number):
        """(status, bit): flip what the rule of ese.md 4.5 says, compute everything again."""
        if not any(page):
            return "uninitialized", None
        if not page[37] & 0x20:
            good = page[:4] == struct.pack("<I", self.header(page))
            good = good and page[4:8] == struct.pack("<I", number)
            return ("ok" if good and not (len(page) > 8192 and any(page[40:64])) else "bad"), None
        stored, computed = self.stored(page), self.computed(page, number)
        if stored == computed:
            return "ok", None
        bits = 8 * len(page) // len(stored)
        flips = []
        for index, want in enumerate(computed):
            ecc, xor = divmod(stored[index] ^ want, 1 << 32)
            if not ecc and not xor:
                continue
            bit = ecc & 0xFFFF
            if ((ecc >> 16) ^ ecc) & (bits - 1) != bits - 1 or xor.bit_count() != 1:
                return "bad", None
            if bit >= bits or (index == 0 and bit == 301):
                return "bad", None
            flips.append(index * bits + bit)
            if index == 0 and len(stored) > 1 and 320 <= bit < 512:
                stored[1 + (bit - 320) // 64] ^= 1 << (bit - 320) % 64
        fixed = bytearray(page)
        for flip in flips:
            fixed[flip // 8] ^= 1 << flip % 8
        again = self.stored(fixed) == self.computed(bytes(fixed), number)
        return ("correctable", flips[0]) if again else ("bad", None)


class Forge:
    """Makes ESE files of any shape, all good until a test damages them."""

    signature = ese.Signature(random=4711, created=ese.LogTime.of(START, modern=False))

    def content(self, size, seed=0):
        return bytearray(random.Random(f"{size}/{seed}").randbytes(size))

    def page(self, number, size=4096, new=True, seed=0, dbtime=None):
        page = self.content(size, seed)
        page[8:16] = (number if dbtime is None else dbtime).to_bytes(8, "little")
        if not new and size > 8192:
            page[40:64] = bytes(24)
        ese.seal_page(page, number, new_format=new)
        return bytes(page)

    def header(self, size=4096, **fields):
        fields = {"state": 3, "format_update_major": 0x0B, **fields}
        return ese.pack_database_header(ese.DatabaseHeader(page_size=size, **fields))

    def database(self, pages=10, size=4096, new=True, **fields):
        body = b"".join(self.page(number, size, new) for number in range(1, pages + 1))
        return bytearray(self.header(size, **fields) * 2 + body)

    def time(self, generation, modern=False):
        return ese.LogTime.of(START + timedelta(seconds=generation), modern=modern)

    def log_header(self, generation=1, **fields):
        fields = {
            "created": self.time(generation),
            "previous_created": self.time(generation - 1) if generation > 1 else ese.LogTime(),
            "log_signature": self.signature,
            "file_sectors": 64,
            **fields,
        }
        return ese.LogHeader(generation=generation, **fields)

    def old_log(self, generation=1, flushes=((0, 300), (40, 1500), (0, 100)), **fields):
        """A log of the old format; each flush is (bytes before its record, bytes after)."""
        header = self.log_header(generation, **fields)
        log = bytearray(header.file_size_bytes)
        log[:4096] = ese.pack_log_header(header)
        sectors, at = [], 4096
        for lead, forward in flushes:
            end = at + lead + 22 + forward
            if end > at + SECTOR:
                end = -(-end // SECTOR) * SECTOR
            sectors.append((at, at + lead, end))
            log[at:end] = self.content(end - at, seed=generation + at)
            at = -(-end // SECTOR) * SECTOR
        records = [record for _, record, _ in sectors]
        for (start, record, end), following in zip(sectors, [*records[1:], None], strict=True):
            made = build_checksum_record(
                memoryview(log)[start:],
                record - start,
                forward=end - record - 22,
                generation=generation,
                sector_size=SECTOR,
                next_offset=0 if following is None else following - record - 22,
            )
            log[record : record + 22] = made.pack()
        return log

    def add_shadow(self, log, generation=1, flushes=((0, 300), (40, 1500), (0, 100))):
        """Write the shadow of the last flush into the sector after it; offset of the original."""
        last = 4096
        for lead, forward in flushes[:-1]:
            last += -(-(lead + 22 + forward) // SECTOR) * SECTOR
        sector = bytes(log[last : last + SECTOR])
        log[last + SECTOR : last + 2 * SECTOR] = shadow_sector(sector, flushes[-1][0], generation)
        return last

    def segment(self, index, generation=1, number=None):
        page = self.content(4096, seed=(generation, index))
        page[8:16] = struct.pack("<HHi", 0, index, generation)
        page[36:40] = bytes(4)
        ese.seal_page(page, index if number is None else number, new_format=True)
        return bytes(page)

    def new_log(self, generation=1, used=5, sectors=16, **fields):
        """A log of format 8."""
        fields = {
            "sector_size": 4096,
            "header_sectors": 1,
            "file_sectors": sectors,
            "major": 8,
            "minor": 4000,
            "update_major": 6,
            "update_minor": 13,
            "created": self.time(generation, modern=True),
            "previous_created": self.time(generation - 1, modern=True),
            **fields,
        }
        header = self.log_header(generation, **fields)
        log = bytearray(header.file_size_bytes)
        log[:4096] = ese.pack_log_header(header)
        for index in range(1, used + 1):
            log[index * 4096 : (index + 1) * 4096] = self.segment(index, generation)
        return log

    def stream(self, first=1, last=4, current=None, base="E00", digits=5, checkpoint=None):
        """Name -> bytes of a stream of old logs."""
        files = {
            ese.archived_log_name(base, generation, digits=digits): self.old_log(generation)
            for generation in range(first, last + 1)
        }
        if current is not None:
            files[f"{base}.log"] = self.old_log(current)
        if checkpoint is not None:
            files[f"{base}.chk"] = self.checkpoint(checkpoint)
        return files

    def checkpoint(self, generation, **fields):
        return ese.pack_checkpoint(
            ese.Checkpoint(
                **{
                    "position": ese.LgPos(generation=generation, sector=8),
                    "log_signature": self.signature,
                    **fields,
                }
            )
        )


@pytest.fixture(scope="session")
def forge():
    """Maker of ESE files."""
    return Forge()


@pytest.fixture(scope="session")
def oracle():
    """Slow checksums that share no code with the library."""
    return Oracle()
