"""`devnet.json`: what a devnet's folder holds, for our commands and for other programs to read.

Its form is an interface (interfaces.md). `keys` and `trust` are relative to the folder; a home is
absolute, and derived anew from the folder when it is read, so a devnet can be moved while it is
down. Left out: who is alive; a pid here may be stale until `devnet.process` has checked it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar, Final

from ledger.errors import InvalidInput, StorageError

FILE: Final = "devnet.json"
TRUST: Final = "trust.json"
KEYS: Final = "keys"
NODES: Final = "nodes"


class NoDevnet(InvalidInput):
    """The folder holds no devnet."""

    code: ClassVar[str] = "no_devnet"

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hint = f"make one with: qiong devnet up --dir {folder}"
        super().__init__(f"there is no devnet in {folder}")


class DamagedManifest(StorageError):
    """`devnet.json` is not what we wrote."""

    code: ClassVar[str] = "damaged_manifest"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.hint = f"make the devnet anew: qiong devnet reset --dir {path.parent}"
        super().__init__(f"{path} is damaged")


class UnknownValidator(InvalidInput):
    """A name that no validator of this devnet has."""

    code: ClassVar[str] = "unknown_validator"

    def __init__(self, name: str, known: list[str]) -> None:
        self.name = name
        self.hint = "its validators are " + ", ".join(known)
        super().__init__(f"this devnet has no validator {name!r}")


@dataclass(frozen=True, slots=True)
class ValidatorEntry:
    """One validator: `api` is its base URL, `pid` that of its last start (None: never)."""

    name: str
    organisation: str
    organisation_class: str
    api: str
    pid: int | None
    home: Path

    @property
    def log(self) -> Path:
        """Where its stdout and stderr go."""
        return self.home / "logs" / "node.log"


@dataclass(frozen=True, slots=True)
class Manifest:
    """The content of `devnet.json` in `folder`; `chain_id` is in hex."""

    folder: Path
    chain_id: str
    validators: tuple[ValidatorEntry, ...]

    @property
    def keys(self) -> Path:
        return self.folder / KEYS

    @property
    def trust(self) -> Path:
        return self.folder / TRUST

    def find(self, name: str) -> ValidatorEntry:
        """The validator called `name`. Raises `UnknownValidator`."""
        for entry in self.validators:
            if entry.name == name:
                return entry
        raise UnknownValidator(name, [entry.name for entry in self.validators])

    def with_pids(self, pids: dict[str, int]) -> Manifest:
        """The same with the pids of the validators named in `pids` replaced."""
        return replace(
            self,
            validators=tuple(
                replace(entry, pid=pids.get(entry.name, entry.pid)) for entry in self.validators
            ),
        )

    def save(self) -> None:
        """Write `devnet.json` so that a reader sees the old or the new content."""
        document = {
            "chain_id": self.chain_id,
            "trust": TRUST,
            "keys": KEYS,
            "validators": [
                {
                    "name": entry.name,
                    "organisation": entry.organisation,
                    "class": entry.organisation_class,
                    "api": entry.api,
                    "pid": entry.pid,
                    "home": str(entry.home),
                }
                for entry in self.validators
            ],
        }
        draft = self.folder / f"{FILE}.new"
        draft.write_text(json.dumps(document, ensure_ascii=False, indent=2) + "\n", "utf-8")
        draft.replace(self.folder / FILE)


def load(folder: Path) -> Manifest:
    """Read the devnet of `folder`. Raises `NoDevnet` or `DamagedManifest`."""
    folder = folder.resolve()
    path = folder / FILE
    try:
        document = json.loads(path.read_text("utf-8"))
        validators = tuple(
            ValidatorEntry(
                name=row["name"],
                organisation=row["organisation"],
                organisation_class=row["class"],
                api=row["api"],
                pid=row["pid"],
                home=folder / NODES / row["name"],
            )
            for row in document["validators"]
        )
        return Manifest(folder, document["chain_id"], validators)
    except FileNotFoundError:
        raise NoDevnet(folder) from None
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedManifest(path) from error
