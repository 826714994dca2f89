"""From source text to a `Compiled` contract.

Theory: scan the text, parse it, check the tree against a whitelist, lower it (gas charges and
guards in place of every operation that could surprise), compile what came out. Every stage that
can refuse reports all it finds before the next one runs.

Left out: MemoryError and RecursionError of the parser pass through; the scan bounds depth so that
no source should cause them, and if one does, that is no verdict about it.
"""

from __future__ import annotations

import ast
from typing import Final

from contracts.dialect import gas
from contracts.dialect.callgraph import check_graph
from contracts.dialect.checker import BodyChecker, check_size
from contracts.dialect.compiled import Compiled
from contracts.dialect.cpython import assemble, parse
from contracts.dialect.errors import CompileRefused, Refusal
from contracts.dialect.gas import Meter
from contracts.dialect.lower import lower_module
from contracts.dialect.module import MIGRATE, Module, read_module
from contracts.dialect.report import Report
from contracts.dialect.scan import scan


def compile_source(source: str, meter: Meter | None = None) -> Compiled:
    """Compile one contract. Raises CompileRefused with every refusal found.

    `meter` pays for the work: by the bytes of the source before it is looked at, and by what it
    becomes once it is known to be a contract, so that a refusal costs the same wherever an
    interpreter finds it. Raises OutOfGas.
    """
    pay = (Meter(UNBOUNDED) if meter is None else meter).charge
    pay(gas.COMPILED_BYTE * len(source.encode(errors="surrogatepass")))
    text, refusals = scan(source)
    if refusals:
        raise CompileRefused(refusals)
    module = _check(text, _parse(text))
    code = assemble(lower_module(module, pay))
    methods = {
        name: function.method
        for name, function in module.functions.items()
        if function.kind is not None
    }
    migrates = MIGRATE in module.functions
    return Compiled(code, methods, module.constants, module.index, migrates)


UNBOUNDED: Final = 1 << 62
"""Gas of a compilation that nobody pays for: a linter's, or of a source deployed before."""


def _parse(text: str) -> ast.Module:
    try:
        return parse(text)
    except SyntaxError as error:
        line, column = max(1, error.lineno or 1), max(1, error.offset or 1)
        raise CompileRefused([Refusal(line, column, f"syntax: {error.msg}")]) from None


def _check(text: str, tree: ast.Module) -> Module:
    report = Report(text)
    check_size(report, tree)
    report.check()
    module = read_module(report, tree)
    calls = {
        name: BodyChecker(report, module, function).check()
        for name, function in module.functions.items()
    }
    report.check()
    check_graph(report, module, calls)
    report.check()
    return module
