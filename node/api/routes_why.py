"""Why a node does not vote, and what it takes to find out: receipts of whole blocks, and what this
node made of blocks that nobody certified.

What stands under `/v1/uncertified` is one node's own opinion of a block above its certified height.
It may be wrong, and on a node that diverged it is; nothing else of the API shows it.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from ledger.block import BlockHeader
from ledger.proving import Prover
from ledger.schema import StoredResult
from ledger.types import Height
from node.api import models
from node.api.context import API, Route, both
from node.api.models import Answer, Hex
from node.api.pages import path_height
from node.api.problems import Problem
from node.api.wire import answer, parse_natural, query


class HeaderSigners(Answer):
    """A header hash and the organisations whose CHECKPOINTs name it."""

    header_hash: Hex
    signers: list[str]


class DivergenceAnswer(Answer):
    """This node's header of `height` and the certified one; `certificate` is of that height or of
    a later block whose chain names `certified`."""

    height: int
    own: Hex
    certified: Hex
    certificate: Hex


class Why(Answer):
    """Where this node stands. `disputed` is an uncertified height with different `headers`."""

    state: str
    reason: str
    organisation: str
    name: str
    height: int
    executed: int
    decided: int
    highest: int
    disputed: int | None
    headers: list[HeaderSigners]
    divergence: DivergenceAnswer | None


class ReceiptAnswer(Answer):
    """A receipt; `receipt` is its bytes, a leaf of the header's `receipts_root`."""

    index: int
    transaction: Hex
    status: str
    code: str
    gas: int
    receipt: Hex


class BlockReceipts(Answer):
    """Every receipt of a block, in order, and the header that they belong to."""

    height: int
    hash: Hex
    header: Hex
    receipts: list[ReceiptAnswer]


class UncertifiedBlock(BlockReceipts):
    """What this node alone made of a block. No quorum signed it."""

    certified: bool = False


class UncertifiedCalls(Answer):
    """The calls of one transaction as this node alone executed them. No quorum signed it."""

    certified: bool = False
    height: int
    index: int
    transaction: Hex
    calls: list[models.Call]
    events: list[models.EventAnswer]


async def why(request: web.Request) -> web.Response:
    """Where this node stands and why it does not vote, if it does not."""
    query(request)
    now = request.app[API].engine.standing()
    found = now.divergence
    document = Why(
        state=now.state,
        reason=now.reason,
        organisation=now.organisation,
        name=now.name,
        height=now.height,
        executed=now.executed,
        decided=now.decided,
        highest=now.highest,
        disputed=now.disputed,
        headers=[
            HeaderSigners(header_hash=item.header_hash, signers=list(item.signers))
            for item in now.headers
        ],
        divergence=None
        if found is None
        else DivergenceAnswer(
            height=found.height,
            own=found.own,
            certified=found.certified,
            certificate=found.certificate.encode(),
        ),
    )
    return answer(request, document)


async def receipts(request: web.Request) -> web.Response:
    """Every receipt of a certified block."""
    query(request)
    api, height = request.app[API], path_height(request)
    header, results = await api.read(_executed, api.store, height)
    document = BlockReceipts(
        height=height, hash=header.hash, header=header.encode(), receipts=_receipts(results)
    )
    return answer(request, document)


async def uncertified(request: web.Request) -> web.Response:
    """This node's own header and receipts of a block that is executed and not certified."""
    query(request)
    api, height = request.app[API], _uncertified_height(request)
    header, results = await api.read(_executed, api.store, height)
    document = UncertifiedBlock(
        height=height, hash=header.hash, header=header.encode(), receipts=_receipts(results)
    )
    return answer(request, document)


async def uncertified_calls(request: web.Request) -> web.Response:
    """This node's own outcome of one transaction of such a block."""
    query(request)
    api, height = request.app[API], _uncertified_height(request)
    index = parse_natural(request.match_info["index"], "index")
    _, results = await api.read(_executed, api.store, height)
    if index >= len(results):
        raise Problem(404, "not_found", f"block {height} has {len(results)} receipts")
    result = results[index]
    document = UncertifiedCalls(
        height=height,
        index=index,
        transaction=result.receipt.tx_id,
        calls=[models.Call.of(call) for call in result.calls],
        events=[models.EventAnswer.of(event) for event in result.events],
    )
    return answer(request, document)


def _uncertified_height(request: web.Request) -> Height:
    """The `{height}` of the path. Raises `Problem` 404 unless it is executed and not certified."""
    height = parse_natural(request.match_info["height"], "height")
    store = request.app[API].store
    certified, executed = store.certified_height, store.executed_height
    if not certified < height <= executed:
        detail = f"block {certified} is certified and block {executed} executed here"
        raise Problem(404, "not_found", f"{detail}; what lies between is uncertified")
    return Height(height)


def _executed(store: Prover, height: Height) -> tuple[BlockHeader, list[StoredResult]]:
    return store.executed_header(height), store.executed_results(height)


def _receipts(results: list[StoredResult]) -> list[ReceiptAnswer]:
    found = ((result.receipt, result.leaf) for result in results)
    return [
        ReceiptAnswer(
            index=receipt.index,
            transaction=receipt.tx_id,
            status=receipt.status,
            code=receipt.code,
            gas=receipt.gas,
            receipt=leaf,
        )
        for receipt, leaf in found
    ]


ROUTES: Final = (
    Route("GET", "/v1/why", why, "node", "Why this node does not vote, if so", both(Why)),
    Route(
        "GET",
        "/v1/blocks/{height}/receipts",
        receipts,
        "chain",
        "Every receipt of a block",
        both(BlockReceipts),
        problems=(400, 404),
    ),
    Route(
        "GET",
        "/v1/uncertified/{height}",
        uncertified,
        "node",
        "What this node alone made of a block that nobody certified",
        both(UncertifiedBlock),
        problems=(400, 404),
    ),
    Route(
        "GET",
        "/v1/uncertified/{height}/{index}",
        uncertified_calls,
        "node",
        "The calls of one transaction in such a block",
        both(UncertifiedCalls),
        problems=(400, 404),
    ),
)
