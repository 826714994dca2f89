"""Sending one call of the platform's contract and saying what came of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from cli import output
from cli.attestations import from_option
from cli.client import Client
from cli.compose import compose
from cli.errors import EXIT_FAILED, EXIT_NETWORK, Refused
from cli.keys import keyring
from cli.settings import Settings
from cli.submit import post, wait_for
from cli.verified import Checker, TransactionView
from contracts.deployment_layout import CONTRACT
from contracts.package import Package
from contracts.worker.executor import CALL_GAS_MAX
from contracts.worker.platform import expected_gas
from ledger import canonical
from ledger.transaction import TRANSACTION_GAS_MAX, Call

HINTS: Final = {
    "BAD_NAME": "small letters, digits, - and _, a letter first, 64 at most, and no reserved name",
    "EXISTS": "choose another name, or `qiong contract upgrade`",
    "FROZEN": "it is frozen already; `qiong contract history` says since when and why",
    "NOT_FROZEN": "`qiong contract history` says what happened",
    "RETIRED": "a retired contract stays so; deploy under another name",
    "UNCHANGED": "this very source is the newest version already",
    "BAD_HEIGHT": "name a block that is still to come",
    "MIGRATE_AT_ONCE": "a source with migrate() starts at once: leave --from-height out",
    "TOO_MANY_PLANNED": "wait until a planned version has started",
    "NO_ROOM": "the chain's contracts together are as large as workers can hold; retire others",
    "BAD_REASON": "a sentence or two, 500 characters at most",
    "OUT_OF_GAS": "name more gas with --gas, 2000000 at most",
    "compile_refused": "the validators run another version of the dialect than this machine",
    "missing_role": "a deployer of the owning organisation or a governor must sign",
}
"""What to do about a code, where the code of the contract's own migrate() does not say it."""

F = TypeVar("F", bound=Callable[..., Any])


def change_options(function: F) -> F:
    """`--from KEY` and `--gas N`; the command gets `key` and `gas`."""
    return from_option(
        click.option(
            "--gas",
            type=click.IntRange(1, TRANSACTION_GAS_MAX),
            metavar="N",
            help="Gas limit; by default what is worked out to be enough.",
        )(function)
    )


def gas_for(contract: Package) -> int:
    """Gas that deploying the contract needs, or upgrading to it. Raises `Refused` if a transaction
    may not have so much."""
    gas = expected_gas(contract.source)
    if gas > TRANSACTION_GAS_MAX:
        raise Refused(
            f"compiling {contract.name} takes {gas} gas, a transaction has {TRANSACTION_GAS_MAX}",
            "split it in two contracts, or write it shorter",
        )
    return min(gas + CALL_GAS_MAX, TRANSACTION_GAS_MAX) if contract.compiled.migrates else gas


def send(
    settings: Settings,
    key: str,
    gas: int,
    method: str,
    args: dict[str, canonical.Value],
    done: Callable[[dict[str, Any]], str],
) -> int:
    """Sign, post and wait; print what happened; return the exit code.

    `done` says in words what the event of the change tells.
    """
    opened = keyring(settings).key(key)
    with Client(settings.nodes) as client:
        checker = Checker(client, settings.trust)
        signed = compose(checker.chain_id, [Call(CONTRACT, method, args)], [opened], gas=gas)
        post(client, signed)
        view = wait_for(checker, signed)
    event = next((event for event in view.events if event.contract == CONTRACT), None)
    change: Any = None if event is None else event.data
    document = view.to_json() | {"contract": args["name"], "change": output.plain(change)}
    lines = view.lines() if change is None else [done(change)]
    output.data(document, settings.json, lines)
    return _end(view, settings)


def _end(view: TransactionView, settings: Settings) -> int:
    if not view.final:
        output.message(f"error: the outcome of {view.id.hex()} is not known yet")
        output.message("hint: ask again with `qiong tx show ID`; sending it again is safe")
        return EXIT_NETWORK
    if not settings.json:
        output.message(view.assurance)
    if view.status == "committed":
        return 0
    code = view.calls[0].code if view.calls else view.status
    if code in HINTS:
        output.message(f"hint: {HINTS[code]}")
    return EXIT_FAILED
