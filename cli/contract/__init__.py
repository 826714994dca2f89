"""`qiong contract`: write contracts, try them, deploy them, and follow what they do.

One module per command, or per few that belong together; each is imported when it is used, so that
`lint` starts no sandbox and `run` no HTTP client.
"""

from __future__ import annotations

from typing import Final

import click

from cli.lazy import LazyGroup

COMMANDS: Final = {
    "deploy": "cli.contract.deploy:deploy",
    "freeze": "cli.contract.status:freeze",
    "history": "cli.contract.history:history",
    "lint": "cli.contract.lint:lint",
    "new": "cli.contract.new:new",
    "package": "cli.contract.package:package",
    "replay": "cli.contract.replay:replay",
    "run": "cli.contract.run:run",
    "retire": "cli.contract.status:retire",
    "show": "cli.contract.history:show",
    "test": "cli.contract.test:test",
    "unfreeze": "cli.contract.status:unfreeze",
    "upgrade": "cli.contract.upgrade:upgrade",
}


@click.group("contract", cls=LazyGroup, places=COMMANDS)
def contract_group() -> None:
    """Write contracts, try them, deploy them, and follow what they do.

    Begin with `qiong contract new NAME`; docs/contract-guide.md goes on from there.
    """
