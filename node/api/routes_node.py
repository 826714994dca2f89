"""The node itself: is it well, is it ready, where does it stand, who are the others."""

from __future__ import annotations

from typing import Final

from aiohttp import web

from ledger.types import Height
from node.answers import NodeStatus
from node.api import models
from node.api.context import API, CURSOR, HEIGHT, LIMIT, Api, Route, both
from node.api.pages import height_of, limit_of
from node.api.wire import answer, natural, query
from node.metrics import CONTENT_TYPE, free_bytes

EVIDENCE_PAGE_BYTES: Final = 4 << 20
"""Where a page of evidence ends: two NEW-VIEWs of 64 validators take 1.7 MB, of ten 50 kB."""


async def health(request: web.Request) -> web.Response:
    """Red (503) when this node does not vote though it should, its disk is nearly full, or what is
    on it was found damaged."""
    query(request)
    api = request.app[API]
    status, free = api.engine.status(), free_bytes(api.options.home)
    problems = _problems(api, status, free)
    document = models.Health(
        healthy=not problems, problems=problems, height=status.height, free_bytes=free
    )
    return answer(request, document, 503 if problems else 200)


async def ready(request: web.Request) -> web.Response:
    """200 when clients should be sent here, else 503 and why not."""
    query(request)
    readiness = request.app[API].engine.ready()
    document = models.Ready(ready=readiness.ready, reason=readiness.reason)
    return answer(request, document, 200 if readiness.ready else 503)


async def metrics(request: web.Request) -> web.Response:
    """Metrics in Prometheus' text form."""
    query(request)
    body = request.app[API].metrics.render()
    return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE})


async def status(request: web.Request) -> web.Response:
    """Where this validator and its peers stand."""
    query(request)
    api = request.app[API]
    now = api.engine.status()
    header = api.store.header(now.height)
    document = models.Status(
        name=now.name,
        organisation=now.organisation,
        chain_id=api.engine.genesis.chain_id,
        height=now.height,
        header_hash=now.header_hash,
        time=models.iso_time(header.time_ms),
        first_height=api.store.first_height,
        executed=now.executed,
        epoch=now.epoch,
        view=now.view,
        primary=now.primary,
        in_view_change=now.in_view_change,
        view_changes=dict(now.view_changes),
        failed_views=now.failed_views,
        peers=[
            models.Peer(
                organisation=peer.organisation,
                name=peer.name,
                connected=peer.connected,
                height=peer.height,
                last_seen=None if peer.last_seen_ms is None else models.iso_time(peer.last_seen_ms),
                behind=peer.behind,
                view=peer.view,
                in_view_change=peer.in_view_change,
                refused=peer.refused,
                kept_out_seconds=round(peer.kept_out_seconds, 1),
            )
            for peer in now.peers
        ],
        suspects=[
            models.SuspectAnswer(
                name=suspect.name,
                organisation=suspect.organisation,
                reason=suspect.reason,
                by=list(suspect.by),
            )
            for suspect in now.suspects
        ],
        evidence=now.evidence,
        missing=now.missing,
        mempool_transactions=now.mempool_transactions,
        mempool_bytes=now.mempool_bytes,
        syncing=now.syncing,
        observer=now.observer,
        halted=now.halted,
    )
    return answer(request, document)


async def validators(request: web.Request) -> web.Response:
    """Who votes on a height, and how to reach them."""
    height = height_of(request, query(request, "height"))
    return answer(request, _validators(request.app[API], height))


async def evidence(request: web.Request) -> web.Response:
    """Proof that validators broke the protocol; nobody is ejected by a machine."""
    parameters = query(request, "cursor", "limit")
    start, limit = natural(parameters, "cursor") or 0, limit_of(parameters)
    engine = request.app[API].engine
    names = {entry.organisation: entry.name for entry in engine.genesis.validators}
    held = engine.evidence
    items: list[models.EvidenceItem] = []
    size = 0
    for case in held[start : start + limit]:
        first, second = case.encoded()
        size += len(first) + len(second)
        if items and size > EVIDENCE_PAGE_BYTES:
            break
        items.append(
            models.EvidenceItem(
                organisation=case.organisation,
                name=names[case.organisation],
                kind=case.kind,
                epoch=case.epoch,
                view=case.view,
                height=case.height,
                words=case.words,
                first=first,
                second=second,
            )
        )
    end = start + len(items)
    page = models.EvidencePage(
        chain_id=engine.genesis.chain_id, items=items, cursor=end if end < len(held) else None
    )
    return answer(request, page)


def _validators(api: Api, height: Height) -> models.Validators:
    genesis = api.engine.genesis
    voters = genesis.validator_set
    return models.Validators(
        height=height,
        epoch=api.store.header(height).epoch,
        quorum=voters.quorum,
        hash=voters.hash,
        validators=[
            models.ValidatorEntry(
                organisation=entry.organisation,
                organisation_class=entry.organisation_class,
                name=entry.name,
                key=entry.consensus_key,
                tls_certificate=entry.tls_certificate,
                address=entry.address,
            )
            for entry in genesis.validators
        ],
    )


def _problems(api: Api, status: NodeStatus, free: int) -> list[str]:
    problems: list[str] = []
    if status.halted is not None:
        problems.append(f"voting has stopped: {status.halted}")
    if api.damage is not None:
        problems.append(f"damage was met: {api.damage}")
    if free < api.options.free_bytes_min:
        problems.append(f"{free} bytes of disk are free, {api.options.free_bytes_min} are needed")
    return problems


ROUTES: Final = (
    Route(
        "GET",
        "/health",
        health,
        "node",
        "Whether this node works",
        both(models.Health),
        problems=(),
    ),
    Route(
        "GET",
        "/ready",
        ready,
        "node",
        "Whether this node takes requests",
        both(models.Ready),
        problems=(),
    ),
    Route("GET", "/metrics", metrics, "node", "Metrics", {"text/plain": None}, problems=()),
    Route("GET", "/v1/status", status, "node", "The node now", both(models.Status)),
    Route(
        "GET",
        "/v1/validators",
        validators,
        "node",
        "The validators of a height",
        both(models.Validators),
        parameters=(HEIGHT,),
        problems=(400, 404),
    ),
    Route(
        "GET",
        "/v1/evidence",
        evidence,
        "node",
        "Contradicting signed messages",
        both(models.EvidencePage),
        parameters=(CURSOR, LIMIT),
    ),
)
