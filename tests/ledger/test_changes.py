"""What a block changed, by name, and entries with the block that wrote them, as of any height."""

from ledger import canonical
from ledger.block_files import BlockFiles
from ledger.state_rows import Entry
from ledger.storage.memory import MemoryFolder, MemoryStore
from ledger.store import LedgerStore
from ledger.types import Height
from tests.ledger.ledger_world import World


def entry(key: str, written: int, value: str) -> Entry:
    return Entry(key, Height(written), canonical.encode(value))


def test_names_and_entries_of_every_height() -> None:
    world = World()
    store = LedgerStore(world.genesis, MemoryStore(), BlockFiles(MemoryFolder()))
    world.advance(store, world.put("a", "1"), world.put("b\x00", "1"))
    world.advance(store, world.put("a", "2"), world.transaction(("delete", ["b\x00"])))
    world.advance(store)
    world.advance(store, world.put("b\x00", "3"), world.put("c", "3"))

    assert set(store.changed(Height(0))) == {("kv", "founding"), ("registry", "x")}
    changed = [sorted(store.changed(Height(n))) for n in range(1, 5)]
    assert changed == [
        [("kv", "a"), ("kv", "b\x00")],
        [("kv", "a"), ("kv", "b\x00")],
        [],
        [("kv", "b\x00"), ("kv", "c")],
    ]
    first = [entry("a", 1, "1"), entry("b\x00", 1, "1")]
    later = [entry("a", 2, "2"), entry("b\x00", 4, "3"), entry("c", 4, "3")]
    listed = {n: store.entries_at("kv", 9, Height(n), after=None) for n in range(1, 5)}
    plain = {n: [item for item in items if item.key != "founding"] for n, items in listed.items()}
    assert plain == {1: first, 2: later[:1], 3: later[:1], 4: later}
    assert store.entries_at("kv", 1, Height(4), after="a") == later[1:2]
    for n, items in listed.items():
        for key in ("a", "b\x00", "c"):
            found = store.entry_at("kv", key, Height(n))
            assert found == next((item for item in items if item.key == key), None)
