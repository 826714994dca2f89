"""TLS between validators: 1.3 only, both sides, pinned to certificates that genesis holds.

There is no certificate authority. A validator's certificate is self-signed with a key of its own
(never the consensus key) and does not expire, because a date must not stop a network. It is loaded
as the trusted certificate, and after the handshake its public key is compared with the pinned ones:
that comparison, not the chain check, says which organisation is at the other end.

Messages are signed as well; TLS keeps strangers out and eavesdroppers blind. Left out: sockets.
"""

from __future__ import annotations

import os
import ssl
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from node.errors import Refused
from node.keyfile import (
    KeyDamaged,
    decrypt_private_key,
    encrypt_private_key,
    read_private,
    write_private,
)

NOT_BEFORE: Final = datetime(2020, 1, 1, tzinfo=UTC)
"""In the past for any clock that is not broken, so that a fresh certificate works at once."""

NOT_AFTER: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""The date that means "never expires" (RFC 5280 §4.1.2.5)."""


class PeerNotPinned(Refused):
    """The certificate at the other end is no validator's."""

    code = "peer_not_pinned"
    hint = "compare the peer's TLS certificate with the one in genesis"

    def __init__(self) -> None:
        super().__init__("the peer's certificate belongs to no validator")


class BadCertificate(Refused):
    """Bytes that are no self-signed X.509 certificate."""

    code = "bad_certificate"
    hint = "take the certificate from the validator's card.json"

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(f"not a certificate to pin: {reason}")


def create_identity(
    organisation: str, key_path: Path, certificate_path: Path, passphrase: bytes
) -> bytes:
    """Make a TLS key and its certificate; write them as PEM, the key encrypted.

    Returns the certificate in DER, as genesis holds it. Raises `KeyExists` or `OSError`.
    """
    key = Ed25519PrivateKey.generate()
    certificate = _self_signed(organisation, key)
    write_private(key_path, encrypt_private_key(key, passphrase))
    certificate_path.write_bytes(certificate.public_bytes(Encoding.PEM))
    return certificate.public_bytes(Encoding.DER)


def load_certificate(path: Path) -> bytes:
    """The certificate at `path` (PEM) in DER. Raises `KeyDamaged`."""
    try:
        certificate = x509.load_pem_x509_certificate(path.read_bytes())
    except ValueError:
        raise KeyDamaged(path, "holds no certificate") from None
    except OSError as error:
        raise KeyDamaged(path, error.strerror or "cannot be read") from None
    return certificate.public_bytes(Encoding.DER)


def check_certificate(der: bytes) -> bytes:
    """Return `der` if it is self-signed X.509, which proves possession of its key.

    Raises `BadCertificate`.
    """
    try:
        certificate = x509.load_der_x509_certificate(der)
        certificate.verify_directly_issued_by(certificate)
    except Exception as error:  # the parser raises a different type for each way to be wrong
        raise BadCertificate(str(error) or type(error).__name__) from None
    return der


def server_context(
    key_path: Path, certificate_path: Path, passphrase: bytes, pinned: Mapping[str, bytes]
) -> ssl.SSLContext:
    """The listening side. See `contexts`."""
    return contexts(key_path, certificate_path, passphrase, pinned)[0]


def client_context(
    key_path: Path, certificate_path: Path, passphrase: bytes, pinned: Mapping[str, bytes]
) -> ssl.SSLContext:
    """The connecting side. See `contexts`."""
    return contexts(key_path, certificate_path, passphrase, pinned)[1]


def contexts(
    key_path: Path, certificate_path: Path, passphrase: bytes, pinned: Mapping[str, bytes]
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """The (listening, connecting) contexts of one validator, its key opened once.

    `pinned` maps each organisation to its certificate in DER. Raises as `read_private` and
    `decrypt_private_key` do, and `KeyDamaged` when key and certificate are no pair.
    """
    key = decrypt_private_key(key_path, read_private(key_path), passphrase)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # Names in certificates mean nothing here; `organisation_of` compares the key.
    client.check_hostname = False
    for context in (server, client):
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.verify_mode = ssl.CERT_REQUIRED
        _load_own(context, key, key_path, certificate_path)
        for der in pinned.values():
            context.load_verify_locations(cadata=der)
    return server, client


def organisation_of(certificate: bytes | None, pinned: Mapping[str, bytes]) -> str:
    """Whose certificate a peer showed: the organisation whose pinned public key it carries.

    `certificate` is `SSLObject.getpeercert(binary_form=True)` after the handshake. Raises
    `PeerNotPinned`.
    """
    if certificate is not None:
        shown = _public_key(certificate)
        for organisation, der in pinned.items():
            if _public_key(der) == shown:
                return organisation
    raise PeerNotPinned


def _self_signed(organisation: str, key: Ed25519PrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, organisation)])
    usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(NOT_BEFORE)
        .not_valid_after(NOT_AFTER)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .sign(key, algorithm=None)
    )


def _load_own(
    context: ssl.SSLContext, key: Ed25519PrivateKey, key_path: Path, certificate_path: Path
) -> None:
    """Hand an opened key to OpenSSL, which takes files only: one that exists in memory alone."""
    plain = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor = os.memfd_create("tls-key", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, plain)
        context.load_cert_chain(certificate_path, f"/proc/self/fd/{descriptor}")
    except ssl.SSLError as error:
        reason = f"does not fit {certificate_path.name}: {error.reason}"
        raise KeyDamaged(key_path, reason) from None
    finally:
        os.close(descriptor)


def _public_key(der: bytes) -> bytes:
    """SubjectPublicKeyInfo of a certificate (RFC 5280 §4.1)."""
    key = x509.load_der_x509_certificate(der).public_key()
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
