"""ARGS_JSON on the command line: a list (by position) or an object (by name)."""

from __future__ import annotations

from typing import Any, cast

import click

from cli.rows import parse_json
from ledger import canonical


class ArgsJson(click.ParamType[Any]):
    """Parses ARGS_JSON into a list or dict that has a canonical form."""

    name = "ARGS_JSON"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> list[canonical.Value] | dict[str, canonical.Value]:
        if not isinstance(value, str):
            return cast("list[canonical.Value]", value)
        try:
            document = parse_json(value)
            if not isinstance(document, list | dict):
                raise ValueError("it is neither a list nor an object")
            canonical.encode(cast(canonical.Value, document))
        except (ValueError, canonical.EncodingError, RecursionError) as error:
            self.fail(f"not usable as arguments: {error}; write for example '[\"a\", 3]'")
        return cast("list[canonical.Value] | dict[str, canonical.Value]", document)


def args_argument(function: click.decorators.FC) -> click.decorators.FC:
    """The optional argument ARGS_JSON, an empty list by default."""
    return click.argument(
        "args", metavar="[ARGS_JSON]", type=ArgsJson(), required=False, default=list
    )(function)


class DigestParam(click.ParamType[Any]):
    """64 hex digits as 32 bytes."""

    name = "ID"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> bytes:
        if isinstance(value, bytes):
            return value
        try:
            data = bytes.fromhex(str(value))
        except ValueError:
            data = b""
        if len(data) != 32:
            self.fail("expected 64 hexadecimal digits")
        return data
