"""A trace for eyes and for programs: lines of source with gas, and under them what they did.

    line       gas  so far
    shelf 6    107     159  before = get("item/" + name)
                                get("item/plate") -> 2

A line's gas is its own and, where it begins a block, the price of the lines that follow it there.
Deeper functions stand further right; a line that goes on after a function it called has `...`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from cli import output
from contracts.dialect.lines import statement_lines
from contracts.tracing import CallTrace, HostCall, Step
from ledger.canonical import Value

SHORT_MAX: Final = 160
"""Characters of a value in a line for people; JSON has all of it."""

STATE_CHANGES: Final = ("put", "delete")


def short(value: object) -> str:
    """`value` as one line of JSON, cut where it gets long."""
    return _cut(output.pretty(cast(Value, value)))


def _cut(text: str) -> str:
    return text if len(text) <= SHORT_MAX else text[: SHORT_MAX - 1] + "…"


def lines(trace: CallTrace, sources: Mapping[str, str]) -> list[str]:
    """The steps of one call for people."""
    texts = {digest: _statements(source) for digest, source in sources.items()}
    width = max((len(f"{step.contract} {step.line}") for step in trace.steps), default=4)
    shown = [
        f"{'line':{width}} {'gas':>6} {'so far':>7}  a block of lines is paid at its first",
        _overhead("before the first line", trace.gas_before, trace.gas_before, width),
    ]
    for step in trace.steps:
        shown += _step(step, texts[step.source], width)
    if trace.cut:
        shown.append("(more lines ran; they are not shown)")
    elif trace.gas_after:
        shown.append(_overhead("after the last line", trace.gas_after, trace.gas, width))
    return shown


def _statements(source: str) -> dict[int, str]:
    """The text of each statement by its first line, in one line."""
    parts: dict[int, list[str]] = {}
    written = source.splitlines()
    for line, first in sorted(statement_lines(source).items()):
        parts.setdefault(first, []).append(written[line - 1].strip())
    return {first: _cut(" ".join(texts)) for first, texts in parts.items()}


def _overhead(what: str, gas: int, used: int, width: int) -> str:
    return f"{'':{width}} {gas:6} {used:7}  ({what})"


def _step(step: Step, statements: Mapping[int, str], width: int) -> list[str]:
    place = f"{step.contract} {step.line}"
    indent = "    " * step.depth
    code = statements.get(step.line, "")
    again = "... " if step.resumed else ""
    shown = []
    margin = " " * (width + 17) + indent
    if step.arguments is not None:
        given = ", ".join(f"{name}={text}" for name, text in step.arguments.items())
        shown.append(f"{margin}{step.function}({given}):")
    shown.append(f"{place:<{width}} {step.gas:6} {step.used:7}  {indent}{again}{code}")
    shown += [f"{margin}    {_host_call(step, each)}" for each in step.host_calls]
    shown += [f"{margin}    {name} = {text}" for name, text in step.changed.items()]
    if step.failure:
        shown.append(f"{margin}    ! {step.failure}")
    return shown


def _host_call(step: Step, done: HostCall) -> str:
    if done.name in STATE_CHANGES:
        key, *value = done.args
        after = short(value[0]) if value else "absent"
        text = f"{done.name} {step.contract} {short(key)}: {short(done.before)} -> {after}"
    else:
        text = f"{done.name}({', '.join(map(short, done.args))})"
        if not done.failure and done.name not in ("emit", "call"):
            text += f" -> {short(done.result)}"
        elif done.name == "call" and not done.failure:
            text += f" -> {short(done.result)}, as follows"
    return f"{text} ! {done.failure}" if done.failure else text


def document(trace: CallTrace) -> dict[str, Any]:
    """The steps of one call for programs."""
    return {
        "contract": trace.call.contract,
        "method": trace.call.method,
        "args": output.plain(trace.call.args),
        "status": trace.status,
        "code": trace.code,
        "gas": trace.gas,
        "gas_before": trace.gas_before,
        "gas_after": trace.gas_after,
        "cut": trace.cut,
        "steps": [_step_document(step) for step in trace.steps],
    }


def _step_document(step: Step) -> dict[str, Any]:
    return {
        "contract": step.contract,
        "source_hash": step.source,
        "function": step.function,
        "line": step.line,
        "depth": step.depth,
        "resumed": step.resumed,
        "gas": step.gas,
        "used": step.used,
        "arguments": step.arguments,
        "host_calls": [_host_document(done) for done in step.host_calls],
        "changed": step.changed,
        "failure": step.failure or None,
    }


def _host_document(done: HostCall) -> dict[str, Any]:
    document = {
        "name": done.name,
        "args": output.plain(done.args),
        "result": output.plain(done.result),
        "failure": done.failure or None,
    }
    if done.name in STATE_CHANGES:
        document["before"] = output.plain(done.before)
    return document
