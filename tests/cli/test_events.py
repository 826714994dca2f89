"""`qiong events`: the stream's form, what a node may get wrong, and how it ends."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import events
from cli.client import NodeRefused, NodeUnreachable
from cli.events import BadStream, Cursor, Follower, split


def line(height: int, index: int, **fields: Any) -> bytes:
    """One event as a node sends it."""
    document = {
        "height": height,
        "index": index,
        "contract": "licence",
        "name": "发证",
        "data": {},
        **fields,
    }
    data = json.dumps(document, ensure_ascii=False)
    return f"id: {height}.{index}\nevent: event\ndata: {data}\n\n".encode()


EVENTS = [(1, 0), (1, 1), (3, 0), (7, 0), (7, 1)]
STREAM = b": here\n\n".join(line(*place) for place in EVENTS)


@given(st.lists(st.integers(0, len(STREAM)), max_size=12), st.integers(0, len(STREAM)))
def test_whole_events_come_out_however_the_bytes_come(cuts: list[int], end: int) -> None:
    """And of a stream that breaks in an event, those before it."""
    places = sorted({0, *(cut for cut in cuts if cut < end), end})
    chunks = [STREAM[a:b] for a, b in pairwise(places)]
    found = [json.loads(data) for data in split(iter(chunks), "node")]
    whole = STREAM[:end].count(b"\n\n") - STREAM[:end].count(b": here\n\n")
    assert [(event["height"], event["index"]) for event in found] == EVENTS[:whole]


def test_an_event_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "EVENT_BYTES_MAX", 100)
    with pytest.raises(BadStream, match="longer than 100 bytes"):
        list(split(iter([b"data: ", b"x" * 100]), "node"))


class Nodes:
    """In the client's place: each connection gives the next of `lives`, bytes or an error."""

    def __init__(self, *lives: bytes | Exception) -> None:
        self.nodes = ("one", "two")
        self.asked: list[tuple[str, str | None, object]] = []
        self.slept: list[float] = []
        self._lives = iter(lives)

    def stream(
        self, node: str, where: str, headers: dict[str, str], silence: float, **query: object
    ) -> Iterator[bytes]:
        self.asked.append((node, headers.get("Last-Event-ID"), query["from_"]))
        life = next(self._lives)
        if isinstance(life, Exception):
            raise life
        yield b""
        yield life

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


def follow(nodes: Nodes, count: int) -> tuple[list[tuple[int, int]], list[str]]:
    """The first `count` events from block 1 on, and what was said."""
    said: list[str] = []
    follower = Follower(nodes, Cursor(1), None, said.append)  # type: ignore[arg-type]
    found = follower.events()
    return [
        (event["height"], event["index"]) for event in (next(found) for _ in range(count))
    ], said


def gone(node: str = "one") -> NodeUnreachable:
    return NodeUnreachable([node], "reset")


def refused(status: int) -> NodeRefused:
    return NodeRefused("one", status, "code", "detail")


def test_it_goes_on_behind_what_it_saw_at_the_next_node() -> None:
    nodes = Nodes(line(1, 0) + line(1, 1)[:20], line(1, 1) + line(3, 0), gone(), line(7, 0))
    found, said = follow(nodes, 4)
    assert found == [(1, 0), (1, 1), (3, 0), (7, 0)]
    assert nodes.asked == [
        ("one", None, 1),
        ("two", "1.0", None),
        ("one", "3.0", None),
        ("two", "3.0", None),
    ]
    first_words = " ".join(text.partition(" ")[0] for text in said)
    assert first_words == "following one following two following"


def test_what_is_told_again_is_not_printed_again() -> None:
    nodes = Nodes(line(1, 0) + line(1, 1), line(1, 0) + line(1, 1) + line(2, 0))
    assert follow(nodes, 3)[0] == [(1, 0), (1, 1), (2, 0)]


@pytest.mark.parametrize(
    "life",
    [gone(), refused(429), refused(503), b"data: {}\n\n", b"data: \xff\n\n", line(-1, 0), b""],
)
def test_a_node_that_cannot_serve_is_passed_over(life: bytes | Exception) -> None:
    nodes = Nodes(line(1, 0), life, life, line(2, 0))
    assert follow(nodes, 2)[0] == [(1, 0), (2, 0)]


def test_nodes_that_tell_nothing_new_are_asked_ever_less_often() -> None:
    nodes = Nodes(line(1, 0), *[gone()] * 21, line(2, 0))
    assert follow(nodes, 2)[0] == [(1, 0), (2, 0)]
    assert nodes.slept[0] == nodes.slept[1] / 2 == events.WAIT_SECONDS
    assert nodes.slept[-1] == events.WAIT_SECONDS_MAX


def test_no_answer_to_begin_with_and_a_wrong_question_end_it() -> None:
    with pytest.raises(NodeUnreachable, match="one, two"):
        follow(Nodes(gone(), gone()), 1)
    with pytest.raises(NodeRefused):
        follow(Nodes(line(1, 0), refused(400)), 2)
