"""A backup proves itself: it is taken beside the writer, one wrong byte is named, and what is
restored from it has the same header and knows that it must not vote."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger.block import BlockHeader
from ledger.block_files import KIND_CERTIFICATE, KIND_DECIDED, BlockFiles, StoredBlock, split_record
from ledger.certificate import Certificate, checkpoint_bytes
from ledger.errors import QiongError
from ledger.quarantine import Quarantine, Removal
from ledger.storage.errors import StoreLocked
from ledger.storage.folder import LOCK_NAME, DiskFolder, DiskReader
from ledger.storage.leveldb import LevelDBStore
from ledger.storage.segments import SegmentLog, read_records
from ledger.store import LedgerStore
from ledger.types import Epoch, Height
from node.backup import manifest
from node.backup.create import BlocksPruned, CannotAdd, Creation, NothingCertified, StoredHeaders
from node.backup.manifest import BackupDamaged, Manifest, NoBackup
from node.backup.restore import MARKER, OtherRestore, Restoration, RestoredOther
from node.backup.verify import BackupCheck, ExtraFile
from node.config import NodeConfig
from node.home import Home, HomeExists
from node.keyfile import KeyMissing, write_private
from node.stopped import inspect
from tests.ledger.ledger_world import KEYS, ToyRunner, World

ORGANISATION = "org1"
SECRET = b"-----BEGIN ENCRYPTED PRIVATE KEY-----\n"


class Validator:
    """A home whose ledger is open, as by a node that runs."""

    def __init__(self, root: Path, *, segment_bytes: int = 1 << 20) -> None:
        self.place = Home(root)
        self.world = World()
        for folder in (self.place.keys, self.place.wal, root / "evidence"):
            folder.mkdir(parents=True)
        self.place.config.write_text(f'organisation = "{ORGANISATION}"\n')
        self.place.card.write_text("{}\n")
        (self.place.keys / "consensus.pub").write_text("00\n")
        (self.place.keys / "passphrase").write_text("secret words\n")
        for name in ("consensus.key", "tls.key"):
            write_private(self.place.keys / name, SECRET)
        (self.place.wal / "00000000000000000001.log").write_bytes(b"votes")
        (root / "evidence" / "000001-00112233445566aa.qevidence").write_bytes(b"a case")
        self.files = BlockFiles(DiskFolder(self.place.blocks), segment_bytes=segment_bytes)
        self.store = LedgerStore(self.world.genesis, LevelDBStore(self.place.ledger), self.files)

    def advance(self, blocks: int, *, certify: bool = True) -> None:
        for _ in range(blocks):
            n = self.store.executed_height + 1
            signed = [self.world.put(f"k{n % 3}", n), self.world.transaction(("emit", ["e", n]))]
            self.world.advance(self.store, *signed, certify=certify)

    def hash(self, n: int) -> str:
        return self.store.executed_header(Height(n)).hash.hex()

    def back_up(self, target: Path, *, keys: bool = False, source: Any = None) -> Manifest:
        source = source or StoredHeaders(self.store)
        with Creation(self.place, self.world.genesis, ORGANISATION, target, source) as work:
            for step in (work.scan, work.copy_headers, work.copy_blocks):
                for _ in step():
                    pass
            return work.finish(keys=keys, version="0.1", made_ms=1_790_000_000_000)


@pytest.fixture
def validator(tmp_path: Path) -> Iterator[Validator]:
    """At block 9. Every one makes the same chain."""
    made = Validator(tmp_path / "node")
    made.advance(9)
    yield made
    made.store.close()


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup to block 9 that was made in two steps."""
    root = tmp_path_factory.mktemp("sound")
    made = Validator(root / "node")
    for blocks in (6, 3):
        made.advance(blocks)
        made.back_up(root / "backup")
    made.store.close()
    return root / "backup"


@pytest.fixture
def backup(sound: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    return Path(shutil.copytree(sound, tmp_path / "backup"))


def check(folder: Path, *, strict: bool = True) -> Manifest:
    checked = BackupCheck(folder)
    assert sum(checked.files(strict=strict)) == checked.manifest.bytes
    assert list(checked.chain()) == list(range(1, checked.manifest.height + 1))
    return checked.manifest


def restore(folder: Path, home: Path, runner: ToyRunner | None = None) -> Home:
    place = Home(home)
    with Restoration(BackupCheck(folder), place) as work:
        if work.finished:
            work.forget()
        else:
            list(work.copy())
            list(work.execute(runner or ToyRunner()))
            work.finish()
    return place


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name != LOCK_NAME
    }


# Making one.


def test_it_reaches_the_newest_certified_block_and_holds_nothing_above(
    validator: Validator, tmp_path: Path
) -> None:
    validator.advance(2, certify=False)
    validator.store.append_decided(validator.world.block(12))
    made = validator.back_up(tmp_path / "backup")
    assert (made.height, made.header_hash) == (9, validator.hash(9))
    assert (made.chain_id, made.organisation, made.validator) == (
        validator.world.genesis.chain_id.hex(),
        ORGANISATION,
        ORGANISATION,
    )
    assert check(tmp_path / "backup") == made
    records = read_records(DiskReader(tmp_path / "backup" / "blocks"))
    assert max(split_record(record.payload)[1] for _, record in records) == 9
    # The certificate of block 11 covers block 10, too.
    validator.store.save_certificate(validator.world.certify(validator.store))
    assert validator.back_up(tmp_path / "backup").height == 11
    assert check(tmp_path / "backup").header_hash == validator.hash(11)


def test_neither_votes_nor_pass_phrases_nor_keys_are_in_it(
    validator: Validator, tmp_path: Path
) -> None:
    plain, with_keys = tmp_path / "plain", tmp_path / "keys"
    assert not validator.back_up(plain).has_keys
    assert validator.back_up(with_keys, keys=True).has_keys
    for folder in (plain, with_keys):
        check(folder)
        everything = b"".join(contents(folder).values())
        assert b"secret words" not in everything
        assert b"votes" not in everything
        assert (SECRET.decode().strip().encode() in everything) == (folder == with_keys)
        assert {path.stat().st_mode & 0o077 for path in folder.rglob("*")} == {0}
    assert (plain / "evidence" / "000001-00112233445566aa.qevidence").read_bytes() == b"a case"
    (validator.place.keys / "tls.key").unlink()
    with pytest.raises(KeyMissing):
        validator.back_up(with_keys, keys=True)
    check(with_keys)


def test_adding_changes_no_file(validator: Validator, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    validator.back_up(target)
    before = contents(target)
    validator.advance(4)
    made = validator.back_up(target)
    after = contents(target)
    assert made.height == 13
    assert {name for name in before if after[name] != before[name]} == {"manifest.json"}
    assert {name.split("/")[0] for name in after.keys() - before.keys()} == {"blocks", "headers"}
    assert check(target) == made
    # Nothing new but a setting.
    validator.place.config.write_text(f'organisation = "{ORGANISATION}"\n[log]\n')
    again = validator.back_up(target)
    assert contents(target).keys() == after.keys()
    assert again.settings != made.settings
    assert replace(again, settings=made.settings) == made
    check(target)


@settings(max_examples=5)
@given(steps=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 2)), min_size=1, max_size=4))
def test_added_to_at_any_moments_it_is_the_chain(steps: list[tuple[int, int]]) -> None:
    """Each step: blocks with a certificate, then some without, then a backup."""
    with TemporaryDirectory() as scratch:
        validator = Validator(Path(scratch) / "node")
        validator.advance(1)
        for certified, others in steps:
            validator.advance(certified)
            highest = validator.store.certified_height
            validator.advance(others, certify=False)
            made = validator.back_up(Path(scratch) / "backup")
            assert made.height == highest
            assert check(Path(scratch) / "backup").header_hash == validator.hash(highest)
        place = restore(Path(scratch) / "backup", Path(scratch) / "new")
        again = LedgerStore.open(place.root, validator.world.genesis)
        assert again.head.hash.hex() == validator.hash(highest)
        again.close()
        validator.store.close()


def test_a_quarantine_comes_along(validator: Validator, tmp_path: Path) -> None:
    world, store = validator.world, validator.store
    block = world.block(10, [world.put("poison", 1), world.put("good", 1)])
    removal = Removal(Epoch(0), Height(10), block.d, block.transactions[0].id)
    signed = removal.signed_bytes(world.genesis.chain_id)
    signatures = tuple((name, KEYS[name].sign(signed)) for name in sorted(KEYS)[:3])
    store.append_decided(block)
    store.promise(removal.n, removal.tx_id)
    store.quarantine(removal.n, removal.tx_id, Quarantine(removal, signatures).encode())
    world.apply(store, block)
    validator.advance(1)
    made = validator.back_up(tmp_path / "backup")
    assert check(tmp_path / "backup").height == 11
    place = restore(tmp_path / "backup", tmp_path / "new")
    again = LedgerStore.open(place.root, world.genesis)
    assert again.head.hash.hex() == made.header_hash
    assert again.quarantined(removal.n).keys() == {removal.tx_id}
    again.close()


def test_what_a_broken_off_create_left_is_removed_by_the_next(
    validator: Validator, backup: Path
) -> None:
    former = check(backup)
    validator.advance(3)
    for steps in (("scan", "copy_headers"), ("scan", "copy_headers", "copy_blocks")):
        genesis, source = validator.world.genesis, StoredHeaders(validator.store)
        with Creation(validator.place, genesis, ORGANISATION, backup, source) as work:
            for step in steps:
                list(getattr(work, step)())
        (backup / "manifest.json.unfinished").write_bytes(b"half")
        assert check(backup, strict=False) == former
        with pytest.raises(ExtraFile):
            check(backup)
    assert validator.back_up(backup).height == former.height + 3
    made = check(backup)
    # The very first one, just before its manifest.
    (backup / manifest.MANIFEST).unlink()
    assert validator.back_up(backup).height == made.height
    check(backup)


def test_what_is_refused(validator: Validator, backup: Path, tmp_path: Path) -> None:
    """And then nothing is changed."""
    before = contents(backup)
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("mine")
    with pytest.raises(CannotAdd, match=r"a\.txt is no part of a backup"):
        validator.back_up(tmp_path / "letters")
    assert contents(tmp_path / "letters") == {"a.txt": b"mine"}
    young = Validator(tmp_path / "young")
    with pytest.raises(NothingCertified):
        young.back_up(tmp_path / "nothing")
    young.advance(4)
    with pytest.raises(CannotAdd, match="it reaches block 9, and this node has certified block 4"):
        young.back_up(backup)
    young.world.nonce += 1  # another history from here on
    young.advance(6)
    with pytest.raises(CannotAdd, match="block 9 there is another than this node's"):
        young.back_up(backup)
    young.store.close()
    with (
        pytest.raises(CannotAdd, match="it is of organisation org1, this node of org2"),
        Creation(
            validator.place,
            validator.world.genesis,
            "org2",
            backup,
            StoredHeaders(validator.store),
        ),
    ):
        pass
    assert contents(backup) == before


def test_a_pruned_node_can_add_and_not_begin(tmp_path: Path) -> None:
    validator = Validator(tmp_path / "node", segment_bytes=2_000)
    validator.advance(8)
    validator.back_up(tmp_path / "early")
    validator.advance(8)
    validator.files.drop_before(Height(7))
    first = validator.store.first_kept_height
    assert 1 < first <= 7
    with pytest.raises(BlocksPruned, match=f"block 1 is needed next, .* from {first} on"):
        validator.back_up(tmp_path / "late")
    assert validator.back_up(tmp_path / "early").height == 16
    check(tmp_path / "early")
    validator.advance(20)
    validator.files.drop_before(Height(30))
    with pytest.raises(BlocksPruned, match="block 17 is needed next"):
        validator.back_up(tmp_path / "early")
    check(tmp_path / "early", strict=False)
    validator.store.close()


class Liar(StoredHeaders):
    """Another node that is asked for headers."""

    def __init__(self, store: LedgerStore, change: dict[str, Any]) -> None:
        super().__init__(store)
        self._change = change

    def headers(self, first: Height, last: Height) -> Iterator[bytes]:
        for data in super().headers(first, last):
            header = BlockHeader.decode(data)
            yield replace(header, **self._change).encode() if header.n == 4 else data


@pytest.mark.parametrize("change", [{"d": bytes(32)}, {"state_root": bytes(32)}, {"n": 5}])
def test_headers_are_believed_by_their_hashes_alone(
    validator: Validator, tmp_path: Path, change: dict[str, Any]
) -> None:
    with pytest.raises(BackupDamaged):
        validator.back_up(tmp_path / "backup", source=Liar(validator.store, change))
    with pytest.raises(NoBackup):
        check(tmp_path / "backup")


def test_damage_of_the_node_is_found_when_it_is_backed_up(
    validator: Validator, tmp_path: Path
) -> None:
    [segment] = validator.place.blocks.glob("*.log")
    whole = segment.read_bytes()
    for position in range(30, len(whole), 499):
        segment.write_bytes(flipped(whole, position))
        with pytest.raises(QiongError):
            validator.back_up(tmp_path / "backup")
    segment.write_bytes(whole)
    validator.back_up(tmp_path / "backup")
    check(tmp_path / "backup")


# Checking one.


def flipped(data: bytes, position: int) -> bytes:
    return data[:position] + bytes([data[position] ^ 0x10]) + data[position + 1 :]


def test_one_wrong_byte_anywhere_is_named(backup: Path) -> None:
    random = Random(7)
    for name, data in contents(backup).items():
        path = backup / name
        places = {0, len(data) - 1, *random.sample(range(len(data)), min(len(data), 12))}
        for spoilt in (*(flipped(data, place) for place in places), data[:-1], data + b"\x00"):
            path.write_bytes(spoilt)
            with pytest.raises(BackupDamaged) as found:
                check(backup)
            assert found.value.where == name
        path.unlink()
        with pytest.raises((BackupDamaged, NoBackup), match=name):
            check(backup)
        path.write_bytes(data)
    (backup / "blocks" / "note").write_bytes(b"")
    with pytest.raises(ExtraFile, match="blocks/note: belongs to no backup"):
        check(backup)
    (backup / "blocks" / "note").unlink()
    (backup / "blocks" / LOCK_NAME).write_bytes(b"x")
    with pytest.raises(ExtraFile):
        check(backup)
    (backup / "blocks" / LOCK_NAME).write_bytes(b"")
    check(backup)


def test_two_at_once_are_refused(validator: Validator, backup: Path) -> None:
    source = StoredHeaders(validator.store)
    with (
        Creation(validator.place, validator.world.genesis, ORGANISATION, backup, source),
        pytest.raises(StoreLocked),
    ):
        validator.back_up(backup)
    validator.back_up(backup)


def rewritten(folder: Path, part: str, change: Any) -> None:
    """Change records of a backup and make all that is no signature agree with that."""
    target = folder / part
    payloads = [record.payload for _, record in read_records(DiskReader(target))]
    shutil.rmtree(target)
    log = SegmentLog(DiskFolder(target))
    log.append([change(payload) for payload in payloads])
    log.sync()
    log.close()
    stated = manifest.load(folder)
    names = manifest.unlisted(folder, ())
    files = tuple(manifest.measured(folder, n) for n in names)
    agreed = replace(stated, files=files)
    (folder / manifest.MANIFEST).write_text(agreed.encode())


def test_another_block_needs_the_signatures_of_a_quorum(validator: Validator, backup: Path) -> None:
    """First with hashes of files that agree, then with a header that names it."""
    other = validator.world.block(5, [validator.world.put("forged", 1)])
    assert other.body is not None
    raw = tuple(signed.raw for signed in other.transactions)
    stored = StoredBlock(Height(5), other.d, other.body.encode(), raw)

    def forge(payload: bytes) -> bytes:
        kind, n, _ = split_record(payload)
        return payload[:9] + stored.encode() if (kind, n) == (KIND_DECIDED, 5) else payload

    rewritten(backup, "blocks", forge)
    with pytest.raises(BackupDamaged, match="block 5: the header names another block"):
        check(backup)

    headers: list[BlockHeader] = []

    def follow(payload: bytes) -> bytes:
        header = BlockHeader.decode(payload)
        if header.n == 5:
            header = replace(header, d=other.d)
        if header.n > 5:
            header = replace(header, parent=headers[-1].hash)
        headers.append(header)
        return header.encode()

    rewritten(backup, "headers", follow)
    with pytest.raises(BackupDamaged, match="block 5: the certificate is of another header"):
        check(backup)

    def certify(payload: bytes) -> bytes:
        """By one validator, three times."""
        kind, n, content = split_record(payload)
        if kind != KIND_CERTIFICATE or n < 5:
            return payload
        certificate = Certificate.decode(content)
        digest = headers[n].hash
        message = checkpoint_bytes(validator.world.genesis.chain_id, Epoch(0), n, digest)
        signature = KEYS["org0"].sign(message)
        signatures = tuple((name, signature) for name, _ in certificate.signatures)
        return payload[:9] + Certificate(Epoch(0), n, digest, signatures).encode()

    rewritten(backup, "blocks", certify)
    with pytest.raises(BackupDamaged, match="block 5: certificate: the signature of org1"):
        check(backup)


@pytest.mark.parametrize(
    "change",
    [
        {"height": 8},
        {"header_hash": "00" * 32},
        {"certificate": "00"},
        {"time_ms": 5},
        {"chain_id": "00" * 32},
        {"validator": "somebody"},
        {"organisation": "org2"},
    ],
)
def test_a_manifest_that_says_something_else(backup: Path, change: dict[str, Any]) -> None:
    stated = replace(manifest.load(backup), **change)
    (backup / manifest.MANIFEST).write_text(stated.encode())
    with pytest.raises(BackupDamaged, match=r"manifest\.json"):
        check(backup)


@pytest.mark.parametrize("path", ["../escape", "/etc/passwd", "blocks/../x", "blocks/1.log", ""])
def test_no_path_leads_out_of_the_folder(backup: Path, path: str) -> None:
    stated = manifest.load(backup)
    files = (*stated.files, replace(stated.files[0], path=path))
    with pytest.raises(BackupDamaged, match="no file of a backup is called"):
        Manifest.decode(replace(stated, files=files).encode())
    with pytest.raises(BackupDamaged, match="is no setting of a home"):
        Manifest.decode(replace(stated, settings={**stated.settings, path: "x"}).encode())


@pytest.mark.parametrize("text", ["", "{}", "[]", "null", '{"format": 2, "digest": ""}', "\x00"])
def test_a_manifest_that_is_none(backup: Path, text: str) -> None:
    (backup / manifest.MANIFEST).write_text(text)
    with pytest.raises(BackupDamaged, match=r"manifest\.json"):
        check(backup)


# Restoring one.


def test_a_restored_home_has_the_same_headers_and_knows_its_log_as_lost(
    validator: Validator, backup: Path, tmp_path: Path
) -> None:
    validator.back_up(backup, keys=True)
    place = restore(backup, tmp_path / "new")
    assert not place.wal.exists()
    assert not (place.root / MARKER).exists()
    assert place.config.read_text() == validator.place.config.read_text()
    assert (place.keys / "consensus.key").read_bytes() == SECRET
    assert (place.keys / "consensus.key").stat().st_mode & 0o777 == 0o600
    assert not (place.keys / "passphrase").exists()
    values: dict[str, object] = dict.fromkeys(NodeConfig.__dataclass_fields__)
    values |= {"organisation": ORGANISATION, "free_bytes_min": 0}
    config = NodeConfig(**values)  # type: ignore[arg-type]
    with inspect(place, validator.world.genesis, config) as node:
        assert node.standing.state == "log_lost"
        assert node.ledger is not None
        assert [node.ledger.executed_header(Height(n)).hash.hex() for n in range(10)] == [
            validator.hash(n) for n in range(10)
        ]


def test_a_home_that_was_used_is_refused(
    validator: Validator, backup: Path, tmp_path: Path
) -> None:
    before = contents(validator.place.root)
    with pytest.raises(HomeExists):
        restore(backup, validator.place.root)
    assert contents(validator.place.root) == before
    (tmp_path / "file").write_text("mine")
    with pytest.raises(HomeExists):
        restore(backup, tmp_path / "file")
    (tmp_path / "empty").mkdir()
    restore(backup, tmp_path / "empty")
    with pytest.raises(HomeExists):
        restore(backup, tmp_path / "empty")


class Broken(Exception):
    """Somebody pulled the plug."""


@pytest.mark.parametrize("steps", [0, 2, 4, 8, 12, 40])
def test_broken_off_anywhere_and_run_again(
    validator: Validator, backup: Path, tmp_path: Path, steps: int
) -> None:
    home, left = tmp_path / "new", steps
    place = Home(home)

    def work_on(work: Restoration) -> None:
        nonlocal left
        for step in (work.copy(), work.execute(ToyRunner())):
            for _ in step:
                left -= 1
                if left < 0:
                    raise Broken
        work.finish()

    try:
        with Restoration(BackupCheck(backup), place) as work:
            work_on(work)
    except Broken:
        assert (home / MARKER).exists()
        assert not place.config.exists()  # so no node starts here
        ran = ToyRunner()
        restore(backup, home, ran)
        if left < 0 and steps > 10:
            assert len(ran.ran) < 18  # what was executed is not executed again
    assert not (home / MARKER).exists()
    store = LedgerStore.open(home, validator.world.genesis)
    assert store.head.hash.hex() == validator.hash(9)
    store.close()


def test_broken_off_at_the_very_end(validator: Validator, backup: Path, tmp_path: Path) -> None:
    """The mark is all that is left of it; a node may have run since."""
    place = restore(backup, tmp_path / "new")
    (place.root / MARKER).write_text(manifest.load(backup).encode())
    (place.wal).mkdir()
    (place.wal / "00000000000000000001.log").write_bytes(b"votes")
    before = contents(place.root)
    restore(backup, place.root)
    before.pop(MARKER)
    assert contents(place.root) == before


def test_another_backup_does_not_go_on_with_it(
    validator: Validator, backup: Path, tmp_path: Path
) -> None:
    with Restoration(BackupCheck(backup), Home(tmp_path / "new")) as work:
        next(work.copy())
    validator.advance(1)
    validator.back_up(backup)
    with pytest.raises(OtherRestore):
        restore(backup, tmp_path / "new")
    shutil.rmtree(tmp_path / "new")
    restore(backup, tmp_path / "new")


class OtherVersion(ToyRunner):
    """Gives block 4 another outcome."""

    def run(self, context: Any, transactions: Any, state: Any) -> Any:
        outcomes = super().run(context, transactions, state)
        extra = int(context.height == 4)
        return [item._replace(gas=item.gas + extra) for item in outcomes]


def test_another_result_is_not_restored(backup: Path, tmp_path: Path) -> None:
    with pytest.raises(RestoredOther) as found:
        restore(backup, tmp_path / "new", OtherVersion())
    assert found.value.n == 4
    assert not Home(tmp_path / "new").config.exists()
