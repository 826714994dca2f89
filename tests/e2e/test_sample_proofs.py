"""Proofs fetched from a running network, judged with nothing but their bytes and the trust file."""

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from devnet import network, sample
from ledger import proofs
from ledger.trust import TrustAnchor

LICENCES = sample.licences()[1900:2000]
"""A hundred licences. `test_sample_data`, whose name sorts before, has sent them in a whole run."""


def _proof(devnet: Any, licence_id: str) -> bytes:
    path = f"/v1/proofs/state/licence/{quote(f'licence/{licence_id}', safe='')}"
    code, answer = network.get(devnet.manifest.validators[2], path)
    assert code == 200, answer
    return bytes.fromhex(answer["proof"])


def _issue(devnet: Any, folder: Path) -> None:
    path = folder / "rows.ndjson"
    wanted = {licence.id for licence in LICENCES}
    rows = [row for row in sample.licence_calls() if row["args"][0] in wanted]
    sample.write_rows(rows, path)
    code, answer = network.get(
        devnet.manifest.validators[0],
        f"/v1/state/licence/{quote(f'licence/{LICENCES[-1].id}', safe='')}",
    )
    assert code == 200
    if not answer["present"]:
        assert devnet.run("tx", "send", str(path))["committed"] == len(rows)


def test_a_hundred_licences_are_in_force_or_over_as_their_dates_say(
    devnet: Any, tmp_path: Path
) -> None:
    _issue(devnet, tmp_path)
    files = {licence.id: _proof(devnet, licence.id) for licence in LICENCES}
    trust = TrustAnchor.parse(devnet.manifest.trust.read_bytes())
    for licence in LICENCES:
        verdict = proofs.verify(files[licence.id], trust, licence=licence.id)
        assert verdict.time_ms is not None, verdict.reason
        time = datetime.fromtimestamp(verdict.time_ms / 1000, UTC) + timedelta(hours=8)
        over = licence.expires < time.date().isoformat()
        assert verdict.verdict == ("expired" if over else "valid")
        assert len(files[licence.id]) < 1800


def test_no_flipped_byte_of_a_proof_is_ever_valid(devnet: Any, tmp_path: Path) -> None:
    _issue(devnet, tmp_path)
    trust = TrustAnchor.parse(devnet.manifest.trust.read_bytes())
    proof = _proof(devnet, LICENCES[0].id)
    choice = random.Random(20261123)
    for _ in range(1000):
        place = choice.randrange(len(proof))
        altered = bytearray(proof)
        altered[place] ^= 1 << choice.randrange(8)
        verdict = proofs.verify(bytes(altered), trust, licence=LICENCES[0].id)
        assert verdict.verdict in ("invalid", "untrusted"), place
