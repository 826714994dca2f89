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

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from contracts.dialect.abi import ANY, NO_DEFAULT, Method, Parameter, ValueType
from contracts.dialect.compiled import Compiled
from contracts.dialect.errors import (
    INTERPRETER_ERRORS,
    ContractError,
    HostFault,
    OutOfGas,
    UnknownMethod,
    contract_error,
)
from contracts.dialect.gas import SHORT, VALUE_NODE, Cell, Meter
from contracts.dialect.guards import GUARDS
from contracts.dialect.guards.values import copy_dict, export
from contracts.dialect.host import HOST_FUNCTIONS, HostFunction
from contracts.dialect.limits import VALUE_DEPTH_MAX
from contracts.dialect.module import MIGRATE
from contracts.dialect.syntax import GAS

Host: TypeAlias = Mapping[str, Callable[..., Any]]
"""Host functions by name: all of HOST_FUNCTIONS but `require`."""


Reader: TypeAlias = Callable[[Cell, Any], Any]
"""Takes a value over the boundary: checks it, pays for it, returns a copy."""


class Instance:
    """One contract bound to a host and a meter. Not safe for two threads: the meter is shared."""

    def __init__(self, compiled: Compiled, host: Host, meter: Meter) -> None:
        self.compiled = compiled
        self.meter = meter
        namespace: dict[str, Any] = {"__builtins__": {}, **GUARDS, **compiled.constants}
        namespace[GAS] = meter.cell
        for name, signature in HOST_FUNCTIONS.items():
            if name != "require":
                namespace[f"_host_{name}"] = _wrap(signature, host[name], meter.cell)
        exec(compiled.code, namespace)  # noqa: S102 (defines the functions; our own code only)
        self._migrate = namespace[MIGRATE] if compiled.migrates else None
        self._entries = {
            name: _Entry(method, namespace[name]) for name, method in compiled.methods.items()
        }

    def invoke(self, method: str, args: list[Any] | dict[str, Any]) -> Any:
        """Call `method` with positional or named `args` and return its result as a plain value.

        Raises UnknownMethod (nothing ran), a Verdict (OutOfGas, LimitExceeded, Reverted,
        ContractError; wrong arguments or results are ContractError TYPE), or HostFault for our own
        bugs. MemoryError and RecursionError pass through.
        """
        entry = self._entries.get(method)
        if entry is None:
            raise UnknownMethod(method)
        cell = self.meter.cell
        try:
            return entry.result(cell, entry.function(*entry.arguments(cell, args)))
        except INTERPRETER_ERRORS as error:
            raise contract_error(error) from None

    def migrate(self) -> None:
        """Run the contract's `migrate()`, if it has one. Raises as `invoke` does."""
        try:
            if self._migrate is not None:
                self._migrate()
        except INTERPRETER_ERRORS as error:
            raise contract_error(error) from None


def instantiate(compiled: Compiled, host: Host, meter: Meter) -> Instance:
    """Bind `compiled` to host functions (all of HOST_FUNCTIONS but `require`) and a meter."""
    return Instance(compiled, host, meter)


class _Entry:
    """One method with its boundary."""

    __slots__ = ("function", "parameters", "readers", "result", "texts")

    def __init__(self, method: Method, function: Callable[..., Any]) -> None:
        self.parameters = method.parameters
        texts = all(str(parameter.type) == "str" for parameter in method.parameters)
        self.texts = len(method.parameters) if texts else -1
        self.function = function
        readers = [_reader(parameter.type) for parameter in method.parameters]
        self.readers = [(reader, _short(reader)) for reader in readers]
        self.result = _reader(method.returns)

    def arguments(self, cell: Cell, args: list[Any] | dict[str, Any]) -> list[Any]:
        """The arguments in the order of the parameters. Raises ContractError TYPE."""
        parameters = self.parameters
        cell[0] -= VALUE_NODE * len(args)
        if cell[0] < 0:
            raise OutOfGas
        if self.texts == len(args) and type(args) is list:
            for value in args:
                if type(value) is not str or len(value) >= SHORT:
                    break
            else:
                return args
        if type(args) is dict:
            args = _positional(parameters, args)
        elif len(args) > len(parameters):
            raise ContractError("TYPE")
        values = []
        for value, (reader, short) in zip(args, self.readers, strict=False):
            if type(value) is not str or len(value) >= short:
                value = reader(cell, value)
            values.append(value)
        if len(values) < len(parameters):
            for parameter in parameters[len(values) :]:
                if parameter.default is NO_DEFAULT:
                    raise ContractError("TYPE")
                values.append(parameter.default)
        return values


def _positional(parameters: tuple[Parameter, ...], args: dict[str, Any]) -> list[Any]:
    """Named arguments as a list. Raises ContractError TYPE for a missing or an unknown one."""
    values = []
    known = 0
    for parameter in parameters:
        known += parameter.name in args
        value = args.get(parameter.name, parameter.default)
        if value is NO_DEFAULT:
            raise ContractError("TYPE")
        values.append(value)
    if known < len(args):
        raise ContractError("TYPE")
    return values


def _reader(expected: ValueType) -> Reader:
    """What takes a value of the type `expected` over the boundary."""

    def checked(cell: Cell, value: Any) -> Any:
        copy = export(cell, value)
        if type(copy) not in plain and not expected.accepts(copy):
            raise ContractError("TYPE")
        return copy

    def nothing(cell: Cell, value: Any) -> None:
        if value is not None:
            raise ContractError("TYPE")

    plain = expected.plain
    if expected == ANY:
        return export
    return {"str": _read_text, "None": nothing}.get(str(expected), checked)


def _read_text(cell: Cell, value: Any) -> Any:
    if type(value) is not str:
        raise ContractError("TYPE")
    return export(cell, value)


def _short(reader: Reader) -> int:
    """Strings shorter than this are taken by `reader` as they are, so it need not be called."""
    return SHORT if reader is _read_text or reader is export else 0


_HOST_READERS: Final[Mapping[str, Sequence[Reader]]] = {
    name: [_reader(parameter.type) for parameter in function.parameters]
    for name, function in HOST_FUNCTIONS.items()
}


def _wrap(signature: HostFunction, function: Callable[..., Any], cell: Cell) -> Callable[..., Any]:
    """The host function as a contract sees it: arguments checked and copied, faults told apart.

    Those of two arguments and fewer are spelled out, since nearly every call is one of them.
    """
    name, parameters = signature.name, signature.parameters
    readers = _HOST_READERS[name]
    first, second = (*readers, export, export)[:2]
    short = _short(first)
    takes_dicts = len(parameters) > 1 and parameters[1].type.accepts({})

    def nullary() -> Any:
        try:
            return function()
        except INTERPRETER_ERRORS as error:
            raise HostFault(name) from error

    def unary(argument: Any) -> Any:
        if type(argument) is not str or len(argument) >= short:
            argument = first(cell, argument)
        try:
            return function(argument)
        except INTERPRETER_ERRORS as error:
            raise HostFault(name) from error

    def binary(argument: Any, other: Any) -> Any:
        if type(argument) is not str or len(argument) >= short:
            argument = first(cell, argument)
        if takes_dicts and type(other) is dict:
            other = copy_dict(cell, other, VALUE_DEPTH_MAX, [0, 0])
        else:
            other = second(cell, other)
        try:
            return function(argument, other)
        except INTERPRETER_ERRORS as error:
            raise HostFault(name) from error

    def general(*args: Any) -> Any:
        values = [reader(cell, value) for reader, value in zip(readers, args, strict=False)]
        values += [parameter.default for parameter in parameters[len(values) :]]
        try:
            return function(*values)
        except INTERPRETER_ERRORS as error:
            raise HostFault(name) from error

    if signature.pure:
        return function
    if signature.arity[0] < len(parameters):
        return general
    wrapped: tuple[Callable[..., Any], ...] = (nullary, unary, binary)
    return wrapped[len(parameters)] if len(parameters) < len(wrapped) else general
