"""The validator set: who votes, how many votes decide, and who leads a view.

With n validators of which f = (n-1)//3 may lie, a quorum is the least q for which two quorums
share an honest validator: q = ceil((n+f+1)/2). The familiar 2f+1 is right only for n = 3f+1; at
n = 5, 6, 8, 9 it lets two quorums meet in faulty validators alone, and the chain forks.

One organisation has one vote. TLS keys are no part of the set: they can change without a new epoch.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from ledger import canonical, fields
from ledger.errors import FieldError, InvalidInput
from ledger.hashing import TAG_VALIDATORS, tagged_hash
from ledger.keys import check_public_key
from ledger.types import Digest, PublicKey, View

VALIDATORS_MIN: Final = 4
"""Fewest validators that survive one liar: 3f+1 with f = 1."""

VALIDATORS_MAX: Final = 64
"""PBFT's messages grow with the square of n; beyond this another protocol is the better choice."""


class NotAValidator(InvalidInput):
    """An organisation that has no vote in this set."""

    code = "not_a_validator"

    def __init__(self, organisation: str) -> None:
        self.organisation = organisation
        super().__init__(f"{organisation} is not a validator of this epoch")


@dataclass(frozen=True, slots=True)
class Validator:
    """One vote: an organisation and its consensus key."""

    organisation: str
    key: PublicKey


def faults_tolerated(n: int) -> int:
    """f = (n-1)//3."""
    return (n - 1) // 3


def quorum_size(n: int) -> int:
    """q = ceil((n+f+1)/2)."""
    return (n + faults_tolerated(n) + 2) // 2


@dataclass(frozen=True)
class ValidatorSet:
    """Validators sorted by organisation. Build with `ValidatorSet.of`, which checks and sorts."""

    validators: tuple[Validator, ...]

    @classmethod
    def of(cls, validators: Iterable[Validator]) -> ValidatorSet:
        """Sort and check. Raises `FieldError` for a bad count or duplicates, `BadKey` for keys."""
        ordered = tuple(sorted(validators, key=lambda validator: validator.organisation))
        if not VALIDATORS_MIN <= len(ordered) <= VALIDATORS_MAX:
            expected = f"{VALIDATORS_MIN} to {VALIDATORS_MAX} validators"
            raise FieldError("validators", expected, len(ordered))
        fields.ascending([validator.organisation for validator in ordered], "validators")
        if len({validator.key for validator in ordered}) != len(ordered):
            raise FieldError("validators", "keys without duplicates", "a key twice")
        for validator in ordered:
            check_public_key(validator.key)
        return cls(ordered)

    @classmethod
    def from_value(cls, value: object) -> ValidatorSet:
        """From canonical `[[organisation, key]...]`; the order must already be right."""
        rows = [
            fields.array(row, f"validators[{i}]", 2)
            for i, row in enumerate(fields.bounded(value, "validators", VALIDATORS_MAX))
        ]
        validators = [
            Validator(
                fields.text(row[0], "validators.organisation"),
                fields.public_key(row[1], "validators.key"),
            )
            for row in rows
        ]
        fields.ascending([validator.organisation for validator in validators], "validators")
        return cls.of(validators)

    def to_value(self) -> list[canonical.Value]:
        """Canonical `[[organisation, key]...]`."""
        return [[validator.organisation, validator.key] for validator in self.validators]

    def __len__(self) -> int:
        return len(self.validators)

    def __iter__(self) -> Iterator[Validator]:
        return iter(self.validators)

    @property
    def n(self) -> int:
        return len(self.validators)

    @property
    def f(self) -> int:
        """How many validators may be faulty."""
        return faults_tolerated(self.n)

    @cached_property
    def quorum(self) -> int:
        """How many votes decide."""
        return quorum_size(self.n)

    @cached_property
    def hash(self) -> Digest:
        """SHA-256(TAG_VALIDATORS || canonical list), as headers carry it."""
        return tagged_hash(TAG_VALIDATORS, canonical.encode(self.to_value()))

    @cached_property
    def organisations(self) -> tuple[str, ...]:
        return tuple(validator.organisation for validator in self.validators)

    @cached_property
    def _keys(self) -> dict[str, PublicKey]:
        return {validator.organisation: validator.key for validator in self.validators}

    def __contains__(self, organisation: object) -> bool:
        return organisation in self._keys

    def key(self, organisation: str) -> PublicKey:
        """The consensus key of `organisation`. Raises `NotAValidator`."""
        try:
            return self._keys[organisation]
        except KeyError:
            raise NotAValidator(organisation) from None

    def primary(self, view: View) -> str:
        """The organisation that leads `view`: validators[view % n]."""
        return self.validators[view % self.n].organisation
