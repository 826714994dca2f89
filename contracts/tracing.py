"""Executing a transaction under a glass: every line, what it cost, read, wrote and asked.

The executor is the one that validators run, watched from outside: CPython's own line events tell
where the code is, the meter what was spent between two of them, and a wrapper around each host
function what went in and out. Nothing of it changes an outcome or its gas, and nothing of it costs
execution anything.

Gas is charged for a whole block of statements at its first line (`contracts.dialect.lower`), so a
line that begins a block bears the price of those that follow it, and a line's own amount is what
grows with its work. The gas of all steps, with what the call cost before its first line and after
its last, is the gas of the call.

**Trust.** Lines can only be watched in this process. The dialect's compiler has accepted the code,
which is the first wall; the locked-down worker, the second one, is not there. Whoever wants both
replays without lines (`contracts.runner.WorkerRunner`).
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any, Final

from contracts import deployment_layout
from contracts.dialect.cpython import FILE_NAME
from contracts.dialect.errors import INTERPRETER_ERRORS, Verdict, contract_error
from contracts.dialect.instance import Instance
from contracts.dialect.lines import statement_lines
from contracts.inline import InlineRunner
from contracts.short_text import short_text
from contracts.worker.executor import Call, CallRow, Executor, Transaction, TransactionRow
from contracts.worker.host import KEY_BYTES_MAX, Host
from contracts.worker.state import Committed
from ledger import canonical

STEPS_MAX: Final = 100_000
"""Steps kept of one transaction, about 60 MB. The gas of a transaction could pay for six times as
many; what is beyond is executed and not shown."""


@dataclass(slots=True)
class HostCall:
    """A host function that the contract called: what went in, what came out or how it failed.

    `before` is the value that a `put` or `delete` replaces.
    """

    name: str
    args: tuple[object, ...]
    before: object = None
    result: object = None
    failure: str = ""


@dataclass(slots=True)
class Step:
    """One line at work: until the next line begins, or a function that it called.

    What it does after that function returned is a step of its own, `resumed`. `source` is the hash
    of the contract's source in hex; `depth` counts the functions it was called through. `gas` is
    what this step used, `used` what the call had used by its end. `arguments` are set on the first
    line of a function; `changed` holds locals that got another value, as text.
    """

    contract: str
    source: str
    function: str
    line: int
    depth: int
    resumed: bool = False
    gas: int = 0
    used: int = 0
    arguments: dict[str, str] | None = None
    host_calls: list[HostCall] = field(default_factory=list)
    changed: dict[str, str] = field(default_factory=dict)
    failure: str = ""


@dataclass(slots=True)
class CallTrace:
    """One call of the transaction. `gas_before` was used before its first line and `gas_after`
    after its last; `cut` if there were more steps than are kept."""

    call: Call
    status: str = ""
    code: str = ""
    gas: int = 0
    gas_before: int = 0
    gas_after: int = 0
    steps: list[Step] = field(default_factory=list)
    cut: bool = False


class TracingRunner(InlineRunner):
    """Runs like any runner. Keeps the trace of one transaction of its first run in `calls`, and
    the sources that it reached in `sources`, by their hash in hex."""

    def __init__(self, position: int) -> None:
        """Watch the transaction at `position` among those that are run, counted from 0."""
        super().__init__()
        self.calls: list[CallTrace] = []
        self.sources: dict[str, str] = {}
        self._executor = _TracedExecutor(self._state, position, self.calls, self.sources)


class _TracedExecutor(Executor):
    def __init__(
        self,
        committed: Committed,
        position: int,
        calls: list[CallTrace],
        sources: dict[str, str],
    ) -> None:
        super().__init__(committed)
        self._position = position
        self._calls = calls
        self._sources = sources
        self._statements: dict[str, dict[int, int]] = {}
        # By identity: functions of two sources may be equal as code. Held, so that none is freed.
        self._functions: dict[int, tuple[CodeType, bytes]] = {}
        self._tracer = _Tracer(self)

    def _transaction(self, transaction: Transaction) -> TransactionRow:
        self._tracer.wanted = self._position == 0
        self._position -= 1
        return super()._transaction(transaction)

    def _call(self, call: Call, gas: int) -> CallRow:
        if not self._tracer.wanted:
            return super()._call(call, gas)
        trace = CallTrace(Call(call.contract, call.method, copy.deepcopy(call.args)))
        self._calls.append(trace)
        kept = sum(len(each.steps) for each in self._calls)
        with self._tracer.watching(trace, STEPS_MAX - kept):
            row = super()._call(call, gas)
        trace.status, trace.code, trace.gas = row.status, row.code, row.gas
        if trace.steps:
            trace.gas_after += row.gas - self._tracer.seen
        else:
            trace.gas_before = row.gas
        return row

    def _host(self, contract: str) -> Host:
        return _TracedHost(contract, self, self._tracer)

    def _instance(self, contract: str, source_hash: bytes) -> tuple[Instance, Host]:
        instance, host = super()._instance(contract, source_hash)
        for code in instance.compiled.code.co_consts:
            if isinstance(code, CodeType):
                self._functions[id(code)] = (code, source_hash)
        return instance, host

    def source_of(self, code: CodeType) -> str:
        """The hash, in hex, of the source that a function was compiled from."""
        _, source_hash = self._functions[id(code)]
        name = source_hash.hex()
        if name not in self._sources:
            key = deployment_layout.source_key(source_hash)
            self._sources[name] = source = str(self.deployment(key))
            self._statements[name] = statement_lines(source)
        return name

    def statement(self, source: str, line: int) -> int:
        """The first line of the statement on `line`; 0 if no code stands there."""
        return self._statements[source].get(line, 0)

    @property
    def used(self) -> int:
        """Gas that the running call has used."""
        return self._meter.used


class _TracedHost(Host):
    __slots__ = ("_executor", "_name", "_tracer")

    def __init__(self, contract: str, executor: _TracedExecutor, tracer: _Tracer) -> None:
        super().__init__(contract, executor, executor._meter)
        self._name = contract
        self._executor = executor
        self._tracer = tracer

    def table(self) -> dict[str, Callable[..., object]]:
        return {name: self._noted(name, function) for name, function in super().table().items()}

    def _value(self, key: str) -> object:
        """What stands under `key`; None where nothing can."""
        if not 0 < len(key.encode(errors="replace")) <= KEY_BYTES_MAX:
            return None
        data = self._executor.scope.state.get(self._name, key)
        return None if data is None else canonical.decode(data)

    def _noted(self, name: str, function: Callable[..., object]) -> Callable[..., object]:
        def noted(*args: object) -> object:
            done = HostCall(name, copy.deepcopy(args))
            if name in ("put", "delete"):
                done.before = self._value(str(args[0]))
            self._tracer.host_called(done)
            try:
                result = function(*args)
            except Verdict as verdict:
                done.failure = f"{verdict.status} {verdict.code}"
                raise
            done.result = copy.deepcopy(result)
            return result

        return noted


@dataclass(slots=True)
class _Frame:
    """A function of a contract that runs: its step, the line where it is, and its locals as they
    were last seen."""

    step: Step | None
    contract: str
    source: str
    line: int = 0
    seen: dict[str, str] = field(default_factory=dict)


class _Tracer:
    """Turns CPython's events into steps. `seen` is the gas that has been told to some step."""

    def __init__(self, executor: _TracedExecutor) -> None:
        self.wanted = False
        self.seen = 0
        self._executor = executor
        self._trace = CallTrace(Call("", "", []))
        self._room = 0
        self._frames: list[_Frame] = []
        self._failed = False

    @contextmanager
    def watching(self, trace: CallTrace, room: int) -> Iterator[None]:
        """Note what happens in this thread, `room` steps at most."""
        self._trace, self._room, self._frames = trace, room, []
        self.seen, self._failed = 0, False
        former = sys.gettrace()
        sys.settrace(self._entered)
        try:
            yield
        finally:
            sys.settrace(former)

    def host_called(self, done: HostCall) -> None:
        if self._frames and self._frames[-1].step is not None:
            self._frames[-1].step.host_calls.append(done)
            self._keep(self._frames[-1].step)

    def _entered(self, frame: FrameType, event: str, arg: Any) -> Callable[..., Any] | None:
        code = frame.f_code
        # Names of the compiler's own begin with an underscore: the body of a comprehension is part
        # of the line it stands on. The rest of this process is not the contract's.
        if code.co_filename != FILE_NAME or code.co_name.startswith(("_", "<")):
            return None
        if self._trace.cut:
            return None
        self._tell()
        source = self._executor.source_of(code)
        self._frames.append(_Frame(None, self._executor.running, source))
        return self._inside

    def _inside(self, frame: FrameType, event: str, arg: Any) -> Callable[..., Any]:
        if event == "line":
            self._line(frame)
        elif event == "return":
            self._left(frame)
        elif event == "exception":
            self._raised(arg[1])
        return self._inside

    def _line(self, frame: FrameType) -> None:
        if self._trace.cut:
            return
        self._tell()
        top = self._frames[-1]
        first = self._executor.statement(top.source, frame.f_lineno)
        if first == 0:
            return  # a function without code of its own
        last, top.line = top.line, frame.f_lineno
        same = first == self._executor.statement(top.source, last)
        if same and not first == last == top.line:
            return  # another line of a statement at work; the first again would be another turn
        depth = len(self._frames) - 1
        function = frame.f_code.co_name
        step = Step(top.contract, top.source, function, first, depth, used=self.seen)
        if top.step is None:
            top.seen = _locals(frame)
            step.arguments = dict(top.seen)
        else:
            self._note_changes(top, frame)
        top.step = step
        self._keep(step)

    def _left(self, frame: FrameType) -> None:
        self._tell()
        top = self._frames.pop()
        self._note_changes(top, frame)
        if self._frames and (caller := self._frames[-1].step) is not None:
            self._frames[-1].step = Step(
                caller.contract,
                caller.source,
                caller.function,
                caller.line,
                caller.depth,
                resumed=True,
                used=self.seen,
            )

    def _raised(self, error: BaseException) -> None:
        if self._failed or not isinstance(error, (Verdict, *INTERPRETER_ERRORS)):
            return
        verdict = error if isinstance(error, Verdict) else contract_error(error)
        step = self._frames[-1].step
        if step is not None:
            step.failure = f"{verdict.status} {verdict.code}"
            self._failed = True
            self._keep(step)

    def _note_changes(self, top: _Frame, frame: FrameType) -> None:
        """Tell the step at work which locals got another value by now."""
        now = _locals(frame)
        changed = {name: text for name, text in now.items() if top.seen.get(name) != text}
        top.seen = now
        if changed and top.step is not None:
            top.step.changed.update(changed)
            self._keep(top.step)

    def _tell(self) -> None:
        """Give what was used since the last event to whoever used it."""
        gas, self.seen = self._executor.used - self.seen, self._executor.used
        step = next((each.step for each in reversed(self._frames) if each.step is not None), None)
        if step is not None:
            step.gas += gas
            step.used = self.seen
            if gas:
                self._keep(step)
        else:
            self._trace.gas_before += gas

    def _keep(self, step: Step) -> None:
        """Show `step`, once: a resumed line that does nothing more is none."""
        steps = self._trace.steps
        if steps and steps[-1] is step:
            return
        if len(steps) >= self._room:
            self._trace.cut = True
        else:
            steps.append(step)


def _locals(frame: FrameType) -> dict[str, str]:
    """The contract's own locals as short texts."""
    return {
        name: short_text(value)
        for name, value in frame.f_locals.items()
        if not name.startswith("_")
    }
