"""Which keys a batch will read, guessed from what its like read before.

A trip to the validator for one key costs the worker about 50 µs, a key sent along with the batch
next to nothing. Contracts build keys out of their arguments, so a miss is taken apart: the
arguments found in the key become places, the rest stays text. `licence/<id>` read once by
`licence.issue(id, ...)` becomes the pattern `licence/{0}`, and later calls of that method get their
key sent along.

A wrong guess costs one read and changes nothing: the worker asks for what it lacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from ledger import canonical
from ledger.transaction import Call

PATTERNS_MAX: Final = 4
"""Patterns of one method; contracts that read more kinds of keys pay with trips."""

METHODS_MAX: Final = 512
"""Methods remembered; all are forgotten when full, and learnt again from a miss each."""

ARGUMENT_SIZE_MIN: Final = 2
"""Shorter arguments occur in keys by accident."""

SEARCHED_MAX: Final = 64
"""Misses of one batch that are taken apart: enough for every method to show its pattern."""

StateKey: TypeAlias = tuple[str, str]
Place: TypeAlias = "int | str"
"""Position or name of an argument."""

Pattern: TypeAlias = "tuple[str, tuple[str | tuple[Place], ...]]"
"""(contract, parts): a part is text, or the place of an argument in a tuple of one."""


class Prefetcher:
    """Learns patterns from misses and guesses keys with them."""

    def __init__(self) -> None:
        self._patterns: dict[tuple[str, str], list[Pattern]] = {}

    def guesses(self, call: Call) -> list[StateKey]:
        """Keys that `call` will probably read, beyond the platform's own."""
        found: list[StateKey] = []
        for contract, parts in self._patterns.get((call.contract, call.method), ()):
            texts: list[str] = []
            for part in parts:
                text = part if type(part) is str else _argument(call, part[0])
                if type(text) is not str:
                    break
                texts.append(text)
            else:
                found.append((contract, "".join(texts)))
        return found

    def learn(self, calls: Sequence[Call], contract: str, key: str) -> bool:
        """Take the missed `key` of `contract` apart by the arguments of `calls`; whether a pattern
        came out that was not known."""
        for call in calls:
            parts = _parts(call, key)
            if parts is None:
                continue
            if len(self._patterns) == METHODS_MAX:
                self._patterns.clear()
            patterns = self._patterns.setdefault((call.contract, call.method), [])
            if (contract, parts) in patterns or len(patterns) == PATTERNS_MAX:
                return False
            patterns.append((contract, parts))
            return True
        return False


def _argument(call: Call, place: Place) -> canonical.Value:
    """The argument at `place`, None where the call has none."""
    if isinstance(call.args, dict):
        return call.args.get(place) if isinstance(place, str) else None
    return call.args[place] if isinstance(place, int) and place < len(call.args) else None


def _parts(call: Call, key: str) -> tuple[str | tuple[Place], ...] | None:
    """`key` with the arguments of `call` cut out, longest first; None if it holds none of them."""
    named: list[tuple[Place, canonical.Value]]
    named = list(call.args.items() if isinstance(call.args, dict) else enumerate(call.args))
    texts = [(value, place) for place, value in named if isinstance(value, str)]
    parts: list[str | tuple[Place]] = [key]
    for text, place in sorted(texts, key=lambda item: -len(item[0])):
        if len(text) < ARGUMENT_SIZE_MIN or text not in key:
            continue
        cut: list[str | tuple[Place]] = []
        for part in parts:
            if not isinstance(part, str) or text not in part:
                cut.append(part)
                continue
            before, after = part.split(text, 1)
            cut += [before, (place,), after]
        parts = cut
    return tuple(part for part in parts if part != "") if len(parts) > 1 else None
