"""What the tests of single faults share: a running world of a given size, and measures of it."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

from consensus.effects import AlarmKind
from consensus.messages import SignedMessage
from tests.simulation.adversaries import KINDS
from tests.simulation.chain import Proposed
from tests.simulation.checks import Stuck
from tests.simulation.disk import Disk, SegmentedLog
from tests.simulation.node import Node
from tests.simulation.world import World

WARM_MS = 1_000
"""After start, until everyone has learnt that it may vote."""


def build(
    seed: int,
    n: int = 4,
    *,
    liars: Mapping[int, str] | None = None,
    window: int = 4,
    segmented: bool = False,
    **rules: int,
) -> World:
    """A started world; `liars` maps a validator's index to its kind."""
    world = World(seed, n, window=window, **rules)
    for index, name in enumerate(world.names):
        disk = Disk(SegmentedLog() if segmented else None)
        kind = (liars or {}).get(index)
        node = Node(world, name, disk) if kind is None else KINDS[kind](world, name, disk)
        node.start()
    world.after(WARM_MS, world.clients_ask_again)
    return world


def node(world: World, index: int) -> Node:
    """The (first) node of validator `index`."""
    found: Node = world.nodes[world.names[index]][0]
    return found


def commits(world: World, begin: int = 0) -> list[int]:
    """The moments, from `begin` on, at which a height was first known to be certified."""
    return sorted(at for _, at in world.checker.certified.values() if at >= begin)


def longest_gap(world: World, begin: int) -> int:
    """The longest time without a commit from `begin` to now."""
    moments = [begin, *commits(world, begin), world.now]
    return max(after - before for before, after in pairwise(moments))


def first_commit(world: World, begin: int) -> int:
    """How long after `begin` the first commit came; more than any bound if none did."""
    return next(iter(commits(world, begin)), 10**9) - begin


def next_commit(world: World) -> int:
    """Send in a transaction; how long until a height beyond the present ones is certified."""
    begin, top = world.now, world.checker.top
    world.submit(1)
    if not world.run_for(60_000, lambda: world.checker.top > top):
        world.checker.fail("no commit in a minute", Stuck)
    # A Certificate covers the heights before it: the first one need not be that of top + 1.
    return min(at for n, (_, at) in world.checker.certified.items() if n > top) - begin


def message_in(world: World, frame: object) -> SignedMessage | None:
    """The signed message of a frame, for filters on links."""
    data = frame.data if isinstance(frame, Proposed) else frame
    signed = world.verify(data) if isinstance(data, bytes) else None
    return None if signed is None else signed.message


def alarms(world: World, kind: AlarmKind) -> list[str]:
    """Who raised such an alarm."""
    return [one.name for one in world.all_nodes() if any(a.kind is kind for a in one.alarms)]


def evidence_against(world: World, name: str) -> int:
    """How many honest nodes hold evidence against `name`."""
    return sum(
        any(item.second.signer == name for item in one.evidence) for one in world.honest_nodes()
    )
