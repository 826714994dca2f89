"""The chain: blocks, certificates, the trust anchor. At or below the certified height only."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from ledger.certificate import Certificate
from ledger.proving import Prover
from ledger.types import Height
from node.api import models
from node.api.context import API, LIMIT, Parameter, Route, both
from node.api.pages import known_height, limit_of, path_height
from node.api.problems import Problem
from node.api.wire import answer, natural, query


async def blocks(request: web.Request) -> web.Response:
    """Blocks in ascending order from a height on."""
    parameters = query(request, "from", "limit")
    first = known_height(request, natural(parameters, "from") or 0)
    api = request.app[API]
    page = await api.read(_page, api.store, first, limit_of(parameters))
    return answer(request, page)


async def headers(request: web.Request) -> web.Response:
    """Headers in ascending order from a height on, as bytes: they prove themselves."""
    parameters = query(request, "from", "limit")
    first = known_height(request, natural(parameters, "from") or 0)
    api = request.app[API]
    page = await api.read(_headers, api.store, first, limit_of(parameters))
    return answer(request, page)


async def block(request: web.Request) -> web.Response:
    """One block: its header and the ids of its transactions."""
    query(request)
    api = request.app[API]
    return answer(request, await api.read(_block, api.store, path_height(request)))


async def certificate(request: web.Request) -> web.Response:
    """The signatures of a quorum on exactly this header, if it has a certificate of its own."""
    query(request)
    api, height = request.app[API], path_height(request)
    found = api.store.certificate(height)
    if found is None:
        later = api.store.certificate_from(height)
        covered = "it is genesis" if later is None else f"the one of block {later.n} covers it"
        raise Problem(404, "not_found", f"block {height} has no certificate of its own: {covered}")
    return answer(request, _certificate(found))


async def trust(request: web.Request) -> web.Response:
    """A trust anchor, by default at genesis. To be compared by another channel."""
    parameters = query(request, "height")
    height = known_height(request, natural(parameters, "height") or 0)
    anchor = request.app[API].store.trust_anchor(height)
    document = models.Trust(
        chain_id=anchor.chain_id,
        epoch=anchor.epoch,
        height=anchor.height,
        header_hash=anchor.header_hash,
        validators=[
            models.TrustedValidator(organisation=entry.organisation, key=entry.key)
            for entry in anchor.validators
        ],
        attestations=list(anchor.attestations),
    )
    return answer(request, document)


def _page(store: Prover, first: Height, limit: int) -> models.BlockPage:
    certified = store.certified_height
    stop = min(first + limit, certified + 1)
    items = [_summary(store, Height(n)) for n in range(first, stop)]
    return models.BlockPage(items=items, cursor=stop if stop <= certified else None)


def _headers(store: Prover, first: Height, limit: int) -> models.HeaderPage:
    stop = min(first + limit, store.certified_height + 1)
    items = [store.header(Height(n)).encode() for n in range(first, stop)]
    return models.HeaderPage(items=items, cursor=stop if stop <= store.certified_height else None)


def _summary(store: Prover, height: Height) -> models.BlockSummary:
    header = store.header(height)
    return models.BlockSummary(
        height=height,
        hash=header.hash,
        time=models.iso_time(header.time_ms),
        time_ms=header.time_ms,
        transactions=header.tx_count,
    )


def _block(store: Prover, height: Height) -> models.Block:
    header = store.header(height)
    return models.Block(
        height=height,
        hash=header.hash,
        time=models.iso_time(header.time_ms),
        time_ms=header.time_ms,
        transactions=header.tx_count,
        chain_id=header.chain_id,
        epoch=header.epoch,
        parent=header.parent,
        d=header.d,
        tx_root=header.tx_root,
        receipts_root=header.receipts_root,
        state_root=header.state_root,
        history_root=header.history_root,
        validators_hash=header.validators_hash,
        next_validators_hash=header.next_validators_hash,
        params_hash=header.params_hash,
        header=header.encode(),
        transaction_ids=[result.receipt.tx_id for result in store.stored_results(height)],
    )


def _certificate(certificate: Certificate) -> models.CertificateAnswer:
    return models.CertificateAnswer(
        epoch=certificate.epoch,
        height=certificate.n,
        header_hash=certificate.header_hash,
        signatures=[
            models.CertificateSignature(organisation=organisation, signature=signature)
            for organisation, signature in certificate.signatures
        ],
        certificate=certificate.encode(),
    )


_FROM: Final = Parameter(
    "from", "first height; a page's cursor asks for the next page", {"type": "integer"}
)

_ANCHOR: Final = Parameter("height", "anchor here; by default at genesis", {"type": "integer"})

ROUTES: Final = (
    Route(
        "GET",
        "/v1/blocks",
        blocks,
        "chain",
        "Blocks in ascending order",
        both(models.BlockPage),
        parameters=(_FROM, LIMIT),
        problems=(400, 404, 410),
    ),
    Route(
        "GET",
        "/v1/headers",
        headers,
        "chain",
        "Headers in ascending order, as bytes",
        both(models.HeaderPage),
        parameters=(_FROM, LIMIT),
        problems=(400, 404),
    ),
    Route(
        "GET",
        "/v1/blocks/{height}",
        block,
        "chain",
        "One block",
        both(models.Block),
        problems=(400, 404, 410),
    ),
    Route(
        "GET",
        "/v1/certificates/{height}",
        certificate,
        "chain",
        "A block's certificate",
        both(models.CertificateAnswer),
        problems=(400, 404, 410),
    ),
    Route(
        "GET",
        "/v1/trust",
        trust,
        "chain",
        "The trust anchor as this node says it; no trust by itself",
        both(models.Trust),
        parameters=(_ANCHOR,),
        problems=(400, 404, 410),
    ),
)
