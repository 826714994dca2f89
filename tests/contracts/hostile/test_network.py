"""Four validators with locked workers execute every hostile contract that compiles: they go on
committing what others send, and their receipts agree to the gas."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from contracts import deployment_layout, registry_layout
from contracts.registry_layout import Member, Organisation
from contracts.runner import WorkerRunner
from contracts.sandbox import Sandbox
from ledger.genesis import Genesis, Parameters
from tests.contracts.hostile.corpus import corpus
from tests.node.engine import test_service
from tests.node.engine.test_service import (
    CLIENT,
    NOTES,
    SECONDS_MAX,
    Make,
    Network,
    commit,
    now_ms,
    put,
    started,
)

GAS = 15_000
"""Of a call: what runs out of gas does so in a twentieth of the time."""

BATCH = 50

ADMITTED = {name: entry for name, entry in corpus().items() if entry.admitted}


@pytest.fixture
async def network(
    founders: list[Any],
    genesis_of: Callable[..., Genesis],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[Network]:
    member = Member(CLIENT.public.hex(), (registry_layout.SUBMITTER,))
    sources = [("notes", NOTES), *((name, entry.source) for name, entry in ADMITTED.items())]
    state = [
        *deployment_layout.seed_entries(sources),
        *registry_layout.seed_entries([Organisation("client", "C", "government", (), (member,))]),
    ]
    runners: list[WorkerRunner] = []

    def runner() -> WorkerRunner:
        runners.append(WorkerRunner(Sandbox()))
        return runners[-1]

    monkeypatch.setattr(test_service, "InlineRunner", runner)
    network = Network(
        genesis_of(now_ms(), state, Parameters(idle_block_ms=1_000)), founders, tmp_path
    )
    try:
        async with started(network):
            yield network
    finally:
        for each in runners:
            each.close()


async def test_hostile_calls_are_stopped_alike_and_others_are_served(
    network: Network, make_transaction: Make
) -> None:
    calls = {
        name: make_transaction(
            chain_id=network.genesis.chain_id,
            valid_until_ms=now_ms() + 300_000,
            gas=GAS,
            signer=CLIENT,
            contract=name,
            method="main",
            args=[3],
        )
        for name in ADMITTED
    }
    nodes = list(network.running.values())
    waiting = list(calls.values())
    for number, start in enumerate(range(0, len(waiting), BATCH)):
        node = nodes[number % 4]
        batch = waiting[start : start + BATCH]
        answers = await node.submit([signed.raw for signed in batch])
        assert {answer.code for answer in answers} == {"accepted"}
        await commit(node, [put(network, make_transaction, f"note/{number}", "hi")])
        for signed in batch:
            status = await node.wait_committed(signed.id, SECONDS_MAX)
            assert status.state in ("committed", "failed")
    height = max(network.heights())
    await network.until(lambda: min(network.heights()) >= height)
    network.assert_one_chain()
    for name, signed in calls.items():
        receipts = [node.store.receipt(signed.id) for node in nodes]
        assert None not in receipts
        assert len(set(receipts)) == 1, name
        receipt, entry = receipts[0], ADMITTED[name]
        assert receipt is not None
        assert receipt.gas <= GAS
        # What calls by name finds no contract `main` here, and some need more gas to their end.
        if entry.category != "calls" and receipt.status != "out_of_gas":
            assert (receipt.status, receipt.code) == (entry.status, entry.code), name
    for node in nodes:
        assert node.evidence == []
        assert node.standing().state == "voting"
