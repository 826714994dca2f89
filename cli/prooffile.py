"""Writing what was fetched, as a file and as a QR code.

A QR code holds the text of `ledger.proof_text` in alphanumeric mode, error correction level L: a
code of a proof is large as it is, and what cameras fail on is small modules, not damaged ones. Of
the forty versions the smallest that holds it is taken.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from cli import output
from cli.args import MomentParam
from cli.errors import Refused
from cli.settings import Settings
from ledger.proof_text import PREFIX, to_text

QR_TEXT_MAX: Final = 4_296
"""Characters that the largest code, version 40, holds at level L (ISO/IEC 18004, table 7)."""

QR_BYTES_MAX: Final = (QR_TEXT_MAX - len(PREFIX)) * 2 // 3
"""Bytes of the largest proof in a code."""

QR_SCALE: Final = 4
"""Pixels of a module: sharp when printed at 300 dots an inch, with modules of 0.34 mm."""

F = TypeVar("F", bound=Callable[..., Any])


def file_options(function: F) -> F:
    """`-o FILE` and `--qr FILE.png` of commands that fetch a proof; as `file` and `qr`."""
    decorated = click.option(
        "--qr",
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE.png",
        help=f"Also write the proof, of at most {QR_BYTES_MAX} bytes, as a QR code.",
    )(function)
    return click.option(
        "-o",
        "--output",
        "file",
        required=True,
        type=click.Path(dir_okay=False, path_type=Path),
        metavar="FILE.qproof",
    )(decorated)


def when_options(function: F) -> F:
    """`--height` and `--at` of commands that fetch a state proof; `check_when` after them."""
    decorated = click.option(
        "--at", type=MomentParam(), help="As of this moment; the proof then shows both sides of it."
    )(function)
    return click.option(
        "--height", type=click.IntRange(0), help="As of this block; by default the newest."
    )(decorated)


def check_when(height: int | None, at: int | None) -> None:
    """Raise a usage error if both are given."""
    if height is not None and at is not None:
        raise click.UsageError("give --height or --at, not both")


def save(settings: Settings, proof: bytes, file: Path, qr: Path | None, assurance: str) -> int:
    """Write a proof's bytes to `file`, and as a QR code to `qr`.

    Raises `Refused`, and writes nothing, if it is too large for a code.
    """
    document: dict[str, Any] = {"file": str(file), "bytes": len(proof)}
    lines = [f"{file}  {len(proof)} bytes"]
    code = None if qr is None else _code(proof)
    file.write_bytes(proof)
    if code is not None:
        code.save(str(qr), kind="png", scale=QR_SCALE)
        document |= {"qr": str(qr), "qr_version": code.version}
        lines.append(f"{qr}  QR code, version {code.version}")
    output.data(document, settings.json, lines)
    if not settings.json:
        output.message(assurance)
    return 0


def _code(proof: bytes) -> Any:
    if len(proof) > QR_BYTES_MAX:
        raise Refused(
            f"the proof has {len(proof)} bytes, and a QR code holds {QR_BYTES_MAX};"
            " nothing was written",
            "leave out --qr and hand on the file, or ask for one key without --at: that takes"
            " the least room",
        )
    import segno

    return segno.make(
        to_text(proof), mode="alphanumeric", error="l", boost_error=False, micro=False
    )
