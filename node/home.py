"""The folder a node lives in, and the card by which others come to know it.

    qiong.toml                       settings
    genesis.qgen                     the genesis document (canonical bytes)
    card.json                        the public half of this node, for `genesis create`
    keys/consensus.key  .pub         votes, encrypted
    keys/tls.key  tls.crt            links to peers, encrypted; the self-signed certificate
    wal/  blocks/  ledger/           votes; decided blocks; what follows from them
    base/                            where older blocks were given up: a snapshot to begin from
    snapshots/                       the newest snapshots, for those who join or lag far behind
    evidence/                        contradictions that others signed, a file each
    logs/                            recorded events
    index/                           the query index, if it is kept here; may be deleted
    LOCK                             held while a node runs

The lock belongs to the open file, so the kernel drops it when the process dies in whatever way.
A card carries a signature by its own consensus key (proof of possession), and its certificate is
signed by its own TLS key, so nobody can found a network with somebody else's keys.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from contracts.worker.checkdigits import uscc_valid
from ledger import canonical
from ledger.errors import InvalidInput
from ledger.fields import NAME_SIZE_MAX
from ledger.genesis import CLASSES, Genesis, GenesisValidator
from ledger.hashing import TAG_CARD
from ledger.keys import SigningKey, check_public_key, verify
from ledger.types import Digest, PublicKey, Signature
from node import keyfile, tls
from node.config import parse_address, render_config
from node.errors import Refused

CARD_BYTES_MAX: Final = 65_536
GENESIS_BYTES_MAX: Final = 256 << 20
"""Largest genesis read: 100,000 entries of the initial state with room to spare."""


class HomeExists(Refused):
    """There is something in the folder already."""

    code = "home_exists"
    hint = "choose an empty folder; keys and ledgers are never overwritten"

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        super().__init__(f"{path} is not empty")


class HomeInUse(Refused):
    """Another node runs on this folder."""

    code = "home_in_use"
    hint = "stop the other node, or give this one a folder of its own"

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        super().__init__(f"a node already runs on {path}")


class GenesisRefused(Refused):
    """The genesis document is missing, malformed or not the one this node was told to expect."""

    code = "genesis_refused"

    def __init__(self, path: Path, reason: str, hint: str) -> None:
        self.path = str(path)
        self.reason = reason
        self.hint = hint
        super().__init__(f"{path}: {reason}")


class BadCard(InvalidInput):
    """A card contradicts itself or is malformed."""

    code = "bad_card"
    hint = "ask its owner for the card.json that `qiong node init` printed"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"card: {reason}")


@dataclass(frozen=True)
class Card:
    """The public half of a validator, fit to be mailed. `address` is its peer listener."""

    organisation: str
    organisation_class: str
    name: str
    consensus_key: PublicKey
    tls_certificate: bytes
    address: str
    proof_of_possession: Signature

    @classmethod
    def signed(cls, entry: GenesisValidator, key: SigningKey) -> Card:
        """The card of `entry`, proven with its consensus key."""
        return cls(
            organisation=entry.organisation,
            organisation_class=entry.organisation_class,
            name=entry.name,
            consensus_key=entry.consensus_key,
            tls_certificate=entry.tls_certificate,
            address=entry.address,
            proof_of_possession=key.sign(_card_bytes(entry)),
        )

    @property
    def entry(self) -> GenesisValidator:
        """The validator as genesis lists it."""
        return GenesisValidator(
            self.organisation,
            self.organisation_class,
            self.name,
            self.consensus_key,
            self.tls_certificate,
            self.address,
        )

    def check(self) -> None:
        """Raise `BadCard` or `BadCertificate` unless the card proves possession of both keys."""
        _check_words(self.organisation, self.organisation_class, self.name, self.address)
        check_public_key(self.consensus_key)
        tls.check_certificate(self.tls_certificate)
        if not verify(self.consensus_key, _card_bytes(self.entry), self.proof_of_possession):
            raise BadCard("the proof of possession does not verify")

    def to_json(self) -> str:
        fields = {
            "organisation": self.organisation,
            "class": self.organisation_class,
            "name": self.name,
            "consensus_key": self.consensus_key.hex(),
            "tls_certificate": self.tls_certificate.hex(),
            "address": self.address,
            "proof_of_possession": self.proof_of_possession.hex(),
        }
        return json.dumps(fields, ensure_ascii=False, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Card:
        """Read and check a card. Raises `BadCard` or `BadCertificate`."""
        if len(text) > CARD_BYTES_MAX:
            raise BadCard(f"larger than {CARD_BYTES_MAX} bytes")
        try:
            fields = json.loads(text)
            card = cls(
                organisation=str(fields["organisation"]),
                organisation_class=str(fields["class"]),
                name=str(fields["name"]),
                consensus_key=check_public_key(bytes.fromhex(fields["consensus_key"])),
                tls_certificate=bytes.fromhex(fields["tls_certificate"]),
                address=str(fields["address"]),
                proof_of_possession=Signature(bytes.fromhex(fields["proof_of_possession"])),
            )
            expected = len(cls.__dataclass_fields__)
            if len(fields) != expected:
                raise BadCard(f"expected {expected} fields, got {len(fields)}")
            card.check()
        except KeyError as error:
            raise BadCard(f"misses {error}") from None
        except (TypeError, ValueError, RecursionError):
            raise BadCard("not the JSON of a card") from None
        return card


@dataclass(frozen=True)
class Home:
    """Paths of a node's folder. Opening nothing, so safe to make for any folder."""

    root: Path

    @property
    def config(self) -> Path:
        return self.root / "qiong.toml"

    @property
    def genesis(self) -> Path:
        return self.root / "genesis.qgen"

    @property
    def card(self) -> Path:
        return self.root / "card.json"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def consensus_key(self) -> Path:
        return self.keys / "consensus.key"

    @property
    def tls_key(self) -> Path:
        return self.keys / "tls.key"

    @property
    def tls_certificate(self) -> Path:
        return self.keys / "tls.crt"

    @property
    def wal(self) -> Path:
        return self.root / "wal"

    @property
    def blocks(self) -> Path:
        return self.root / "blocks"

    @property
    def ledger(self) -> Path:
        return self.root / "ledger"

    @property
    def snapshots(self) -> Path:
        return self.root / "snapshots"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def index(self) -> Path:
        return self.root / "index"

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the folder for this process. Raises `HomeInUse`."""
        descriptor = os.open(self.root / "LOCK", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise HomeInUse(self.root) from None
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            yield
        finally:
            os.close(descriptor)


def init_home(
    root: Path,
    *,
    organisation: str,
    organisation_class: str,
    name: str,
    address: str,
    passphrase: bytes,
    api_listen: str = "127.0.0.1:8080",
    peer_listen: str | None = None,
    key: SigningKey | None = None,
) -> Card:
    """Make the folder of a new node with fresh keys, and return its card (also in `card.json`).

    `address` is where peers reach it; `peer_listen` where it listens, the same unless given. `key`
    is the consensus key, made anew unless given. A pass-phrase file may stand in `keys` already.
    Raises `HomeExists` or `BadCard` with nothing changed, `OSError` for the disk.
    """
    home = Home(root)
    _check_words(organisation, organisation_class, name, address)
    _check_vacant(home)
    for folder in (root, home.keys, home.wal, home.blocks, home.ledger, home.logs):
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = key or SigningKey.generate()
    certificate = tls.create_identity(organisation, home.tls_key, home.tls_certificate, passphrase)
    entry = GenesisValidator(
        organisation, organisation_class, name, key.public, certificate, address
    )
    card = Card.signed(entry, key)
    card.check()
    keyfile.save_key(home.consensus_key, key.seed, passphrase)
    settings = render_config(
        organisation=organisation, api_listen=api_listen, peer_listen=peer_listen or address
    )
    home.config.write_text(settings, encoding="utf-8")
    home.card.write_text(card.to_json(), encoding="utf-8")
    return card


def _check_vacant(home: Home) -> None:
    """Raise `HomeExists` if the folder holds more than a pass phrase for the keys to come."""
    for folder, allowed in ((home.root, home.keys.name), (home.keys, keyfile.PASSPHRASE_NAME)):
        if folder.exists() and any(entry.name != allowed for entry in folder.iterdir()):
            raise HomeExists(folder)


def _check_words(organisation: str, organisation_class: str, name: str, address: str) -> None:
    """Raise `BadCard` for what people type wrong."""
    if not uscc_valid(organisation):
        raise BadCard(f"{organisation} is no unified social credit code (GB 32100)")
    if organisation_class not in CLASSES:
        raise BadCard("class must be " + " or ".join(CLASSES))
    if not 0 < len(name.encode()) <= NAME_SIZE_MAX:
        raise BadCard(f"name must have 1 to {NAME_SIZE_MAX} bytes")
    try:
        parse_address(address)
    except ValueError as error:
        raise BadCard(f"address: {error}") from None


def adopt_genesis(home: Home, data: bytes, expect_hash: Digest) -> Genesis:
    """Put a genesis document into `home` and its hash into `qiong.toml`.

    Raises `GenesisRefused` if the hash is another, or another genesis is there already.
    """
    genesis = _decode_genesis(home.genesis, data)
    check_hash(home.genesis, genesis, expect_hash)
    if home.genesis.exists():
        if home.genesis.read_bytes() == data:
            return genesis
        hint = "a node belongs to one network for good; make another home with `qiong node init`"
        raise GenesisRefused(home.genesis, "another genesis is there already", hint)
    text = home.config.read_text(encoding="utf-8")
    line = f'expect_hash = "{expect_hash.hex()}"'
    text, count = re.subn(r'^expect_hash = "[0-9a-f]*"$', line, text, count=1, flags=re.MULTILINE)
    if not count:
        raise GenesisRefused(home.config, "has no line expect_hash", f"add {line} to it")
    home.config.write_text(text, encoding="utf-8")
    home.genesis.write_bytes(data)
    return genesis


def load_genesis(home: Home, expect_hash: Digest | None) -> Genesis:
    """The genesis of `home`, if its hash is the one this node was told to expect.

    Raises `GenesisRefused`.
    """
    if expect_hash is None:
        hint = "set expect_hash in qiong.toml to the chain id the founders told you"
        raise GenesisRefused(home.config, "no genesis hash to expect", hint)
    try:
        with home.genesis.open("rb") as file:
            data = file.read(GENESIS_BYTES_MAX)
    except FileNotFoundError:
        hint = "put the network's genesis.qgen there: `qiong genesis fetch --expect-hash H`"
        raise GenesisRefused(home.genesis, "is missing", hint) from None
    genesis = _decode_genesis(home.genesis, data)
    check_hash(home.genesis, genesis, expect_hash)
    return genesis


def check_hash(path: Path, genesis: Genesis, expect_hash: Digest) -> None:
    """Raise `GenesisRefused` unless `genesis` has the expected hash."""
    if genesis.chain_id != expect_hash:
        reason = f"expected hash {expect_hash.hex()}, computed {genesis.chain_id.hex()}"
        hint = "take the genesis file anew, and compare the hash with the other founders"
        raise GenesisRefused(path, reason, hint)


def _decode_genesis(path: Path, data: bytes) -> Genesis:
    try:
        return Genesis.decode(data)
    except InvalidInput as error:
        hint = "take the genesis file anew"
        raise GenesisRefused(path, str(error), hint) from None


def _card_bytes(entry: GenesisValidator) -> bytes:
    """What the proof of possession signs: TAG_CARD and the canonical entry."""
    fields: list[canonical.Value] = [
        entry.organisation,
        entry.organisation_class,
        entry.name,
        entry.consensus_key,
        entry.tls_certificate,
        entry.address,
    ]
    return TAG_CARD + canonical.encode(fields)
