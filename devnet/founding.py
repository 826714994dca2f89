"""Making the folder of a devnet: keys, homes, genesis, trust file, `devnet.json` last.

    devnet.json            what is here (`devnet.manifest`)
    trust.json             the trust anchor: header 0 and who votes
    keys/                  one signing key an organisation of the sample, the governor's key, and
                           their pass phrase
    nodes/NAME/            the home of validator NAME, with keys and a pass phrase of its own

A folder without `devnet.json` is half made and is made anew. Everything secret is encrypted, but
its pass phrase lies beside it: a devnet is for trying things, not for secrets.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from devnet import genesis, manifest, process, sample
from devnet.genesis import Seat
from devnet.manifest import Manifest, ValidatorEntry
from ledger.keys import SigningKey
from ledger.types import PublicKey
from node import home, keyfile
from node.home import Card, Home

VALIDATORS_DEFAULT: Final = 4
BASE_PORT_DEFAULT: Final = 7600
"""Below the range that Linux hands out to outgoing connections (32768 and up)."""

GOVERNOR: Final = "governor"
"""Name of the key that may change every contract."""

BASE_PORT_STEP: Final = 200
BASE_PORT_TRIES: Final = 100
"""Ranges tried before giving up: 7600, 7800 and so on to 27400."""


def ports(entry: ValidatorEntry) -> tuple[int, int]:
    """The ports of a validator: its API and, next to it, its peer listener."""
    api = urlsplit(entry.api).port
    assert api is not None
    return api, api + 1


def found(
    folder: Path, validators: int | None, base_port: int | None, tell: Callable[[str], None]
) -> Manifest:
    """Make the network in `folder` and return it, nothing started.

    Raises `PortTaken`, `FieldError` (a wrong number of validators) or `OSError`.
    """
    count = validators or VALIDATORS_DEFAULT
    seats = genesis.seats(count)
    base = _free_range(count) if base_port is None else base_port
    for port in range(base, base + 2 * count):
        process.check_port_free(port)
    for half_made in (manifest.KEYS, manifest.NODES):
        shutil.rmtree(folder / half_made, ignore_errors=True)

    tell("making keys")
    keys = _make_keys(folder / manifest.KEYS, seats)
    entries = [
        ValidatorEntry(
            name=seat.name,
            organisation=seat.organisation,
            organisation_class=seat.organisation_class,
            api=f"http://127.0.0.1:{base + 2 * i}",
            pid=None,
            home=folder / manifest.NODES / seat.name,
        )
        for i, seat in enumerate(seats)
    ]
    with ThreadPoolExecutor() as pool:
        cards = list(pool.map(_make_home, entries))

    tell("writing genesis")
    governor = keys.pop(GOVERNOR)
    document = genesis.build(
        [card.entry for card in cards], keys, time.time_ns() // 1_000_000, governor
    )
    data = document.encode()
    for entry in entries:
        home.adopt_genesis(Home(entry.home), data, document.chain_id)
    anchor = json.dumps(genesis.trust_anchor(document).to_json(), indent=2)
    (folder / manifest.TRUST).write_text(anchor + "\n", "utf-8")
    network = Manifest(folder, document.chain_id.hex(), tuple(entries))
    network.save()
    return network


def _make_keys(folder: Path, seats: Iterable[Seat]) -> dict[str, PublicKey]:
    """A key for every department and every seat, named as they are, and the governor's; public
    keys by uscc, or by `GOVERNOR`."""
    folder.mkdir(mode=0o700)
    passphrase = keyfile.write_passphrase(folder)
    names = {entry.uscc: entry.id for entry in sample.departments()}
    names |= {seat.organisation: seat.name for seat in seats}
    names[GOVERNOR] = GOVERNOR

    def make(name: str) -> PublicKey:
        seed = SigningKey.generate().seed
        return keyfile.save_key(folder / f"{name}{keyfile.KEY_SUFFIX}", seed, passphrase)

    with ThreadPoolExecutor() as pool:
        return dict(zip(names, pool.map(make, names.values()), strict=True))


def _make_home(entry: ValidatorEntry) -> Card:
    place = Home(entry.home)
    place.keys.mkdir(mode=0o700, parents=True)
    api, peer = ports(entry)
    return home.init_home(
        entry.home,
        organisation=entry.organisation,
        organisation_class=entry.organisation_class,
        name=entry.name,
        address=f"127.0.0.1:{peer}",
        passphrase=keyfile.write_passphrase(place.keys),
        api_listen=f"127.0.0.1:{api}",
    )


def _free_range(count: int) -> int:
    """The first base port whose range of `2 * count` ports nobody listens on."""
    for attempt in range(BASE_PORT_TRIES):
        base = BASE_PORT_DEFAULT + BASE_PORT_STEP * attempt
        if all(process.port_free(port) for port in range(base, base + 2 * count)):
            return base
    raise process.PortTaken(BASE_PORT_DEFAULT)
