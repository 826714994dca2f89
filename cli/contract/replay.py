"""`qiong contract replay`: a committed transaction executed again, whole or line by line.

The earlier transactions of its block run first, on the state of the parent block, with the code in
force at that height: so it meets what it met. Its receipt and theirs must be the committed ones,
byte for byte. Without --step the calls run in the locked-down worker, as on a validator; line by
line they run in this process (see *Trust* in `contracts.tracing`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from cli import output
from cli.args import DigestParam
from cli.client import Client
from cli.contract import steps
from cli.errors import EXIT_INTEGRITY, NotProven, Refused
from cli.past_home import open_home
from cli.past_remote import RemotePast
from cli.settings import Settings, common_options
from cli.verified import Checker
from contracts.reexecution import Past, PastBlock, reexecute
from contracts.runner import WorkerRunner
from contracts.sandbox import Sandbox
from contracts.tracing import CallTrace, TracingRunner
from ledger import canonical
from ledger.execution import ExecutedTransaction
from ledger.receipt import CallOutcome, Event
from ledger.types import Digest, Height


@dataclass(frozen=True)
class Committed:
    """What the chain says of the transaction; `past` is where the rest is."""

    past: Past
    height: Height
    calls: tuple[CallOutcome, ...]
    events: tuple[Event, ...]
    assurance: str


@dataclass(frozen=True)
class Replayed:
    """The transaction executed again. `others` are earlier ones of its block whose receipts came
    out other than they were committed; `trace` is None without --step."""

    committed: Committed
    block: PastBlock
    executed: ExecutedTransaction
    others: tuple[Digest, ...]
    trace: list[CallTrace] | None
    sources: dict[str, str]

    @property
    def equal(self) -> bool:
        """Whether its receipt is the committed one."""
        return self.executed.receipt == self.block.receipts[self.executed.receipt.index]


@click.command("replay")
@click.argument("tx_id", metavar="TX", type=DigestParam())
@click.option("--step", is_flag=True, help="Show every line: gas, reads, writes, events, locals.")
@click.option(
    "--home",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Take the past from the ledger of a node that is stopped.",
)
@common_options()
def replay(settings: Settings, tx_id: bytes, step: bool, home: Path | None) -> int:
    """Execute transaction TX again and compare receipts.

    The earlier transactions of its block run first, on the state before it. Ends with 0 if the
    receipts are the committed ones, whatever the transaction's own status, with 5 if not. Without
    --step the calls run in a validator's sandbox.
    """
    with _committed(settings, home, Digest(tx_id)) as committed:
        done = _replay(committed, Digest(tx_id), step)
    output.data(_document(done), settings.json, _lines(done))
    if not settings.json:
        output.message(committed.assurance)
    if not done.equal or done.others:
        output.message(f"error: {_verdict(done)}")
        output.message(
            "hint: the state or the code here is not the chain's: ask another node with --node,"
            " and compare versions of qiong"
        )
        return EXIT_INTEGRITY
    return 0


@contextmanager
def _committed(settings: Settings, home: Path | None, tx_id: Digest) -> Iterator[Committed]:
    """The transaction as committed, and its past while the block runs."""
    if home is not None:
        with open_home(home) as past:
            found = past.transaction(tx_id)
            yield Committed(past, found.height, found.calls, found.events, past.assurance)
        return
    with Client(settings.nodes) as client:
        checker = Checker(client, settings.trust)
        view = checker.transaction(tx_id)
        if view.height is None:
            raise Refused(
                f"{tx_id.hex()} is not committed: {view.status}",
                "only what was executed can be executed again; `qiong tx show` says where it is",
            )
        remote = RemotePast(checker)
        height = Height(view.height)
        yield Committed(remote, height, view.calls, view.events, remote.assurance)


def _replay(committed: Committed, tx_id: Digest, step: bool) -> Replayed:
    past, height = committed.past, committed.height
    block = past.block(height, tx_id)
    index = len(block.receipts) - 1
    if index < 0 or block.receipts[index].tx_id != tx_id:
        raise NotProven(f"block {height} holds no receipt of {tx_id.hex()}")
    state = past.state(Height(height - 1))
    trace: list[CallTrace] | None = None
    sources: dict[str, str] = {}
    if step:
        taken_out = sum(receipt.tx_id in block.quarantined for receipt in block.receipts[:index])
        tracer = TracingRunner(index - taken_out)
        executed = reexecute(block, state, tracer)
        trace, sources = tracer.calls, tracer.sources
    else:
        with contextlib.closing(WorkerRunner(Sandbox())) as runner:
            executed = reexecute(block, state, runner)
    others = tuple(
        receipt.tx_id
        for receipt, each in zip(block.receipts[:index], executed, strict=False)
        if each.receipt != receipt
    )
    return Replayed(committed, block, executed[index], others, trace, sources)


# --- what is shown ---


def _document(done: Replayed) -> dict[str, Any]:
    executed, block = done.executed, done.block
    outcome = executed.outcome
    document = {
        "id": executed.receipt.tx_id.hex(),
        "height": block.height,
        "index": executed.receipt.index,
        "time": output.clock(block.time_ms),
        "status": outcome.status,
        "code": outcome.code,
        "gas": outcome.gas,
        "calls": [_call(call) for call in outcome.calls],
        "events": [_event(event) for event in outcome.events],
        "writes": [
            {"contract": contract, "key": key, "value": _value(data), "deleted": data is None}
            for (contract, key), data in outcome.writes.items()
        ],
        "equal": done.equal,
        "differences": _differences(done),
        "others": [tx_id.hex() for tx_id in done.others],
        "assurance": done.committed.assurance,
    }
    if done.trace is not None:
        document["trace"] = [steps.document(call) for call in done.trace]
    return document


def _lines(done: Replayed) -> list[str]:
    executed, outcome = done.executed, done.executed.outcome
    place = f"number {executed.receipt.index} of block {done.block.height}"
    word = f"{outcome.status} {outcome.code}".rstrip()
    lines = [f"{executed.receipt.tx_id.hex()}  {word}, gas {outcome.gas}, {place}"]
    signed = executed.transaction.transaction
    for index, (call, result) in enumerate(zip(signed.calls, outcome.calls, strict=True)):
        args = ", ".join(steps.short(item) for item in _arguments(call.args))
        lines.append(f"  call {index}: {call.contract}.{call.method}({args})")
        if done.trace is not None and index < len(done.trace):
            lines += ["    " + line for line in steps.lines(done.trace[index], done.sources)]
        shown = f"  -> {steps.short(result.result)}" if result.result is not None else ""
        lines.append(f"    {f'{result.status} {result.code}'.rstrip()}, gas {result.gas}{shown}")
    lines += [f"  event {e.contract}.{e.name} {steps.short(e.data)}" for e in outcome.events]
    for (contract, key), data in outcome.writes.items():
        written = "deleted" if data is None else steps.short(_value(data))
        lines.append(f"  write {contract} {key}: {written}")
    if done.equal and not done.others:
        lines.append("its receipt is the committed one")
    for each in _differences(done):
        lines.append(f"  {each['what']}: committed {each['committed']}, now {each['replayed']}")
    return lines


def _verdict(done: Replayed) -> str:
    if done.others:
        count = len(done.others)
        earlier = f"{count} earlier transaction{'s' if count > 1 else ''} of the block"
        return f"{earlier} came out other than committed, the first {done.others[0].hex()}"
    return "executed again, its receipt is not the committed one"


def _differences(done: Replayed) -> list[dict[str, str]]:
    """What differs between the receipts, in words: calls and events one by one."""
    was = done.block.receipts[done.executed.receipt.index]
    now, outcome = done.executed.receipt, done.executed.outcome
    found = [
        (name, str(getattr(was, name)), str(getattr(now, name)))
        for name in ("status", "code", "gas")
    ]
    for what, sides in (
        ("call", [list(map(_call, calls)) for calls in (done.committed.calls, outcome.calls)]),
        ("event", [list(map(_event, each)) for each in (done.committed.events, outcome.events)]),
    ):
        for index in range(max(map(len, sides))):
            before, after = (
                steps.short(side[index]) if index < len(side) else "none" for side in sides
            )
            found.append((f"{what} {index}", before, after))
    return [
        {"what": what, "committed": before, "replayed": after}
        for what, before, after in found
        if before != after
    ]


def _call(call: CallOutcome) -> dict[str, Any]:
    return {
        "status": call.status,
        "code": call.code,
        "gas": call.gas,
        "result": output.plain(call.result),
    }


def _event(event: Event) -> dict[str, Any]:
    return {
        "call": event.call_index,
        "contract": event.contract,
        "name": event.name,
        "data": output.plain(event.data),
    }


def _value(data: bytes | None) -> canonical.Value:
    return None if data is None else canonical.decode(data)


def _arguments(args: object) -> list[object]:
    if isinstance(args, dict):
        return [{name: value} for name, value in args.items()]
    return list(args) if isinstance(args, list) else [args]
