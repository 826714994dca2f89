"""Every verdict of the offline verifier, and every way to cheat it that we could think of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import canonical
from ledger.hashing import sha256
from ledger.proof_builders import build_header_proof, build_transaction_proof, history_anchor
from ledger.proof_claims import StateClaim, TransactionClaim
from ledger.proof_format import (
    ANCHOR_DEPTH_MAX,
    PROOF_SIZE_MAX,
    Anchor,
    CertificateAnchor,
    Handover,
    ParentAnchor,
    Proof,
    TrustedAnchor,
)
from ledger.proof_verdicts import EXIT_CODES, Verdict
from ledger.proofs import verify
from ledger.receipt import CallOutcome
from ledger.types import Gas
from tests.ledger.proof_chain import GENESIS_MS, Chain, Council, make_receipts

LICENCE = "ABC123"
KEY = f"licence/{LICENCE}"
ACTIVE = {"status": "active", "expires": "2027-01-01", "holder": "91460000MA5T0A1B2C"}
CALLS = [
    CallOutcome("ok", "", Gas(200), {"id": LICENCE}),
    CallOutcome("reverted", "CHECK_DIGIT", Gas(80)),
    CallOutcome("ok", "", Gas(200)),
    CallOutcome("ok", "", Gas(200)),
    CallOutcome("ok", "", Gas(201)),
]


@cache
def story() -> Chain:
    """Genesis; 1 issues; 2 executes five transactions; 3 revokes; 4 to 6 are empty."""
    chain = Chain()
    chain.add({("registry", f"role/{i}"): True for i in range(40)})
    chain.add({("licence", KEY): ACTIVE})
    chain.add(receipts=make_receipts(5, CALLS))
    chain.add({("licence", KEY): {**ACTIVE, "status": "revoked"}})
    for _ in range(3):
        chain.add()
    return chain


@cache
def three_epochs() -> Chain:
    """Epoch 0: heights 0 to 2; epoch 1, of five others: 3 to 5; epoch 2, of four of them: 6, 7."""
    chain = Chain()
    chain.add({("licence", KEY): ACTIVE})
    chain.add()
    chain.add(next_council=Council.of(5, first=2))
    chain.add()
    chain.add()
    chain.add(next_council=Council.of(4, first=3))
    chain.add()
    chain.add()
    return chain


def in_history(chain: Chain, height: int, later: int) -> Anchor:
    return history_anchor(height, chain.headers[later], chain.read, chain.certificate(later))


def child(chain: Chain, height: int) -> Anchor:
    return ParentAnchor(chain.headers[height + 1], chain.certificate(height + 1))


def judged(value: canonical.Value, contract: str = "licence", at: int | None = None) -> Verdict:
    """The verdict on `value` at `licence/X` in block 1, or as it was at time `at`."""
    chain = Chain()
    chain.add()
    chain.add({(contract, "licence/X"): value})
    chain.add(time_ms=GENESIS_MS + 10 * 365 * 86_400_000)
    data = chain.state_proof(1, contract, "licence/X", child(chain, 1))
    return verify(data, chain.trust(), at_ms=at)


def licence_proof(height: int = 1, anchor: Anchor | None = None) -> bytes:
    return story().state_proof(height, "licence", KEY, anchor)


# --- verdicts ------------------------------------------------------------------------------------


def test_a_licence_in_force() -> None:
    verdict = verify(licence_proof(), story().trust(), licence=LICENCE)
    assert (verdict.verdict, verdict.exit_code) == ("valid", 0)
    assert (verdict.subject, verdict.claim) == (f"licence/{KEY}", "state")
    assert (verdict.height, verdict.time_ms) == (1, GENESIS_MS + 1000)
    assert verdict.value == ACTIVE


def test_exit_codes_are_those_of_the_interface() -> None:
    assert EXIT_CODES == {
        "valid": 0,
        "invalid": 1,
        "revoked": 3,
        "suspended": 3,
        "stale": 4,
        "untrusted": 5,
        "absent": 6,
        "expired": 7,
        "failed": 8,
    }


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (ACTIVE, "valid"),
        ({**ACTIVE, "status": "suspended"}, "suspended"),
        ({**ACTIVE, "status": "revoked", "expires": "2001-01-01"}, "revoked"),
        ({**ACTIVE, "expires": "2025-12-31"}, "expired"),
        ({"status": "active"}, "valid"),
        ({"status": "active", "expires": None}, "valid"),
        ({"status": "active", "expires": "some day"}, "valid"),
        ({"status": "active", "expires": "2026-02-30"}, "valid"),
        ({"status": "active", "expires": 7}, "valid"),
        ({"status": ["revoked"]}, "valid"),
        ({"inner": {"status": "revoked"}}, "valid"),
        ({"expires": "2001-01-01"}, "valid"),
        ("revoked", "valid"),
        (["status", "revoked"], "valid"),
    ],
)
def test_status_is_read_from_the_top_of_an_attestation(
    value: canonical.Value, expected: str
) -> None:
    assert judged(value).verdict == expected


@pytest.mark.parametrize("status", ["revoked", "suspended"])
def test_other_contracts_report_presence_alone(status: str) -> None:
    assert judged({"status": status, "expires": "2001-01-01"}, "registry").verdict == "valid"


def test_a_licence_holds_through_its_last_day_at_utc8() -> None:
    last_ms = GENESIS_MS + 3 * 86_400_000 - 8 * 3_600_000 - 1  # 2026-01-03T23:59:59.999+08:00
    value = {"status": "active", "expires": "2026-01-03"}
    assert judged(value).verdict == "valid", "judged at the block's time"
    assert judged(value, at=last_ms).verdict == "valid"
    assert judged(value, at=last_ms + 1).verdict == "expired"


def test_absence() -> None:
    data = story().state_proof(1, "licence", "licence/NEVER")
    verdict = verify(data, story().trust(), licence="NEVER")
    assert (verdict.verdict, verdict.exit_code, verdict.claim) == ("absent", 6, "absence")
    verdict = verify(data, story().trust(), expect="absent")
    assert (verdict.verdict, verdict.exit_code) == ("absent", 0)


def test_expecting_absence_where_there_is_presence() -> None:
    verdict = verify(licence_proof(), story().trust(), expect="absent")
    assert (verdict.verdict, verdict.exit_code) == ("invalid", 1)
    verdict = verify(licence_proof(3), story().trust(), expect="absent")
    assert (verdict.verdict, verdict.exit_code) == ("revoked", 3), "it keeps its code"


def test_stale_goes_before_revoked_and_after_untrusted() -> None:
    time_ms = story().headers[3].time_ms
    data = licence_proof(3)
    fresh = verify(data, story().trust(), now_ms=time_ms + 500, max_age_ms=500)
    assert fresh.verdict == "revoked"
    old = verify(data, story().trust(), now_ms=time_ms + 501, max_age_ms=500)
    assert (old.verdict, old.exit_code) == ("stale", 4)
    stranger = replace(story().trust(), chain_id=sha256(b"other"))
    assert verify(data, stranger, now_ms=time_ms + 501, max_age_ms=500).verdict == "untrusted"
    with pytest.raises(ValueError, match="now_ms"):
        verify(data, story().trust(), max_age_ms=500)


@pytest.mark.parametrize(
    ("options", "matches"),
    [
        ({"licence": LICENCE}, True),
        ({"licence": "ABC124"}, False),
        ({"licence": KEY}, False),
        ({"key": KEY}, True),
        ({"key": f"licence/{KEY}"}, True),
        ({"key": f"credit/{KEY}"}, False),
        ({"key": LICENCE}, False),
        ({"licence": LICENCE, "key": KEY}, True),
        ({"licence": LICENCE, "key": "licence/X"}, False),
    ],
)
def test_another_subject_is_refused(options: dict[str, str], matches: bool) -> None:
    verdict = verify(licence_proof(), story().trust(), **options)  # type: ignore[arg-type]
    assert verdict.exit_code == (0 if matches else 1)


def test_a_licence_key_in_another_contract_is_another_subject() -> None:
    chain = Chain()
    chain.add()
    chain.add({("shadow", KEY): ACTIVE})
    data = chain.state_proof(1, "shadow", KEY)
    assert verify(data, chain.trust()).verdict == "valid"
    assert verify(data, chain.trust(), licence=LICENCE).verdict == "invalid"


# --- transactions --------------------------------------------------------------------------------


def transaction_proof(index: int, call_index: int | None = None) -> bytes:
    chain = story()
    return build_transaction_proof(
        chain.receipts[2],
        index,
        chain.headers[2],
        chain.certificate(2),
        calls=CALLS,
        call_index=call_index,
    )


@pytest.mark.parametrize("index", range(5))
def test_transactions_executed_and_failed(index: int) -> None:
    verdict = verify(transaction_proof(index), story().trust())
    assert verdict.verdict == ("failed" if index % 2 else "valid")
    assert verdict.exit_code == (8 if index % 2 else 0)
    assert verdict.subject == story().receipts[2][index].tx_id.hex()
    assert verify(transaction_proof(index), story().trust(), key=verdict.subject) == verdict
    assert verify(transaction_proof(index), story().trust(), key="00" * 32).exit_code == 1
    assert verify(transaction_proof(index), story().trust(), licence=LICENCE).exit_code == 1


@pytest.mark.parametrize("call_index", range(5))
def test_one_call_of_a_bulk_transaction(call_index: int) -> None:
    verdict = verify(transaction_proof(0, call_index), story().trust())
    assert verdict.claim == "call"
    assert verdict.verdict == ("failed" if call_index == 1 else "valid")
    # The receipt is reverted as a whole: a call that went well in it has left nothing behind.
    assert verify(transaction_proof(1, call_index), story().trust()).verdict == "failed"


def test_a_receipt_moved_to_another_index_or_made_up_is_refused() -> None:
    proof = Proof.decode(transaction_proof(1))
    assert isinstance(proof.claim, TransactionClaim)
    for changes in (
        {"status": "ok", "code": ""},
        {"index": 3},
        {"index": 7},
        {"tx_id": sha256(b"other")},
    ):
        receipt = replace(proof.claim.receipt, **changes)  # type: ignore[arg-type]
        forged = replace(proof, claim=replace(proof.claim, receipt=receipt))
        assert verify(forged.encode(), story().trust()).verdict == "invalid"


# --- anchors -------------------------------------------------------------------------------------


def test_every_kind_of_anchor() -> None:
    chain = story()
    for anchor in (
        chain.certificate(1),
        in_history(chain, 1, 6),
        in_history(chain, 1, 2),
        child(chain, 1),
        ParentAnchor(chain.headers[2], in_history(chain, 2, 5)),
    ):
        assert verify(licence_proof(1, anchor), chain.trust()).verdict == "valid"
    genesis = chain.state_proof(0, "registry", "role/1", TrustedAnchor())
    assert verify(genesis, chain.trust()).verdict == "valid"
    assert verify(licence_proof(1, TrustedAnchor()), chain.trust(1)).verdict == "valid"
    assert verify(licence_proof(1, TrustedAnchor()), chain.trust()).verdict == "untrusted"


def test_a_header_alone() -> None:
    chain = story()
    verdict = verify(build_header_proof(chain.headers[5], chain.certificate(5)), chain.trust())
    assert (verdict.verdict, verdict.subject, verdict.claim) == ("valid", "header 5", "header")


def test_status_at_a_time_between_two_adjacent_blocks() -> None:
    chain = story()
    before, after = chain.headers[2].time_ms, chain.headers[3].time_ms
    data = licence_proof(2, child(chain, 2))
    assert verify(data, chain.trust(), at_ms=before).verdict == "valid"
    assert verify(data, chain.trust(), at_ms=after - 1).verdict == "valid"
    assert verify(data, chain.trust(), at_ms=after).verdict == "invalid"
    assert verify(data, chain.trust(), at_ms=before - 1).verdict == "invalid"
    revoked = licence_proof(3, child(chain, 3))
    assert verify(revoked, chain.trust(), at_ms=after).verdict == "revoked"
    for anchor in (chain.certificate(2), in_history(chain, 2, 3)):
        assert verify(licence_proof(2, anchor), chain.trust(), at_ms=before).verdict == "invalid"


def test_headers_that_are_not_adjacent_are_refused() -> None:
    chain = story()
    apart = ParentAnchor(chain.headers[4], chain.certificate(4))
    assert verify(licence_proof(2, apart), chain.trust()).verdict == "invalid"


@pytest.mark.parametrize("changes", [{"n": 9}, {"time_ms": 5}, {"chain_id": sha256(b"x")}])
def test_a_child_that_contradicts_its_parent_is_refused_even_if_certified(
    changes: dict[str, object],
) -> None:
    chain = story()
    odd = replace(chain.headers[3], **changes)  # type: ignore[arg-type]
    anchor = ParentAnchor(odd, CertificateAnchor.of(chain.council.certify(odd)))
    assert verify(licence_proof(2, anchor), chain.trust()).verdict == "invalid"


def test_a_header_outside_the_later_ones_history_is_refused() -> None:
    chain, other = story(), Chain()
    other.add({("licence", KEY): ACTIVE})
    other.add({("licence", KEY): ACTIVE})
    anchor = in_history(chain, 1, 6)
    assert verify(other.state_proof(1, "licence", KEY, anchor), chain.trust()).verdict == "invalid"
    backwards = replace(anchor, later=chain.headers[1])
    assert verify(licence_proof(1, backwards), chain.trust()).verdict == "invalid"


def test_anchors_nest_no_deeper_than_named() -> None:
    chain = story()
    anchor: Anchor = chain.certificate(6)
    for height in (5, 4, 3, 2, 1):
        anchor = ParentAnchor(chain.headers[height + 1], anchor)
        nested = 7 - height
        expected = "valid" if nested <= ANCHOR_DEPTH_MAX else "invalid"
        assert verify(chain.state_proof(height, "licence", KEY, anchor), chain.trust()).verdict in (
            (expected, "revoked") if expected == "valid" else (expected,)
        )


# --- signatures ----------------------------------------------------------------------------------


def signers() -> list[str]:
    return sorted(story().council.signers)


@pytest.mark.parametrize(
    "choose",
    [
        lambda names: names[:2],
        lambda names: names,
        lambda names: [],
        lambda names: [names[0], names[0], names[1]],
        lambda names: [names[1], names[0], names[2]],
    ],
    ids=["q-1", "q+1", "none", "twice the same", "not ascending"],
)
def test_anything_but_exactly_a_quorum_in_order_is_refused(
    choose: Callable[[list[str]], list[str]],
) -> None:
    chain = story()
    certificate = chain.council.certify(chain.headers[1], choose(signers()))
    verdict = verify(licence_proof(1, CertificateAnchor.of(certificate)), chain.trust())
    assert verdict.verdict == "invalid"


@pytest.mark.parametrize("chosen", [(0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)])
def test_any_quorum_will_do(chosen: tuple[int, ...]) -> None:
    chain = story()
    certificate = chain.council.certify(chain.headers[1], [signers()[i] for i in chosen])
    verdict = verify(licence_proof(1, CertificateAnchor.of(certificate)), chain.trust())
    assert verdict.verdict == "valid"


def test_foreign_signers_and_swapped_signatures_are_refused() -> None:
    chain = story()
    header = chain.headers[1]
    good = chain.council.certify(header).signatures
    stranger = Council.of(1, first=9).certify(header, ["91460000MA5T000009"]).signatures
    other = chain.council.certify(chain.headers[2]).signatures
    for signatures in (
        (*good[:2], *stranger),
        (good[0], (good[1][0], good[2][1]), good[2]),
        (*good[:2], other[2]),
    ):
        data = licence_proof(1, CertificateAnchor(signatures))
        assert verify(data, chain.trust()).verdict == "invalid"


def test_a_certificate_of_another_epoch_or_chain_does_not_fit() -> None:
    chain = story()
    for changes in ({"epoch": 1}, {"chain_id": sha256(b"other")}):
        header = replace(chain.headers[1], **changes)  # type: ignore[arg-type]
        certificate = CertificateAnchor.of(chain.council.certify(header))
        data = licence_proof(1, certificate)
        assert verify(data, chain.trust()).verdict == "invalid", "signed for another header"
        proof = replace(Proof.decode(data), header=header)
        assert verify(proof.encode(), chain.trust()).verdict == "untrusted"


def test_validators_that_the_header_does_not_name_are_untrusted() -> None:
    chain = story()
    others = Council.of(4, first=1)
    header = replace(chain.headers[1], validators_hash=others.validators.hash)
    forged = replace(
        Proof.decode(licence_proof()),
        header=header,
        anchor=CertificateAnchor.of(others.certify(header)),
    )
    assert verify(forged.encode(), chain.trust()).verdict == "untrusted"
    lenient = replace(chain.trust(), validators=others.validators)
    assert verify(licence_proof(), lenient).verdict == "untrusted"


def test_a_second_header_at_the_trusted_height_is_a_fork() -> None:
    chain = story()
    twin = replace(chain.headers[4], d=sha256(b"other"))
    data = build_header_proof(twin, CertificateAnchor.of(chain.council.certify(twin)))
    assert verify(data, chain.trust(4)).verdict == "invalid"
    assert verify(data, chain.trust(3)).verdict == "valid", "a quorum of liars cannot be seen here"


# --- hand-overs ----------------------------------------------------------------------------------


def late_proof(handovers: list[Handover], anchor: Anchor | None = None) -> bytes:
    return three_epochs().state_proof(7, "licence", KEY, anchor, handovers)


def test_hand_overs_lead_from_the_anchor_to_the_certificate() -> None:
    chain = three_epochs()
    both = chain.handovers
    assert verify(late_proof(both), chain.trust(0)).verdict == "valid"
    assert verify(late_proof(both), chain.trust(2)).verdict == "valid"
    assert verify(late_proof(both[1:]), chain.trust(3)).verdict == "valid"
    assert verify(late_proof([]), chain.trust(6)).verdict == "valid"
    old = chain.state_proof(1, "licence", KEY, in_history(chain, 1, 7))
    assert verify(old, chain.trust(6)).verdict == "valid", "an old epoch, by history"


def test_missing_surplus_and_reordered_hand_overs() -> None:
    chain = three_epochs()
    first, second = chain.handovers
    for handovers, trusted, expected in (
        ([], 0, "untrusted"),
        ([first], 0, "untrusted"),
        ([second], 0, "untrusted"),
        ([second, first], 0, "untrusted"),
        ([first, second], 3, "untrusted"),
        ([first, first, second], 0, "untrusted"),
        ([first, second], 6, "untrusted"),
    ):
        assert verify(late_proof(handovers), chain.trust(trusted)).verdict == expected
    trusted_header = chain.state_proof(0, "licence", KEY, TrustedAnchor(), [first])
    assert verify(trusted_header, chain.trust(0)).verdict == "invalid"


def test_retired_keys_prove_nothing_by_certificate() -> None:
    chain = three_epochs()
    assert verify(chain.state_proof(1, "licence", KEY), chain.trust(0)).verdict == "valid"
    assert verify(chain.state_proof(1, "licence", KEY), chain.trust(6)).verdict == "untrusted"


def test_a_forged_hand_over_is_refused() -> None:
    chain = three_epochs()
    first, second = chain.handovers
    liars = Council.of(4, first=20)
    genuine = chain.councils[2]
    for forged in (
        replace(first, next_validators=liars.validators),
        replace(first, signatures=first.signatures[:2]),
        replace(first, header=replace(first.header, next_validators_hash=liars.validators.hash)),
    ):
        assert verify(late_proof([forged, second]), chain.trust(0)).verdict == "invalid"
    same = replace(first.header, next_validators_hash=genuine.validators.hash)
    idle = Handover(same, genuine.certify(same).signatures, genuine.validators)
    assert verify(late_proof([idle, second]), chain.trust(0)).verdict == "invalid"


def test_a_hand_over_before_the_trusted_height_is_refused() -> None:
    chain = three_epochs()
    first = chain.handovers[0]
    early = replace(chain.headers[1], next_validators_hash=first.header.next_validators_hash)
    forged = Handover(early, chain.councils[1].certify(early).signatures, first.next_validators)
    data = late_proof([forged, chain.handovers[1]])
    assert verify(data, chain.trust(2)).verdict == "untrusted"
    assert verify(data, chain.trust(0)).verdict == "valid", "a quorum of liars cannot be seen here"


def test_a_certified_header_before_its_hand_over_is_refused() -> None:
    """The new set may not rewrite the time before it was in charge."""
    chain = three_epochs()
    council = chain.councils[3]
    early = replace(chain.headers[3], n=chain.headers[2].n, d=sha256(b"other"))
    data = build_header_proof(
        early, CertificateAnchor.of(council.certify(early)), chain.handovers[:1]
    )
    assert verify(data, chain.trust(0)).verdict == "invalid"


# --- bytes ---------------------------------------------------------------------------------------


@cache
def samples() -> dict[str, tuple[bytes, Chain]]:
    chain, epochs = story(), three_epochs()
    return {
        "state": (licence_proof(), chain),
        "absence": (chain.state_proof(1, "licence", "licence/NEVER"), chain),
        "transaction": (transaction_proof(2), chain),
        "call": (transaction_proof(0, 4), chain),
        "history": (licence_proof(1, in_history(chain, 1, 6)), chain),
        "status at a time": (licence_proof(2, child(chain, 2)), chain),
        "genesis": (chain.state_proof(0, "registry", "role/1", TrustedAnchor()), chain),
        "hand-overs": (late_proof(epochs.handovers), epochs),
    }


@pytest.mark.parametrize("name", sorted(samples()))
def test_no_byte_is_unchecked(name: str) -> None:
    """Each byte changed in its lowest bit and in others: never the good verdict.

    The subject is fixed for absence alone: what proves one key absent proves as much of the others
    that would stand in the same empty place, and the verdict then names that other key.
    """
    data, chain = samples()[name]
    good = verify(data, chain.trust())
    assert good.verdict in ("valid", "absent")
    licence = "NEVER" if good.verdict == "absent" else None
    for position in range(len(data)):
        for mask in (0x01, 2 + position * 73 % 254):
            changed = bytearray(data)
            changed[position] ^= mask
            verdict = verify(bytes(changed), chain.trust(), licence=licence)
            assert verdict.verdict in ("invalid", "untrusted"), (position, mask)
            assert (verdict.value, verdict.height) == (None, None)


@pytest.mark.parametrize("name", sorted(samples()))
def test_cut_off_and_padded_files_are_invalid(name: str) -> None:
    data, chain = samples()[name]
    for end in range(0, len(data), 7):
        assert verify(data[:end], chain.trust()).verdict == "invalid"
    assert verify(data + b"\x00", chain.trust()).verdict == "invalid"
    assert verify(bytes(PROOF_SIZE_MAX + 1), chain.trust()).verdict == "invalid"


@given(st.binary(max_size=200))
def test_any_bytes_give_a_verdict(data: bytes) -> None:
    assert verify(data, story().trust()).verdict == "invalid"


small_values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 5) | st.text(max_size=3) | st.binary(max_size=40),
    lambda inner: st.lists(inner, max_size=5),
    max_leaves=12,
)


@given(st.data())
def test_any_structure_in_place_of_any_part_gives_a_verdict(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(samples())))
    encoded, chain = samples()[name]
    value = canonical.decode(encoded)
    spot: object = value
    while True:
        assert isinstance(spot, list)
        index = data.draw(st.integers(0, len(spot) - 1))
        deeper = spot[index]
        if not (isinstance(deeper, list) and deeper and data.draw(st.booleans())):
            break
        spot = deeper
    original, replacement = spot[index], data.draw(small_values)
    spot[index] = replacement
    verdict = verify(canonical.encode(value), chain.trust()).verdict
    same = type(original) is type(replacement) and original == replacement
    assert same or verdict in ("invalid", "untrusted", "absent")


@pytest.mark.parametrize("name", sorted(samples()))
def test_decode_inverts_encode(name: str) -> None:
    data, _ = samples()[name]
    assert Proof.decode(data).encode() == data


def test_presence_and_absence_are_not_interchangeable() -> None:
    proof = Proof.decode(licence_proof())
    assert isinstance(proof.claim, StateClaim)
    for value in (None, canonical.encode({**ACTIVE, "holder": "x"}), proof.claim.value + b"\x00"):
        forged = replace(proof, claim=replace(proof.claim, value=value))
        assert verify(forged.encode(), story().trust()).verdict == "invalid"


def test_a_licences_proof_fits_a_qr_code() -> None:
    """1.8 kB among four validators, with a path as long as a million entries make it."""
    value = {
        "id": "1.2.156.3005.2.91460000MA5T0A1B2C.000012.2026.12345678.1.X",
        "type": "food-business",
        "holder": "91460000MA5T0A1B2C",
        "issuer": "11460000MB1A2B3C4D",
        "issued": "2026-01-01",
        "expires": "2031-01-01",
        "status": "active",
        "reason": "",
    }
    chain = Chain()
    chain.add()
    key = f"licence/{value['id']}"
    chain.add({("licence", key): value})
    proof = Proof.decode(chain.state_proof(1, "licence", key))
    assert isinstance(proof.claim, StateClaim)
    path = replace(proof.claim.path, bitmap=b"\xff" * 4, siblings=bytes(32 * 25))
    size = len(replace(proof, claim=replace(proof.claim, path=path)).encode())
    assert size < 1800
