"""Golden bytes of a quarantine, and of what each validator signs towards it."""

from __future__ import annotations

from typing import Any

from ledger.hashing import sha256
from ledger.keys import SigningKey
from ledger.quarantine import Quarantine, Removal, Vote
from ledger.types import Epoch, Height
from ledger.validators import Validator, ValidatorSet
from tests.vectors import golden

KEYS = [SigningKey.from_seed(bytes([i + 1]) * 32) for i in range(4)]
NAMES = [f"91460000MA5T00000{i}" for i in range(4)]


def test_quarantine_formats() -> None:
    chain_id = sha256(b"chain")
    validators = ValidatorSet.of(map(Validator, NAMES, [key.public for key in KEYS]))
    removal = Removal(Epoch(0), Height(7), sha256(b"d"), sha256(b"transaction"))
    message = removal.signed_bytes(chain_id)
    votes = [Vote(removal, NAMES[i], KEYS[i].sign(message)) for i in (3, 0, 2)]
    record = Quarantine.of(votes, chain_id, validators)
    produced: dict[str, Any] = {
        "chain_id": chain_id.hex(),
        "signed_bytes": message.hex(),
        "quarantine": record.encode().hex(),
    }
    golden.check("quarantine", produced)
