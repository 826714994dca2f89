"""Reads QR codes back from PNG files with zxing-cpp, which shares nothing with what wrote them."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import zxingcpp

SIGNATURE = b"\x89PNG\r\n\x1a\n"
NONE, UP = 0, 2
"""Filters of a PNG's rows (ISO/IEC 15948, 9.2) that occur in black and white pictures of ours."""


def read_code(file: Path) -> zxingcpp.Barcode:
    """The one code in a black and white PNG."""
    (found,) = zxingcpp.read_barcodes(_pixels(file.read_bytes()))
    return found


def _pixels(data: bytes) -> memoryview:
    """Grey values of a picture of one bit a pixel: its height by its width."""
    assert data.startswith(SIGNATURE)
    offset, header, packed = len(SIGNATURE), b"", b""
    while offset < len(data):
        size, kind = struct.unpack_from(">I4s", data, offset)
        content = data[offset + 8 : offset + 8 + size]
        if kind == b"IHDR":
            header = content
        elif kind == b"IDAT":
            packed += content
        offset += 12 + size
    width, height, depth, colour, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    assert (depth, colour, interlaced) == (1, 0, 0)
    rows, stride = zlib.decompress(packed), (width + 7) // 8
    row, pixels = bytes(stride), bytearray()
    for start in range(0, height * (stride + 1), stride + 1):
        kind, line = rows[start], rows[start + 1 : start + 1 + stride]
        assert kind in (NONE, UP)
        row = line if kind == NONE else bytes((a + b) & 255 for a, b in zip(line, row, strict=True))
        pixels += bytes(255 * (row[x >> 3] >> (7 - x & 7) & 1) for x in range(width))
    return memoryview(bytes(pixels)).cast("B", shape=(height, width))
