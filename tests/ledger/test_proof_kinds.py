"""Proofs of many keys, of a history that only grew, as text, and what hand-overs lead to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger import canonical
from ledger.errors import InvalidInput
from ledger.hashing import sha256
from ledger.history import HistoryTree
from ledger.proof_anchors import ProofInvalid, ProofUntrusted
from ledger.proof_builders import (
    build_consistency_proof,
    build_header_proof,
    build_states_proof,
    history_anchor,
)
from ledger.proof_claims import ConsistencyClaim, Entry, StatesClaim
from ledger.proof_format import (
    PROOF_SIZE_MAX,
    Anchor,
    CertificateAnchor,
    Handover,
    ParentAnchor,
    Proof,
    ProofTooLarge,
)
from ledger.proof_text import PREFIX, ProofTextInvalid, from_text, to_text
from ledger.proof_verdicts import SEVERITY, worst
from ledger.proofs import follow, verify, verify_each
from ledger.state_proof import StateProof, state_key_hash
from tests.ledger.proof_chain import GENESIS_MS, Chain, Council
from tests.ledger.test_proofs import three_epochs

ACTIVE = {"status": "active", "expires": "2027-01-01"}
NAMES = [("licence", f"licence/{n}") for n in range(4)] + [("credit", "credit/a/x")]
ABSENT = ("licence", "licence/NEVER")


@cache
def story() -> Chain:
    """1 issues; 2 revokes licence/1, suspends licence/2, lets licence/3 be over; 3 to 8 empty."""
    chain = Chain()
    chain.add({("registry", f"role/{i}"): True for i in range(40)})
    chain.add(dict.fromkeys(NAMES, ACTIVE))
    chain.add(
        {
            NAMES[1]: {**ACTIVE, "status": "revoked"},
            NAMES[2]: {**ACTIVE, "status": "suspended"},
            NAMES[3]: {**ACTIVE, "expires": "2025-12-31"},
        }
    )
    for _ in range(6):
        chain.add()
    return chain


def states_proof(
    names: Sequence[tuple[str, str]], height: int = 2, anchor: Anchor | None = None
) -> bytes:
    """What a node would answer for `names` at `height`."""
    chain = story()
    proven: list[tuple[Entry, StateProof]] = [
        (
            Entry(*name, chain.states[height].get(name)),
            chain.views[height].prove(state_key_hash(*name)),
        )
        for name in names
    ]
    return build_states_proof(proven, chain.headers[height], anchor or chain.certificate(height))


def consistency(first: int, second: int) -> bytes:
    chain = story()
    return build_consistency_proof(
        chain.headers[first], chain.headers[second], chain.read, chain.certificate(second)
    )


# --- many keys -----------------------------------------------------------------------------------


def test_every_key_has_its_verdict() -> None:
    verdicts = verify_each(states_proof([*NAMES, ABSENT]), story().trust())
    assert {each.subject: (each.verdict, each.exit_code) for each in verdicts} == {
        "licence/licence/0": ("valid", 0),
        "licence/licence/1": ("revoked", 3),
        "licence/licence/2": ("suspended", 3),
        "licence/licence/3": ("expired", 7),
        "credit/credit/a/x": ("valid", 0),
        "licence/licence/NEVER": ("absent", 6),
    }
    hashes = [state_key_hash(*each.subject.split("/", 1)) for each in verdicts]
    assert hashes == sorted(hashes)
    assert {each.height for each in verdicts} == {2}
    assert verify(states_proof([*NAMES, ABSENT]), story().trust()).verdict == "absent"


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (NAMES[:1], "valid"),
        (NAMES[::3], "expired"),
        (NAMES[2:], "suspended"),
        (NAMES[1:], "revoked"),
        ([*NAMES, ABSENT], "absent"),
    ],
)
def test_the_worst_verdict_speaks_for_all(names: list[tuple[str, str]], expected: str) -> None:
    assert verify(states_proof(names), story().trust()).verdict == expected


def test_the_worst_is_the_first_in_the_order_of_verdicts() -> None:
    one = verify(states_proof(NAMES[:1]), story().trust())
    for place, name in enumerate(SEVERITY):
        others = [replace(one, verdict=later, exit_code=9) for later in SEVERITY[place:]]
        assert worst(list(reversed(others))).verdict == name
    expected = replace(one, verdict="absent", exit_code=0)
    assert worst([expected, replace(one, verdict="expired", exit_code=7)]).verdict == "expired"


def test_absence_expected_of_all() -> None:
    never = [ABSENT, ("credit", "credit/a/NEVER")]
    both = verify_each(states_proof(never), story().trust(), expect="absent")
    assert [(each.verdict, each.exit_code) for each in both] == [("absent", 0)] * 2
    mixed = verify(states_proof([ABSENT, NAMES[0]]), story().trust(), expect="absent")
    assert (mixed.verdict, mixed.exit_code) == ("invalid", 1)


def test_one_of_many_is_judged_alone() -> None:
    data, trust = states_proof(NAMES), story().trust()
    (only,) = verify_each(data, trust, licence="0")
    assert (only.subject, only.verdict) == ("licence/licence/0", "valid")
    (only,) = verify_each(data, trust, key="credit/credit/a/x")
    assert only.verdict == "valid"
    (other,) = verify_each(data, trust, licence="NEVER")
    assert (other.verdict, other.subject) == ("invalid", "5 keys")
    assert "licence NEVER" in other.reason


def test_a_fault_of_the_file_is_every_keys() -> None:
    data = states_proof(NAMES)
    stranger = replace(story().trust(), chain_id=sha256(b"other"))
    assert {each.verdict for each in verify_each(data, stranger)} == {"untrusted"}
    stale = verify_each(data, story().trust(), now_ms=GENESIS_MS + 10_000, max_age_ms=1)
    assert {each.verdict for each in stale} == {"stale"}
    proof = Proof.decode(data)
    assert isinstance(proof.claim, StatesClaim)
    entries = list(proof.claim.entries)
    for forged in (
        tuple(reversed(entries)),
        (*entries[1:], entries[0]),
        (entries[0], *entries),
        tuple(entries[1:]),
        (replace(entries[0], value=canonical.encode(True)), *entries[1:]),
        (replace(entries[0], value=None), *entries[1:]),
        (),
    ):
        claim = replace(proof.claim, entries=forged)
        verdicts = verify_each(replace(proof, claim=claim).encode(), story().trust())
        assert {each.verdict for each in verdicts} <= {"invalid"}


def test_many_keys_at_a_time() -> None:
    chain = story()
    data = states_proof(NAMES, 1, ParentAnchor(chain.headers[2], chain.certificate(2)))
    before, after = chain.headers[1].time_ms, chain.headers[2].time_ms
    assert {each.verdict for each in verify_each(data, chain.trust(), at_ms=after - 1)} == {"valid"}
    for outside in (before - 1, after):
        assert verify(data, chain.trust(), at_ms=outside).verdict == "invalid"


def test_a_proof_larger_than_any_that_is_read_is_not_made() -> None:
    chain = story()
    path = chain.views[1].prove(state_key_hash(*NAMES[0]))
    entry = Entry(*NAMES[0], bytes(PROOF_SIZE_MAX))
    with pytest.raises(ProofTooLarge):
        build_states_proof([(entry, path)], chain.headers[1], chain.certificate(1))


# --- a history that only grew --------------------------------------------------------------------


def test_every_pair_of_heights() -> None:
    for second in range(1, 9):
        for first in range(second + 1):
            verdict = verify(consistency(first, second), story().trust())
            assert (verdict.verdict, verdict.claim) == ("valid", "consistency"), (first, second)
            assert verdict.subject == f"headers {first} to {second}"
            assert verdict.height == second


def test_another_past_is_refused() -> None:
    """A header that is not in the later chain, and one that is, but tells another past."""
    proof = Proof.decode(consistency(3, 7))
    assert isinstance(proof.claim, ConsistencyClaim)
    claim, chain = proof.claim, story()
    other = replace(claim.earlier, state_root=sha256(b"other"))
    liar = replace(claim.earlier, history_root=sha256(b"other"))
    longer = (*claim.consistency, claim.path[0])
    genesis = Proof.decode(consistency(0, 7)).claim
    for forged in (
        replace(claim, earlier=other),
        replace(claim, earlier=liar),
        replace(claim, earlier=chain.headers[4]),
        replace(claim, earlier=chain.headers[8]),
        replace(claim, earlier=chain.headers[7]),
        replace(claim, path=claim.path[:-1]),
        replace(claim, consistency=claim.consistency[:-1]),
        replace(claim, consistency=longer),
        replace(claim, consistency=()),
        replace(genesis, consistency=claim.consistency),  # type: ignore[type-var]
    ):
        verdict = verify(replace(proof, claim=forged).encode(), chain.trust())
        assert verdict.verdict == "invalid"


def test_a_header_that_the_chain_holds_but_that_tells_another_past() -> None:
    """Its inclusion verifies; only the consistency path finds it out."""
    chain = Chain()
    for _ in range(4):
        chain.add()
    honest = chain.history
    chain.history = HistoryTree()
    for number in range(4):
        chain.history.append(sha256(b"a header of another chain, %d" % number))
    liar = chain.add()
    chain.history = honest
    for level, position, value in honest.append(liar.hash):
        chain.nodes[level, position] = value
    later = [chain.add() for _ in range(3)][-1]
    signed = chain.certificate(later.n)
    included = build_header_proof(liar, history_anchor(4, later, chain.read, signed))
    assert verify(included, chain.trust()).verdict == "valid"
    verdict = verify(build_consistency_proof(liar, later, chain.read, signed), chain.trust())
    assert (verdict.verdict, "begin" in verdict.reason) == ("invalid", True)


def test_a_fork_below_the_trusted_height_is_seen() -> None:
    """A chain that a dishonest quorum signed, in whose past the trusted header is another."""
    chain = story()
    assert verify(consistency(3, 7), chain.trust(3)).verdict == "valid"
    twin = replace(chain.trust(3), header_hash=sha256(b"the header that was trusted"))
    for data in (
        consistency(3, 7),
        build_header_proof(
            chain.headers[3],
            history_anchor(3, chain.headers[7], chain.read, chain.certificate(7)),
        ),
        build_header_proof(
            chain.headers[2],
            ParentAnchor(
                chain.headers[3],
                history_anchor(3, chain.headers[7], chain.read, chain.certificate(7)),
            ),
        ),
    ):
        verdict = verify(data, twin)
        assert (verdict.verdict, "forked" in verdict.reason) == ("invalid", True)


# --- bytes ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["many", "consistency", "from genesis", "to itself"])
def test_no_byte_is_unchecked(name: str) -> None:
    data = {
        "many": states_proof([*NAMES[:2], ABSENT]),
        "consistency": consistency(3, 7),
        "from genesis": consistency(0, 6),
        "to itself": consistency(4, 4),
    }[name]
    trust = story().trust()
    good = [each.subject for each in verify_each(data, trust)]
    assert verify(data, trust).verdict == ("absent" if name == "many" else "valid")
    for position in range(len(data)):
        for mask in (0x01, 2 + position * 73 % 254):
            changed = bytearray(data)
            changed[position] ^= mask
            verdicts = verify_each(bytes(changed), trust)
            # What proves one key absent proves as much of others in the same empty place.
            same = [each.subject for each in verdicts] == good
            assert not same or {each.verdict for each in verdicts} <= {"invalid", "untrusted"}
    for end in range(0, len(data), 7):
        assert verify(data[:end], trust).verdict == "invalid"
    assert Proof.decode(data).encode() == data


# --- text ----------------------------------------------------------------------------------------


@given(st.binary(max_size=40))
def test_text_and_back(data: bytes) -> None:
    text = to_text(data)
    assert from_text(text) == data
    assert set(text) <= set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")
    assert not text.endswith(" ")


def test_the_examples_of_rfc_9285() -> None:
    for data, encoded in ((b"AB", "BB8"), (b"Hello!!", "%69 VD92EX0"), (b"base-45", "UJCLQE7W581")):
        assert to_text(data) == PREFIX + encoded


@pytest.mark.parametrize("body", ["A", "AB8B", ":::", "ZZ", "bb8", "Ä00", "GGW", "BB8\n"])
def test_text_that_no_bytes_have(body: str) -> None:
    with pytest.raises(ProofTextInvalid):
        from_text(PREFIX + body)


def test_the_text_is_judged_as_the_bytes_are() -> None:
    data, trust = states_proof(NAMES[:1]), story().trust()
    text = to_text(data).encode()
    for whole in (text, text + b"\n", text + b"\r\n"):
        assert verify_each(whole, trust) == verify_each(data, trust)
    for spoiled in (text[:-1], text.lower(), text.replace(b":", b";"), text + b"0"):
        verdict = verify(spoiled, trust)
        assert verdict.verdict == "invalid"
    assert verify(PREFIX.encode() * PROOF_SIZE_MAX, trust).verdict == "invalid"


# --- hand-overs ----------------------------------------------------------------------------------


def late(handovers: Sequence[Handover], header: int = 7, anchor: Anchor | None = None) -> bytes:
    chain = three_epochs()
    return build_header_proof(chain.headers[header], anchor or chain.certificate(7), handovers)


def test_hand_overs_lead_to_a_new_trust_anchor() -> None:
    chain = three_epochs()
    assert follow(late(chain.handovers), chain.trust(0)) == chain.trust(7)
    assert follow(late(chain.handovers[1:]), chain.trust(4)) == chain.trust(7)
    past = history_anchor(1, chain.headers[7], chain.read, chain.certificate(7))
    old = chain.state_proof(1, "licence", "licence/ABC123", past, chain.handovers)
    assert follow(old, chain.trust(0)) == chain.trust(7), "the certified header counts"
    assert verify(late([]), follow(late(chain.handovers), chain.trust(0))).verdict == "valid"


def test_without_hand_overs_nothing_changes() -> None:
    chain = three_epochs()
    assert follow(late([]), chain.trust(6)) == chain.trust(6)


def test_what_does_not_verify_leads_nowhere() -> None:
    chain = three_epochs()
    first, second = chain.handovers
    liars = Council.of(4, first=20)
    with pytest.raises(ProofUntrusted):
        follow(late([first]), chain.trust(0))
    with pytest.raises(ProofInvalid):
        follow(late([replace(first, next_validators=liars.validators), second]), chain.trust(0))
    forged = chain.state_proof(7, "licence", "licence/ABC123", None, chain.handovers)
    proof = Proof.decode(forged)
    with pytest.raises(ProofInvalid):
        follow(
            replace(proof, claim=replace(proof.claim, value=b"\xc0")).encode(),  # type: ignore[type-var]
            chain.trust(0),
        )
    with pytest.raises(InvalidInput):
        follow(b"no proof", chain.trust(0))
    other = CertificateAnchor(chain.certificate(7).signatures[:-1])
    with pytest.raises(ProofInvalid):
        follow(late(chain.handovers, anchor=other), chain.trust(0))
