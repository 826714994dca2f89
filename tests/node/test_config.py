"""Settings: file, environment, flags, in that order; what nobody knows is refused."""

from pathlib import Path

import pytest

from node.config import BadSetting, load_config, parse_address, render_config


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "qiong.toml"
    path.write_text(
        render_config(organisation="X", api_listen="127.0.0.1:8080", peer_listen="127.0.0.1:8081")
    )
    return path


def test_flags_beat_the_environment_which_beats_the_file(path: Path) -> None:
    assert load_config(path, environment={}).api_listen == ("127.0.0.1", 8080)
    environment = {"QIONG_API_LISTEN": "127.0.0.1:1", "QIONG_LOG_FORMAT": "json"}
    config = load_config(path, environment=environment)
    assert config.api_listen == ("127.0.0.1", 1)
    assert config.log_format == "json"
    config = load_config(path, {"api.listen": "[::1]:2"}, environment)
    assert config.api_listen == ("::1", 2)


def test_variables_of_other_tools_are_left_alone(path: Path) -> None:
    load_config(path, environment={"QIONG_NODE": "http://x", "QIONG_KEYS": "/x", "HOME": "/"})


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("[api]\nlisen = 'x:1'", "api.lisen"),
        ("colour = 'blue'", "colour"),
        ("[api]\nlisten = 'nowhere'", "api.listen"),
        ("[api]\nlisten = 8080", "api.listen"),
        ("[api]\nlisten = 'host:99999'", "api.listen"),
        ("[log]\nlevel = 'loud'", "log.level"),
        ("[disk]\nfree_bytes_min = -1", "disk.free_bytes_min"),
        ("[disk]\nfree_bytes_min = true", "disk.free_bytes_min"),
        ("expect_hash = 'abc'", "expect_hash"),
        ("observer = 'perhaps'", "observer"),
        ("[peers]\nX = 'nowhere'", "peers.X"),
        ("peers = 3", "peers"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, line: str, name: str) -> None:
    path = tmp_path / "qiong.toml"
    path.write_text(f"organisation = 'X'\n{line}\n")
    with pytest.raises(BadSetting) as refused:
        load_config(path, environment={})
    assert refused.value.name == name
    assert refused.value.hint


def test_a_misspelt_setting_gets_the_nearest_known_one(tmp_path: Path) -> None:
    path = tmp_path / "qiong.toml"
    path.write_text("organisation = 'X'\n[api]\nlisen = 'x:1'\n")
    with pytest.raises(BadSetting) as refused:
        load_config(path, environment={})
    assert "api.listen" in refused.value.hint


def test_wrong_variables_and_flags_are_named_too(path: Path) -> None:
    with pytest.raises(BadSetting, match="QIONG_OBSERVER"):
        load_config(path, environment={"QIONG_OBSERVER": "maybe"})
    with pytest.raises(BadSetting, match="--log-format"):
        load_config(path, {"log.format": "xml"}, {})


@pytest.mark.parametrize("content", [None, b"", b"= 1", b"\xff", b"#" * (1 << 20 | 1)])
def test_a_missing_or_broken_file_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "qiong.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(BadSetting):
        load_config(path, environment={})


def test_addresses() -> None:
    assert parse_address("node.example:80") == ("node.example", 80)
    for bad in ("", ":80", "host", "host:", "host:x", "host:-1", "host:٣", None, 80):
        with pytest.raises(ValueError, match="expected"):
            parse_address(bad)


def test_a_postgresql_index_needs_the_file_that_names_its_database(path: Path) -> None:
    assert load_config(path, environment={}).index_database == "sqlite"
    environment = {"QIONG_INDEX_DATABASE": "postgresql"}
    with pytest.raises(BadSetting) as refused:
        load_config(path, environment=environment)
    assert refused.value.name == "index.connection_file"
    assert load_config(path, {"index.enabled": "false"}, environment).index_enabled is False
    environment["QIONG_INDEX_CONNECTION_FILE"] = "index.uri"
    assert load_config(path, environment=environment).index_connection_file == (
        path.parent / "index.uri"
    )
    environment["QIONG_INDEX_CONNECTION_FILE"] = "/run/secrets/index.uri"
    config = load_config(path, environment=environment)
    assert config.index_connection_file == Path("/run/secrets/index.uri")
    with pytest.raises(BadSetting, match="sqlite or postgresql"):
        load_config(path, {"index.database": "oracle"}, environment)
