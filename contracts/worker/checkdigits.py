"""Pure helpers that contracts call: check digits of Chinese identifiers, and dates.

Native because a check digit written in the dialect costs thousands of gas. Each is total: any
string has an answer. They are versioned with the contract API: a change of any verdict is a new
dialect version.

Left out: registration. A right check digit says nothing about whether the code was ever issued.
"""

from __future__ import annotations

from typing import Final

# GB 32100-2015 §5.3: digits and capitals without I, O, S, V, Z.
_USCC_SYMBOLS: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_SIZE: Final = 18
# What each symbol adds at each position; the weights are 3^i mod 31, and the check symbol's is 1.
_USCC_TERMS: Final = tuple(
    {symbol: value * weight for value, symbol in enumerate(_USCC_SYMBOLS)}
    for weight in (*(pow(3, i, 31) for i in range(_USCC_SIZE - 1)), 1)
)

# ISO/IEC 7064 §9, modulus pair 37, 36: what the running product becomes after each symbol.
_HYBRID_SYMBOLS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HYBRID_STEP: Final = tuple(
    {
        symbol: ((product + value) % 36 or 36) * 2 % 37
        for value, symbol in enumerate(_HYBRID_SYMBOLS)
    }
    for product in range(37)
)

DATE_MS_MAX: Final = 253_402_271_999_999
"""End of 9999-12-31 in UTC+8."""

_DAY_MS: Final = 86_400_000
_CHINA_MS: Final = 8 * 3_600_000


def uscc_valid(text: str) -> bool:
    """True for a unified social credit code with a right check digit (GB 32100-2015).

    Two symbols of registrar and class (letters occur: N for rural collectives), six digits of
    region, nine of subject, one check symbol. Capitals only, no separators.
    """
    if len(text) != _USCC_SIZE:
        return False
    total = 0
    try:
        for symbol, terms in zip(text, _USCC_TERMS, strict=True):
            total += terms[symbol]
    except KeyError:
        return False
    region = text[2:8]
    return total % 31 == 0 and region.isascii() and region.isdigit()


def mod_37_36_valid(text: str) -> bool:
    """True if the last symbol checks the others by ISO 7064 MOD 37,36 (digits and capitals)."""
    product = 36
    try:
        for symbol in text:
            product = _HYBRID_STEP[product][symbol]
    except KeyError:
        return False
    # After a right check symbol the sum is 1 mod 36, hence the doubled product 2.
    return len(text) >= 2 and product == 2


def date(ms: int) -> str:
    """`YYYY-MM-DD` of the day in UTC+8 that holds `ms`, milliseconds since 1970-01-01 UTC.

    Raises `ValueError` outside 1970-01-01 to 9999-12-31. Howard Hinnant's `civil_from_days`:
    integers only, so no time zone of the host comes near it.
    """
    if not -_CHINA_MS <= ms <= DATE_MS_MAX:
        raise ValueError("a time outside the years 1970 to 9999")
    days = (ms + _CHINA_MS) // _DAY_MS + 719_468
    era, day_of_era = divmod(days, 146_097)
    year_of_era = (
        day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096
    ) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    year = year_of_era + 400 * era + (1 if month <= 2 else 0)
    return f"{year:04d}-{month:02d}-{day:02d}"
