"""The gate: what is refused, and that every signature inside is looked at. Real Ed25519 keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from consensus.messages import (
    FetchBlocks,
    NewView,
    OwnVote,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    SignedMessage,
    ViewChange,
    encode,
)
from consensus.verifier import (
    VERIFIED_MAX,
    AnySigned,
    MessageRefused,
    Signed,
    Verifier,
    WrongEpoch,
)
from ledger import keys
from ledger.certificate import Certificate, CertificateInvalid
from ledger.errors import InvalidInput, QiongError
from ledger.keys import SigningKey
from ledger.types import Digest, Height, PublicKey, Signature, View
from ledger.validators import Validator, ValidatorSet
from tests.consensus.group import Group, digest, header, null

A, B = digest("a"), digest("b")


class RealGroup(Group):
    """A group whose keys are Ed25519."""

    def __init__(self, n: int = 4, *, window: int = 4, epoch: int = 0, base: int = 0) -> None:
        super().__init__(n, window=window, epoch=epoch, base=base)
        self.keys = {
            name: SigningKey.from_seed(bytes([index + 1]) * 32)
            for index, name in enumerate(self.names)
        }
        self.validators = ValidatorSet.of(
            Validator(name, key.public) for name, key in self.keys.items()
        )
        self.domain = replace(self.domain, validators=self.validators)
        self.verifier = Verifier(self.domain)

    def signer(self, name: str) -> Callable[[bytes], Signature]:
        return self.keys[name].sign


GROUP = RealGroup()
Q = GROUP.names[: GROUP.quorum]


def fresh() -> Verifier:
    return Verifier(GROUP.domain)


def accepted(signed: AnySigned) -> Signed[SignedMessage]:
    result = fresh().verify(signed.encode())
    assert isinstance(result, Signed)
    return result


def refused(
    signed: AnySigned, error: type[QiongError] = MessageRefused, match: str | None = None
) -> None:
    with pytest.raises(error, match=match):
        fresh().verify(signed.encode())


def broken(
    pairs: tuple[tuple[str, Signature], ...], place: int
) -> tuple[tuple[str, Signature], ...]:
    """The same pairs with one bit of one signature changed."""
    name, signature = pairs[place]
    changed = signature[:-3] + bytes([signature[-3] ^ 1]) + signature[-2:]
    return (*pairs[:place], (name, Signature(changed)), *pairs[place + 1 :])


def change(*prepared: PreparedCertificate, stable: int = 0, view: int = 5) -> Signed[ViewChange]:
    return GROUP.view_change("org-01", view, stable, prepared)


def with_certificate(certificate: Certificate | None, n: int = 2, d: Digest | None = None):
    message = ViewChange(View(5), Height(n), d or header(n), certificate, ())
    return GROUP.sign("org-01", message)


def test_a_good_message_of_each_kind_passes_unchanged() -> None:
    held = GROUP.prepared(0, 3, A)
    changes = [GROUP.view_change(name, 5, 2, [held]) for name in Q]
    for signed in (
        GROUP.pre_prepare(0, 1, A),
        GROUP.prepare("org-01", 0, 1, A),
        GROUP.commit("org-00", 0, 1, A),
        GROUP.checkpoint("org-00", 1),
        change(held, stable=2),
        GROUP.new_view(5, changes),
    ):
        assert accepted(signed).encode() == signed.encode()


def test_an_unsigned_message_passes() -> None:
    message = FetchBlocks(Height(3))
    assert fresh().verify(encode(message)) == message


def test_only_validators_of_this_epoch_and_chain_are_heard() -> None:
    vote = GROUP.prepare("org-01", 0, 1, A)
    refused(replace(vote, signer="stranger"), match="not a validator")
    refused(replace(vote, signer="org-02"), match="signature")
    refused(replace(vote, message=replace(vote.message, digest=B)), match="signature")
    later = RealGroup(epoch=1).prepare("org-01", 0, 1, A)
    refused(later, WrongEpoch)
    refused(replace(later, epoch=GROUP.domain.epoch), match="signature")
    other = RealGroup()
    other.domain = replace(other.domain, chain_id=digest("another chain"))
    refused(other.prepare("org-01", 0, 1, A), match="signature")


def test_only_the_primary_proposes_and_it_does_not_prepare() -> None:
    refused(GROUP.sign("org-01", PrePrepare(View(0), Height(1), A)), match="not the primary")
    refused(GROUP.sign("org-00", Prepare(View(0), Height(1), A)), match="PRE-PREPARE")
    accepted(GROUP.sign("org-01", PrePrepare(View(1), Height(1), A)))


# --- Certificates ---


def test_a_certificate_needs_exactly_a_quorum_of_valid_signatures() -> None:
    good = GROUP.certificate(2)
    fresh().certificate(good)
    pairs = good.signatures
    for wrong in (
        GROUP.certificate(2, signers=GROUP.names[:2]),
        GROUP.certificate(2, signers=GROUP.names),
        replace(good, signatures=(pairs[0], pairs[0], pairs[1])),
        replace(good, signatures=(pairs[1], pairs[0], pairs[2])),
        replace(good, header_hash=digest("other")),
        replace(good, n=Height(3)),
        replace(good, signatures=(*pairs[:2], ("stranger", pairs[2][1]))),
        RealGroup(epoch=1).certificate(2),
        replace(RealGroup(epoch=1).certificate(2), epoch=GROUP.domain.epoch),
        *(replace(good, signatures=broken(pairs, place)) for place in range(3)),
    ):
        with pytest.raises(CertificateInvalid):
            fresh().certificate(wrong)


@pytest.mark.parametrize("n", [4, 5, 6, 7, 8, 9, 10])
def test_the_quorum_is_that_of_the_set(n: int) -> None:
    group = Group(n)
    for size in range(1, n + 1):
        certificate = group.certificate(1, signers=group.names[:size])
        if size == group.quorum:
            group.verifier.certificate(certificate)
        else:
            with pytest.raises(CertificateInvalid):
                group.verifier.certificate(certificate)


# --- VIEW-CHANGE ---


def test_a_view_change_proves_its_height() -> None:
    good = GROUP.certificate(2)
    accepted(with_certificate(good))
    refused(with_certificate(None), match="without the Certificate")
    refused(with_certificate(None, n=0, d=digest("x")), match="without the Certificate")
    refused(with_certificate(good, n=3), match="another header")
    refused(with_certificate(good, d=digest("x")), match="another header")
    for place in range(3):
        wrong = replace(good, signatures=broken(good.signatures, place))
        refused(with_certificate(wrong), CertificateInvalid)
    refused(with_certificate(RealGroup(epoch=1).certificate(2)), CertificateInvalid)


@pytest.mark.parametrize(("n", "fits"), [(2, False), (3, True), (6, True), (7, False)])
def test_what_a_view_change_prepared_lies_in_its_window(n: int, fits: bool) -> None:
    signed = change(GROUP.prepared(0, n, A), stable=2)
    if fits:
        accepted(signed)
    else:
        refused(signed, match="outside the window")


@pytest.mark.parametrize(("view", "fits"), [(4, True), (5, False), (6, False)])
def test_what_a_view_change_prepared_is_of_an_earlier_view(view: int, fits: bool) -> None:
    signed = change(GROUP.prepared(view, 1, A))
    if fits:
        accepted(signed)
    else:
        refused(signed, match="not an earlier one")


def test_a_prepared_certificate_needs_exactly_a_quorum() -> None:
    for count, fits in ((2, False), (3, True), (4, False)):
        signed = change(GROUP.prepared(0, 1, A, GROUP.names[:count]))
        if fits:
            accepted(signed)
        else:
            refused(signed, match="another size than a quorum")


@pytest.mark.parametrize("place", range(3))
def test_every_signature_of_a_prepared_certificate_is_checked(place: int) -> None:
    good = GROUP.prepared(0, 1, A)
    refused(change(replace(good, signatures=broken(good.signatures, place))), match="without")


def test_the_second_prepared_certificate_is_checked_as_the_first() -> None:
    first, second = GROUP.prepared(0, 1, A), GROUP.prepared(0, 2, A)
    accepted(change(first, second))
    refused(change(first, replace(second, signatures=broken(second.signatures, 2))))
    refused(change(first, GROUP.prepared(0, 2, A, GROUP.names[:2])))


def test_votes_of_another_kind_height_view_or_digest_make_no_certificate() -> None:
    good = GROUP.prepared(0, 1, A)
    for wrong in (
        replace(good, digest=B),
        replace(good, n=Height(2)),
        replace(good, view=View(1)),
        replace(
            good,
            signatures=tuple((name, GROUP.commit(name, 0, 1, A).signature) for name in Q),
        ),
        replace(good, signatures=(("a-stranger", good.signatures[0][1]), *good.signatures[1:])),
    ):
        refused(change(wrong), match="without")


# --- NEW-VIEW ---


def good_changes() -> list[Signed[ViewChange]]:
    held = [GROUP.prepared(0, 1, A)], [GROUP.prepared(0, 2, B)], []
    return [GROUP.view_change(name, 5, 0, list(p)) for name, p in zip(Q, held, strict=True)]


def test_a_new_view_comes_from_its_primary_with_a_quorum_of_its_view() -> None:
    changes = good_changes()
    accepted(GROUP.new_view(5, changes))
    good = GROUP.new_view(5, changes).message
    refused(GROUP.sign("org-02", good), match="not the primary")
    refused(GROUP.new_view(5, changes[:2]), match="another number than a quorum")
    refused(
        GROUP.new_view(5, [*changes, GROUP.view_change("org-03", 5)]),
        match="another number than a quorum",
    )
    other = [*changes[:2], GROUP.view_change("org-02", 4)]
    refused(GROUP.new_view(5, other), match="of another view")
    other = [*changes[:2], GROUP.view_change("org-02", 6)]
    refused(GROUP.new_view(5, other), match="of another view")


@pytest.mark.parametrize("place", range(3))
def test_every_view_change_inside_a_new_view_is_checked(place: int) -> None:
    changes = good_changes()
    honest = changes[place]
    held = GROUP.prepared(0, 3, A)
    forged = replace(held, signatures=broken(held.signatures, 1))
    for lie in (
        replace(honest, message=replace(honest.message, prepared=(held,))),
        replace(honest, signature=GROUP.view_change(honest.signer, 6).signature),
        GROUP.view_change(honest.signer, 5, 0, [forged]),
    ):
        refused(GROUP.new_view(5, [*changes[:place], lie, *changes[place + 1 :]]))


@pytest.mark.parametrize(
    "proposals",
    [
        [(1, A)],
        [(1, A), (2, A)],
        [(1, B), (2, B)],
        [(1, null(1)), (2, B)],
        [(1, A), (2, B), (3, A)],
        [(2, B)],
        [],
    ],
)
def test_a_new_view_that_does_not_follow_is_refused(proposals: list[tuple[int, Digest]]) -> None:
    refused(GROUP.new_view(5, good_changes(), proposals), match="does not follow")


@pytest.mark.parametrize("place", range(2))
def test_every_pre_prepare_inside_a_new_view_is_signed(place: int) -> None:
    good = GROUP.new_view(5, good_changes()).message
    item = good.proposals[place]
    wrong = Proposal(item.n, item.digest, GROUP.pre_prepare(1, item.n, item.digest).signature)
    items = (*good.proposals[:place], wrong, *good.proposals[place + 1 :])
    message: NewView = replace(good, proposals=items)
    refused(GROUP.sign("org-01", message), match="without a valid PRE-PREPARE")


# --- OWN-VOTE, memory ---


def test_own_votes_are_verified() -> None:
    vote = GROUP.prepare("org-01", 0, 1, A)
    assert fresh().own_votes(OwnVote((vote.encode(),))) == (vote,)
    assert fresh().own_votes(OwnVote(())) == ()
    forged = replace(vote, signer="org-02").encode()
    for wrong in ((forged,), (vote.encode(), forged), (b"\x92\x10\x91\x01",), (b"junk",)):
        with pytest.raises(InvalidInput):
            fresh().own_votes(OwnVote(wrong))


def counting() -> tuple[Verifier, list[int]]:
    checks: list[int] = []

    def check(public: PublicKey, data: bytes, signature: Signature) -> bool:
        checks.append(1)
        return keys.verify(public, data, signature)

    return Verifier(GROUP.domain, check), checks


def test_a_good_signature_is_checked_once_and_a_bad_one_each_time() -> None:
    verifier, checks = counting()
    vote = GROUP.prepare("org-01", 0, 1, A)
    for _ in range(3):
        verifier.verify(vote.encode())
    assert len(checks) == 1
    wrong = replace(vote, signer="org-02").encode()
    for _ in range(2):
        with pytest.raises(MessageRefused):
            verifier.verify(wrong)
    assert len(checks) == 3


def test_a_remembered_signature_is_good_for_its_own_message_alone() -> None:
    verifier = fresh()
    vote = GROUP.prepare("org-01", 0, 1, A)
    verifier.verify(vote.encode())
    with pytest.raises(MessageRefused, match="signature"):
        verifier.verify(replace(vote, message=replace(vote.message, digest=B)).encode())


def test_votes_seen_before_cost_nothing_inside_a_certificate() -> None:
    verifier, checks = counting()
    certificate = GROUP.prepared(0, 1, A)
    verifier.verify(GROUP.pre_prepare(0, 1, A).encode())
    for name in Q[1:]:
        verifier.verify(GROUP.prepare(name, 0, 1, A).encode())
    before = len(checks)
    verifier.verify(change(certificate).encode())
    assert len(checks) == before + 1, "its own signature alone"


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("consensus.verifier.VERIFIED_MAX", 3)
    verifier, checks = counting()
    first = GROUP.prepare("org-01", 0, 1, A).encode()
    verifier.verify(first)
    for n in range(2, 8):
        verifier.verify(GROUP.prepare("org-01", 0, n, A).encode())
        assert len(verifier._verified) <= 3
    before = len(checks)
    verifier.verify(first)
    assert len(checks) == before + 1
    assert VERIFIED_MAX >= 4 * 32 * 2 * 4
