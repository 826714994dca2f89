"""`contract run`: the four endings that an author meets, in the same sandbox as a validator's."""

import pytest

from contracts.local import run_source

HEAD = "@call\ndef main(n: int) -> int:\n"


@pytest.mark.parametrize(
    ("source", "status", "code"),
    [
        (HEAD + "    return n + 1\n", "ok", ""),
        (HEAD + "    while True:\n        n += 1\n    return n\n", "out_of_gas", "OUT_OF_GAS"),
        ("import os\n" + HEAD + "    return n\n", "rejected", "compile_refused"),
        (
            HEAD + "    s = 'x'\n    for i in range(40):\n        s = s + s\n    return len(s)\n",
            "limit",
            "STRING",
        ),
        (HEAD + "    require(n > 1, 'TOO_SMALL')\n    return n\n", "reverted", "TOO_SMALL"),
        (HEAD + "    return 1 // (n - 1)\n", "error", "ZERO_DIVISION"),
        ("@view\ndef main(n: int) -> int | None:\n    return get('a')\n", "ok", ""),
    ],
)
def test_every_ending(source: str, status: str, code: str) -> None:
    outcome = run_source(source, "main", [1])
    assert (outcome.status, outcome.code) == (status, code)


def test_an_unknown_method_and_wrong_arguments() -> None:
    source = HEAD + "    return n\n"
    assert run_source(source, "other", []).code == "unknown_method"
    assert run_source(source, "main", ["text"]).status == "error"
    assert run_source(source, "main", {"n": 3}).result == 3
