"""Running one validator as a process: from its folder to a listening node, and back to rest.

In order, and before anything is changed: settings, genesis against the expected hash, free space,
the folder's lock, the keys, a contract worker that can be locked down. Whatever is wrong with these
raises a typed error, which the command line ends with (exit code 3 for a refusal). Then the ledger
is opened and the engine recovers, listens and votes; the API follows. SIGTERM or SIGINT ends it in
order: no new requests, no more votes, the disk at rest.

A node that runs out of disk space stops by itself before the disk is full, because a write that
fails half way is worth nothing; it says so and exits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import resource
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvloop

from contracts.runner import WorkerRunner
from contracts.sandbox import Sandbox
from ledger.genesis import Genesis
from ledger.keys import SigningKey
from ledger.state_tree import CACHED_ENTRY_BYTES
from ledger.store import LedgerStore
from node import tls
from node.api.app import make_app
from node.api.context import ApiOptions
from node.api.server import ApiServer
from node.config import NodeConfig, load_config
from node.errors import Refused, in_words
from node.home import Home, load_genesis
from node.index.choose import make_index
from node.index.interface import Index
from node.index.service import IndexService
from node.keyfile import Keyring
from node.logs import set_up_logging
from node.metrics import Metrics, free_bytes
from node.service import NodeService, PeerSecurity, ServiceOptions
from node.snapshots import SnapshotKeeper

log = logging.getLogger(__name__)

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1

DISK_CHECK_SECONDS: Final = 2.0
"""Between two looks at the free space; 256 MiB are not written in that time."""

VIEW_SECONDS_MAX: Final = 5.0
"""Longest time of one view or simulation: ten times what the gas of a transaction is worth."""

VIEW_NICENESS: Final = 10
"""Of the worker for views: a block's worker beside it gets nine tenths of a processor."""

OPEN_FILES_MIN: Final = 4_096
"""Clients (1,024), peers (63, twice while they reconnect), LevelDB (1,000) and room."""


class NotInGenesis(Refused):
    """This node's key is not the one that genesis gives its organisation a vote for."""

    code = "not_in_genesis"
    hint = "use the home whose card went into this genesis, or restore the file from a backup"

    def __init__(self, organisation: str, reason: str) -> None:
        self.organisation = organisation
        self.reason = reason
        super().__init__(f"{organisation}: {reason}")


class DiskNearlyFull(Refused):
    """Less space is free than this node wants to have before it writes anything."""

    code = "disk_full"
    hint = "free some space and start again; nothing acknowledged is lost"

    def __init__(self, folder: Path, free: int, floor: int) -> None:
        self.folder = folder
        self.free = free
        self.floor = floor
        super().__init__(
            f"{free} bytes are free on the disk of {folder}, and {floor} are the least "
            "(disk.free_bytes_min)"
        )


class ObserverUnsupported(Refused):
    """Following without a vote needs membership, which this version does not have."""

    code = "observer_unsupported"
    hint = "run it without --observer; a validator that lost its votes observes by itself"

    def __init__(self) -> None:
        super().__init__("this version cannot follow a chain without being one of its validators")


@dataclass(frozen=True)
class Unlocked:
    """What a node needs of its key folder."""

    key: SigningKey
    security: PeerSecurity


def run(
    home: Path,
    *,
    flags: Mapping[str, str] | None = None,
    passphrase_file: Path | None = None,
    insecure_contracts: bool = False,
) -> int:
    """Run the node of `home` until it is told to stop; returns the exit code.

    `flags` override settings by their dotted names. Raises `Refused` and other typed errors when it
    cannot start.
    """
    place = Home(home.resolve())
    config = load_config(place.config, flags)
    set_up_logging(config.log_format, config.log_level)
    if config.observer:
        raise ObserverUnsupported
    genesis = load_genesis(place, config.expect_hash)
    _raise_file_limit()
    check_free_space(place.root, config.free_bytes_min)
    with place.lock():
        unlocked = _unlock(place, genesis, config, passphrase_file)
        index = make_index(config, place) if config.index_enabled else None
        if insecure_contracts:
            log.warning("contracts run in workers that may not be locked down")
        with (
            contextlib.closing(_worker(insecure_contracts)) as runner,
            contextlib.closing(_viewer(insecure_contracts)) as viewer,
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop,
        ):
            return loop.run(_serve(place, genesis, config, unlocked, runner, viewer, index))


def _worker(insecure: bool) -> WorkerRunner:
    """A contract worker, started. Raises `SandboxUnavailable`."""
    sandbox = Sandbox(insecure=insecure)
    sandbox.start()
    return WorkerRunner(sandbox)


def _viewer(insecure: bool) -> WorkerRunner:
    """A worker for views and simulations: nobody waits for it as long as for a block, and a
    question that ends it is not asked again."""
    sandbox = Sandbox(insecure=insecure, seconds_max=VIEW_SECONDS_MAX, niceness=VIEW_NICENESS)
    sandbox.start()
    return WorkerRunner(sandbox, attempts=1)


async def _serve(
    place: Home,
    genesis: Genesis,
    config: NodeConfig,
    unlocked: Unlocked,
    runner: WorkerRunner,
    viewer: WorkerRunner,
    index: Index | None,
) -> int:
    """Run until a signal, the engine's own end, or the disk's floor."""
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    entries_max = config.tree_cache_bytes // CACHED_ENTRY_BYTES
    store = LedgerStore.open(place.root, genesis, tree_entries_max=entries_max)
    try:
        metrics = Metrics(lambda: service.status(), place.root)
        service = NodeService(
            genesis=genesis,
            organisation=config.organisation,
            key=unlocked.key,
            security=unlocked.security,
            store=store,
            runner=runner,
            viewer=viewer,
            options=ServiceOptions(
                home=place.root,
                listen=config.peer_listen,
                peers=config.peers,
                trace=place.logs if config.trace else None,
                stage=metrics.stage,
            ),
            index=None if index is None else IndexService(index, store, genesis.chain_id),
        )
        taking: asyncio.Task[None] | None = None
        server = ApiServer(make_app(service, _api_options(place, config), metrics))
        try:
            await service.start()
            keeper = SnapshotKeeper(place, store, config.snapshot_blocks)
            taking = asyncio.create_task(keeper.run())
            host, port = await server.start(*config.api_listen)
            log.info(
                "%s of chain %s serves http://%s:%d, peers on %s:%d",
                service.status().name,
                genesis.chain_id.hex()[:16],
                host,
                port,
                *config.peer_listen,
            )
            reason = await _until_end(told, service, place, config.free_bytes_min)
        finally:
            if taking is not None:
                taking.cancel()
                await asyncio.gather(taking, return_exceptions=True)
            await server.stop()
            await service.stop()
    finally:
        store.close()
    if reason is not None:
        log.error("stopped: %s", reason)
        return EXIT_FAILED
    log.info("stopped as told")
    return EXIT_DONE


async def _until_end(
    told: asyncio.Event, service: NodeService, place: Home, floor: int
) -> str | None:
    """Wait for the first reason to end: None when told to, else in words."""
    waits = [
        asyncio.create_task(_told(told)),
        asyncio.create_task(service.stopped()),
        asyncio.create_task(_disk_full(place.root, floor)),
    ]
    try:
        done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        return next(task for task in waits if task in done).result()
    finally:
        for task in waits:
            task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(*waits, return_exceptions=True)


async def _told(event: asyncio.Event) -> None:
    await event.wait()


async def _disk_full(folder: Path, floor: int) -> str:
    """Wait until less than `floor` bytes are free; say so."""
    while True:
        try:
            check_free_space(folder, floor)
        except DiskNearlyFull as error:
            return in_words(error)
        await asyncio.sleep(DISK_CHECK_SECONDS)


def check_free_space(folder: Path, floor: int) -> None:
    """Raise `DiskNearlyFull` if less than `floor` bytes are free on the disk of `folder`."""
    free = free_bytes(folder)
    if free < floor:
        raise DiskNearlyFull(folder, free, floor)


def _unlock(
    place: Home, genesis: Genesis, config: NodeConfig, passphrase_file: Path | None
) -> Unlocked:
    """Open both keys with one pass phrase. Raises `NotInGenesis` and what `Keyring` raises."""
    keyring = Keyring(place.keys, passphrase_file)
    key = keyring.key(place.consensus_key.stem)
    mine = next((v for v in genesis.validators if v.organisation == config.organisation), None)
    if mine is None:
        raise NotInGenesis(config.organisation, "genesis has no such validator")
    if mine.consensus_key != key.public:
        raise NotInGenesis(config.organisation, _not_the_one(place.consensus_key))
    if mine.tls_certificate != tls.load_certificate(place.tls_certificate):
        raise NotInGenesis(config.organisation, _not_the_one(place.tls_certificate))
    pinned = {entry.organisation: entry.tls_certificate for entry in genesis.validators}
    server, client = tls.contexts(
        place.tls_key, place.tls_certificate, keyring.passphrase(), pinned
    )
    return Unlocked(key, PeerSecurity(server=server, client=client))


def _not_the_one(file: Path) -> str:
    return f"genesis has another for it than {file}"


def _api_options(place: Home, config: NodeConfig) -> ApiOptions:
    return ApiOptions(
        home=place.root,
        free_bytes_min=config.free_bytes_min,
        requests_per_second=config.requests_per_second,
        transactions_per_second=config.transactions_per_second,
    )


def _raise_file_limit() -> None:
    """Ask for enough file descriptors, so that clients cannot use up those of peers and disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES_MIN if hard == resource.RLIM_INFINITY else min(OPEN_FILES_MIN, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
