"""What it takes to execute a block again: its transactions, and the state before it.

A block's outcome is a function of three things: the state after its parent, its header's time, and
its transactions in order. Headers, receipts and single entries have paths of their own; here are
the transactions' wire bytes and the entries of a contract as of a height, both in pages.

A page of entries is this node's word: that an entry is there has a proof, that none was left out of
a listing has not.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from ledger.proving import Prover
from ledger.types import Height
from node.api import models
from node.api.context import API, CURSOR, HEIGHT, LIMIT, Parameter, Route, both
from node.api.models import Answer, Hex
from node.api.pages import (
    KEY_BYTES_MAX,
    check_text,
    height_of,
    limit_of,
    named,
    path_height,
)
from node.api.wire import answer, natural, query

PAGE_BYTES: Final = 1 << 20
"""Where a page ends, once it holds an item: as much as one value or transaction may have."""


class BlockTransaction(Answer):
    """Number `index` of those that have a receipt; `transaction` is its wire bytes."""

    index: int
    id: Hex
    transaction: Hex


class BlockTransactions(Answer):
    """The transactions of a block that have receipts, in order; `cursor` asks for the next page."""

    height: int
    items: list[BlockTransaction]
    cursor: int | None


async def transactions(request: web.Request) -> web.Response:
    """The transactions of a block as they were signed."""
    parameters = query(request, "cursor", "limit")
    first, limit = natural(parameters, "cursor") or 0, limit_of(parameters)
    api, height = request.app[API], path_height(request)
    page = await api.read(_transactions, api.store, height, first, limit)
    return answer(request, page)


async def entries(request: web.Request) -> web.Response:
    """A contract's entries as of a height, in the order of their keys."""
    parameters = query(request, "prefix", "height", "cursor", "limit")
    contract, prefix = named(request, "contract"), parameters.get("prefix", "")
    after = parameters.get("cursor")
    for name, text in (("prefix", prefix or None), ("cursor", after)):
        if text is not None:
            check_text(text, name, KEY_BYTES_MAX)
    api, height = request.app[API], height_of(request, parameters)
    limit = limit_of(parameters)
    page = await api.read(_entries, api.store, contract, prefix, height, after, limit)
    return answer(request, page)


def _transactions(store: Prover, height: Height, first: int, limit: int) -> BlockTransactions:
    results = store.stored_results(height)
    raw = store.stored_block(height).transactions if results else ()
    items: list[BlockTransaction] = []
    size = 0
    for index, result in enumerate(results[first : first + limit], first):
        transaction = raw[result.body_index]
        size += len(transaction)
        if items and size > PAGE_BYTES:
            break
        items.append(
            BlockTransaction(index=index, id=result.receipt.tx_id, transaction=transaction)
        )
    end = first + len(items)
    return BlockTransactions(height=height, items=items, cursor=end if end < len(results) else None)


def _entries(
    store: Prover, contract: str, prefix: str, height: Height, after: str | None, limit: int
) -> models.KeyPage:
    keys = store.keys_at(contract, prefix, limit + 1, height, after)
    items: list[models.StateItem] = []
    size = 0
    for key in keys[:limit]:
        data = store.state_at(contract, key, height)
        size += len(data or b"")
        if items and size > PAGE_BYTES:
            break
        items.append(models.StateItem(key=key, value=models.decoded(data)))
    cursor = items[-1].key if len(items) < len(keys) else None
    return models.KeyPage(items=items, cursor=cursor, height=height)


_PREFIX: Final = Parameter("prefix", "only keys that begin with this; by default all")

ROUTES: Final = (
    Route(
        "GET",
        "/v1/blocks/{height}/transactions",
        transactions,
        "chain",
        "The transactions of a block as they were signed",
        both(BlockTransactions),
        parameters=(CURSOR, LIMIT),
        problems=(400, 404, 410),
    ),
    Route(
        "GET",
        "/v1/state/{contract}",
        entries,
        "state",
        "A contract's entries as of a height, in the order of their keys",
        both(models.KeyPage),
        parameters=(_PREFIX, HEIGHT, CURSOR, LIMIT),
        problems=(400, 404, 410),
    ),
)
