"""The manifest: what a backup is of, and every file and byte that belongs to it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from ledger import canonical
from ledger.errors import IntegrityError, InvalidInput
from ledger.fields import NUMBER_MAX
from ledger.hashing import sha256
from ledger.storage.folder import LOCK_NAME, UNFINISHED_SUFFIX, sync_folder
from node.errors import Refused

FORMAT: Final = 1
MANIFEST: Final = "manifest.json"
GENESIS: Final = "genesis.qgen"
HEADERS: Final = "headers"
BLOCKS: Final = "blocks"
EVIDENCE: Final = "evidence"
FOLDERS: Final = (HEADERS, BLOCKS, EVIDENCE)

CONFIG: Final = "qiong.toml"
PUBLIC_SETTINGS: Final = (CONFIG, "card.json", "keys/consensus.pub", "keys/tls.crt")
SECRET_SETTINGS: Final = ("keys/consensus.key", "keys/tls.key")
"""Encrypted with the node's pass phrase, which is in no backup."""

MANIFEST_BYTES_MAX: Final = 64 << 20
"""Largest manifest read: some 400,000 files, a backup an hour for forty years."""

READ_BYTES: Final = 1 << 20
"""Read of a file at a time."""

_PATHS: Final = re.compile(
    r"genesis\.qgen|(headers|blocks)/[0-9]{20}\.log|evidence/[0-9A-Za-z-]{1,64}\.qevidence"
)


class BackupDamaged(IntegrityError):
    """The backup is not what its manifest, or the chain in it, says. `where` names the file."""

    code = "backup_damaged"
    hint = "take another backup; what this one still holds can be had from any validator as well"

    def __init__(self, where: str, reason: str, n: int | None = None) -> None:
        self.where = where
        self.reason = reason
        self.n = n
        height = "" if n is None else f"block {n}: "
        super().__init__(f"{where}: {height}{reason}")


class NoBackup(Refused):
    """The folder holds no backup, or one of a form that this version does not know."""

    code = "no_backup"
    hint = "name the folder that `qiong backup create -o DIR` filled"

    def __init__(self, folder: Path, reason: str) -> None:
        self.folder = folder
        super().__init__(f"{folder}: {reason}")


@dataclass(frozen=True, slots=True)
class File:
    """A file of a backup: its path in the folder, bytes, and SHA-256 in hex."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """`height` is certified: `header_hash` is its header's and `certificate` (bytes, as all hashes
    in hex) a quorum's signatures on that. `settings` are small files of the home, by their paths
    there. Times are UTC in milliseconds."""

    chain_id: str
    network: str
    organisation: str
    validator: str
    height: int
    header_hash: str
    time_ms: int
    certificate: str
    made_ms: int
    version: str
    settings: Mapping[str, str]
    files: tuple[File, ...]

    @property
    def has_keys(self) -> bool:
        return any(name in self.settings for name in SECRET_SETTINGS)

    @property
    def bytes(self) -> int:
        """Of all files but the manifest."""
        return sum(file.size for file in self.files)

    def encode(self) -> str:
        """JSON for people and programs; `digest` is SHA-256 over the canonical rest."""
        content = {"format": FORMAT, **asdict(self)}
        content["files"] = [asdict(file) for file in self.files]
        return json.dumps({**content, "digest": _digest(content)}, ensure_ascii=False, indent=1)

    @classmethod
    def decode(cls, text: str) -> Manifest:
        """Read strictly. Raises `BackupDamaged`."""
        try:
            content = json.loads(text)
            stated = content.pop("digest")
            if content.pop("format") != FORMAT:
                raise BackupDamaged(MANIFEST, f"is not of format {FORMAT}")
            files = tuple(_file(row) for row in content.pop("files"))
            manifest = cls(files=files, **content)
            _check(manifest)
            if stated != _digest({"format": FORMAT, **content, "files": [*map(asdict, files)]}):
                raise BackupDamaged(MANIFEST, "its digest is of another content")
        except (ValueError, TypeError, KeyError, AttributeError, InvalidInput) as error:
            raise BackupDamaged(MANIFEST, f"is malformed: {error}") from None
        return manifest


def load(folder: Path) -> Manifest:
    """The manifest of the backup in `folder`. Raises `NoBackup`, `BackupDamaged`."""
    try:
        with (folder / MANIFEST).open("rb") as file:
            data = file.read(MANIFEST_BYTES_MAX + 1)
    except FileNotFoundError:
        raise NoBackup(folder, f"there is no {MANIFEST}") from None
    if len(data) > MANIFEST_BYTES_MAX:
        raise BackupDamaged(MANIFEST, f"is larger than {MANIFEST_BYTES_MAX} bytes")
    try:
        return Manifest.decode(data.decode())
    except UnicodeDecodeError:
        raise BackupDamaged(MANIFEST, "is not UTF-8") from None


def unlisted(folder: Path, files: Iterable[File]) -> list[str]:
    """Files in `folder` that belong to no backup there, in order; a lock, which is empty, is no
    file."""
    known = {MANIFEST, *(file.path for file in files)}
    found = (path for path in folder.rglob("*") if not path.is_dir() and not _is_lock(path))
    return sorted(name for path in found if (name := str(path.relative_to(folder))) not in known)


def is_ours(path: str) -> bool:
    """Whether `create` writes files of this name, finished or not."""
    name = path.removesuffix(UNFINISHED_SUFFIX)
    return name == MANIFEST or _PATHS.fullmatch(name) is not None


def _is_lock(path: Path) -> bool:
    return path.name == LOCK_NAME and path.stat().st_size == 0


def measured(folder: Path, path: str) -> File:
    """A file as it lies in `folder`. Raises OSError."""
    digest, size = hashlib.sha256(), 0
    with (folder / path).open("rb") as file:
        while data := file.read(READ_BYTES):
            digest.update(data)
            size += len(data)
    return File(path, size, digest.hexdigest())


def put(path: Path, content: bytes) -> None:
    """Make `path` hold `content`: all of it, or what it held before. Raises OSError."""
    with _replacing(path) as file:
        file.write(content)


def put_file(path: Path, source: Path) -> None:
    """As `put`, with the content of `source`."""
    with _replacing(path) as file, source.open("rb") as content:
        shutil.copyfileobj(content, file, READ_BYTES)


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A file, readable by its owner alone, that takes the place of `path` once it is synced."""
    unfinished = path.with_name(path.name + UNFINISHED_SUFFIX)
    with unfinished.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        yield file
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    sync_folder(path.parent)


def _digest(content: dict[str, Any]) -> str:
    return sha256(canonical.encode(cast(canonical.Value, content))).hex()


def _file(row: dict[str, Any]) -> File:
    path, size = row["path"], row["size"]
    if not isinstance(path, str) or _PATHS.fullmatch(path) is None:
        raise ValueError(f"no file of a backup is called {path!r}")
    if type(size) is not int or not 0 <= size <= NUMBER_MAX:
        raise ValueError(f"{path} has no size")
    _hex(row["sha256"], 32)
    return File(**row)


def _check(manifest: Manifest) -> None:
    """Raise ValueError or TypeError for what is of the wrong kind."""
    for name in ("height", "time_ms", "made_ms"):
        if type(getattr(manifest, name)) is not int or not getattr(manifest, name) >= 0:
            raise ValueError(f"{name} is no number")
    for name in ("network", "organisation", "validator", "version"):
        if not isinstance(getattr(manifest, name), str):
            raise ValueError(f"{name} is no text")
    _hex(manifest.chain_id, 32)
    _hex(manifest.header_hash, 32)
    _hex(manifest.certificate)
    known = (*PUBLIC_SETTINGS, *SECRET_SETTINGS)
    for name, text in manifest.settings.items():
        if name not in known or not isinstance(text, str):
            raise ValueError(f"{name!r} is no setting of a home")
    if CONFIG not in manifest.settings:
        raise ValueError(f"the settings lack {CONFIG}")
    paths = [file.path for file in manifest.files]
    if len(set(paths)) != len(paths) or GENESIS not in paths:
        raise ValueError("the files lack genesis, or one stands there twice")


def _hex(text: object, size: int | None = None) -> None:
    if not isinstance(text, str) or (size is not None and len(bytes.fromhex(text)) != size):
        raise ValueError(f"expected hexadecimal digits, got {text!r}")
    bytes.fromhex(text)
