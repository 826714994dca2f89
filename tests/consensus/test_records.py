"""The write-ahead log's records as bytes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consensus import records
from consensus.messages import PreparedCertificate
from consensus.records import (
    BodyRecord,
    Highest,
    NewViewTaken,
    Prepared,
    PrePrepared,
    Record,
    ViewChanged,
)
from ledger import canonical
from ledger.canonical import DecodingError
from ledger.errors import FieldError
from tests.consensus import strategies as wire

RECORDS: st.SearchStrategy[Record] = st.one_of(
    st.builds(PrePrepared, wire.EPOCHS, wire.VIEWS, wire.HEIGHTS, wire.DIGESTS, wire.SIGNATURES),
    st.builds(Prepared, wire.EPOCHS, wire.PREPARED),
    st.builds(ViewChanged, wire.EPOCHS, st.binary(max_size=50)),
    st.builds(NewViewTaken, wire.EPOCHS, st.binary(max_size=50)),
    st.builds(Highest, wire.EPOCHS, wire.VIEWS, wire.HEIGHTS),
    st.builds(
        BodyRecord, st.binary(max_size=50), st.lists(st.binary(max_size=9), max_size=4).map(tuple)
    ),
)


@given(RECORDS)
def test_a_record_comes_back(record: Record) -> None:
    assert records.decode(records.encode(record)) == record


@given(RECORDS, st.data())
def test_a_cut_or_longer_record_is_refused(record: Record, data: st.DataObject) -> None:
    encoded = records.encode(record)
    cut = data.draw(st.integers(0, len(encoded) - 1))
    for wrong in (encoded[:cut], encoded + b"\xc0"):
        with pytest.raises((DecodingError, FieldError)):
            records.decode(wrong)


def test_a_prepared_certificate_with_a_signer_twice_is_refused() -> None:
    pair = ("org-00", wire.signature(1))
    certificate = PreparedCertificate(*wire.position(), wire.digest(1), (pair, pair))
    with pytest.raises(FieldError):
        records.decode(records.encode(Prepared(wire.epoch(0), certificate)))


@pytest.mark.parametrize(
    "row",
    [
        [99, [0, 1, 2]],
        [records.KIND_HIGHEST, [0, 1]],
        [records.KIND_HIGHEST, [0, -1, 2]],
        [records.KIND_HIGHEST, [0, 1, 2, 3]],
        [records.KIND_PRE_PREPARED, [0, 1, 2, b"short", b""]],
        [records.KIND_VIEW_CHANGED, [0, "text"]],
        [records.KIND_BODY, [b"body"]],
        [records.KIND_HIGHEST],
        "text",
    ],
)
def test_what_is_no_record_is_refused(row: canonical.Value) -> None:
    with pytest.raises(FieldError):
        records.decode(canonical.encode(row))
