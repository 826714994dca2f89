"""From settings to an index: what is wrong with the file, and never the password in it."""

from pathlib import Path

import pytest

from node.config import load_config, render_config
from node.home import Home
from node.index.choose import BadConnectionFile, make_index
from node.keyfile import KeyExposed

SECRET = "postgresql://u:pa55word@h/db"


def make(home: Path, content: str | None, mode: int = 0o600) -> str:
    home.joinpath("qiong.toml").write_text(
        render_config(organisation="X", api_listen="h:1", peer_listen="h:2")
    )
    file = home / "index.uri"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    flags = {"index.database": "postgresql", "index.connection_file": "index.uri"}
    config = load_config(home / "qiong.toml", flags, {})
    index = make_index(config, Home(home))
    index.close()
    return index.database


def test_a_file_with_a_connection(tmp_path: Path) -> None:
    assert make(tmp_path, SECRET + "\n") == "postgresql"


@pytest.mark.parametrize("content", ["", "host=h password=pa55word", f"{SECRET}\n{SECRET}", None])
def test_a_file_with_anything_else(tmp_path: Path, content: str | None) -> None:
    with pytest.raises(BadConnectionFile) as refused:
        make(tmp_path, content)
    assert "index.uri" in str(refused.value)
    assert "pa55" not in str(refused.value)


def test_a_file_that_others_can_read(tmp_path: Path) -> None:
    with pytest.raises(KeyExposed, match="0644"):
        make(tmp_path, SECRET, 0o644)
