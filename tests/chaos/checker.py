"""What must hold of the ledgers of honest validators after anything: the judge of every chaos test.

The cluster is stopped and its folders are read as they lie there. Four things are checked:

1. agreement: where two honest validators executed a height, they have one header, and each ledger
   is what its own hashes and certificates say (`ledger.verification.verify_ledger`);
2. replay: the block files of the longest chain, executed from genesis in a fresh folder, give every
   header again, its state root included;
3. exactly once: an id is executed at most once; what a client was told is executed stands at the
   height it was told, in every ledger that reaches there, and at least a quorum less the liars
   reaches there; what a client was told has expired is nowhere;
4. real-time order: what was acknowledged before another was invoked does not stand above it.

Each of them raises `Violation`. The checker itself is checked in `test_harness.py`.
"""

from __future__ import annotations

import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from contracts.runner import WorkerRunner
from contracts.sandbox import Sandbox
from ledger.errors import QiongError
from ledger.genesis import Genesis
from ledger.recovery import roll_forward
from ledger.storage.interface import Batch, KeyValueStore
from ledger.storage.leveldb import LevelDBStore
from ledger.store import BLOCKS_FOLDER, LedgerStore
from ledger.types import Digest, Height
from ledger.verification import verify_ledger
from tests.chaos.cluster import Cluster
from tests.chaos.load import History, Operation


class Violation(AssertionError):
    """Something that must never happen did."""


@dataclass(frozen=True)
class Report:
    """What was looked at. `heights` are executed ones; `late` counts unknown ones in the chain."""

    heights: Mapping[str, int]
    transactions: int
    acknowledged: int
    failed: int
    expired: int
    unknown: int
    late: int

    def figures(self) -> dict[str, int]:
        """For one line of figures."""
        return {
            "blocks": max(self.heights.values()),
            "transactions": self.transactions,
            "acknowledged": self.acknowledged,
            "failed": self.failed,
            "expired": self.expired,
            "unknown": self.unknown,
            "late": self.late,
        }


@dataclass(frozen=True)
class Chain:
    """A validator's ledger as read from its folder.

    Position n of `hashes` is header n's hash, of `ids` the transactions executed in block n.
    """

    name: str
    hashes: Sequence[Digest]
    ids: Sequence[Sequence[Digest]]

    @property
    def height(self) -> int:
        return len(self.hashes) - 1

    @cached_property
    def executed(self) -> Mapping[Digest, int]:
        """The height of every executed transaction. Raises `Violation` if it has two."""
        places: dict[Digest, int] = {}
        for n, ids in enumerate(self.ids):
            for tx_id in ids:
                if tx_id in places:
                    raise Violation(
                        f"{self.name} executed {tx_id.hex()} at {places[tx_id]} and again at {n}"
                    )
                places[tx_id] = n
        return places


def check(
    cluster: Cluster, histories: Iterable[History], *, honest: list[str] | None = None
) -> Report:
    """Check the ledgers of `honest` (all by default) against `histories`. Raises `Violation`."""
    names = honest or cluster.names
    running = [name for name in names if cluster.alive(name)]
    assert not running, f"stop {running} first"
    genesis = cluster.genesis
    chains = [read_chain(name, cluster.home(name), genesis) for name in names]
    check_agreement(chains)
    longest = max(chains, key=lambda chain: chain.height)
    check_replay(longest, cluster.home(longest.name), genesis)
    operations = [operation for history in histories for operation in history]
    liars = len(cluster.names) - len(names)
    check_exactly_once(chains, operations, cluster.quorum - liars)
    check_order(longest, operations)
    unknown = [operation for operation in operations if operation.outcome == "unknown"]
    return Report(
        heights={chain.name: chain.height for chain in chains},
        transactions=len(longest.executed),
        acknowledged=sum(operation.executed for operation in operations),
        failed=sum(operation.outcome == "failed" for operation in operations),
        expired=sum(operation.outcome == "expired" for operation in operations),
        unknown=len(unknown),
        late=sum(operation.id in longest.executed for operation in unknown),
    )


def judge(cluster: Cluster, *histories: History) -> Report:
    """Nobody of an honest cluster may hold evidence against another; stop it and `check` it."""
    evidence = cluster.evidence()
    if evidence:
        raise Violation(f"evidence against the honest: {evidence}")
    cluster.kill_all()
    return check(cluster, histories)


def read_chain(name: str, home: Path, genesis: Genesis) -> Chain:
    """Open a stopped validator's ledger and check it in itself."""
    hashes: list[Digest] = []
    ids: list[list[Digest]] = []
    try:
        with closing(LedgerStore.open(home, genesis)) as store:
            for n in verify_ledger(store):
                hashes.append(store.executed_header(n).hash)
                ids.append([result.receipt.tx_id for result in store.executed_results(n)])
    except QiongError as error:
        raise Violation(f"the ledger of {name} does not hold: {error}") from error
    return Chain(name, hashes, ids)


def check_agreement(chains: Sequence[Chain]) -> None:
    """One header hash at every height that two chains have."""
    longest = max(chains, key=lambda chain: chain.height)
    for chain in chains:
        for n, (mine, other) in enumerate(zip(chain.hashes, longest.hashes, strict=False)):
            if mine != other:
                raise Violation(
                    f"fork at {n}: {chain.name} has {mine.hex()}, {longest.name} {other.hex()}"
                )


def check_replay(chain: Chain, home: Path, genesis: Genesis) -> None:
    """Execute a copy of the block files from genesis, and compare every header."""
    with ExitStack() as stack:
        fresh = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qiong-replay-")))
        shutil.copytree(home / BLOCKS_FOLDER, fresh / BLOCKS_FOLDER)
        sandbox = Sandbox()
        sandbox.start()
        runner = stack.enter_context(closing(WorkerRunner(sandbox)))
        try:
            store = LedgerStore.open(fresh, genesis, open_store=_unsynced)
            stack.callback(store.close)
            for n in roll_forward(store, runner):
                if n > chain.height:
                    break  # decided, and not yet executed when it was stopped
                _compare(chain, n, store.executed_header(n).hash)
        except QiongError as error:
            raise Violation(f"the blocks of {chain.name} do not replay: {error}") from error
        if store.executed_height < chain.height:
            raise Violation(f"the blocks of {chain.name} end at {store.executed_height}")


def _compare(chain: Chain, n: Height, replayed: Digest) -> None:
    if replayed != chain.hashes[n]:
        raise Violation(
            f"replay of block {n} gives {replayed.hex()}, {chain.name} has {chain.hashes[n].hex()}"
        )


def check_exactly_once(
    chains: Sequence[Chain], operations: Sequence[Operation], holders_min: int
) -> None:
    """What clients were told against what is there; ids are unique in each chain already."""
    twice = [tx_id for tx_id, count in Counter(o.id for o in operations).items() if count > 1]
    if twice:
        raise Violation(f"{len(twice)} transactions were acknowledged twice: {twice[0].hex()}")
    for operation in operations:
        holders = 0
        for chain in chains:
            found = chain.executed.get(operation.id)
            if operation.outcome == "expired" and found is not None:
                raise Violation(f"{operation.id.hex()} had expired and stands at {found}")
            if not operation.executed or operation.height is None:
                continue
            if chain.height >= operation.height:
                holders += 1
                if found != operation.height:
                    raise Violation(
                        f"{operation.id.hex()} was acknowledged at {operation.height} by"
                        f" {operation.node}; {chain.name} has it at {found}"
                    )
            elif found is not None:
                raise Violation(f"{chain.name} has {operation.id.hex()} below its receipt's height")
        if operation.executed and holders < holders_min:
            raise Violation(
                f"{operation.id.hex()} was acknowledged at {operation.height}, and only {holders}"
                f" ledgers reach there; {holders_min} must"
            )


def check_order(chain: Chain, operations: Iterable[Operation]) -> None:
    """height(A) <= height(B) wherever A was acknowledged before B was invoked."""
    placed = [(o, chain.executed[o.id]) for o in operations if o.id in chain.executed]
    answered = sorted(
        (o.acknowledged_s, height) for o, height in placed if o.acknowledged_s is not None
    )
    begun = sorted(placed, key=lambda item: item[0].invoked_s)
    highest, position = 0, 0
    for operation, height in begun:
        while position < len(answered) and answered[position][0] < operation.invoked_s:
            highest = max(highest, answered[position][1])
            position += 1
        if height < highest:
            raise Violation(
                f"{operation.id.hex()} stands at {height}, though one at {highest} was"
                " acknowledged before it was invoked"
            )


class _Unsynced(LevelDBStore):
    """A database that is thrown away, so that a replay costs no syncs."""

    def write(self, batch: Batch, *, sync: bool) -> None:
        super().write(batch, sync=False)


_unsynced: Callable[[Path], KeyValueStore] = _Unsynced
