"""What other nodes say of a divergence is checked, and the difference is put into words."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli import why_words
from cli.client import Answer
from cli.divergence import Side, certified_calls, certified_side, compare, first_call, read_side
from cli.errors import NotProven
from cli.wayout import Commands, steps
from cli.why_words import Compared, Explanation
from ledger import canonical
from ledger.block_files import BlockFiles
from ledger.certificate import Certificate, checkpoint_bytes
from ledger.receipt import CallOutcome, Receipt
from ledger.storage.memory import MemoryFolder, MemoryStore
from ledger.store import LedgerStore
from ledger.types import Digest, Epoch, Gas, Height
from node.standing import STATES, Divergence, Standing
from tests.ledger.ledger_world import KEYS
from tests.node import diverged_home
from tests.node.diverged_home import DIVERGED_AT, LAST, DivergedHome


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> DivergedHome:
    return diverged_home.make(tmp_path_factory.mktemp("diverged") / "node")


@pytest.fixture(scope="module")
def own(home: DivergedHome) -> Iterator[LedgerStore]:
    """The node that diverged."""
    store = LedgerStore.open(home.place.root, home.genesis)
    yield store
    store.close()


@pytest.fixture(scope="module")
def truth(home: DivergedHome, own: LedgerStore) -> LedgerStore:
    """Any other node."""
    store = LedgerStore(home.genesis, MemoryStore(), BlockFiles(MemoryFolder()))
    for n in range(1, LAST + 1):
        home.world.apply(store, own.decided_block(Height(n)).decode())
    return store


class Node:
    """A client of one node, whose answers a test may change."""

    nodes = ("http://other",)

    def __init__(self, store: LedgerStore) -> None:
        self.store = store
        self.answers: dict[str, dict[str, Any]] = {}

    def get(self, where: str, accept: str = "application/json") -> Answer:
        document = self.answers.get(where) or self.says(where)
        body = canonical.encode(document) if "msgpack" in accept else json.dumps(document).encode()
        return Answer(self.nodes[0], 200, body)

    def says(self, where: str) -> dict[str, Any]:
        kind, *rest = where.removeprefix("/v1/").split("/")
        if kind == "transactions":
            found = self.store.transaction(Digest(bytes.fromhex(rest[0])))
            assert found is not None
            return {
                "calls": [
                    {"status": c.status, "code": c.code, "gas": c.gas, "result": c.result}
                    for c in found.calls
                ]
            }
        n = Height(int(rest[0]))
        document: dict[str, Any] = {"header": self.store.executed_header(n).encode().hex()}
        if rest[1:] == ["receipts"]:
            results = self.store.executed_results(n)
            document["receipts"] = [{"receipt": result.leaf.hex()} for result in results]
        return document


def side(store: LedgerStore, n: int) -> Side:
    leaves = tuple(result.leaf for result in store.executed_results(Height(n)))
    return Side(store.executed_header(Height(n)), leaves)


@pytest.fixture
def node(truth: LedgerStore) -> Any:
    return Node(truth)


def divergence(home: DivergedHome, certificate: Certificate | None = None) -> Divergence:
    own = home.right[0]
    return Divergence(DIVERGED_AT, own, home.right[DIVERGED_AT], certificate or home.certificate)


def checked(home: DivergedHome, node: Any, certificate: Certificate | None = None) -> Side:
    genesis = home.genesis
    return certified_side(
        node, divergence(home, certificate), genesis.chain_id, genesis.validator_set
    )


def certificate_of(home: DivergedHome, n: int, signers: int = 3) -> Certificate:
    message = checkpoint_bytes(home.genesis.chain_id, Epoch(0), Height(n), home.right[n])
    pairs = tuple((name, KEYS[name].sign(message)) for name in sorted(KEYS)[:signers])
    return Certificate(Epoch(0), Height(n), home.right[n], pairs)


# --- what is believed ---


def test_the_certified_block_is_taken_from_any_node(
    home: DivergedHome, node: Any, truth: LedgerStore
) -> None:
    assert checked(home, node) == side(truth, DIVERGED_AT)


def test_a_later_certificate_proves_it_through_the_chain(home: DivergedHome, node: Any) -> None:
    found = checked(home, node, certificate_of(home, LAST))
    assert found.header.hash == home.right[DIVERGED_AT]
    node.answers["/v1/blocks/5"] = node.says("/v1/blocks/3")
    with pytest.raises(NotProven, match="another block"):
        checked(home, node, certificate_of(home, LAST))


def test_our_own_wrong_block_is_not_taken_for_the_certified_one(
    home: DivergedHome, own: LedgerStore
) -> None:
    liar: Any = Node(own)
    with pytest.raises(NotProven, match="another block"):
        checked(home, liar)


def test_receipts_must_belong_to_the_header(home: DivergedHome, node: Any) -> None:
    where = f"/v1/blocks/{DIVERGED_AT}/receipts"
    honest = node.says(where)
    receipt = Receipt.decode(bytes.fromhex(honest["receipts"][0]["receipt"]))
    forged = replace(receipt, gas=Gas(1)).encode().hex()
    for rows in ([], [{"receipt": forged}], [{}], None):
        node.answers[where] = honest | {"receipts": rows}
        with pytest.raises(NotProven, match="receipts"):
            checked(home, node)
    node.answers[where] = honest | {"header": "00"}
    with pytest.raises(NotProven, match="no header"):
        checked(home, node)


def test_a_certificate_of_too_few_proves_nothing(home: DivergedHome, node: Any) -> None:
    with pytest.raises(NotProven, match="does not verify"):
        checked(home, node, certificate_of(home, DIVERGED_AT, signers=2))


def test_calls_must_belong_to_the_certified_receipt(home: DivergedHome, node: Any) -> None:
    receipt = Receipt.decode(checked(home, node).receipts[0])
    (call,) = certified_calls(node, receipt)
    assert (call.status, call.result) == ("ok", 1 + 2 + 3 + 4)
    where = f"/v1/transactions/{receipt.tx_id.hex()}"
    honest = node.says(where)
    node.answers[where] = {"calls": [honest["calls"][0] | {"result": 11}]}
    with pytest.raises(NotProven, match="not those of the certified receipt"):
        certified_calls(node, receipt)
    node.answers[where] = {"calls": "none"}
    with pytest.raises(NotProven, match="no calls"):
        certified_calls(node, receipt)


# --- what is said ---


def test_the_first_differing_receipt_and_call_are_found(
    own: LedgerStore, truth: LedgerStore
) -> None:
    found = compare(side(own, DIVERGED_AT), side(truth, DIVERGED_AT))
    assert [item.name for item in found.fields] == ["receipts_root", "state_root"]
    assert "receipts" in found.cause
    assert found.receipt is not None
    assert found.receipt.index == 0
    results = [list(store.executed_results(DIVERGED_AT)[0].calls) for store in (own, truth)]
    call = first_call(*results)
    assert call is not None
    assert call.own is not None
    assert call.certified is not None
    assert (call.own.result, call.certified.result) == (104, 10)


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ("d", "the body"),
        ("parent", "an earlier block"),
        ("state_root", "the state alone"),
        ("tx_root", "the choice of transactions"),
        ("params_hash", "parameters"),
        ("history_root", "history"),
    ],
)
def test_the_first_field_that_differs_names_the_cause(
    truth: LedgerStore, field: str, words: str
) -> None:
    right = side(truth, DIVERGED_AT)
    changes: dict[str, Any] = {field: Digest(b"\x09" * 32)}
    found = compare(Side(replace(right.header, **changes), right.receipts), right)
    assert [item.name for item in found.fields] == [field]
    assert words in found.cause
    assert found.receipt is None


def test_a_receipt_that_one_side_lacks(truth: LedgerStore) -> None:
    right = side(truth, DIVERGED_AT)
    found = compare(Side(right.header, ()), right).receipt
    assert found is not None
    assert found.own is None
    assert found.certified is not None
    assert first_call([CallOutcome("ok", "", Gas(1))], []) is not None
    with pytest.raises(NotProven):
        read_side(Answer("http://x", 200, b"[]"))


def explained(standing: Standing, compared: Compared | None, commands: Commands) -> Explanation:
    names = {name: f"name of {name}" for name in KEYS}
    found = steps(standing, commands)
    return Explanation("http://node", standing, names, compared, ("a note",), tuple(found))


def standing(home: DivergedHome, state: Any = "diverged") -> Standing:
    return Standing(
        state=state,
        reason="why",
        organisation="org1",
        name="one",
        height=Height(3),
        executed=Height(LAST),
        decided=Height(LAST),
        highest=Height(9),
        divergence=divergence(home) if state == "diverged" else None,
    )


def test_a_person_and_a_program_are_told_the_same(
    home: DivergedHome, own: LedgerStore, truth: LedgerStore
) -> None:
    comparison = compare(side(own, DIVERGED_AT), side(truth, DIVERGED_AT))
    compared = Compared("http://other", True, comparison, None)
    commands = Commands("http://node", Path("/a folder/node"), 17)
    found = explained(standing(home), compared, commands)
    text = "\n".join(why_words.lines(found))
    document = why_words.document(found)
    receipt = document["compared"]["receipt"]
    for word in (
        f"DIVERGED at height {DIVERGED_AT}",
        home.right[DIVERGED_AT].hex(),
        "name of org0, name of org1, name of org2",
        receipt["transaction"],
        "checked against the certificate",
        "kill -TERM 17 && tail --pid=17 -f /dev/null",
        "qiong db rebuild --home '/a folder/node'",
        "qiong node run --home '/a folder/node'",
        "a note",
    ):
        assert word in text
    assert [item["name"] for item in document["compared"]["fields"]] == [
        "receipts_root",
        "state_root",
    ]
    commands_told = [step["command"] for step in document["steps"] if step["command"]]
    assert len(commands_told) == 4
    json.dumps(document)


def test_a_stopped_node_is_not_told_to_stop(home: DivergedHome) -> None:
    told = steps(standing(home), Commands("http://node", Path("/home/node")))
    assert told[0].command == "qiong db rebuild --home /home/node"


@pytest.mark.parametrize("state", STATES)
def test_every_state_has_words_and_whoever_must_act_is_told_how(
    home: DivergedHome, state: Any
) -> None:
    found = explained(standing(home, state), None, Commands("http://node"))
    assert why_words.lines(found)[1].startswith(why_words.HEADLINES[state])
    by_itself = state in ("voting", "starting", "behind")
    assert bool(found.steps) != by_itself
    if not by_itself:
        assert "--home DIR" in found.steps[-1].words
