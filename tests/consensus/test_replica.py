"""The machine as a whole: pure, in order, and four of them agree."""

from __future__ import annotations

import random
from collections import deque

import pytest

from consensus.config import Config, LedgerHead
from consensus.effects import (
    Broadcast,
    CheckBody,
    Effect,
    Execute,
    SaveCertificate,
    Send,
    ViewEntered,
)
from consensus.events import BodyChecked, Event, Executed, OwnVoteAnswered, Propose, Received, Tick
from consensus.messages import Checkpoint, Commit, Prepare, Status
from consensus.replica import JUMP_MS, Replica
from consensus.verifier import Signed
from ledger.block import Body
from ledger.types import Digest, Height, TimeMs, View
from tests.consensus.group import START_MS, Group, Solo, digest, header, of, sent


@pytest.fixture
def group() -> Group:
    return Group()


def test_a_height_passes_through_its_phases(group: Group) -> None:
    backup = Solo(group, "org-01")
    body = group.body(1)
    assert [type(item).__name__ for item in backup.take(body)] == [
        "CheckBody",
        "PersistBody",
        "Persist",
        "Broadcast",
    ]
    effects = backup.prepares(0, 1, body.digest, "org-02")
    assert [type(item).__name__ for item in effects] == ["Persist", "Broadcast"]
    effects = backup.commits(0, 1, body.digest, "org-00", "org-02")
    assert [type(item).__name__ for item in effects] == ["AppendDecided", "Execute"]
    effects = backup.executed(1)
    assert [type(item).__name__ for item in effects] == ["Broadcast"]
    effects = backup.checkpoints(1, "org-00", "org-02")
    assert [type(item).__name__ for item in effects] == ["SaveCertificate"]


def test_the_same_events_give_the_same_effects(group: Group) -> None:
    def run() -> list[Effect]:
        solo = Solo(group, "org-01")
        effects = list(solo.effects)
        solo.run(3)
        effects += solo.live(2_000, waiting=True)
        effects += solo.suspect("org-00", "org-02", "org-03", h=3)
        effects += solo.receive(
            group.new_view(1) if group.primary(1) != solo.name else group.view_change("org-00", 2)
        )
        return effects + solo.tick(5)

    assert run() == run()


def test_messages_of_strangers_links_and_old_heights_do_nothing(group: Group) -> None:
    backup = Solo(group, "org-01")
    backup.run(2)
    assert backup.receive(group.commit("org-02", 0, 1, digest("a"))) == []
    assert backup.receive(group.checkpoint("org-02", 2, digest("a"))) == []
    status = group.sign("org-02", Status(Height(9), Height(9), View(0), False, None))
    assert backup.step(Received(backup.at(), "stranger", status)) == []
    assert backup.replica.status.peers == {}


def test_status_is_a_snapshot(group: Group) -> None:
    backup = Solo(group, "org-01")
    backup.run(2)
    backup.decide(3)
    backup.hear("org-02", h=1)
    backup.tick(2)
    status = backup.replica.status
    assert (status.certified, status.executed, status.appended) == (2, 2, 3)
    assert (status.view, status.primary, status.in_view_change) == (0, "org-00", False)
    assert list(status.peers) == ["org-02"]
    assert (status.peers["org-02"].h, status.peers["org-02"].silent_ms) == (1, 500)
    assert (status.observer, status.halted, status.missing) == (None, None, None)


@pytest.mark.parametrize(
    ("step_ms", "counted_ms"), [(0, 0), (4_999, 4_999), (JUMP_MS, 5_000), (5_001, 250), (-1, 250)]
)
def test_a_step_of_the_wall_clock_too_long_or_backwards_counts_as_one_tick(
    group: Group, step_ms: int, counted_ms: int
) -> None:
    backup = Solo(group, "org-01")
    before = backup.replica._state.clock_ms
    backup.step(Tick(TimeMs(backup.now + step_ms), waiting=False))
    assert backup.replica._state.clock_ms - before == counted_ms


# --- four of them ---


class Round:
    """The replicas of a group, whose messages are delivered in an order that a test draws."""

    def __init__(self, group: Group) -> None:
        self.group = group
        self.now = START_MS
        self.replicas: dict[str, Replica] = {}
        self.queue: deque[tuple[str, Event]] = deque()
        self.bodies: dict[Digest, Body] = {}
        self.decided: dict[int, Digest] = {}
        self.certified: dict[str, int] = dict.fromkeys(group.names, 0)
        self.entered: list[ViewEntered] = []
        for name in group.names:
            replica = Replica(Config(group.domain, name), group.signer(name))
            self.replicas[name] = replica
            head = LedgerHead(Height(0), None, Height(0), (), {}, lambda n: None)
            replica.recover(TimeMs(self.now), (), head, group.verifier)
            for other in group.names:
                if other != name:
                    replica.step(OwnVoteAnswered(TimeMs(self.now), other, ()))

    def step(self, name: str, event: Event) -> None:
        effects = self.replicas[name].step(event)
        executed: list[Height] = []
        for effect in effects:
            if isinstance(effect, Broadcast | Send):
                if isinstance(effect.message, Signed):
                    to = [effect.to] if isinstance(effect, Send) else self.group.names
                    for other in to:
                        if other != name:
                            event = Received(TimeMs(self.now), name, effect.message)
                            self.queue.append((other, event))
            elif isinstance(effect, CheckBody):
                body = self.bodies.get(effect.digest)
                answer = BodyChecked(TimeMs(self.now), effect.digest, body, body is not None)
                self.queue.append((name, answer))
            elif isinstance(effect, Execute):
                assert self.decided.setdefault(effect.n, effect.digest) == effect.digest
                executed.append(effect.n)
            elif isinstance(effect, SaveCertificate):
                self.group.verifier.certificate(effect.certificate)
                self.certified[name] = effect.certificate.n
            elif isinstance(effect, ViewEntered):
                self.entered.append(effect)
        for n in executed:
            time_ms = TimeMs(START_MS + n)
            self.step(name, Executed(TimeMs(self.now), n, header(n), time_ms))

    def propose(self, name: str) -> None:
        slot = self.replicas[name].proposal_slot
        if slot is not None:
            body = self.group.body(slot.n, slot.view, at_ms=self.now, name=f"{name} {slot.n}")
            self.bodies[body.digest] = body
            self.step(name, Propose(TimeMs(self.now), body))

    def tick(self) -> None:
        self.now += 250
        for name in self.group.names:
            self.queue.append((name, Tick(TimeMs(self.now), waiting=True)))

    def deliver(self, order: random.Random | None = None) -> None:
        """Everything in the queue; in the order that `order` picks, if given."""
        while self.queue:
            if order is not None:
                self.queue.rotate(order.randrange(len(self.queue)))
            name, event = self.queue.popleft()
            self.step(name, event)


@pytest.mark.parametrize("n", [4, 5, 6, 7])
def test_a_group_certifies_what_its_primary_proposes(n: int) -> None:
    world = Round(Group(n))
    for height in range(1, 7):
        world.propose("org-00")
        world.deliver()
        assert set(world.certified.values()) == {height}
    assert world.entered == []


@pytest.mark.parametrize("seed", range(20))
def test_in_any_order_of_delivery_a_full_window_is_certified(seed: int) -> None:
    world = Round(Group())
    for _ in range(4):
        world.propose("org-00")
    world.deliver(random.Random(seed))
    assert set(world.certified.values()) == {4}
    assert world.entered == []


@pytest.mark.parametrize("seed", range(10))
def test_in_any_order_of_delivery_a_silent_primary_is_replaced(seed: int) -> None:
    order = random.Random(seed)
    world = Round(Group())
    silent = world.replicas.pop("org-00")
    world.group.names.remove("org-00")
    for _ in range(8):
        world.tick()
        world.deliver(order)
    world.propose("org-01")
    world.deliver(order)
    assert {name: replica.status.view for name, replica in world.replicas.items()} == {
        "org-01": 1,
        "org-02": 1,
        "org-03": 1,
    }
    assert [world.certified[name] for name in world.replicas] == [1, 1, 1]
    assert silent.status.certified == 0


def test_a_quiet_network_changes_no_view_and_says_only_status(group: Group) -> None:
    backup = Solo(group, "org-01")
    effects = backup.live(9_000)
    assert not sent(effects, Prepare | Commit | Checkpoint)
    assert not of(effects, ViewEntered)
