"""The trust anchor: what a verifier knows of a chain before it sees any proof.

It names one header of the chain, the validators of that header's epoch, and the contracts whose
entries are attestations (fixed in genesis). `trust.json` holds it for people to copy; the
fingerprint covers all of it and is what they compare by another channel. What a node says about its
own trust anchor is worth nothing alone.

Left out: fetching and updating it (`qiong trust`), and the rules of proofs and of following
hand-overs (`ledger.proofs`).
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final, cast

from ledger import canonical, fields
from ledger.block import BlockHeader
from ledger.errors import FieldError, InvalidInput, QiongError
from ledger.hashing import TAG_TRUST, tagged_hash
from ledger.types import Digest, Epoch, Height, PublicKey
from ledger.validators import Validator, ValidatorSet

ATTESTATIONS_MAX: Final = 64
"""Attestation contracts of a chain; genesis has the same bound."""

TRUST_FILE_SIZE_MAX: Final = 64 * 1024
"""64 validators take 13 kB of JSON."""

_FIELDS: Final = ("chain_id", "epoch", "height", "header_hash", "validators", "attestations")


class TrustInvalid(InvalidInput):
    """A trust file that is not one."""

    code = "trust_invalid"
    hint = "fetch it again and compare its fingerprint by another channel"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"trust file: {reason}")


@dataclass(frozen=True)
class TrustAnchor:
    """One header of a chain and who votes in its epoch. `attestations` are ascending names."""

    chain_id: Digest
    epoch: Epoch
    height: Height
    header_hash: Digest
    validators: ValidatorSet
    attestations: tuple[str, ...]

    @classmethod
    def of_header(
        cls, header: BlockHeader, validators: ValidatorSet, attestations: tuple[str, ...]
    ) -> TrustAnchor:
        """Anchor at `header`. Raises `TrustInvalid` if `validators` do not vote on it."""
        if validators.hash != header.validators_hash:
            raise TrustInvalid("these validators do not vote on this header")
        return cls(
            chain_id=header.chain_id,
            epoch=header.epoch,
            height=header.n,
            header_hash=header.hash,
            validators=validators,
            attestations=tuple(sorted(attestations)),
        )

    @cached_property
    def fingerprint(self) -> Digest:
        """SHA-256(TAG_TRUST || canonical array of all fields in their order)."""
        content: list[canonical.Value] = [
            self.chain_id,
            self.epoch,
            self.height,
            self.header_hash,
            self.validators.to_value(),
            list(self.attestations),
        ]
        return tagged_hash(TAG_TRUST, canonical.encode(content))

    def to_json(self) -> dict[str, object]:
        """The object of `trust.json`, binary values as hex."""
        return {
            "chain_id": self.chain_id.hex(),
            "epoch": self.epoch,
            "height": self.height,
            "header_hash": self.header_hash.hex(),
            "validators": [
                {"organisation": validator.organisation, "key": validator.key.hex()}
                for validator in self.validators
            ],
            "attestations": list(self.attestations),
        }

    @classmethod
    def from_json(cls, value: object) -> TrustAnchor:
        """Read the object of `trust.json`; unknown fields are refused. Raises `TrustInvalid`."""
        try:
            return cls._from_object(value)
        except TrustInvalid:
            raise
        except QiongError as error:
            raise TrustInvalid(str(error)) from None

    @classmethod
    def parse(cls, data: bytes) -> TrustAnchor:
        """Read the bytes of a `trust.json`. Raises `TrustInvalid`."""
        if len(data) > TRUST_FILE_SIZE_MAX:
            raise TrustInvalid(f"larger than {TRUST_FILE_SIZE_MAX} bytes")
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            raise TrustInvalid("not JSON") from None
        return cls.from_json(value)

    @classmethod
    def _from_object(cls, value: object) -> TrustAnchor:
        row = _object(value, _FIELDS, "trust")
        attestations = [
            fields.text(name, "trust.attestations")
            for name in fields.bounded(row["attestations"], "trust.attestations", ATTESTATIONS_MAX)
        ]
        fields.ascending(attestations, "trust.attestations")
        validators = []
        for item in fields.array(row["validators"], "trust.validators"):
            entry = _object(item, ("organisation", "key"), "trust.validators")
            validators.append(
                Validator(
                    fields.text(entry["organisation"], "trust.validators.organisation"),
                    PublicKey(_hex(entry["key"], "trust.validators.key")),
                )
            )
        return cls(
            chain_id=fields.digest(_hex(row["chain_id"], "trust.chain_id"), "trust.chain_id"),
            epoch=Epoch(fields.natural(row["epoch"], "trust.epoch")),
            height=Height(fields.natural(row["height"], "trust.height")),
            header_hash=fields.digest(
                _hex(row["header_hash"], "trust.header_hash"), "trust.header_hash"
            ),
            validators=ValidatorSet.of(validators),
            attestations=tuple(attestations),
        )


def _object(value: object, names: tuple[str, ...], field: str) -> dict[str, object]:
    if type(value) is not dict or set(value) != set(names):
        raise FieldError(field, "an object with exactly " + ", ".join(names), value)
    return cast("dict[str, object]", value)


def _hex(value: object, field: str) -> bytes:
    if type(value) is str and re.fullmatch("([0-9a-f]{2})*", value):
        return bytes.fromhex(value)
    raise FieldError(field, "lower-case hexadecimal digits", value)
