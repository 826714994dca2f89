"""`contract replay` and dry runs over HTTP: receipts from an honest node, and what lies do."""

import asyncio
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from cli import past_remote
from cli.client import Client, NodeRefused
from cli.contract import contract_group
from cli.contract.dry_run import dry_run_blocks
from cli.errors import CommandError, from_typed
from cli.settings import Settings, resolve
from cli.tx import tx_group
from contracts import shipped
from devnet import sample
from ledger import canonical
from ledger.errors import QiongError
from ledger.queries import Pruned
from ledger.transaction import Call, SignedTransaction


@dataclass
class Ended:
    """How a command ended."""

    code: int
    out: str
    error: str = ""

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class Cli:
    """Commands against the node, in a thread of their own; `trust` is the genesis anchor."""

    def __init__(self, api: Any, trust: Path) -> None:
        self.api = api
        self.trust = trust

    async def run(self, group: click.Group, *args: str, trust: bool = False) -> Ended:
        command = [*args, "--node", self.api.url]
        command += ["--trust", str(self.trust)] if trust else []
        env = {"QIONG_TRUST": "", "QIONG_NODE": ""}
        done = await asyncio.to_thread(
            CliRunner(env=env).invoke, group, command, standalone_mode=False
        )
        error = done.exception
        if isinstance(error, QiongError):
            error = from_typed(error)
        if isinstance(error, CommandError):
            return Ended(error.exit_code, done.stdout, f"{error.message}\n{error.hint}")
        assert error is None, done.exc_info
        return Ended(int(done.return_value or 0), done.stdout, done.stderr)

    async def replay(self, signed: SignedTransaction, *args: str, trust: bool = False) -> Ended:
        return await self.run(contract_group, "replay", signed.id.hex(), *args, trust=trust)


@pytest.fixture
async def cli(api: Any, tmp_path: Path) -> Cli:
    _, document, _ = await api.get("/v1/trust")
    file = tmp_path / "trust.json"
    file.write_text(json.dumps(document))
    return Cli(api, file)


@pytest.fixture
async def suspended(api: Any) -> SignedTransaction:
    """Two licences issued in block 1; in block 2 a third, and the first one suspended."""
    licence = sample.licences()[0]
    suspend = Call("licence", "suspend", [licence.id, "inspection"])
    signed = api.transaction(0, calls=(suspend,), nonce=bytes(16))
    for block in ([api.transaction(0), api.transaction(1)], [api.transaction(2), signed], []):
        await api.engine.submit([each.raw for each in block])
        api.engine.commit()
    return signed


KEY = "licence/" + sample.licences()[0].id


async def test_a_committed_transaction_in_the_worker_and_line_by_line(
    suspended: SignedTransaction, cli: Cli
) -> None:
    plain = await cli.replay(suspended, "--json")
    stepped = await cli.replay(suspended, "--json", "--step", trust=True)
    assert (plain.code, stepped.code) == (0, 0), stepped.error
    one, other = plain.document, stepped.document
    (trace,) = other.pop("trace")
    assert "unverified" in one.pop("assurance")
    assert "checked against the trust file" in other.pop("assurance")
    assert one == other
    assert (one["height"], one["index"], one["status"], one["equal"]) == (2, 1, "ok", True)
    assert (one["differences"], one["others"]) == ([], [])
    steps = trace["steps"]
    total = trace["gas_before"] + sum(step["gas"] for step in steps) + trace["gas_after"]
    assert total == trace["gas"] == one["gas"]
    (put,) = [done for step in steps for done in step["host_calls"] if done["name"] == "put"]
    assert (put["args"][0], put["before"]["status"]) == (KEY, "active")
    assert put["args"][1]["status"] == "suspended"


async def test_for_people(suspended: SignedTransaction, cli: Cli) -> None:
    ended = await cli.replay(suspended, "--step")
    assert ended.code == 0
    assert "its receipt is the committed one" in ended.out
    source = shipped.source("licence").splitlines()
    shown = [line for line in ended.out.splitlines() if line.startswith("    licence ")]
    assert len(shown) > 3
    for line in shown:
        _, number, gas, used, code = line.split(maxsplit=4)
        assert code.removeprefix("... ").split()[0] in source[int(number) - 1]
        assert int(gas) <= int(used)
    assert f'put licence "{KEY}": {{"expires"' in ended.out
    assert "unverified: said by" in ended.error


async def test_a_failed_transaction_is_replayed_like_any_other(api: Any, cli: Cli) -> None:
    await api.engine.submit([api.transaction(0).raw])
    api.engine.commit()
    again = api.transaction(0, nonce=bytes(16))
    api.engine.pending[again.id] = again
    api.engine.commit()
    ended = await cli.replay(again, "--step", "--json")
    assert (ended.code, ended.document["status"], ended.document["equal"]) == (0, "reverted", True)
    (failure,) = [s["failure"] for s in ended.document["trace"][0]["steps"] if s["failure"]]
    assert failure == "reverted ALREADY_ISSUED"


async def test_what_was_never_committed(api: Any, cli: Cli) -> None:
    ended = await cli.replay(api.transaction(7))
    assert ended.code == 3
    assert "is not committed" in ended.error


def _lying_state(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first licence is said to be revoked all along."""
    store, true = api.engine.store, api.engine.store.state_at

    def lie(contract: str, key: str, height: int) -> bytes | None:
        data = true(contract, key, height)
        if (contract, key) != ("licence", KEY) or data is None:
            return data
        return canonical.encode({**canonical.decode(data), "status": "revoked"})

    monkeypatch.setattr(store, "state_at", lie)


async def test_a_planted_difference_of_the_state_is_found(
    api: Any, suspended: SignedTransaction, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    _lying_state(api, monkeypatch)
    ended = await cli.replay(suspended, "--step")
    assert ended.code == 5
    assert "  status: committed ok, now reverted" in ended.out
    assert "its receipt is not the committed one" in ended.error
    document = (await cli.replay(suspended, "--step", "--json")).document
    assert document["equal"] is False
    assert {each["what"] for each in document["differences"]} >= {"status", "code", "gas", "call 0"}
    # With a trust file the entries come with proofs, and the lie has none.
    ended = await cli.replay(suspended, "--step", trust=True)
    assert ended.code == 0, ended.error


async def test_an_earlier_transaction_that_differs_is_told(
    api: Any, cli: Cli, suspended: SignedTransaction, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the one in question reads is right, what one before it reads is not."""
    store, true = api.engine.store, api.engine.store.state_at
    issuer = api.key_of(api.issuer(2)).public.hex()
    assert api.issuer(2) != api.issuer(0)

    def lie(contract: str, key: str, height: int) -> bytes | None:
        if contract == "registry" and key == f"key/{issuer}":
            return canonical.encode({"organisation": api.issuer(2), "roles": ["submitter"]})
        return true(contract, key, height)

    monkeypatch.setattr(store, "state_at", lie)
    ended = await cli.replay(suspended, "--step", "--json")
    assert (ended.code, ended.document["equal"]) == (5, True)
    _, block, _ = await api.get("/v1/blocks/2")
    assert ended.document["others"] == block["transaction_ids"][:1]


def _other_receipts(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    true = api.engine.store.stored_results
    monkeypatch.setattr(api.engine.store, "executed_results", lambda n: true(n)[::-1])


def _other_transactions(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    true = api.engine.store.stored_block

    def swapped(n: int) -> Any:
        block = true(n)
        return replace(block, transactions=block.transactions[::-1])

    monkeypatch.setattr(api.engine.store, "stored_block", swapped)


def _other_header(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    true = past_remote.read_side

    def later(answer: Any) -> Any:
        side = true(answer)
        return replace(side, header=replace(side.header, time_ms=side.header.time_ms + 1))

    monkeypatch.setattr(past_remote, "read_side", later)


@pytest.mark.parametrize(
    ("lie", "words"),
    [
        (_other_receipts, "receipts that are not those of its header"),
        (_other_transactions, "another transaction than was executed"),
        (_other_header, "not the one that its transactions are proven by"),
    ],
)
async def test_lies_about_the_block_are_found(
    api: Any,
    cli: Cli,
    suspended: SignedTransaction,
    monkeypatch: pytest.MonkeyPatch,
    lie: Callable[..., None],
    words: str,
) -> None:
    lie(api, monkeypatch)
    ended = await cli.replay(suspended, "--step", trust=True)
    assert ended.code == 5
    assert words in ended.error


async def test_a_pruned_block_says_so(
    api: Any, cli: Cli, suspended: SignedTransaction, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pruned(n: int) -> Any:
        raise Pruned(n, n + 1)

    monkeypatch.setattr(api.engine.store, "stored_block", pruned)
    ended = await cli.replay(suspended, "--step")
    assert ended.code == 3
    assert "does not keep it any more" in ended.error
    assert "archive" in ended.error


async def test_a_node_that_wants_to_be_asked_more_slowly_is(
    cli: Cli, suspended: SignedTransaction, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = {name: getattr(Client, name) for name in ("get", "post_json")}
    asked: Counter[str] = Counter()
    slept: list[float] = []

    def impatient(name: str) -> Callable[..., Any]:
        def answer(client: Client, where: str, *args: Any, **query: Any) -> Any:
            asked[where] += 1
            if asked[where] % 2 == 0 or "/transaction/" in where or "/transactions/" in where:
                return answers[name](client, where, *args, **query)
            raise NodeRefused("node", 429, "too_many_requests", "slowly")

        return answer

    for name in answers:
        monkeypatch.setattr(Client, name, impatient(name))
    monkeypatch.setattr(Client, "sleep", lambda client, seconds: slept.append(seconds))
    for trust in (False, True):
        ended = await cli.replay(suspended, "--step", trust=trust)
        assert ended.code == 0, ended.error
    assert len(slept) > 5


async def test_a_dry_run_finds_a_planted_difference_and_none_for_the_same_code(
    api: Any, cli: Cli, suspended: SignedTransaction, capsys: pytest.CaptureFixture[str]
) -> None:
    source = shipped.source("licence")

    def run(text: str, *, trust: bool = False, as_json: bool = True) -> tuple[int, Any]:
        files = (str(cli.trust) if trust else None, None)
        settings: Settings = resolve((api.url,), None, *files, as_json, environment={})
        code = dry_run_blocks(settings, "licence", text, 10)
        out = capsys.readouterr().out
        return code, json.loads(out) if as_json else out

    code, document = await asyncio.to_thread(run, source, trust=True)
    assert (code, document["differ"], document["gas_only"]) == (0, 0, 0)
    assert [document[name] for name in ("first", "last", "transactions", "reached")] == [1, 3, 4, 4]
    planted = source.replace('"suspended"', '"on-hold"')
    assert planted != source
    code, document = await asyncio.to_thread(run, planted)
    assert (code, document["differ"]) == (1, 1)
    (found,) = document["differences"]
    assert (found["id"], found["height"]) == (suspended.id.hex(), 2)
    assert found["calls"] == ["licence.suspend"]
    code, text = await asyncio.to_thread(run, planted, as_json=False)
    assert "-> " in text
    assert "1 would end otherwise" in text
    head = '    require(len(signers()) == 1, "ONE_SIGNER")\n'
    slower = source.replace(head, head + "    spare = 1 + 1\n")
    assert slower != source
    code, document = await asyncio.to_thread(run, slower)
    assert (code, document["differ"]) == (0, 0)
    assert document["gas_only"] > 0


async def test_tx_simulate(api: Any, cli: Cli) -> None:
    (call,) = api.transaction(0).transaction.calls
    key = api.key_of(api.issuer(0)).public.hex()
    command = ("simulate", "licence", "issue", json.dumps(call.args), "--from", key)
    ended = await cli.run(tx_group, *command, "--json")
    assert (ended.code, ended.document["status"]) == (0, "ok")
    ended = await cli.run(tx_group, *command)
    assert f"writes licence {KEY}: " in ended.out
    assert f"reads  licence {KEY}: absent" in ended.out
    assert "nothing was sent" in ended.error
    ended = await cli.run(tx_group, *command, "--gas", "60")
    assert (ended.code, ended.out.splitlines()[0]) == (1, "out_of_gas OUT_OF_GAS, gas 60")
    ended = await cli.run(tx_group, *command[:-1], "nobody")
    assert ended.code == 3
    assert api.engine.store.executed_height == 0
