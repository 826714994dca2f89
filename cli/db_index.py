"""`qiong db index`: the query index of a node, which can always be made anew from its ledger."""

from __future__ import annotations

import contextlib
from pathlib import Path

import click

from cli import output
from cli.settings import json_option
from ledger.store import LedgerStore
from ledger.types import Digest, Height
from node.config import NodeConfig, load_config
from node.errors import Refused
from node.home import Home, load_genesis
from node.index.choose import make_index
from node.index.follow import Follower
from node.index.interface import Index, IndexUnavailable
from node.index.ledger_source import PAGE, LedgerSource

home_option = click.option(
    "--home", required=True, type=click.Path(path_type=Path), help="The node's folder."
)


class NoIndex(Refused):
    """The settings of the node say that it keeps no index."""

    code = "index_off"
    hint = "set index.enabled = true in its qiong.toml"

    def __init__(self, home: Path) -> None:
        self.home = str(home)
        super().__init__(f"{home} keeps no query index")


@click.group("index")
def index_group() -> None:
    """Look at the query index of a node, drop it, or make it anew.

    The index is what searches ask; it follows from the ledger. A node makes an index that is
    missing by itself, while it runs.
    """


@index_group.command("status")
@home_option
@json_option
def status(home: Path, as_json: bool) -> int:
    """Show how far the index is and what it holds; the node may run."""
    place, config = _open(home)
    with contextlib.closing(_index(place, config)) as index:
        standing = index.look()
        database = index.database
    height = None if standing is None else standing.height
    fields = {} if standing is None else {name: list(f) for name, f in standing.fields.items()}
    document = {"database": database, "height": height, "fields": fields}
    at = "not made yet" if height is None else f"at block {height}"
    lines = [f"{database} index, {at}"]
    lines += [f"  {name}: {', '.join(listed) or '-'}" for name, listed in sorted(fields.items())]
    output.data(document, as_json, lines)
    return 0


@index_group.command("drop")
@home_option
@json_option
def drop(home: Path, as_json: bool) -> int:
    """Remove the index of a node that is stopped; it makes another when it starts."""
    place, config = _open(home)
    with place.lock(), contextlib.closing(_index(place, config)) as index:
        index.reset(keep=False)
        database = index.database
    output.data({"database": database}, as_json, [f"the {database} index is gone"])
    return 0


@index_group.command("rebuild")
@home_option
@json_option
def rebuild(home: Path, as_json: bool) -> int:
    """Make the index of a node that is stopped anew, up to its last certified block.

    Safe to break off: the node goes on with it.
    """
    place, config = _open(home)
    genesis = load_genesis(place, config.expect_hash)
    with place.lock(), contextlib.closing(_index(place, config)) as index:
        with contextlib.closing(LedgerStore.open(place.root, genesis)) as store:
            index.reset(keep=False)
            height = _follow(index, store, genesis.chain_id)
        database = index.database
    document = {"database": database, "height": height}
    output.data(document, as_json, [f"the {database} index is at block {height}"])
    return 0


def drop_index(place: Home, config: NodeConfig) -> None:
    """Remove the index, because the database that it follows from was not right; if it cannot be
    reached, say what is left to do."""
    if not config.index_enabled:
        return
    try:
        with contextlib.closing(make_index(config, place)) as index:
            index.reset(keep=False)
    except (IndexUnavailable, Refused) as error:
        output.message(f"the query index is still there: {error}")
        output.message(f"hint: qiong db index drop --home {place.root}")


def _open(home: Path) -> tuple[Home, NodeConfig]:
    place = Home(home.resolve())
    return place, load_config(place.config)


def _index(place: Home, config: NodeConfig) -> Index:
    if not config.index_enabled:
        raise NoIndex(place.root)
    return make_index(config, place)


def _follow(index: Index, store: LedgerStore, chain_id: Digest) -> Height | None:
    with output.progress("entries read", None) as bar:

        def page(seconds: float) -> bool:
            bar.advance(PAGE)
            return False

        follower = Follower(index, LedgerSource(store), chain_id, page)
        follower.open()
        while follower.step():
            pass
        return follower.height
