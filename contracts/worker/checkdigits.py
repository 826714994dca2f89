"""Pure helpers that contracts call: Chinese identifiers with their check digits, and dates.

Native because a check digit written in the dialect costs thousands of gas. Each is total: any
string has an answer, and what is no string is a TypeError. They are versioned with the contract
API: a change of any verdict is a new dialect version.

Left out: registration. A right check digit says nothing about whether the code was ever issued.
"""

from __future__ import annotations

from typing import Any, Final

# GB 32100-2015 §5.3: digits and capitals without I, O, S, V, Z.
_USCC_SYMBOLS: Final = "0123456789ABCDEFGHJKLMNPQRTUWXY"
_USCC_SIZE: Final = 18
# The symbol at place i weighs 3^i mod 31, the check symbol 1, and the sum is 0 mod 31. As 34 is 3
# mod 31, the weighed sum of the others is a number written to the base 34, the last symbol first,
# which `int` reads. What is no symbol becomes what is no digit.
_USCC_BASE: Final = 34
_USCC_DIGITS: Final = bytearray(b"!" * 256)
for _symbol, _digit in zip(_USCC_SYMBOLS, b"0123456789abcdefghijklmnopqrstu", strict=True):
    _USCC_DIGITS[ord(_symbol)] = _digit
_USCC_CHECK: Final = {symbol: -value % 31 for value, symbol in enumerate(_USCC_SYMBOLS)}

# ISO/IEC 7064 §9, modulus pair 37, 36, as an automaton over character codes: a state, one for each
# running product, is a table of what follows it, for stepping through lists is the fastest the
# interpreter has. No symbol stands above "Z".
_State = list[Any]
_DEAD: Final[_State] = []
_DEAD.extend([_DEAD] * (ord("Z") + 1))
_HYBRID_SYMBOLS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_HYBRID: Final = [_DEAD.copy() for _ in range(37)]
for _product, _following in enumerate(_HYBRID):
    for _value, _symbol in enumerate(_HYBRID_SYMBOLS):
        _following[ord(_symbol)] = _HYBRID[((_product + _value) % 36 or 36) * 2 % 37]
_HYBRID_START: Final = _HYBRID[36]
# After a right check symbol the sum is 1 mod 36, hence the doubled product 2.
_HYBRID_RIGHT: Final = _HYBRID[2]

# GB/T 36904: the arc of electronic licences, and five fields behind it. The head, up to the dot
# behind the second field, says what kind of licence it is and who issues it, so a few heads begin
# most identifiers, and what state they lead to is remembered.
_LICENCE_ROOT: Final = "1.2.156.3005.2."
_LICENCE_SIZE: Final = 73
_HEAD_SIZE: Final = 56
_HEADS_MAX: Final = 1_024
_heads: dict[str, _State] = {}

_MONTHS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)
_DAYS: Final = frozenset(
    f"-{month:02d}-{day:02d}" for month, days in enumerate(_MONTHS, 1) for day in range(1, days + 1)
)
"""Those of every year."""
_YEARS: Final = frozenset(f"{year:04d}" for year in range(1, 10_000))

DATE_MS_MAX: Final = 253_402_271_999_999
"""End of 9999-12-31 in UTC+8."""

_DAY_MS: Final = 86_400_000
_CHINA_MS: Final = 8 * 3_600_000


def uscc_valid(text: str) -> bool:
    """True for a unified social credit code with a right check digit (GB 32100-2015).

    Two symbols of registrar and class (letters occur: N for rural collectives), six digits of
    region, nine of subject, one check symbol. Capitals only, no separators.
    """
    if type(text) is not str:
        raise TypeError
    if len(text) != _USCC_SIZE:
        return False
    region = text[2:8]
    if not text.isascii() or not region.isdigit():
        return False
    try:
        weighed = int(text[-2::-1].encode().translate(_USCC_DIGITS), _USCC_BASE)
    except ValueError:
        return False
    return weighed % 31 == _USCC_CHECK.get(text[-1])


def mod_37_36_valid(text: str) -> bool:
    """True if the last symbol checks the others by ISO 7064 MOD 37,36 (digits and capitals)."""
    return len(text) >= 2 and _stepped(_HYBRID_START, text) is _HYBRID_RIGHT


def _stepped(state: _State, text: str) -> _State:
    """The state that the symbols of `text` lead to from `state`, `_DEAD` if one is none."""
    try:
        for code in text.encode("ascii"):
            state = state[code]
    except (IndexError, UnicodeEncodeError):
        return _DEAD
    return state


def licence_id_valid(text: str) -> bool:
    """True for an electronic licence's identifier with a right check symbol (GB/T 36904).

    After the root 1.2.156.3005.2 come fields of 21, 18, 11, 3 and 1 symbols with dots between; the
    last symbol checks all others by ISO 7064 MOD 37,36.
    """
    if type(text) is not str:
        raise TypeError
    if len(text) != _LICENCE_SIZE:
        return False
    head = text[:_HEAD_SIZE]
    state = _heads.get(head) or _read_head(head)
    if not text[67] == text[71] == ".":
        return False
    return _stepped(state, text[56:67] + text[68:71] + text[72]) is _HYBRID_RIGHT


def _read_head(head: str) -> _State:
    """The state that the head of a licence's identifier leads to, remembered unless `_DEAD`."""
    if not head.startswith(_LICENCE_ROOT) or not head[36] == head[55] == ".":
        return _DEAD
    state = _stepped(_HYBRID_START, head[15:36] + head[37:55])
    if state is not _DEAD:
        if len(_heads) == _HEADS_MAX:
            _heads.clear()
        _heads[head] = state
    return state


def date_valid(text: str) -> bool:
    """True for a day of the Gregorian calendar, years 1 to 9999, as `YYYY-MM-DD`."""
    if type(text) is not str:
        raise TypeError
    year, day = text[:4], text[4:]
    if year not in _YEARS:
        return False
    return day in _DAYS or (day == "-02-29" and _is_leap(int(year)))


def _is_leap(year: int) -> bool:
    return year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)


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
