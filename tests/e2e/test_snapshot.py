"""A snapshot of a running validator begins a ledger elsewhere, at the same header."""

import shutil
from contextlib import closing
from pathlib import Path
from typing import Any

from devnet import network
from ledger.store import LedgerStore
from ledger.types import Height
from node.home import Home, load_genesis


def test_a_snapshot_of_a_running_validator_is_restored_elsewhere(
    devnet: Any, tmp_path: Path
) -> None:
    height = devnet.agreed(1).height
    donor, other = devnet.manifest.validators[:2]
    taken = tmp_path / "taken"
    made = devnet.run("snapshot", "create", "--home", str(donor.home), "-o", str(taken))
    assert made["height"] >= height
    # A home like the other's, with nothing in it yet.
    place = Home(tmp_path / "home")
    place.root.mkdir()
    for path in (Home(other.home).config, Home(other.home).genesis):
        shutil.copy(path, place.root)
    told = devnet.run("snapshot", "restore", "--home", str(place.root), "--node", donor.api)
    _, block = network.get(other, f"/v1/blocks/{made['height']}")
    assert told["header_hash"] == made["header_hash"] == block["hash"]
    genesis = load_genesis(place, bytes.fromhex(devnet.manifest.chain_id))
    with closing(LedgerStore.open(place.root, genesis)) as store:
        assert store.certified_height == store.first_height == made["height"]
        assert store.head.hash.hex() == made["header_hash"]
        assert store.state.recomputed_root().hex() == made["state_root"]
        assert store.own_certificate(Height(made["height"])) is not None
