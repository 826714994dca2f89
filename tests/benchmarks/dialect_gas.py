"""Nanoseconds per gas of every guard at its worst input we know.

Each row runs an endless loop of one operation until 300,000 gas are gone and divides the CPU time
by the gas. A row far above the median is underpriced. Nothing is asserted: machines differ.

usage: python tests/benchmarks/dialect_gas.py
"""

from __future__ import annotations

import statistics
import sys
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from contracts.dialect import HOST_FUNCTIONS, Meter, OutOfGas, compile_source, instantiate

GAS = 300_000
LONG = 's = "a" * 60000'
WIDE = 's = "琼" * 16000'
LIST = "x = [i * 7919 % 10007 for i in range(2000)]"
NAMES = "x = [str(i * 7919 % 10007) for i in range(2000)]"
DICT = "d = {i: i for i in range(2000)}"
PAIRS = "x = [[i % 7, str(i)] for i in range(1000)]"
DEEP = "x = [1]\ny = [1]\nfor i in range(10):\n    x = [x, x]\n    y = [y, y]"

ROWS: dict[str, tuple[str, str]] = {
    "pass": ("", "pass"),
    "name": ("", "n"),
    "assign": ("", "a = n"),
    "tuple": ("", "(n, n, n, n, n, n, n, n)"),
    "list": ("", "[n, n, n, n, n, n, n, n]"),
    "dict": ("", '{"a": n, "b": n, "c": n, "d": n}'),
    "add": ("", "n + 1"),
    "add wide": ("b = 2 ** 254", "b + b"),
    "multiply wide": ("b = 2 ** 127 + 1", "b * b"),
    "power": ("", "3 ** 160"),
    "power modulo": ("b = 2 ** 255 + 1\nc = 2 ** 129 + 1", "b % c"),
    "divide": ("b = 2 ** 255 + 1\nc = 2 ** 129 + 1", "b // c"),
    "shift": ("", "n << 250"),
    "compare": ("b = 5", "n < b"),
    "chain": ("b = 5", "1 < n < b < 9"),
    "add strings": (LONG, 's + "b"'),
    "add wide strings": (WIDE, 's + "b"'),
    "add short strings": ("", '"abc" + "def"'),
    "multiply string": ("", '"琼" * 60000'),
    "add lists": (LIST, "x + x"),
    "multiply list": ("", "[n] * 10000"),
    "equal strings": (LONG + '\nt = s + "b"\ns = s + "c"', "s == t"),
    "equal lists": (LIST + "\ny = x.copy()", "x == y"),
    "equal lists of strings": (NAMES + "\ny = x.copy()", "x == y"),
    "equal nested": (DEEP, "x == y"),
    "equal dicts": (DICT + "\ne = d.copy()", "d == e"),
    "less nested": (DEEP, "x < y"),
    "in string": (LONG, '"aab" in s'),
    "in short string": ('s = "a" * 1000', '("a" * 500 + "b") in s'),
    "in list": (LIST, "20000 in x"),
    "in list of strings": (LONG + '\nx = [s + "b"] * 1000\nt = s + "c"', "t in x"),
    "in list of lists": (PAIRS, "[8] in x"),
    "in dict": (DICT, "n in d"),
    "in dict fresh string": (LONG + '\nd = {"b": 1}', '(s + "b") in d'),
    "get item": (LIST, "x[n]"),
    "get entry": ('d = {"a": 1}', 'd["a"]'),
    "set item": (DICT, "d[n] = n"),
    "slice string": (LONG, "s[1:]"),
    "slice string backwards": (LONG, "s[::-1]"),
    "slice list": (LIST, "x[1:]"),
    "slice list backwards": (LIST, "x[::-1]"),
    "f-string": ("b = 2 ** 255", 'f"{b}{b}"'),
    "f-string long": (LONG, 'f"{s}b"'),
    "str": ("b = 2 ** 255", "str(b)"),
    "int": ('s = "1" * 77', "int(s)"),
    "upper": (LONG, "s.upper()"),
    "upper wide": (WIDE, "s.upper()"),
    "isalpha": (LONG, "s.isalpha()"),
    "isalpha wide": (WIDE, "s.isalpha()"),
    "isascii wide": (WIDE, "s.isascii()"),
    "strip": (LONG, 's.strip("b")'),
    "strip many": (LONG, 's.strip("bcdefghijklmnopa")'),
    "split": ('s = "a," * 9999', 's.split(",")'),
    "split spaces": ('s = "a " * 9999', "s.split()"),
    "split long": (LONG, 's.split("b")'),
    "rsplit": ('s = "琼," * 9999', 's.rsplit(",")'),
    "join": (NAMES, '",".join(x)'),
    "join empty": ('x = [""] * 10000', '"".join(x)'),
    "replace": ('s = "ab" * 16000', 's.replace("a", "c")'),
    "replace empty": ('s = "a" * 32000', 's.replace("", "b")'),
    "find": (LONG, 's.find("ab")'),
    "find rare": (LONG, 's.find("a" * 50 + "b")'),
    "find quadratic": ('s = "a" * 2000', 's.find("a" * 1000 + "b")'),
    "rfind quadratic": ('s = "a" * 2000', 's.rfind("b" + "a" * 1000)'),
    "count": (LONG, 's.count("a")'),
    "count pairs": (LONG, 's.count("aa")'),
    "startswith": (LONG, "s.startswith(s)"),
    "partition": (LONG, 's.partition("b")'),
    "zfill": ("", '"a".zfill(60000)'),
    "ljust wide": ("", '"a".ljust(60000, "琼")'),
    "encode": (LONG, "s.encode()"),
    "encode wide": (WIDE, "s.encode()"),
    "decode wide": (WIDE + "\nb = s.encode()", "b.decode()"),
    "hex": ("b = s.encode()", "b.hex()"),
    "append": ("x = []", "x.append(n)\nx.pop()"),
    "extend": (LIST, "y = []\ny.extend(x)"),
    "insert": ("x = [0] * 9000", "x.insert(0, n)\nx.pop()"),
    "pop first": ("x = [0] * 9000", "x.pop(0)\nx.append(n)"),
    "remove": ("x = [0] * 9000", "x.remove(0)\nx.append(0)"),
    "reverse": (LIST, "x.reverse()"),
    "sort": (LIST, "y = x.copy()\ny.sort()"),
    "sort strings": (NAMES, "sorted(x)"),
    "sort pairs": (PAIRS, "sorted(x)"),
    "sort sorted": ("x = list(range(5000))", "sorted(x)"),
    "sort long strings": ('x = ["a" * 5000 + str(i * 79 % 100) for i in range(100)]', "sorted(x)"),
    "keys": (DICT, "d.keys()"),
    "values": (DICT, "d.values()"),
    "items": (DICT, "d.items()"),
    "update": (DICT + "\ne = {0: 0}", "e.update(d)"),
    "copy list": (LIST, "x.copy()"),
    "copy dict": (DICT, "d.copy()"),
    "index": (LIST, "x.index(x[1999])"),
    "count items": (LIST, "x.count(5)"),
    "range": ("", "range(n)"),
    "min": (LIST, "min(x)"),
    "min two": ("b = 4", "min(n, b)"),
    "min strings": (NAMES, "min(x)"),
    "min range": ("", "min(range(2000))"),
    "sum": (LIST, "sum(x)"),
    "sum range": ("", "sum(range(2000))"),
    "any": ("x = [0] * 10000", "any(x)"),
    "all range": ("", "all(range(1, 2000))"),
    "enumerate": (LIST, "enumerate(x)"),
    "zip": (LIST, "zip(x, x, x)"),
    "list of string": ('s = "琼" * 9999', "list(s)"),
    "list of range": ("", "list(range(1000, 10000))"),
    "dict of pairs": (DICT + "\nx = d.items()", "dict(x)"),
    "comprehension": ("", "[i for i in range(1000)]"),
    "comprehension dict": ("", "{i: i for i in range(1000)}"),
    "comprehension small": ("", "[1 for i in (1,)]"),
    "loop": ("", "for i in range(1000):\n    pass"),
    "loop string": ('s = "琼" * 9999', "for c in s:\n    pass"),
    "loop dict": (DICT, "for k in d:\n    pass"),
    "call": ("", "helper(n)"),
    "get": ("", 'get("a")'),
    "put small": ("", 'put("a", n)'),
    "put dict": ("", 'put("a", {"a": "b", "c": "d", "e": 1})'),
    "put list": (LIST, 'put("a", x)'),
    "put nested": (DEEP, 'put("a", x)'),
    "put long": (LONG, 'put("a", s)'),
    "put wide": (WIDE, 'put("a", s)'),
    "emit": ("", 'emit("a", {})'),
    "now": ("", "now()"),
    "require": ("", 'require(n, "X")'),
}


def nanoseconds_per_gas(setup: str, body: str) -> float:
    """Least of three runs."""
    lines = ['s = "a"', *setup.split("\n"), "while True:"] if setup else ['s = "a"', "while True:"]
    lines += ["    " + line for line in body.split("\n")]
    text = "\n".join("    " + line for line in lines)
    source = f"def helper(n):\n    return n\n\n@call\ndef main(n: int) -> None:\n{text}\n"
    meter = Meter(GAS)
    host = dict.fromkeys(HOST_FUNCTIONS, lambda *args: None)
    instance = instantiate(compile_source(source), host, meter)
    best = float("inf")
    for _ in range(3):
        meter.reset(GAS)
        began = time.process_time()
        with suppress(OutOfGas):
            instance.invoke("main", [3])
        best = min(best, (time.process_time() - began) / GAS * 1e9)
    return best


def main() -> None:
    found = {name: nanoseconds_per_gas(*row) for name, row in ROWS.items()}
    median = statistics.median(found.values())
    lines = [
        f"{name:26} {value:7.1f} ns/gas {value / median:5.1f} x  {value * GAS / 1e6:6.1f} ms"
        for name, value in sorted(found.items(), key=lambda item: -item[1])
    ]
    sys.stdout.write("\n".join([*lines, f"{'median':26} {median:7.1f} ns/gas", ""]))


if __name__ == "__main__":
    main()
