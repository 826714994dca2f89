"""A validator that also writes down every vote it is sent: `node run` with a notebook.

    witness.py --home HOME

The votes stand in HOME/witness as they came, a line of hexadecimal digits each; those of earlier
lives of the node before those of later ones.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Any, Final

from consensus.events import Event, Received
from consensus.messages import Commit, Envelope, Prepare, PrePrepare, Vote, decode
from node import main

FILE: Final = "witness"


def command(home: Path) -> list[str]:
    """For `Cluster.start`."""
    return [sys.executable, "-P", __file__, "--home", str(home)]


def seen(home: Path, signer: str) -> list[Vote]:
    """The votes of the organisation `signer` that the node of `home` was sent, in order."""
    found: list[Vote] = []
    for line in (home / FILE).read_text().splitlines():
        message = decode(bytes.fromhex(line))
        assert isinstance(message, Envelope)
        if message.signer == signer:
            found.append(message.message)
    return found


def _notebook(home: Path) -> Any:
    file = (home / FILE).open("a", buffering=1)

    def note(event: Event) -> None:
        if isinstance(event, Received) and isinstance(
            event.signed.message, PrePrepare | Prepare | Commit
        ):
            file.write(event.signed.encode().hex() + "\n")

    return note


if __name__ == "__main__":
    place = Path(sys.argv[sys.argv.index("--home") + 1])
    patched: Any = main
    patched.ServiceOptions = functools.partial(main.ServiceOptions, record=_notebook(place))
    sys.exit(main.run(place))
