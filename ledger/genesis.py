"""Genesis: the one document every founder agrees on. Its hash is the chain's name.

It fixes the protocol's parameters, the founding validators with their addresses and TLS
certificates, the initial state (library contracts and registry among it) and which contracts hold
attestations. Whoever knows `chain_id` can check a genesis file from anywhere; a node starts only
when the hash it was told to expect matches.

Header 0 is computed from genesis by execution and needs no certificate.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass
from functools import cached_property
from itertools import pairwise
from typing import Final

from ledger import canonical, fields
from ledger.errors import FieldError
from ledger.hashing import HASH_SUITE_SHA256, TAG_GENESIS, TAG_PARAMETERS, tagged_hash
from ledger.types import Digest, PublicKey, TimeMs
from ledger.validators import VALIDATORS_MAX, Validator, ValidatorSet

GENESIS_VERSION: Final = 1
STATE_ENTRIES_MAX: Final = 100_000
"""Entries of the initial state: a province's organisations and keys with room to spare."""

CLASSES: Final = ("government", "enterprise")


@dataclass(frozen=True, slots=True)
class Parameters:
    """Protocol parameters; times in milliseconds, sizes in bytes. All are part of `chain_id`.

    `window` is W, how many heights may be in flight; `rotation_blocks` is R, how many blocks a
    primary may lead; `transaction_lifetime_ms` bounds how long an id stays in the dedup set;
    `body_*_max` bound one block.
    """

    window: int = 4
    rotation_blocks: int = 256
    transaction_lifetime_ms: int = 600_000
    body_gas_max: int = 3_000_000
    body_bytes_max: int = 4 << 20
    body_transactions_max: int = 1_000
    idle_block_ms: int = 10_000

    @property
    def hash(self) -> Digest:
        """SHA-256(TAG_PARAMETERS || canonical list), as headers carry it."""
        return tagged_hash(TAG_PARAMETERS, canonical.encode(list(astuple(self))))

    @classmethod
    def from_value(cls, value: object) -> Parameters:
        """From the canonical list. Raises `FieldError`."""
        names = tuple(cls.__dataclass_fields__)
        row = fields.array(value, "parameters", len(names))
        numbers = {
            name: fields.natural(item, f"parameters.{name}")
            for name, item in zip(names, row, strict=True)
        }
        for name, number in numbers.items():
            if number < 1:
                raise FieldError(f"parameters.{name}", "at least 1", number)
        return cls(**numbers)


@dataclass(frozen=True, slots=True)
class GenesisValidator:
    """A founding validator: its vote, its name for people, and how peers reach and know it.

    `tls_certificate` is self-signed X.509 in DER; `address` is ``host:port`` of its peer listener.
    """

    organisation: str
    organisation_class: str
    name: str
    consensus_key: PublicKey
    tls_certificate: bytes
    address: str


@dataclass(frozen=True)
class Genesis:
    """The genesis document. `state` holds (contract, key, value) in strictly ascending order."""

    name: str
    created_ms: TimeMs
    parameters: Parameters
    validators: tuple[GenesisValidator, ...]
    attestations: tuple[str, ...]
    state: tuple[tuple[str, str, canonical.Value], ...]

    @classmethod
    def build(
        cls,
        *,
        name: str,
        created_ms: int,
        validators: list[GenesisValidator],
        attestations: list[str],
        state: list[tuple[str, str, canonical.Value]],
        parameters: Parameters | None = None,
    ) -> Genesis:
        """Sort every list into its one order and check the whole as a reader would."""
        draft = cls(
            name=name,
            created_ms=TimeMs(created_ms),
            parameters=parameters or Parameters(),
            validators=tuple(sorted(validators, key=lambda entry: entry.organisation)),
            attestations=tuple(sorted(attestations)),
            state=tuple(sorted(state, key=lambda entry: entry[:2])),
        )
        return cls.decode(draft.encode())

    @cached_property
    def chain_id(self) -> Digest:
        """SHA-256(TAG_GENESIS || canonical genesis)."""
        return tagged_hash(TAG_GENESIS, self.encode())

    @cached_property
    def validator_set(self) -> ValidatorSet:
        """The set that votes from block 1 on."""
        return ValidatorSet.of(
            Validator(entry.organisation, entry.consensus_key) for entry in self.validators
        )

    def encode(self) -> bytes:
        """Canonical `[version, hash_suite, name, created_ms, parameters, validators,
        attestations, state]`."""
        return canonical.encode(
            [
                GENESIS_VERSION,
                HASH_SUITE_SHA256,
                self.name,
                self.created_ms,
                list(astuple(self.parameters)),
                [list(astuple(entry)) for entry in self.validators],
                list(self.attestations),
                [list(entry) for entry in self.state],
            ]
        )

    @classmethod
    def decode(cls, data: bytes) -> Genesis:
        """Decode strictly. Raises `DecodingError`, `FieldError` or `BadKey`."""
        row = fields.array(canonical.decode(data), "genesis", 8)
        if row[0] != GENESIS_VERSION:
            raise FieldError("genesis.version", str(GENESIS_VERSION), row[0])
        if row[1] != HASH_SUITE_SHA256:
            raise FieldError("genesis.hash_suite", f"{HASH_SUITE_SHA256} (SHA-256)", row[1])
        attestations = [
            fields.text(item, "attestations") for item in fields.bounded(row[6], "attestations", 64)
        ]
        fields.ascending(attestations, "attestations")
        genesis = cls(
            name=fields.text(row[2], "genesis.name"),
            created_ms=TimeMs(fields.natural(row[3], "genesis.created_ms")),
            parameters=Parameters.from_value(row[4]),
            validators=tuple(
                _validator(item, f"validators[{i}]")
                for i, item in enumerate(fields.bounded(row[5], "validators", VALIDATORS_MAX))
            ),
            attestations=tuple(attestations),
            state=_state(row[7]),
        )
        fields.ascending([entry.organisation for entry in genesis.validators], "validators")
        names = [entry.name for entry in genesis.validators]
        if len(set(names)) != len(names):
            raise FieldError("validators.name", "names without duplicates", names)
        _ = genesis.validator_set
        return genesis


def _validator(value: object, field: str) -> GenesisValidator:
    row = fields.array(value, field, 6)
    organisation_class = fields.text(row[1], f"{field}.class")
    if organisation_class not in CLASSES:
        raise FieldError(f"{field}.class", " or ".join(CLASSES), organisation_class)
    return GenesisValidator(
        organisation=fields.text(row[0], f"{field}.organisation"),
        organisation_class=organisation_class,
        name=fields.text(row[2], f"{field}.name"),
        consensus_key=fields.public_key(row[3], f"{field}.consensus_key"),
        tls_certificate=fields.binary(row[4], f"{field}.tls_certificate", size_max=8192),
        address=fields.text(row[5], f"{field}.address", 256),
    )


def _state(value: object) -> tuple[tuple[str, str, canonical.Value], ...]:
    entries: list[tuple[str, str, canonical.Value]] = []
    for i, item in enumerate(fields.bounded(value, "state", STATE_ENTRIES_MAX)):
        row = fields.array(item, f"state[{i}]", 3)
        contract = fields.text(row[0], f"state[{i}].contract")
        key = fields.text(row[1], f"state[{i}].key", 1024)
        entries.append((contract, key, row[2]))  # type: ignore[arg-type]
    for before, after in pairwise(entries):
        if not before[:2] < after[:2]:
            raise FieldError("state", "strictly ascending (contract, key)", after[:2])
    return tuple(entries)
