"""Lines of a contract: which count, and which ran."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from contracts.dialect.lines import statement_lines
from contracts.testing import Chain, parse
from contracts.testing import coverage as coverage_module
from contracts.testing.coverage import LineTracer
from contracts.testing.lab import Lab
from contracts.testing.report import coverage, coverage_lines, gas, gas_lines
from tests.contracts.hostile.engines import interpreters

SOURCE = '''"""A docstring
of two lines."""

LIMIT = 3


@call
def main(n: int) -> int:
    """No code either."""
    # A comment.
    total = 0
    numbers = [
        number
        for number in range(n)
        if number != 1
    ]

    for number in numbers:
        if number == 0:
            continue
        elif number == 2:
            pass
        else:
            total += number
        total = (
            total
            + helper(number)
        )
    while total > 100:
        total -= 50
    require(
        total >= 0,
        "NEGATIVE",
    )
    return total


def helper(n: int) -> int:
    if n > LIMIT: return n
    return 0
'''
NEVER = """@call
def other() -> None:
    put("a", 1)
"""


def ran(*calls: int, source: str = SOURCE) -> tuple[int, ...]:
    """The lines that never ran in `calls` of `main`."""
    lab = Lab()
    chain = Chain(lab)
    deployed = chain.deploy(parse(source))
    for argument in calls:
        deployed.attempt("main", argument)
    (row,) = coverage(lab.record)
    return row.missing


def test_what_counts_as_a_line_of_code() -> None:
    code = sorted(set(statement_lines(SOURCE).values()))
    assert code == [11, 12, 18, 19, 20, 21, 22, 24, 25, 29, 30, 31, 35, 39, 40]
    assert statement_lines(SOURCE)[14] == 12


def test_lines_that_never_ran() -> None:
    everything = tuple(sorted(set(statement_lines(SOURCE).values())))
    assert ran() == everything
    assert ran(0) == (19, 20, 21, 22, 24, 25, 30, 39, 40)
    assert ran(1) == (21, 22, 24, 25, 30, 39, 40)
    assert ran(3) == (24, 30)
    assert ran(40) == (22,) or ran(40) == ()
    assert ran(0, 1, 2, 3, 40) == ()


def test_a_failing_call_covers_what_it_reached() -> None:
    source = SOURCE.replace("    total = 0\n", '    require(n < 9, "BIG")\n')
    assert 11 not in ran(10, source=source)
    assert 12 in ran(10, source=source)


def test_every_contract_of_a_nested_call_is_told_apart() -> None:
    lab = Lab()
    chain = Chain(lab)
    inner = parse(
        "@call\ndef add(n: int) -> int:\n    if n > 5:\n        return 5\n    return n\n", "inner"
    )
    outer = parse(
        '@call\ndef main() -> int:\n    x = call("inner", "add", [1])\n    return x\n', "outer"
    )
    chain.deploy(inner)
    assert chain.deploy(outer).call("main").result == 1
    assert [(row.contract, row.missing) for row in coverage(lab.record)] == [
        ("inner", (4,)),
        ("outer", ()),
    ]


def test_the_report_for_people() -> None:
    lab = Lab()
    Chain(lab).deploy(parse(SOURCE)).call("main", 3)
    assert coverage_lines(coverage(lab.record)) == [
        "file     lines  ran  never ran",
        "main.py     15  86%  24, 30",
    ]
    lab = Lab()
    Chain(lab).deploy(parse(SOURCE))
    Chain(lab).deploy(parse(NEVER, "never"))
    lines = coverage_lines(coverage(lab.record))
    assert lines[1].endswith("0%  11-12, 18-22, 24-25, 29-31, 35, 39-40")
    assert lines[2].endswith("0%  3")


ELSEWHERE = """
import importlib.util, json, sys
root, source = sys.argv[1:]
sys.path.append(root)
from contracts.dialect import HOST_FUNCTIONS, Meter, compile_source, instantiate
spec = importlib.util.spec_from_file_location("coverage", root + "/contracts/testing/coverage.py")
coverage = importlib.util.module_from_spec(spec)
spec.loader.exec_module(coverage)
host = {name: print for name in HOST_FUNCTIONS}
instance = instantiate(compile_source(source), host, Meter(300_000))
with coverage.LineTracer(lambda: "main") as tracer:
    instance.invoke("main", [3])
print(json.dumps([sorted(tracer.lines["main"]), tracer.last]))
"""


def test_contracts_of_one_name_are_told_apart_by_their_files() -> None:
    lab = Lab()
    chain = Chain(lab)
    chain.deploy(parse(NEVER, "never"))
    assert gas_lines(gas(lab.record))[1].split() == ["never.other", "call", *"00---"]
    chain.deploy(replace(parse(NEVER, "never"), path="before/never.py"))
    names = [line.split()[0] for line in gas_lines(gas(lab.record))[1:]]
    assert names == ["never.py.other", "before/never.py.other"]


def test_every_interpreter_traces_the_same_statements() -> None:
    root = str(Path(coverage_module.__file__).parents[2])
    found = []
    for command in interpreters():
        done = subprocess.run(
            [command, "-I", "-S", "-B", "-c", ELSEWHERE, root, SOURCE],
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        lines, last = json.loads(done.stdout)
        statements = statement_lines(SOURCE)
        found.append(({statements[line] for line in lines if line in statements}, last))
    expected = set(statement_lines(SOURCE).values()) - {24, 30}
    assert found == [(expected, ["main", 35])] * len(found)


def test_a_debugger_of_the_test_itself_goes_on() -> None:
    def debugger(frame, event, argument):
        return None

    before = sys.gettrace()
    sys.settrace(debugger)
    try:
        with LineTracer(lambda: "main"):
            assert sys.gettrace() is not debugger
        assert sys.gettrace() is debugger
    finally:
        sys.settrace(before)
