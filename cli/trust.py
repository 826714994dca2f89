"""`qiong trust`: the anchor that everything is checked against."""

from __future__ import annotations

import click

from cli import output
from cli.errors import Refused
from cli.settings import Settings, common_options
from cli.trustfile import read_trust


@click.group("trust")
def trust_group() -> None:
    """Look at the trust file, the anchor of every check."""


@trust_group.command("show")
@common_options()
def show(settings: Settings) -> int:
    """Show the trust file and its fingerprint, to be compared by another channel.

    What a node says of its own trust anchor is worth nothing alone.
    """
    if settings.trust is None:
        raise Refused("no trust file is named", "name one with --trust FILE or QIONG_TRUST")
    trust = read_trust(settings.trust)
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
