"""Runs a corpus of contracts and prints one verdict a contract, as JSON.

Standard library and the dialect only: the tests run it under every interpreter they find, with
`python -S`, and compare what it prints. A corpus is a text of contracts, each under a line
`### name: expected`. Each is called as `main(3)` with 300,000 gas, or GAS. With FRAMES each is run
that deep in the stack: the depth of a caller must never become part of a verdict.

usage: verdicts.py ROOT CORPUS... [GAS FRAMES]
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any


def read_corpus(text: str) -> dict[str, tuple[str, str]]:
    """Name -> (expected verdict, source). `\\N` in a name's sources stands for itself."""
    contracts = {}
    for part in text.split("\n### ")[1:]:
        head, _, source = part.partition("\n")
        name, _, expected = head.partition(": ")
        assert name not in contracts, name
        contracts[name] = (expected.strip(), source)
    return contracts


def plain_host() -> dict[str, Any]:
    """Host functions over one dict, with fixed answers."""
    state: dict[str, Any] = {}
    return {
        "get": state.get,
        "put": state.__setitem__,
        "delete": lambda key: state.pop(key, None) and None,
        "keys": lambda prefix, limit: sorted(k for k in state if k.startswith(prefix))[:limit],
        "emit": lambda name, data: None,
        "sender": lambda: "key",
        "signers": lambda: ["key"],
        "organisation": lambda: "91460000MA5T0000XX",
        "has_role": lambda role: False,
        "now": lambda: 1_800_000_000_000,
        "height": lambda: 7,
        "call": lambda contract, method, args: None,
        "sha256": lambda data: bytes(32),
        "uscc_valid": lambda text: True,
        "mod_37_36_valid": lambda text: True,
        "licence_id_valid": lambda text: True,
        "date_valid": lambda text: True,
        "date": lambda ms: "2027-01-15",
    }


def verdict(source: str, gas: int = 300_000) -> list[Any]:
    """[status, code, gas, result] of `main(3)`."""
    from contracts.dialect import (
        CompileRefused,
        Meter,
        UnknownMethod,
        Verdict,
        compile_source,
        instantiate,
    )

    try:
        compiled = compile_source(source)
    except CompileRefused:
        return ["rejected", "compile_refused", 0, None]
    meter = Meter(gas)
    instance = instantiate(compiled, plain_host(), meter)
    try:
        result = instance.invoke("main", [3])
    except UnknownMethod:
        return ["rejected", "unknown_method", 0, None]
    except Verdict as end:
        return [end.status, end.code, meter.used, None]
    return ["ok", "", meter.used, repr(result)]


def verdict_below(frames: int, source: str, gas: int) -> list[Any]:
    """`verdict(source, gas)` under as many more frames."""
    return verdict_below(frames - 1, source, gas) if frames else verdict(source, gas)


def main() -> None:
    root, *corpora = sys.argv[1:]
    frames = int(corpora.pop()) if corpora[-1].isdigit() else 0
    gas = int(corpora.pop()) if corpora[-1].isdigit() else 300_000
    sys.path.insert(0, root)
    found = {}
    for corpus in corpora:
        contracts = read_corpus(Path(corpus).read_bytes().decode("utf-8"))
        for name, (_, source) in contracts.items():
            found[name] = verdict_below(frames, source, gas)
    print(json.dumps(found, indent=1))  # noqa: T201 (this is what a script is for)


if __name__ == "__main__":
    main()
