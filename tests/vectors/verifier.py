"""A second verifier of `.qproof` files, written from `docs/proof-format.md` alone.

It imports nothing of ours, so it fails where that page leaves something out or says it otherwise
than `ledger.proofs` does it. It is as short as can be and explains nothing: a refusal is `Refused`.
"""

from __future__ import annotations

from datetime import date, timedelta
from hashlib import sha256
from itertools import pairwise
from typing import Any, NoReturn

import msgpack
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

STATUSES = {"ok", "rejected", "out_of_gas", "limit", "reverted", "error"}
RANKS = [1, 5, 4, 8, 6, 3, 7, 0]
NOTHING = bytes(32)
ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
HEADER = [
    "chain_id",
    "epoch",
    "n",
    "parent",
    "d",
    "time_ms",
    "tx_count",
    "tx_root",
    "receipts_root",
    "state_root",
    "history_root",
    "validators_hash",
    "next_validators_hash",
    "params_hash",
]
NUMBERS = {"epoch", "n", "time_ms", "tx_count"}
CODES = {"invalid": 1, "untrusted": 5, "stale": 4, "failed": 8, "absent": 6, "revoked": 3}
CODES |= {"suspended": 3, "expired": 7, "valid": 0}


class Refused(Exception):
    """With "invalid" or "untrusted"."""


def need(fact: object, verdict: str = "invalid") -> None:
    if not fact:
        raise Refused(verdict)


def H(*parts: bytes) -> bytes:
    return sha256(b"".join(parts)).digest()


# --- bytes ---------------------------------------------------------------------------------------


def encode(value: Any) -> bytes:
    data: bytes = msgpack.packb(value, use_bin_type=True)
    return data


def decode(data: bytes) -> Any:
    def fail(*_: object) -> NoReturn:
        raise Refused("invalid")

    def ascending(pairs: list[tuple[Any, Any]]) -> dict[str, Any]:
        names = [name.encode() if type(name) is str else fail() for name, _ in pairs]
        need(all(a < b for a, b in pairwise(names)))
        return dict(pairs)

    def plain(value: Any, depth: int) -> None:
        need(type(value) is not float and not isinstance(value, msgpack.Timestamp))
        need(type(value) is not int or -(2**63) <= value < 2**63)
        if isinstance(value, list | dict):
            need(depth > 0)
            for item in value.values() if isinstance(value, dict) else value:
                plain(item, depth - 1)

    try:
        value = msgpack.unpackb(
            data, object_pairs_hook=ascending, ext_hook=fail, strict_map_key=False
        )
        plain(value, 32)
        need(encode(value) == data)
    except (ValueError, TypeError, RecursionError, msgpack.UnpackException):
        fail()
    return value


def array(value: Any, *sizes: int) -> list[Any]:
    need(type(value) is list and (not sizes or len(value) in sizes))
    rows: list[Any] = value
    return rows


def blob(value: Any, size: int | None = None, most: int = 4 << 20) -> bytes:
    need(type(value) is bytes and (size is None or len(value) == size) and len(value) <= most)
    data: bytes = value
    return data


def number(value: Any, most: int = 2**53 - 1) -> int:
    need(type(value) is int and 0 <= value <= most)
    found: int = value
    return found


def name(value: Any, most: int = 128, least: int = 1) -> str:
    need(type(value) is str and least <= len(value.encode()) <= most)
    text: str = value
    return text


def path_of(value: Any, most: int = 63) -> list[bytes]:
    data = blob(value, most=most * 32)
    need(len(data) % 32 == 0)
    return [data[i : i + 32] for i in range(0, len(data), 32)]


class Header:
    def __init__(self, data: Any) -> None:
        self.bytes = blob(data)
        self.hash = H(b"qiong/header/1\0", self.bytes)
        row = array(decode(self.bytes), len(HEADER))
        self.of = dict(zip(HEADER, row, strict=True))
        for field, value in self.of.items():
            number(value) if field in NUMBERS else blob(value, 32)
        need(self.of["tx_count"] <= 10_000)

    def __getattr__(self, field: str) -> Any:
        return self.of[field]


def unwrapped(data: bytes) -> bytes:
    """The bytes of a file, or of its text."""
    if not data.startswith(b"QIONG1:"):
        return data
    text, found = data.decode("ascii", "replace").rstrip("\r\n")[7:], b""
    need(all(character in ALPHABET for character in text))
    for i in range(0, len(text), 3):
        digits = [ALPHABET.index(character) for character in text[i : i + 3]]
        value = sum(digit * 45**place for place, digit in enumerate(digits))
        need(len(digits) > 1 and value < 256 ** (len(digits) - 1))
        found += value.to_bytes(len(digits) - 1, "big")
    return found


# --- trees ---------------------------------------------------------------------------------------


def included(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """RFC 9162, 2.1.3.2."""
    need(index < size)
    fn, sn, r = index, size - 1, H(b"\0", leaf)
    for p in path:
        need(sn)
        if fn & 1 or fn == sn:
            r = H(b"\1", p, r)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            r = H(b"\1", r, p)
        fn, sn = fn >> 1, sn >> 1
    need(sn == 0)
    return r


def consistent(first: int, second: int, old: bytes, new: bytes, path: list[bytes]) -> bool:
    """RFC 9162, 2.1.4.2."""
    if not path:
        return False
    if first & (first - 1) == 0:
        path = [old, *path]
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    fr = sr = path[0]
    for c in path[1:]:
        if sn == 0:
            return False
        if fn & 1 or fn == sn:
            fr, sr = H(b"\1", c, fr), H(b"\1", c, sr)
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        else:
            sr = H(b"\1", sr, c)
        fn, sn = fn >> 1, sn >> 1
    return (fr, sr, sn) == (old, new, 0)


def bit(key: bytes, depth: int) -> int:
    return key[depth // 8] >> (7 - depth % 8) & 1


def same_bits(a: bytes, b: bytes, count: int) -> bool:
    return all(bit(a, depth) == bit(b, depth) for depth in range(count))


def key_hash(contract: str, key: str) -> bytes:
    return H(b"qiong/state-key/1\0", encode([contract, key]))


def state_leaf(key: bytes, value_hash: bytes) -> bytes:
    return H(b"\0", key, value_hash)


def node(left: bytes, right: bytes) -> bytes:
    return NOTHING if left == right == NOTHING else H(b"\1", left, right)


def state_root(key: bytes, value: bytes | None, row: list[Any]) -> bytes:
    array(row, 2, 4)
    bitmap, siblings = blob(row[0], most=32), path_of(row[1], 256)
    need(not bitmap.endswith(b"\0") and NOTHING not in siblings)
    levels = [d for d in range(8 * len(bitmap)) if bitmap[d // 8] >> (7 - d % 8) & 1]
    need(len(levels) == len(siblings))
    at = dict(zip(levels, siblings, strict=True))
    lowest = levels[-1] + 1 if levels else 0
    depth = max(16, lowest)
    if value is not None:
        need(len(row) == 2)
        computed = state_leaf(key, H(value))
    elif len(row) == 2:
        depth, computed = lowest, NOTHING
    else:
        other, other_value = blob(row[2], 32), blob(row[3], 32)
        need(other != key and same_bits(other, key, depth))
        computed = state_leaf(other, other_value)
    for d in reversed(range(depth)):
        sibling = at.get(d, NOTHING)
        computed = node(sibling, computed) if bit(key, d) else node(computed, sibling)
    return computed


def many_root(keys: list[tuple[bytes, bytes | None]], row: Any) -> bytes:
    shape, hashes = array(row, 2)
    marks, rest = list(blob(shape, most=25_700)), path_of(hashes, 25_800)

    def take(items: list[Any]) -> Any:
        need(items)
        return items.pop(0)

    def subtree(depth: int, keys: list[tuple[bytes, bytes | None]]) -> bytes:
        mark, valued = take(marks), [(key, value) for key, value in keys if value is not None]
        need(mark in (0, 1, 2, 3))
        if mark == 0:
            need(not valued)
            return NOTHING
        if mark == 1:
            need(depth >= 16 and len(valued) < 2)
            for key, value in valued:
                return state_leaf(key, H(value))
            other, value_hash = take(rest), take(rest)
            need(all(key != other for key, _ in keys) and same_bits(other, keys[0][0], depth))
            return state_leaf(other, value_hash)
        need(depth < 256)
        sides = [[pair for pair in keys if bit(pair[0], depth) == side] for side in (0, 1)]
        need(mark == 2 or not all(sides))
        children = []
        for side in sides:
            if not side and mark == 2:
                children.append(take(rest))
                need(children[-1] != NOTHING)
            else:
                children.append(subtree(depth + 1, side) if side else NOTHING)
        need(children != [NOTHING, NOTHING])
        return H(b"\1", *children)

    need(all(a[0] < b[0] for a, b in pairwise(keys)))
    root = subtree(0, keys)
    need(not marks and not rest)
    return root


# --- checks --------------------------------------------------------------------------------------


class File:
    """A file and the entries (contract, key, value) it speaks of."""

    def __init__(self, data: bytes, trust: dict[str, Any]) -> None:
        self.trust = trust
        need(len(data) <= 4 << 20)
        version, claim, header, anchor, handovers = array(decode(data), 5)
        need(type(version) is int and version == 1)
        self.entries: list[tuple[str, str, bytes | None]] = []
        self.failed, self.header = False, Header(header)
        self.child: Header | None = None
        self.seen = [self.header]
        self.check_claim(array(claim))
        certified, signatures = self.check_anchor(array(anchor))
        self.check_signers(certified, signatures, array(handovers))

    def check_claim(self, claim: list[Any]) -> None:
        header, kind = self.header, number(claim[0] if claim else None)
        need(len(claim) == {1: 5, 2: 5, 3: 1, 4: 3, 5: 4}.get(kind))
        if kind == 1:
            contract, key, value = self.entry(claim[1:4])
            need(state_root(key_hash(contract, key), value, claim[4]) == header.state_root)
        elif kind == 4:
            need(1 <= len(array(claim[1])) <= 100)
            entries = [self.entry(array(row, 3)) for row in claim[1]]
            keys = [(key_hash(contract, key), value) for contract, key, value in entries]
            need(many_root(keys, claim[2]) == header.state_root)
        elif kind == 5:
            earlier, path, history = Header(claim[1]), path_of(claim[2]), path_of(claim[3])
            if earlier.bytes == header.bytes:
                need(not path and not history)
                return
            self.seen.append(earlier)
            need(included(earlier.hash, earlier.n, header.n, path) == header.history_root)
            need(earlier.chain_id == header.chain_id)
            roots = (earlier.history_root, header.history_root)
            if earlier.n:
                need(consistent(earlier.n, header.n, *roots, history))
            else:
                need(roots[0] == H() and not history)
        elif kind == 2:
            self.check_transaction(claim)

    def entry(self, row: list[Any]) -> tuple[str, str, bytes | None]:
        value = None if row[2] is None else blob(row[2])
        if value is not None:
            decode(value)
        self.entries.append((name(row[0]), name(row[1], 4096), value))
        return self.entries[-1]

    def check_transaction(self, claim: list[Any]) -> None:
        header, raw = self.header, blob(claim[1])
        tx_id, index, status, code, gas, calls_root, events_root = array(decode(raw), 7)
        for digest in (tx_id, calls_root, events_root):
            blob(digest, 32)
        self.check_outcome(status, code, gas)
        paths, size = [path_of(claim[2]), path_of(claim[3])], header.tx_count
        need(included(tx_id, number(index), size, paths[0]) == header.tx_root)
        need(included(raw, index, size, paths[1]) == header.receipts_root)
        if claim[4] is None:
            return
        outcome, sides, path = array(claim[4], 3)
        call_index, status, code, gas, _ = array(decode(blob(outcome)), 5)
        number(call_index)
        self.check_outcome(status, code, gas)
        path = path_of(path)
        number(sides, 2 ** len(path) - 1)
        computed = H(b"\0", outcome)
        for i, sibling in enumerate(path):
            left = sides >> i & 1
            computed = H(b"\1", sibling, computed) if left else H(b"\1", computed, sibling)
        need(computed == calls_root)

    def check_outcome(self, status: Any, code: Any, gas: Any) -> None:
        need(status in STATUSES)
        name(code, 64, 0)
        number(gas)
        self.failed = self.failed or status != "ok"

    def check_anchor(self, anchor: list[Any]) -> tuple[Header, Any]:
        header, trust = self.header, self.trust
        for depth in range(3):
            kind = number(anchor[0] if anchor else None)
            need(len(anchor) == {0: 1, 1: 2, 2: 4, 3: 3}.get(kind))
            if kind < 2:
                break
            above = Header(anchor[1])
            need(above.chain_id == header.chain_id)
            if kind == 3:
                need((above.parent, above.n) == (header.hash, header.n + 1))
                need(above.time_ms > header.time_ms)
                self.child = above if depth == 0 else self.child
            else:
                history = included(header.hash, header.n, above.n, path_of(anchor[2]))
                need(history == above.history_root)
            header, anchor = above, array(anchor[-1])
            self.seen.append(header)
        need(kind < 2)
        need(header.chain_id.hex() == trust["chain_id"], "untrusted")
        for each in self.seen:
            need(each.n != trust["height"] or each.hash.hex() == trust["header_hash"])
        return header, anchor[1] if kind else None

    def check_signers(self, certified: Header, signatures: Any, handovers: list[Any]) -> None:
        trust = self.trust
        validators = [[v["organisation"], bytes.fromhex(v["key"])] for v in trust["validators"]]
        epoch, height = trust["epoch"], trust["height"]
        need(len(handovers) <= 512)
        if signatures is None:
            need(not handovers)
            need(certified.hash.hex() == trust["header_hash"], "untrusted")
            return
        for row in handovers:
            last, signed, following = array(row, 3)
            last = Header(last)
            rising = last.epoch == epoch and last.n >= height
            need(rising and last.chain_id.hex() == trust["chain_id"], "untrusted")
            self.check_quorum(last, signed, validators)
            check_validators(following)
            need(last.next_validators_hash == validators_hash(following))
            need(last.next_validators_hash != last.validators_hash)
            validators, epoch, height = following, epoch + 1, last.n + 1
        need(certified.epoch == epoch, "untrusted")
        need(not handovers or certified.n >= height)
        self.check_quorum(certified, signatures, validators)

    def check_quorum(self, header: Header, signatures: Any, validators: list[Any]) -> None:
        need(header.validators_hash == validators_hash(validators), "untrusted")
        n = len(validators)
        keys, names = dict(validators), [name(array(row, 2)[0]) for row in array(signatures)]
        need(len(names) == -(-(n + (n - 1) // 3 + 1) // 2))
        need(all(a < b for a, b in pairwise(names)) and set(names) <= set(keys))
        signed = [header.chain_id, header.epoch, 4, header.n, header.hash]
        for organisation, signature in signatures:
            need(blob(signature, 65)[0] == 1)
            try:
                key = VerifyKey(keys[organisation][1:])
                key.verify(b"qiong/consensus/1\0" + encode(signed), signature[1:])
            except BadSignatureError:
                raise Refused("invalid") from None
        need(header.n != self.trust["height"] or header.hash.hex() == self.trust["header_hash"])


def check_validators(validators: Any) -> None:
    need(4 <= len(array(validators)) <= 64)
    names = [name(array(row, 2)[0]) for row in validators]
    keys = {blob(key, 33) for _, key in validators}
    need(all(a < b for a, b in pairwise(names)) and len(keys) == len(names))
    need(all(key[0] == 1 for key in keys))


def validators_hash(validators: list[Any]) -> bytes:
    return H(b"qiong/validators/1\0", encode(validators))


# --- verdict -------------------------------------------------------------------------------------


def judge(
    data: bytes,
    trust: dict[str, Any],
    *,
    now_ms: int = 0,
    at_ms: int | None = None,
    max_age_ms: int | None = None,
) -> list[str]:
    """The verdict on a file; of many keys one for each."""
    try:
        file = File(unwrapped(data), trust)
        if at_ms is not None:
            need(file.child and file.header.time_ms <= at_ms < file.child.time_ms)
    except Refused as refusal:
        return [str(refusal)]
    time_ms = file.header.time_ms
    count = max(1, len(file.entries))
    if max_age_ms is not None and now_ms - time_ms > max_age_ms:
        return ["stale"] * count
    if not file.entries:
        return ["failed" if file.failed else "valid"]
    judged = time_ms if at_ms is None else at_ms
    return [judge_entry(entry, trust, judged) for entry in file.entries]


def judge_entry(entry: tuple[str, str, bytes | None], trust: dict[str, Any], judged_ms: int) -> str:
    contract, _, raw = entry
    if raw is None:
        return "absent"
    value = decode(raw)
    if contract not in trust["attestations"] or not isinstance(value, dict):
        return "valid"
    status, expires = value.get("status"), value.get("expires")
    if status in ("revoked", "suspended"):
        return str(status)
    if status == "active" and type(expires) is str and len(expires) == 10:
        try:
            over = date.fromisoformat(expires) + timedelta(days=1) - date(1970, 1, 1)
        except ValueError:
            return "valid"
        if judged_ms >= over // timedelta(milliseconds=1) - 8 * 3_600_000:
            return "expired"
    return "valid"


def worst(verdicts: list[str]) -> int:
    return min((CODES[verdict] for verdict in verdicts), key=RANKS.index)
