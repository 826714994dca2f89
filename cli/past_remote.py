"""The chain as it was, from a node over HTTP: the `Past` that `contracts.reexecution` executes.

With a trust file nothing is believed that has a proof: the header by the proof of a transaction in
it, receipts and transactions because they hash to that header's roots, entries of the state by a
proof each. A listing of keys has none; a wrong one leads to other receipts, and is found out unless
they happen to be the same. Without a trust file receipts and transactions must still fit the header
that the node gives.

Answers are kept: a past state does not change.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar, cast

from cli.client import MSGPACK, Answer, Client, NodeRefused, path
from cli.divergence import read_side
from cli.errors import NotProven, Refused
from cli.verified import Checker
from contracts.reexecution import PastBlock, places_until
from ledger import canonical
from ledger.block import BlockHeader
from ledger.errors import QiongError
from ledger.execution import StateKey
from ledger.proof_format import Proof
from ledger.proofs import verify
from ledger.receipt import Receipt
from ledger.transaction import SignedTransaction
from ledger.types import Digest, Height

JSON: Final = "application/json"

PAGE: Final = 100
"""Items of one page; servers give no more."""

PREFIX_BYTES_MAX: Final = 1_024
"""Longest prefix that a server takes; no key is longer."""

ATTEMPTS: Final = 10
PAUSE_SECONDS: Final = 1.0
"""A server that limits the questions of an address gives as many again each second."""

PRUNED_HINT: Final = "ask a node that keeps it: an archive node, with --node URL"


T = TypeVar("T")


class RemotePast:
    """Asks `checker`'s nodes, and checks against its trust file, if it has one."""

    def __init__(self, checker: Checker) -> None:
        self._checker = checker
        self._client = checker.client

    @property
    def assurance(self) -> str:
        """How far what was executed is to be believed, in a few words."""
        if self._checker.trust is None:
            return self._checker.assurance
        return "block, receipts and state were checked against the trust file"

    def block(self, height: Height, until: Digest | None = None) -> PastBlock:
        """As `Past.block`. Raises `Refused` for a pruned one, `NotProven`, and as `Client` does."""
        side = read_side(self._get(path("v1", "blocks", str(height), "receipts"), height))
        header, leaves = side.header, side.receipts
        if header.n != height:
            raise NotProven(f"{self._client.nodes[0]} gave block {header.n} instead of {height}")
        receipts = tuple(map(Receipt.decode, leaves))
        receipts = receipts[: places_until((each.tx_id for each in receipts), until)]
        if receipts:
            self._check_header(header, receipts[0].tx_id)
        transactions = self._transactions(height, receipts)
        return PastBlock(header.chain_id, height, header.time_ms, transactions, receipts)

    def state(self, height: Height) -> RemoteState:
        """As `Past.state`."""
        return RemoteState(self._checker, height)

    def _check_header(self, header: BlockHeader, tx_id: Digest) -> None:
        if self._checker.trust is None:
            return
        fetch = partial(self._checker.fetch_transaction_proof, tx_id)
        body, _ = _patiently(self._client, header.n, fetch)
        if Proof.decode(body).header != header:
            raise NotProven(
                f"the header of block {header.n} is not the one that its transactions are proven by"
            )

    def _transactions(
        self, height: Height, receipts: tuple[Receipt, ...]
    ) -> tuple[SignedTransaction, ...]:
        where = path("v1", "blocks", str(height), "transactions")
        found: list[SignedTransaction] = []
        while len(found) < len(receipts):
            answer = self._get(where, height, MSGPACK, cursor=len(found), limit=PAGE)
            items = _page(answer)["items"]
            for item, receipt in zip(items, receipts[len(found) :], strict=False):
                signed = SignedTransaction.decode(item["transaction"])
                if signed.id != receipt.tx_id:
                    raise NotProven(f"{answer.node} gave another transaction than was executed")
                found.append(signed)
            if not items:
                raise NotProven(f"{answer.node} lacks transactions of block {height}")
        return tuple(found)

    def _get(self, where: str, height: Height, accept: str = JSON, **query: object) -> Answer:
        question = partial(self._client.get, where, accept=accept, **query)
        return _patiently(self._client, height, question)


class RemoteState:
    """The `StateView` after block `height`."""

    def __init__(self, checker: Checker, height: Height) -> None:
        self._checker = checker
        self._client: Client = checker.client
        self._height = height
        self._known: dict[StateKey, bytes | None] = {}

    def get(self, contract: str, key: str) -> bytes | None:
        name = (contract, key)
        if name not in self._known:
            read = self._said if self._checker.trust is None else self._proven
            self._known[name] = read(contract, key)
        return self._known[name]

    def keys(self, contract: str, prefix: str, limit: int) -> list[str]:
        """The node's word: no proof shows that nothing was left out."""
        if len(prefix.encode()) > PREFIX_BYTES_MAX:
            return []
        found: list[str] = []
        cursor: str | None = None
        while len(found) < limit:
            page = self._page(contract, prefix, min(PAGE, limit - len(found)), cursor)
            for item in page["items"]:
                found.append(item["key"])
                if self._checker.trust is None:
                    self._known[contract, item["key"]] = canonical.encode(item["value"])
            cursor = page["cursor"]
            if cursor is None:
                break
        return found

    def _said(self, contract: str, key: str) -> bytes | None:
        # By its prefix, not by its path: a key may hold what no path may, such as dots alone.
        items = self._page(contract, key, 1, None)["items"]
        if not items or items[0]["key"] != key:
            return None
        return canonical.encode(items[0]["value"])

    def _proven(self, contract: str, key: str) -> bytes | None:
        trust = self._checker.trust
        assert trust is not None
        document = [{"contract": contract, "key": key}]
        question = partial(
            self._client.post_json,
            "/v1/proofs/state",
            document,
            accept=MSGPACK,
            height=self._height,
        )
        answer = _patiently(self._client, self._height, question)
        verdict = verify(answer.body, trust, key=f"{contract}/{key}")
        if verdict.height != self._height:
            raise NotProven(
                f"{answer.node} did not prove {contract}/{key} at height {self._height}:"
                f" {verdict.reason}"
            )
        return None if verdict.claim == "absence" else canonical.encode(verdict.value)

    def _page(self, contract: str, prefix: str, limit: int, cursor: str | None) -> dict[str, Any]:
        question = partial(
            self._client.get,
            path("v1", "state", contract),
            accept=MSGPACK,
            height=self._height,
            limit=limit,
            prefix=prefix or None,
            cursor=cursor,
        )
        return _page(_patiently(self._client, self._height, question))


def _page(answer: Answer) -> dict[str, Any]:
    try:
        document = cast("dict[str, Any]", canonical.decode(answer.body))
        if isinstance(document["items"], list):
            return document
    except (QiongError, KeyError, TypeError):
        pass
    raise NotProven(f"{answer.node} gave no page of items")


def _patiently(client: Client, height: Height, question: Callable[[], T]) -> T:
    """The answer to a question about block `height`, which the node may want asked more slowly.

    Raises `Refused` if it keeps that block no more, and what `question` raises.
    """
    for attempt in range(ATTEMPTS):
        try:
            return question()
        except NodeRefused as refusal:
            if refusal.problem == "pruned":
                raise Refused(
                    f"block {height} cannot be executed again: this node does not keep it any more",
                    PRUNED_HINT,
                ) from None
            if refusal.status != 429 or attempt == ATTEMPTS - 1:
                raise
            client.sleep(PAUSE_SECONDS)
    raise AssertionError("unreachable")
