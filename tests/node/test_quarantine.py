"""The operator's half of a quarantine, on a stopped node: finding, signing, applying, refusing."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from cli import quarantine as commands
from contracts.runner import ExecutionStopped
from ledger.block_files import BlockFiles
from ledger.errors import InvalidInput
from ledger.execution import BlockContext, StateView
from ledger.hashing import sha256
from ledger.quarantine import QuarantineInvalid, Removal, Vote
from ledger.receipt import TransactionOutcome
from ledger.storage.memory import MemoryFolder, MemoryStore
from ledger.store import LedgerStore
from ledger.transaction import Transaction
from ledger.types import Digest, Epoch, Height
from node import quarantine
from node.home import Home
from node.quarantine import QuarantineRefused
from node.rebuild import Rebuild, StillDiverged
from tests.ledger.ledger_world import KEYS, ToyRunner, World
from tests.node import diverged_home
from tests.node.diverged_home import CERTIFIED, DIVERGED_AT, LAST, DivergedHome

NEXT = Height(LAST + 1)
COUNT = 37


class Perishing(ToyRunner):
    """Dies of some transactions; `tries` counts what it was asked."""

    def __init__(self, fatal: set[bytes]) -> None:
        super().__init__()
        self.fatal = fatal
        self.tries = 0

    def run(
        self, context: BlockContext, transactions: Sequence[Transaction], state: StateView
    ) -> list[TransactionOutcome]:
        self.tries += 1
        if any(item.id in self.fatal for item in transactions):
            raise ExecutionStopped(context.height, 3, "died")
        return super().run(context, transactions, state)


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def store(world: World) -> LedgerStore:
    """Of a node that executed six blocks, three of them certified."""
    opened = LedgerStore(world.genesis, MemoryStore(), BlockFiles(MemoryFolder()))
    for n in range(1, LAST + 1):
        world.advance(opened, world.put("a", n), certify=n <= CERTIFIED)
    return opened


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> DivergedHome:
    """The folder of such a node, whose last three blocks are wrong."""
    return diverged_home.make(tmp_path_factory.mktemp("diverged") / "node")


@pytest.fixture
def place(tmp_path: Path) -> Home:
    """An empty folder."""
    return Home(tmp_path)


def stuck(world: World, store: LedgerStore) -> list[Digest]:
    """Decide a block more; the ids of its transactions."""
    rows = [world.put(f"k{i}", i) for i in range(COUNT)]
    store.append_decided(world.block(NEXT, rows))
    return [signed.id for signed in rows]


def votes(removal: Removal, count: int = 3, chain_id: Digest | None = None) -> list[Vote]:
    message = removal.signed_bytes(World().genesis.chain_id if chain_id is None else chain_id)
    return [Vote(removal, name, KEYS[name].sign(message)) for name in sorted(KEYS)[:count]]


def removal_of(store: LedgerStore, n: int, index: int = 0) -> Removal:
    block = store.decided_block(Height(n)).decode()
    return Removal(Epoch(0), Height(n), block.d, block.transactions[index].id)


@pytest.mark.parametrize("positions", [[], [0], [COUNT - 1], [5, 6, 30]])
def test_the_fatal_ones_are_found_by_halving(
    world: World, store: LedgerStore, positions: list[int]
) -> None:
    ids = stuck(world, store)
    runner = Perishing({ids[i] for i in positions})
    assert [item.id for item in quarantine.find(store, runner)] == [ids[i] for i in positions]
    assert runner.tries <= 1 + 7 * len(positions)
    assert store.executed_height == LAST
    # What is taken out already is not looked for.
    store.promise(NEXT, ids[5])
    found = [item.id for item in quarantine.find(store, runner)]
    assert found == [ids[i] for i in positions if i != 5]


def test_only_what_is_fatal_is_signed_away(world: World, store: LedgerStore) -> None:
    ids = stuck(world, store)
    removal, signed = quarantine.subject(store, NEXT, ids[9])
    assert (removal.tx_id, signed.id) == (ids[9], ids[9])
    quarantine.check_fatal(store, Perishing({ids[9]}), removal)
    for fatal, reason in ((set(), "can be executed here"), ({ids[3]}, ids[3].hex())):
        with pytest.raises(QuarantineRefused, match=reason):
            quarantine.check_fatal(store, Perishing(fatal), removal)
    vote = quarantine.sign(store, "org1", KEYS["org1"], removal)
    vote.verify(world.genesis.chain_id, world.genesis.validator_set)
    assert store.promised(NEXT) == {ids[9]}
    # A file that was lost can be made again.
    quarantine.check_fatal(store, Perishing({ids[9]}), removal)
    assert quarantine.sign(store, "org1", KEYS["org1"], removal) == vote


def test_what_must_not_be_signed(world: World, store: LedgerStore) -> None:
    executed = removal_of(store, LAST)
    with pytest.raises(QuarantineRefused, match="every decided block is executed"):
        quarantine.next_block(store)
    with pytest.raises(QuarantineRefused, match="executed block 6"):
        quarantine.subject(store, executed.n, executed.tx_id)
    ids = stuck(world, store)
    with pytest.raises(QuarantineRefused, match="stands at block 7"):
        quarantine.subject(store, Height(NEXT + 1), ids[0])
    with pytest.raises(QuarantineRefused, match="has no transaction"):
        quarantine.subject(store, NEXT, executed.tx_id)
    store.quarantine(NEXT, ids[0], b"by a quorum")
    with pytest.raises(QuarantineRefused, match="already"):
        quarantine.subject(store, NEXT, ids[0])


def test_a_quorum_is_applied_once(world: World, store: LedgerStore, place: Home) -> None:
    ids = stuck(world, store)
    removal = removal_of(store, NEXT, 4)
    with pytest.raises(QuarantineInvalid, match="a quorum is 3"):
        quarantine.apply(place, store, votes(removal, 2))
    assert store.quarantined(NEXT) == {}
    first = quarantine.apply(place, store, votes(removal))
    again = quarantine.apply(place, store, votes(removal, 4))
    assert [(item.known, item.rebuild) for item in (first, again)] == [
        (False, False),
        (True, False),
    ]
    assert store.quarantined(NEXT) == {ids[4]: first.record.encode()}
    executed = store.execute(store.decided_block(NEXT).decode(), Perishing({ids[4]}))
    codes = [entry.receipt.code for entry in executed.transactions]
    assert codes == ["QUARANTINED" if i == 4 else "" for i in range(COUNT)]


def test_what_is_not_applied(world: World, store: LedgerStore, place: Home) -> None:
    other = Removal(Epoch(0), NEXT, sha256(b"d"), sha256(b"t"))
    beyond = Removal(Epoch(0), Height(NEXT + 1), other.d, other.tx_id)
    refused = [
        (beyond, QuarantineRefused, "not here yet"),
        (removal_of(store, CERTIFIED), QuarantineRefused, "certified with another outcome"),
        (removal_of(store, LAST), QuarantineRefused, "may have signed its header"),
    ]
    stuck(world, store)
    block = store.decided_block(NEXT)
    refused += [
        (other, QuarantineInvalid, "not " + sha256(b"d").hex()),
        (Removal(Epoch(0), NEXT, block.d, other.tx_id), QuarantineInvalid, "no transaction"),
        (
            Removal(Epoch(1), NEXT, block.d, removal_of(store, NEXT).tx_id),
            QuarantineInvalid,
            "epoch 1",
        ),
    ]
    for removal, kind, reason in refused:
        with pytest.raises(kind, match=reason):
            quarantine.apply(place, store, votes(removal))


def test_a_diverged_node_takes_it_and_is_rebuilt(home: DivergedHome) -> None:
    """Its worker survived what a quorum took out of the block at which it halted."""
    home.vote(home.record)
    with quarantine.open_ledger(home.place, home.genesis) as store:
        removal = removal_of(store, DIVERGED_AT)
        assert quarantine.apply(home.place, store, votes(removal)).rebuild
    # Executed with it now; here the certified header is one without, which shows that it counts.
    with Rebuild(home.place, home.genesis) as work, pytest.raises(StillDiverged) as still:
        list(work.run(ToyRunner()))
    assert still.value.n == DIVERGED_AT


def test_signature_files_are_read_strictly(world: World) -> None:
    chain_id = world.genesis.chain_id
    removal = Removal(Epoch(0), NEXT, sha256(b"d"), sha256(b"t"))
    (vote,) = votes(removal, 1)
    text = quarantine.encode_vote(vote, chain_id)
    assert quarantine.decode_vote(text.encode(), chain_id) == vote
    document = json.loads(text)
    bad: list[Any] = [
        b"",
        b"\xff\xfe",
        b"[]",
        b"[" * 10_000,
        b"x" * (quarantine.FILE_BYTES_MAX + 1),
        *(document | {name: value} for name in document for value in (None, -1, 1.5, [])),
        *(document | {name: "zz"} for name in document if name != "organisation"),
        *({key: document[key] for key in document if key != name} for name in document),
    ]
    for item in bad:
        data = item if isinstance(item, bytes) else json.dumps(item).encode()
        with pytest.raises(InvalidInput):
            quarantine.decode_vote(data, chain_id)
    with pytest.raises(QuarantineInvalid, match="another chain"):
        quarantine.decode_vote(text.encode(), sha256(b"other"))


@pytest.fixture
def operator(home: DivergedHome, monkeypatch: pytest.MonkeyPatch) -> Any:
    """`operator(words)`: exit code and all that was shown."""
    opened = (home.place, home.config(), home.genesis)
    monkeypatch.setattr(commands, "_opened", lambda _: opened)

    def run(*words: str) -> tuple[int, str]:
        try:
            result = CliRunner().invoke(
                commands.quarantine_group, list(words), standalone_mode=False
            )
            if isinstance(result.exception, click.ClickException):
                return result.exception.exit_code, result.exception.message
            if result.exception is not None:
                raise result.exception
            return result.return_value, result.output
        except QuarantineRefused as refused:
            return 3, f"{refused} {refused.hint}"

    return run


def test_a_bad_file_is_named(home: DivergedHome, operator: Any, tmp_path: Path) -> None:
    removal = Removal(Epoch(0), NEXT, sha256(b"d"), sha256(b"t"))
    good, forged = votes(removal, 2)
    files = [tmp_path / name for name in ("good.json", "forged.json", "garbage.json")]
    files[0].write_text(quarantine.encode_vote(good, home.genesis.chain_id))
    wrong = Vote(removal, "org2", forged.signature)
    files[1].write_text(quarantine.encode_vote(wrong, home.genesis.chain_id))
    files[2].write_text("garbage")
    where = ("--home", str(home.place.root))
    code, said = operator("apply", *where, str(files[0]), str(files[1]))
    assert (code, str(files[1]) in said) == (5, True)
    assert "org2 is not valid" in said
    code, said = operator("apply", *where, str(files[0]), str(files[2]))
    assert (code, str(files[2]) in said) == (3, True)


def test_nobody_signs_unseen(home: DivergedHome, operator: Any, tmp_path: Path) -> None:
    with quarantine.open_ledger(home.place, home.genesis) as store:
        ids = stuck(home.world, store)
    file = tmp_path / "vote.json"
    words = ("sign", "--home", "x", str(NEXT), ids[0].hex(), "-o", str(file), "--force")
    code, said = operator(*words)
    assert (code, said) == (3, "nobody is there to agree")
    assert not file.exists()
    with quarantine.open_ledger(home.place, home.genesis) as store:
        assert store.promised(NEXT) == frozenset()
    file.touch()
    assert operator(*words)[0] == 3
