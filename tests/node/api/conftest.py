"""One validator's ledger in memory with a small engine around it, and its API on a real socket.

The ledger, the contracts, the proofs and the checks of what is submitted are the product's; only
consensus is missing: `commit` makes a block of what waits and has a quorum sign it.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import uvloop
from aiohttp import web

from contracts.inline import InlineRunner
from devnet import genesis as founding
from devnet import sample
from ledger.block import Body, DecidedBlock
from ledger.block_files import BlockFiles
from ledger.canonical import Value
from ledger.certificate import Certificate, checkpoint_bytes
from ledger.genesis import Genesis, GenesisValidator
from ledger.hashing import sha256
from ledger.keys import SigningKey
from ledger.storage.memory import MemoryFolder, MemoryStore
from ledger.store import LedgerStore
from ledger.transaction import Call, SignedTransaction, Transaction, sign_transaction
from ledger.types import Digest, Epoch, Gas, Height, TimeMs, View
from node import verifier_pool
from node.admission import Gatekeeper, refusal_of
from node.answers import (
    Admission,
    NodeStatus,
    PeerStatus,
    Readiness,
    Suspect,
    TransactionStatus,
)
from node.api.app import make_app
from node.api.context import ApiOptions
from node.api.server import ApiServer
from node.evidence import Case
from node.index.service import IndexService
from node.index.sqlite import SqliteIndex
from node.metrics import Metrics
from node.views import Views

SEATS = founding.seats(4)


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The loop that a node runs on: its sockets differ from asyncio's own."""
    return {"uvloop": uvloop.new_event_loop}


def key_of(uscc: str) -> SigningKey:
    """The signing key of an organisation, the same in every run."""
    return SigningKey.from_seed(sha256(b"signing " + uscc.encode()))


def consensus_key(uscc: str) -> SigningKey:
    return SigningKey.from_seed(sha256(b"consensus " + uscc.encode()))


@cache
def make_genesis() -> Genesis:
    validators = [
        GenesisValidator(
            seat.organisation,
            seat.organisation_class,
            seat.name,
            consensus_key(seat.organisation).public,
            b"certificate",
            f"127.0.0.1:{9000 + i}",
        )
        for i, seat in enumerate(SEATS)
    ]
    members = {entry.uscc for entry in sample.departments()}
    members |= {seat.organisation for seat in SEATS}
    keys = {uscc: key_of(uscc).public for uscc in members}
    created_ms = time.time_ns() // 1_000_000 - 60_000
    return founding.build(validators, keys, created_ms, key_of("governor").public)


class BenchEngine:
    """The engine's part that the API uses. `admission` and the fields below can be set by tests."""

    def __init__(self) -> None:
        self.genesis = make_genesis()
        self.store = LedgerStore(self.genesis, MemoryStore(), BlockFiles(MemoryFolder()))
        self.runner = InlineRunner()
        self.viewer = InlineRunner()
        self.views = Views(self.store, self.viewer)
        self.gatekeeper = Gatekeeper(self.store, self.genesis.parameters)
        self.pending: dict[Digest, SignedTransaction] = {}
        self.submitted: list[bytes] = []
        self.readiness = Readiness(True)
        self.halted: str | None = None
        self.admission: Admission | None = None
        self.suspects: tuple[Suspect, ...] = ()
        self.evidence: list[Case] = []
        self.keeps_index = True
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._index: IndexService | None = None

    @property
    def index(self) -> IndexService | None:
        """The index in step with the ledger; made when it is first asked for."""
        if not self.keeps_index:
            return None
        if self._index is None:
            self._folder = tempfile.TemporaryDirectory()
            database = SqliteIndex(Path(self._folder.name))
            self._index = IndexService(database, self.store, self.genesis.chain_id)
            self._index.start()
        self._index.wake()
        while self._index.status.height != self.store.certified_height:
            time.sleep(0.001)
        return self._index

    def close(self) -> None:
        self.views.close()
        if self._index is not None and self._folder is not None:
            self._index.stop()
            self._folder.cleanup()

    def ready(self) -> Readiness:
        return self.readiness

    def status(self) -> NodeStatus:
        height = self.store.certified_height
        return NodeStatus(
            name=SEATS[0].name,
            organisation=SEATS[0].organisation,
            height=height,
            header_hash=self.store.header(height).hash,
            executed=self.store.executed_height,
            epoch=Epoch(0),
            view=View(0),
            primary=SEATS[0].name,
            in_view_change=False,
            view_changes={"planned rotation": 2},
            failed_views=0,
            peers=tuple(
                PeerStatus(
                    seat.organisation, seat.name, True, height, TimeMs(1_000), behind=0, refused=i
                )
                for i, seat in enumerate(SEATS[1:])
            ),
            suspects=self.suspects,
            evidence=len(self.evidence),
            missing=None,
            mempool_transactions=len(self.pending),
            mempool_bytes=sum(len(signed.raw) for signed in self.pending.values()),
            syncing=False,
            observer=None,
            halted=self.halted,
        )

    async def submit(self, raw_transactions: Sequence[bytes]) -> list[Admission]:
        return [self._admit(raw) for raw in raw_transactions]

    def _admit(self, raw: bytes) -> Admission:
        verdict = verifier_pool.check(raw, self.genesis.chain_id, self.genesis.parameters)
        refused = refusal_of(verdict)
        if refused is not None:
            return refused
        assert isinstance(verdict, SignedTransaction)
        signed = verdict
        if self.admission is not None:
            return replace(self.admission, id=signed.id)
        if signed.id in self.pending or self.store.locate(signed.id):
            return Admission(signed.id, 200, "known")
        refused = self.gatekeeper.refuse(signed, time.time_ns() // 1_000_000)
        if refused is not None:
            return refused
        self.submitted.append(raw)
        self.pending[signed.id] = signed
        return Admission(signed.id, 202, "accepted")

    def transaction_status(self, tx_id: Digest) -> TransactionStatus:
        result = self.store.transaction(tx_id)
        if result is not None:
            state = "committed" if result.receipt.status == "ok" else "failed"
            return TransactionStatus(tx_id, state, result.height, result.index)
        return TransactionStatus(tx_id, "pending" if tx_id in self.pending else "unknown")

    async def wait_committed(self, tx_id: Digest, timeout: float) -> TransactionStatus:
        while self.transaction_status(tx_id).state == "pending":
            await asyncio.sleep(0)
            self.commit()
        return self.transaction_status(tx_id)

    def commit(self) -> Height:
        """Make a block of what waits and certify it; returns its height."""
        height = Height(self.store.executed_height + 1)
        waiting = tuple(self.pending.values())
        self.pending.clear()
        proposer = SEATS[0].organisation
        now = TimeMs(time.time_ns() // 1_000_000)
        digests = tuple(signed.digest for signed in waiting)
        body = Body(height, View(0), proposer, now, digests)
        block = DecidedBlock(height, body.digest, body, waiting)
        self.store.append_decided(block)
        executed = self.store.execute(block, self.runner)
        self.store.commit(executed)
        voters = self.genesis.validator_set
        header_hash = executed.header.hash
        message = checkpoint_bytes(self.genesis.chain_id, Epoch(0), height, header_hash)
        signatures = tuple(
            (uscc, consensus_key(uscc).sign(message))
            for uscc in voters.organisations[: voters.quorum]
        )
        self.store.save_certificate(Certificate(Epoch(0), height, header_hash, signatures))
        return height


class Service:
    """The API on a socket, a client for it, and words for requests."""

    def __init__(self, engine: BenchEngine, app: web.Application, host: str, port: int) -> None:
        self.engine = engine
        self.app = app
        self.host = host
        self.port = port
        self.url = f"http://{host}:{port}"
        self.session: aiohttp.ClientSession

    async def get(self, where: str, **options: Any) -> tuple[int, Any, Any]:
        """(status, JSON or bytes, headers) of a GET of the path as it is."""
        return await self.request("GET", where, **options)

    async def request(self, method: str, where: str, **options: Any) -> tuple[int, Any, Any]:
        from yarl import URL

        url = URL(self.url + where, encoded=True)
        async with self.session.request(method, url, **options) as response:
            body = await response.read()
            kind = response.headers.get("Content-Type", "")
            return response.status, await _parsed(response, body, kind), response.headers

    async def raw(self, data: bytes, *, seconds: float = 5.0) -> bytes:
        """What the server says to raw bytes until it closes the connection."""
        reader, writer = await asyncio.open_connection(self.host, self.port)
        try:
            writer.write(data)
            await writer.drain()
            async with asyncio.timeout(seconds):
                return await reader.read()
        finally:
            writer.close()

    def issuer(self, sample_row: int) -> str:
        """The department that issues this licence of the sample."""
        return sample.licences()[sample_row].issuer

    def key_of(self, uscc: str) -> SigningKey:
        """The signing key of a department."""
        return key_of(uscc)

    def consensus_key(self, uscc: str) -> SigningKey:
        """The consensus key of a validator."""
        return consensus_key(uscc)

    def transaction(self, sample_row: int = 0, **changes: Any) -> SignedTransaction:
        """A transaction that issues a licence of the sample, by its right department."""
        licence = sample.licences()[sample_row]
        args: list[Value] = [
            licence.id,
            licence.type,
            licence.holder,
            licence.issued,
            licence.expires,
        ]
        key = changes.pop("key", key_of(licence.issuer))
        fields: dict[str, Any] = {
            "chain_id": self.engine.genesis.chain_id,
            "nonce": sha256(b"nonce %d" % sample_row)[:16],
            "valid_until_ms": TimeMs(time.time_ns() // 1_000_000 + 300_000),
            "gas_limit": Gas(20_000),
            "calls": (Call("licence", "issue", args),),
            "atomic": False,
            "signers": (key.public,),
        }
        return sign_transaction(Transaction(**{**fields, **changes}), [key])


async def _parsed(response: aiohttp.ClientResponse, body: bytes, kind: str) -> Any:
    return await response.json(content_type=None) if "json" in kind and body else body


@pytest.fixture
def engine() -> BenchEngine:
    return BenchEngine()


@pytest.fixture
def options(tmp_path: Path) -> ApiOptions:
    return ApiOptions(home=tmp_path)


@pytest.fixture
async def api(engine: BenchEngine, options: ApiOptions) -> AsyncIterator[Service]:
    metrics = Metrics(engine.status, options.home)
    app = make_app(engine, options, metrics)
    server = ApiServer(app)
    host, port = await server.start("127.0.0.1", 0)
    service = Service(engine, app, host, port)
    try:
        async with aiohttp.ClientSession() as session:
            service.session = session
            yield service
    finally:
        await server.stop()
        engine.close()


@pytest.fixture
def licence_key() -> Callable[[int], str]:
    """The state key of a licence of the sample."""
    return lambda row: "licence/" + sample.licences()[row].id
