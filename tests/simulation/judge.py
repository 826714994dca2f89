"""Where a node meets the checks: what it is about to send, what it wrote, what it complains of.

Only honest validators are judged. Safety across nodes is in `tests.simulation.checks`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from consensus import records
from consensus.effects import Alarm, AlarmKind
from consensus.messages import (
    Checkpoint,
    Commit,
    NewView,
    Prepare,
    PrePrepare,
    SignedMessage,
    ViewChange,
)
from consensus.verifier import Signed
from tests.simulation.disk import message_of

if TYPE_CHECKING:
    from tests.simulation.node import Node


def sending(node: Node, signed: Signed[SignedMessage]) -> None:
    """Before a message leaves; passing on another's is not judged."""
    if signed.signer == node.name and node.world.is_honest(node.name):
        node.world.checker.sent(node.name, signed, _recorded(node, signed))


def _recorded(node: Node, signed: Signed[SignedMessage]) -> bool:
    """Whether what a message promises is on disk (design: durability table)."""
    message, promises = signed.message, node.disk.promises
    if isinstance(message, PrePrepare | Prepare):
        return promises(records.PrePrepared.kind, message.view, message.n, message.digest)
    if isinstance(message, Commit):
        return promises(records.Prepared.kind, message.view, message.n, message.digest)
    if isinstance(message, ViewChange):
        return promises(records.ViewChanged.kind, node.world.encode(signed))
    if isinstance(message, NewView):
        return promises(records.NewViewTaken.kind, node.world.encode(signed))
    if isinstance(message, Checkpoint):
        n = message.n
        return n in node.ledger.blocks and node.header_hash(n) == message.header_hash
    return True


def written(node: Node, items: Iterable[records.Record]) -> None:
    """After a turn's records are safe."""
    if not node.world.is_honest(node.name):
        return
    checker = node.world.checker
    for item in items:
        if isinstance(item, records.Prepared):
            checker.prepared(node.name, item.certificate)
        elif isinstance(item, records.NewViewTaken):
            message = message_of(item)
            assert isinstance(message, NewView)
            checker.new_view(node.name, message)


def alarm_raised(node: Node, alarm: Alarm) -> None:
    """Only those may alarm whose execution differs or whose log was lost; and at others' lies."""
    expected = (
        node.wrong_from is not None
        or alarm.kind is AlarmKind.NONDETERMINISM
        or (alarm.kind is AlarmKind.OBSERVER and node.lost_log)
    )
    if node.world.is_honest(node.name) and not expected:
        node.world.checker.fail(f"{node.name} raised {alarm}")


def evidence_found(node: Node, first: Signed[SignedMessage], second: Signed[SignedMessage]) -> None:
    world = node.world
    world.totals.evidence += 1
    if world.is_honest(first.signer) and world.is_honest(node.name):
        world.checker.fail(f"evidence against honest {first.signer}: {first} {second}")
