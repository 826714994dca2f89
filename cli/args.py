"""Kinds of arguments and options: ARGS_JSON (a list by position or an object by name), transaction
ids, durations and moments."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast

import click

from cli.rows import parse_json
from ledger import canonical

_AGE: Final = re.compile(r"(\d{1,9})(s|m|h|d)", re.ASCII)
_UNIT_MS: Final = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


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


class AgeParam(click.ParamType[Any]):
    """A duration such as 90s, 15m, 24h or 7d, in milliseconds."""

    name = "AGE"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        match = _AGE.fullmatch(str(value))
        if match is None:
            self.fail("expected a number and a unit: 90s, 15m, 24h or 7d")
        return int(match[1]) * _UNIT_MS[match[2]]


class MomentParam(click.ParamType[Any]):
    """An ISO 8601 moment with its offset, in milliseconds UTC; no earlier than 1970."""

    name = "TIME"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        if isinstance(value, int):
            return value
        try:
            moment = datetime.fromisoformat(str(value))
            if moment.tzinfo is None:
                raise ValueError
            since = moment.astimezone(UTC) - _EPOCH
        except (ValueError, OverflowError):
            since = timedelta(-1)
        if since < timedelta(0):
            self.fail("expected a moment with its offset, e.g. 2026-07-02T09:30:00+08:00")
        return since // timedelta(milliseconds=1)
