"""`qiong contract upgrade ... --dry-run-blocks N`: what the last N blocks would have been.

Their transactions are executed again under the new code, and whatever would have ended otherwise is
shown (`contracts.dry_run`). Nothing is sent, and no key is needed.
"""

from __future__ import annotations

from typing import Any, Final

from cli import output
from cli.client import Client
from cli.contract import steps
from cli.errors import EXIT_FAILED, Refused
from cli.past_remote import RemotePast
from cli.settings import Settings
from cli.verified import Checker
from contracts.deployment_layout import CONTRACT
from contracts.dialect import CompileRefused
from contracts.dry_run import BlockComparison, Difference, dry_run
from ledger import canonical
from ledger.execution import ExecutedTransaction
from ledger.types import Height

BLOCKS_MAX: Final = 10_000
"""Blocks of one dry run: hours of a busy chain, whose entries are kept in memory meanwhile."""


def dry_run_blocks(settings: Settings, name: str, source: str, count: int) -> int:
    """Execute the last `count` blocks with `source` as the code of `name`, and print what differs.

    Returns 1 if a transaction would have ended otherwise in more than its gas, else 0. Raises
    `Refused`, `NotReproduced`, `MigrationFailed`, and what reading the past raises.
    """
    with Client(settings.nodes) as client:
        past = RemotePast(Checker(client, settings.trust))
        newest = int(client.get("/v1/status").json()["height"])
        if newest == 0 or past.state(Height(newest)).get(CONTRACT, name) is None:
            raise Refused(
                f"no contract {name} was ever called here: none is deployed, or no block is there",
                "the first version of a contract needs no dry run",
            )
        first = max(1, newest - count + 1)
        blocks: list[BlockComparison] = []
        try:
            with output.progress("executing blocks", newest - first + 1) as bar:
                for block in dry_run(past, name, source, Height(first), Height(newest)):
                    blocks.append(block)
                    bar.advance()
        except CompileRefused:
            raise Refused(
                "the new source is no contract of this dialect", "`qiong contract lint` says why"
            ) from None
    differences = [each for block in blocks for each in block.differences]
    document = {
        "contract": name,
        "first": first,
        "last": newest,
        "transactions": sum(block.transactions for block in blocks),
        "reached": sum(block.reached for block in blocks),
        "differ": sum(not each.gas_only for each in differences),
        "gas_only": sum(each.gas_only for each in differences),
        "differences": [_document(each) for each in differences],
        "assurance": past.assurance,
    }
    output.data(document, settings.json, _lines(document, differences))
    if not settings.json:
        output.message(past.assurance)
        if not document["reached"]:
            output.message(f"no transaction reaches {name}: this says nothing about the new code")
    return EXIT_FAILED if document["differ"] else 0


def _lines(document: dict[str, Any], differences: list[Difference]) -> list[str]:
    name, reached = document["contract"], document["reached"]
    lines = []
    for each in differences:
        if not each.gas_only:
            lines += _difference_lines(each)
    blocks = f"blocks {document['first']} to {document['last']}"
    lines.append(f"{blocks}: {document['transactions']} transactions, {reached} reach {name}")
    lines.append(f"{document['differ']} would end otherwise; {_gas_words(differences)}")
    return lines


def _gas_words(differences: list[Difference]) -> str:
    """The receipts that differ in gas alone, counted."""
    pairs = [
        (each.before.outcome.gas, each.after.outcome.gas) for each in differences if each.gas_only
    ]
    if not pairs:
        return "none in gas alone"
    before, after = (sum(side) for side in zip(*pairs, strict=True))
    return f"{len(pairs)} in gas alone, {before} -> {after} together"


def _difference_lines(each: Difference) -> list[str]:
    before, after = each.before, each.after
    lines = [f"{before.receipt.tx_id.hex()}  block {each.height}: {', '.join(each.what)}"]
    signed = before.transaction.transaction
    for index, call in enumerate(signed.calls):
        one, other = before.outcome.calls[index], after.outcome.calls[index]
        pairs = [
            ("", f"{one.status} {one.code}".rstrip(), f"{other.status} {other.code}".rstrip()),
            ("gas ", str(one.gas), str(other.gas)),
            ("result ", steps.short(one.result), steps.short(other.result)),
        ]
        said = [f"{what}{a} -> {b}" for what, a, b in pairs if a != b]
        if said:
            lines.append(f"  {call.contract}.{call.method}: {'; '.join(said)}")
    if "events" in each.what:
        lines.append(f"  events: {_events(before)} -> {_events(after)}")
    for (contract, key), a, b in _writes(each):
        lines.append(f"  write {contract} {key}: {_written(a)} -> {_written(b)}")
    return lines


def _document(each: Difference) -> dict[str, Any]:
    signed = each.before.transaction.transaction
    return {
        "id": each.before.receipt.tx_id.hex(),
        "height": each.height,
        "what": list(each.what),
        "calls": [f"{call.contract}.{call.method}" for call in signed.calls],
        "before": _outcome(each.before),
        "after": _outcome(each.after),
    }


def _outcome(executed: ExecutedTransaction) -> dict[str, Any]:
    outcome = executed.outcome
    return {
        "status": outcome.status,
        "code": outcome.code,
        "gas": outcome.gas,
        "calls": [
            {"status": c.status, "code": c.code, "gas": c.gas, "result": output.plain(c.result)}
            for c in outcome.calls
        ],
        "events": [
            {"contract": e.contract, "name": e.name, "data": output.plain(e.data)}
            for e in outcome.events
        ],
        "writes": [
            {"contract": name[0], "key": name[1], "value": output.plain(_value(data))}
            for name, data in outcome.writes.items()
        ],
    }


def _writes(each: Difference) -> list[tuple[tuple[str, str], object, object]]:
    """Names that the two ways wrote otherwise, with what each wrote (`None`: not at all)."""
    if "writes" not in each.what:
        return []
    before, after = each.before.outcome.writes, each.after.outcome.writes
    return [
        (name, before.get(name, ...), after.get(name, ...))
        for name in dict.fromkeys((*before, *after))
        if before.get(name, ...) != after.get(name, ...)
    ]


def _written(data: object) -> str:
    if data is ...:
        return "not written"
    return "deleted" if data is None else steps.short(_value(data))  # type: ignore[arg-type]


def _value(data: bytes | None) -> canonical.Value:
    return None if data is None else canonical.decode(data)


def _events(executed: ExecutedTransaction) -> str:
    events = executed.outcome.events
    return ", ".join(f"{e.contract}.{e.name} {steps.short(e.data)}" for e in events) or "none"
