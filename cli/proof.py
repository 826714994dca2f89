"""`qiong proof`: fetch proofs; `cli.proof_verify` checks them without any network."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import click

from cli import prooffile
from cli.args import DigestParam
from cli.errors import Refused
from cli.proof_verify import verify_command
from cli.rows import read_ndjson
from cli.settings import Settings, common_options
from ledger.state_multiproof import KEYS_MAX
from ledger.types import Digest

KEY_FIELDS: Final = frozenset({"contract", "key"})
KEYS_HINT: Final = 'a line is {"contract": .., "key": ..}'


class _GetGroup(click.Group):
    """`qiong proof get --batch FILE` means state: no word is needed where a file names the keys."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0].startswith("-") and args[0] not in ctx.help_option_names:
            args = ["state", *args]
        return super().parse_args(ctx, args)


@click.group("proof")
def proof_group() -> None:
    """Fetch proofs, and check them offline."""


@proof_group.group("get", cls=_GetGroup)
def get_group() -> None:
    """Fetch a proof into a file; with a trust file it is checked on the way."""


@get_group.command("tx")
@click.argument("tx_id", metavar="ID", type=DigestParam())
@prooffile.file_options
@common_options()
def get_tx(settings: Settings, tx_id: bytes, file: Path, qr: Path | None) -> int:
    """That a transaction was executed, and how it ended."""
    from cli.client import Client
    from cli.verified import Checker

    with Client(settings.nodes) as client:
        checker = Checker(client, settings.trust)
        proof, assurance = checker.fetch_transaction_proof(Digest(tx_id))
    return prooffile.save(settings, proof, file, qr, assurance)


@get_group.command("state")
@click.argument("contract", required=False)
@click.argument("key", required=False)
@click.option(
    "--batch",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.ndjson",
    help=f"Prove at most {KEYS_MAX} keys in one file; {KEYS_HINT}.",
)
@prooffile.when_options
@prooffile.file_options
@common_options()
def get_state(
    settings: Settings,
    contract: str | None,
    key: str | None,
    batch: Path | None,
    height: int | None,
    at: int | None,
    file: Path,
    qr: Path | None,
) -> int:
    """What the state holds under a key, or that it holds nothing; or under each of many."""
    from cli.client import Client
    from cli.verified import Checker

    prooffile.check_when(height, at)
    if (batch is None) != (contract is not None and key is not None) or (batch and contract):
        raise click.UsageError("name CONTRACT and KEY, or a file of them with --batch")
    names = None if batch is None else _read_keys(batch)
    with Client(settings.nodes) as client:
        checker = Checker(client, settings.trust)
        if names is not None:
            proof, assurance = checker.fetch_states_proof(names, height=height, at_ms=at)
        else:
            assert contract is not None
            assert key is not None
            proof, assurance = checker.fetch_state_proof(contract, key, height=height, at_ms=at)
    return prooffile.save(settings, proof, file, qr, assurance)


@get_group.command("consistency")
@click.argument("first", metavar="FROM", type=click.IntRange(0))
@click.argument("second", metavar="[TO]", type=click.IntRange(0), required=False)
@prooffile.file_options
@common_options()
def get_consistency(
    settings: Settings, first: int, second: int | None, file: Path, qr: Path | None
) -> int:
    """That the chain at height TO, by default the newest, goes on from what it was at FROM."""
    from cli.client import Client
    from cli.verified import Checker

    if second is not None and second < first:
        raise click.UsageError(f"TO is the later height; got FROM {first} and TO {second}")
    with Client(settings.nodes) as client:
        checker = Checker(client, settings.trust)
        proof, assurance = checker.fetch_consistency_proof(first, second)
    return prooffile.save(settings, proof, file, qr, assurance)


proof_group.add_command(verify_command)


def _read_keys(file: Path) -> list[tuple[str, str]]:
    """The keys that `file` names. Raises `Refused` unless they are different, 1 to `KEYS_MAX`."""
    names = read_ndjson(file, _key, KEYS_HINT)
    if not 0 < len(names) <= KEYS_MAX:
        raise Refused(
            f"{file}: a proof holds 1 to {KEYS_MAX} keys, got {len(names)}",
            "split the file, and fetch a proof for each part",
        )
    for number, name in enumerate(names):
        if name in names[:number]:
            raise Refused(f"{file}: {'/'.join(name)} stands in it twice", "leave one of them out")
    return names


def _key(document: Any) -> tuple[str, str]:
    if not isinstance(document, dict) or set(document) != KEY_FIELDS:
        raise ValueError("expected an object of contract, key")
    for name in sorted(KEY_FIELDS):
        if not isinstance(document[name], str) or not document[name]:
            raise ValueError(f"{name} must be a name")
    return document["contract"], document["key"]
