"""An attacker with a validator's keys and no validator: `python -P -m tests.chaos.flooder ...`.

It dials the peers of `--home` with that home's TLS identity, from an address of its own
(127.0.0.2), says as much as it can of `--mix`, dials again as soon as it is cut off, and takes the
links that the others make to it without reading from them. Beside that it calls their peer
listeners without ever saying a word, and breaks off TLS handshakes.

In reality an attacker has its own machine. Here it makes all its messages before it says that it is
ready, waits for a line on stdin, and then gives way to the others (nice 10), so that what slows
them down is what it sends and hardly what it costs to send.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import json
import os
import ssl
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web

from consensus.messages import (
    Checkpoint,
    Commit,
    FetchBlocks,
    FetchBody,
    FetchTransactions,
    OwnVoteQuery,
    PreparedCertificate,
    SignedMessage,
    Status,
    Suspect,
    Transactions,
    ViewChange,
    encode,
)
from consensus.verifier import Domain, sign
from ledger import canonical
from ledger.block_files import BlockFiles
from ledger.hashing import sha256
from ledger.storage.memory import MemoryFolder, MemoryStore
from ledger.store import LedgerStore
from ledger.types import Epoch, Height, Signature, View
from node import tls
from node.config import load_config
from node.frames import PACKED_BYTES_MAX, pack
from node.home import Home, load_genesis
from node.keyfile import Keyring
from node.peer_link import PATH

OWN_ADDRESS: Final = "127.0.0.2"
BATCH: Final = 200
BATCHES: Final = 12
"""Valid frames sent at once, and batches of each kind: of signed ones together more than a verifier
remembers."""

NICE: Final = 10

READY: Final = "ready"
VALID: Final = 10
"""Kinds of valid messages."""

MALFORMED: Final = (
    "oversized",
    "random",
    "deep",
    "counts",
    "empties",
    "many frames",
    "text",
    "unsigned vote",
    "garbage VIEW-CHANGE",
    "bad transactions",
)


class Flooder:
    """What it says, and how often it said it."""

    def __init__(self, home: Home) -> None:
        config = load_config(home.config)
        self.genesis = load_genesis(home, config.expect_hash)
        self.me = config.organisation
        keyring = Keyring(home.keys)
        self.key = keyring.key(home.consensus_key.stem)
        pinned = {entry.organisation: entry.tls_certificate for entry in self.genesis.validators}
        self.server, self.client = tls.contexts(
            home.tls_key, home.tls_certificate, keyring.passphrase(), pinned
        )
        self.address = next(
            entry.address for entry in self.genesis.validators if entry.organisation == self.me
        )
        store = LedgerStore(self.genesis, MemoryStore(), BlockFiles(MemoryFolder()))
        self.domain = Domain(
            chain_id=self.genesis.chain_id,
            epoch=Epoch(0),
            validators=self.genesis.validator_set,
            window=4,
            base=Height(0),
            base_hash=store.executed_header(Height(0)).hash,
        )
        self.count = itertools.count(1)
        self.messages: list[tuple[str, bytes | str]] = []
        self.said: Counter[str] = Counter()

    def signed(self, message: SignedMessage) -> bytes:
        return sign(self.domain, self.me, message, self.key.sign).encode()

    def prepare(self, mix: str) -> None:
        """Make what is to be said."""
        source = self.malformed() if mix == "malformed" else self.valid()
        kinds = len(MALFORMED) if mix == "malformed" else VALID * BATCHES
        self.messages = list(itertools.islice(source, kinds))

    def malformed(self) -> Iterator[tuple[str, bytes | str]]:
        """One message of each kind, for ever."""
        nothing = Signature(b"\x01" + bytes(64))
        oversized = bytes(PACKED_BYTES_MAX + 1)
        deep = pack([b"\x91" * 10_000])
        counts = pack([b"\xdd\x7f\xff\xff\xff" * 10_000])
        empties = pack([b"\x92\x15\xdd\x00\x7f\xff\xf0" + b"\x90" * 0x7FFFF0])
        many = pack([b"\xc0"] * 1_000_000)
        while True:
            n = Height(next(self.count))
            digest = sha256(b"%d" % n)
            certificate = PreparedCertificate(
                Height(1), View(0), digest, tuple((o, nothing) for o in self.others()[:3])
            )
            change = ViewChange(View(1 + n), Height(0), self.domain.base_hash, None, (certificate,))
            unsigned = canonical.encode([0, 3, self.me, [0, n, digest], nothing])
            bad = [b"\x93" + digest * 20 for _ in range(500)]
            messages: tuple[bytes | str, ...] = (
                oversized,
                digest * 30_000,
                deep,
                counts,
                empties,
                many,
                "text",
                pack([unsigned]),
                pack([self.signed(change)]),
                pack([encode(Transactions(tuple(bad)))]),
            )
            yield from zip(MALFORMED, messages, strict=True)

    def valid(self) -> Iterator[tuple[str, bytes | str]]:
        """Batches that verify and say nothing worth hearing, each frame another one."""
        while True:
            numbers = [next(self.count) for _ in range(BATCH)]
            digests = [sha256(b"%d" % n) for n in numbers]
            h = Height(0)
            base = self.domain.base_hash
            yield (
                "STATUS",
                self.batch(
                    Status(h, h, View(0), bool(n % 2), d)
                    for n, d in zip(numbers, digests, strict=True)
                ),
            )
            yield "SUSPECT", self.batch(Suspect(View(n), h, 1 + n % 4) for n in numbers)
            yield (
                "VIEW-CHANGE",
                self.batch(ViewChange(View(2**31 + n), h, base, None, ()) for n in numbers),
            )
            yield (
                "votes",
                self.batch(
                    Commit(View(n % 7), Height(n % 64), d)
                    for n, d in zip(numbers, digests, strict=True)
                ),
            )
            yield (
                "CHECKPOINT",
                self.batch(
                    Checkpoint(Height(n % 64), d) for n, d in zip(numbers, digests, strict=True)
                ),
            )
            yield "FETCH bodies", pack([encode(FetchBody(d)) for d in digests])
            yield "FETCH blocks", pack([encode(FetchBlocks(Height(1))) for _ in numbers])
            yield "FETCH transactions", pack([encode(FetchTransactions(tuple(digests * 10)))] * 20)
            yield "OWN-VOTE?", pack([encode(OwnVoteQuery()) for _ in numbers])
            yield "nothing", b""

    def batch(self, messages: Iterator[SignedMessage]) -> bytes:
        return pack([self.signed(message) for message in messages])

    def others(self) -> list[str]:
        return [name for name in self.domain.validators.organisations if name != self.me]

    # --- on the network ---

    async def flood(self, session: aiohttp.ClientSession, target: str) -> None:
        """Say it to one peer for as long as we are let in, and come again."""
        messages = itertools.cycle(self.messages)
        while True:
            try:
                async with session.ws_connect(
                    f"https://{target}{PATH}", ssl=self.client, max_msg_size=0
                ) as socket:
                    self.said["links"] += 1
                    while not socket.closed:
                        name, data = next(messages)
                        self.said[name] += 1
                        if isinstance(data, str):
                            await socket.send_str(data)
                        else:
                            await socket.send_bytes(data)
            except (aiohttp.ClientError, OSError):
                self.said["refused"] += 1
                await asyncio.sleep(0.01)

    async def ping(self, session: aiohttp.ClientSession, target: str) -> None:
        """Pings without end; they replace our other link, and it them."""
        while True:
            await asyncio.sleep(7)
            try:
                async with session.ws_connect(f"https://{target}{PATH}", ssl=self.client) as socket:
                    for _ in range(100_000):
                        self.said["pings"] += 1
                        await socket.ping(b"x" * 100)
            except (aiohttp.ClientError, OSError):
                pass

    async def call(self, target: str) -> None:
        """Call and say nothing, or half a TLS handshake, many times a second."""
        host, port = target.split(":")
        kept: list[asyncio.StreamWriter] = []
        hello = ssl.MemoryBIO()
        side = self.client.wrap_bio(ssl.MemoryBIO(), hello)
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
        client_hello = hello.read()
        for turn in itertools.count():
            try:
                _, writer = await asyncio.open_connection(
                    host, int(port), local_addr=(OWN_ADDRESS, 0)
                )
                self.said["calls"] += 1
                if turn % 2:
                    writer.write(client_hello)
                kept.append(writer)
            except OSError:
                pass
            if len(kept) >= 50:
                kept.pop(0).close()
            await asyncio.sleep(0.02)

    async def listen(self) -> None:
        """Take the others' links and read nothing."""

        async def handler(request: web.Request) -> web.WebSocketResponse:
            socket = web.WebSocketResponse()
            await socket.prepare(request)
            self.said["links taken"] += 1
            await asyncio.sleep(3600)
            return socket

        app = web.Application()
        app.router.add_get(PATH, handler)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        host, port = self.address.split(":")
        await web.TCPSite(
            runner, host, int(port), ssl_context=self.server, reuse_address=True
        ).start()

    async def run(self, targets: list[str], mix: str) -> None:
        """Flood `targets` until the process ends."""
        await self.listen()
        connector = aiohttp.TCPConnector(limit=0, force_close=True, local_addr=(OWN_ADDRESS, 0))
        async with aiohttp.ClientSession(connector=connector) as session:
            works = [self.flood(session, target) for target in targets]
            works += [self.call(target) for target in targets]
            if mix == "valid":
                works += [self.ping(session, target) for target in targets]
            await asyncio.gather(*works)

    def end(self) -> None:
        """Tell what was said and be gone, whatever is under way; called by a thread of its own."""
        sys.stdout.write(json.dumps(self.said) + "\n")
        sys.stdout.flush()
        os._exit(0)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--mix", choices=["malformed", "valid"], required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("targets", nargs="+", metavar="HOST:PORT")
    options = parser.parse_args()
    flooder = Flooder(Home(options.home.resolve()))
    flooder.prepare(options.mix)
    sys.stdout.write(READY + "\n")
    sys.stdout.flush()
    sys.stdin.readline()
    os.nice(NICE)
    threading.Timer(options.seconds, flooder.end).start()
    asyncio.run(flooder.run(options.targets, options.mix))


if __name__ == "__main__":
    main()
