"""Which validator stands at the other end of a TLS link.

There is no certificate authority: genesis holds each validator's self-signed certificate, it is
loaded as a trusted one, and after the handshake the public key that was used is compared with the
one in genesis. So a link belongs to an organisation or it is closed.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ledger.errors import InvalidInput
from ledger.genesis import GenesisValidator


class UnknownPeer(InvalidInput):
    """The key at the other end is not the one that genesis names."""

    code = "unknown_peer"
    hint = "check the address of this peer and whether its TLS key was rotated"

    def __init__(self, expected: str | None, found: str | None) -> None:
        self.expected = expected
        self.found = found
        super().__init__(f"expected {expected or 'a validator'}, found {found or 'a stranger'}")


class Identities:
    """The validators' TLS public keys."""

    def __init__(self, validators: Iterable[GenesisValidator]) -> None:
        self._organisations = {
            subject_public_key(entry.tls_certificate): entry.organisation for entry in validators
        }

    def of(self, tls: ssl.SSLObject | None, expected: str | None = None) -> str:
        """The organisation whose key made this TLS session; `expected`, where given.

        Raises `UnknownPeer`.
        """
        certificate = None if tls is None else tls.getpeercert(binary_form=True)
        found = (
            None
            if certificate is None
            else self._organisations.get(subject_public_key(certificate))
        )
        if found is None or expected not in (None, found):
            raise UnknownPeer(expected, found)
        return found


def subject_public_key(certificate: bytes) -> bytes:
    """The SubjectPublicKeyInfo (RFC 5280 §4.1.2.7) of an X.509 certificate, both in DER."""
    key = x509.load_der_x509_certificate(certificate).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
