"""How a command ends: one exit code per kind of end, one line of message, one line of hint.

0 done; 1 executed and failed; 2 usage; 3 refused; 4 network, or outcome unknown; 5 integrity.
`qiong proof verify` has codes of its own (`ledger.proof_verdicts`). Nothing here ever shows a stack
trace for bad input; our own bugs do raise, and are reported as such.
"""

from __future__ import annotations

from typing import Final

import click

from ledger.errors import IntegrityError, InvalidInput, QiongError, StorageError
from node.errors import Refused as NodeFolderRefused

EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_REFUSED: Final = 3
EXIT_NETWORK: Final = 4
EXIT_INTEGRITY: Final = 5


class CommandError(click.ClickException):
    """Ends a command: a message and a hint on stderr, and the exit code of its class."""

    exit_code = EXIT_FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.hint = hint

    def show(self, file: object = None) -> None:
        click.echo(f"error: {self.message}", err=True)
        if self.hint:
            click.echo(f"hint: {self.hint}", err=True)


class Failed(CommandError):
    """It was carried out and it failed."""


class Refused(CommandError):
    """It was understood and turned down; nothing was changed."""

    exit_code = EXIT_REFUSED


class Unreachable(CommandError):
    """No node answered, or the outcome is not known."""

    exit_code = EXIT_NETWORK


class NotProven(CommandError):
    """What a node said does not hold against its own proof."""

    exit_code = EXIT_INTEGRITY


def from_typed(error: QiongError) -> CommandError:
    """The command's end for any typed error: integrity 5, storage and bad input 3."""
    if isinstance(error, IntegrityError):
        return NotProven(str(error), error.hint)
    if isinstance(error, StorageError | InvalidInput | NodeFolderRefused):
        return Refused(str(error), error.hint)
    return Failed(str(error), error.hint)
