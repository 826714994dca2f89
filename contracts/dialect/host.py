"""The host functions a contract sees: names, parameters and types.

Theory: the compiler knows this table, so a contract is checked without any host. At run time each
function is given by the runner as a plain Python callable and wrapped by `instance.py`: arguments
reach it checked against these types, as fresh plain values (`list`, `dict` with str keys, 64-bit
integers) that alias nothing of the contract; what it returns must be fresh plain values too.
The base price is charged with the block that calls; the host charges what grows with its work.

Left out: what the functions do. `require` is the one the dialect answers itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from contracts.dialect.abi import ANY, NO_DEFAULT, Alternative, Parameter, ValueType

_STR = ValueType((Alternative("str"),))
_INT = ValueType((Alternative("int"),))
_TEXT_OR_BYTES = ValueType((Alternative("str"), Alternative("bytes")))
_ARGUMENTS = ValueType((Alternative("list"), Alternative("dict")))
_DICT = ValueType((Alternative("dict"),))


@dataclass(frozen=True)
class HostFunction:
    """One host function; `changes_state` ones can't be reached from a view.

    A `pure` one depends on its arguments alone, checks their types itself (TypeError) and pays for
    no more than its base price, so it is called without anything between.
    """

    name: str
    parameters: tuple[Parameter, ...]
    changes_state: bool = False
    pure: bool = False

    @property
    def arity(self) -> tuple[int, int]:
        """Smallest and largest number of arguments."""
        needed = sum(item.default is NO_DEFAULT for item in self.parameters)
        return needed, len(self.parameters)


_TABLE = (
    HostFunction("get", (Parameter("key", _STR),)),
    HostFunction("put", (Parameter("key", _STR), Parameter("value", ANY)), changes_state=True),
    HostFunction("delete", (Parameter("key", _STR),), changes_state=True),
    HostFunction("keys", (Parameter("prefix", _STR), Parameter("limit", _INT, 100))),
    HostFunction("emit", (Parameter("name", _STR), Parameter("data", _DICT)), changes_state=True),
    HostFunction("sender", ()),
    HostFunction("signers", ()),
    HostFunction("organisation", ()),
    HostFunction("has_role", (Parameter("role", _STR),)),
    HostFunction("now", ()),
    HostFunction("height", ()),
    HostFunction(
        "call",
        (Parameter("contract", _STR), Parameter("method", _STR), Parameter("args", _ARGUMENTS)),
    ),
    HostFunction("sha256", (Parameter("data", _TEXT_OR_BYTES),)),
    HostFunction("uscc_valid", (Parameter("text", _STR),), pure=True),
    HostFunction("mod_37_36_valid", (Parameter("text", _STR),)),
    HostFunction("licence_id_valid", (Parameter("text", _STR),), pure=True),
    HostFunction("date_valid", (Parameter("text", _STR),), pure=True),
    HostFunction("date", (Parameter("ms", _INT),)),
    HostFunction("require", (Parameter("condition", ANY), Parameter("code", _STR))),
)

HOST_FUNCTIONS: Mapping[str, HostFunction] = {item.name: item for item in _TABLE}
