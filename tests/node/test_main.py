"""Starting a node: what is refused is refused before anything is changed."""

import json
import logging
from pathlib import Path

import pytest

from cli.errors import EXIT_REFUSED, from_typed
from ledger.errors import QiongError
from ledger.genesis import Genesis
from ledger.types import Digest
from node import keyfile, main
from node.config import BadSetting
from node.home import GenesisRefused, Home, HomeInUse, adopt_genesis, init_home
from node.keyfile import KeyExposed, NoPassphrase, WrongPassphrase
from node.logs import set_up_logging
from node.main import DiskNearlyFull, NotInGenesis
from tests.chaos import damage
from tests.chaos.damage import Damage

KEY_FILES = ("consensus.key", "consensus.pub", "passphrase", "tls.crt", "tls.key")


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keyfile, "SCRYPT_N", 2)
    monkeypatch.setattr(keyfile, "SCRYPT_P", 1)
    monkeypatch.delenv(keyfile.PASSPHRASE_VARIABLE, raising=False)
    monkeypatch.setattr("sys.stdin.isatty", lambda: False)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """A node's home that has joined a genesis of four."""
    from devnet import sample

    cards = []
    for number, entry in enumerate(sample.departments()[:4]):
        folder = tmp_path / str(number)
        (folder / "keys").mkdir(parents=True)
        cards.append(
            init_home(
                folder,
                organisation=entry.uscc,
                organisation_class="government",
                name=entry.id,
                address="127.0.0.1:9001",
                passphrase=keyfile.write_passphrase(folder / "keys"),
            )
        )
    genesis = Genesis.build(
        name="test",
        created_ms=1_700_000_000_000,
        validators=[card.entry for card in cards],
        attestations=[],
        state=[],
    )
    for number in range(4):
        adopt_genesis(Home(tmp_path / str(number)), genesis.encode(), genesis.chain_id)
    return Home(tmp_path / "0")


def content(home: Home) -> dict[str, bytes]:
    return {
        str(path.relative_to(home.root)): path.read_bytes()
        for path in home.root.rglob("*")
        if path.is_file() and path.name != "LOCK"
    }


def test_a_wrong_pass_phrase(home: Home, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    keyfile.write_private(wrong, b"guess\n")
    before = content(home)
    with pytest.raises(WrongPassphrase):
        main.run(home.root, passphrase_file=wrong)
    assert content(home) == before


def test_no_pass_phrase_at_all(home: Home) -> None:
    (home.keys / "passphrase").unlink()
    before = content(home)
    with pytest.raises(NoPassphrase):
        main.run(home.root)
    assert content(home) == before


@pytest.mark.parametrize("name", ["consensus.key", "tls.key", "passphrase"])
def test_a_secret_that_others_can_read(home: Home, name: str) -> None:
    (home.keys / name).chmod(0o640)
    before = content(home)
    with pytest.raises(KeyExposed):
        main.run(home.root)
    assert content(home) == before


def test_a_second_node_on_one_folder(home: Home) -> None:
    before = content(home)
    with home.lock(), pytest.raises(HomeInUse):
        main.run(home.root)
    assert content(home) == before


def test_another_genesis_than_expected(home: Home) -> None:
    before = content(home)
    with pytest.raises(GenesisRefused):
        main.run(home.root, flags={"expect_hash": Digest(bytes(32)).hex()})
    assert content(home) == before


def test_a_key_that_genesis_does_not_know(home: Home) -> None:
    other = Home(home.root.parent / "1")
    for path in (other.consensus_key, other.keys / "consensus.pub", other.keys / "passphrase"):
        (home.keys / path.name).unlink()
        keyfile.write_private(home.keys / path.name, path.read_bytes())
    with pytest.raises(NotInGenesis):
        main.run(home.root)


def test_an_organisation_that_genesis_does_not_know(home: Home) -> None:
    with pytest.raises(NotInGenesis):
        main.run(home.root, flags={"organisation": "914600007109ABCDE1"})


@pytest.fixture
def never_serving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fail rather than run a node."""

    async def start(*given: object) -> int:
        raise AssertionError("it started")

    monkeypatch.setattr(main, "_serve", start)


NEEDED = ("genesis.qgen", *(f"keys/{name}" for name in KEY_FILES))


def test_a_spoilt_file_is_named_with_the_way_out(home: Home, never_serving: None) -> None:
    """Short form of `tests/chaos/test_damage_table.py`: what a start cannot do without."""
    spoilt = [Damage(file, kind) for file in NEEDED for kind in damage.KINDS]
    spoilt += [Damage("qiong.toml", kind) for kind in ("empty", "gone")]
    refusals = [item for item in spoilt if set(damage.expected(item)) == {damage.REFUSED}]
    assert len(refusals) > 25
    for item in refusals:
        path = home.root / item.file
        whole, mode = path.read_bytes(), path.stat().st_mode
        item.do(home.root)
        before = content(home)
        with pytest.raises(QiongError) as refused:
            main.run(home.root)
        known = from_typed(refused.value)
        assert known.exit_code == EXIT_REFUSED, item
        assert known.hint, item
        assert item.part in f"{known.message} {known.hint}", item
        assert content(home) == before, item
        path.write_bytes(whole)
        path.chmod(mode)


def test_spoilt_settings_are_named(home: Home, never_serving: None) -> None:
    for text, named in damage.settings_of(home.root):
        whole = home.config.read_text()
        home.config.write_text(text)
        with pytest.raises(QiongError, match=named) as refused:
            main.run(home.root)
        assert refused.value.hint
        home.config.write_text(whole)


def test_a_folder_that_is_no_home(tmp_path: Path) -> None:
    with pytest.raises(BadSetting) as refused:
        main.run(tmp_path / "nothing")
    assert "node init" in refused.value.hint
    assert not (tmp_path / "nothing").exists()


def test_too_little_space_is_found_before_anything_is_changed(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "free_bytes", lambda folder: 999)
    before = content(home)
    with pytest.raises(
        DiskNearlyFull, match=r"999 bytes are free .* 1000 are the least"
    ) as refused:
        main.run(home.root, flags={"disk.free_bytes_min": "1000"})
    assert "free some space" in refused.value.hint
    assert content(home) == before


async def test_the_floor_is_watched_while_the_node_runs(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter([1001, 1000, 999])
    monkeypatch.setattr(main, "free_bytes", lambda folder: next(left))
    monkeypatch.setattr(main, "DISK_CHECK_SECONDS", 0)
    reason = await main._disk_full(home.root, 1000)
    assert reason.startswith("disk_full: 999 bytes are free")
    assert "hint: free some space" in reason
    assert next(left, None) is None


def test_logs_are_one_line_an_event(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        set_up_logging("json", "info")
        logging.getLogger("node.test").info("two\nlines")
        logging.getLogger("aiohttp").info("not ours")
        try:
            raise ValueError("broken")
        except ValueError:
            logging.getLogger("node.test").exception("failed")
        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        assert [line["message"] for line in lines] == ["two\nlines", "failed"]
        assert "ValueError: broken" in lines[1]["error"]
        assert lines[0]["time"].endswith("Z")

        set_up_logging("text", "warning")
        logging.getLogger("node.test").info("too quiet")
        logging.getLogger("node.test").warning("real\n2026-01-01 ERROR forged")
        first, second = capsys.readouterr().err.splitlines()
        assert "WARNING" in first
        assert second.startswith("    ")
    finally:
        logging.basicConfig(force=True, level=logging.WARNING)
