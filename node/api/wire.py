"""Reading requests and writing answers: strict JSON and canonical msgpack.

JSON is read more strictly than the standard library does by itself (RFC 8259 leaves the choice): no
duplicate keys, no floats, no NaN, integers of 64 signed bits, no lone surrogates, nesting as deep
as canonical values. So whatever passes has a canonical form and one meaning for every parser.

Answers are pydantic models: bytes are hex in JSON and byte strings in msgpack.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from typing import Final, NoReturn, TypeVar, cast

from aiohttp import web
from pydantic import BaseModel, ValidationError

from ledger import canonical
from ledger.canonical import DEPTH_MAX, INTEGER_MAX, INTEGER_MIN
from ledger.fields import NUMBER_MAX
from ledger.types import Digest
from node.api.problems import Problem

BODY_BYTES_MAX: Final = 1 << 20
"""Largest body; equals the largest wire transaction, so whatever can be posted can be relayed."""

BODY_SECONDS_MAX: Final = 30.0
"""Longest wait for a whole body; 1 MiB at 35 kB/s."""

INTEGER_DIGITS_MAX: Final = 20
"""Digits and sign of a 64-bit integer; longer text is refused before it is converted."""

JSON: Final = "application/json"
MSGPACK: Final = "application/msgpack"
OCTETS: Final = "application/octet-stream"
_MSGPACK_NAMES: Final = (MSGPACK, "application/vnd.msgpack", "application/x-msgpack")

M = TypeVar("M", bound=BaseModel)


async def read_body(request: web.Request) -> bytes:
    """The whole body. Raises `Problem` 413 or 408, which close the connection."""
    declared = request.content_length
    if declared is not None and declared > BODY_BYTES_MAX:
        raise _too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_SECONDS_MAX):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > BODY_BYTES_MAX:
                    raise _too_large()
    except TimeoutError:
        detail = f"the body did not arrive within {BODY_SECONDS_MAX:g} seconds"
        raise Problem(408, "slow_request", detail, close=True) from None
    except (web.RequestPayloadError, ConnectionError) as error:
        raise Problem(400, "bad_request", f"the body broke off: {error}", close=True) from None
    return bytes(body)


def _too_large() -> Problem:
    detail = f"a body has at most {BODY_BYTES_MAX} bytes"
    return Problem(413, "too_large", detail, close=True)


async def read_value(request: web.Request) -> object:
    """The body as a value of the canonical kind, by its Content-Type.

    Raises `Problem` 400, 408, 413 or 415.
    """
    kind = request.content_type if "Content-Type" in request.headers else ""
    if kind != JSON and kind not in _MSGPACK_NAMES:
        shown = f"{kind!r} is not supported" if kind else "Content-Type is missing"
        raise Problem(415, "unsupported_type", f"{shown}; send {JSON} or {MSGPACK}", close=True)
    body = await read_body(request)
    if kind == JSON:
        return parse_json(body)
    try:
        return canonical.decode(body)
    except canonical.DecodingError as error:
        raise Problem(400, "bad_msgpack", error.reason) from None


def parse_json(body: bytes) -> object:
    """Strict JSON. Raises `Problem` 400."""
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_object,
            parse_int=_integer,
            parse_float=_refuse_float,
            parse_constant=_refuse_float,
        )
        canonical.encode(value)
    except UnicodeDecodeError:
        raise Problem(400, "bad_json", "not UTF-8") from None
    except RecursionError:
        raise Problem(400, "bad_json", f"nested deeper than {DEPTH_MAX}") from None
    except canonical.EncodingError as error:
        raise Problem(400, "bad_json", error.reason) from None
    except json.JSONDecodeError as error:
        raise Problem(400, "bad_json", f"{error.msg} at character {error.pos}") from None
    return value


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Problem(400, "bad_json", f"the key {twice[:80]!r} stands twice in one object")
    return fields


def _integer(text: str) -> int:
    if len(text) <= INTEGER_DIGITS_MAX and INTEGER_MIN <= int(text) <= INTEGER_MAX:
        return int(text)
    raise Problem(400, "bad_json", "an integer beyond 64 signed bits")


def _refuse_float(text: str) -> NoReturn:
    raise Problem(400, "bad_json", f"{text[:40]} is no integer; numbers here are integers")


async def read_model(request: web.Request, model: type[M]) -> M:
    """The body as `model`; unknown fields are refused. Raises `Problem`."""
    return validate(await read_value(request), model)


def validate(value: object, model: type[M]) -> M:
    """`value` as `model`. Raises `Problem` 400 naming the first wrong field."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "body"
        raise Problem(400, "malformed", f"{where}: {first['msg']}") from None


def query(request: web.Request, *known: str) -> dict[str, str]:
    """The query parameters. Raises `Problem` 400 for unknown and repeated ones."""
    parameters: dict[str, str] = {}
    for name, value in request.query.items():
        if name not in known:
            raise Problem(400, "bad_parameter", f"{name[:80]!r} is no parameter of this path")
        if name in parameters:
            raise Problem(400, "bad_parameter", f"{name} is given twice")
        parameters[name] = value
    return parameters


def natural(parameters: Mapping[str, str], name: str, maximum: int = NUMBER_MAX) -> int | None:
    """A parameter as an integer in [0, maximum], None if absent. Raises `Problem` 400."""
    text = parameters.get(name)
    return None if text is None else parse_natural(text, name, maximum)


def parse_natural(text: str, name: str, maximum: int = NUMBER_MAX) -> int:
    """`text` as an integer in [0, maximum] without sign, spaces or leading zeros."""
    if re.fullmatch(r"0|[1-9][0-9]{0,15}", text, re.ASCII) is None or int(text) > maximum:
        expected = f"an integer from 0 to {maximum}"
        raise Problem(400, "bad_parameter", f"{name}: expected {expected}, got {text[:40]!r}")
    return int(text)


def parse_digest(text: str, name: str) -> Digest:
    """64 hexadecimal digits as a digest. Raises `Problem` 400."""
    if re.fullmatch(r"[0-9a-fA-F]{64}", text, re.ASCII) is None:
        raise Problem(400, "malformed", f"{name}: expected 64 hexadecimal digits")
    return Digest(bytes.fromhex(text))


def accepted(request: web.Request, *offers: str) -> str:
    """The best of `offers` for the request's Accept header, the first one if it does not matter.

    Raises `Problem` 406. Parameters other than `q` are ignored (RFC 9110 §12.5.1).
    """
    header = request.headers.get("Accept", "").strip()
    if not header:
        return offers[0]
    weights: dict[str, float] = {}
    for part in header.split(","):
        kind, *parameters = (piece.strip().lower() for piece in part.split(";"))
        weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        known = MSGPACK if kind in _MSGPACK_NAMES else kind
        weights[known] = float(weight) if re.fullmatch(r"[01](\.[0-9]{0,3})?", weight) else 0.0
    best = max(offers, key=lambda offer: _weight(weights, offer))
    if _weight(weights, best) <= 0:
        raise Problem(406, "not_acceptable", f"this answer comes as {' or '.join(offers)}")
    return best


def _weight(weights: Mapping[str, float], offer: str) -> float:
    """The weight of the most specific range that holds `offer`."""
    family = offer.split("/", maxsplit=1)[0] + "/*"
    return next((weights[name] for name in (offer, family, "*/*") if name in weights), 0.0)


def answer(request: web.Request, model: BaseModel, status: int = 200) -> web.Response:
    """`model` in the form the request accepts."""
    if accepted(request, JSON, MSGPACK) == MSGPACK:
        value = cast(canonical.Value, model.model_dump(mode="python", by_alias=True))
        return web.Response(status=status, body=canonical.encode(value), content_type=MSGPACK)
    text = model.model_dump_json(by_alias=True)
    return web.Response(status=status, text=text, content_type=JSON, charset="utf-8")
