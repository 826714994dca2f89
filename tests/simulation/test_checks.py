"""The checker is itself checked: each planted fault must be seen, and by the check meant for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from consensus import normal, safety, view_change
from consensus.messages import Commit, PreparedCertificate, ViewChange
from consensus.records import Record
from ledger.hashing import sha256
from ledger.types import Height, TimeMs, View
from ledger.validators import ValidatorSet
from tests.simulation import soak
from tests.simulation.chain import Ledger
from tests.simulation.checks import Stuck, Violation, due, quorum_of
from tests.simulation.disk import ListLog
from tests.simulation.scenario import Scenario, scenario, settle, stay_calm
from tests.simulation.stage import build, message_in, node
from tests.simulation.world import World


def run(world: World, milliseconds: int = 6_000) -> None:
    world.trickle(60, 60)
    world.run(milliseconds)


def busy(world: World) -> World:
    """Sustained load on slow links: heights are in flight at any moment."""
    world.network.delay_min, world.network.delay_max = 20, 60
    world.keep_busy(100, 5_000)
    return world


def change_view(world: World) -> None:
    """From height 10 on no COMMIT of view 0 arrives: a view change with prepared heights."""
    world.network.filter = lambda sender, to, frame: (
        not (
            isinstance(message := message_in(world, frame), Commit)
            and message.view == 0
            and message.n >= 10
        )
    )
    busy(world)


def test_quorums_of_the_design() -> None:
    sizes = {4: 3, 5: 4, 6: 4, 7: 5, 8: 6, 9: 6, 10: 7, 16: 11, 32: 22}
    assert {n: quorum_of(n) for n in sizes} == sizes


def test_a_vote_without_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    world = build(1)
    monkeypatch.setattr(node(world, 1).disk, "write", lambda items: None)
    with pytest.raises(Violation, match="without its record"):
        run(world)


def test_a_log_that_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """The index says that all is safe, a power loss shows that it is not."""

    def append(self: ListLog, items: Sequence[Record]) -> None:
        if not self._records:
            self._records += items

    monkeypatch.setattr(ListLog, "append", append)
    world = busy(build(1))
    world.after(1_900, lambda: [one.crash(power=True) for one in world.all_nodes()])
    world.after(2_000, lambda: [one.start() for one in world.all_nodes()])
    with pytest.raises(Violation, match="contradicts itself"):
        world.run(4_000)


def test_a_quorum_too_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ValidatorSet, "quorum", property(lambda self: 2 * self.f + 1))
    with pytest.raises(Violation, match="quorum"):
        run(build(1, 5))


def test_a_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the checker itself counts wrong quorums, two values at a height are still seen."""
    monkeypatch.setattr(ValidatorSet, "quorum", property(lambda self: 2 * self.f + 1))
    monkeypatch.setattr("tests.simulation.checks.quorum_of", lambda n: 2 * ((n - 1) // 3) + 1)
    world = build(0, 5, liars={0: "traitor"})
    with pytest.raises(Violation, match="decided another value"):
        run(world)


def test_another_certified_header() -> None:
    world = build(1)
    checker = world.checker
    checker.saved("org-01", Height(1), sha256(b"a"), world.names[:3])
    with pytest.raises(Violation, match="certified another header"):
        checker.saved("org-02", Height(1), sha256(b"b"), world.names[:3])
    with pytest.raises(Violation, match="not a quorum's"):
        checker.saved("org-02", Height(2), sha256(b"b"), ["org-00", "org-00", "org-01"])


def test_a_view_change_that_omits_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = safety.Safety.leave

    def leave(self: safety.Safety, *arguments: Any) -> Any:
        self.prepared.clear()
        return honest(self, *arguments)

    monkeypatch.setattr(safety.Safety, "leave", leave)
    world = build(2)
    change_view(world)
    with pytest.raises(Violation, match="hides what it committed"):
        world.run(6_000)


def test_a_vote_in_a_view_that_was_left() -> None:
    world = build(1)
    one = node(world, 1)
    world.run(500)
    vote = ViewChange(View(2), Height(0), world.domain.base_hash, None, ())
    sign = one.replica._state.sign
    world.checker.sent(one.name, sign(vote), recorded=True)
    commit = sign(Commit(View(1), Height(1), sha256(b"d")))
    with pytest.raises(Violation, match="which it left"):
        world.checker.sent(one.name, commit, recorded=True)


def test_another_proposal_than_the_new_views(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = view_change.content

    def content(changes: Any) -> Any:
        answer = honest(changes)
        return replace(answer, digests=tuple((n, sha256(d)) for n, d in answer.digests))

    monkeypatch.setattr(view_change, "content", content)
    monkeypatch.setattr("consensus.verifier.content", content)
    world = build(2)
    change_view(world)
    with pytest.raises(Violation, match="proposes what does not follow"):
        world.run(6_000)


def test_what_follows_takes_the_highest_view() -> None:
    one = PreparedCertificate(Height(3), View(1), sha256(b"1"), ())
    two = PreparedCertificate(Height(3), View(2), sha256(b"2"), ())
    changes = [ViewChange(View(4), Height(1), sha256(b"h"), None, (item,)) for item in (two, one)]
    assert due(changes)[Height(3)] == sha256(b"2")
    assert sorted(due(changes)) == [2, 3]


def test_time_that_does_not_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    honest = Ledger.execute

    def execute(self: Ledger, n: Height) -> Any:
        block = honest(self, n)
        self.blocks[n] = replace(block, time_ms=TimeMs(1_700_000_000_000))
        return self.blocks[n]

    monkeypatch.setattr(Ledger, "execute", execute)
    with pytest.raises(Violation, match="does not go on"):
        run(build(1))


def test_a_table_without_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consensus.log.VoteLog.forget", lambda self, h: None)
    world = build(1)
    world.keep_busy(50, 5_000)
    with pytest.raises(Violation, match="votes, more than"):
        world.run(5_000)


def test_a_run_that_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(normal, "on_body_checked", lambda s, event: None)
    world = build(1)
    run(world, 3_000)
    with pytest.raises(Stuck, match="not done"):
        settle(world, 5_000)


def test_views_left_without_need(monkeypatch: pytest.MonkeyPatch) -> None:
    """A core that joins a view change on one vote: safe, live, and a storm's toy."""

    def join(s: Any) -> None:
        honest_weak, s.weak = s.weak, 1
        honest_join(s)
        s.weak = honest_weak

    honest_join = view_change._join
    monkeypatch.setattr(view_change, "_join", join)
    world = build(1, liars={3: "stormer"})
    run(world, 3_000)
    with pytest.raises(Stuck, match="working views were left"):
        stay_calm(world, world.faulty)


@pytest.mark.parametrize("seed", [3, 11, 42])
def test_a_seed_replays_a_run_exactly(seed: int) -> None:
    def once() -> tuple[object, ...]:
        run = Scenario(seed, 4)
        return run.run(), run.world.now, run.world.random.random(), run.world.checker.certified

    assert once() == once()


def test_a_failure_says_how_to_replay_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ValidatorSet, "quorum", property(lambda self: 2 * self.f + 1))
    with pytest.raises(Violation) as caught:
        scenario(1, 5)
    assert "replay: python -m tests.simulation.soak --seed 1 --n 5" in caught.value.__notes__


def test_the_soak_counts_and_names_what_failed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert soak.main(["--seeds", "3", "--workers", "1"]) == 0
    assert "runs        3" in capsys.readouterr().out
    monkeypatch.setattr(ValidatorSet, "quorum", property(lambda self: 2 * self.f + 1))
    assert soak.main(["--first", "1", "--seeds", "1", "--workers", "1"]) == 1
    assert "violation   1  1 (n 5)" in capsys.readouterr().out
    assert soak.main(["--seed", "1", "--n", "5"]) == 1
