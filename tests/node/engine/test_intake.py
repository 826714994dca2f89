"""What arrives on a link: who is expelled for it, what it is billed for, which questions count."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from consensus.events import OwnVoteAsked, Received
from consensus.messages import (
    Blocks,
    FetchBlocks,
    FetchBody,
    OwnVote,
    OwnVoteQuery,
    Prepare,
    Suspect,
    Transactions,
    encode,
)
from consensus.verifier import Domain, Signed, Verifier, sign
from ledger import canonical
from ledger.hashing import sha256
from ledger.keys import SigningKey
from ledger.types import Epoch, Height, View
from ledger.validators import Validator, ValidatorSet
from node import conduct, intake
from node.bodies import Bodies
from node.conduct import Conduct
from node.intake import Intake, Taken

NAMES = [f"org-{i}" for i in range(4)]
KEYS = {name: SigningKey.from_seed(name.encode().ljust(32)) for name in NAMES}
CHAIN = sha256(b"chain")
DOMAIN = Domain(
    chain_id=CHAIN,
    epoch=Epoch(0),
    validators=ValidatorSet.of(Validator(name, key.public) for name, key in KEYS.items()),
    window=4,
    base=Height(0),
    base_hash=sha256(b"header 0"),
)


class Links:
    def __init__(self) -> None:
        self.conduct = Conduct(NAMES)
        self.expelled: list[str] = []
        self.sent: list[tuple[str, bytes]] = []

    def expel(self, organisation: str, reason: str) -> None:
        self.expelled.append(organisation)

    def send(self, organisation: str, lane: object, frame: bytes) -> None:
        self.sent.append((organisation, frame))

    def broadcast(self, lane: object, frame: bytes) -> None:
        raise AssertionError("nothing to say to all")


class Driver:
    def __init__(self) -> None:
        self.events: list[Any] = []

    def post(self, event: object) -> None:
        self.events.append(event)

    def now(self) -> int:
        return 0

    async def room(self) -> None:
        pass


class Body:
    """A held body of any size."""

    def __init__(self, size: int) -> None:
        self._size = size

    def message(self) -> Transactions:
        return Transactions((bytes(self._size),))


class Bench:
    """An intake among fakes. `taken` is what becomes of relayed transactions."""

    def __init__(self) -> None:
        self.links = Links()
        self.driver = Driver()
        self.taken = Taken(0, 0)
        self.bodies: Any = Bodies()
        parts: dict[str, Any] = {
            "driver": self.driver,
            "links": self.links,
            "bodies": self.bodies,
            "collector": None,
            "mempool": None,
            "source": None,
            "quarantine": None,
            "relayed": self._relayed,
        }
        self.intake = Intake(
            chain_id=CHAIN, validators=DOMAIN.validators, verifier=Verifier(DOMAIN), **parts
        )

    async def _relayed(self, raw: tuple[bytes, ...]) -> Taken:
        return self.taken

    async def receive(self, *frames: bytes, peer: str = "org-1") -> None:
        async with asyncio.timeout(30):
            await self.intake.receive(peer, list(frames))

    def tokens(self, bucket: str, peer: str = "org-1") -> float:
        now = asyncio.get_running_loop().time()
        found = getattr(self.links.conduct.allowance(peer, now), bucket)
        return float(found._tokens)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def vote(number: int = 0, epoch: int = 0, signer: str = "org-1") -> Signed[Prepare]:
    domain = replace(DOMAIN, epoch=Epoch(epoch))
    message = Prepare(View(0), Height(1 + number), sha256(b"body"))
    return sign(domain, signer, message, KEYS[signer].sign)


def forged() -> bytes:
    return replace(vote(), signature=vote(9).signature).encode()


BAD = {
    "forged": forged,
    "no message": lambda: b"\xc0",
    "deep": lambda: b"\x91" * 10_000,
    "huge counts": lambda: b"\xdd\x7f\xff\xff\xff" * 1_000,
    "eight million empties": lambda: b"\x92\x15\xdd\x00\x7f\xff\xf0" + b"\x90" * 0x7FFFF0,
    "a stranger's": lambda: replace(vote(), signer="org-9").encode(),
    "unknown kind": lambda: canonical.encode([99, []]),
    "own vote forged": lambda: encode(OwnVote((forged(),))),
}


@pytest.mark.parametrize("make", BAD.values(), ids=BAD.keys())
async def test_row_41_what_does_not_verify_expels_the_peer_and_nothing_after_it_counts(
    bench: Bench, make: Callable[[], bytes]
) -> None:
    await bench.receive(vote(1).encode(), make(), vote(2).encode())
    assert bench.links.expelled == ["org-1"]
    heights = [event.signed.message.n for event in bench.driver.events]
    assert heights in ([2], [2, 3])
    if heights == [2, 3]:
        assert make is BAD["own vote forged"], "its frame was well formed"


async def test_a_frame_of_another_epoch_is_only_late(bench: Bench) -> None:
    await bench.receive(vote(epoch=1).encode(), vote().encode())
    assert bench.links.expelled == []
    assert bench.links.conduct.refused["org-1"] == 1
    assert [type(event) for event in bench.driver.events] == [Received]


async def test_relayed_transactions_that_do_not_verify_expel_their_relayer(bench: Bench) -> None:
    frame = encode(Transactions((b"x",)))
    await bench.receive(frame)
    await asyncio.sleep(0)
    assert bench.links.expelled == []
    bench.taken = Taken(bad=1, in_vain=0)
    await bench.receive(frame)
    for _ in range(3):
        await asyncio.sleep(0)
    assert bench.links.expelled == ["org-1"]


async def test_transactions_verified_in_vain_are_billed(bench: Bench) -> None:
    before = bench.tokens("cpu")
    bench.taken = Taken(bad=0, in_vain=5_000)
    await bench.receive(encode(Transactions((b"x",))))
    for _ in range(3):
        await asyncio.sleep(0)
    assert before - bench.tokens("cpu") >= 5_000 * conduct.IN_VAIN_SECONDS * 0.9
    assert bench.links.expelled == []


async def test_a_flood_of_valid_messages_is_taken_at_the_rate_that_was_paid_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conduct, "CPU_BURST_SECONDS", 0.01)
    monkeypatch.setattr(conduct, "CPU_PER_SECOND", 0.05)
    loop = asyncio.get_running_loop()
    flood = [
        sign(DOMAIN, "org-1", Suspect(View(i), Height(0), 1), KEYS["org-1"].sign).encode()
        for i in range(400)
    ]
    began = loop.time()
    flooding = asyncio.create_task(bench.intake.receive("org-1", flood))
    await asyncio.sleep(0.05)
    await bench.receive(vote(signer="org-2").encode(), peer="org-2")
    assert any(event.signed.signer == "org-2" for event in bench.driver.events)
    assert len(bench.driver.events) < 400, "another peer did not wait for the flood"
    await flooding
    # 400 signatures take some 25 ms and more, less the burst, at a twentieth of the time.
    assert loop.time() - began > 0.2


async def test_blocks_that_we_asked_for_are_on_our_account(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing(*arguments: object) -> None:
        pass

    spent = 0.0
    verify = Verifier(DOMAIN).verify

    def slow(data: bytes) -> object:
        nonlocal spent
        spent += 0.1
        return verify(data)

    monkeypatch.setattr(bench.intake, "_take_blocks", nothing)
    monkeypatch.setattr(bench.intake._verifier, "verify", slow)
    monkeypatch.setattr(intake.time, "thread_time", lambda: spent)
    full = bench.tokens("cpu")
    bench.intake.asked_for_blocks("org-1", FetchBlocks(Height(1)))
    await bench.receive(encode(Blocks(Height(1), ())))
    assert bench.tokens("cpu") == pytest.approx(full, abs=0.01)
    await bench.receive(encode(Blocks(Height(1), ())))
    assert bench.tokens("cpu") == pytest.approx(full - 0.1, abs=0.01), "nobody asked for these"


async def test_answers_of_blocks_belong_to_their_questions(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A replica that is behind and an execution that stands still ask one peer at a time."""
    taken: list[int] = []

    async def take(peer: str, blocks: Blocks) -> None:
        taken.append(blocks.first)

    monkeypatch.setattr(bench.intake, "_take_blocks", take)
    for first in (1, 11, 1):
        bench.intake.asked_for_blocks("org-1", FetchBlocks(Height(first)))
    for first in (1, 5, 11, 11):
        await bench.receive(encode(Blocks(Height(first), ())))
        await bench.receive(encode(Blocks(Height(first), ())), peer="org-2")
    assert taken == [1, 11]


async def test_questions_are_answered_at_a_bounded_rate(bench: Bench) -> None:
    digest = sha256(b"body")
    bench.bodies.get = lambda wanted: Body(10)
    count = conduct.QUESTIONS_BURST + 50
    await bench.receive(*[encode(FetchBody(digest))] * count)
    assert conduct.QUESTIONS_BURST <= len(bench.links.sent) < count
    assert bench.intake.unanswered["org-1"] == count - len(bench.links.sent)
    await bench.receive(encode(OwnVoteQuery()), peer="org-2")
    assert [type(event) for event in bench.driver.events] == [OwnVoteAsked]


async def test_answers_are_paid_by_their_size(bench: Bench) -> None:
    size = conduct.ANSWER_BYTES_BURST // 4
    bench.bodies.get = lambda wanted: Body(size)
    await bench.receive(*[encode(FetchBody(sha256(b"body")))] * 20)
    assert 4 <= len(bench.links.sent) <= 6
    assert bench.links.expelled == []


async def test_peers_that_do_not_keep_what_is_asked_for_are_counted(bench: Bench) -> None:
    """By their last answer, each once."""
    bench.intake._source = SimpleNamespace(certified_height=Height(0))  # type: ignore[assignment]
    for peer in ("org-1", "org-1", "org-2"):
        bench.intake.asked_for_blocks(peer, FetchBlocks(Height(7)))
        await bench.receive(encode(Blocks(Height(7), ())), peer=peer)
        await asyncio.gather(*bench.intake._tasks)
    assert [bench.intake.without(Height(n)) for n in (1, 7, 8)] == [2, 2, 0]
