"""Hypothesis strategies for everything on the wire. Form only: signatures are random bytes."""

from __future__ import annotations

from hypothesis import strategies as st

from consensus.messages import (
    BlockData,
    Blocks,
    BodyData,
    Checkpoint,
    Commit,
    Envelope,
    FetchBlocks,
    FetchBody,
    FetchTransactions,
    NewView,
    OwnVote,
    OwnVoteQuery,
    Prepare,
    PreparedCertificate,
    PrePrepare,
    Proposal,
    SignedMessage,
    Status,
    Suspect,
    Transactions,
    UnsignedMessage,
    ViewChange,
)
from ledger.certificate import Certificate
from ledger.fields import NUMBER_MAX
from ledger.types import Digest, Epoch, Height, Signature, View


def digest(number: int) -> Digest:
    return Digest(bytes([number]) * 32)


def signature(number: int) -> Signature:
    return Signature(bytes([number]) * 65)


def epoch(number: int) -> Epoch:
    return Epoch(number)


def position() -> tuple[Height, View]:
    return Height(1), View(0)


NUMBERS = st.one_of(st.integers(0, 300), st.integers(0, NUMBER_MAX))
EPOCHS = NUMBERS.map(Epoch)
VIEWS = NUMBERS.map(View)
HEIGHTS = NUMBERS.map(Height)
DIGESTS = st.integers(0, 255).map(digest)
SIGNATURES = st.integers(0, 255).map(signature)
NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=8)
BYTES = st.binary(max_size=12)
PAIRS = st.dictionaries(NAMES, SIGNATURES, max_size=4).map(lambda item: tuple(sorted(item.items())))

CERTIFICATES = st.builds(Certificate, EPOCHS, HEIGHTS, DIGESTS, PAIRS)
PREPARED = st.builds(PreparedCertificate, HEIGHTS, VIEWS, DIGESTS, PAIRS)
PREPARED_LISTS = st.lists(PREPARED, max_size=4, unique_by=lambda item: item.n).map(
    lambda items: tuple(sorted(items, key=lambda item: item.n))
)
VIEW_CHANGES = st.builds(
    ViewChange, VIEWS, HEIGHTS, DIGESTS, st.none() | CERTIFICATES, PREPARED_LISTS
)
PROPOSALS = st.lists(
    st.builds(Proposal, HEIGHTS, DIGESTS, SIGNATURES), max_size=4, unique_by=lambda item: item.n
).map(lambda items: tuple(sorted(items, key=lambda item: item.n)))

MESSAGES: st.SearchStrategy[SignedMessage] = st.one_of(
    st.builds(PrePrepare, VIEWS, HEIGHTS, DIGESTS),
    st.builds(Prepare, VIEWS, HEIGHTS, DIGESTS),
    st.builds(Commit, VIEWS, HEIGHTS, DIGESTS),
    st.builds(Checkpoint, HEIGHTS, DIGESTS),
    st.builds(Suspect, VIEWS, HEIGHTS, st.integers(0, 4)),
    st.builds(Status, HEIGHTS, HEIGHTS, VIEWS, st.booleans(), st.none() | DIGESTS),
    VIEW_CHANGES,
)


@st.composite
def _new_view(draw: st.DrawFn, number: Epoch) -> NewView:
    signers = sorted(draw(st.sets(NAMES, max_size=3)))
    changes = tuple(
        Envelope(number, signer, draw(VIEW_CHANGES), draw(SIGNATURES)) for signer in signers
    )
    return NewView(draw(VIEWS), changes, draw(PROPOSALS))


@st.composite
def _envelope(draw: st.DrawFn) -> Envelope[SignedMessage]:
    number = draw(EPOCHS)
    message = draw(st.one_of(MESSAGES, _new_view(number)))
    return Envelope(number, draw(NAMES), message, draw(SIGNATURES))


ENVELOPES = _envelope()

LISTS = st.lists(BYTES, max_size=4).map(tuple)
UNSIGNED: st.SearchStrategy[UnsignedMessage] = st.one_of(
    st.builds(FetchBlocks, HEIGHTS),
    st.builds(
        Blocks,
        HEIGHTS,
        st.lists(
            st.builds(BlockData, BYTES, st.none() | BYTES, LISTS, st.none() | BYTES), max_size=3
        ).map(tuple),
    ),
    st.builds(FetchBody, DIGESTS),
    st.builds(BodyData, BYTES, LISTS),
    st.builds(FetchTransactions, st.lists(DIGESTS, max_size=4).map(tuple)),
    st.builds(Transactions, LISTS),
    st.just(OwnVoteQuery()),
    st.builds(OwnVote, st.lists(BYTES, max_size=2).map(tuple)),
)
