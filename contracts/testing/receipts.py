"""What became of a call, as a test sees it."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

from ledger.receipt import CallOutcome, Event, Status


@dataclass(frozen=True)
class Receipt:
    """One call's end: `code` is empty when `status` is ok, `gas` what it cost, `result` what it
    returned. `where` is file and line the code had reached, "" if none of it ran."""

    status: Status
    code: str
    gas: int
    result: Any
    events: tuple[Event, ...]
    where: str
    label: str

    @classmethod
    def of(cls, outcome: CallOutcome, events: tuple[Event, ...], where: str, label: str) -> Receipt:
        return cls(outcome.status, outcome.code, outcome.gas, outcome.result, events, where, label)

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    def event(self, name: str) -> Any:
        """The data of the only event called `name`. Fails the test if there is none or several."""
        found = [event.data for event in self.events if event.name == name]
        assert len(found) == 1, f"{self.label} emitted {len(found)} events named {name}"
        return found[0]

    def __str__(self) -> str:
        code = f" {self.code}" if self.code else ""
        where = "" if self.ok else f" at {self.where}" if self.where else " before its code ran"
        return f"{self.label} ended {self.status}{code}{where}, gas {self.gas:,}"


class CallFailed(AssertionError):
    """A call that a test counted on did not end ok; `receipt` tells how it ended."""

    def __init__(self, receipt: Receipt) -> None:
        self.receipt = receipt
        super().__init__(str(receipt))


CallFailed.__module__ = "contracts.testing"  # as tests import it, and as pytest then shows it


class Expected:
    """A block of a test inside which a call must end with this status and code."""

    def __init__(self, status: Status, code: str) -> None:
        self.status = status
        self.code = code

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        __tracebackhide__ = True
        if error is None:
            raise AssertionError(f"expected {self.status} {self.code}, but every call ended ok")
        if not isinstance(error, CallFailed):
            return False
        if (error.receipt.status, error.receipt.code) != (self.status, self.code):
            told = f"expected {self.status} {self.code}, but {error.receipt}"
            raise AssertionError(told) from None
        return True
