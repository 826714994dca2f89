"""What can go wrong with a contract, as typed errors.

Theory: three groups by whose fault it is. A `CompileRefused` speaks to the author, with one
`Refusal` per place. A `Verdict` ends one call and becomes a receipt, so it carries a status and a
code and never text of the interpreter (texts differ between CPython 3.11 and 3.12). A `HostFault`
is our own bug: it must never become a receipt.

Left out: MemoryError and RecursionError. They pass through untouched, because they say something
about this machine and nothing about the contract.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class DialectError(Exception):
    """Root of every error this package raises on purpose."""


@dataclass(frozen=True, order=True)
class Refusal:
    """One thing the compiler does not take.

    `line` counts from 1 and `column` from 1, in characters; `what` names what was refused and
    `instead` what to write in its place ("" if there is nothing). `unknown` is a name that stands
    for nothing, for a linter to find what it may have meant.
    """

    line: int
    column: int
    what: str
    instead: str = ""
    unknown: str = ""

    def __str__(self) -> str:
        advice = f"; {self.instead}" if self.instead else ""
        return f"{self.line}:{self.column}: {self.what}{advice}"


class CompileRefused(DialectError):
    """The source is not a contract of this dialect; `refusals` is sorted and not empty.

    Only the fact is the same on every interpreter: where both 3.11 and 3.12 report a syntax
    error, its place may differ. So a receipt may say that compilation was refused, never where.
    """

    def __init__(self, refusals: Sequence[Refusal]) -> None:
        self.refusals = tuple(sorted(refusals))
        super().__init__("\n".join(str(refusal) for refusal in self.refusals))


class Verdict(DialectError):
    """The end of one call, the same on every validator: goes into the receipt."""

    status: str = "error"

    def __init__(self, code: str) -> None:
        self.code = code
        super().__init__(f"{self.status}: {code}")


class OutOfGas(Verdict):
    """The call used up its gas; all of it is charged."""

    status = "out_of_gas"

    def __init__(self) -> None:
        super().__init__("OUT_OF_GAS")


class LimitExceeded(Verdict):
    """A cap on size, depth or integers was hit.

    Codes: INTEGER, STRING, LIST, DICT, DEPTH, NODES, RANGE, CODE.
    """

    status = "limit"


class Reverted(Verdict):
    """`require` failed; `code` is the contract's own."""

    status = "reverted"


class ContractError(Verdict):
    """The contract's own fault: TYPE, KEY, INDEX, VALUE, ZERO_DIVISION or NAME."""

    status = "error"


class UnknownMethod(DialectError):
    """The contract has no method of that name: refused before any code runs."""

    def __init__(self, method: str) -> None:
        self.method = method
        super().__init__(method)


class HostFault(DialectError):
    """A host function itself failed with an interpreter error: our bug, never a verdict."""

    def __init__(self, function: str) -> None:
        self.function = function
        super().__init__(f"host function {function} failed")


INTERPRETER_ERRORS = (
    TypeError,
    KeyError,
    IndexError,
    ZeroDivisionError,
    NameError,
    ValueError,
    OverflowError,
)
"""The only interpreter errors that compiled code or a guard may raise. OverflowError (code VALUE)
is there as a second wall: it comes from words of 64 bits, which every validator has."""


def contract_error(error: Exception) -> ContractError:
    """The verdict for one of `INTERPRETER_ERRORS`."""
    if isinstance(error, TypeError):
        return ContractError("TYPE")
    if isinstance(error, KeyError):
        return ContractError("KEY")
    if isinstance(error, IndexError):
        return ContractError("INDEX")
    if isinstance(error, ZeroDivisionError):
        return ContractError("ZERO_DIVISION")
    if isinstance(error, NameError):
        return ContractError("NAME")
    return ContractError("VALUE")
