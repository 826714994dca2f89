"""`qiong trust`: the anchor that everything is checked against, and its way into later epochs.

When the validators change, the old set signs who the new ones are: a hand-over. `update` follows
hand-overs from the trust file on and rewrites it only after every one of them verified, so an old
trust file, once compared, never needs to be compared again. A node can hide hand-overs, which
`proof verify --max-age` notices; it cannot invent one.
"""

from __future__ import annotations

from pathlib import Path

import click

from cli import output
from cli.errors import NotProven, Refused
from cli.settings import Settings, common_options
from cli.trustfile import read_trust, replace_trust
from ledger.errors import InvalidInput
from ledger.proof_text import FILE_SIZE_MAX
from ledger.proofs import follow
from ledger.trust import TrustAnchor


@click.group("trust")
def trust_group() -> None:
    """Look at the trust file, the anchor of every check, and keep it up to date."""


@trust_group.command("show")
@common_options()
def show(settings: Settings) -> int:
    """Show the trust file and its fingerprint, to be compared by another channel.

    What a node says of its own trust anchor is worth nothing alone.
    """
    trust = read_trust(_named(settings))
    document = trust.to_json() | {"fingerprint": trust.fingerprint.hex()}
    lines = [
        f"chain        {trust.chain_id.hex()}",
        f"anchor       block {trust.height} of epoch {trust.epoch}",
        f"header       {trust.header_hash.hex()}",
        f"attestations {', '.join(trust.attestations)}",
        *(f"validator    {v.organisation}  {v.key.hex()}" for v in trust.validators),
        f"fingerprint  {trust.fingerprint.hex()}",
    ]
    output.data(document, settings.json, lines)
    if not settings.json:
        output.message("compare the fingerprint with the operators' by another channel, once")
    return 0


@trust_group.command("update")
@click.option(
    "--proof",
    "proof_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE.qproof",
    help="Follow the hand-overs of this proof; by default a node is asked.",
)
@common_options()
def update(settings: Settings, proof_file: Path | None) -> int:
    """Follow the hand-overs between validators since the trust file, and rewrite it.

    It is rewritten only if every hand-over verifies (else exit code 5), and all at once.
    """
    file = _named(settings)
    former = read_trust(file)
    if proof_file is not None:
        with proof_file.open("rb") as opened:
            data, source = opened.read(FILE_SIZE_MAX + 1), str(proof_file)
    else:
        data, source = _ask(settings, former)
    try:
        trust = follow(data, former)
    except InvalidInput as error:
        raise NotProven(
            f"{source} does not lead on from the trust file: {error}",
            "nothing was changed; ask another node with --node, or compare a new trust file's"
            " fingerprint by another channel",
        ) from None
    if trust != former:
        replace_trust(file, trust)
    _tell(settings, former, trust, source)
    return 0


def _named(settings: Settings) -> Path:
    if settings.trust is None:
        raise Refused("no trust file is named", "name one with --trust FILE or QIONG_TRUST")
    return settings.trust


def _ask(settings: Settings, trust: TrustAnchor) -> tuple[bytes, str]:
    """A node's proof that its newest header goes on from the trusted one, with all hand-overs."""
    from cli.client import MSGPACK, Client

    with Client(settings.nodes) as client:
        answer = client.get(
            "/v1/proofs/consistency", accept=MSGPACK, from_=trust.height, since=trust.height
        )
    return answer.body, answer.node


def _tell(settings: Settings, former: TrustAnchor, trust: TrustAnchor, source: str) -> None:
    document = {
        "updated": trust != former,
        "former_fingerprint": former.fingerprint.hex(),
        "fingerprint": trust.fingerprint.hex(),
        "epoch": trust.epoch,
        "height": trust.height,
    }
    lines = [
        f"former fingerprint  {former.fingerprint.hex()}",
        f"fingerprint         {trust.fingerprint.hex()}",
        f"anchor              block {trust.height} of epoch {trust.epoch}",
    ]
    output.data(document, settings.json, lines)
    if trust == former:
        output.message(f"nothing to follow: {source} holds no hand-over after epoch {trust.epoch}")
    elif not settings.json:
        count = trust.epoch - former.epoch
        output.message(f"followed {count} hand-over{'s' if count > 1 else ''} from {source}")
