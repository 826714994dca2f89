"""Parameters that many paths have: heights, times, and pages of at most a hundred items."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from aiohttp import web

from ledger.fields import NAME_SIZE_MAX, NUMBER_MAX
from ledger.queries import NotYet
from ledger.types import Height, TimeMs
from node.api.context import API
from node.api.problems import Problem
from node.api.wire import natural, parse_natural

LIMIT_MAX: Final = 100
"""Items of one page: about 100 kB of licences, and a few milliseconds to read."""

LIMIT_DEFAULT: Final = 20

KEY_BYTES_MAX: Final = 1_024
"""Longest state key; genesis has the same bound."""


def limit_of(parameters: Mapping[str, str]) -> int:
    """How many items a page shall have. Raises `Problem` 400 above `LIMIT_MAX`."""
    limit = natural(parameters, "limit", LIMIT_MAX)
    if limit == 0:
        raise Problem(400, "bad_parameter", f"limit: expected an integer from 1 to {LIMIT_MAX}")
    return LIMIT_DEFAULT if limit is None else limit


def height_of(request: web.Request, parameters: Mapping[str, str]) -> Height:
    """The height asked for, by default the newest certified one.

    Raises `NotYet` above that, `Problem` 400 for what is no height.
    """
    height = natural(parameters, "height")
    return known_height(request, height)


def path_height(request: web.Request) -> Height:
    """The `{height}` of the path. Raises as `height_of`."""
    return known_height(request, parse_natural(request.match_info["height"], "height"))


def known_height(request: web.Request, height: int | None) -> Height:
    """`height` if it is certified, the newest if it is None. Raises `NotYet`."""
    certified = request.app[API].store.certified_height
    if height is not None and height > certified:
        raise NotYet(height, certified)
    return certified if height is None else Height(height)


def contract_and_key(request: web.Request) -> tuple[str, str]:
    """`{contract}` and `{key}` of the path, decoded once. Raises `Problem` 400."""
    return named(request, "contract", NAME_SIZE_MAX), named(request, "key", KEY_BYTES_MAX)


def named(request: web.Request, name: str, bytes_max: int = NAME_SIZE_MAX) -> str:
    """A part of the path as text of at most `bytes_max` UTF-8 bytes. Raises `Problem` 400."""
    text = request.match_info[name]
    check_text(text, name, bytes_max)
    return text


def check_text(text: str, name: str, bytes_max: int) -> None:
    """Raise `Problem` 400 unless `text` has 1 to `bytes_max` UTF-8 bytes."""
    if not 0 < len(text.encode()) <= bytes_max:
        raise Problem(400, "bad_parameter", f"{name}: expected 1 to {bytes_max} bytes")


def parse_time(text: str, name: str) -> TimeMs:
    """UTC milliseconds, or ISO 8601 with an offset. Raises `Problem` 400."""
    if re.fullmatch(r"[0-9]+", text, re.ASCII):
        return TimeMs(parse_natural(text, name))
    expected = "milliseconds of UTC, or ISO 8601 with an offset (2026-07-02T09:30:00Z)"
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is None:
            raise ValueError
        since = moment.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    except (ValueError, OverflowError):
        raise Problem(400, "bad_parameter", f"{name}: expected {expected}") from None
    milliseconds = since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000
    if not 0 <= milliseconds <= NUMBER_MAX:
        raise Problem(400, "bad_parameter", f"{name}: expected {expected}")
    return TimeMs(milliseconds)
