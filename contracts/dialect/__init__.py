"""The contract dialect: compiler, guards and gas.

Standard library only: the worker loads this package under `python -I -S`.
"""

from __future__ import annotations

from contracts.dialect.abi import ANY, NO_DEFAULT, Alternative, Method, Parameter, ValueType
from contracts.dialect.compiled import Compiled
from contracts.dialect.compiler import compile_source
from contracts.dialect.errors import (
    CompileRefused,
    ContractError,
    DialectError,
    HostFault,
    LimitExceeded,
    OutOfGas,
    Refusal,
    Reverted,
    UnknownMethod,
    Verdict,
)
from contracts.dialect.gas import Meter
from contracts.dialect.host import HOST_FUNCTIONS, HostFunction
from contracts.dialect.instance import Instance, instantiate

__all__ = [
    "ANY",
    "HOST_FUNCTIONS",
    "NO_DEFAULT",
    "Alternative",
    "CompileRefused",
    "Compiled",
    "ContractError",
    "DialectError",
    "HostFault",
    "HostFunction",
    "Instance",
    "LimitExceeded",
    "Meter",
    "Method",
    "OutOfGas",
    "Parameter",
    "Refusal",
    "Reverted",
    "UnknownMethod",
    "ValueType",
    "Verdict",
    "compile_source",
    "instantiate",
]
