"""One transaction from arguments to outcome: what `tx submit`, `licence` and `credit` share."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from typing import Any, Final

from cli import output
from cli.client import Client
from cli.compose import compose
from cli.errors import EXIT_FAILED, EXIT_NETWORK, Refused, Unreachable
from cli.keys import keyring
from cli.settings import Settings
from cli.verified import Checker, TransactionView
from ledger.transaction import Call, SignedTransaction

WAIT_SECONDS: Final = 60.0
"""How long `--wait` waits for a certificate before it says that the outcome is unknown."""

POLL_SECONDS: Final = 0.05


def submit(
    settings: Settings,
    calls: Sequence[Call],
    keys: Sequence[str],
    *,
    atomic: bool = False,
    gas: int | None = None,
    wait: bool = True,
) -> int:
    """Sign `calls` with the keys named, post, wait if asked, print; return the exit code."""
    ring = keyring(settings)
    opened = [ring.key(name) for name in keys]
    with Client(settings.nodes) as client:
        checker = Checker(client, settings.trust)
        signed = compose(checker.chain_id, calls, opened, atomic=atomic, gas=gas)
        post(client, signed)
        if not wait:
            _print(TransactionView.accepted(signed.id), settings)
            return 0
        return report(wait_for(checker, signed), settings)


def post(client: Client, signed: SignedTransaction) -> None:
    """Offer the transaction. Raises `Refused` with the node's code, `Unreachable` if it is full."""
    answer = client.post_transactions([signed.raw])[0]
    http, code = int(answer["http"]), str(answer.get("code", ""))
    if http in (200, 202):
        return
    detail = str(answer.get("detail") or code)
    if http in (429, 503):
        raise Unreachable(
            f"no node takes transactions now: {detail} ({code}); {signed.id.hex()} was not sent",
            "try again, or let `qiong tx send` keep trying",
        )
    raise Refused(f"{detail} ({code}, HTTP {http})", _hint(code))


def wait_for(checker: Checker, signed: SignedTransaction) -> TransactionView:
    """Ask until the outcome is final and checked, or the wait is over."""
    deadline = time.monotonic() + WAIT_SECONDS
    while True:
        view = checker.transaction(signed.id)
        if view.final or time.monotonic() > deadline:
            return view
        checker.client.sleep(POLL_SECONDS)


def report(view: TransactionView, settings: Settings) -> int:
    """Print the outcome; return the exit code that says it."""
    _print(view, settings)
    if view.status == "committed":
        return 0
    if view.final:
        return EXIT_FAILED
    output.message(f"error: the outcome of {view.id.hex()} is not known yet")
    output.message("hint: ask again with `qiong tx show ID`; sending it again is safe")
    return EXIT_NETWORK


def _print(view: TransactionView, settings: Settings) -> None:
    output.data(view.to_json(), settings.json, view.lines())
    if not settings.json and view.final:
        output.message(view.assurance)
    sys.stdout.flush()


def _hint(code: str) -> str:
    hints: dict[str, Any] = {
        "missing_role": "the key needs a role in the registry; an administrator grants it",
        "unknown_contract": "check the contract's name",
        "unknown_method": "see the contract's documentation for its methods",
        "frozen": "`qiong contract history NAME` says since when and why",
        "retired": "`qiong contract history NAME` says why; its state stays readable",
        "wrong_chain": "the trust file and the node belong to different networks",
        "expired": "is this machine's clock right?",
    }
    return str(hints.get(code, ""))
