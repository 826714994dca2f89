"""Four validators in one process, over real TLS sockets: commit, lose one, catch up, recover."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from consensus.messages import Commit
from consensus.verifier import sign
from contracts import deployment_layout, registry_layout
from contracts.inline import InlineRunner
from contracts.registry_layout import Member, Organisation
from ledger.genesis import Genesis, Parameters
from ledger.keys import SigningKey
from ledger.store import LedgerStore
from ledger.transaction import SignedTransaction
from ledger.types import Digest, Height
from node.evidence import EvidenceFile
from node.service import NodeService, PeerSecurity, ServiceOptions
from node.views import WAITING_MAX

SECONDS_MAX = 60.0
CLIENT = SigningKey.from_seed(b"\x05" * 32)

NOTES = '''"""Notes by name."""


@call
def write(name: str, text: str) -> None:
    put("note/" + name, text)


@view
def read(name: str) -> str | None:
    return get("note/" + name)
'''

Make = Callable[..., SignedTransaction]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def free_ports(count: int) -> list[int]:
    sockets = [socket.socket() for _ in range(count)]
    try:
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]
    finally:
        for item in sockets:
            item.close()


class Network:
    """Validators by organisation; those in `running` are up."""

    def __init__(self, genesis: Genesis, founders: list[Any], home: Path) -> None:
        self.genesis = genesis
        self._founders = {founder.organisation: founder for founder in founders}
        ports = free_ports(len(founders))
        self._ports = dict(zip(self._founders, ports, strict=True))
        self._home = home
        self.running: dict[str, NodeService] = {}
        self._stores: dict[str, LedgerStore] = {}

    @property
    def names(self) -> list[str]:
        return list(self._founders)

    async def start(self, name: str) -> NodeService:
        founder = self._founders[name]
        pinned = {entry.organisation: entry.tls_certificate for entry in self.genesis.validators}
        home = self._home / name
        store = self._stores[name] = LedgerStore.open(home, self.genesis)
        service = NodeService(
            self.genesis,
            name,
            founder.key,
            PeerSecurity(*founder.contexts(pinned)),
            store,
            InlineRunner(),
            InlineRunner(),
            ServiceOptions(
                home=home,
                listen=("127.0.0.1", self._ports[name]),
                peers={other: f"127.0.0.1:{port}" for other, port in self._ports.items()},
            ),
        )
        await service.start()
        self.running[name] = service
        return service

    async def stop(self, name: str) -> None:
        await self.running.pop(name).stop()
        self._stores.pop(name).close()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            while not condition():  # noqa: ASYNC110 - a store has no event to wait for
                await asyncio.sleep(0.02)

    async def all_ready(self) -> None:
        await self.until(lambda: all(node.ready().ready for node in self.running.values()))

    def heights(self) -> list[int]:
        return [node.store.certified_height for node in self.running.values()]

    def assert_one_chain(self) -> None:
        """Every two validators agree on every height that both have certified."""
        for n in range(min(self.heights()) + 1):
            hashes = {node.store.header(n).hash for node in self.running.values()}  # type: ignore[arg-type]
            assert len(hashes) == 1


@contextlib.asynccontextmanager
async def started(network: Network) -> AsyncIterator[Network]:
    """Start every validator and wait until all are ready; stop those that run at the end."""
    try:
        for name in network.names:
            await network.start(name)
        await network.all_ready()
        yield network
    finally:
        for name in list(network.running):
            await network.stop(name)


@pytest.fixture
async def network(
    founders: list[Any], genesis_of: Callable[..., Genesis], tmp_path: Path
) -> AsyncIterator[Network]:
    member = Member(CLIENT.public.hex(), (registry_layout.SUBMITTER,))
    organisation = Organisation("client", "Client", "government", (), (member,))
    state = [
        *deployment_layout.seed_entries([("notes", NOTES)]),
        *registry_layout.seed_entries([organisation]),
    ]
    genesis = genesis_of(now_ms(), state, Parameters(idle_block_ms=1_000))
    network = Network(genesis, founders, tmp_path)
    async with started(network):
        yield network


def put(network: Network, make: Make, name: str, text: str) -> SignedTransaction:
    return make(
        chain_id=network.genesis.chain_id,
        valid_until_ms=now_ms() + 300_000,
        gas=3_000,
        signer=CLIENT,
        method="write",
        args=[name, text],
    )


async def commit(node: NodeService, transactions: list[SignedTransaction]) -> None:
    answers = await node.submit([signed.raw for signed in transactions])
    assert [answer.code for answer in answers] == ["accepted"] * len(transactions)
    for signed in transactions:
        status = await node.wait_committed(signed.id, SECONDS_MAX)
        assert status.state == "committed"


async def test_every_validator_takes_and_commits_transactions(
    network: Network, make_transaction: Make
) -> None:
    for name, node in network.running.items():
        await commit(node, [put(network, make_transaction, f"{name}/{i}", "hi") for i in range(5)])
    await network.until(lambda: min(network.heights()) >= 4)
    network.assert_one_chain()
    answer = await network.running["org-2"].views.query("notes", "read", ["org-0/3"])
    assert answer.outcome.result == "hi"


async def test_blocks_go_on_while_every_validators_line_of_questions_is_full(
    network: Network, make_transaction: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = threading.Event()
    true = InlineRunner.query

    def held(*args: Any) -> Any:
        assert go.wait(SECONDS_MAX)
        return true(*args)

    monkeypatch.setattr(InlineRunner, "query", held)
    nodes = list(network.running.values())
    questions = [
        asyncio.create_task(node.views.query("notes", "read", ["x"]))
        for node in nodes
        for _ in range(WAITING_MAX)
    ]
    await asyncio.sleep(0)
    assert [node.views.waiting for node in nodes] == [WAITING_MAX] * len(nodes)
    await commit(nodes[1], [put(network, make_transaction, "x", "hi")])
    go.set()
    answers = await asyncio.gather(*questions)
    assert {answer.outcome.result for answer in answers} == {None}


async def test_the_same_transaction_is_admitted_once(
    network: Network, make_transaction: Make
) -> None:
    first, second = network.running["org-0"], network.running["org-1"]
    signed = put(network, make_transaction, "once", "hi")
    answers = await first.submit([signed.raw, signed.raw])
    assert {answer.code for answer in answers} <= {"accepted", "known"}
    assert {answer.id for answer in answers} == {signed.id}
    assert (await first.wait_committed(signed.id, SECONDS_MAX)).state == "committed"
    await network.until(lambda: second.store.locate(signed.id) is not None)
    assert [a.code for a in await second.submit([signed.raw])] == ["known"]


async def test_refusals_by_the_table(network: Network, make_transaction: Make) -> None:
    node = network.running["org-0"]
    good = put(network, make_transaction, "x", "y")
    now = now_ms()
    base: dict[str, Any] = {
        "chain_id": network.genesis.chain_id,
        "valid_until_ms": now + 300_000,
        "signer": CLIENT,
        "method": "write",
        "args": ["x", "y"],
    }
    cases = [
        (b"\xc0", 400, "malformed"),
        (good.raw[:-1] + bytes([good.raw[-1] ^ 1]), None, None),
        (make_transaction(**base | {"chain_id": b"\x01" * 32}).raw, 409, "wrong_chain"),
        (make_transaction(**base | {"valid_until_ms": now - 1}).raw, 410, "expired"),
        (make_transaction(**base | {"valid_until_ms": now + 10**7}).raw, 400, "too_far_ahead"),
        (make_transaction(**base | {"contract": "none"}).raw, 404, "unknown_contract"),
        (make_transaction(**base | {"method": "none"}).raw, 404, "unknown_method"),
        (make_transaction(**base | {"method": "read"}).raw, 404, "unknown_method"),
        (
            make_transaction(**base | {"signer": SigningKey.from_seed(b"\x06" * 32)}).raw,
            403,
            "missing_role",
        ),
    ]
    answers = await node.submit([raw for raw, _, _ in cases])
    for answer, (_, http, code) in zip(answers, cases, strict=True):
        assert not answer.admitted
        if http is not None:
            assert (answer.http, answer.code) == (http, code)
    assert answers[1].http in (400, 401)


async def test_a_stopped_validator_catches_up_and_votes_again(
    network: Network, make_transaction: Make
) -> None:
    node = network.running["org-1"]
    await commit(node, [put(network, make_transaction, "before", "1")])
    await network.stop("org-3")
    for i in range(12):
        await commit(node, [put(network, make_transaction, f"while/{i}", "2")])
    target = node.store.certified_height
    assert target >= 12
    back = await network.start("org-3")
    await network.until(lambda: back.store.certified_height >= target)
    await network.all_ready()
    network.assert_one_chain()
    # With another one down its vote is needed.
    await network.stop("org-0")
    await commit(back, [put(network, make_transaction, "after", "3")])


async def test_a_whole_network_restarts(network: Network, make_transaction: Make) -> None:
    await commit(
        network.running["org-0"], [put(network, make_transaction, f"{i}", "a") for i in range(20)]
    )
    for name in network.names:
        await network.stop(name)
    for name in network.names:
        await network.start(name)
    await network.all_ready()
    await commit(network.running["org-2"], [put(network, make_transaction, "again", "b")])
    network.assert_one_chain()
    answer = await network.running["org-2"].views.query("notes", "read", ["7"])
    assert answer.outcome.result == "a"


async def test_a_lost_write_ahead_log_silences_the_key(
    network: Network, make_transaction: Make
) -> None:
    await commit(network.running["org-0"], [put(network, make_transaction, "k", "v")])
    await network.until(lambda: min(network.heights()) >= 1)
    await network.stop("org-1")
    for part in (network._home / "org-1" / "wal").iterdir():
        part.unlink()
    silenced = await network.start("org-1")
    await network.until(lambda: silenced.status().halted is not None)
    assert silenced.status().observer
    await commit(network.running["org-0"], [put(network, make_transaction, "k", "w")])
    height = network.running["org-0"].store.certified_height
    await network.until(lambda: silenced.store.certified_height >= height)


async def test_a_contradiction_on_a_link_is_evidence_for_good(network: Network) -> None:
    node, liar = network.running["org-0"], network._founders["org-2"]
    domain = node._domain
    view, height = node.status().view, node.store.certified_height + 2
    votes = [
        sign(domain, "org-2", Commit(view, Height(height), Digest(bytes([i]) * 32)), liar.key.sign)
        for i in range(2)
    ]
    await node._receive("org-2", [vote.encode() for vote in (*votes, *votes)])
    await network.until(lambda: bool(node.evidence))
    (case,) = node.evidence
    assert (case.organisation, case.kind, case.height) == ("org-2", "COMMIT", height)
    await network.stop("org-0")
    again = await network.start("org-0")
    assert [kept.encoded() for kept in again.evidence] == [case.encoded()]
    (file,) = (network._home / "org-0" / "evidence").glob("*.qevidence")
    assert EvidenceFile.decode(file.read_bytes()).cases == tuple(again.evidence)
