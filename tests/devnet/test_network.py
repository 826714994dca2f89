"""What the devnet's commands promise before any validator runs: whose folder it is, and the form
of `devnet.json`. Life with real validators is in tests/e2e."""

import fcntl
import json
from pathlib import Path

import pytest

from devnet import manifest, network
from devnet.manifest import Manifest, ValidatorEntry


@pytest.fixture
def devnet(tmp_path: Path) -> Manifest:
    """A devnet's folder as `found` leaves it, as far as the life cycle looks at it."""
    folder = (tmp_path / "net").resolve()
    entries = []
    for i, name in enumerate(("market-supervision", "enterprise-1", "tourism", "enterprise-2")):
        home = folder / manifest.NODES / name
        (home / "logs").mkdir(parents=True)
        api = f"http://127.0.0.1:{45_600 + 2 * i}"
        entries.append(ValidatorEntry(name, f"USCC{i}", "government", api, None, home))
    (folder / network.LOCK_FILE).touch()
    made = Manifest(folder, "ab" * 32, tuple(entries))
    made.save()
    return made


def test_devnet_json_has_the_form_other_programs_read(devnet: Manifest) -> None:
    document = json.loads((devnet.folder / "devnet.json").read_text("utf-8"))
    assert list(document) == ["chain_id", "trust", "keys", "validators"]
    assert document["trust"] == "trust.json"
    assert document["keys"] == "keys"
    assert document["validators"][2] == {
        "name": "tourism",
        "organisation": "USCC2",
        "class": "government",
        "api": "http://127.0.0.1:45604",
        "pid": None,
        "home": str(devnet.folder / "nodes" / "tourism"),
    }
    assert manifest.load(devnet.folder) == devnet


def test_a_moved_devnet_finds_its_homes(devnet: Manifest, tmp_path: Path) -> None:
    moved = devnet.folder.rename(tmp_path / "elsewhere")
    assert manifest.load(moved).find("tourism").home == moved / "nodes" / "tourism"


def test_nothing_runs_and_every_command_says_so(devnet: Manifest) -> None:
    assert [state.state for state in network.status(devnet)] == ["stopped"] * 4
    assert network.down(devnet.folder) == []
    assert network.kill(devnet.folder, "tourism") is False


def test_a_stale_pid_of_a_stranger_is_left_alone(devnet: Manifest) -> None:
    devnet.with_pids({"tourism": 1}).save()
    assert network.kill(devnet.folder, "tourism") is False
    assert network.down(devnet.folder) == []


def test_an_unknown_name_lists_the_known_ones(devnet: Manifest) -> None:
    with pytest.raises(manifest.UnknownValidator) as caught:
        network.kill(devnet.folder, "tuorism")
    assert "tourism" in caught.value.hint


def test_two_commands_do_not_change_one_devnet_at_once(devnet: Manifest) -> None:
    with (devnet.folder / network.LOCK_FILE).open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(network.Busy):
            network.down(devnet.folder)


def test_reset_deletes_a_devnet_and_nothing_else(devnet: Manifest, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "thesis.txt").write_text("ten years of work")
    with pytest.raises(network.NotOurFolder):
        network.reset(home)
    assert (home / "thesis.txt").exists()
    network.reset(devnet.folder)
    assert not devnet.folder.exists()
    network.reset(devnet.folder)


def test_up_refuses_a_folder_with_other_files(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("ten years of work")
    with pytest.raises(network.NotOurFolder):
        network.up(tmp_path, None, None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["thesis.txt"]


def test_up_refuses_another_number_of_validators(devnet: Manifest) -> None:
    with pytest.raises(network.OtherSize, match="has 4 validators, not 7") as caught:
        network.up(devnet.folder, 7, None)
    assert "reset" in caught.value.hint


@pytest.mark.parametrize("content", ["{", "[]", '{"chain_id": "ab"}', '{"validators": [1]}'])
def test_a_damaged_manifest_is_a_plain_error(devnet: Manifest, content: str) -> None:
    (devnet.folder / "devnet.json").write_text(content)
    with pytest.raises(manifest.DamagedManifest) as caught:
        manifest.load(devnet.folder)
    assert "reset" in caught.value.hint


def test_no_devnet_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(manifest.NoDevnet) as caught:
        network.down(tmp_path)
    assert "qiong devnet up" in caught.value.hint
