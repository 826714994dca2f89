"""Private keys at rest: encrypted PKCS#8 that only their owner can read.

A key `NAME` is three things in one folder: `NAME.key`, an encrypted PKCS#8 private key in PEM (RFC
5958, PBES2 of RFC 8018 with scrypt of RFC 7914 §7 and AES-256-CBC), which OpenSSL reads as well;
`NAME.pub`, the public key in hex, so that listing needs no pass phrase; and, where nobody is there
to type, a file `passphrase` that opens all keys of the folder. Whatever is secret has mode 0600 or
is refused: a mode others can read has to be treated as a leak.

The `cryptography` library reads this form but writes PKCS#8 with 2,048 rounds of PBKDF2, which a
graphics card tries about a million times a second, so the envelope is written here.

Left out: hardware keys (PKCS#11), and who a key belongs to (the registry on the chain knows).
"""

from __future__ import annotations

import base64
import os
import secrets
import stat
import sys
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from getpass import getpass
from pathlib import Path
from typing import Final

from cryptography.exceptions import InternalError, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from cryptography.hazmat.primitives.padding import PKCS7
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from ledger.keys import BadKey, SigningKey, check_public_key
from ledger.types import PublicKey
from node.errors import Refused

KEY_SUFFIX: Final = ".key"
PUBLIC_SUFFIX: Final = ".pub"
PASSPHRASE_NAME: Final = "passphrase"
PASSPHRASE_VARIABLE: Final = "QIONG_PASSPHRASE_FILE"

SCRYPT_N: Final = 1 << 14
SCRYPT_R: Final = 8
SCRYPT_P: Final = 5
"""16 MiB and about 0.2 s: OWASP's equal of N=2^17, p=1 that OpenSSL's 32 MiB limit still opens."""

KEY_FILE_BYTES_MAX: Final = 16_384
"""Largest key file read; an encrypted Ed25519 key takes 420 bytes."""

PASSPHRASE_BYTES_MAX: Final = 1_000
"""Below the 1,024 bytes (PEM_BUFSIZE) that OpenSSL cuts a pass phrase at."""


class KeyFileError(Refused):
    """A key cannot be used as it is. `path` names the file."""

    code = "key_file"

    def __init__(self, path: Path, message: str) -> None:
        self.path = str(path)
        super().__init__(f"{path}: {message}")


class KeyMissing(KeyFileError):
    """There is no such key."""

    code = "key_missing"
    hint = "`qiong keys list` shows the keys there are; `--keys DIR` names another folder"

    def __init__(self, path: Path) -> None:
        super().__init__(path, "no such key")


class KeyExists(KeyFileError):
    """A key of this name is there already and is never overwritten."""

    code = "key_exists"
    hint = "choose another name; a lost key cannot be made again"

    def __init__(self, path: Path) -> None:
        super().__init__(path, "exists already")


class KeyExposed(KeyFileError):
    """The mode lets others read a secret. `mode` is its permission bits."""

    code = "key_exposed"

    def __init__(self, path: Path, mode: int) -> None:
        self.mode = mode
        self.hint = f"chmod 600 {path}, and rotate the key if others had access to this machine"
        super().__init__(path, f"mode {mode:04o} lets others read it")


class KeyDamaged(KeyFileError):
    """The file is no encrypted Ed25519 key, or contradicts its public half."""

    code = "key_damaged"
    hint = "restore the file from a backup"


class WrongPassphrase(KeyFileError):
    """The pass phrase does not open the key."""

    code = "wrong_passphrase"
    hint = (
        "give the pass phrase it was saved with: --passphrase-file names a file that holds it, "
        f"else the file `{PASSPHRASE_NAME}` beside the key does; if that is right, restore the key"
    )

    def __init__(self, path: Path) -> None:
        super().__init__(path, "the pass phrase does not open it")


class NoPassphrase(Refused):
    """There is nowhere to take a pass phrase from."""

    code = "no_passphrase"
    hint = (
        f"name a file with --passphrase-file or {PASSPHRASE_VARIABLE}, "
        f"or put a file {PASSPHRASE_NAME!r} of mode 0600 beside the keys"
    )

    def __init__(self, reason: str = "a pass phrase is needed and there is no terminal") -> None:
        self.reason = reason
        super().__init__(reason)


@dataclass(frozen=True, slots=True)
class KeyEntry:
    """A key as a listing shows it: its name and its public half."""

    name: str
    public: PublicKey


def save_key(path: Path, seed: bytes, passphrase: bytes) -> PublicKey:
    """Write the Ed25519 key of the 32-byte `seed` to `path` (``NAME.key``) and ``NAME.pub``.

    Raises `KeyExists` when either file is there, `OSError` for the disk.
    """
    public = SigningKey.from_seed(seed).public
    public_path = path.with_suffix(PUBLIC_SUFFIX)
    for present in (path, public_path):
        if present.exists():
            raise KeyExists(present)
    write_private(path, encrypt_private_key(Ed25519PrivateKey.from_private_bytes(seed), passphrase))
    public_path.write_text(public.hex() + "\n", encoding="ascii")
    return public


def load_key(path: Path, passphrase: bytes) -> SigningKey:
    """Open the key at `path`; takes about 0.2 s by intent.

    Raises `KeyMissing`, `KeyExposed`, `WrongPassphrase`, `KeyDamaged`.
    """
    private = decrypt_private_key(path, read_private(path), passphrase)
    key = SigningKey.from_seed(
        private.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())
    )
    if path.with_suffix(PUBLIC_SUFFIX).exists() and load_public(path) != key.public:
        raise KeyDamaged(path, "contradicts the public key beside it")
    return key


def load_public(path: Path) -> PublicKey:
    """The public half of the key at `path`, without a pass phrase.

    Raises `KeyMissing` or `KeyDamaged`.
    """
    public_path = path.with_suffix(PUBLIC_SUFFIX)
    try:
        return check_public_key(bytes.fromhex(public_path.read_text(encoding="ascii")))
    except FileNotFoundError:
        raise KeyMissing(public_path) from None
    except (ValueError, BadKey):
        raise KeyDamaged(public_path, "holds no public key in hex") from None


def list_keys(folder: Path) -> list[KeyEntry]:
    """The keys in `folder` by name; none if there is no such folder. Raises `KeyDamaged`."""
    paths = sorted(folder.glob("*" + KEY_SUFFIX))
    return [KeyEntry(path.stem, load_public(path)) for path in paths]


class Keyring:
    """The keys of one folder, each opened once a run and the pass phrase asked for once.

    `passphrase_file` is what --passphrase-file named; `ask` prompts a person, None where nobody is.
    """

    def __init__(
        self,
        folder: Path,
        passphrase_file: Path | None = None,
        ask: Callable[[str], str] | None = None,
    ) -> None:
        self.folder = folder
        self._passphrase_file = passphrase_file
        self._ask = ask
        self._passphrase: bytes | None = None
        self._open: dict[str, SigningKey] = {}

    def path(self, name: str) -> Path:
        """Where the key `name` lies. Raises `KeyMissing` for a name that would leave the folder."""
        path = self.folder / (name + KEY_SUFFIX)
        if path.parent != self.folder or not name or name.startswith(".") or "\x00" in name:
            raise KeyMissing(path)
        return path

    def passphrase(self) -> bytes:
        """The folder's pass phrase, by the rule of `read_passphrase`."""
        if self._passphrase is None:
            self._passphrase = read_passphrase(self.folder, self._passphrase_file, self._ask)
        return self._passphrase

    def key(self, name: str) -> SigningKey:
        """Open the key `name`. Raises as `load_key` and `read_passphrase` do."""
        if name not in self._open:
            path = self.path(name)
            if not path.exists():
                raise KeyMissing(path)
            self._open[name] = load_key(path, self.passphrase())
        return self._open[name]


def read_passphrase(
    folder: Path,
    passphrase_file: Path | None = None,
    ask: Callable[[str], str] | None = None,
    environment: Mapping[str, str] = os.environ,
) -> bytes:
    """The pass phrase for the keys in `folder`, without a trailing line end.

    In this order: `passphrase_file` (--passphrase-file), the file that QIONG_PASSPHRASE_FILE names,
    the file `passphrase` in `folder`, a prompt. `ask` defaults to a prompt on the terminal. Never
    from an argument or an environment value, which other processes can read.

    Raises `NoPassphrase`, `KeyMissing` (a named file is not there), `KeyExposed`, `KeyDamaged`.
    """
    named = passphrase_file or (
        Path(environment[PASSPHRASE_VARIABLE]) if environment.get(PASSPHRASE_VARIABLE) else None
    )
    beside = folder / PASSPHRASE_NAME
    if named is not None or beside.exists():
        path = named or beside
        # systemd guards its credentials with an ACL, whose mask shows as the group's bits.
        guarded = environment.get("CREDENTIALS_DIRECTORY")
        exempt = guarded is not None and path.parent == Path(guarded)
        phrase = read_private(path, mode_checked=not exempt).rstrip(b"\r\n")
        if not 0 < len(phrase) <= PASSPHRASE_BYTES_MAX:
            raise KeyDamaged(path, f"holds no pass phrase of 1 to {PASSPHRASE_BYTES_MAX} bytes")
        return phrase
    if ask is None:
        if not sys.stdin.isatty():
            raise NoPassphrase
        ask = getpass
    phrase = ask(f"Pass phrase for the keys in {folder}: ").encode()
    if not 0 < len(phrase) <= PASSPHRASE_BYTES_MAX:
        raise NoPassphrase(f"a pass phrase has 1 to {PASSPHRASE_BYTES_MAX} bytes")
    return phrase


def write_passphrase(folder: Path) -> bytes:
    """Make a random pass phrase of 160 bits and keep it in `folder`, for keys nobody types.

    Raises `KeyExists` rather than lose the phrase of keys that are there.
    """
    phrase = base64.b32encode(secrets.token_bytes(20)).lower()
    write_private(folder / PASSPHRASE_NAME, phrase + b"\n")
    return phrase


def write_private(path: Path, content: bytes) -> None:
    """Create `path` with mode 0600 and `content`, synced. Raises `KeyExists` or `OSError`."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        raise KeyExists(path) from None
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(content)
        file.flush()
        os.fsync(descriptor)


def read_private(path: Path, *, mode_checked: bool = True) -> bytes:
    """The content of a secret file. Raises `KeyMissing`, `KeyExposed` or `KeyDamaged`."""
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            mode = stat.S_IMODE(status.st_mode)
            if mode_checked and mode & 0o077:
                raise KeyExposed(path, mode)
            content = file.read(KEY_FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise KeyMissing(path) from None
    except OSError as error:
        raise KeyDamaged(path, error.strerror or "cannot be read") from None
    if len(content) > KEY_FILE_BYTES_MAX:
        raise KeyDamaged(path, f"larger than {KEY_FILE_BYTES_MAX} bytes")
    return content


def encrypt_private_key(key: Ed25519PrivateKey, passphrase: bytes) -> bytes:
    """`key` as encrypted PKCS#8 in PEM (RFC 7468 §11)."""
    plain = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    salt, iv = secrets.token_bytes(16), secrets.token_bytes(16)
    derived = Scrypt(salt=salt, length=32, n=SCRYPT_N, r=SCRYPT_R, p=SCRYPT_P).derive(passphrase)
    padder = PKCS7(algorithms.AES256.block_size).padder()
    padded = padder.update(plain) + padder.finalize()
    encryptor = Cipher(algorithms.AES256(derived), modes.CBC(iv)).encryptor()
    encrypted = encryptor.update(padded) + encryptor.finalize()
    text = base64.b64encode(_encrypted_private_key_info(salt, iv, encrypted)).decode()
    lines = "\n".join(textwrap.wrap(text, 64))
    label = "ENCRYPTED PRIVATE KEY"
    return f"-----BEGIN {label}-----\n{lines}\n-----END {label}-----\n".encode()


def decrypt_private_key(path: Path, content: bytes, passphrase: bytes) -> Ed25519PrivateKey:
    """The key in `content`, read from `path`. Raises `WrongPassphrase` or `KeyDamaged`."""
    if b"-----BEGIN ENCRYPTED PRIVATE KEY-----" not in content:
        raise KeyDamaged(path, "is no encrypted PKCS#8 key")
    try:
        key = load_pem_private_key(content, passphrase)
    except ValueError:
        # A wrong key usually breaks the padding, else what stands inside; both look alike.
        raise WrongPassphrase(path) from None
    except (TypeError, UnsupportedAlgorithm, InternalError, MemoryError):
        # The last two come of scrypt parameters that a damaged file blew up.
        raise KeyDamaged(path, "is no encrypted PKCS#8 key") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyDamaged(path, "holds a key that is not Ed25519")
    return key


_OID_PBES2: Final = bytes.fromhex("06092a864886f70d01050d")
_OID_SCRYPT: Final = bytes.fromhex("06092b06010401da47040b")
_OID_AES256_CBC: Final = bytes.fromhex("060960864801650304012a")


def _encrypted_private_key_info(salt: bytes, iv: bytes, encrypted: bytes) -> bytes:
    """EncryptedPrivateKeyInfo (RFC 5958 §3) with PBES2-params (RFC 8018 §A.4) in DER."""
    scrypt_params = _sequence(
        _tlv(0x04, salt), *(_integer(number) for number in (SCRYPT_N, SCRYPT_R, SCRYPT_P))
    )
    derivation = _sequence(_OID_SCRYPT, scrypt_params)
    scheme = _sequence(_OID_AES256_CBC, _tlv(0x04, iv))
    algorithm = _sequence(_OID_PBES2, _sequence(derivation, scheme))
    return _sequence(algorithm, _tlv(0x04, encrypted))


def _sequence(*parts: bytes) -> bytes:
    return _tlv(0x30, b"".join(parts))


def _integer(number: int) -> bytes:
    return _tlv(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _tlv(tag: int, content: bytes) -> bytes:
    """Tag, length, value (X.690 §8.1); lengths below 256 are all an Ed25519 key needs."""
    size = len(content)
    length = bytes([size]) if size < 0x80 else bytes([0x81, size])
    return bytes([tag]) + length + content
