"""Lies of a server of blocks: what a validator that fell behind is told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import count
from typing import Final

from consensus.messages import BlockData, Blocks, Checkpoint, Status, UnsignedMessage
from consensus.verifier import AnySigned, Signed
from ledger.block import BlockHeader, Body
from ledger.certificate import Certificate
from ledger.hashing import sha256
from ledger.types import Height, Signature, TimeMs
from node.driver import Parts
from tests.chaos.lies_base import Liar, Options

CLAIMED: Final = Height(10**6)


class Server(Liar):
    """Base: `lies` are told by turns about the last block of each answer."""

    def __init__(self, parts: Parts, options: Options) -> None:
        super().__init__(parts, options)
        self._turns = count()

    def answers(self, message: UnsignedMessage) -> UnsignedMessage:
        if not isinstance(message, Blocks) or not message.blocks:
            return message
        lies = self.lies()
        lie = lies[next(self._turns) % len(lies)]
        return replace(message, blocks=(*message.blocks[:-1], lie(message.blocks[-1])))

    def lies(self) -> Sequence[Callable[[BlockData], BlockData]]:
        raise NotImplementedError

    def sign_header(self, header: BlockHeader) -> Signature:
        return Signature(self.signature(Checkpoint(header.n, header.hash)))


class Forger(Server):
    """Certificates of a header of its own making, and too small a one of the true header."""

    kind = "forge-certificate"

    def lies(self) -> Sequence[Callable[[BlockData], BlockData]]:
        return (self._one_short, self._duplicate, self._foreign, self._not_theirs)

    def _one_short(self, block: BlockData) -> BlockData:
        certificate = _certificate(block)
        return replace(
            block,
            certificate=replace(certificate, signatures=certificate.signatures[:-1]).encode(),
        )

    def _duplicate(self, block: BlockData) -> BlockData:
        return self._forged(block, [self.state.me] * self.state.quorum)

    def _foreign(self, block: BlockData) -> BlockData:
        strangers = [f"STRANGER{number}" for number in range(1, self.state.quorum)]
        return self._forged(block, sorted([self.state.me, *strangers]))

    def _not_theirs(self, block: BlockData) -> BlockData:
        return self._forged(block, list(self.state.validators.organisations)[: self.state.quorum])

    def _forged(self, block: BlockData, signers: Sequence[str]) -> BlockData:
        """Our signature under every name, on a header with a state of our own."""
        header = BlockHeader.decode(block.header)
        header = replace(header, state_root=sha256(header.state_root))
        pairs = tuple((signer, self.sign_header(header)) for signer in signers)
        certificate = Certificate(header.epoch, header.n, header.hash, pairs)
        return replace(block, header=header.encode(), certificate=certificate.encode())


class WrongHash(Server):
    """Blocks whose parts are not those that their hashes name."""

    kind = "wrong-hash"

    def lies(self) -> Sequence[Callable[[BlockData], BlockData]]:
        return (self._other_body, self._other_transactions, self._other_header)

    @staticmethod
    def _other_body(block: BlockData) -> BlockData:
        if block.body is None:
            return replace(block, body=b"\x90")
        body = Body.decode(block.body)
        wrong = replace(body, timestamp_ms=TimeMs(body.timestamp_ms + 1))
        return replace(block, body=wrong.encode())

    @staticmethod
    def _other_transactions(block: BlockData) -> BlockData:
        return replace(block, transactions=(*block.transactions[1:], b"\x92\xc4\x00\x90"))

    @staticmethod
    def _other_header(block: BlockData) -> BlockData:
        header = BlockHeader.decode(block.header)
        wrong = replace(header, state_root=sha256(header.state_root))
        return replace(block, header=wrong.encode())


class LyingServer(Liar):
    """Claims a height of a million, and serves noise for blocks."""

    kind = "lying-server"

    def tell(self, to: Sequence[str], message: AnySigned | UnsignedMessage) -> None:
        if isinstance(message, Signed) and isinstance(message.message, Status):
            self.say(to, replace(message.message, h=CLAIMED, executed=CLAIMED))
        else:
            super().tell(to, message)

    def answers(self, message: UnsignedMessage) -> UnsignedMessage:
        if isinstance(message, Blocks):
            return replace(message, blocks=(BlockData(b"noise", b"noise", (b"noise",), b"noise"),))
        return message


def _certificate(block: BlockData) -> Certificate:
    assert block.certificate is not None, "the last block of an answer has its certificate"
    return Certificate.decode(block.certificate)
