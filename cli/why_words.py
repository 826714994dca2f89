"""What `qiong node why` shows, for people and for programs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cli import output
from cli.divergence import CallDifference, Comparison
from cli.wayout import Step
from ledger.receipt import CallOutcome, Receipt
from node.standing import Divergence, Standing

HEADLINES: Final = {
    "voting": "VOTING",
    "starting": "STARTING, it will vote by itself",
    "behind": "BEHIND, it catches up by itself",
    "left_behind": "LEFT BEHIND: the others gave up the blocks it lacks",
    "no_quorum": "NO QUORUM",
    "observer": "OBSERVER: follows and does not vote",
    "execution_stopped": "EXECUTION STOPPED",
    "nondeterminism": "NONDETERMINISM",
    "diverged": "DIVERGED",
    "stopped": "STOPPED",
    "repaired": "STOPPED, and repaired since it diverged",
    "disk_floor": "STOPPED: too little free disk space",
    "log_lost": "STOPPED: its log lacks votes of its key",
    "damaged": "STOPPED: its files are damaged",
}


@dataclass(frozen=True)
class Compared:
    """Our block beside another's; `certified` says whether a Certificate proves the other."""

    source: str
    certified: bool
    comparison: Comparison
    call: CallDifference | None


@dataclass(frozen=True)
class Explanation:
    """All that is shown. `names` are the validators' by organisation; `notes` say what could not be
    found out, and why."""

    where: str
    standing: Standing
    names: Mapping[str, str]
    compared: Compared | None
    notes: tuple[str, ...]
    steps: tuple[Step, ...]


def document(found: Explanation) -> dict[str, Any]:
    """For programs."""
    return {
        "node": found.where,
        **found.standing.to_json(),
        "compared": None if found.compared is None else _compared_document(found.compared),
        "notes": list(found.notes),
        "steps": [{"words": step.words, "command": step.command} for step in found.steps],
    }


def _compared_document(found: Compared) -> dict[str, Any]:
    receipt = found.comparison.receipt
    return {
        "with": found.source,
        "certified": found.certified,
        "differs": found.comparison.cause,
        "fields": [
            {"name": item.name, "own": item.own, "other": item.certified}
            for item in found.comparison.fields
        ],
        "receipt": None
        if receipt is None
        else {
            "index": receipt.index,
            "transaction": receipt.transaction.hex(),
            "own": _receipt_document(receipt.own),
            "other": _receipt_document(receipt.certified),
        },
        "call": None
        if found.call is None
        else {
            "index": found.call.index,
            "own": _call_document(found.call.own),
            "other": _call_document(found.call.certified),
        },
    }


def _receipt_document(receipt: Receipt | None) -> dict[str, Any] | None:
    if receipt is None:
        return None
    return {
        "transaction": receipt.tx_id.hex(),
        "status": receipt.status,
        "code": receipt.code,
        "gas": receipt.gas,
    }


def _call_document(call: CallOutcome | None) -> dict[str, Any] | None:
    if call is None:
        return None
    return {"status": call.status, "code": call.code, "gas": call.gas, "result": call.result}


def lines(found: Explanation) -> list[str]:
    """For people."""
    now = found.standing
    at = f" at height {now.divergence.height}" if now.divergence is not None else ""
    lines = [
        f"{now.name} ({now.organisation}), {found.where}",
        f"{HEADLINES[now.state]}{at}: {now.reason}",
        f"certified {now.height}, executed {now.executed}, decided {now.decided}"
        + (f", others up to {now.highest}" if now.highest else ""),
    ]
    if now.disputed is not None:
        lines += ["", f"who signed which header of block {now.disputed}:"]
        lines += [
            f"  {item.header_hash.hex()}  {_named(found, item.signers)}" for item in now.headers
        ]
    if now.divergence is not None:
        lines += ["", *_divergence_lines(found, now.divergence)]
    if found.compared is not None:
        lines += ["", *_compared_lines(found.compared)]
    lines += found.notes
    if found.steps:
        lines += ["", "what to do:"]
        for number, step in enumerate(found.steps, 1):
            lines.append(f"  {number}. {step.words}")
            if step.command is not None:
                lines.append(f"       {step.command}")
    return lines


def _divergence_lines(found: Explanation, divergence: Divergence) -> list[str]:
    certificate = divergence.certificate
    signers = _named(found, [signer for signer, _ in certificate.signatures])
    return [
        f"our header        {divergence.own.hex()}",
        f"certified header  {divergence.certified.hex()}",
        f"certified by      {signers} (certificate of block {certificate.n})",
        "The others go on. This node does not vote until its own header is the certified one.",
    ]


def _compared_lines(found: Compared) -> list[str]:
    by = "checked against the certificate" if found.certified else "as that node says, uncertified"
    other = "certified" if found.certified else "theirs"
    lines = [f"what differs: {found.comparison.cause}", f"(compared with {found.source}, {by})"]
    for item in found.comparison.fields:
        lines.append(f"  {item.name}")
        lines += [f"    ours       {item.own}", f"    {other:10} {item.certified}"]
    receipt = found.comparison.receipt
    if receipt is not None:
        where = f"index {receipt.index}, transaction {receipt.transaction.hex()}"
        lines.append(f"first differing receipt: {where}")
        lines.append(f"    ours       {_receipt_words(receipt.own)}")
        lines.append(f"    {other:10} {_receipt_words(receipt.certified)}")
    if found.call is not None:
        lines.append(f"  its first differing call: {found.call.index}")
        lines.append(f"    ours       {_call_words(found.call.own)}")
        lines.append(f"    {other:10} {_call_words(found.call.certified)}")
    return lines


def _receipt_words(receipt: Receipt | None) -> str:
    if receipt is None:
        return "none"
    return f"{receipt.status} {receipt.code}".rstrip() + f", gas {receipt.gas}"


def _call_words(call: CallOutcome | None) -> str:
    if call is None:
        return "none"
    words = f"{call.status} {call.code}".rstrip() + f", gas {call.gas}"
    return words if call.result is None else f"{words}, returned {output.pretty(call.result)}"


def _named(found: Explanation, organisations: Sequence[str]) -> str:
    return ", ".join(found.names.get(item, item) for item in organisations)
