"""`qiong contract run` and `lint`: the statuses that authors are promised."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli.contract import contract_group

SOURCES = {
    "good": ("    return x + 1", "ok", "", 4),
    "endless": (
        "    while True:\n        x = x + 1 - 1\n    return x",
        "out_of_gas",
        "OUT_OF_GAS",
        None,
    ),
    "import": ("    import os\n    return x", "rejected", "compile_refused", None),
    "doubled": (
        "    s = 'ab'\n    for i in range(40):\n        s = s + s\n    return len(s)",
        "limit",
        "STRING",
        None,
    ),
    "reverted": ("    require(x > 3, 'TOO_SMALL')\n    return x", "reverted", "TOO_SMALL", None),
    "fault": ("    return x // 0", "error", "ZERO_DIVISION", None),
}


def write(folder: Path, body: str) -> str:
    file = folder / "contract.py"
    file.write_text(f'"""A contract."""\n\n\n@call\ndef main(x: int) -> int:\n{body}\n')
    return str(file)


@pytest.mark.parametrize("name", SOURCES)
def test_run_says_status_code_and_result(tmp_path: Path, name: str) -> None:
    body, status, code, result = SOURCES[name]
    arguments = ["run", write(tmp_path, body), "main", "[3]", "--json"]
    answers = [
        CliRunner().invoke(contract_group, arguments, standalone_mode=False) for _ in range(2)
    ]
    documents = [json.loads(answer.stdout) for answer in answers]
    assert documents[0] == documents[1]
    assert documents[0] | {"gas": 0} == {"status": status, "code": code, "gas": 0, "result": result}
    assert answers[0].return_value == (0 if status == "ok" else 1)


def test_an_unknown_method_and_wrong_arguments_are_outcomes_not_crashes(tmp_path: Path) -> None:
    file = write(tmp_path, "    return x")
    for method, args in (("other", "[3]"), ("main", '["x"]'), ("main", "[]"), ("main", '{"y": 1}')):
        answer = CliRunner().invoke(
            contract_group, ["run", file, method, args, "--json"], standalone_mode=False
        )
        assert json.loads(answer.stdout)["status"] in ("rejected", "error")
        assert answer.return_value == 1


def test_lint_names_the_place_and_what_to_write_instead(tmp_path: Path) -> None:
    file = write(tmp_path, "    import os\n    return x")
    answer = CliRunner().invoke(contract_group, ["lint", file, "--json"], standalone_mode=False)
    (refusal,) = json.loads(answer.stdout)
    assert (refusal["line"], refusal["column"]) == (6, 5)
    assert "import" in refusal["what"]
    assert refusal["instead"]
    assert answer.return_value == 1
