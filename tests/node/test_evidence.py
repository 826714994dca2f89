"""Evidence convicts who signed two contradicting messages, and nobody else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus.messages import (
    REASON_TIMEOUT,
    Checkpoint,
    Commit,
    Envelope,
    NewView,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    SignedMessage,
    Status,
    Suspect,
    ViewChange,
)
from ledger.hashing import sha256
from ledger.keys import SigningKey
from ledger.storage.folder import DiskFolder
from ledger.storage.memory import MemoryFolder
from ledger.types import Digest, Epoch, Height, Signature, View
from ledger.validators import Validator, ValidatorSet
from node import evidence, evidence_store
from node.evidence import Case, EvidenceFile, EvidenceInvalid, EvidenceUntrusted
from node.evidence_store import EvidenceStore

NAMES = [f"org-{i}" for i in range(4)]
KEYS = {name: SigningKey.from_seed(name.encode().ljust(32)) for name in NAMES}
CHAIN = sha256(b"chain")
EPOCH = Epoch(0)
VALIDATORS = ValidatorSet.of(Validator(name, key.public) for name, key in KEYS.items())

digests = st.sampled_from([sha256(bytes([i])) for i in range(3)])
views = st.integers(0, 2).map(View)
heights = st.integers(1, 3).map(Height)
signatures = st.sampled_from([Signature(b"\x01" + bytes([i]) * 64) for i in range(2)])
prepared = st.builds(
    PreparedCertificate, heights, views, digests, st.just((("org-0", Signature(bytes(65))),))
)
view_changes = st.builds(
    ViewChange, views, heights, digests, st.none(), st.lists(prepared, max_size=1).map(tuple)
)
new_views = st.builds(
    NewView,
    views,
    st.just(()),
    st.lists(st.builds(Proposal, heights, digests, signatures), max_size=1).map(tuple),
)
binding = st.one_of(
    st.builds(PrePrepare, views, heights, digests),
    st.builds(Prepare, views, heights, digests),
    st.builds(Commit, views, heights, digests),
    st.builds(Checkpoint, heights, digests),
    view_changes,
    new_views,
)
free = st.one_of(
    st.builds(Suspect, views, heights, st.just(REASON_TIMEOUT)),
    st.builds(Status, heights, heights, views, st.booleans(), st.none()),
)


def signed(
    message: SignedMessage, name: str = "org-1", chain: Digest = CHAIN, epoch: Epoch = EPOCH
) -> Envelope[SignedMessage]:
    envelope = Envelope(epoch, name, message, Signature(bytes(65)))
    return replace(envelope, signature=KEYS[name].sign(envelope.signed_bytes(chain)))


def contradict(one: SignedMessage, other: SignedMessage) -> bool:
    """The rule as the design states it, written out once more."""
    if type(one) is not type(other) or one == other:
        return False
    if isinstance(one, Status | Suspect):
        return False
    named = {
        PrePrepare: ("view", "n"),
        Prepare: ("view", "n"),
        Commit: ("view", "n"),
        Checkpoint: ("n",),
        ViewChange: ("view",),
        NewView: ("view",),
    }[type(one)]
    return all(getattr(one, name) == getattr(other, name) for name in named)


def proves(data: bytes) -> list[str]:
    """Whom a file convicts. Raises `EvidenceInvalid`."""
    found = EvidenceFile.decode(data)
    if found.chain_id != CHAIN:
        raise EvidenceUntrusted("another chain")
    for case in found.cases:
        case.verify(CHAIN, EPOCH, VALIDATORS)
    return [case.organisation for case in found.cases]


def file_of(*cases: Case) -> bytes:
    return evidence.of_cases(CHAIN, cases).encode()


def case_of(view: int = 0, name: str = "org-1", n: int = 1) -> Case:
    votes = [Prepare(View(view), Height(n), sha256(bytes([i]))) for i in range(2)]
    return Case.of(*(signed(vote, name) for vote in votes))


@given(st.one_of(binding, free), st.one_of(binding, free))
def test_exactly_the_contradictions_of_the_design_make_a_case(
    one: SignedMessage, other: SignedMessage
) -> None:
    pair = signed(one), signed(other)
    if contradict(one, other):
        case = Case.of(*pair)
        assert case == Case.of(*reversed(pair))
        assert proves(file_of(case)) == ["org-1"]
    else:
        with pytest.raises(EvidenceInvalid):
            Case.of(*pair)


@given(binding)
def test_a_vote_sent_again_is_no_contradiction_whatever_its_signature(
    message: SignedMessage,
) -> None:
    once = signed(message)
    with pytest.raises(EvidenceInvalid, match="same message twice"):
        Case.of(once, replace(once, signature=Signature(b"\x01" * 65)))


@given(binding, binding)
def test_messages_of_two_validators_or_epochs_make_no_case(
    one: SignedMessage, other: SignedMessage
) -> None:
    with pytest.raises(EvidenceInvalid):
        Case.of(signed(one), signed(other, "org-2"))
    with pytest.raises(EvidenceInvalid):
        Case.of(signed(one), signed(other, epoch=Epoch(1)))


@given(st.data(), st.sampled_from(["first", "second"]))
def test_one_signature_that_is_not_the_accuseds_convicts_nobody(
    data: st.DataObject, which: str
) -> None:
    one, other = (Prepare(View(0), Height(1), sha256(bytes([i]))) for i in range(2))
    case = Case.of(signed(one), signed(other))
    envelope = getattr(case, which)
    forged = data.draw(
        st.sampled_from(
            [
                KEYS["org-2"].sign(envelope.signed_bytes(CHAIN)),
                KEYS["org-1"].sign(envelope.signed_bytes(sha256(b"another chain"))),
                KEYS["org-1"].sign(replace(envelope, epoch=Epoch(1)).signed_bytes(CHAIN)),
                Signature(bytes(65)),
            ]
        )
    )
    pair = {"first": case.first, "second": case.second}
    pair[which] = replace(envelope, signature=forged)
    with pytest.raises(EvidenceInvalid, match="did not sign both"):
        proves(file_of(Case.of(*pair.values())))


@given(st.data())
def test_no_byte_of_a_file_can_change(data: st.DataObject) -> None:
    good = file_of(case_of(), case_of(view=1), case_of(name="org-3"))
    assert sorted(proves(good)) == ["org-1", "org-1", "org-3"]
    position = data.draw(st.integers(0, len(good) - 1))
    changed = data.draw(st.integers(0, 255).filter(lambda value: value != good[position]))
    with pytest.raises(EvidenceInvalid):
        proves(good[:position] + bytes([changed]) + good[position + 1 :])


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_by_type(data: bytes) -> None:
    with pytest.raises(EvidenceInvalid):
        EvidenceFile.decode(data)


def test_a_file_has_one_form() -> None:
    cases = [case_of(), case_of(view=1), case_of(name="org-3")]
    data = file_of(*cases)
    assert file_of(*reversed(cases), *cases) == data
    assert set(EvidenceFile.decode(data).cases) == set(cases)
    swapped = Case(cases[0].second, cases[0].first)
    with pytest.raises(EvidenceInvalid, match="lesser"):
        EvidenceFile.decode(EvidenceFile(CHAIN, (swapped,)).encode())
    with pytest.raises(EvidenceInvalid, match="ascending"):
        EvidenceFile.decode(EvidenceFile(CHAIN, (cases[0], cases[0])).encode())
    with pytest.raises(EvidenceInvalid, match="without any"):
        EvidenceFile.decode(EvidenceFile(CHAIN, ()).encode())


def test_strangers_and_other_epochs_are_untrusted_not_guilty() -> None:
    case = case_of()
    others = ValidatorSet.of(
        Validator(f"other-{i}", SigningKey.from_seed(bytes([i + 1]) * 32).public) for i in range(4)
    )
    with pytest.raises(EvidenceUntrusted, match="not a validator"):
        case.verify(CHAIN, EPOCH, others)
    with pytest.raises(EvidenceUntrusted, match="epoch 0"):
        case.verify(CHAIN, Epoch(1), VALIDATORS)


def test_words_say_what_was_done() -> None:
    assert case_of(view=3, n=7).words.startswith(
        "signed two different PREPAREs in view 3 for block 7: one for body "
    )
    results = (Checkpoint(Height(7), sha256(bytes([i]))) for i in range(2))
    assert "two different CHECKPOINTs for block 7: one for header" in (
        Case.of(*map(signed, results)).words
    )
    changes = (ViewChange(View(2), Height(i), CHAIN, None, ()) for i in range(2))
    words = Case.of(*map(signed, changes)).words
    assert words.startswith("signed two different VIEW-CHANGEs for view 2: one for certified")


# --- the store ---


def store_of(folder: MemoryFolder | DiskFolder) -> EvidenceStore:
    return EvidenceStore(folder, CHAIN, EPOCH, VALIDATORS)


def keep(store: EvidenceStore, case: Case) -> bool:
    name = store.take(case)
    if name is not None:
        store.write(name, case)
    return name is not None


def test_evidence_survives_a_restart_in_its_order(tmp_path: Path) -> None:
    folder = DiskFolder(tmp_path / "evidence")
    store = store_of(folder)
    cases = [case_of(name=name) for name in ("org-3", "org-0", "org-2")]
    assert all(keep(store, case) for case in cases)
    store.close()
    again = store_of(DiskFolder(tmp_path / "evidence"))
    assert again.cases == cases
    assert keep(again, case_of(name="org-1"))
    again.close()
    files = sorted((tmp_path / "evidence").glob("*" + evidence_store.SUFFIX))
    assert [proves(file.read_bytes()) for file in files] == [
        ["org-3"],
        ["org-0"],
        ["org-2"],
        ["org-1"],
    ]


def test_one_matter_is_kept_once_and_a_liar_only_twice() -> None:
    store = store_of(MemoryFolder())
    assert keep(store, case_of())
    third = signed(Prepare(View(0), Height(1), sha256(b"third")))
    assert not keep(store, Case.of(store.cases[0].first, third))
    assert [keep(store, case_of(view=view)) for view in range(1, 4)] == [True, False, False]
    assert keep(store, case_of(name="org-2"))
    assert len(store) == 3


def test_the_bytes_of_all_cases_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    store = store_of(MemoryFolder())
    size = sum(map(len, case_of().encoded()))
    monkeypatch.setattr(evidence_store, "STORE_BYTES_MAX", 2 * size)
    assert [keep(store, case_of(name=name)) for name in NAMES] == [True, True, False, False]


def test_damaged_and_foreign_files_are_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    folder = MemoryFolder()
    store = store_of(folder)
    for name in NAMES:
        keep(store, case_of(name=name))
    first, second, third, _ = folder.names()
    folder.create(first, folder.read(first, 0, 100))
    data = bytearray(folder.read(second, 0, 10_000))
    data[-1] ^= 1
    folder.create(second, bytes(data))
    folder.create(third, b"")
    folder.create("notes.txt", b"not ours")
    again = store_of(folder)
    assert [case.organisation for case in again.cases] == ["org-3"]
    assert caplog.text.count("passed over evidence/") == 4
    assert keep(again, case_of(name="org-0"))
    assert len(folder.names()) == 6
