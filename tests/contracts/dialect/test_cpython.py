"""Two threads that compile at once, as a node that executes and admits does."""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator

import pytest

from contracts import shipped
from contracts.dialect.cpython import parse

THREADS = 2
ROUNDS = 100


class Cycle:
    """Garbage for the collector, whose finaliser lets the other thread run."""

    def __init__(self) -> None:
        self.me = self

    def __del__(self) -> None:
        for _ in range(50):
            pass


@pytest.fixture
def often() -> Iterator[None]:
    """Collections and changes of thread wherever they may come."""
    interval, thresholds = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(1)
    yield
    gc.set_threshold(*thresholds)
    sys.setswitchinterval(interval)


@pytest.mark.usefixtures("often")
def test_threads_may_parse_at_once() -> None:
    source = shipped.source("licence")
    raised: list[SystemError] = []

    def work() -> None:
        try:
            for _ in range(ROUNDS):
                parse(source)
                Cycle()
        except SystemError as error:
            raised.append(error)

    threads = [threading.Thread(target=work) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert raised == []
