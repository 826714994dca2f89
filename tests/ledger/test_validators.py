"""Validator sets, quorums and certificates."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.certificate import Certificate, CertificateInvalid, checkpoint_bytes
from ledger.errors import FieldError
from ledger.keys import SigningKey
from ledger.types import Digest, Epoch, Height, Signature, View
from ledger.validators import (
    NotAValidator,
    Validator,
    ValidatorSet,
    faults_tolerated,
    quorum_size,
)

CHAIN = Digest(b"c" * 32)
HEADER = Digest(b"h" * 32)
KEYS = {f"org{i}": SigningKey.from_seed(bytes([i + 1]) * 32) for i in range(6)}


def validator_set(n: int = 4) -> ValidatorSet:
    return ValidatorSet.of(Validator(name, KEYS[name].public) for name in list(KEYS)[:n])


def certificate(*signers: str, header: Digest = HEADER, height: int = 7) -> Certificate:
    message = checkpoint_bytes(CHAIN, Epoch(0), Height(height), header)
    return Certificate(
        Epoch(0),
        Height(height),
        header,
        tuple((name, KEYS[name].sign(message)) for name in signers),
    )


def test_quorums_of_the_design() -> None:
    table = {4: 3, 5: 4, 6: 4, 7: 5, 8: 6, 9: 6, 10: 7, 16: 11, 32: 22}
    assert {n: quorum_size(n) for n in table} == table


@given(st.integers(4, 200))
def test_two_quorums_share_an_honest_validator_and_the_honest_reach_one(n: int) -> None:
    f, q = faults_tolerated(n), quorum_size(n)
    assert 2 * q - n >= f + 1  # any two quorums meet in at least f+1, one of them honest
    assert 2 * (q - 1) - n < f + 1  # and q is the least such number
    assert n - f >= q  # the honest alone can decide


def test_sets_sort_find_and_rotate() -> None:
    validators = ValidatorSet.of(reversed(validator_set().validators))
    assert validators == validator_set()
    assert validators.organisations == ("org0", "org1", "org2", "org3")
    assert [validators.primary(View(v)) for v in range(5)] == [
        "org0",
        "org1",
        "org2",
        "org3",
        "org0",
    ]
    assert "org3" in validators
    assert "org4" not in validators
    with pytest.raises(NotAValidator):
        validators.key("org4")
    assert ValidatorSet.from_value(validators.to_value()) == validators


def test_sets_with_too_few_or_doubles_are_refused() -> None:
    ok = list(validator_set().validators)
    for bad in (ok[:3], [*ok[:3], ok[0]], [*ok[:3], Validator("x", ok[0].key)]):
        with pytest.raises(FieldError):
            ValidatorSet.of(bad)
    rows = validator_set().to_value()
    with pytest.raises(FieldError):
        ValidatorSet.from_value(list(reversed(rows)))


@pytest.mark.parametrize("signers", list(itertools.combinations(list(KEYS)[:4], 3)), ids=str)
def test_any_quorum_certifies(signers: tuple[str, ...]) -> None:
    good = certificate(*signers)
    assert Certificate.decode(good.encode()) == good
    good.verify(CHAIN, validator_set())


BAD: dict[str, Callable[[], Certificate]] = {
    "q-1 signers": lambda: certificate("org0", "org1"),
    "a spare signature": lambda: certificate("org0", "org1", "org2", "org3"),
    "a duplicate signer": lambda: certificate("org0", "org1", "org1"),
    "signers out of order": lambda: certificate("org1", "org0", "org2"),
    "a foreign signer": lambda: certificate("org0", "org1", "org4"),
    "another header": lambda: Certificate(
        Epoch(0), Height(7), Digest(b"x" * 32), certificate("org0", "org1", "org2").signatures
    ),
    "another height": lambda: Certificate(
        Epoch(0), Height(8), HEADER, certificate("org0", "org1", "org2").signatures
    ),
    "another epoch": lambda: Certificate(
        Epoch(1), Height(7), HEADER, certificate("org0", "org1", "org2").signatures
    ),
    "signatures swapped": lambda: Certificate(
        Epoch(0),
        Height(7),
        HEADER,
        tuple(
            (name, signature)
            for name, (_, signature) in zip(
                ("org0", "org1", "org2"),
                reversed(certificate("org0", "org1", "org2").signatures),
                strict=True,
            )
        ),
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_certificate_is_refused(name: str) -> None:
    with pytest.raises(CertificateInvalid):
        BAD[name]().verify(CHAIN, validator_set())


def test_a_certificate_of_another_chain_is_refused() -> None:
    with pytest.raises(CertificateInvalid):
        certificate("org0", "org1", "org2").verify(Digest(b"d" * 32), validator_set())


def test_decoding_refuses_signers_out_of_order() -> None:
    with pytest.raises(FieldError):
        Certificate.decode(certificate("org1", "org0", "org2").encode())
    with pytest.raises(FieldError):
        Certificate.decode(
            Certificate(Epoch(0), Height(1), HEADER, (("org0", Signature(b"short")),)).encode()
        )
