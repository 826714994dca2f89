"""What the state costs as it grows: a real ledger on disk, filled, updated, proven and reopened.

A ledger of `keys` licences is built through the store's own `execute` and `commit`, with an
executor in place of contracts that writes what it is told. Then, at that size, with the memory that
a validator gives it unless told otherwise:

    cold      processor time a changed key, for the hashes of names and values and the new tree, in
              the first batches after opening: most of what they touch is read from disk
    tree      the same after WARM_BATCHES batches, or so many that no key is left
    block     the same for all of a block's way to disk: tree, rows, one synced LevelDB batch
    path      bytes of a state path
    proof     bytes of a whole proof file, header and certificate included
    proofs/s  proof files of random keys that one processor makes in a second, at the newest height
    start     seconds to open the ledger, in a process of its own
    memory    resident megabytes: after opening, and at the end of all this
    disk      bytes of the database a key

Batches are BATCH keys at random places. To fill a ledger of any size in time that grows with it
alone, filling goes through the tree from left to right, part by part; the updates that are measured
do not.

Left out: contracts, signatures, consensus (`qiong bench --contracts`); what blocks take in the
block files. Times are the process's, LevelDB's compaction in its own thread included.
"""

from __future__ import annotations

import multiprocessing
import random
import resource
import statistics
import tempfile
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ledger import canonical
from ledger.block import Body, DecidedBlock
from ledger.certificate import Certificate, checkpoint_bytes
from ledger.execution import BlockContext, StateKey, StateView, Writes
from ledger.genesis import Genesis, GenesisValidator, Parameters
from ledger.keys import SigningKey
from ledger.receipt import CallOutcome, TransactionOutcome
from ledger.state_proof import state_key_hash
from ledger.state_tree import CACHED_ENTRY_BYTES
from ledger.store import STORE_FOLDER, LedgerStore
from ledger.transaction import Call, Transaction, sign_transaction
from ledger.types import Gas, Height, TimeMs, View
from node.config import usual_tree_bytes

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

SIZES: Final = (10_000, 1_000_000, 10_000_000)

BATCH: Final = 1_000
"""Keys that a measured block changes."""

COLD_BATCHES: Final = 5
WARM_BATCHES: Final = 250
"""Enough to have touched all but one in fifty of the tree's 65,536 crowns."""

BATCHES: Final = 30
PROOFS: Final = 5_000

PARTS: Final = 256
"""Filling takes the keys by the first byte of their place in the tree."""

FILLED_MAX: Final = 20_000
"""Keys of a block while filling: its rows, some 10 MB, stand in memory at once."""

CONTRACT: Final = "licence"
START_MS: Final = 1_767_225_600_000
"""2026-01-01 UTC."""

_KEYS: Final = {f"validator-{i}": SigningKey.from_seed(bytes([i + 1]) * 32) for i in range(4)}
_CLIENT: Final = SigningKey.from_seed(b"c" * 32)


class BenchFailed(Exception):
    """The process that measured ended without an answer: its own output says why."""


@dataclass(frozen=True, slots=True)
class StateCost:
    """One size; units as the module says. Those a key are medians over the batches."""

    keys: int
    cold_us: float
    tree_us: float
    block_us: float
    path_bytes: float
    path_bytes_max: int
    proof_bytes_max: int
    proofs_per_second: float
    start_seconds: float
    opened_mb: float
    used_mb: float
    disk_bytes: float


def measure(
    keys: int, folder: Path | None = None, advance: Callable[[int], None] = lambda keys: None
) -> StateCost:
    """The costs at `keys` keys; `advance(n)` is told of `n` more keys in place.

    The ledger is made below `folder`, or where temporary files are, and removed. Raises
    `BenchFailed`.
    """
    with tempfile.TemporaryDirectory(prefix="qiong-bench-", dir=folder) as home:
        for part in _in_process(_fill, Path(home), keys):
            advance(part)
        (cost,) = _in_process(_measure, Path(home), keys)
        assert isinstance(cost, StateCost)
        return cost


def _in_process(target: Callable[..., None], *arguments: object) -> Iterator[Any]:
    """What `target` sends from a fresh process: memory and caches as they are after a start."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=target, args=(theirs, *arguments))
    process.start()
    theirs.close()
    try:
        while True:
            yield ours.recv()
    except EOFError:
        process.join()
    finally:
        if process.is_alive():
            process.kill()
    if process.exitcode:
        raise BenchFailed(f"{target.__name__} ended with {process.exitcode}")


def _fill(answers: Connection, home: Path, keys: int) -> None:
    parts = [array("I") for _ in range(PARTS)]
    for number in range(keys):
        parts[state_key_hash(*_name(number))[0]].append(number)
    with closing(_open(home)) as store:
        numbers = chain.from_iterable(parts)
        while block := list(islice(numbers, FILLED_MAX)):
            _commit(store, {_name(number): _value(number, 0) for number in block})
            answers.send(len(block))
        store.sync_blocks()


def _measure(answers: Connection, home: Path, keys: int) -> None:
    began = time.perf_counter()
    with closing(_open(home)) as store:
        start_seconds, opened_mb = time.perf_counter() - began, _resident_mb()
        rng = random.Random(keys)

        def batch(version: int) -> Writes:
            numbers = rng.sample(range(keys), min(BATCH, keys))
            return {_name(number): _value(number, version) for number in numbers}

        warm = min(WARM_BATCHES, COLD_BATCHES + 4 * keys // BATCH)
        warming = [_us_a_key(store.change_state, batch(1)) for _ in range(warm)]
        tree, block = [], []
        for version in range(1, 1 + BATCHES):
            writes = batch(version)
            tree.append(_us_a_key(store.change_state, writes))
            block.append(_us_a_key(lambda writes: _commit(store, writes), writes))
        names = [_name(rng.randrange(keys)) for _ in range(PROOFS)]
        began = time.process_time()
        sizes = [len(store.prove_state(*name)) for name in names]
        seconds = time.process_time() - began
        paths = [store.state.prove_at(*name, store.certified_height) for name in names]
        path_sizes = [len(canonical.encode(path.to_value())) for path in paths]
        used_mb = _resident_mb()
    disk = sum(file.stat().st_size for file in (home / STORE_FOLDER).iterdir())
    cost = StateCost(
        keys=keys,
        cold_us=statistics.median(warming[:COLD_BATCHES]),
        tree_us=statistics.median(tree),
        block_us=statistics.median(block),
        path_bytes=statistics.mean(path_sizes),
        path_bytes_max=max(path_sizes),
        proof_bytes_max=max(sizes),
        proofs_per_second=PROOFS / seconds,
        start_seconds=start_seconds,
        opened_mb=opened_mb,
        used_mb=used_mb,
        disk_bytes=disk / keys,
    )
    answers.send(cost)


def _us_a_key(action: Callable[[Writes], object], writes: Writes) -> float:
    """Microseconds of this process's time that `action` takes, for each of `writes`."""
    began = time.process_time()
    action(writes)
    return (time.process_time() - began) / len(writes) * 1e6


def _open(home: Path) -> LedgerStore:
    validators = [
        GenesisValidator(name, "government", name, key.public, b"certificate", "127.0.0.1:1")
        for name, key in _KEYS.items()
    ]
    genesis = Genesis.build(
        name="bench",
        created_ms=START_MS,
        validators=validators,
        attestations=[CONTRACT],
        state=[],
        parameters=Parameters(),
    )
    entries_max = usual_tree_bytes() // CACHED_ENTRY_BYTES
    return LedgerStore.open(home, genesis, tree_entries_max=entries_max)


def _name(number: int) -> StateKey:
    """A licence's name, as long as a real one."""
    return CONTRACT, f"licence/1.2.156.3005.2.11460000P3MR19AE60041.11460000P3MR19AE60.{number:011}"


def _value(number: int, version: int) -> bytes:
    """A licence, as long as a real one, of which each version differs."""
    return canonical.pack(
        {
            "expires": f"{2030 + version}-12-31",
            "holder": f"91460000MA{number % 100_000_000:08}",
            "issued": "2026-01-01",
            "issuer": "11460000MB0000001X",
            "status": "active",
            "type": "food-trade",
        }
    )


@dataclass(frozen=True, slots=True)
class _Writer:
    """Executes any one transaction by writing `writes`."""

    writes: Writes

    def run(
        self, context: BlockContext, transactions: Sequence[Transaction], state: StateView
    ) -> list[TransactionOutcome]:
        done = CallOutcome("ok", "", Gas(1))
        return [TransactionOutcome("ok", "", Gas(1), (done,), (), self.writes)]


def _commit(store: LedgerStore, writes: Writes) -> None:
    """Decide, execute, commit and certify a block that leads to `writes`."""
    n = Height(store.executed_height + 1)
    time_ms = TimeMs(START_MS + 1_000 * n)
    transaction = Transaction(
        chain_id=store.genesis.chain_id,
        nonce=n.to_bytes(16, "big"),
        valid_until_ms=TimeMs(time_ms + 60_000),
        gas_limit=Gas(10_000),
        calls=(Call(CONTRACT, "issue", []),),
        atomic=False,
        signers=(_CLIENT.public,),
    )
    signed = sign_transaction(transaction, [_CLIENT])
    body = Body(n, View(0), next(iter(_KEYS)), time_ms, (signed.digest,))
    block = DecidedBlock(n, body.digest, body, (signed,))
    store.append_decided(block)
    executed = store.execute(block, _Writer(writes))
    store.commit(executed)
    header = executed.header
    message = checkpoint_bytes(header.chain_id, header.epoch, n, header.hash)
    names = sorted(_KEYS)[: store.genesis.validator_set.quorum]
    signatures = tuple((name, _KEYS[name].sign(message)) for name in names)
    store.save_certificate(Certificate(header.epoch, n, header.hash, signatures))


def _resident_mb() -> float:
    """Resident memory of this process in megabytes (proc(5), statm)."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6
