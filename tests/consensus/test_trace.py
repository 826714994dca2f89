"""What happened to a replica happens again from its trace, and only then."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from consensus import trace
from consensus.config import TICK_MS, LedgerHead
from consensus.effects import Effect
from consensus.events import BlocksFetched, Event, FetchedBlock, Tick
from consensus.messages import FetchBlocks
from consensus.replica import Replica
from consensus.trace import Signatures, StepDiffers, TraceDamaged
from ledger.types import Height, TimeMs
from tests.consensus.group import Group, Solo, header, sent_to


class Recorded(Solo):
    """A hand-driven replica whose trace is kept as a node keeps it."""

    payloads: list[bytes]
    signatures: Signatures

    def step(self, event: Event) -> list[Effect]:
        if not hasattr(self, "payloads"):
            return super().step(event)
        effects = super().step(event)
        self.payloads.append(trace.step_payload(event, self.signatures.take(), effects))
        return effects

    def record(self, *, from_start: bool) -> Recorded:
        """Record from here on: what is in hand as a snapshot, or a start of its own."""
        self.signatures = Signatures(self.group.signer(self.name))
        if from_start:
            self.replica = Replica(self.config, self.signatures)
            certified = Height(max(self.certificates, default=0))
            head = LedgerHead(
                certified,
                self.certificates.get(certified),
                max(self.headers),
                (),
                {d: n for d, n in self.bodies.items() if n > certified},
                self.headers.get,
            )
            effects, start = trace.recover(
                self.replica, TimeMs(self.now), self.wal, head, self.group.verifier
            )
            self._note(effects)
            first = trace.start_payload(self.config, start, self.signatures.take(), effects)
        else:
            state = self.replica._state
            state.key = state.safety._key = self.signatures
            first = trace.snapshot_payload(self.config, self.replica)
        self.payloads = [first]
        return self

    @property
    def data(self) -> bytes:
        return b"".join(framed(self.payloads))


def framed(payloads: list[bytes]) -> Iterator[bytes]:
    check = trace.CHECK_START
    for payload in payloads:
        data, check = trace.frame(payload, check)
        yield data


@pytest.fixture
def group() -> Group:
    return Group()


def live_through_much(solo: Recorded) -> None:
    """Commits, a height left in flight, a view change with it, blocks from a peer, evidence."""
    group = solo.group
    solo.run(solo.replica.status.certified + 2)
    n = solo.replica.status.certified + 1
    body = solo.prepare_height(n)
    solo.live(3_000, waiting=True)
    solo.suspect(*solo.others, h=n - 1)
    change = solo.replica._state.safety.view_change
    assert change is not None
    view = change.message.view
    solo.receive_all([group.view_change(name, view, n - 1) for name in solo.others])
    assert not solo.replica.status.in_view_change  # it leads that view
    solo.prepares(view, n, body.digest)
    solo.commits(view, n, body.digest)
    solo.executed(n)
    solo.checkpoints(n)
    assert solo.replica.status.certified == n
    liar = group.checkpoint(solo.others[0], n + 1, header(99))
    solo.receive_all([group.checkpoint(solo.others[0], n + 1), liar])
    assert solo.replica.status.evidence == 1
    solo.hear(h=n + 9, view=view)
    for _ in range(4):
        asked = sent_to(solo.tick(), FetchBlocks)
        if asked:
            break
    blocks = tuple(
        FetchedBlock(Height(m), group.body(m, view).digest, header(m), group.certificate(m))
        for m in range(n + 1, n + 4)
    )
    solo.step(BlocksFetched(solo.at(), asked[0][0], blocks))
    for m in range(n + 1, n + 4):
        solo.executed(m)
    assert solo.replica.status.certified == n + 3
    solo.live(1_000)


@pytest.mark.parametrize("from_start", [True, False])
def test_every_step_replays_with_the_same_effects(group: Group, from_start: bool) -> None:
    solo = Recorded(group)
    solo.run(3)
    solo.prepare_height(4)
    solo.record(from_start=from_start)
    if from_start:
        solo.begin()
    live_through_much(solo)
    played = list(trace.replay(solo.data, group.check))
    assert len(played) == len(solo.payloads) - (not from_start)
    assert sum(len(step.effects) for step in played) > 100


def test_a_snapshot_can_be_taken_between_any_two_steps(group: Group) -> None:
    solo = Recorded(group).record(from_start=False)
    firsts: list[tuple[int, bytes]] = []
    step = solo.step

    def noted(event: Event) -> list[Effect]:
        effects = step(event)
        firsts.append((len(solo.payloads), trace.snapshot_payload(solo.config, solo.replica)))
        return effects

    solo.step = noted  # type: ignore[method-assign]
    live_through_much(solo)
    for position, first in firsts[::7]:
        data = b"".join(framed([first, *solo.payloads[position:]]))
        for _ in trace.replay(data, group.check):
            pass


def test_a_changed_byte_anywhere_is_noticed(group: Group) -> None:
    solo = Recorded(group).record(from_start=True)
    solo.begin()
    solo.run(2)
    data = solo.data
    for position in range(0, len(data), 41):
        changed = bytearray(data)
        changed[position] ^= 1
        with pytest.raises((TraceDamaged, StepDiffers)):
            for _ in trace.replay(bytes(changed), group.check):
                pass


def test_another_event_is_noticed_by_its_effects(group: Group) -> None:
    """Also where the frames hold: somebody wrote another event into a good file."""
    solo = Recorded(group).record(from_start=True)
    solo.begin()
    number = len(solo.payloads)
    solo.run(1)
    swapped = [*solo.payloads]
    swapped[number], swapped[number + 1] = swapped[number + 1], swapped[number]
    with pytest.raises(StepDiffers) as caught:
        list(trace.replay(b"".join(framed(swapped)), group.check))
    assert caught.value.step in (number, number + 1)


def test_a_cut_tail_is_no_damage_and_a_lost_frame_is(group: Group) -> None:
    solo = Recorded(group).record(from_start=True)
    solo.begin()
    solo.run(1)
    played = list(trace.replay(solo.data, group.check))
    assert len(list(trace.replay(solo.data[:-3], group.check))) == len(played) - 1
    rows = list(framed(solo.payloads))
    with pytest.raises(TraceDamaged):
        list(trace.replay(b"".join(rows[:3] + rows[4:]), group.check))


def test_another_signature_or_another_effect_is_noticed(group: Group) -> None:
    solo = Recorded(group).record(from_start=True)
    solo.begin()
    solo.tick()
    solo.payloads[-1:] = []
    solo.now += TICK_MS
    tick = Tick(solo.at(), waiting=False)
    effects = Solo.step(solo, tick)
    (status,) = solo.signatures.take()
    for signatures, reason in (((), "signs what"), ((status, status), "did not sign all")):
        payload = trace.step_payload(tick, signatures, effects)
        data = b"".join(framed([*solo.payloads, payload]))
        with pytest.raises(StepDiffers, match=reason):
            list(trace.replay(data, group.check))
    payload = trace.step_payload(tick, (status,), effects[1:])
    with pytest.raises(StepDiffers, match="its effects are others"):
        list(trace.replay(b"".join(framed([*solo.payloads, payload])), group.check))


def test_a_message_is_verified_again(group: Group) -> None:
    solo = Recorded(group).record(from_start=True)
    solo.begin()
    solo.run(1)
    with pytest.raises(TraceDamaged, match="signature is not valid"):
        list(trace.replay(solo.data, lambda key, data, signature: False))
