"""`qiong contract`: check and try contracts before anyone deploys them.

One module per command, or per few that belong together; each is imported when it is used, so that
`lint` starts no sandbox and `run` no HTTP client.
"""

from __future__ import annotations

from typing import Final

import click

from cli.lazy import LazyGroup

COMMANDS: Final = {
    "lint": "cli.contract.lint:lint",
    "new": "cli.contract.new:new",
    "replay": "cli.contract.replay:replay",
    "run": "cli.contract.run:run",
    "test": "cli.contract.test:test",
}


@click.group("contract", cls=LazyGroup, places=COMMANDS)
def contract_group() -> None:
    """Check and try contracts before anyone deploys them."""
