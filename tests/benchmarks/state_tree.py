"""What the state tree costs: µs of CPU per updated key, proofs per second, path size, memory.

    python -m tests.benchmarks.state_tree [ENTRIES]

Prints the time of one 65-byte SHA-256 beside each figure: machines differ and are shared, and
figures in units of it compare. Takes about a minute and 0.5 GB at a million entries.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from hashlib import sha256

from ledger.state_tree import StateTree
from ledger.types import Digest

BATCH = 1_000
ROUNDS = 15


class Records:
    """Ascending records in memory, in place of a database."""

    def __init__(self, keys: list[Digest]) -> None:
        self._buckets: dict[int, bytearray] = {}
        for key in sorted(keys):
            bucket = self._buckets.setdefault(int.from_bytes(key[:2], "big"), bytearray())
            bucket += key + key

    def load_bucket(self, index: int) -> bytes:
        return bytes(self._buckets.get(index, b""))

    def load_all(self) -> Iterable[tuple[int, bytes]]:
        return ((index, bytes(records)) for index, records in self._buckets.items())


def cpu_us(action: Callable[[], object], count: int) -> float:
    """CPU microseconds of `action` for each of `count` items."""
    start = time.process_time()
    action()
    return (time.process_time() - start) / count * 1e6


def hash_us() -> float:
    data = bytes(65)
    return cpu_us(lambda: [sha256(data).digest() for _ in range(2_000)], 2_000)


def report(what: str, microseconds: list[float], unit: list[float]) -> None:
    middle, hashing = statistics.median(microseconds), statistics.median(unit)
    sys.stdout.write(
        f"{what:<28}{min(microseconds):8.1f} µs best {middle:8.1f} median"
        f"{middle / hashing:8.1f} hashes of {hashing:.2f} µs\n"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("entries", type=int, nargs="?", default=1_000_000)
    count = parser.parse_args().entries
    keys = [Digest(os.urandom(32)) for _ in range(count)]
    store = Records(keys)
    trees: list[StateTree] = []
    start_us = cpu_us(lambda: trees.append(StateTree(store, cached_entries_max=2 * count)), count)
    tree = trees[0]
    sys.stdout.write(f"{count} entries; start {start_us * count / 1e6:.1f} s\n")
    overlays, commits, proofs, unit = [], [], [], []
    for _ in range(ROUNDS):
        chosen = random.sample(keys, min(BATCH, count))
        changes = {key: Digest(os.urandom(32)) for key in chosen}
        started = time.process_time()
        overlay = tree.overlay(changes)
        overlays.append((time.process_time() - started) / len(chosen) * 1e6)
        commits.append(cpu_us(lambda made=overlay: tree.commit(made), len(chosen)))
        view = tree.view()
        proofs.append(cpu_us(lambda at=view, of=chosen: [at.prove(key) for key in of], len(chosen)))
        unit.append(hash_us())
    report("overlay, per key", overlays, unit)
    report("commit, per key", commits, unit)
    report("prove", proofs, unit)
    view = tree.view()
    sizes = sorted(
        len(proof.siblings) + len(proof.bitmap)
        for proof in (view.prove(key) for key in random.sample(keys, min(5_000, count)))
    )
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(
        f"path: median {sizes[len(sizes) // 2]} B, largest {sizes[-1]} B; "
        f"peak memory {peak_mb:.0f} MB with this benchmark's own records\n"
    )


if __name__ == "__main__":
    main()
