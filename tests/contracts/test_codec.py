"""The worker's codec is `ledger.canonical` again: same bytes, same values, same refusals."""

import ast
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.worker import codec
from ledger import canonical

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "canonical.json").read_text())

scalars = (
    st.none()
    | st.booleans()
    | st.integers(codec.INTEGER_MIN, codec.INTEGER_MAX)
    | st.sampled_from([2**n + d for n in (5, 7, 8, 15, 16, 31, 32, 62) for d in (-1, 0, 1)])
    | st.sampled_from([-(2**n) + d for n in (5, 7, 8, 15, 16, 31, 32, 62) for d in (-1, 0, 1)])
    | st.text(max_size=40)
    | st.binary(max_size=40)
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=40,
)


@given(values)
def test_encodes_as_the_ledger_does(value: canonical.Value) -> None:
    data = canonical.encode(value)
    assert codec.encode(value) == data
    assert codec.decode(data) == canonical.decode(data)


@pytest.mark.parametrize("size", [0, 15, 16, 31, 32, 255, 256, 65535, 65536, 70000])
@pytest.mark.parametrize("make", [lambda n: "x" * n, lambda n: b"x" * n, lambda n: [None] * n])
def test_every_length_form(size: int, make: object) -> None:
    value = make(size)  # type: ignore[operator]
    data = canonical.encode(value)
    assert codec.encode(value) == data
    assert codec.decode(data) == value


def test_maps_of_every_length_form() -> None:
    for size in (0, 15, 16, 70_000):
        value = {str(i): i for i in range(size)}
        assert codec.encode(value) == canonical.encode(value)
        assert codec.decode(codec.encode(value)) == value


def refusal(decode: object, data: bytes) -> bool:
    try:
        decode(data)  # type: ignore[operator]
    except (codec.DecodingError, canonical.DecodingError):
        return True
    return False


@given(st.binary(max_size=24))
def test_refuses_the_same_bytes(data: bytes) -> None:
    assert refusal(codec.decode, data) == refusal(canonical.decode, data)


@given(values, st.data())
def test_refuses_the_same_damage(value: canonical.Value, data: st.DataObject) -> None:
    good = canonical.encode(value)
    at = data.draw(st.integers(0, len(good) - 1))
    bad = good[:at] + bytes([data.draw(st.integers(0, 255))]) + good[at + 1 :]
    cut = good[:at]
    for each in (bad, cut, good + b"\xc0"):
        assert refusal(codec.decode, each) == refusal(canonical.decode, each), each.hex()


def nested(depth: int, inner: object = None) -> object:
    for _ in range(depth):
        inner = [inner]
    return inner


def test_depth_is_bounded_alike() -> None:
    data = codec.encode(nested(codec.DEPTH_MAX))
    assert data == canonical.encode(nested(codec.DEPTH_MAX))  # type: ignore[arg-type]
    assert codec.decode(data) == nested(codec.DEPTH_MAX)
    with pytest.raises(codec.EncodingError):
        codec.encode(nested(codec.DEPTH_MAX + 1))
    deeper = b"\x91" + data
    assert refusal(codec.decode, deeper)
    assert refusal(canonical.decode, deeper)
    assert refusal(codec.decode, b"\x91" * 100_000)


@pytest.mark.parametrize(
    "value", [1.0, {1}, {1: 2}, object(), 2**63, -(2**63) - 1, "\ud800", {"\udfff": 1}]
)
def test_values_without_a_form_are_refused(value: object) -> None:
    with pytest.raises(codec.EncodingError):
        codec.encode(value)
    with pytest.raises(canonical.EncodingError):
        canonical.encode(value)  # type: ignore[arg-type]


def test_size_is_bounded_before_the_bytes_are_made() -> None:
    bomb: object = "x" * 1000
    for _ in range(30):
        bomb = [bomb, bomb]
    with pytest.raises(codec.TooLarge):
        codec.encode(bomb, 65_536)
    assert codec.encode("x" * 100, 102)
    with pytest.raises(codec.TooLarge):
        codec.encode("x" * 100, 101)


def test_encoded_values_are_put_in_place() -> None:
    inner = {"a": [1, None]}
    done = codec.Encoded(codec.encode(inner))
    assert codec.encode([1, done, {"k": done}]) == codec.encode([1, inner, {"k": inner}])


@pytest.mark.parametrize("vector", VECTORS["valid"], ids=lambda vector: vector["name"])
def test_golden_vectors(vector: dict[str, str]) -> None:
    value = ast.literal_eval(vector["python"])
    data = bytes.fromhex(vector["hex"])
    assert codec.encode(value) == data
    assert codec.decode(data) == value


@pytest.mark.parametrize("vector", VECTORS["invalid"], ids=lambda vector: vector["name"])
def test_golden_refusals(vector: dict[str, str]) -> None:
    with pytest.raises(codec.DecodingError):
        codec.decode(bytes.fromhex(vector["hex"]))
