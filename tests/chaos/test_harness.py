"""The harness itself: the checker raises when it must, and the proxies do what they say."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ledger.types import Digest
from tests.chaos.checker import (
    Chain,
    Violation,
    check,
    check_agreement,
    check_exactly_once,
    check_order,
    judge,
)
from tests.chaos.conftest import Found
from tests.chaos.load import History, Load, Operation
from tests.chaos.proxy import Links, Target

A, B, C = (Digest(bytes([i]) * 32) for i in (1, 2, 3))
HEADERS = [Digest(bytes([100 + i]) * 32) for i in range(4)]


def chain(*ids: list[Digest], name: str = "one") -> Chain:
    """Block 0 is genesis; block n executed `ids[n - 1]`."""
    return Chain(name, HEADERS[: len(ids) + 1], [[], *ids])


def operation(tx_id: Digest, height: int | None, begin: float, end: float) -> Operation:
    return Operation(tx_id, b"", 1, begin, end, height, "committed", "node")


GOOD = [operation(A, 1, 0, 1), operation(B, 2, 1.5, 2)]


def test_the_checker_takes_what_is_right() -> None:
    chains = [chain([A], [B]), chain([A], [B], [], name="two"), chain([A], name="behind")]
    check_agreement(chains)
    check_exactly_once(chains, GOOD, 2)
    check_order(chains[1], GOOD)


@pytest.mark.parametrize(
    "operations",
    [
        pytest.param([*GOOD, operation(C, 2, 3, 4)], id="lost"),
        pytest.param([*GOOD, GOOD[0]], id="acknowledged_twice"),
        pytest.param([GOOD[0], replace(GOOD[1], height=1)], id="at_another_height"),
        pytest.param([replace(GOOD[0], outcome="expired", height=None)], id="expired_but_executed"),
    ],
)
def test_the_checker_finds_a_wrong_acknowledgement(operations: list[Operation]) -> None:
    with pytest.raises(Violation):
        check_exactly_once([chain([A], [B]), chain([A], [B], name="two")], operations, 2)


def test_the_checker_finds_a_transaction_executed_twice() -> None:
    with pytest.raises(Violation, match="and again at 2"):
        check_exactly_once([chain([A], [A])], [GOOD[0]], 1)


def test_the_checker_finds_a_commit_that_too_few_hold() -> None:
    with pytest.raises(Violation, match="only 1"):
        check_exactly_once([chain([A], [B]), chain([A], name="behind")], GOOD, 2)


def test_the_checker_finds_a_reordered_acknowledgement() -> None:
    later = [operation(A, 2, 0, 1), operation(B, 1, 1.5, 2)]
    with pytest.raises(Violation, match="before it was invoked"):
        check_order(chain([B], [A]), later)
    at_once = [operation(A, 2, 0, 1), operation(B, 1, 0.5, 2)]
    check_order(chain([B], [A]), at_once)


def test_the_checker_finds_a_fork() -> None:
    other = Chain("two", [HEADERS[0], HEADERS[2]], [[], [A]])
    with pytest.raises(Violation, match="fork at 1"):
        check_agreement([chain([A], [B]), other])


@pytest.mark.chaos
def test_the_checker_on_real_ledgers(found: Found) -> None:
    """A short life of a real cluster passes; no forgery in its folders or its history does."""
    cluster = found()
    cluster.start()
    with Load(cluster, in_flight=8) as load:
        load.wait_commits(100)
        cluster.kill(cluster.names[0])
        load.wait_commits(50)
    report = judge(cluster, load.history)
    assert report.acknowledged == report.transactions
    assert min(report.heights.values()) < max(report.heights.values())

    last = max(load.history.acknowledged, key=lambda done: done.height or 0)
    for forged in (
        replace(last, id=A),
        replace(last, height=(last.height or 0) - 1),
        replace(last, outcome="expired"),
    ):
        with pytest.raises(Violation):
            check(cluster, [History([forged])])
    for damage in (_flip, _cut):
        name = cluster.names[1]
        with _copied(cluster.home(name)):
            damage(sorted((cluster.home(name) / "blocks").glob("*.log"))[-1])
            with pytest.raises(Violation):
                check(cluster, [load.history])
    check(cluster, [load.history])


def _flip(path: Path) -> None:
    """One bit in the middle, as a bad disk would."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _cut(path: Path) -> None:
    """The second half gone, as if nothing of it had been synced."""
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


class _copied:
    """Puts a folder back as it was."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._copy = folder.with_suffix(".copy")

    def __enter__(self) -> None:
        shutil.copytree(self._folder, self._copy)

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder)
        self._copy.rename(self._folder)


# --- proxies ---


class Echo:
    """A server that sends back what it gets, and counts what it got."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.received = b""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._echo, args=[connection], daemon=True).start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            while chunk := _received(connection):
                self.received += chunk
                connection.sendall(chunk)


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(1 << 16)
    except ConnectionError:
        return b""


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.listener.close()


@pytest.fixture
def links(echo: Echo) -> Iterator[Links]:
    made = Links([Target("a", 1), Target("b", echo.port)])
    yield made
    made.close()


Dial = Callable[[], socket.socket]


@pytest.fixture
def dial(links: Links) -> Iterator[Dial]:
    """Connects as validator a to validator b."""
    opened: list[socket.socket] = []

    def connect() -> socket.socket:
        port = links.listening["a", "b"]
        opened.append(socket.create_connection(("127.0.0.1", port), timeout=10))
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


def _ask(connection: socket.socket, text: bytes = b"hello") -> tuple[bytes, float]:
    """What comes back, and after how many seconds."""
    began = time.monotonic()
    connection.sendall(text)
    return _received(connection), time.monotonic() - began


def test_a_proxy_without_fault_passes_bytes(dial: Dial, links: Links) -> None:
    connection = dial()
    assert _ask(connection)[0] == b"hello"
    big = bytes(range(256)) * 4096 * 4
    back = b""
    threading.Thread(target=connection.sendall, args=[big], daemon=True).start()
    while len(back) < len(big):
        back += connection.recv(1 << 20)
    assert back == big
    connection.shutdown(socket.SHUT_WR)
    assert connection.recv(1) == b""


def test_delay_is_of_one_direction(dial: Dial, links: Links) -> None:
    connection = dial()
    links.set("b", "a", delay_ms=300)
    assert _ask(connection)[1] >= 0.3
    links.set("b", "a")
    links.set("a", "b", delay_ms=150)
    assert _ask(connection)[1] >= 0.15


def test_a_stall_keeps_the_connection_and_its_bytes(dial: Dial, links: Links, echo: Echo) -> None:
    connection = dial()
    assert _ask(connection, b"before")[0] == b"before"
    links.set("a", "b", stall=True)
    connection.sendall(b"meanwhile")
    connection.settimeout(0.7)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    assert echo.received == b"before"
    connection.settimeout(10)
    healed = time.monotonic()
    links.heal()
    assert connection.recv(100) == b"meanwhile"
    # Held back for at least 0.7 s, so that the next retransmission came 1.4 s after it was sent.
    assert time.monotonic() - healed >= 0.3


def test_a_stall_holds_new_connections(dial: Dial, links: Links) -> None:
    links.set("b", "a", stall=True)
    connection = dial()
    began = time.monotonic()
    connection.sendall(b"hello")
    connection.settimeout(0.5)
    with pytest.raises(TimeoutError):
        connection.recv(1)
    connection.settimeout(10)
    links.heal()
    assert connection.recv(100) == b"hello"
    assert time.monotonic() - began >= 0.9  # the SYN's first retransmission


def test_a_cut_resets_and_refuses_what_the_source_dials(dial: Dial, links: Links) -> None:
    connection = dial()
    _ask(connection)
    links.set("b", "a", cut=True)
    assert _ask(connection)[0] == b"hello"
    links.set("a", "b", cut=True)
    assert _received(connection) == b""
    assert _received(dial()) == b""
    links.heal()
    assert _ask(dial())[0] == b"hello"


def test_drop_ends_connections(dial: Dial, links: Links) -> None:
    links.set("a", "b", drop=1.0)
    assert _ask(dial())[0] == b""
    assert links.counts.dropped == 1


def test_corruption_flips_one_bit(dial: Dial, links: Links, echo: Echo) -> None:
    links.set("a", "b", corrupt=1.0)
    answer, _ = _ask(dial(), bytes(64))
    assert sum(byte.bit_count() for byte in answer) == 1
    assert links.counts.corrupted == 1


def test_loss_costs_retransmissions_and_no_bytes(dial: Dial, links: Links) -> None:
    connection = dial()
    links.set("a", "b", loss=0.5)
    answers = [_ask(connection) for _ in range(8)]
    assert {answer for answer, _ in answers} == {b"hello"}
    assert links.counts.lost > 0
    assert sum(seconds for _, seconds in answers) >= 0.2 * links.counts.lost
