"""A validator whose state was changed under it: halted until that is mended, then one again."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from contracts import deployment_layout, registry_layout
from contracts.inline import InlineRunner
from contracts.registry_layout import Member, Organisation
from ledger import canonical, schema
from ledger.genesis import Genesis, Parameters
from ledger.storage.leveldb import LevelDBStore
from ledger.transaction import SignedTransaction
from node.home import Home
from node.rebuild import Rebuild
from tests.node.engine.test_service import CLIENT, Network, commit, now_ms, started

COUNTS = '''"""Counts by name."""


@call
def add(name: str) -> int:
    before = get("count/" + name)
    count = 1 if before is None else before + 1
    put("count/" + name, count)
    return count
'''

Make = Callable[..., SignedTransaction]


@pytest.fixture
async def network(
    founders: list[Any], genesis_of: Callable[..., Genesis], tmp_path: Path
) -> AsyncIterator[Network]:
    member = Member(CLIENT.public.hex(), (registry_layout.SUBMITTER,))
    organisation = Organisation("client", "Client", "government", (), (member,))
    state = [
        *deployment_layout.seed_entries([("counts", COUNTS)]),
        *registry_layout.seed_entries([organisation]),
    ]
    network = Network(
        genesis_of(now_ms(), state, Parameters(idle_block_ms=1_000)), founders, tmp_path
    )
    async with started(network):
        yield network


def add(network: Network, make: Make) -> SignedTransaction:
    return make(
        chain_id=network.genesis.chain_id,
        valid_until_ms=now_ms() + 300_000,
        gas=3_000,
        signer=CLIENT,
        contract="counts",
        method="add",
        args=["x"],
    )


def change_count(home: Home, count: int) -> None:
    """Change a value where it lies."""
    kv = LevelDBStore(home.ledger)
    row = schema.by_name("counts", "count/x")
    data = kv.get(row)
    assert data is not None
    height, _ = schema.decode_state(data)
    kv.write({row: schema.encode_state(height, canonical.encode(count))}, sync=True)
    kv.close()


async def test_a_validator_that_executes_differently_halts_and_is_mended(
    network: Network, make_transaction: Make, tmp_path: Path
) -> None:
    victim, home = "org-2", Home(tmp_path / "org-2")
    first = network.running["org-0"]
    await commit(first, [add(network, make_transaction)])
    height = first.store.certified_height
    await network.until(lambda: min(network.heights()) >= height)
    await network.stop(victim)
    change_count(home, 70)
    await network.start(victim)
    await network.all_ready()
    signed = add(network, make_transaction)
    await commit(first, [signed])
    place = first.store.locate(signed.id)
    assert place is not None
    # It halts at that block, start after start, and the others go on.
    for _ in range(2):
        node = network.running[victim]
        await network.until(lambda node=node: node.status().halted is not None)  # type: ignore[misc]
        standing = node.standing()
        assert (standing.state, standing.height) == ("diverged", place[0] - 1)
        divergence = standing.divergence
        assert divergence is not None
        assert divergence.height == place[0]
        assert divergence.certified == first.store.header(place[0]).hash
        assert divergence.own == node.store.executed_header(place[0]).hash
        await commit(first, [add(network, make_transaction)])
        await network.stop(victim)
        await network.start(victim)
    await network.stop(victim)
    with Rebuild(home, network.genesis) as work:
        for _ in work.run(InlineRunner()):
            pass
        work.replace()
    node = await network.start(victim)
    await network.all_ready()
    assert node.standing().state == "voting"
    # With another one down its vote is needed.
    await network.stop("org-3")
    await commit(node, [add(network, make_transaction)])
    network.assert_one_chain()
    for other in network.running.values():
        assert other.evidence == []
