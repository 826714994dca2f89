"""A compiled contract, ready to be called.

Theory: the namespace of an instance holds guards, wrapped host functions, immutable constants and
the contract's functions, and no built-ins. Nothing in it can be changed by the contract's code, so
one instance serves any number of calls: reset its meter between them.

Values cross the boundary as fresh copies in both directions, so neither side can change what the
other holds. Interpreter errors raised by the contract become codes; the same errors raised by a
host function are our bug and become a HostFault.

Left out: overlays, receipts, and which contract a name stands for (the runner).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

from contracts.dialect.abi import NO_DEFAULT, Method, Parameter
from contracts.dialect.compiled import Compiled
from contracts.dialect.errors import (
    INTERPRETER_ERRORS,
    ContractError,
    HostFault,
    UnknownMethod,
    contract_error,
)
from contracts.dialect.gas import VALUE_NODE, Cell, Meter, charge
from contracts.dialect.guards import GUARDS
from contracts.dialect.guards.values import export
from contracts.dialect.host import HOST_FUNCTIONS
from contracts.dialect.syntax import GAS

Host: TypeAlias = Mapping[str, Callable[..., Any]]
"""Host functions by name: all of HOST_FUNCTIONS but `require`."""


class Instance:
    """One contract bound to a host and a meter. Not safe for two threads: the meter is shared."""

    def __init__(self, compiled: Compiled, host: Host, meter: Meter) -> None:
        self.compiled = compiled
        self.meter = meter
        namespace: dict[str, Any] = {"__builtins__": {}, **GUARDS, **compiled.constants}
        namespace[GAS] = meter.cell
        for name, signature in HOST_FUNCTIONS.items():
            if name != "require":
                wrapped = _wrap(name, signature.parameters, host[name], meter.cell)
                namespace[f"_host_{name}"] = wrapped
        exec(compiled.code, namespace)  # noqa: S102 (defines the functions; our own code only)
        self._functions: dict[str, tuple[Method, Callable[..., Any]]] = {
            name: (method, namespace[name]) for name, method in compiled.methods.items()
        }

    def invoke(self, method: str, args: list[Any] | dict[str, Any]) -> Any:
        """Call `method` with positional or named `args` and return its result as a plain value.

        Raises UnknownMethod (nothing ran), a Verdict (OutOfGas, LimitExceeded, Reverted,
        ContractError; wrong arguments or results are ContractError TYPE), or HostFault for our own
        bugs. MemoryError and RecursionError pass through.
        """
        found = self._functions.get(method)
        if found is None:
            raise UnknownMethod(method)
        signature, function = found
        cell = self.meter.cell
        try:
            result = export(cell, function(*_arguments(cell, signature, args)))
        except INTERPRETER_ERRORS as error:
            raise contract_error(error) from None
        if not signature.returns.accepts(result):
            raise ContractError("TYPE")
        return result


def instantiate(compiled: Compiled, host: Host, meter: Meter) -> Instance:
    """Bind `compiled` to host functions (all of HOST_FUNCTIONS but `require`) and a meter."""
    return Instance(compiled, host, meter)


def _arguments(cell: Cell, method: Method, args: list[Any] | dict[str, Any]) -> list[Any]:
    """The arguments in the order of the parameters, checked and copied."""
    parameters = method.parameters
    charge(cell, VALUE_NODE * len(args))
    if type(args) is dict:
        args = _positional(parameters, args)
    elif len(args) > len(parameters):
        raise ContractError("TYPE")
    values = [_checked(cell, *pair) for pair in zip(parameters, args, strict=False)]
    for parameter in parameters[len(values) :]:
        if parameter.default is NO_DEFAULT:
            raise ContractError("TYPE")
        values.append(parameter.default)
    return values


def _positional(parameters: tuple[Parameter, ...], args: dict[str, Any]) -> list[Any]:
    """Named arguments as a list. Raises ContractError TYPE for a missing or an unknown one."""
    values = []
    for parameter in parameters:
        value = args.get(parameter.name, parameter.default)
        if value is NO_DEFAULT:
            raise ContractError("TYPE")
        values.append(value)
    if len(args.keys() - {parameter.name for parameter in parameters}):
        raise ContractError("TYPE")
    return values


def _checked(cell: Cell, parameter: Parameter, value: Any) -> Any:
    copy = export(cell, value)
    if not parameter.type.accepts(copy):
        raise ContractError("TYPE")
    return copy


def _wrap(
    name: str, parameters: tuple[Parameter, ...], function: Callable[..., Any], cell: Cell
) -> Callable[..., Any]:
    """The host function as a contract sees it: arguments checked and copied, faults told apart."""

    def nullary() -> Any:
        try:
            return function()
        except INTERPRETER_ERRORS as error:
            raise HostFault(name) from error

    def general(*args: Any) -> Any:
        values = [_checked(cell, *pair) for pair in zip(parameters, args, strict=False)]
        values += [parameter.default for parameter in parameters[len(values) :]]
        try:
            return function(*values)
        except INTERPRETER_ERRORS as error:
            raise HostFault(name) from error

    return general if parameters else nullary
