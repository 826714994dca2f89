"""The main job told step by step: issue, prove, verify offline, revoke, prove again, absence.

Every step runs the same `qiong` command a person would type and shows it, so the demo can show
nothing that the product cannot do; a step that ends otherwise than told ends the demo. Left out:
bulk, broken validators and contracts of one's own, which the README goes on with.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, ClassVar, Final

from rich.console import Console
from rich.markup import escape
from rich.padding import Padding

from devnet import manifest, network, sample
from devnet.manifest import Manifest
from devnet.sample import Licence
from ledger.errors import QiongError

DEPARTMENT: Final = "tourism"
"""Key name of the department that issues and revokes in the demo."""

TERM_DAYS: Final = 5 * 365
COMMAND_SECONDS_MAX: Final = 60
INDENT: Final = 2
"""Columns by which all but headings stand in."""

CHINA: Final = timezone(timedelta(hours=8))
"""Dates on the ledger are days of UTC+8."""

VALID, REVOKED, ABSENT = "valid", "revoked", "absent"
EXIT_CODES: Final = {VALID: 0, REVOKED: 3, ABSENT: 0}
"""How `qiong proof verify` ends for a verdict (absent: with `--expect absent`)."""


class DemoFailed(QiongError):
    """A step did not end as the demo tells it."""

    code: ClassVar[str] = "demo_failed"
    hint = "run it again with --dir DIR to keep the network's folder and logs"

    def __init__(self, command: str, expected: str, got: str) -> None:
        self.command = command
        self.expected = expected
        self.got = got
        super().__init__(f"{command}\nexpected {expected}, got {got}")


@dataclass
class Story:
    """Tells and runs the steps in `folder`; `steps` records what was run and how it ended."""

    console: Console
    folder: Path
    steps: list[dict[str, Any]] = field(default_factory=list)
    _number: int = 0

    def tell(self) -> None:
        """Tell all of it, and stop the network whatever happens.

        Raises `DemoFailed`, or what `network.up` raises.
        """
        began = time.monotonic()
        licence, never_issued = _licences()
        try:
            running = self._start()
            self._issue_and_prove(running, licence)
            self._revoke_and_prove(running, licence)
            self._prove_absence(running, never_issued)
        finally:
            if (self.folder / manifest.FILE).exists():
                network.down(self.folder)
        self._heading("The network stops. The proofs stay true.")
        self._verify("issued.qproof", VALID)
        self._verify("revoked.qproof", REVOKED)
        self._verify("never-issued.qproof", ABSENT, "--expect", ABSENT)
        self._say("No validator is running: nobody was asked, so nobody could have lied.")
        seconds = time.monotonic() - began
        self.console.print(f"\n[bold green]Everything held[/], in {seconds:.0f} seconds.")

    def _start(self) -> Manifest:
        self._heading("Four validators of four organisations start.")
        running = network.up(self.folder, 4, None)
        names = {entry.uscc: entry.name for entry in sample.departments()}
        names |= {entry.uscc: entry.name for entry in sample.enterprises()}
        for entry in running.validators:
            self._say(f"{entry.name:<20} {names[entry.organisation]} ({entry.organisation_class})")
        self._say(
            "Each is a process of its own with its own ledger on disk. Any one of them may crash "
            "or lie: three are a quorum."
        )
        return running

    def _issue_and_prove(self, running: Manifest, licence: Licence) -> None:
        self._heading(f"The department {DEPARTMENT!r} issues a licence.")
        values = [licence.type, licence.holder, licence.issued, licence.expires]
        names = ["--type", "--holder", "--issued", "--expires"]
        options = [word for pair in zip(names, values, strict=True) for word in pair]
        self._submit(running, "issue", licence.id, *options)
        self._say("All validators agreed on it by PBFT; a quorum signed the block's header.")

        self._heading("Anyone fetches a proof of it, from any one validator.")
        self._prove(running, licence, "issued.qproof")
        self._say(
            "The file holds the licence's entry, its path to the state's root, the header, and "
            "the signatures of a quorum."
        )

        self._heading("The proof is verified offline.")
        self._verify("issued.qproof", VALID)
        self._say(
            "This opened no connection. It read the proof and trust.json: who the validators are, "
            "which is to be compared once by another channel (`qiong trust show`)."
        )

    def _revoke_and_prove(self, running: Manifest, licence: Licence) -> None:
        self._heading("The department revokes the licence; a new proof says so.")
        self._submit(running, "revoke", licence.id, "--reason", "business given up")
        self._prove(running, licence, "revoked.qproof")
        self._verify("revoked.qproof", REVOKED)
        self._say(
            "The old file still proves that the licence was in force at its own time. Whoever "
            "needs it fresh asks for that with --max-age."
        )

    def _prove_absence(self, running: Manifest, licence: Licence) -> None:
        self._heading("A licence that was never issued: its absence has a proof, too.")
        self._prove(running, licence, "never-issued.qproof")
        self._verify("never-issued.qproof", ABSENT, "--expect", ABSENT)

    def _submit(self, running: Manifest, method: str, *arguments: str) -> None:
        command = ["licence", method, *arguments, "--from", DEPARTMENT]
        answer = self._run(command, _online(running), 0)
        if answer["status"] != "committed":
            raise DemoFailed(shlex.join(command), "status committed", str(answer["status"]))
        self._say(f"[green]committed[/] in block {answer['height']}")

    def _prove(self, running: Manifest, licence: Licence, file: str) -> None:
        self._run(["licence", "proof", licence.id, "-o", file], _online(running), 0)
        size = (self.folder / file).stat().st_size
        self._say(f"{file} has {size:,} bytes")

    def _verify(self, file: str, verdict: str, *options: str) -> None:
        command = ["proof", "verify", file, "--trust", manifest.TRUST, *options]
        answer = self._run(command, {}, EXIT_CODES[verdict])
        if answer["verdict"] != verdict:
            raise DemoFailed(shlex.join(command), f"verdict {verdict}", str(answer["verdict"]))
        self._say(f"verdict: [bold]{verdict}[/], as of block {answer['height']}")

    def _run(self, arguments: list[str], environment: dict[str, str], code: int) -> dict[str, Any]:
        """Run `qiong` with `arguments`, show it, and return its JSON if it ends with `code`."""
        shown = shlex.join(["qiong", *arguments])
        self.console.print(f"{'':{INDENT}}[cyan]$ {escape(shown)}[/]", soft_wrap=True)
        clean = {name: text for name, text in os.environ.items() if not name.startswith("QIONG_")}
        ended = subprocess.run(
            [sys.executable, "-P", "-m", "cli.main", *arguments, "--json"],
            cwd=self.folder,
            env=clean | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS_MAX,
            check=False,
        )
        self.steps.append({"command": shown, "exit_code": ended.returncode})
        if ended.returncode != code:
            got = f"{ended.returncode}: {(ended.stderr or ended.stdout).strip()}"
            raise DemoFailed(shown, f"exit code {code}", got)
        answer: dict[str, Any] = json.loads(ended.stdout or "{}")
        return answer

    def _heading(self, text: str) -> None:
        self._number += 1
        self.console.print(f"\n[bold]{self._number}. {text}[/]")

    def _say(self, text: str) -> None:
        self.console.print(Padding(text, (0, 0, 0, INDENT), expand=False))


def _online(running: Manifest) -> dict[str, str]:
    return {
        "QIONG_NODE": ",".join(entry.api for entry in running.validators),
        "QIONG_KEYS": str(running.keys),
        "QIONG_TRUST": str(running.trust),
    }


def _licences() -> tuple[Licence, Licence]:
    """A sample licence of `DEPARTMENT`, dated so that it is in force, and one never issued."""
    uscc = next(entry.uscc for entry in sample.departments() if entry.id == DEPARTMENT)
    first, second, *_ = (licence for licence in sample.licences() if licence.issuer == uscc)
    today = datetime.now(CHINA).date()
    expires = today + timedelta(days=TERM_DAYS)
    return replace(first, issued=today.isoformat(), expires=expires.isoformat()), second
