"""Check digits against python-stdnum, dates against `datetime`, real forms in the sample."""

import datetime as dt
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stdnum.cn import uscc
from stdnum.iso7064 import mod_37_36

from contracts.worker.checkdigits import (
    DATE_MS_MAX,
    date,
    date_valid,
    licence_id_valid,
    mod_37_36_valid,
    uscc_valid,
)
from devnet import sample

USCC_SYMBOLS = "0123456789ABCDEFGHJKLMNPQRTUWXY"
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
CHINA = timezone(timedelta(hours=8))
ROOT = "1.2.156.3005.2."


def identifier_text(identifier: str) -> str:
    return identifier.removeprefix(ROOT).replace(".", "")


def test_codes_of_the_standards_documents() -> None:
    assert uscc_valid("91350100M000100Y43")
    assert not uscc_valid("91350100M000100Y4Z")
    full = "1.2.156.3005.2.11100000000013338W011.11430000006122244L.20230000403.001.U"
    assert mod_37_36_valid(identifier_text(full))


def test_the_whole_sample_passes() -> None:
    for licence in sample.licences():
        assert mod_37_36_valid(identifier_text(licence.id))
        assert uscc_valid(licence.holder)
        assert uscc_valid(licence.issuer)
    for credit in sample.attestations():
        assert uscc_valid(credit.subject)


def test_one_wrong_symbol_is_noticed_anywhere() -> None:
    code = "91350100M000100Y43"
    for at, right in enumerate(code):
        for wrong in USCC_SYMBOLS:
            assert uscc_valid(code[:at] + wrong + code[at + 1 :]) == (wrong == right)
    text = identifier_text(sample.licences()[0].id)
    for at, right in enumerate(text):
        for wrong in ALPHABET:
            assert mod_37_36_valid(text[:at] + wrong + text[at + 1 :]) == (wrong == right)


@given(
    st.from_regex(rf"[0-9]{{8}}[{USCC_SYMBOLS}]{{9}}", fullmatch=True),
    st.sampled_from(USCC_SYMBOLS),
)
def test_uscc_as_stdnum(stem: str, check: str) -> None:
    assert uscc_valid(stem + uscc.calc_check_digit(stem))
    assert uscc_valid(stem + check) == uscc.is_valid(stem + check)


def test_uscc_of_a_rural_collective() -> None:
    # GB 32100 table 1 has letters for registrars; stdnum 2.2 takes digits only.
    stem = "N2469024MF1234567"
    assert sum(uscc_valid(stem + check) for check in USCC_SYMBOLS) == 1


@given(st.text(max_size=20) | st.text("0123456789IOSVZaé٣ ", min_size=18, max_size=18))
def test_uscc_refuses_anything_else(text: str) -> None:
    assert not uscc_valid(text) or (len(text) == 18 and text.isascii())


@given(st.text(ALPHABET, min_size=1, max_size=60), st.sampled_from(ALPHABET))
def test_mod_37_36_as_stdnum(stem: str, check: str) -> None:
    assert mod_37_36_valid(stem + mod_37_36.calc_check_digit(stem))
    assert mod_37_36_valid(stem + check) == mod_37_36.is_valid(stem + check)


@pytest.mark.parametrize("text", ["", "1", "A", "a1", "12-3", "٣٣", "é"])
def test_mod_37_36_refuses_what_cannot_be_checked(text: str) -> None:
    assert not mod_37_36_valid(text)


@given(st.integers(-8 * 3_600_000, DATE_MS_MAX - 8 * 3_600_000))
def test_date_is_the_day_in_china(ms: int) -> None:
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
    assert date(ms) == moment.astimezone(CHINA).date().isoformat()


def test_date_at_its_bounds() -> None:
    assert date(-8 * 3_600_000) == "1970-01-01"
    assert date(DATE_MS_MAX) == "9999-12-31"
    for ms in (-8 * 3_600_000 - 1, DATE_MS_MAX + 1):
        with pytest.raises(ValueError, match="1970 to 9999"):
            date(ms)


def test_a_licence_identifier_has_its_form_and_its_check_symbol() -> None:
    whole = sample.licences()[0].id
    assert all(licence_id_valid(licence.id) for licence in sample.licences())
    for at, right in enumerate(whole):
        for wrong in "0A.a":
            changed = whole[:at] + wrong + whole[at + 1 :]
            assert licence_id_valid(changed) == (wrong == right)
        assert not licence_id_valid(whole[:at] + whole[at + 1 :])
    assert not licence_id_valid(whole[:35] + "." + whole[35] + whole[37:])
    assert not licence_id_valid("")


@given(st.dates())
def test_every_day_is_valid(day: dt.date) -> None:
    assert date_valid(day.isoformat())


@given(st.from_regex(r"[0-9]{4}-[0-3][0-9]-[0-3][0-9]", fullmatch=True) | st.text(max_size=12))
def test_a_date_is_valid_as_in_python(text: str) -> None:
    try:
        expected = dt.date.fromisoformat(text).isoformat() == text
    except ValueError:
        expected = False
    assert date_valid(text) == expected


@pytest.mark.parametrize("text", ["２０２３-01-01", "+123-01-01", "0000-01-01", "1900-02-29", ""])
def test_what_is_no_date(text: str) -> None:
    assert not date_valid(text)
    assert date_valid("2000-02-29")
