"""A proof as text that a QR code holds and a phone reads: ``QIONG1:`` and base45 (RFC 9285).

The bytes of a proof could stand in a QR code as they are (byte mode), but most readers on phones
take a code's content for text and spoil what is not UTF-8. Base45 uses the 45 characters of the
code's alphanumeric mode, which stores them in 5.5 bits: two bytes cost 16.5 bits instead of 16, and
every reader hands the text on unharmed. European health certificates stand in QR codes the same
way. The prefix says what it is, and is of the same 45 characters.

One text for one proof: what does not encode back to itself is refused.
"""

from __future__ import annotations

from typing import Final

from ledger.errors import InvalidInput
from ledger.proof_format import PROOF_SIZE_MAX, Proof, ProofTooLarge

PREFIX: Final = "QIONG1:"

LINE_END: Final = "\r\n"
"""Characters that an editor or a shell may leave at the end of a text; base45 ends in neither."""

FILE_SIZE_MAX: Final = len(PREFIX) + (PROOF_SIZE_MAX + 1) // 2 * 3 + len(LINE_END)
"""Length of the largest proof's text in a file."""

_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
_VALUES: Final = {character: value for value, character in enumerate(_ALPHABET)}


class ProofTextInvalid(InvalidInput):
    """Text that is not a proof's."""

    code = "proof_text_invalid"
    hint = "scan the code again, and copy the text whole: spaces in it count"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"text of a proof: {reason}")


def to_text(proof: bytes) -> str:
    """The text of a proof's bytes; 3 characters for 2 bytes, 2 for a last single one."""
    characters: list[str] = []
    for offset in range(0, len(proof), 2):
        pair = proof[offset : offset + 2]
        value = int.from_bytes(pair, "big")
        for _ in range(len(pair) + 1):
            characters.append(_ALPHABET[value % 45])
            value //= 45
    return PREFIX + "".join(characters)


def from_text(text: str) -> bytes:
    """The bytes that `to_text` made `text` of. Raises `ProofTextInvalid`."""
    if not text.startswith(PREFIX):
        raise ProofTextInvalid(f"it does not begin with {PREFIX}")
    body = text[len(PREFIX) :]
    proof = bytearray()
    for offset in range(0, len(body), 3):
        group = body[offset : offset + 3]
        try:
            value = sum(_VALUES[character] * 45**i for i, character in enumerate(group))
        except KeyError as error:
            raise ProofTextInvalid(f"{error} is not one of its 45 characters") from None
        size = len(group) - 1
        if size == 0 or value >= 1 << 8 * size:
            raise ProofTextInvalid(f"{group!r} stands for no bytes")
        proof += value.to_bytes(size, "big")
    return bytes(proof)


def read_proof(data: bytes) -> Proof:
    """The proof whose bytes, or whose text's, `data` are: no proof begins as the text does.

    Raises an `InvalidInput` that names what is wrong.
    """
    if not data.startswith(PREFIX.encode()):
        return Proof.decode(data)
    if len(data) > FILE_SIZE_MAX:
        raise ProofTooLarge(len(data))
    return Proof.decode(from_text(data.decode("ascii", "replace").rstrip(LINE_END)))
