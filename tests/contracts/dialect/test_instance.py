"""The boundary of a contract: arguments, results, host functions, the meter, and reuse."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from contracts.dialect import (
    HOST_FUNCTIONS,
    ContractError,
    HostFault,
    Instance,
    LimitExceeded,
    Meter,
    OutOfGas,
    Reverted,
    UnknownMethod,
    compile_source,
)
from contracts.dialect.gas import HOST

Build = Callable[..., Instance]

LICENCE = """
INDEX = ("holder", "type")

@call
def issue(id: str, holder: str, days: int = 365, tags: list[str] | None = None) -> dict[str, int]:
    require(has_role("issuer"), "NOT_ISSUER")
    put("licence/" + id, {"holder": holder, "tags": tags})
    return {"days": days}

@view
def show(id: str) -> dict | None:
    return get("licence/" + id)

def helper(x):
    return x
"""


def test_methods_are_the_interface() -> None:
    compiled = compile_source(LICENCE)
    issue, show = map(str, compiled.methods.values())
    assert issue == (
        "call issue(id: str, holder: str, days: int = 365, tags: list[str] | None = None)"
        " -> dict[str, int]"
    )
    assert show == "view show(id: str) -> dict | None"
    assert compiled.index == ("holder", "type")


@pytest.mark.parametrize(
    "args",
    [
        ["1", "x"],
        ["1", "x", 5],
        ["1", "x", 5, ["a"]],
        {"id": "1", "holder": "x"},
        {"holder": "x", "id": "1", "tags": None},
    ],
)
def test_arguments_by_position_and_by_name(instance: Build, args: Any) -> None:
    result = instance(LICENCE, has_role=lambda role: True).invoke("issue", args)
    assert result == {"days": args[2] if len(args) > 2 and isinstance(args, list) else 365}


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["1"],
        ["1", 2],
        ["1", "x", True],
        ["1", "x", 5, [1]],
        ["1", "x", 5, None, 6],
        {"id": "1"},
        {"id": "1", "holder": "x", "other": 1},
        {"id": "1", "holder": None},
    ],
)
def test_wrong_arguments_are_a_type_error(instance: Build, args: Any) -> None:
    with pytest.raises(ContractError) as caught:
        instance(LICENCE, has_role=lambda role: True).invoke("issue", args)
    assert caught.value.code == "TYPE"


@pytest.mark.parametrize("name", ["helper", "_add", "missing", "__builtins__", "require"])
def test_only_methods_can_be_invoked(instance: Build, name: str) -> None:
    with pytest.raises(UnknownMethod):
        instance(LICENCE).invoke(name, [])


def test_require_reverts_with_the_contracts_code(instance: Build) -> None:
    with pytest.raises(Reverted) as caught:
        instance(LICENCE).invoke("issue", ["1", "x"])
    assert (caught.value.status, caught.value.code) == ("reverted", "NOT_ISSUER")


def test_what_the_host_gets_aliases_nothing_of_the_contract(instance: Build) -> None:
    kept: list[Any] = []
    source = """
@call
def main() -> list:
    inner = [1]
    put("a", {"inner": inner, "pair": (1, 2)})
    inner.append(2)
    return inner
"""
    result = instance(source, put=lambda key, value: kept.append(value)).invoke("main", [])
    assert kept == [{"inner": [1], "pair": [1, 2]}]
    assert result == [1, 2]


def test_arguments_are_copied(instance: Build) -> None:
    source = "@call\ndef main(items: list) -> list:\n    items.append(2)\n    return items\n"
    mine = [1]
    assert instance(source).invoke("main", [mine]) == [1, 2]
    assert mine == [1]


def test_nothing_stays_between_calls(instance: Build) -> None:
    source = """
TABLE = {"a": ("x",)}

def grow(items=None):
    items = items or []
    items.append(1)
    return len(items)

@call
def main() -> list:
    return [grow(), grow(), len(TABLE)]
"""
    ready = instance(source)
    first = ready.invoke("main", [])
    used = ready.meter.used
    ready.meter.reset(300_000)
    assert ready.invoke("main", []) == first == [1, 1, 1]
    assert ready.meter.used == used


@pytest.mark.parametrize("fault", [TypeError, KeyError, ValueError, ZeroDivisionError])
def test_a_fault_of_the_host_is_never_a_verdict(instance: Build, fault: type[Exception]) -> None:
    def broken(*args: Any) -> Any:
        raise fault

    source = '@call\ndef main():\n    return [get("a"), now()]\n'
    for host in ({"get": broken}, {"now": broken}):
        with pytest.raises(HostFault):
            instance(source, **host).invoke("main", [])


@pytest.mark.parametrize("fault", [MemoryError, RecursionError])
def test_faults_of_the_machine_pass_through(instance: Build, fault: type[Exception]) -> None:
    def broken(*args: Any) -> Any:
        raise fault

    with pytest.raises(fault):
        instance('@call\ndef main():\n    return get("a")\n', get=broken).invoke("main", [])


def test_a_verdict_of_a_called_contract_passes_through(instance: Build) -> None:
    def refusing(*args: Any) -> Any:
        raise Reverted("INNER")

    source = '@call\ndef main():\n    return call("other", "method", [1])\n'
    with pytest.raises(Reverted, match="INNER"):
        instance(source, call=refusing).invoke("main", [])


def test_out_of_gas_charges_all_of_it(instance: Build) -> None:
    ready = instance("@call\ndef main():\n    while True:\n        pass\n", gas=1_000)
    with pytest.raises(OutOfGas):
        ready.invoke("main", [])
    assert (ready.meter.used, ready.meter.left) == (1_000, 0)


def test_the_host_can_charge(instance: Build) -> None:
    meter = Meter(100)
    meter.charge(60)
    with pytest.raises(OutOfGas):
        meter.charge(60)
    assert meter.used == 100


def test_a_licence_costs_what_was_promised(instance: Build) -> None:
    ready = instance(LICENCE, has_role=lambda role: True)
    ready.invoke("issue", ["1.2.156.3005.2.1", "91460000MA5T0000XX"])
    assert 40 <= ready.meter.used <= 400


@pytest.mark.parametrize("size", [65_536, 65_537])
def test_strings_at_their_limit(run: Callable[..., Any], size: int) -> None:
    if size > 65_536:
        with pytest.raises(LimitExceeded, match="STRING"):
            run("return 'a' * a", size)
    else:
        assert len(run("return 'a' * a", size)) == size


def test_stored_strings_are_limited_in_bytes(run: Callable[..., Any]) -> None:
    assert run("return len('琼' * a)", 65_536) == 65_536
    with pytest.raises(LimitExceeded, match="STRING"):
        run("return '琼' * a", 21_846)


@pytest.mark.parametrize("size", [10_000, 10_001])
def test_lists_at_their_limit(run: Callable[..., Any], size: int) -> None:
    for body in (
        "return len([0] * a)",
        "return len([1 for i in range(a)])",
        "return len(list(range(a)))",
    ):
        if size > 10_000:
            with pytest.raises(LimitExceeded, match="LIST"):
                run(body, size)
        else:
            assert run(body, size) == size


@pytest.mark.parametrize("value", [2**63 - 1, -(2**63)])
def test_integers_at_the_boundary(run: Callable[..., Any], value: int) -> None:
    assert run("return a", value) == value
    assert run("return (a * 4) // 4", value) == value
    with pytest.raises(LimitExceeded, match="INTEGER"):
        run("return a * 2", value)


def test_integers_while_computing(run: Callable[..., Any]) -> None:
    assert run("return 2 ** 255 + (2 ** 255 - 1) > 0") is True
    with pytest.raises(LimitExceeded, match="INTEGER"):
        run("return 2 ** 256 > 0")


def test_every_host_function_has_a_price() -> None:
    assert HOST.keys() == HOST_FUNCTIONS.keys()


def test_compiled_code_holds_no_attribute_and_no_import() -> None:
    compiled = compile_source(LICENCE)
    todo = [compiled.code]
    for code in todo:
        todo += [constant for constant in code.co_consts if isinstance(constant, type(code))]
        names = [name for name in code.co_names if name.startswith("__")]
        assert names == []
    assert len(todo) == 4
