"""A transaction that no worker survives: everyone stops at its block, a quorum takes it out, and
the chain goes on; also on a validator that slept, and on one whose worker survived it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from contracts import deployment_layout, registry_layout
from contracts.inline import InlineRunner
from contracts.registry_layout import Member, Organisation
from contracts.runner import ExecutionStopped
from ledger.execution import BlockContext, StateView
from ledger.genesis import Genesis, Parameters
from ledger.quarantine import QuarantineInvalid, Vote
from ledger.receipt import TransactionOutcome
from ledger.store import LedgerStore
from ledger.transaction import SignedTransaction, Transaction
from ledger.types import Digest, Height
from node import block_execution, quarantine
from node.config import NodeConfig
from node.home import Home
from node.quarantine import QuarantineRefused
from node.rebuild import Rebuild
from node.stopped import inspect
from tests.node.engine import test_service
from tests.node.engine.test_service import CLIENT, NOTES, Make, Network, commit, now_ms, put

POISON = "poison"


class Perishing(InlineRunner):
    """Ends as a worker that dies three times, whenever it is to run the poison."""

    def run(
        self, context: BlockContext, transactions: Sequence[Transaction], state: StateView
    ) -> list[TransactionOutcome]:
        if any(call.args[:1] == [POISON] for item in transactions for call in item.calls):  # type: ignore[index]
            raise ExecutionStopped(context.height, 3, "died (exit -31)")
        return super().run(context, transactions, state)


class Withholding:
    """A ledger that serves blocks and says nothing of quarantines."""

    def __init__(self, store: LedgerStore) -> None:
        self._store = store

    def quarantined(self, n: Height) -> dict[Digest, bytes]:
        return {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@pytest.fixture
async def network(
    founders: list[Any],
    genesis_of: Callable[..., Genesis],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Network]:
    member = Member(CLIENT.public.hex(), (registry_layout.SUBMITTER,))
    organisation = Organisation("client", "Client", "government", (), (member,))
    state = [
        *deployment_layout.seed_entries([("notes", NOTES)]),
        *registry_layout.seed_entries([organisation]),
    ]
    monkeypatch.setattr(test_service, "InlineRunner", Perishing)
    monkeypatch.setattr(block_execution, "ASK_MS", 100)
    monkeypatch.setattr(block_execution, "ROUNDS", 1_000)
    network = Network(
        genesis_of(now_ms(), state, Parameters(idle_block_ms=300)), founders, tmp_path
    )
    try:
        yield network
    finally:
        for name in list(network.running):
            await network.stop(name)


async def start(network: Network, names: Iterable[str]) -> None:
    for name in names:
        await network.start(name)


async def halt(network: Network, poison: SignedTransaction, names: Iterable[str]) -> Height:
    """Have `names` stop at the block of `poison`; its height."""
    (answer,) = await network.running["org-0"].submit([poison.raw])
    assert answer.code == "accepted"
    nodes = [network.running[name] for name in names]
    await network.until(lambda: all(node.status().execution_stopped for node in nodes))
    for node in nodes:
        assert node.standing().state == "execution_stopped"
        assert not node.ready().ready
        assert node.status().missing is None
    heights = {node.store.executed_height + 1 for node in nodes}
    assert len(heights) == 1
    return Height(heights.pop())


def sign(network: Network, name: str, n: Height, poison: Digest) -> Vote:
    """As the operator of `name`, whose node is stopped."""
    founder, home = network._founders[name], Home(network._home / name)
    with quarantine.open_ledger(home, network.genesis) as store:
        assert [signed.id for signed in quarantine.find(store, Perishing())] == [poison]
        removal, _ = quarantine.subject(store, n, poison)
        quarantine.check_fatal(store, Perishing(), removal)
        with pytest.raises(QuarantineRefused, match="can be executed here"):
            quarantine.check_fatal(store, InlineRunner(), removal)
        vote = quarantine.sign(store, name, founder.key, removal)
    with inspect(home, network.genesis, config(name)) as stopped:
        assert stopped.standing.state == "execution_stopped"
    text = quarantine.encode_vote(vote, network.genesis.chain_id)
    assert quarantine.decode_vote(text.encode(), network.genesis.chain_id) == vote
    return vote


def config(name: str) -> NodeConfig:
    settings: dict[str, Any] = {item.name: None for item in fields(NodeConfig)}
    return NodeConfig(**settings | {"organisation": name, "free_bytes_min": 0})


def apply(network: Network, name: str, votes: Sequence[Vote]) -> None:
    home = Home(network._home / name)
    with quarantine.open_ledger(home, network.genesis) as store:
        with pytest.raises(QuarantineInvalid, match="a quorum is 3 validators, here are 2"):
            quarantine.apply(home, store, [votes[0], votes[1], votes[0]])
        assert not quarantine.apply(home, store, votes).known
        assert quarantine.apply(home, store, votes).known


async def take_out(network: Network, poison: SignedTransaction, n: Height) -> None:
    """A quorum takes it out, and starts again."""
    names = network.names[:3]
    for name in names:
        await network.stop(name)
    votes = [sign(network, name, n, poison.id) for name in names]
    for name in names:
        apply(network, name, votes)
    await start(network, names)


def assert_quarantined(network: Network, poison: SignedTransaction, n: Height) -> None:
    for node in network.running.values():
        receipt = node.store.receipt(poison.id)
        assert receipt is not None
        assert (receipt.status, receipt.code, receipt.gas) == ("rejected", "QUARANTINED", 0)
        assert node.store.locate(poison.id) is not None
        assert list(node.store.quarantined(n)) == [poison.id]
        assert node.evidence == []
    network.assert_one_chain()


async def rebuilt(network: Network, name: str) -> None:
    """Make its database anew with workers that do not survive the poison, and start it."""
    await network.stop(name)
    home = Home(network._home / name)
    with Rebuild(home, network.genesis) as work:
        for _ in work.run(Perishing()):
            pass
        work.replace()
    await network.start(name)


async def test_a_poison_transaction_is_taken_out_and_the_chain_goes_on(
    network: Network,
    make_transaction: Make,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    awake = network.names[:3]
    await start(network, network.names)
    await network.all_ready()
    await commit(network.running["org-0"], [put(network, make_transaction, "before", "1")])
    await network.stop("org-3")
    poison = put(network, make_transaction, POISON, "x")
    n = await halt(network, poison, awake)
    # Voting on order goes on, as far as the window allows.
    window = network.genesis.parameters.window
    await network.until(
        lambda: {node.store.decided_height for node in network.running.values()} == {n - 1 + window}
    )
    # A restart changes nothing, and the API and the links come up.
    await network.stop("org-1")
    again = await network.start("org-1")
    await network.until(lambda: again._transport.connections == 2)
    assert again.standing().state == "execution_stopped"
    await take_out(network, poison, n)
    await network.all_ready()
    first = network.running["org-0"]
    await commit(first, [put(network, make_transaction, "after", "2")])
    # The same id never runs later: it counts as executed.
    assert [answer.code for answer in await first.submit([poison.raw])] == ["known"]
    # One that slept is told of the block and not of the quarantine. Its worker would survive the
    # poison; it asks until one of them says why the certified result is another.
    liars = [network.running[name] for name in awake]
    for node in liars:
        assert node._intake is not None
        node._intake._source = Withholding(node.store)
    monkeypatch.setattr(test_service, "InlineRunner", InlineRunner)
    late = await network.start("org-3")
    monkeypatch.setattr(test_service, "InlineRunner", Perishing)
    await network.until(lambda: "asking the others" in caplog.text)
    assert late.standing().state != "diverged"
    assert liars[2]._intake is not None
    liars[2]._intake._source = liars[2].store
    await network.until(lambda: late.store.certified_height >= n)
    # It votes: one is down.
    await network.stop("org-2")
    await network.all_ready()
    await commit(late, [put(network, make_transaction, "again", "3")])
    await rebuilt(network, "org-1")
    await network.all_ready()
    await commit(first, [put(network, make_transaction, "last", "4")])
    assert_quarantined(network, poison, n)


async def test_a_validator_that_executed_the_poison_diverges_and_is_mended(
    network: Network, make_transaction: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    await start(network, network.names[:3])
    monkeypatch.setattr(test_service, "InlineRunner", InlineRunner)  # its worker survives it
    survivor = await network.start("org-3")
    monkeypatch.setattr(test_service, "InlineRunner", Perishing)
    await network.all_ready()
    poison = put(network, make_transaction, POISON, "x")
    n = await halt(network, poison, network.names[:3])
    await network.until(lambda: survivor.store.executed_height >= n)
    home = Home(network._home / "org-3")
    await network.stop("org-3")
    refused = pytest.raises(QuarantineRefused, match="executed block")
    with quarantine.open_ledger(home, network.genesis) as store, refused:
        quarantine.subject(store, n, poison.id)
    await network.start("org-3")
    await take_out(network, poison, n)
    survivor = network.running["org-3"]
    await network.until(lambda: survivor.standing().state == "diverged")
    # It asks the others why, so a rebuild is all that is left to do.
    await network.until(lambda: poison.id in survivor.store.quarantined(n))
    await rebuilt(network, "org-3")
    await network.all_ready()
    await network.stop("org-2")
    await commit(network.running["org-3"], [put(network, make_transaction, "after", "2")])
    assert_quarantined(network, poison, n)
