"""Sabotage of quarantines: who takes a transaction out, what a signature binds, what peers tell."""

from __future__ import annotations

from tests.mutants.mutant import Mutant, change, unit

RECORD = "ledger/quarantine.py"
STORE = "ledger/store.py"
CATCH_UP = "node/catch_up.py"
EXECUTION = "node/block_execution.py"
OPERATOR = "node/quarantine.py"

IN_RECORDS = unit("ledger/test_quarantine.py")
IN_CATCH_UP = unit("node/engine/test_catch_up.py")
IN_EXECUTION = unit("node/engine/test_block_execution.py")
IN_OPERATOR = unit("node/test_quarantine.py")

QUARANTINE: list[Mutant] = [
    change(
        "fewer than a quorum take a transaction out",
        RECORD,
        "        if len(found) < validators.quorum:\n",
        "        if len(found) < validators.quorum - 1:\n",
        IN_RECORDS,
    ),
    change(
        "a record with fewer signatures than a quorum is one",
        RECORD,
        "        if len(self.signatures) != validators.quorum:\n",
        "        if len(self.signatures) > validators.quorum:\n",
        IN_RECORDS,
    ),
    change(
        "a quarantine may name a signer twice",
        RECORD,
        "        if any(not before < after for before, after in pairwise(signers)):\n",
        "        if any(not before <= after for before, after in pairwise(signers)):\n",
        IN_RECORDS,
    ),
    change(
        "a quarantine holds for every block",
        RECORD,
        "[chain_id, self.epoch, self.n, self.d, self.tx_id]",
        "[chain_id, self.epoch, self.tx_id]",
        IN_RECORDS,
    ),
    change(
        "a promise binds nobody",
        STORE,
        "        if awaited and certified is None",
        "        if False and certified is None",
        IN_RECORDS,
    ),
    change(
        "a promise binds against a Certificate",
        STORE,
        "        if awaited and certified is None",
        "        if awaited and (certified is None or True)",
        IN_RECORDS,
    ),
    change(
        "a peer's quarantine of another block is taken",
        CATCH_UP,
        "    if (removal.epoch, removal.n, removal.d) != (header.epoch, header.n, header.d):\n",
        "    if False:\n",
        IN_CATCH_UP,
    ),
    change(
        "a peer's quarantine is not verified",
        CATCH_UP,
        "    record.verify(header.chain_id, validators)\n",
        "",
        IN_CATCH_UP,
    ),
    change(
        "one peer that keeps a quarantine back makes a validator halt",
        EXECUTION,
        "        return inquiry.asked > ROUNDS * len(self._peers)\n",
        "        return inquiry.asked > 1\n",
        IN_EXECUTION,
    ),
    change(
        "a quarantine that comes while the block is tried is overlooked",
        EXECUTION,
        "            self._stop(n, error, known)\n",
        "            self._stop(n, error, (known[0], self._quarantines))\n",
        IN_EXECUTION,
    ),
    change(
        "a block that was executed is signed away",
        OPERATOR,
        "    if n <= store.executed_height:\n        raise QuarantineRefused(\n"
        '            f"this node has executed block {n} and',
        "    if n < store.executed_height:\n        raise QuarantineRefused(\n"
        '            f"this node has executed block {n} and',
        IN_OPERATOR,
    ),
]
