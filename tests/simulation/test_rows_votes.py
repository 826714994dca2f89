"""Rows of the fault table about forged, doubled, old or damaged messages."""

from __future__ import annotations

import pytest

from consensus.messages import Checkpoint, Envelope
from consensus.verifier import sign
from ledger import canonical
from ledger.types import Epoch, Height, Signature, View
from tests.simulation.adversaries import Twin
from tests.simulation.adversary_votes import Forger
from tests.simulation.disk import Disk
from tests.simulation.network import flipped
from tests.simulation.scenario import settle
from tests.simulation.stage import build, evidence_against, node
from tests.simulation.world import World

SEEDS = range(3)


def twins(world: World, index: int, left: list[int], right: list[int]) -> None:
    """Run validator `index` twice, each copy talking to its own side."""
    name = world.names[index]
    world.nodes[name].clear()
    for side in (left, right):
        twin = Twin(world, name, Disk())
        twin.side = frozenset(world.names[one] for one in side)
        twin.start()


@pytest.mark.parametrize("seed", SEEDS)
def test_row_08_f_validators_vote_twice(seed: int) -> None:
    world = build(seed, 7)
    twins(world, 5, [0, 1, 2, 3], [2, 3, 4, 6])
    twins(world, 6, [0, 2, 4], [1, 2, 3, 5])
    world.trickle(30, 60)
    world.run(4_000)
    settle(world, 20_000)


@pytest.mark.parametrize("seed", SEEDS)
def test_row_09_a_twin_primary_across_a_partition(seed: int) -> None:
    """Validators 1 and 3 are apart for two seconds, 2 hears both twins and holds the evidence."""
    world = build(seed)
    twins(world, 0, [1, 2], [2, 3])
    world.trickle(40, 60)
    world.run(1_500)
    world.network.partition([world.names[1]], [world.names[3]])
    world.run(3_500)
    world.network.heal()
    settle(world, 20_000)
    assert evidence_against(world, world.names[0]) >= 1


@pytest.mark.parametrize("n", [4, 7])
@pytest.mark.parametrize("seed", SEEDS)
def test_row_10_forged_certificates_are_refused(seed: int, n: int) -> None:
    f = (n - 1) // 3
    world = build(seed, n, liars=dict.fromkeys(range(n - f, n), "forger"))
    world.trickle(30, 60)
    world.run(3_000)
    forger = node(world, n - 1)
    assert isinstance(forger, Forger)
    for _ in range(40):
        assert world.verify(forger.signed(forger.forged(View(1))).encode()) is None
    settle(world, 10_000)
    assert not world.checker.unplanned


@pytest.mark.parametrize("seed", SEEDS)
def test_row_11_a_body_of_another_hash_is_refused(seed: int) -> None:
    world = build(seed, liars={0: "wrong-body"})
    world.trickle(30, 60)
    world.run(4_000)
    settle(world, 10_000)
    for block in node(world, 1).ledger.blocks.values():
        assert block.body is None or block.body.digest == block.d


@pytest.mark.parametrize("n", [4, 7])
@pytest.mark.parametrize("seed", SEEDS)
def test_row_12_replays_of_old_views_are_ignored(seed: int, n: int) -> None:
    """Views go on by rotation, so that what is replayed is of older ones."""
    f = (n - 1) // 3
    liars = dict.fromkeys(range(n - f, n), "replayer")
    world = build(seed, n, liars=liars, rotation_blocks=8, rotation_blocks_min=8)
    world.trickle(50, 60)
    world.run(4_500)
    assert world.totals.views >= 3
    assert not world.checker.unplanned
    settle(world, 10_000)


def test_row_12_another_epoch_and_another_chain_are_refused() -> None:
    world = build(12)
    name = world.names[2]
    key = world.keys.signer(name)
    message = Checkpoint(Height(1), world.domain.base_hash)
    real = sign(world.domain, name, message, key)
    assert world.verify(real.encode()) is not None
    old = Envelope(Epoch(1), name, message, real.signature)
    assert world.verify(old.encode()) is None
    other = World(12, 5)
    other_chain = sign(
        type(world.domain)(
            other.domain.base_hash,
            Epoch(0),
            world.validators,
            4,
            Height(0),
            real.message.header_hash,
        ),
        name,
        message,
        key,
    )
    assert world.verify(other_chain.encode()) is None


@pytest.mark.parametrize("seed", SEEDS)
def test_row_22_a_lagging_node_and_a_lying_peer(seed: int) -> None:
    """Validator 3 misses many windows; the liar claims more than anyone and serves lies."""
    world = build(seed, liars={1: "lying-server"})
    world.trickle(120, 30)
    world.run(1_500)
    world.network.isolate(world.names[3], world.names)
    world.run(5_000)
    behind = node(world, 0).ledger.executed - node(world, 3).ledger.executed
    assert behind > 4 * world.domain.window
    settle(world, 10_000)


@pytest.mark.parametrize("n", [4, 7])
@pytest.mark.parametrize("seed", SEEDS)
def test_row_40_corrupted_bits_unsigned_and_signed_again(seed: int, n: int) -> None:
    """Links flip bits in a fifth of all messages; f validators change fields and sign that."""
    f = (n - 1) // 3
    world = build(seed, n, liars=dict.fromkeys(range(n - f, n), "mutator"))
    world.network.corrupt = 0.2
    world.trickle(30, 100)
    world.run(5_000)
    settle(world, 30_000)
    assert evidence_against(world, world.names[-1]) >= 1


@pytest.mark.parametrize("seed", SEEDS)
def test_row_41_malformed_messages_change_nothing(seed: int) -> None:
    """Garbage, truncated, deeply nested and oversized frames, from one validator to all."""
    world = build(seed)
    world.trickle(40, 50)
    rng, real = world.random, _any_vote(world).encode()

    def garbage() -> bytes:
        return rng.choice(
            (
                rng.randbytes(rng.randint(0, 300)),
                real[: rng.randrange(len(real))],
                real + rng.randbytes(1),
                flipped(rng, real),
                b"\x91" * rng.choice((40, 5_000)),
                canonical.encode([0, 1, "org-01", [2**62, 2**62, bytes(32)], bytes(65)]),
                bytes(9 << 20),
            )
        )

    def flood() -> None:
        for name in world.others[world.names[3]]:
            for _ in range(5):
                world.deliver(world.names[3], name, garbage())
        if world.now < 4_000:
            world.after(100, flood)

    world.after(1_000, flood)
    world.run(4_000)
    assert not world.checker.unplanned
    settle(world, 5_000)


def _any_vote(world: World) -> Envelope[Checkpoint]:
    name = world.names[1]
    message = Checkpoint(Height(1), world.domain.base_hash)
    return Envelope(Epoch(0), name, message, Signature(b"\x01" + bytes(64)))
