"""`qiong events`: follow what contracts tell, for as long as wanted.

A node sends certified events as Server-Sent Events (WHATWG HTML §9.2), each under its cursor
HEIGHT.INDEX. Here the cursor of the last event that was printed is all that is remembered: when a
connection ends, in the middle of an event or not, the next one goes on behind it, at the same node
or another. So every event comes once and in order, whoever is restarted meanwhile. What is not
certified is in no stream, so all nodes tell the same events.

Left out: proofs. A stream is one node's word; `qiong proof get tx ID` proves a transaction.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import click

from cli import output
from cli.client import Client, NodeRefused, NodeUnreachable
from cli.settings import Settings, common_options

EVENT_BYTES_MAX: Final = 8 << 20
"""Longest event in a stream: above what the gas of a transaction buys, as JSON."""

SILENCE_SECONDS_MAX: Final = 40.0
"""After this the other end is gone: a node says that it is there every 15 s."""

WAIT_SECONDS: Final = 0.05
WAIT_SECONDS_MAX: Final = 5.0
"""First and longest wait before nodes that told nothing new are asked again."""

BUSY: Final = (429, 500, 502, 503, 504)
"""Answers of a node that cannot serve a stream now; another one may."""


class BadStream(NodeRefused):
    """A node's stream is not what a node of ours sends."""

    def __init__(self, node: str, reason: str) -> None:
        super().__init__(node, 200, "bad_stream", reason)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where to go on: at block `height` from its event `index` on."""

    height: int
    index: int = 0

    def __str__(self) -> str:
        return f"{self.height}.{self.index}"

    @property
    def place(self) -> tuple[int, int]:
        return self.height, self.index


def split(chunks: Iterator[bytes], node: str) -> Iterator[bytes]:
    """The data of each whole event of a stream; one that the stream ends in is dropped.

    Raises `BadStream` for an event over `EVENT_BYTES_MAX`.
    """
    waiting = b""
    for chunk in chunks:
        waiting += chunk
        *whole, waiting = waiting.split(b"\n\n")
        for event in whole:
            lines = [line for line in event.split(b"\n") if line.startswith(b"data: ")]
            if lines:
                yield b"\n".join(line.removeprefix(b"data: ") for line in lines)
        if len(waiting) > EVENT_BYTES_MAX:
            raise BadStream(node, f"an event is longer than {EVENT_BYTES_MAX} bytes")


class Follower:
    """Follows from `cursor` on over all nodes of `client`; `tell` gets sentences for people."""

    def __init__(
        self, client: Client, cursor: Cursor, contract: str | None, tell: Callable[[str], None]
    ) -> None:
        self._client = client
        self._contract = contract
        self._tell = tell
        self.cursor = cursor
        self._answered = False
        self._lost: str | None = None

    def events(self) -> Iterator[dict[str, Any]]:
        """Every event from the cursor on, once and in order, without end.

        Raises `NodeUnreachable` if no node answers to begin with, `NodeRefused` for a question
        that a node refuses.
        """
        wait = WAIT_SECONDS
        while True:
            before = self.cursor
            for node in self._client.nodes:
                try:
                    yield from self._of(node)
                except NodeUnreachable as error:
                    self._lose(node, error.message)
                except NodeRefused as error:
                    if error.status not in (200, *BUSY):
                        raise
                    self._lose(node, error.message)
            if not self._answered:
                raise NodeUnreachable(self._client.nodes, self._lost or "no node is named")
            wait = WAIT_SECONDS if self.cursor != before else min(2 * wait, WAIT_SECONDS_MAX)
            self._client.sleep(wait)

    def _of(self, node: str) -> Iterator[dict[str, Any]]:
        """The events of one connection to `node`."""
        seen = Cursor(self.cursor.height, self.cursor.index - 1)
        headers = {} if seen.index < 0 else {"Last-Event-ID": str(seen)}
        chunks = self._client.stream(
            node,
            "/v1/events",
            headers,
            SILENCE_SECONDS_MAX,
            contract=self._contract,
            from_=None if headers else self.cursor.height,
        )
        for chunk in split(self._noting(chunks, node), node):
            event = _decode(chunk, node)
            place = Cursor(event["height"], event["index"])
            # A node that tells an event again is not listened to twice.
            if place.place >= self.cursor.place:
                self.cursor = Cursor(place.height, place.index + 1)
                yield event
        self._lose(node, f"{node} ended the stream")

    def _noting(self, chunks: Iterator[bytes], node: str) -> Iterator[bytes]:
        """`chunks`, said to have begun with the first of them, which comes at once."""
        for number, chunk in enumerate(chunks):
            if not number and (self._lost is not None or not self._answered):
                self._tell(f"following {node} from {self.cursor}; unverified: said by this node")
                self._answered, self._lost = True, None
            yield chunk

    def _lose(self, node: str, reason: str) -> None:
        """Say once that nobody is followed any more, however long that lasts."""
        if self._answered and self._lost is None:
            self._tell(f"{reason}; going on from {self.cursor}")
        self._lost = reason


def _decode(data: bytes, node: str) -> dict[str, Any]:
    try:
        event = json.loads(data)
        natural = all(type(event[name]) is int and event[name] >= 0 for name in ("height", "index"))
        if natural and isinstance(event["contract"], str) and isinstance(event["name"], str):
            return dict(event)
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise BadStream(node, f"expected an event, got {data[:80]!r}")


@click.command("events")
@click.option("--contract", metavar="NAME", help="Only the events of this contract.")
@click.option(
    "--from-height",
    type=click.IntRange(0),
    help="Begin with this block's events; by default with those of the next block.",
)
@common_options()
def events_command(settings: Settings, contract: str | None, from_height: int | None) -> int:
    """Follow certified events until ctrl-C. With --json, one document a line.

    A connection that breaks is made again, at the next --node if need be, and goes on behind the
    last event: each event is printed once, in order.
    """
    try:
        with Client(settings.nodes) as client:
            if from_height is None:
                from_height = _newest(client) + 1
            follower = Follower(client, Cursor(from_height), contract, output.message)
            for event in follower.events():
                output.data(event, settings.json, [_line(event)])
    except KeyboardInterrupt:
        return 0
    return 0


def _newest(client: Client) -> int:
    """The newest certified height of the first node that answers."""
    answer = client.get("/v1/status")
    try:
        return int(answer.json()["height"])
    except (KeyError, TypeError, ValueError):
        raise NodeRefused(answer.node, answer.status, "bad_answer", "no status") from None


def _line(event: dict[str, Any]) -> str:
    place = f"{event['height']}.{event['index']}"
    what = f"{event['contract']}.{event['name']}"
    return f"{place:<10} {what:<24} {output.pretty(event.get('data'))}"
