"""Proofs: the bytes of `.qproof` files, or what they say for eyes.

`Accept: application/octet-stream` or `application/msgpack` gives the file as it is verified; JSON a
view of it with the bytes in hex. A node's own opinion (`POST /v1/verify`) is for trying things out:
whoever needs to know verifies with `qiong proof verify` and a trust file of his own.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from ledger.fields import NAME_SIZE_MAX
from ledger.proof_claims import (
    ConsistencyClaim,
    HeaderClaim,
    StateClaim,
    StatesClaim,
    TransactionClaim,
)
from ledger.proof_format import Proof
from ledger.proof_verdicts import Verdict, worst
from ledger.proofs import verify_each
from ledger.state_multiproof import KEYS_MAX
from ledger.types import Height, TimeMs
from node.api import models
from node.api.context import API, HEIGHT, Parameter, Route, both
from node.api.pages import (
    KEY_BYTES_MAX,
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
    height, time_ms = _when(request)
    contract, key = contract_and_key(request)
    api = request.app[API]
    if time_ms is not None:
        proof = await api.read(api.store.prove_state_at_time, contract, key, time_ms)
    else:
        proof = await api.read(api.store.prove_state, contract, key, height)
    return _proof(request, proof)


async def state_proofs(request: web.Request) -> web.Response:
    """The values under many keys, or their absence, in one proof: as for one key."""
    height, time_ms = _when(request)
    posted = await read_model(request, models.KeyList)
    names = [(item.contract, item.key) for item in posted.root]
    if not 0 < len(names) <= KEYS_MAX:
        raise Problem(400, "malformed", f"expected 1 to {KEYS_MAX} keys, got {len(names)}")
    for contract, key in names:
        check_text(contract, "contract", NAME_SIZE_MAX)
        check_text(key, "key", KEY_BYTES_MAX)
    if len(set(names)) != len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Problem(400, "malformed", f"{'/'.join(twice)[:80]!r} stands twice in the list")
    api = request.app[API]
    if time_ms is not None:
        proof = await api.read(api.store.prove_states_at_time, names, time_ms)
    else:
        proof = await api.read(api.store.prove_states, names, height)
    return _proof(request, proof)


async def consistency(request: web.Request) -> web.Response:
    """That the chain at a later header goes on from an earlier one (RFC 9162 §2.1.4)."""
    parameters = query(request, "from", "to", "since")
    _since(request, parameters)
    if "from" not in parameters:
        raise Problem(400, "bad_parameter", "from is missing")
    first = known_height(request, natural(parameters, "from"))
    second = known_height(request, natural(parameters, "to"))
    if first > second:
        raise Problem(400, "bad_parameter", "expected from <= to")
    api = request.app[API]
    return _proof(request, await api.read(api.store.prove_consistency, first, second))


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
    verdicts = await api.read(verify_each, data, trust)
    each = [_subject_verdict(verdict) for verdict in verdicts]
    whole = each[verdicts.index(worst(verdicts))]
    return answer(request, models.VerdictAnswer(**dict(whole), each=each))


def _subject_verdict(verdict: Verdict) -> models.SubjectVerdict:
    return models.SubjectVerdict(
        verdict=verdict.verdict,
        subject=verdict.subject,
        claim=verdict.claim,
        height=verdict.height,
        time=None if verdict.time_ms is None else models.iso_time(verdict.time_ms),
        reason=verdict.reason,
    )


def _when(request: web.Request) -> tuple[Height, TimeMs | None]:
    """The height asked for, by default the newest; or else the time."""
    parameters = query(request, "height", "at", "since")
    _since(request, parameters)
    if "at" not in parameters:
        return height_of(request, parameters), None
    if "height" in parameters:
        raise Problem(400, "bad_parameter", "give height or at, not both")
    return known_height(request, None), parse_time(parameters["at"], "at")


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
        case StatesClaim(entries):
            return models.ClaimAnswer(
                kind="states",
                entries=[
                    models.EntryAnswer(
                        contract=entry.contract, key=entry.key, value=models.decoded(entry.value)
                    )
                    for entry in entries
                ],
            )
        case ConsistencyClaim(earlier):
            return models.ClaimAnswer(kind="consistency", earlier=earlier.n)
        case HeaderClaim():
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
        "One proof of many values, or of their absence",
        _PROOF_FORMS,
        parameters=(HEIGHT, _AT, _SINCE),
        body=models.KeyList,
        problems=(400, 404, 410, 413, 415),
    ),
    Route(
        "GET",
        "/v1/proofs/consistency",
        consistency,
        "proofs",
        "Proof that the chain only grew",
        _PROOF_FORMS,
        parameters=(
            Parameter("from", "the earlier height", {"type": "integer"}),
            Parameter("to", "the later height; by default the newest", {"type": "integer"}),
            _SINCE,
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
