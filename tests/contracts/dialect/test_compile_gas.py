"""What compiling costs: gas by the source and by what it becomes, the same for every refusal."""

import ast

import pytest

from contracts import shipped
from contracts.dialect import CompileRefused, Meter, OutOfGas, compile_source, gas
from contracts.dialect.compiler import UNBOUNDED, _check, _parse
from contracts.dialect.limits import SOURCE_BYTES_MAX
from contracts.dialect.lower import lower_module
from contracts.worker.platform import expected_gas
from ledger.transaction import TRANSACTION_GAS_MAX

NODE_GAS = gas.LOWERED // 6
STATEMENTS = (
    "a = b", "a", "1", "return", "pass", "a = a + b", "a += b", "a[b] += a", "a[b]", "a[b] = a",
    "a = b = a", "a[b] = a[b] = a", "a, b = b, a", "(a, b), a = b", "a[b], a[a] = b", "del a[b]",
    "a < b", "a < b < a < b", "a is None", "a in b", "a in (1, 2)", "not a", "-a", "~a",
    "a and b or a", "a if b else a", "[a, b, a]", "(a, b)", "{1: a, b: a}", "a[b:a]", "a[1]",
    "f'{a}b{b}'", "len(a)", "sorted(a, reverse=b)", "a.pop()", "a.split(b)", "helper(a)",
    "helper(n=a)", "get('a')", "require(a, 'X')", "require(a, b)", "[a for a in b]",
    "{a: b for a in b}", "[(a, b) for a, b in a]", "[b for b in a for a in b if a if b]",
    "if a:\n  a", "if a:\n  a\n elif b:\n  b\n else:\n  a", "while a < b:\n  break",
    "for a in b:\n  continue", "for a, b in a:\n  a", "a: int = b",
)  # fmt: skip


def lowered(source: str) -> tuple[int, int]:
    """Nodes that the source becomes, and gas paid for them."""
    meter = Meter(UNBOUNDED)
    module = _check(source, _parse(source))
    tree = lower_module(module, meter.charge)
    return sum(1 for _ in ast.walk(tree)), meter.used


@pytest.mark.parametrize("statement", STATEMENTS)
def test_every_lowered_node_is_paid(statement: str) -> None:
    head = "def helper(n=1):\n return n\n\n@call\ndef f(a, b):\n"
    nodes, paid = lowered(head + f" {statement}\n" * 40)
    none, paid_for_none = lowered(head + " pass\n")
    assert paid - paid_for_none >= (nodes - none) * NODE_GAS


@pytest.mark.parametrize("name", shipped.LIBRARY)
def test_the_library_is_not_overcharged(name: str) -> None:
    nodes, paid = lowered(shipped.source(name))
    assert nodes * NODE_GAS <= paid <= 3 * nodes * NODE_GAS


def test_a_source_of_the_greatest_size_fits_a_transaction() -> None:
    body = shipped.source("licence").split('"""', 2)[2]
    names = [line.split("(")[0].removeprefix("def ") for line in body.splitlines()
             if line.startswith("def ")]  # fmt: skip
    constants = [line.split(" ")[0] for line in body.splitlines() if line[:1].isupper()]
    copies = []
    while sum(map(len, copies)) + len(body) < SOURCE_BYTES_MAX:
        copy = body
        for name in (*names, *constants):
            copy = copy.replace(name, f"{name}_{len(copies)}" if copies else name)
        copies.append(copy.replace(f"INDEX_{len(copies)}", f"FIELDS_{len(copies)}"))
    source = "".join(copies)
    assert len(source) > 0.9 * SOURCE_BYTES_MAX
    assert expected_gas(source) < TRANSACTION_GAS_MAX


@pytest.mark.parametrize(
    "source",
    ["def f(:\n", "import os\n", "x = '\\d'\n", "@call\ndef f():\n  return g()\n", "\ud800",
     "@call\ndef f():\n  f()\n", "(" * 100],
)  # fmt: skip
def test_a_refusal_costs_what_its_bytes_cost(source: str) -> None:
    meter = Meter(UNBOUNDED)
    with pytest.raises(CompileRefused):
        compile_source(source, meter)
    assert meter.used == gas.COMPILED_BYTE * len(source.encode(errors="surrogatepass"))


def test_compiling_stops_where_the_gas_ends() -> None:
    source = shipped.source("licence")
    meter = Meter(UNBOUNDED)
    compile_source(source, meter)
    for limit in (0, gas.COMPILED_BYTE * len(source) - 1, meter.used - 1):
        with pytest.raises(OutOfGas):
            compile_source(source, Meter(limit))
    compile_source(source, Meter(meter.used))


def test_migrate_belongs_to_upgrades() -> None:
    assert compile_source("def migrate() -> None:\n  put('x', 1)\n").migrates
    assert not compile_source("def move() -> None:\n  put('x', 1)\n").migrates
    assert "migrate" not in compile_source("def migrate():\n  return 1\n").methods
    for source in ("@call\ndef migrate():\n  1\n", "@view\ndef migrate():\n  1\n",
                   "def migrate(x):\n  1\n", "def migrate(x=1):\n  1\n"):  # fmt: skip
        with pytest.raises(CompileRefused, match="migrate"):
            compile_source(source)
