"""`qiong node quarantine`: taking a poison transaction out of a decided block.

Needed when no validator can execute a block. Every operator finds the transaction on a node of
their own, agrees with the others, signs; each applies the files of a quorum and starts again.
The node must be stopped.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

from cli import output
from cli.args import DigestParam
from cli.errors import Refused, from_typed
from cli.settings import json_option
from contracts import registry_layout
from contracts.runner import WorkerRunner
from contracts.sandbox import Sandbox
from ledger import canonical
from ledger.errors import IntegrityError, InvalidInput
from ledger.genesis import Genesis
from ledger.quarantine import Removal, Vote
from ledger.store import LedgerStore
from ledger.transaction import SignedTransaction
from ledger.types import Digest, Height
from node import quarantine
from node.config import NodeConfig, load_config
from node.home import Home, load_genesis
from node.keyfile import Keyring

CALLS_SHOWN: Final = 10
"""Of a bulk transaction; the rest is counted."""

ARGUMENTS_SHOWN: Final = 200
"""Characters of a call's arguments, on a terminal."""

home_option = click.option(
    "--home", required=True, type=click.Path(path_type=Path), help="The node's folder."
)
insecure_option = click.option(
    "--insecure-contracts",
    is_flag=True,
    help="Run contracts where this system cannot lock their process down (seccomp).",
)


@click.group("quarantine")
def quarantine_group() -> None:
    """Take a poison transaction out of a block that no validator can execute.

    A quorum of validators must sign it, each with its node stopped; then every node, now and in
    replay, gives the transaction the receipt QUARANTINED and goes on.
    """


@quarantine_group.command("find")
@home_option
@insecure_option
@json_option
def find(home: Path, insecure_contracts: bool, as_json: bool) -> int:
    """Find the transactions that end every contract worker, and print how to sign them away.

    Executes the next block in a worker again and again, without keeping anything. A transaction
    that hangs takes a minute and a half each time.
    """
    place, _, genesis = _opened(home)
    with quarantine.open_ledger(place, genesis) as store, _runner(insecure_contracts) as runner:
        block = quarantine.next_block(store)
        found = quarantine.find(store, runner)
        rows = [_described(store, signed) for signed in found]
        awaited = store.promised(block.n) - store.quarantined(block.n).keys()
    commands = [_sign_line(home, block.n, signed.id) for signed in found]
    document = {
        "height": block.n,
        "block": block.d,
        "transactions": rows,
        "commands": commands,
        "awaited": sorted(awaited),
    }
    lines: list[str] = []
    for row, command in zip(rows, commands, strict=True):
        lines += [*_lines(row), "if you agree with the other operators to take it out:"]
        lines += [f"  {command}", ""]
    lines += [f"signed here, not yet by a quorum: {tx_id.hex()}" for tx_id in sorted(awaited)]
    if not lines:
        lines = [f"block {block.n} can be executed here: nothing to take out; start the node"]
    output.data(document, as_json, lines)
    return 0


@quarantine_group.command("sign")
@click.argument("height", type=click.IntRange(min=1))
@click.argument("tx", type=DigestParam())
@home_option
@click.option("-o", "--output", "file", required=True, type=click.Path(path_type=Path))
@click.option("--yes", is_flag=True, help="Do not ask; for scripts.")
@click.option(
    "--force",
    is_flag=True,
    help="Sign although this machine can execute the block, since others cannot.",
)
@click.option("--passphrase-file", type=click.Path(path_type=Path))
@insecure_option
@json_option
def sign(
    height: int,
    tx: bytes,
    home: Path,
    file: Path,
    yes: bool,
    force: bool,
    passphrase_file: Path | None,
    insecure_contracts: bool,
    as_json: bool,
) -> int:
    """Sign that transaction TX be taken out of block HEIGHT, with this node's key.

    A promise that cannot be taken back: this node will sign no result of that block in which the
    transaction ran, unless a quorum certified one. The block is executed first, to see that the
    transaction ends every worker here; --force does without.
    """
    place, config, genesis = _opened(home)
    if file.exists():
        raise Refused(f"{file} exists", "name a file that does not")
    with quarantine.open_ledger(place, genesis) as store:
        removal, signed = quarantine.subject(store, Height(height), Digest(tx))
        for line in _lines(_described(store, signed)):
            output.message(line)
        if force:
            output.message("warning: not tried whether this machine can execute it (--force)")
        else:
            with _runner(insecure_contracts) as runner:
                quarantine.check_fatal(store, runner, removal)
            output.message("tried: no worker survives it here")
        _agree(removal, yes)
        key = Keyring(place.keys, passphrase_file).key(place.consensus_key.stem)
        _check_key(genesis, config, key.public)
        vote = quarantine.sign(store, config.organisation, key, removal)
    file.write_text(quarantine.encode_vote(vote, genesis.chain_id), "utf-8")
    document = {"file": str(file), "height": height, "transaction": tx, "organisation": vote.signer}
    output.data(document, as_json, [str(file)])
    if not as_json:
        quorum = genesis.validator_set.quorum
        output.message(f"send it to the other operators; with {quorum} of such files, each runs:")
        output.message("  " + shlex.join(["qiong", *_apply_words(home), "FILE", "..."]))
    return 0


@quarantine_group.command("apply")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@home_option
@json_option
def apply(files: tuple[Path, ...], home: Path, as_json: bool) -> int:
    """Put the signatures of a quorum, FILES, in force on this node.

    Each is verified. Do it on every node that stands at that block; one that is left out, or new,
    gets the quarantine from the others together with the block.
    """
    place, _, genesis = _opened(home)
    votes = [_read(file, genesis) for file in files]
    with quarantine.open_ledger(place, genesis) as store:
        applied = quarantine.apply(place, store, votes)
    removal = applied.record.removal
    signers = [signer for signer, _ in applied.record.signatures]
    document = {
        "height": removal.n,
        "transaction": removal.tx_id,
        "signers": signers,
        "known": applied.known,
        "rebuild": applied.rebuild,
    }
    names = {entry.organisation: entry.name for entry in genesis.validators}
    said = "was in force already" if applied.known else "is in force"
    who = ", ".join(names[signer] for signer in signers)
    words = f"transaction {removal.tx_id.hex()} is taken out of block {removal.n}"
    lines = [f"{words}: this {said}, signed by {who}"]
    output.data(document, as_json, lines)
    if not as_json:
        output.message(_afterwards(home, applied.rebuild))
    return 0


def _afterwards(home: Path, rebuild: bool) -> str:
    if not rebuild:
        return "start the node"
    line = shlex.join(["qiong", "db", "rebuild", "--home", str(home)])
    return f"this node executed the transaction: make its database anew, then start it:\n  {line}"


def _opened(home: Path) -> tuple[Home, NodeConfig, Genesis]:
    place = Home(home.resolve())
    config = load_config(place.config)
    return place, config, load_genesis(place, config.expect_hash)


@contextlib.contextmanager
def _runner(insecure: bool) -> Iterator[WorkerRunner]:
    sandbox = Sandbox(insecure=insecure)
    sandbox.start()
    with contextlib.closing(WorkerRunner(sandbox)) as runner:
        yield runner


def _check_key(genesis: Genesis, config: NodeConfig, public: bytes) -> None:
    """Raise `Refused` unless the key of this folder has this organisation's vote."""
    for entry in genesis.validators:
        if (entry.organisation, entry.consensus_key) == (config.organisation, public):
            return
    raise Refused(
        f"the key in this folder has no vote for {config.organisation}",
        "use the home whose card went into this genesis",
    )


def _agree(removal: Removal, yes: bool) -> None:
    """Ask the person at the terminal."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise Refused("nobody is there to agree", "read what is shown, then add --yes")
    question = f"Sign that it is taken out of block {removal.n}? This cannot be taken back."
    if not click.confirm(question, err=True):
        raise Refused("not signed; nothing was changed")


def _read(file: Path, genesis: Genesis) -> Vote:
    """One signature file, verified. A bad one is named."""
    with file.open("rb") as opened:
        data = opened.read(quarantine.FILE_BYTES_MAX + 1)
    try:
        vote = quarantine.decode_vote(data, genesis.chain_id)
        vote.verify(genesis.chain_id, genesis.validator_set)
    except (InvalidInput, IntegrityError) as error:
        ended = from_typed(error)
        raise type(ended)(f"{file}: {ended.message}", ended.hint) from None
    return vote


def _sign_line(home: Path, n: Height, tx_id: Digest) -> str:
    words = ["qiong", "node", "quarantine", "sign", "--home", str(home), str(n), tx_id.hex()]
    return shlex.join([*words, "-o", f"quarantine-{n}-{home.resolve().name}.json"])


def _apply_words(home: Path) -> list[str]:
    return ["node", "quarantine", "apply", "--home", str(home)]


# --- showing ---


def _described(store: LedgerStore, signed: SignedTransaction) -> dict[str, Any]:
    """What a transaction is and whose, for people to judge."""
    transaction = signed.transaction
    return {
        "transaction": signed.id.hex(),
        "atomic": transaction.atomic,
        "gas_limit": transaction.gas_limit,
        "signers": [
            {"key": key.hex(), "organisation": _organisation(store, key.hex())}
            for key in transaction.signers
        ],
        "calls": [
            {"contract": call.contract, "method": call.method, "args": output.plain(call.args)}
            for call in transaction.calls
        ],
    }


def _organisation(store: LedgerStore, key: str) -> str | None:
    def get(name: str) -> object:
        data = store.state.get(registry_layout.CONTRACT, name)
        return None if data is None else canonical.decode(data)

    return registry_layout.organisation_of(get, key)


def _lines(row: dict[str, Any]) -> list[str]:
    calls = row["calls"]
    lines = [f"transaction {row['transaction']}, {len(calls)} call(s), gas {row['gas_limit']}"]
    for signer in row["signers"]:
        organisation = signer["organisation"] or "no registered organisation"
        lines.append(f"  signed by {organisation}, key {signer['key'][:20]}...")
    for call in calls[:CALLS_SHOWN]:
        arguments = output.pretty(call["args"])
        if len(arguments) > ARGUMENTS_SHOWN:
            arguments = arguments[:ARGUMENTS_SHOWN] + "..."
        lines.append(f"  {call['contract']}.{call['method']} {arguments}")
    if len(calls) > CALLS_SHOWN:
        lines.append(f"  and {len(calls) - CALLS_SHOWN} more calls")
    return lines
