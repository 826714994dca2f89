"""Validators, transactions and TLS identities for the engine's tests."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from ledger.genesis import Genesis, GenesisValidator, Parameters
from ledger.keys import SigningKey
from ledger.transaction import Call, SignedTransaction, Transaction, sign_transaction
from ledger.types import Digest, Gas, TimeMs
from node import tls

PASSPHRASE = b"for tests"
CHAIN = Digest(b"\x07" * 32)


@dataclass(frozen=True)
class Founder:
    """A validator's secrets and where its TLS files lie."""

    organisation: str
    key: SigningKey
    tls_key: Path
    tls_certificate: Path
    certificate: bytes

    def contexts(self, pinned: dict[str, bytes]) -> tuple[ssl.SSLContext, ssl.SSLContext]:
        return tls.contexts(self.tls_key, self.tls_certificate, PASSPHRASE, pinned)


def found(folder: Path, name: str) -> Founder:
    key_path, certificate_path = folder / f"{name}.key", folder / f"{name}.pem"
    certificate = tls.create_identity(name, key_path, certificate_path, PASSPHRASE)
    seed = name.encode().ljust(32, b"\x01")
    return Founder(name, SigningKey.from_seed(seed), key_path, certificate_path, certificate)


@pytest.fixture(scope="session")
def founders(tmp_path_factory: pytest.TempPathFactory) -> list[Founder]:
    """Four founders; key files are slow to make, so once a session."""
    folder = tmp_path_factory.mktemp("founders")
    return [found(folder, f"org-{index}") for index in range(4)]


@pytest.fixture(scope="session")
def stranger(tmp_path_factory: pytest.TempPathFactory) -> Founder:
    return found(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture
def pinned(founders: list[Founder]) -> dict[str, bytes]:
    return {founder.organisation: founder.certificate for founder in founders}


MakeTransaction = Callable[..., SignedTransaction]


@pytest.fixture(scope="session")
def make_transaction() -> MakeTransaction:
    """Signed transactions that differ in their nonce."""
    key = SigningKey.from_seed(b"\x05" * 32)
    count = 0

    def make(
        *,
        chain_id: Digest = CHAIN,
        gas: int = 1_000,
        valid_until_ms: int = 10_000_000,
        size: int = 0,
        signer: SigningKey = key,
        contract: str = "notes",
        method: str = "put",
        args: list[object] | None = None,
    ) -> SignedTransaction:
        nonlocal count
        count += 1
        transaction = Transaction(
            chain_id=chain_id,
            nonce=count.to_bytes(16, "big"),
            valid_until_ms=TimeMs(valid_until_ms),
            gas_limit=Gas(gas),
            calls=(Call(contract, method, ["x" * size] if args is None else args),),  # type: ignore[arg-type]
            atomic=True,
            signers=(signer.public,),
        )
        return sign_transaction(transaction, [signer])

    return make


@pytest.fixture
def genesis_of(founders: list[Founder]) -> Callable[..., Genesis]:
    """A genesis of the four founders; addresses are overridden by the tests."""

    def build(
        created_ms: int,
        state: list[tuple[str, str, object]] | None = None,
        parameters: Parameters | None = None,
    ) -> Genesis:
        return Genesis.build(
            name="test",
            created_ms=created_ms,
            validators=[
                GenesisValidator(
                    organisation=founder.organisation,
                    organisation_class="government",
                    name=f"name-{founder.organisation}",
                    consensus_key=founder.key.public,
                    tls_certificate=founder.certificate,
                    address="127.0.0.1:1",
                )
                for founder in founders
            ],
            attestations=[],
            state=state or [],  # type: ignore[arg-type]
            parameters=parameters,
        )

    return build
