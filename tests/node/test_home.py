"""A node's folder: made once, locked while used, and joined to one genesis."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.errors import InvalidInput
from ledger.genesis import Genesis
from ledger.keys import SigningKey
from ledger.types import Digest
from node import keyfile
from node.config import load_config
from node.errors import Refused
from node.home import (
    BadCard,
    Card,
    GenesisRefused,
    Home,
    HomeExists,
    HomeInUse,
    adopt_genesis,
    init_home,
    load_genesis,
)


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfile, "SCRYPT_N", 2)
    monkeypatch.setattr(keyfile, "SCRYPT_P", 1)


def uscc(number: int) -> str:
    """A made-up code with a right check digit (GB 32100-2015 §5.3)."""
    from contracts.worker.checkdigits import uscc_valid

    stem = f"11460000MB{number:07d}"
    return next(
        stem + symbol for symbol in "0123456789ABCDEFGHJKLMNPQRTUWXY" if uscc_valid(stem + symbol)
    )


def make(folder: Path, number: int = 1) -> Card:
    return init_home(
        folder,
        organisation=uscc(number),
        organisation_class="government",
        name=f"validator-{number}",
        address=f"127.0.0.1:{9000 + number}",
        passphrase=b"open sesame",
    )


def genesis_of(cards: list[Card]) -> Genesis:
    return Genesis.build(
        name="test",
        created_ms=1_700_000_000_000,
        validators=[card.entry for card in cards],
        attestations=[],
        state=[],
    )


def snapshot(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_a_new_home_opens_with_its_own_settings(tmp_path: Path) -> None:
    card = make(tmp_path / "node")
    home = Home(tmp_path / "node")
    config = load_config(home.config, environment={})
    assert config.organisation == card.organisation == uscc(1)
    assert config.peer_listen == ("127.0.0.1", 9001)
    assert config.expect_hash is None
    key = keyfile.load_key(home.consensus_key, b"open sesame")
    assert key.public == card.consensus_key
    assert home.root.stat().st_mode & 0o077 == 0
    assert Card.from_json(home.card.read_text()) == card


def test_init_over_existing_data_changes_nothing(tmp_path: Path) -> None:
    make(tmp_path)
    before = snapshot(tmp_path)
    with pytest.raises(HomeExists):
        make(tmp_path, 2)
    assert snapshot(tmp_path) == before


def test_init_beside_keys_that_are_there_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    keyfile.save_key(tmp_path / "keys" / "consensus.key", bytes(32), b"x")
    before = snapshot(tmp_path)
    with pytest.raises(HomeExists):
        make(tmp_path)
    assert snapshot(tmp_path) == before


def test_a_pass_phrase_may_wait_for_the_keys(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    keyfile.write_passphrase(tmp_path / "keys")
    make(tmp_path)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("organisation", "114600000000000000"),
        ("organisation_class", "club"),
        ("address", "nowhere"),
        ("name", ""),
    ],
)
def test_bad_words_leave_no_folder(tmp_path: Path, field: str, value: str) -> None:
    words = {
        "organisation": uscc(1),
        "organisation_class": "enterprise",
        "name": "one",
        "address": "127.0.0.1:9001",
    }
    with pytest.raises(BadCard):
        init_home(tmp_path / "node", **{**words, field: value}, passphrase=b"x")
    assert not (tmp_path / "node").exists()


def test_a_card_altered_anywhere_is_refused(tmp_path: Path) -> None:
    card = make(tmp_path / "one")
    other = make(tmp_path / "two", 2)
    card.check()
    for altered in (
        replace(card, organisation=uscc(3)),
        replace(card, organisation_class="enterprise"),
        replace(card, name="another"),
        replace(card, address="127.0.0.1:1"),
        replace(card, consensus_key=other.consensus_key),
        replace(card, tls_certificate=other.tls_certificate),
        replace(card, proof_of_possession=other.proof_of_possession),
    ):
        with pytest.raises(BadCard):
            altered.check()


@pytest.mark.parametrize("text", ["", "[]", "null", "{}", '{"organisation": 1}', "[" * 50_000])
def test_what_is_no_card_is_refused(text: str) -> None:
    with pytest.raises(BadCard):
        Card.from_json(text)


def test_a_card_with_bad_hex_or_fields_too_many_is_refused(tmp_path: Path) -> None:
    fields = json.loads(make(tmp_path).to_json())
    for altered in ({**fields, "more": 1}, {**fields, "consensus_key": "zz"}):
        with pytest.raises((BadCard, InvalidInput)):
            Card.from_json(json.dumps(altered))


def test_a_second_node_on_one_folder_is_refused(tmp_path: Path) -> None:
    home = Home(tmp_path)
    with home.lock(), pytest.raises(HomeInUse), home.lock():
        pass
    with home.lock():  # and once the first is gone, it is free again
        pass


def test_a_node_joins_only_the_genesis_it_was_told_to_expect(tmp_path: Path) -> None:
    cards = [make(tmp_path / str(number), number) for number in range(1, 5)]
    genesis, home = genesis_of(cards), Home(tmp_path / "1")
    with pytest.raises(GenesisRefused):
        load_genesis(home, None)
    with pytest.raises(GenesisRefused):
        load_genesis(home, genesis.chain_id)  # not there yet
    with pytest.raises(GenesisRefused):
        adopt_genesis(home, genesis.encode(), Digest(bytes(32)))
    assert not home.genesis.exists()

    adopt_genesis(home, genesis.encode(), genesis.chain_id)
    config = load_config(home.config, environment={})
    assert config.expect_hash == genesis.chain_id
    assert load_genesis(home, config.expect_hash) == genesis
    with pytest.raises(GenesisRefused):
        load_genesis(home, Digest(bytes(32)))

    other = replace(genesis, name="another")
    with pytest.raises(GenesisRefused):
        adopt_genesis(home, other.encode(), other.chain_id)
    assert load_genesis(home, genesis.chain_id) == genesis


def test_a_damaged_genesis_is_refused(tmp_path: Path) -> None:
    cards = [make(tmp_path / str(number), number) for number in range(1, 5)]
    genesis, home = genesis_of(cards), Home(tmp_path / "1")
    adopt_genesis(home, genesis.encode(), genesis.chain_id)
    home.genesis.write_bytes(genesis.encode()[:-1])
    with pytest.raises(Refused) as refused:
        load_genesis(home, genesis.chain_id)
    assert refused.value.hint


def test_a_given_key_is_the_nodes_key(tmp_path: Path) -> None:
    key = SigningKey.from_seed(bytes(32))
    card = init_home(
        tmp_path,
        organisation=uscc(1),
        organisation_class="government",
        name="one",
        address="127.0.0.1:9001",
        passphrase=b"x",
        key=key,
    )
    assert card.consensus_key == key.public
