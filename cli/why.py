"""`qiong node why`: why a node does not vote, shown with proof where there is one, and the way out.

Asks a running node, or reads the folder of a stopped one. A divergence is shown against the block
that a quorum certified, taken from any other node and checked (`cli.divergence`); other nodes are
those named by --node, and in a devnet the other validators.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import click

from cli import output, why_words
from cli.client import MSGPACK, Client, path
from cli.divergence import (
    Side,
    certified_calls,
    certified_side,
    compare,
    first_call,
    read_calls,
    read_side,
)
from cli.errors import EXIT_FAILED, EXIT_INTEGRITY, EXIT_NETWORK, CommandError, NotProven
from cli.settings import DEFAULT_NODE, Settings, api_url, common_options
from cli.wayout import Commands, steps
from cli.why_words import Compared, Explanation
from devnet import manifest
from ledger.errors import QiongError
from ledger.genesis import Genesis
from ledger.receipt import CallOutcome, Receipt
from ledger.store import LedgerStore
from ledger.trust import TrustAnchor
from ledger.types import Digest, Height
from ledger.validators import Validator, ValidatorSet
from node.config import load_config
from node.home import Home, HomeInUse, load_genesis
from node.standing import Divergence, Standing
from node.stopped import inspect

EXIT_CODES: Final = {
    "voting": 0,
    "starting": 0,
    "behind": 0,
    "no_quorum": EXIT_NETWORK,
    "nondeterminism": EXIT_INTEGRITY,
    "diverged": EXIT_INTEGRITY,
    "damaged": EXIT_INTEGRITY,
}
"""Of the others: 1, a person must do something."""


class OwnBlocks(Protocol):
    """Uncertified blocks as the node in question has them."""

    def side(self, n: Height) -> Side: ...

    def calls(self, n: Height, index: int) -> list[CallOutcome]: ...


@dataclass(frozen=True)
class Served:
    """Of a running node."""

    client: Client

    def side(self, n: Height) -> Side:
        return read_side(self.client.get(path("v1", "uncertified", str(n))))

    def calls(self, n: Height, index: int) -> list[CallOutcome]:
        where = path("v1", "uncertified", str(n), str(index))
        return read_calls(self.client.get(where, accept=MSGPACK))


@dataclass(frozen=True)
class Stored:
    """Of a stopped one."""

    store: LedgerStore

    def side(self, n: Height) -> Side:
        leaves = tuple(result.leaf for result in self.store.executed_results(n))
        return Side(self.store.executed_header(n), leaves)

    def calls(self, n: Height, index: int) -> list[CallOutcome]:
        return list(self.store.executed_results(n)[index].calls)


@dataclass(frozen=True)
class Network:
    """Who votes on the chain, and what people call them."""

    chain_id: Digest
    validators: ValidatorSet
    names: Mapping[str, str]

    @classmethod
    def of(cls, genesis: Genesis) -> Network:
        names = {entry.organisation: entry.name for entry in genesis.validators}
        return cls(genesis.chain_id, genesis.validator_set, names)

    @classmethod
    def said_by(cls, client: Client) -> Network:
        """As a node says: good enough to explain that node to its own operator."""
        try:
            trust = TrustAnchor.from_json(client.get("/v1/trust").json())
            rows = client.get("/v1/validators").json()["validators"]
            names = {str(row["organisation"]): str(row["name"]) for row in rows}
            voters = ValidatorSet.of(Validator(v.organisation, v.key) for v in trust.validators)
        except (QiongError, KeyError, TypeError) as error:
            raise NotProven(f"{client.nodes[0]} does not say who votes: {error}") from None
        return cls(trust.chain_id, voters, names)


@click.command("why")
@click.option("--home", type=click.Path(path_type=Path), help="The node's folder, running or not.")
@common_options()
def why_command(settings: Settings, home: Path | None) -> int:
    """Explain why a node does not vote, and how to mend it.

    The node is that of --home, or the first --node; further --nodes are others to compare it with.
    Exit code 0: it votes, or will by itself; 5: headers differ or files are damaged; 4: too few
    validators, or no answer; 1: a person must do something else.
    """
    if home is None:
        found = _running(settings.nodes[0], settings.nodes[1:], None, Commands(settings.nodes[0]))
    else:
        found = _of_home(Home(home.resolve()), settings.nodes)
    output.data(why_words.document(found), settings.json, why_words.lines(found))
    return EXIT_CODES.get(found.standing.state, EXIT_FAILED)


# --- where the answer comes from ---


def _of_home(place: Home, named: Sequence[str]) -> Explanation:
    config = load_config(place.config)
    genesis = load_genesis(place, config.expect_hash)
    url = api_url(config.api_listen)
    others = [] if tuple(named) == (DEFAULT_NODE,) else list(named)
    devnet = Commands.of_home(place.root, url, None).devnet
    if devnet is not None:
        others += [entry.api for entry in manifest.load(devnet).validators]
    others = [item for item in dict.fromkeys(others) if item != url]
    network = Network.of(genesis)
    try:
        with inspect(place, genesis, config) as node:
            blocks = None if node.ledger is None else Stored(node.ledger)
            commands = Commands.of_home(place.root, url, None)
            return _explain(str(place.root), node.standing, network, blocks, others, commands)
    except HomeInUse:
        return _running(url, others, network, Commands.of_home(place.root, url, _pid(place)))


def _running(
    url: str, others: Sequence[str], network: Network | None, commands: Commands
) -> Explanation:
    with Client((url,)) as client:
        standing = Standing.from_json(client.get("/v1/why").json())
        network = network or Network.said_by(client)
        return _explain(url, standing, network, Served(client), others, commands)


def _pid(place: Home) -> int | None:
    """The process that holds the folder's lock."""
    try:
        return int((place.root / "LOCK").read_text())
    except (OSError, ValueError):
        return None


# --- finding out ---


def _explain(
    where: str,
    standing: Standing,
    network: Network,
    blocks: OwnBlocks | None,
    others: Sequence[str],
    commands: Commands,
) -> Explanation:
    compared: Compared | None = None
    notes: list[str] = []
    if blocks is not None and (standing.divergence is not None or standing.disputed is not None):
        compared = _compare(standing, network, blocks, others, notes)
    return Explanation(
        where, standing, network.names, compared, tuple(notes), tuple(steps(standing, commands))
    )


def _compare(
    standing: Standing,
    network: Network,
    blocks: OwnBlocks,
    others: Sequence[str],
    notes: list[str],
) -> Compared | None:
    """Our block beside that of the first other node that can show it."""
    for url in others:
        try:
            with Client((url,)) as client:
                if standing.divergence is not None:
                    return _with_certified(client, standing.divergence, network, blocks)
                assert standing.disputed is not None
                found = _with_another(client, standing.disputed, blocks)
                if found is not None:
                    return found
        except CommandError as error:
            notes.append(f"not compared with {url}: {error.message}")
    if not others:
        notes.append("not compared with another node: name one with --node URL")
    return None


def _with_certified(
    client: Client, divergence: Divergence, network: Network, blocks: OwnBlocks
) -> Compared:
    n = divergence.height
    theirs = certified_side(client, divergence, network.chain_id, network.validators)
    comparison = compare(blocks.side(n), theirs)
    call = None
    difference = comparison.receipt
    if difference is not None and _same_transaction(difference.own, difference.certified):
        assert difference.certified is not None
        certified = certified_calls(client, difference.certified)
        call = first_call(blocks.calls(n, difference.index), certified)
    return Compared(client.nodes[0], True, comparison, call)


def _with_another(client: Client, n: Height, blocks: OwnBlocks) -> Compared | None:
    """Where nothing is certified: what another node made of it, as that one says."""
    theirs, own = Served(client).side(n), blocks.side(n)
    if theirs.header == own.header:
        return None
    return Compared(client.nodes[0], False, compare(own, theirs), None)


def _same_transaction(own: Receipt | None, certified: Receipt | None) -> bool:
    return own is not None and certified is not None and own.tx_id == certified.tx_id
