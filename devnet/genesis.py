"""Who founds the sample network, and the genesis document that makes it so.

Validators are seats of different organisations, departments and enterprises by turns, so that no
class alone has a quorum. The registry is seeded with every sample organisation; departments get a
key that may issue what the sample has them issue and may deploy contracts, enterprises with a seat
a key that may submit only. One more key, the governor's, may freeze, upgrade and retire every
contract, those of genesis too; it belongs to the first department. Administration by vote is not
part of a devnet's genesis.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest
from typing import Final, NamedTuple, cast

from contracts import registry_layout, shipped
from contracts.registry_layout import Member, Organisation
from devnet import sample
from ledger.canonical import Value
from ledger.execution import genesis_header, genesis_writes
from ledger.genesis import Genesis, GenesisValidator
from ledger.state_proof import state_key_hash, state_value_hash
from ledger.state_tree import StateTree
from ledger.trust import TrustAnchor
from ledger.types import PublicKey

NETWORK_NAME: Final = "qiong-devnet"
ATTESTATIONS: Final = ["licence", "credit"]
"""Contracts whose values a verifier reads a status from (ledger.md)."""

GOVERNOR_ROLES: Final = (registry_layout.SUBMITTER, registry_layout.GOVERNOR)


class Seat(NamedTuple):
    """One founding organisation: `name` is its validator's and its key's name."""

    name: str
    organisation: str
    organisation_class: str


def seats(count: int) -> list[Seat]:
    """The first `count` seats: a department, an enterprise, and so on while departments last."""
    government = [Seat(entry.id, entry.uscc, "government") for entry in sample.departments()]
    enterprises = [
        Seat(f"enterprise-{number}", entry.uscc, "enterprise")
        for number, entry in enumerate(sample.enterprises()[:count], 1)
    ]
    by_turns = chain.from_iterable(zip_longest(government, enterprises))
    return [seat for seat in by_turns if seat is not None][:count]


def build(
    validators: Sequence[GenesisValidator],
    keys: Mapping[str, PublicKey],
    created_ms: int,
    governor: PublicKey | None = None,
) -> Genesis:
    """Genesis of the sample network; `keys` holds the signing key of an organisation by uscc.

    Raises `FieldError` where the parts do not make a genesis (too few validators, for one).
    """
    state = [*shipped.seed_entries(), *registry_layout.seed_entries(_organisations(keys, governor))]
    return Genesis.build(
        name=NETWORK_NAME,
        created_ms=created_ms,
        validators=list(validators),
        attestations=ATTESTATIONS,
        state=cast("list[tuple[str, str, Value]]", state),
    )


def trust_anchor(document: Genesis) -> TrustAnchor:
    """The anchor at header 0, computed from genesis alone as every validator computes it."""
    changes = {
        state_key_hash(contract, key): state_value_hash(value)
        for (contract, key), value in genesis_writes(document).items()
    }
    header = genesis_header(document, StateTree().root_after(changes))
    return TrustAnchor.of_header(header, document.validator_set, document.attestations)


def _organisations(keys: Mapping[str, PublicKey], governor: PublicKey | None) -> list[Organisation]:
    accreditations = sample.accreditations()
    governing = sample.departments()[0].uscc

    def organisation(uscc: str, name: str, organisation_class: str) -> Organisation:
        issuer_roles = accreditations.get(uscc, ())
        roles = (registry_layout.SUBMITTER, *issuer_roles)
        if organisation_class == "government":
            roles += (registry_layout.DEPLOYER,)
        members = [Member(keys[uscc].hex(), roles)] if uscc in keys else []
        if uscc == governing and governor is not None:
            members.append(Member(governor.hex(), GOVERNOR_ROLES))
        return Organisation(uscc, name, organisation_class, issuer_roles, tuple(members))

    return [
        *(organisation(row.uscc, row.name, "government") for row in sample.departments()),
        *(organisation(row.uscc, row.name, "enterprise") for row in sample.enterprises()),
    ]
