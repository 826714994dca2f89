"""Key files: opened by their pass phrase only, refused when others could have read them."""

import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.keys import SigningKey
from node import keyfile
from node.keyfile import (
    KeyDamaged,
    KeyExists,
    KeyExposed,
    KeyMissing,
    Keyring,
    NoPassphrase,
    WrongPassphrase,
)

SEED = bytes(range(32))


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """The least scrypt cost, for tests of everything but the cost."""
    monkeypatch.setattr(keyfile, "SCRYPT_N", 2)
    monkeypatch.setattr(keyfile, "SCRYPT_P", 1)


def saved(folder: Path, passphrase: bytes = b"open sesame") -> Path:
    path = folder / "clerk.key"
    keyfile.save_key(path, SEED, passphrase)
    return path


def test_a_saved_key_is_the_same_key_again(tmp_path: Path) -> None:
    path = saved(tmp_path)
    key = keyfile.load_key(path, b"open sesame")
    assert key.seed == SEED
    assert keyfile.load_public(path) == key.public == SigningKey.from_seed(SEED).public
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("cheap")
def test_no_byte_of_the_seed_is_in_the_clear(tmp_path: Path) -> None:
    path = saved(tmp_path)
    everything = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert SEED not in everything
    assert SEED.hex().encode() not in everything
    assert b"ENCRYPTED" in path.read_bytes()


@pytest.mark.system("openssl")
def test_openssl_opens_it(tmp_path: Path) -> None:
    path = saved(tmp_path)
    openssl = shutil.which("openssl") or "openssl"
    command = [openssl, "pkey", "-in", str(path), "-passin", "pass:open sesame", "-outform", "DER"]
    plain = subprocess.run(command, capture_output=True, check=True)
    assert plain.stdout.endswith(SEED)


@pytest.mark.usefixtures("cheap")
def test_a_wrong_pass_phrase_is_named_as_such(tmp_path: Path) -> None:
    path = saved(tmp_path)
    for attempt in range(300):  # one in 256 wrong keys leaves a right padding
        with pytest.raises(WrongPassphrase):
            keyfile.load_key(path, f"guess {attempt}".encode())


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_key_readable_by_others_is_refused(tmp_path: Path, mode: int) -> None:
    path = saved(tmp_path)
    path.chmod(mode)
    with pytest.raises(KeyExposed) as refused:
        keyfile.load_key(path, b"open sesame")
    assert refused.value.mode == mode


@pytest.mark.usefixtures("cheap")
def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    path = saved(tmp_path)
    before = path.read_bytes()
    with pytest.raises(KeyExists):
        keyfile.save_key(path, bytes(32), b"other")
    assert path.read_bytes() == before


@pytest.mark.usefixtures("cheap")
def test_another_public_half_is_damage(tmp_path: Path) -> None:
    path = saved(tmp_path)
    other = SigningKey.from_seed(bytes(32)).public
    path.with_suffix(".pub").write_text(other.hex())
    with pytest.raises(KeyDamaged):
        keyfile.load_key(path, b"open sesame")


@pytest.mark.usefixtures("cheap")
@settings(max_examples=100)
@given(position=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_a_flipped_bit_gives_a_typed_refusal_or_the_same_key(
    tmp_path_factory: pytest.TempPathFactory, position: int, bit: int
) -> None:
    path = saved(tmp_path_factory.mktemp("keys"))
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 1 << bit
    path.write_bytes(content)
    try:
        key = keyfile.load_key(path, b"open sesame")
    except (WrongPassphrase, KeyDamaged):
        return
    assert key.seed == SEED  # white space and line ends of PEM carry nothing


def test_scrypt_parameters_beyond_reason_are_damage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n, r in ((1 << 14, 1 << 30), (3, 8), (1 << 40, 8)):
        monkeypatch.setattr(keyfile, "Scrypt", _NoScrypt)
        monkeypatch.setattr(keyfile, "SCRYPT_N", n)
        monkeypatch.setattr(keyfile, "SCRYPT_R", r)
        folder = tmp_path / f"{n}-{r}"
        folder.mkdir()
        path = saved(folder)
        monkeypatch.undo()
        with pytest.raises((KeyDamaged, WrongPassphrase)):
            keyfile.load_key(path, b"open sesame")


class _NoScrypt:
    """Writes files with parameters that no machine can compute."""

    def __init__(self, **_: object) -> None:
        pass

    def derive(self, _: bytes) -> bytes:
        return bytes(32)


def test_missing_things_are_missing(tmp_path: Path) -> None:
    with pytest.raises(KeyMissing):
        keyfile.load_key(tmp_path / "nobody.key", b"x")
    with pytest.raises(KeyMissing):
        keyfile.load_public(tmp_path / "nobody.key")
    assert keyfile.list_keys(tmp_path / "nowhere") == []


@pytest.mark.usefixtures("cheap")
def test_a_listing_needs_no_pass_phrase(tmp_path: Path) -> None:
    public = keyfile.save_key(tmp_path / "b.key", SEED, b"x")
    other = keyfile.save_key(tmp_path / "a.key", bytes(32), b"y")
    assert [(entry.name, entry.public) for entry in keyfile.list_keys(tmp_path)] == [
        ("a", other),
        ("b", public),
    ]


def test_pass_phrases_come_from_the_flag_then_the_variable_then_the_folder(tmp_path: Path) -> None:
    def file(name: str, phrase: str) -> Path:
        path = tmp_path / name
        keyfile.write_private(path, phrase.encode() + b"\n")
        return path

    flag, variable = file("flag", "from flag"), file("variable", "from variable")
    environment = {keyfile.PASSPHRASE_VARIABLE: str(variable)}
    file("passphrase", "beside")
    assert keyfile.read_passphrase(tmp_path, flag, None, environment) == b"from flag"
    assert keyfile.read_passphrase(tmp_path, None, None, environment) == b"from variable"
    assert keyfile.read_passphrase(tmp_path, None, None, {}) == b"beside"
    elsewhere = tmp_path / "elsewhere"
    assert keyfile.read_passphrase(elsewhere, None, lambda _: "typed", {}) == b"typed"


def test_without_a_terminal_there_is_no_pass_phrase(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)
    with pytest.raises(NoPassphrase) as refused:
        keyfile.read_passphrase(tmp_path, environment={})
    assert "--passphrase-file" in refused.value.hint


def test_a_pass_phrase_file_readable_by_others_is_refused(tmp_path: Path) -> None:
    keyfile.write_passphrase(tmp_path)
    (tmp_path / "passphrase").chmod(0o644)
    with pytest.raises(KeyExposed):
        keyfile.read_passphrase(tmp_path, environment={})
    # What systemd's LoadCredential= hands over is guarded by systemd.
    environment = {
        "CREDENTIALS_DIRECTORY": str(tmp_path),
        keyfile.PASSPHRASE_VARIABLE: str(tmp_path / "passphrase"),
    }
    assert keyfile.read_passphrase(tmp_path / "keys", environment=environment)


@pytest.mark.parametrize("content", [b"", b"\n", b"x" * 1_001, b"y" * 20_000])
def test_an_empty_or_endless_pass_phrase_is_refused(tmp_path: Path, content: bytes) -> None:
    keyfile.write_private(tmp_path / "passphrase", content)
    with pytest.raises(KeyDamaged):
        keyfile.read_passphrase(tmp_path, environment={})


@pytest.mark.usefixtures("cheap")
def test_a_keyring_opens_each_key_once_and_asks_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, name in enumerate(("a", "b")):
        keyfile.save_key(tmp_path / f"{name}.key", bytes([number]) * 32, b"typed")
    asked: list[str] = []
    opened: list[Path] = []
    load_key = keyfile.load_key

    def load(path: Path, passphrase: bytes) -> SigningKey:
        opened.append(path)
        return load_key(path, passphrase)

    def ask(prompt: str) -> str:
        asked.append(prompt)
        return "typed"

    monkeypatch.delenv(keyfile.PASSPHRASE_VARIABLE, raising=False)
    monkeypatch.setattr(keyfile, "load_key", load)
    keyring = Keyring(tmp_path, ask=ask)
    first = keyring.key("a")
    assert keyring.key("a") is first
    assert keyring.key("b").seed == bytes([1]) * 32
    assert len(asked) == 1
    assert len(opened) == 2


@pytest.mark.parametrize("name", ["../clerk", "", ".hidden", "a/b", "nul\x00"])
def test_a_key_name_stays_in_its_folder(tmp_path: Path, name: str) -> None:
    with pytest.raises(KeyMissing):
        Keyring(tmp_path).key(name)
