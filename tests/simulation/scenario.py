"""One run drawn from a seed: a mix of all faults in a rough phase, then a calm one.

    scenario(seed, n)       raises `Violation`, or `Stuck` where liveness fails

The rough phase checks safety all the time. Then the network heals, everyone who can starts again,
and liveness is due: every transaction executed everywhere within a bound, all at one height, and
no view of an honest primary left but by planned rotation.

Who is faulty for good (liars, lost logs, dead ones, wrong clocks) are at most f together; what is
mended in the end (crashes, power loss, pauses, links) may hit anyone at any time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from consensus.config import TIMEOUT_LAN_MS
from ledger.types import TimeMs
from tests.simulation.adversaries import KINDS, make_twins
from tests.simulation.chain import BATCH
from tests.simulation.checks import Stuck, Violation
from tests.simulation.disk import Disk, SegmentedLog
from tests.simulation.node import Node
from tests.simulation.world import Totals, World

CALM_MS: Final = 30_000
"""Everything is executed everywhere this long after healing when nobody is faulty."""

PER_FAULTY_MS: Final = 65_000
"""And so much longer for each faulty one: its whole turn as a primary just under the time-out."""

SETTLE_MS: Final = 2_000
QUIET_MS: Final = 2_500
"""After all is done and `SETTLE_MS` passed, no view changes unplanned for so long under load."""

CALM_EVERY_MS: Final = 250
"""And that load is a transaction, hence a block, as often as this."""

HOUR_MS: Final = 3_600_000


def replay_command(seed: int, n: int) -> str:
    return f"python -m tests.simulation.soak --seed {seed} --n {n}"


def scenario(seed: int, n: int) -> Totals:
    """Draw and run. A failure carries the plan and the command that replays it."""
    run = Scenario(seed, n)
    try:
        return run.run()
    except Violation as error:
        error.add_note(f"plan: {'; '.join(run.plan)}")
        error.add_note(f"replay: {replay_command(seed, n)}")
        raise


@dataclass
class Conditions:
    """A kind of network: delays in ms, chances."""

    delays: tuple[int, int]
    loss: float = 0.0
    duplicate: float = 0.0
    straggle: float = 0.0
    corrupt: float = 0.0


NETWORKS: Final = (
    Conditions((1, 5)),
    Conditions((1, 5), loss=0.05, duplicate=0.1, straggle=0.02),
    Conditions((5, 30), loss=0.3),
    Conditions((1, 60), duplicate=0.3, straggle=0.1),
    Conditions((5, 40), loss=0.02, corrupt=0.05),
    Conditions((20, 60)),
)


@dataclass
class Scenario:
    """A drawn run; `plan` says in words what was drawn."""

    seed: int
    n: int
    plan: list[str] = field(default_factory=list)
    mended: bool = False
    """The rough phase is over."""

    def __post_init__(self) -> None:
        self.rng = rng = random.Random(f"{self.seed}/{self.n}")
        window = rng.choice((4, 4, 4, 1))
        rotation = rng.choice((256, 256, 16, 5, 3))
        self.world = World(
            self.seed, self.n, window=window, rotation_blocks=rotation, rotation_blocks_min=2
        )
        self.plan.append(f"W {window}, R {rotation}")
        self.budget = self.world.validators.f
        self.rough_ms = rng.randint(4_000, 8_000)
        self.faulty_names: list[str] = []
        self.late_names: list[str] = []
        """Honest, and left as primaries: a time-out behind when they execute a whole window, or
        slower than blocks come even in the calm and so behind by ever more, for nobody waits."""
        self._draw_nodes()
        self._draw_network()
        self._draw_load()
        self._draw_lasting_faults()
        for _ in range(rng.randint(0, 4)):
            self._draw_episode()

    # --- drawing ---

    def _at(self, action: Callable[..., object], *arguments: object) -> int:
        """Do something at a random moment of the rough phase."""
        moment = self.rng.randint(500, self.rough_ms - 500)
        self.world.after(moment, action, *arguments)
        return moment

    def _note(self, moment: int, what: str) -> None:
        self.plan.append(f"at {moment} {what}")

    def _draw_nodes(self) -> None:
        rng, world = self.rng, self.world
        liars = rng.choice((0, 0, 1, 1, self.budget, self.budget))
        names = rng.sample(world.names, liars)
        if liars and rng.random() < 0.6 and world.names[0] not in names:
            names[0] = world.names[0]
        same = rng.choice(list(KINDS)) if rng.random() < 0.4 else None
        segmented, rolls = rng.random() < 0.15, rng.random() < 0.7
        disk_ms, execution_ms = rng.choice((0, 0, 2, 8)), rng.choice((1, 3, 25))
        for name in world.names:
            if name in names and rng.random() < 0.1:
                self.plan.append(f"{name} twins")
                make_twins(world, name)
            elif name in names:
                kind = same or rng.choice(list(KINDS))
                self.plan.append(f"{name} {kind}")
                KINDS[kind](world, name)
            else:
                Node(world, name, Disk(SegmentedLog() if segmented else None))
        self.budget -= liars
        for node in world.all_nodes():
            node.rolls_forward, node.disk_ms, node.execution_ms = rolls, disk_ms, execution_ms
        self.plan.append(f"disk {disk_ms} ms, execution {execution_ms} ms")
        if segmented:
            self.plan.append("real logs")
        if rng.random() < 0.2:
            slow = rng.choice(world.honest_nodes())
            slow.execution_ms, slow.check_ms = rng.choice((150, 400)), 30
            self.plan.append(f"{slow.name} takes {slow.execution_ms} ms to execute")
            if (
                slow.execution_ms >= CALM_EVERY_MS
                or slow.execution_ms * world.domain.window >= TIMEOUT_LAN_MS
            ):
                self.late_names.append(slow.name)

    def _draw_network(self) -> None:
        drawn, network = self.rng.choice(NETWORKS), self.world.network
        network.delay_min, network.delay_max = drawn.delays
        network.loss, network.duplicate = drawn.loss, drawn.duplicate
        network.straggle, network.corrupt = drawn.straggle, drawn.corrupt
        self.plan.append(str(drawn))

    def _draw_load(self) -> None:
        rng, world = self.rng, self.world
        world.after(1_000, world.clients_ask_again)
        if world.network.delay_min >= 5 and rng.random() < 0.5:
            self.plan.append("sustained load")
            world.after(1_000, world.keep_busy, 2 * BATCH * world.domain.window, 4_000)
        else:
            every = rng.choice((80, 150, 300))
            world.trickle(self.rough_ms // every, every)

    def _draw_lasting_faults(self) -> None:
        """Who is faulty to the end besides the liars, as far as f allows."""
        rng, world = self.rng, self.world
        while self.budget > 0 and rng.random() < 0.4:
            node = rng.choice([n for n in world.honest_nodes() if n.name not in self.faulty_names])
            self.budget -= 1
            self.faulty_names.append(node.name)
            kind = rng.choice(("lost log", "dead", "clock ahead", "clock behind"))
            if kind == "lost log":
                self._note(self._at(self._lose_log, node), f"{node.name} loses its log")
            elif kind == "dead":
                self._note(self._at(self._bury, node), f"{node.name} dies")
            else:
                node.clock_offset = HOUR_MS if kind == "clock ahead" else -HOUR_MS
                world.checker.clock_ahead_ms = max(0, node.clock_offset)
                self.plan.append(f"{node.name} {kind}")

    def _lose_log(self, node: Node) -> None:
        if node.ledger.executed > 0:
            node.lose_log()
        else:
            node.crash()
        node.start()

    def _bury(self, node: Node) -> None:
        node.crash()
        node.start = lambda: None  # type: ignore[method-assign]

    def _draw_episode(self) -> None:
        episodes = (
            self._crash,
            self._crashing,
            self._power_loss,
            self._partition,
            self._moving_partition,
            self._one_way,
            self._flapping,
            self._pause,
            self._clock_jump,
            self._drift,
        )
        self.rng.choice(episodes)()

    # --- faults that are mended ---

    def _some(self) -> Node:
        chosen: Node = self.rng.choice(self.world.all_nodes())
        return chosen

    def _crash(self) -> None:
        node, down = self._some(), self.rng.randint(50, 3_000)

        def crash() -> None:
            node.crash(power=self.rng.random() < 0.5)
            self.world.after(down, node.start)

        self._note(self._at(crash), f"{node.name} crashes for {down}")

    def _crashing(self) -> None:
        """Crash after crash, between any two effects; up again each second."""
        names = self.rng.sample(self.world.names, self.world.validators.f)
        chance, torn = self.rng.choice((0.0, 0.002, 0.01)), self.rng.choice((0.0, 0.02, 0.1))
        self.plan.append(f"{names} crash with chance {chance}, {torn} while writing")
        for node in self.world.all_nodes():
            if node.name in names:
                node.crash_chance, node.torn_chance = chance, torn
                for moment in range(1_000, self.rough_ms, 1_000):
                    self.world.after(moment, node.start)

    def _power_loss(self) -> None:
        def lose() -> None:
            for node in self.world.all_nodes():
                node.crash(power=True)
                self.world.after(self.rng.randint(100, 1_500), node.start)

        self._note(self._at(lose), "power is lost everywhere")

    def _split(self) -> tuple[list[str], list[str]]:
        names = self.rng.sample(self.world.names, self.n)
        middle = self.rng.randint(1, self.n // 2)
        return names[:middle], names[middle:]

    def _partition(self) -> None:
        left, right = self._split()
        moment = self._at(self.world.network.partition, left, right)
        length = self.rng.randint(300, 4_000)
        self.world.after(moment + length, self.world.network.heal)
        self._note(moment, f"{left} apart for {length}")

    def _moving_partition(self) -> None:
        network = self.world.network

        def move(times: int) -> None:
            network.heal()
            if times and not self.mended:
                network.partition(*self._split())
                self.world.after(self.rng.randint(200, 1_500), move, times - 1)

        self._note(self._at(move, self.rng.randint(2, 5)), "a moving partition")

    def _one_way(self) -> None:
        sender = self.rng.choice(self.world.names)
        deaf = self.rng.sample(self.world.others[sender], self.rng.randint(1, self.n - 1))
        length = self.rng.randint(300, 4_000)

        def cut() -> None:
            for to in deaf:
                self.world.network.cut(sender, to)

        moment = self._at(cut)
        self.world.after(moment + length, self.world.network.heal)
        self._note(moment, f"nothing from {sender} to {deaf} for {length}")

    def _flapping(self) -> None:
        left, right = self.rng.sample(self.world.names, 2)
        network = self.world.network

        def flap(times: int) -> None:
            if times % 2 and not self.mended:
                network.partition([left], [right])
            else:
                network.join(left, right)
                network.join(right, left)
            if times:
                self.world.after(self.rng.randint(50, 700), flap, times - 1)

        self._note(self._at(flap, 2 * self.rng.randint(2, 8)), f"{left}-{right} flaps")

    def _pause(self) -> None:
        node, length = self._some(), self.rng.randint(200, 6_000)
        moment = self._at(node.pause)
        self.world.after(moment + length, node.resume)
        self._note(moment, f"{node.name} pauses for {length}")

    def _clock_jump(self) -> None:
        node, jump = self._some(), self.rng.choice((-60_000, -2_000, 400, 3_000))

        def set_clock() -> None:
            node.clock_jump = jump

        def set_right() -> None:
            node.clock_jump = 0

        moment = self._at(set_clock)
        self.world.after(moment + self.rng.randint(500, 3_000), set_right)
        self.world.checker.clock_ahead_ms += max(0, jump)
        self._note(moment, f"{node.name}'s clock jumps by {jump}")

    def _drift(self) -> None:
        node = self._some()
        node.clock_drift = self.rng.choice((-0.01, 0.01))
        self.world.checker.clock_ahead_ms += HOUR_MS // 60
        self.plan.append(f"{node.name}'s clock drifts")

    # --- running ---

    def run(self) -> Totals:
        world = self.world
        for node in world.all_nodes():
            world.after(self.rng.randint(0, 300), node.start)
        world.run(self.rough_ms)
        self.mended = True
        settle(world, self._calm_bound())
        stay_calm(world, {*world.faulty, *self.faulty_names, *self.late_names})
        check_once_everywhere(world)
        return world.totals

    def _calm_bound(self) -> int:
        faulty = len(self.world.faulty) + len(self.faulty_names)
        return CALM_MS + PER_FAULTY_MS * faulty


def mend(world: World) -> None:
    """The end of the rough phase: links work, clocks that jumped are right, whoever can runs."""
    world.network.calm()
    for node in world.all_nodes():
        node.crash_chance = node.torn_chance = 0.0
        node.crash_plan.clear()
        node.clock_jump = 0
        if node.paused:
            node.resume()
        node.start()


def settle(world: World, within_ms: int) -> int:
    """Mend all and demand that everything gets done everywhere in time; how long it took."""
    mend(world)
    begin = world.now
    nodes = [node for node in world.honest_nodes() if node.alive]

    def done() -> bool:
        tops = {node.ledger.executed for node in nodes}
        return len(tops) == 1 and all(
            len(node.ledger.executed_in) >= len(world.transactions)
            and world.transactions.keys() <= node.ledger.executed_in.keys()
            for node in nodes
        )

    if not world.run_for(within_ms, done):
        state = [
            (node.name, node.replica.status.view, node.ledger.executed, node.ledger.certified)
            for node in nodes
        ]
        world.checker.fail(f"not done {within_ms} ms after healing: {state}", Stuck)
    return world.now - begin


def stay_calm(world: World, faulty: Collection[str]) -> None:
    """Nobody leaves the view of a primary that is not faulty (or late), but by plan.

    Nothing is demanded where no quorum is left without one that executes a window longer than the
    time-out: until it has reached the first height of a view, that view can decide nothing.
    """
    world.run_for(SETTLE_MS)
    begin = world.now
    for number in range(QUIET_MS // CALM_EVERY_MS):
        world.after(number * CALM_EVERY_MS, world.submit, 1)
    world.run_for(QUIET_MS)
    left = [item for item in world.checker.unplanned_since(begin) if item[1] not in faulty]
    if left and len(faulty) <= world.validators.f:
        world.checker.fail(f"working views were left for {left}", Stuck)


def check_once_everywhere(world: World) -> None:
    """All honest ledgers agree on every block they share, and on where each transaction is."""
    nodes = world.honest_nodes()
    longest = max(nodes, key=lambda node: node.ledger.executed).ledger
    before = TimeMs(0)
    for n in range(1, longest.executed + 1):
        block = longest.blocks[n]
        if block.time_ms <= before:
            world.checker.fail(f"time stands still at block {n}")
        before = block.time_ms
        for node in nodes:
            other = node.ledger.blocks.get(n)
            if other is not None and other.hash != block.hash and node.wrong_from is None:
                world.checker.fail(f"{node.name} has another block {n}")
