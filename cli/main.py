"""The `qiong` command: finds the group that was asked for and ends with the right exit code.

Groups are imported when they are used, so that `qiong proof verify` starts no web framework.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Final

import click

from cli.errors import EXIT_REFUSED, from_typed
from cli.lazy import LazyGroup
from ledger.errors import QiongError

COMMANDS: Final = {
    "backup": "cli.backup:backup_group",
    "bench": "cli.bench:bench_command",
    "block": "cli.block:block_group",
    "contract": "cli.contract:contract_group",
    "credit": "cli.credit:credit_group",
    "db": "cli.db:db_group",
    "demo": "cli.demo:demo_command",
    "devnet": "cli.devnet:devnet_group",
    "events": "cli.events:events_command",
    "evidence": "cli.evidence:evidence_group",
    "keys": "cli.keys:keys_group",
    "licence": "cli.licence:licence_group",
    "node": "cli.node:node_group",
    "proof": "cli.proof:proof_group",
    "query": "cli.query:query_command",
    "snapshot": "cli.snapshot:snapshot_group",
    "trust": "cli.trust:trust_group",
    "tx": "cli.tx:tx_group",
}


@click.group(
    cls=LazyGroup, places=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]}
)
@click.version_option(package_name="qiong")
def cli() -> None:
    """Qiong: a shared ledger of licence and credit attestations.

    Begin with `qiong demo`, or `qiong devnet up`. Data goes to stdout, messages to stderr; every
    command takes --json. Exit codes: 0 done, 1 executed and failed, 2 usage, 3 refused, 4 network
    or outcome unknown, 5 integrity.
    """


def main() -> None:
    """Run the command line and exit."""
    try:
        code = cli.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("stopped by the user", err=True)
        sys.exit(130)
    except QiongError as error:
        known = from_typed(error)
        known.show()
        sys.exit(known.exit_code)
    except BrokenPipeError:
        # The reader of our output went away (`qiong ... | head`); say nothing more to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        click.echo(f"error: {where}{error.strerror or error}", err=True)
        click.echo("hint: check the path, its permissions and the space on its disk", err=True)
        sys.exit(EXIT_REFUSED)
    sys.exit(_as_exit_code(code))


def _as_exit_code(code: Any) -> int:
    return code if isinstance(code, int) else 0


if __name__ == "__main__":
    main()
