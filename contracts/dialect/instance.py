"""A compiled contract, ready to be called.

Theory: the namespace of an instance holds guards, wrapped host functions, immutable constants and
the contract's functions, and no built-ins. Nothing in it can be changed by the contract's code, so
one instance serves any number of calls: reset its meter between them.

Left out: overlays, receipts, and which contract a name stands for (the runner).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from contracts.dialect.compiled import Compiled
from contracts.dialect.gas import Meter


class Instance:
    """One contract bound to a host and a meter. Not safe for two threads: the meter is shared."""

    def __init__(
        self, compiled: Compiled, host: Mapping[str, Callable[..., Any]], meter: Meter
    ) -> None:
        self.compiled = compiled
        self.meter = meter
        raise NotImplementedError

    def invoke(self, method: str, args: list[Any] | dict[str, Any]) -> Any:
        """Call `method` with positional or named `args` and return its result as a plain value.

        Raises UnknownMethod (nothing ran), a Verdict (OutOfGas, LimitExceeded, Reverted,
        ContractError; wrong arguments are ContractError TYPE), or HostFault for our own bugs.
        """
        raise NotImplementedError


def instantiate(
    compiled: Compiled, host: Mapping[str, Callable[..., Any]], meter: Meter
) -> Instance:
    """Bind `compiled` to host functions (all of HOST_FUNCTIONS but `require`) and a meter."""
    return Instance(compiled, host, meter)
