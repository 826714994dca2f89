"""Roots and paths of the Merkle trees and the state tree, pinned."""

from __future__ import annotations

from ledger import canonical, merkle
from ledger.state_multiproof import Asked, merge_proofs
from ledger.state_proof import state_key_hash, state_value_hash
from ledger.state_tree import StateTree
from ledger.types import Digest
from tests.vectors.golden import check


def test_merkle() -> None:
    leaves = [bytes([n]) * n for n in range(9)]
    check(
        "merkle",
        {
            "leaves": [leaf.hex() for leaf in leaves],
            "roots": [merkle.root(leaves[:size]).hex() for size in range(len(leaves) + 1)],
            "inclusion": [
                {
                    "index": index,
                    "size": 9,
                    "path": [step.hex() for step in merkle.inclusion_path(leaves, index)],
                    "sides": merkle.path_sides(index, 9),
                }
                for index in range(9)
            ],
            "consistency": [
                {
                    "first": first,
                    "second": 9,
                    "path": [step.hex() for step in merkle.consistency_path(leaves, first)],
                }
                for first in range(1, 10)
            ],
        },
    )


def test_state_tree() -> None:
    """Entries one by one: roots, and a proof of presence and of absence after each."""
    tree = StateTree()
    steps = []
    absent = state_key_hash("licence", "licence/never")
    for number in range(40):
        key, value = f"licence/{number}", canonical.encode({"status": "active", "n": number})
        key_hash = state_key_hash("licence", key)
        tree.apply({key_hash: state_value_hash(value)})
        view = tree.view()
        steps.append(
            {
                "contract": "licence",
                "key": key,
                "key_hash": key_hash.hex(),
                "value": value.hex(),
                "root": tree.root.hex(),
                "presence": canonical.encode(view.prove(key_hash).to_value()).hex(),
                "absence_of_never": canonical.encode(view.prove(absent).to_value()).hex(),
            }
        )
    check("state_tree", steps)


def test_state_tree_with_shared_prefixes() -> None:
    """Key hashes made to share 16 to 255 bits, where subtrees of one entry collapse."""
    base = bytes.fromhex("a5" * 32)
    rows = []
    tree = StateTree()
    for shared in (255, 254, 200, 64, 33, 20, 17, 16, 15, 3, 0):
        number = int.from_bytes(base, "big") ^ 1 << (255 - shared)
        key_hash = Digest(number.to_bytes(32, "big"))
        tree.apply({key_hash: state_value_hash(b"%d" % shared)})
        absence = tree.view().prove(base)
        assert absence.root_from(base, None) == tree.root
        rows.append(
            {
                "key_hash": key_hash.hex(),
                "value_hash": state_value_hash(b"%d" % shared).hex(),
                "root": tree.root.hex(),
                "absence_of_base": canonical.encode(absence.to_value()).hex(),
            }
        )
    check("state_tree_prefixes", {"base": base.hex(), "steps": rows})


def test_many_keys_of_the_state_tree() -> None:
    """One proof of present and absent keys, among entries that share up to 255 bits."""
    base = int.from_bytes(bytes.fromhex("a5" * 32), "big")
    near = [Digest((base ^ 1 << (255 - shared)).to_bytes(32, "big")) for shared in range(256)]
    stored = {near[n]: state_value_hash(b"%d" % n) for n in (255, 254, 200, 33, 20, 16, 15, 3, 0)}
    tree = StateTree()
    tree.apply(stored)
    rows = []
    for wanted in (
        [255],
        [255, 254],
        [0, 3, 15],
        [20, 33, 34],
        [1, 2],
        [14, 100, 253],
        range(0, 256, 3),
    ):
        asked = [Asked(key, stored.get(key)) for key in sorted(near[n] for n in wanted)]
        proof = merge_proofs([(each, tree.view().prove(each.key_hash)) for each in asked])
        assert proof.root_from(asked) == tree.root
        rows.append(
            {
                "asked": [
                    [each.key_hash.hex(), each.value_hash and each.value_hash.hex()]
                    for each in asked
                ],
                "shape": proof.shape.hex(),
                "hashes": proof.hashes.hex(),
            }
        )
    check("state_multiproof", {"root": tree.root.hex(), "proofs": rows})
