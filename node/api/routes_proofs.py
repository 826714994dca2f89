"""Proofs: the bytes of `.qproof` files, or what they say for eyes.

`Accept: application/octet-stream` or `application/msgpack` gives the file as it is verified; JSON a
view of it with the bytes in hex. A node's own opinion (`POST /v1/verify`) is for trying things out:
whoever needs to know verifies with `qiong proof verify` and a trust file of his own.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from ledger.fields import NAME_SIZE_MAX
from ledger.proof_format import Proof, StateClaim, TransactionClaim
from ledger.proofs import verify
from ledger.types import Height
from node.api import models
from node.api.context import API, HEIGHT, Parameter, Route, both
from node.api.pages import (
    KEY_BYTES_MAX,
    LIMIT_MAX,
    check_text,
    contract_and_key,
    height_of,
    known_height,
    parse_time,
)
from node.api.problems import Problem
from node.api.wire import (
    JSON,
    MSGPACK,
    OCTETS,
    accepted,
    answer,
    natural,
    parse_digest,
    query,
    read_body,
    read_model,
)

PROOF_NAME: Final = "proof.qproof"


async def transaction_proof(request: web.Request) -> web.Response:
    """That a transaction, or one of its calls, was executed and how it ended."""
    parameters = query(request, "call", "since")
    _since(request, parameters)
    call = natural(parameters, "call")
    tx_id = parse_digest(request.match_info["id"], "id")
    api = request.app[API]
    try:
        proof = await api.read(api.store.prove_transaction, tx_id, call)
    except IndexError:
        raise Problem(404, "not_found", f"the transaction has no call {call}") from None
    if proof is None:
        first = api.store.first_height
        kept = f" from {first} on, the first kept here," if first else ""
        raise Problem(404, "not_found", f"no certified block{kept} holds this transaction")
    return _proof(request, proof)


async def state_proof(request: web.Request) -> web.Response:
    """The value under a key, or its absence: at a height, at a time, or now."""
    parameters = query(request, "height", "at", "since")
    _since(request, parameters)
    contract, key = contract_and_key(request)
    api = request.app[API]
    if "at" in parameters:
        if "height" in parameters:
            raise Problem(400, "bad_parameter", "give height or at, not both")
        time_ms = parse_time(parameters["at"], "at")
        proof = await api.read(api.store.prove_state_at_time, contract, key, time_ms)
    else:
        height = height_of(request, parameters)
        proof = await api.read(api.store.prove_state, contract, key, height)
    return _proof(request, proof)


async def state_proofs(request: web.Request) -> web.Response:
    """A proof for each of many keys, all at one height."""
    height = height_of(request, query(request, "height"))
    posted = await read_model(request, models.KeyList)
    wanted = posted.root
    if not 0 < len(wanted) <= LIMIT_MAX:
        raise Problem(400, "malformed", f"expected 1 to {LIMIT_MAX} keys")
    for item in wanted:
        check_text(item.contract, "contract", NAME_SIZE_MAX)
        check_text(item.key, "key", KEY_BYTES_MAX)
    api = request.app[API]

    def prove() -> list[bytes]:
        return [api.store.prove_state(item.contract, item.key, height) for item in wanted]

    proofs = await api.read(prove)
    return answer(request, models.ProofList(height=height, proofs=proofs))


async def consistency(request: web.Request) -> web.Response:
    """That the history of a later header extends that of an earlier one (RFC 9162 §2.1.4)."""
    parameters = query(request, "from", "to")
    for name in ("from", "to"):
        if name not in parameters:
            raise Problem(400, "bad_parameter", f"{name} is missing")
    first = known_height(request, natural(parameters, "from"))
    second = known_height(request, natural(parameters, "to"))
    if not 0 < first <= second:
        raise Problem(400, "bad_parameter", "expected 0 < from <= to")
    api = request.app[API]
    path = await api.read(api.store.prove_consistency, first, second)
    document = models.ConsistencyAnswer(
        first=first,
        second=second,
        first_root=api.store.header(first).history_root,
        second_root=api.store.header(second).history_root,
        path=[bytes(item) for item in path],
    )
    return answer(request, document)


async def check(request: web.Request) -> web.Response:
    """What this node thinks of a proof, against its own genesis. No trust by itself."""
    query(request)
    if request.content_type == JSON:
        data = (await read_model(request, models.ProofInput)).proof
    elif request.content_type in (MSGPACK, OCTETS):
        data = await read_body(request)
    else:
        detail = f"send {OCTETS} or {JSON}"
        raise Problem(415, "unsupported_type", detail, close=True)
    api = request.app[API]
    trust = api.store.trust_anchor(Height(0))
    verdict = await api.read(verify, data, trust)
    document = models.VerdictAnswer(
        verdict=verdict.verdict,
        subject=verdict.subject,
        claim=verdict.claim,
        height=verdict.height,
        time=None if verdict.time_ms is None else models.iso_time(verdict.time_ms),
        reason=verdict.reason,
    )
    return answer(request, document)


def _since(request: web.Request, parameters: dict[str, str]) -> None:
    """Check `since`. There is one epoch, so a proof carries no hand-overs since any height."""
    known_height(request, natural(parameters, "since"))


def _proof(request: web.Request, data: bytes) -> web.Response:
    kind = accepted(request, JSON, MSGPACK, OCTETS)
    if kind != JSON:
        headers = {"Content-Disposition": f'attachment; filename="{PROOF_NAME}"'}
        return web.Response(body=data, content_type=kind, headers=headers)
    proof = Proof.decode(data)
    document = models.ProofAnswer(
        claim=_claim(proof),
        height=proof.header.n,
        header_hash=proof.header.hash,
        time=models.iso_time(proof.header.time_ms),
        size=len(data),
        proof=data,
    )
    return answer(request, document)


def _claim(proof: Proof) -> models.ClaimAnswer:
    match proof.claim:
        case StateClaim(contract, key, value, _):
            return models.ClaimAnswer(
                kind="state", contract=contract, key=key, value=models.decoded(value)
            )
        case TransactionClaim(receipt):
            return models.ClaimAnswer(
                kind="transaction", id=receipt.tx_id, status=receipt.status, code=receipt.code
            )
        case _:
            return models.ClaimAnswer(kind="header")


_AT: Final = Parameter("at", "as of this time: milliseconds of UTC, or ISO 8601 with an offset")
_SINCE: Final = Parameter(
    "since", "height of your trust file: only later hand-overs are included", {"type": "integer"}
)
_PROOF_FORMS: Final = {JSON: models.ProofAnswer, MSGPACK: None, OCTETS: None}

ROUTES: Final = (
    Route(
        "GET",
        "/v1/proofs/transaction/{id}",
        transaction_proof,
        "proofs",
        "Proof of an executed transaction",
        _PROOF_FORMS,
        parameters=(Parameter("call", "also prove this call", {"type": "integer"}), _SINCE),
        problems=(400, 404, 410),
    ),
    Route(
        "GET",
        "/v1/proofs/state/{contract}/{key}",
        state_proof,
        "proofs",
        "Proof of a value, or of its absence",
        _PROOF_FORMS,
        parameters=(HEIGHT, _AT, _SINCE),
        problems=(400, 404, 410),
    ),
    Route(
        "POST",
        "/v1/proofs/state",
        state_proofs,
        "proofs",
        "Proofs of many values at one height",
        both(models.ProofList),
        parameters=(HEIGHT,),
        body=models.KeyList,
        problems=(400, 404, 410, 413, 415),
    ),
    Route(
        "GET",
        "/v1/proofs/consistency",
        consistency,
        "proofs",
        "Proof that the chain only grew",
        both(models.ConsistencyAnswer),
        parameters=(
            Parameter("from", "the earlier height", {"type": "integer"}),
            Parameter("to", "the later height", {"type": "integer"}),
        ),
        problems=(400, 404),
    ),
    Route(
        "POST",
        "/v1/verify",
        check,
        "proofs",
        "What this node thinks of a proof; no trust by itself",
        both(models.VerdictAnswer),
        body=models.ProofInput,
        problems=(400, 413, 415),
    ),
)
