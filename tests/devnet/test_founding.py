"""A devnet's folder, fresh from `found`: everything a validator and its clients need is in it."""

import socket
import stat
from pathlib import Path

import pytest

from devnet import founding, manifest, process, sample
from devnet.manifest import Manifest
from ledger.trust import TrustAnchor
from node import home, keyfile
from node.home import Card, Home


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    folder = tmp_path_factory.mktemp("founded")
    (folder / manifest.NODES / "half-made").mkdir(parents=True)
    return founding.found(folder, None, None, lambda _: None)


def test_ports_follow_each_other_from_the_base(network: Manifest) -> None:
    numbers = [port for entry in network.validators for port in founding.ports(entry)]
    assert numbers == list(range(numbers[0], numbers[0] + 8))


def test_every_home_holds_the_same_genesis_and_its_own_card(network: Manifest) -> None:
    chain_id = bytes.fromhex(network.chain_id)
    for entry in network.validators:
        place = Home(entry.home)
        genesis = home.load_genesis(place, chain_id)  # type: ignore[arg-type]
        card = Card.from_json(place.card.read_text("utf-8"))
        assert card.entry in genesis.validators
        assert card.address == f"127.0.0.1:{founding.ports(entry)[1]}"
        passphrase = keyfile.read_passphrase(place.keys, environment={})
        key = keyfile.load_key(place.consensus_key, passphrase)
        assert key.public == card.consensus_key
        assert entry.log.parent.is_dir()


def test_the_trust_file_anchors_header_0(network: Manifest) -> None:
    anchor = TrustAnchor.parse(network.trust.read_bytes())
    assert anchor.chain_id.hex() == network.chain_id
    assert anchor.height == 0
    assert anchor.attestations == ("credit", "licence")
    organisations = {entry.organisation for entry in network.validators}
    assert set(anchor.validators.organisations) == organisations


def test_every_department_and_seat_has_a_key_nobody_else_can_read(network: Manifest) -> None:
    names = {entry.name for entry in keyfile.list_keys(network.keys)}
    departments = {entry.id for entry in sample.departments()}
    assert names == departments | {entry.name for entry in network.validators} | {"governor"}
    secrets = [*network.keys.glob("*.key"), network.keys / keyfile.PASSPHRASE_NAME]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secrets} == {0o600}


def test_what_was_half_made_is_gone(network: Manifest) -> None:
    homes = {path.name for path in (network.folder / manifest.NODES).iterdir()}
    assert homes == {entry.name for entry in network.validators}


def test_a_taken_port_stops_it_before_anything_is_made(tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        with pytest.raises(process.PortTaken):
            founding.found(tmp_path, 4, port - 3, lambda _: None)
    assert list(tmp_path.iterdir()) == []
